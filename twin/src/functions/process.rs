//! One operating-system process that runs a function.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::broadcast;

use super::runtime_api::{Listening, RuntimeApi};
use super::{KillSwitch, LogLine, Shared, Stream};
use crate::descriptors;
use crate::template::Function;

/// The variable that makes the twin's program run one function instead of the twin.
pub const RUN_FUNCTION: &str = "TWIN_RUN_FUNCTION";

/// The source of the functions' code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A program that runs the function named by [`RUN_FUNCTION`]: usually the twin itself.
    Program {
        /// The program.
        path: PathBuf,
        /// Its arguments.
        args: Vec<OsString>,
    },
    /// A program that runs the functions of these names, as [`Source::Program`] does, and another source for all
    /// others.
    ProgramFor {
        /// The program.
        path: PathBuf,
        /// The names: a function's binary, or else its logical id.
        names: Vec<String>,
        /// The source of the other functions' code.
        others: Box<Source>,
    },
    /// A folder with `<binary>/bootstrap` (from `cargo lambda build`) or `<LogicalId>/bootstrap` (from `sam build`).
    Artefacts(PathBuf),
    /// The folder of the template, below which each function's `CodeUri` names the folder of its `bootstrap`.
    CodeUri(PathBuf),
}

impl Source {
    /// The running program, executed once more.
    ///
    /// # Errors
    /// If the system does not report which program that is.
    pub fn this_program() -> std::io::Result<Self> {
        Ok(Self::Program { path: std::env::current_exe()?, args: Vec::new() })
    }

    /// The running program, executed once more for the functions of these names, with another source for the others.
    ///
    /// # Errors
    /// If the system does not report which program that is.
    pub fn this_program_for(names: &[&str], others: Self) -> std::io::Result<Self> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Ok(Self::ProgramFor { path: std::env::current_exe()?, names, others: Box::new(others) })
    }

    /// Checks that a function has code.
    ///
    /// # Errors
    /// If there is none; the error names the function and the searched paths.
    pub fn check(&self, function: &Function) -> std::io::Result<()> {
        self.command(function).map(drop)
    }

    /// The command that runs a function, and the folder that is its task root.
    fn command(&self, function: &Function) -> std::io::Result<(Command, PathBuf)> {
        match self {
            Self::Program { path, args } => Ok(again(path, args, function)),
            Self::ProgramFor { path, names, others } => {
                let binary = function.binary.as_ref().unwrap_or(&function.logical_id);
                if names.contains(binary) { Ok(again(path, &[], function)) } else { others.command(function) }
            }
            Self::Artefacts(folder) => {
                let names = function.binary.iter().chain([&function.logical_id]);
                bootstrap(function, &names.map(|name| folder.join(name)).collect::<Vec<_>>())
            }
            Self::CodeUri(folder) => {
                let code = function.code_uri.as_deref().unwrap_or(Path::new("."));
                bootstrap(function, &[folder.join(code)])
            }
        }
    }
}

/// The command that executes a program for a function.
fn again(path: &Path, args: &[OsString], function: &Function) -> (Command, PathBuf) {
    let binary = function.binary.as_deref().unwrap_or(&function.logical_id);
    let mut command = Command::new(path);
    // Cleared first: as on Lambda, the function sees only the template's environment, and nothing of the caller's.
    command.args(args).env_clear().env(RUN_FUNCTION, binary);
    (command, path.parent().unwrap_or(Path::new("/")).to_path_buf())
}

/// The command that runs the `bootstrap` in the first of these folders that has one, and that folder.
fn bootstrap(function: &Function, roots: &[PathBuf]) -> std::io::Result<(Command, PathBuf)> {
    let found = roots.iter().find(|root| root.join("bootstrap").is_file());
    let root = found.ok_or_else(|| {
        let looked: Vec<String> = roots.iter().map(|root| root.join("bootstrap").display().to_string()).collect();
        let message = format!("{} has no code: there is no {}", function.logical_id, looked.join(" and no "));
        std::io::Error::new(std::io::ErrorKind::NotFound, message)
    })?;
    let root = root.canonicalize()?;
    let mut command = Command::new(root.join("bootstrap"));
    command.env_clear();
    Ok((command, root))
}

/// The error of a command that does not start, with its path and a hint that the system does not give.
fn not_started(command: &Command, error: &std::io::Error) -> std::io::Error {
    let path = Path::new(command.as_std().get_program());
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound if path.exists() => {
            "; the file is there, so the interpreter of its first line, or its loader, is missing"
        }
        std::io::ErrorKind::PermissionDenied => "; make it executable with chmod +x",
        _ => "",
    };
    std::io::Error::new(error.kind(), format!("{}: {error}{hint}", path.display()))
}

/// A process of one function. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Process {
    /// Names the process in its access key and in the log.
    pub(super) number: u64,
    pub(super) child: Child,
    pub(super) api: RuntimeApi,
    /// Whether it has answered before: a new one that dies failed to start, an old one merely died.
    pub(super) proven: bool,
    pub(super) idle_since: Instant,
    pub(super) kill_switch: KillSwitch,
    /// The number of the exchange that brought its code.
    pub(super) code: u64,
    shared: Arc<Shared>,
    /// Taken out of `child`, because waiting for a child closes its standard input first.
    _stdin: Option<ChildStdin>,
    _listening: Listening,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.shared.forget(self.number);
        // Before the end of the process is reported; it fails if the process is gone already.
        let _ = self.child.start_kill();
        self.kill_switch.done.cancel();
    }
}

impl Process {
    /// Starts a process, which polls for work once it has initialised itself.
    pub(super) async fn start(function: &Function, shared: &Arc<Shared>) -> std::io::Result<Self> {
        let number = shared.next_number();
        let options = &shared.options;
        let api = RuntimeApi::default();
        let listening = api.listen()?;
        let (source, code) = shared.code.now();
        let (mut command, task_root) = source.command(function)?;
        command
            .envs(environment(number, function, options, &listening.address.to_string(), &task_root))
            .current_dir(&task_root)
            // Held open by the twin and never written: its end signals that the twin is gone, even after a kill.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C in a terminal reaches only the twin, which lets its functions finish first.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| not_started(&command, &error))?;
        if let Some(stdout) = child.stdout.take() {
            forward(stdout, Stream::Stdout, number, &function.logical_id, &shared.logs);
        }
        if let Some(stderr) = child.stderr.take() {
            forward(stderr, Stream::Stderr, number, &function.logical_id, &shared.logs);
        }
        if let Some(process) = child.id() {
            descriptors::limit_function(process);
        }
        tracing::debug!(function = %function.logical_id, process = number, "started");
        let shared = shared.clone();
        let kill_switch = KillSwitch::default();
        shared.switches().insert(number, kill_switch.clone());
        // Before its first request, which it may send before its first invocation.
        shared.assign(number, &function.logical_id, &[]);
        let stdin = child.stdin.take();
        Ok(Self {
            number,
            child,
            api,
            proven: false,
            idle_since: Instant::now(),
            kill_switch,
            code,
            shared,
            _stdin: stdin,
            _listening: listening,
        })
    }

    /// Kills the process and waits until the system has reaped it.
    pub(super) async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(process = self.number, %error, "the process could not be killed");
        }
    }
}

/// The environment of a function: Lambda's variables, and those of the template.
fn environment(
    number: u64,
    function: &Function,
    options: &super::FunctionsOptions,
    runtime_api: &str,
    task_root: &Path,
) -> BTreeMap<String, OsString> {
    let mut variables: BTreeMap<String, OsString> =
        function.environment.iter().map(|(name, value)| (name.clone(), value.into())).collect();
    // Reserved on Lambda: a template cannot set these, so they come last.
    let reserved: [(&str, OsString); 18] = [
        ("AWS_LAMBDA_RUNTIME_API", runtime_api.into()),
        ("AWS_LAMBDA_FUNCTION_NAME", function.name.as_str().into()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mb.to_string().into()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".into()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".into()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", function.name).into()),
        ("AWS_LAMBDA_LOG_STREAM_NAME", format!("twin-{number}").into()),
        ("AWS_REGION", options.region.as_str().into()),
        ("AWS_DEFAULT_REGION", options.region.as_str().into()),
        ("AWS_ACCESS_KEY_ID", access_key_id(number).into()),
        ("AWS_SECRET_ACCESS_KEY", "twin".into()),
        ("AWS_SESSION_TOKEN", "twin".into()),
        ("AWS_ENDPOINT_URL", options.aws_endpoint.as_str().into()),
        // So that no program on this machine is taken for the metadata service of EC2.
        ("AWS_EC2_METADATA_DISABLED", "true".into()),
        ("LAMBDA_TASK_ROOT", task_root.into()),
        ("_HANDLER", function.handler.as_deref().unwrap_or("bootstrap").into()),
        ("TZ", ":UTC".into()),
        ("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())),
    ];
    variables.extend(reserved.into_iter().map(|(name, value)| (name.to_owned(), value)));
    variables
}

/// The access key of a process, which identifies it at the AWS endpoint.
pub(super) fn access_key_id(number: u64) -> String {
    format!("twin-{number}")
}

/// The process that an access key belongs to.
pub(super) fn process_of(access_key_id: &str) -> Option<u64> {
    access_key_id.strip_prefix("twin-")?.parse().ok()
}

/// Passes on what a process prints, line by line, with the function's name.
fn forward(
    output: impl AsyncRead + Unpin + Send + 'static,
    stream: Stream,
    process: u64,
    function: &str,
    logs: &broadcast::Sender<LogLine>,
) {
    let function: Arc<str> = function.into();
    let logs = logs.clone();
    tokio::spawn(async move {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        loop {
            line.clear();
            match output.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            // The program that runs the twin may show the lines in another way; they are in its log in any case.
            tracing::trace!(target: "twin::function", %function, process, "{text}");
            let _ = logs.send(LogLine { function: function.clone(), process, stream, text: text.to_owned() });
        }
    });
}

/// Makes this process end when the twin that started it does, even by `kill -9` and in the middle of an invocation.
///
/// A waiting function ends by itself, because its poll of the runtime API fails. One that hangs would stay; so a thread
/// reads standard input, which the twin holds open and never writes to.
///
/// # Errors
/// If the thread cannot be started.
pub fn end_with_the_twin() -> std::io::Result<()> {
    std::thread::Builder::new().name("twin-watch".to_owned()).spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(1);
    })?;
    Ok(())
}
