//! The walk of the README, with the template that it names: the program, both functions, and the traces of the control
//! API.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::twin::{PATIENCE, request};

const README: &str = include_str!("../../README.md");

/// The address that the twin prints in a line of this name.
async fn address(lines: &mut Lines<BufReader<ChildStdout>>, name: &str) -> String {
    let found = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(address) = line.trim_start().strip_prefix(name) {
                return address.trim().to_owned();
            }
        }
        panic!("the twin ended before it printed {name}")
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no line {name}"))
}

fn start() -> Child {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let root = root.parent().unwrap();
    let command = "cargo run -p sam-twin -- --template twin/examples/hello/template.yaml";
    assert!(README.contains(command), "the README starts it as this test does");
    let template = root.join("twin/examples/hello/template.yaml");
    let ports = ["--http-port", "0", "--socket-port", "0", "--aws-port", "0", "--console-port", "0"];
    Command::new(env!("CARGO_BIN_EXE_sam-twin"))
        .arg("--template")
        .arg(template)
        .args(ports)
        .current_dir(Path::new("/"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[test]
fn the_readme_shows_the_template_and_a_function_as_they_are() {
    let template = include_str!("../../examples/hello/template.yaml");
    assert!(README.contains(&format!("```yaml\n{template}```")), "the template");
    let bootstrap = include_str!("../../examples/hello/hello/bootstrap");
    assert!(README.contains(&format!("```sh\n{bootstrap}```")), "a bootstrap");
}

#[tokio::test]
async fn the_readme_is_followed_with_a_template_of_two_functions() {
    let mut twin = start();
    let mut lines = BufReader::new(twin.stdout.take().unwrap()).lines();
    let api = address(&mut lines, "HTTP API").await;
    let socket = address(&mut lines, "WebSocket").await;
    let aws = address(&mut lines, "AWS").await;

    assert!(README.contains("curl http://127.0.0.1:7400/hello/you\nHello, you!\n"));
    let (status, _, body) = request(&format!("{api}/hello/you"), "GET", &[], Bytes::new()).await;
    assert_eq!((status, &body[..]), (200, &b"Hello, you!\n"[..]));

    assert!(README.contains("ws://127.0.0.1:7401/live") && socket.ends_with("/live"), "{socket}");
    let (mut client, _) = connect_async(&socket).await.unwrap();
    client.send(Message::text("ping")).await.unwrap();
    let echo = tokio::time::timeout(PATIENCE, client.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(echo, Message::text("ping"));

    assert!(README.contains("http://127.0.0.1:7402/_twin/traces"));
    let (_, _, traces) = request(&format!("{aws}/_twin/traces"), "GET", &[], Bytes::new()).await;
    let traces: Value = serde_json::from_slice(&traces).unwrap();
    let message = traces.as_array().unwrap().iter().find(|trace| trace["origin"] == "$default").unwrap();
    assert_eq!(message["cost"], "posts 1");

    let rule = r#"{"fault": "throttle", "service": "connections"}"#;
    assert!(README.contains(&format!("curl -d '{rule}' http://127.0.0.1:7402/_twin/faults/rules")));
    let (status, _, _) = request(&format!("{aws}/_twin/faults/rules"), "POST", &[], rule.into()).await;
    assert_eq!(status, 200);
    client.send(Message::text("ping")).await.unwrap();
    let failed = tokio::time::timeout(PATIENCE, client.next()).await.unwrap().unwrap().unwrap();
    assert!(failed.to_text().unwrap().contains("Internal server error"), "{failed}");

    let interrupt = Command::new("kill").args(["-INT", &twin.id().unwrap().to_string()]).status().await.unwrap();
    assert!(interrupt.success());
    assert!(tokio::time::timeout(PATIENCE, twin.wait()).await.unwrap().unwrap().success());
}
