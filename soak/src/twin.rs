//! A twin in a separate process and folder, so that it can be killed as a machine dies.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use sam_twin::cli::failure::{Context, Failure};
use serde::Deserialize;

/// How long a twin may take to start.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to stop in order.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// The arguments and the data of a twin.
#[derive(Debug, Clone)]
pub(crate) struct TwinOptions {
    pub(crate) template: PathBuf,
    pub(crate) artefacts: Option<PathBuf>,
    /// Further arguments of `tidings up`.
    pub(crate) more: Vec<String>,
    /// Whether its data outlives the process.
    pub(crate) is_kept: bool,
    pub(crate) log: String,
}

/// The URLs of a twin and the key of its demo app, from `.tidings/session.json`.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    pub(crate) api_url: String,
    pub(crate) socket_url: String,
    pub(crate) aws_url: String,
    pub(crate) providers_url: String,
    pub(crate) app_id: String,
    pub(crate) app_key: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("api_url", &self.api_url).field("app_key", &"***").finish_non_exhaustive()
    }
}

/// A twin that runs. One that is dropped is killed.
#[derive(Debug)]
pub(crate) struct Twin {
    child: Child,
    folder: PathBuf,
    options: TwinOptions,
    session: Session,
}

impl Twin {
    /// Starts one in `folder`, on free ports.
    pub(crate) async fn start(folder: &Path, options: TwinOptions) -> Result<Self, Failure> {
        let (child, session) = spawn(folder, &options, &["0", "0", "0", "0"]).await?;
        Ok(Self { child, folder: folder.to_owned(), options, session })
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Waits until the process ends by itself, which it should not.
    pub(crate) async fn ended(&mut self) -> Failure {
        let status = self.child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        Failure::new(format!("the twin ended by itself: {status}"))
            .hint(format!("see {}", log_of(&self.folder).display()))
    }

    /// `kill -9`, then a restart with the same data and ports.
    pub(crate) async fn kill_and_restart(&mut self) -> Result<(), Failure> {
        self.child.start_kill()?;
        self.child.wait().await?;
        let Session { api_url, socket_url, aws_url, providers_url, .. } = &self.session;
        let urls = [api_url, socket_url, aws_url, providers_url];
        let ports: Vec<String> = urls.iter().map(|url| port(url)).collect::<Result<_, _>>()?;
        let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
        let (child, session) = spawn(&self.folder, &self.options, &ports).await?;
        self.child = child;
        if session.app_key != self.session.app_key || session.api_url != self.session.api_url {
            return Err(Failure::new("the twin came back as another one"));
        }
        Ok(())
    }

    /// Ctrl-C, and `kill -9` if that does not help.
    pub(crate) async fn stop(mut self) {
        if let Some(id) = self.child.id() {
            // If the signal fails, `kill -9` follows.
            let _ = Command::new("kill").args(["-INT", &id.to_string()]).status().await;
        }
        if tokio::time::timeout(STOP_WITHIN, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

fn log_of(folder: &Path) -> PathBuf {
    folder.join("twin.log")
}

async fn spawn(folder: &Path, options: &TwinOptions, ports: &[&str]) -> Result<(Child, Session), Failure> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log_of(folder));
    let log = log.context(|| format!("write {}", log_of(folder).display()))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("up").arg("--template").arg(&options.template).args(["--log", &options.log]);
    for (flag, port) in ["--http-port", "--socket-port", "--aws-port", "--providers-port"].iter().zip(ports) {
        command.args([flag, port]);
    }
    command.args(["--console-port", "0"]);
    if let Some(artefacts) = &options.artefacts {
        command.arg("--artefacts").arg(artefacts);
    }
    if options.is_kept {
        command.args(["--data", "data"]);
    }
    command.args(&options.more).current_dir(folder);
    // A new process group: Ctrl-C at the terminal reaches the soak alone, which stops the twin when it is done.
    #[cfg(unix)]
    command.process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
    let mut child = command.spawn().context(|| "start a twin".to_owned())?;
    let Some(stdout) = child.stdout.take() else { return Err(Failure::new("the twin has no output")) };
    let mut lines = BufReader::new(stdout).lines();
    let up = async {
        while let Some(line) = lines.next_line().await? {
            if line.contains("Ctrl-C stops it") {
                return Ok(());
            }
        }
        Err(Failure::new("the twin did not start").hint(format!("see {}", log_of(folder).display())))
    };
    tokio::time::timeout(UP_WITHIN, up).await.context(|| "wait for the twin".to_owned())??;
    // Its output is read to the end, so that it never waits for a reader.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let file = folder.join(".tidings/session.json");
    let text = std::fs::read_to_string(&file).context(|| format!("read {}", file.display()))?;
    Ok((child, serde_json::from_str(&text)?))
}

fn port(url: &str) -> Result<String, Failure> {
    let authority = url.split("//").nth(1).and_then(|rest| rest.split('/').next());
    let port = authority.and_then(|authority| authority.rsplit(':').next());
    port.map(str::to_owned).ok_or_else(|| Failure::new(format!("{url} has no port")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_before_the_path() {
        assert_eq!(port("ws://127.0.0.1:7401/prod").unwrap(), "7401");
        assert_eq!(port("http://127.0.0.1:7400").unwrap(), "7400");
    }
}
