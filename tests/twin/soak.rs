//! A short soak: the long ones, and what they showed, are in `docs/faults.md`.

use std::process::Stdio;

use tokio::process::Command;

use crate::world::repository;

async fn soak(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .arg("soak")
        .args(arguments)
        .current_dir(repository())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_promise_is_kept_while_everything_goes_wrong() {
    soak(&["--seed", "7", "--users", "10", "--messages", "120", "--faults", "all"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_promise_is_kept_when_the_whole_twin_is_killed() {
    soak(&["--seed", "8", "--users", "6", "--messages", "80", "--kill-twin", "2"]).await;
}
