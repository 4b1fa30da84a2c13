//! The command line's demo: it passes, and it fails if any one function is missing.

use std::{os::unix::fs::PermissionsExt, path::Path};

use crate::world::{functions, tidings};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_passes() {
    let (passed, text) = tidings(&["demo"]).await;
    assert!(passed, "{text}");
}

/// Artefacts in the layout of `cargo lambda build`, each a program that runs one function; `missing` is left out.
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
async fn the_demo_fails_without_any_one_function() {
    // The control: with nothing missing, it passes.
    for missing in std::iter::once("none".to_owned()).chain(functions()) {
        let folder = tempfile::tempdir().unwrap();
        artefacts_without(&missing, folder.path());
        let artefacts = folder.path().to_str().unwrap();
        // With a function missing, there is no need to wait as long as a busy machine may take.
        let patience = if missing == "none" { "60" } else { "5" };
        let (passed, text) = tidings(&["demo", "--artefacts", artefacts, "--step-timeout", patience]).await;
        assert_eq!(passed, missing == "none", "without {missing}: {text}");
    }
}
