//! `tidings up` in a terminal: its environment, its folder, and another twin beside it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::world::repository;

/// Time limit for a twin's start or end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A twin that runs in a folder, and its output.
struct Up {
    child: Child,
    text: String,
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command.args(["up", "--ports", "0", "--log", "warn"]).args(arguments).current_dir(folder).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A folder with the template.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(repository().join("template.yaml"), folder.path().join("template.yaml")).unwrap();
    folder
}

impl Up {
    /// Starts, and waits for the last line.
    async fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut text = String::new();
        let read = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                text += &format!("{line}\n");
                if line.contains("Ctrl-C stops it") {
                    return;
                }
            }
            let mut error = String::new();
            child.stderr.take().unwrap().read_to_string(&mut error).await.unwrap();
            panic!("it ended: {error}");
        };
        tokio::time::timeout(PATIENCE, read).await.expect("it does not start");
        Self { child, text }
    }

    /// The text after a name in the list of addresses.
    fn row(&self, name: &str) -> String {
        let mut lines = self.text.lines().filter_map(|line| line.trim_start().strip_prefix(name));
        lines.next().unwrap_or_else(|| panic!("no {name} in {}", self.text)).trim().to_owned()
    }

    /// Ends it as Ctrl-C does; returns its standard error.
    async fn end(self) -> String {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
        let output = tokio::time::timeout(PATIENCE, self.child.wait_with_output()).await.expect("it does not end");
        String::from_utf8(output.unwrap().stderr).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_whatever_is_set_for_the_real_aws() {
    let cases: [&[(&str, &str)]; 7] = [
        &[("AWS_RETRY_MODE", "legacy")],
        &[("AWS_USE_FIPS_ENDPOINT", "true"), ("AWS_USE_DUALSTACK_ENDPOINT", "true")],
        &[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("AWS_EC2_METADATA_DISABLED", "true")],
        &[("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent")],
        &[("AWS_PROFILE", "none"), ("AWS_CONFIG_FILE", "/nonexistent"), ("AWS_REGION", "")],
        &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")],
        &[
            ("HTTP_PROXY", "http://127.0.0.1:1"),
            ("http_proxy", "http://127.0.0.1:1"),
            ("ALL_PROXY", "http://127.0.0.1:1"),
        ],
    ];
    for variables in cases {
        let folder = folder();
        let mut command = command(folder.path(), &[]);
        command.envs(variables.iter().copied());
        let log = Up::start(command).await.end().await;
        assert!(!log.contains("WARN") && !log.contains("ERROR"), "{variables:?}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_twin_in_a_folder_leaves_the_session_to_the_first_one() {
    let folder = folder();
    let session = folder.path().join(".tidings/session.json");
    let first = Up::start(command(folder.path(), &[])).await;
    let kept = std::fs::read_to_string(&session).unwrap();
    assert!(kept.contains(&first.row("HTTP API")), "{kept}");

    let second = Up::start(command(folder.path(), &[])).await;
    assert_eq!(std::fs::read_to_string(&session).unwrap(), kept);
    let hint = format!("The twin at {} runs in this folder, too", first.row("HTTP API"));
    assert!(second.text.contains(&hint), "{}", second.text);
    assert!(second.text.contains(&format!("TIDINGS_API_URL={}", second.row("HTTP API"))), "{}", second.text);
    second.end().await;
    assert_eq!(std::fs::read_to_string(&session).unwrap(), kept, "it restores only its own session");

    let key = first.row("its key");
    first.end().await;
    assert!(!session.exists(), "the session ends with its twin");
    let mut third = Up::start(command(folder.path(), &[])).await;
    assert_eq!(third.row("its key"), key, "the demo app's key outlives a restart");
    // A killed twin leaves its session; the next one detects that it is gone.
    third.child.kill().await.unwrap();
    assert!(session.exists());
    let fourth = Up::start(command(folder.path(), &[])).await;
    assert!(std::fs::read_to_string(&session).unwrap().contains(&fourth.row("HTTP API")));
    fourth.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_has_one_twin_and_a_healthy_restart_warns_of_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let kept = ["--data", "kept"];
    let first = Up::start(command(folder.path(), &kept)).await;
    let refused = command(folder.path(), &kept).output().await.unwrap();
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success());
    let words = format!("the data folder kept is in use by another twin (process {}, ", first.child.id().unwrap());
    assert!(error.contains(&words) && error.contains(&first.row("HTTP API")), "{error}");
    for entry in std::fs::read_dir(folder.path().join("kept")).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
    }
    first.end().await;
    let log = Up::start(command(folder.path(), &kept)).await.end().await;
    assert!(!log.contains("WARN"), "{log}");

    let damaged = folder.path().join("kept/dynamodb.sqlite");
    std::fs::write(&damaged, "no database").unwrap();
    let refused = command(folder.path(), &kept).output().await.unwrap();
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("the data folder kept is damaged: restore it, or move it away"), "{error}");
}
