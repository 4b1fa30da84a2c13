//! A frame off the wire, opened by third-party libraries.

use std::{path::PathBuf, process::Stdio};

use tokio::{io::AsyncWriteExt, process::Command};

use crate::world::{World, repository};

/// A frame as a device received it, with its key and plaintext.
async fn sample() -> String {
    let world = World::start().await;
    let answer = world.backend().register(&World::registration("alice", "a")).await.unwrap();
    let identity = tidings_client::Identity::from_answer(&answer).unwrap();
    let mut alice = world.socket(&identity).await;
    world.send(&["alice"], "Hello, 世界").await;
    let frame = alice.raw().await;
    let plaintext = String::from_utf8(identity.open(&frame).unwrap()).unwrap();
    assert!(plaintext.contains("Hello, 世界"));
    world.end().await;
    serde_json::json!({"jwk": answer.keys.content, "frame": frame, "plaintext": plaintext}).to_string()
}

async fn opens(program: PathBuf, script: &str) {
    runs(program, script, &sample().await).await;
}

async fn runs(program: PathBuf, script: &str, input: &str) {
    let mut child = Command::new(&program)
        .arg(repository().join("shared/crypto/tests/interop").join(script))
        .current_dir(repository().join("tests"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program:?}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Finds a file that `./test` installs; fails with that hint on a fresh clone under plain `cargo test`.
fn installed(path: &str) -> PathBuf {
    let path = repository().join(path);
    assert!(path.exists(), "{path:?} is missing: run ./test once, it installs what the tests need");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_jose_opens_a_frame_off_the_wire() {
    installed("shared/crypto/tests/interop/node_modules/jose");
    opens("node".into(), "open.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pypi_jwcrypto_opens_a_frame_off_the_wire() {
    opens(installed(".venv/tools/bin/python"), "open.py").await;
}

#[tokio::test]
async fn the_samples_of_the_protocol_open_and_refuse_every_vector_as_it_states() {
    installed("shared/crypto/tests/interop/node_modules/jose");
    runs("node".into(), "sample.mjs", "").await;
    runs(installed(".venv/tools/bin/python"), "sample.py", "").await;
}
