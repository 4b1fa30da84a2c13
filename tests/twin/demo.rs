//! The command line's demo tells the truth: it passes, and it misses every function that is taken away.

use std::{os::unix::fs::PermissionsExt, path::Path};

use crate::world::{functions, tidings};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_passes() {
    let (passed, text) = tidings(&["demo"]).await;
    assert!(passed, "{text}");
}

/// Artefacts as `cargo lambda build` lays them out, each a program that runs one function; all but one.
fn artefacts_without(missing: &str, folder: &Path) {
    for function in functions().iter().filter(|function| *function != missing) {
        let path = folder.join(function);
        std::fs::create_dir(&path).unwrap();
        let program = path.join("bootstrap");
        let script = format!("#!/bin/sh\nTWIN_RUN_FUNCTION={function} exec '{}'\n", env!("CARGO_BIN_EXE_tidings"));
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_misses_every_function_that_is_taken_away() {
    // The arrangement itself works: with nothing missing, it passes.
    for missing in std::iter::once("none".to_owned()).chain(functions()) {
        let folder = tempfile::tempdir().unwrap();
        artefacts_without(&missing, folder.path());
        let artefacts = folder.path().to_str().unwrap();
        // Where something is missing, there is no need to wait as long for it as a busy machine may need.
        let patience = if missing == "none" { "60" } else { "5" };
        let (passed, text) = tidings(&["demo", "--artefacts", artefacts, "--step-timeout", patience]).await;
        assert_eq!(passed, missing == "none", "without {missing}: {text}");
    }
}
