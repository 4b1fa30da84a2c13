//! Helpers of the tests: functions that re-execute this binary, and the two gateways on loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use sam_twin::client::{Answer, Client};
use sam_twin::functions::{Functions, FunctionsOptions, LogLine, Source};
use sam_twin::ledger::Ledger;
use sam_twin::template::Function;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

/// Set in the process that is to be killed.
pub(crate) const DOOMED: &str = "TWIN_TEST_DOOMED";

/// How long a test waits for an event before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn function(binary: &str) -> Function {
    Function {
        logical_id: format!("{binary}Function"),
        name: format!("test-{binary}"),
        arn: format!("arn:aws:lambda:us-east-1:000000000000:function:test-{binary}"),
        role: String::new(),
        binary: Some(binary.to_owned()),
        code_uri: None,
        handler: Some("bootstrap".to_owned()),
        environment: BTreeMap::from([("FROM_TEMPLATE".to_owned(), "yes".to_owned())]),
        timeout: Duration::from_secs(20),
        memory_mb: 128,
        reserved_concurrency: None,
    }
}

pub(crate) fn options() -> FunctionsOptions {
    let source = Source::Program {
        path: std::env::current_exe().unwrap(),
        args: ["function_process", "--exact", "--nocapture"].map(Into::into).to_vec(),
    };
    FunctionsOptions::new(source, "us-east-1", "http://127.0.0.1:1")
}

pub(crate) fn functions(functions: impl IntoIterator<Item = Function>) -> Functions {
    Functions::new(functions, options(), Ledger::new())
}

/// Serves a router on a free port of loopback.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    address
}

/// One request over HTTP/1.1: status, headers and body.
pub(crate) async fn request(
    url: &str,
    method: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> (u16, http::HeaderMap, Bytes) {
    let method = method.parse().unwrap();
    let Answer { status, headers, body } = Client::new(PATIENCE).request(method, url, headers, body).await.unwrap();
    (status.as_u16(), headers, body)
}

/// The rest of a function's first line with this prefix.
pub(crate) async fn line(logs: &mut broadcast::Receiver<LogLine>, prefix: &str) -> String {
    let found = async {
        loop {
            let line = logs.recv().await.unwrap();
            if let Some(rest) = line.text.strip_prefix(prefix) {
                return rest.trim().to_owned();
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no line that begins with {prefix}"))
}

pub(crate) async fn json_line(logs: &mut broadcast::Receiver<LogLine>, prefix: &str) -> Value {
    serde_json::from_str(&line(logs, prefix).await).unwrap()
}

/// Whether the system still runs a process. A process that has ended, with all its threads, and waits to be reaped does
/// not count.
pub(crate) fn runs(pid: u32) -> bool {
    let Ok(state) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let ended = state.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z');
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    !ended || threads > 1
}

/// Waits until a process has ended.
pub(crate) async fn gone(pid: u32) {
    let ended = async {
        while runs(pid) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap_or_else(|_| panic!("process {pid} still runs"));
}

/// Starts a function, prints its process id, and waits to be killed while the function idles or hangs.
pub(crate) async fn run_doomed() {
    let functions = functions([function("plain"), function("watched")]);
    let mut logs = functions.logs();
    if std::env::var(DOOMED).is_ok_and(|how| how == "idle") {
        functions.invoke("plainFunction", Bytes::from_static(b"{}"), &[]).await.unwrap();
        println!("started {}", line(&mut logs, "ready ").await);
        std::future::pending::<()>().await;
    }
    let hanging = functions.clone();
    tokio::spawn(async move { hanging.invoke("watchedFunction", Bytes::from_static(br#"{"do":"hang"}"#), &[]).await });
    let pid = line(&mut logs, "ready ").await;
    line(&mut logs, "hanging").await;
    println!("started {pid}");
    std::future::pending::<()>().await;
}
