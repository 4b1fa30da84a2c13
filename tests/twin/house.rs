//! The order of the house: who may import whom, and that the template and the code name the same things.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

use crate::world::{FUNCTIONS, World, repository};

/// Which of our crates a crate may import. A crate that is not listed may import none.
fn may_import(importer: &str, imported: &str) -> bool {
    let imported = imported.strip_prefix("tidings-").unwrap_or(imported);
    let shared = ["crypto", "wire", "domain", "store", "queue", "gateway", "providers", "service", "lambda"];
    let allowed: &[&str] = match importer.strip_prefix("tidings-").unwrap_or(importer) {
        "crypto" => &[],
        "wire" | "providers" => &["crypto"],
        "domain" => &["wire"],
        "store" => &["domain", "wire"],
        "queue" | "gateway" => &["domain"],
        "service" => &["crypto", "wire", "domain", "store", "queue"],
        "lambda" => &["crypto", "wire", "domain", "store", "queue", "gateway", "service"],
        "client" => &["wire", "crypto"],
        // The twin runs every function and is the command line too.
        "local" => return true,
        name if FUNCTIONS.contains(&name) => &shared,
        _ => &[],
    };
    allowed.contains(&imported)
}

#[test]
fn nobody_imports_upwards() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.len(), 22, "eleven functions, nine shared crates, the client, the twin");
    for package in packages {
        let importer = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let imported = dependency["name"].as_str().unwrap();
            if imported.starts_with("tidings-") && dependency["kind"].is_null() {
                assert!(may_import(importer, imported), "{importer} must not import {imported}");
            }
        }
    }
}

/// What is compiled for these functions when they are built together: packages, each with its features.
fn compiled(functions: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--edges", "normal,build", "--prefix", "none", "--format", "{p} {f}", "--locked", "--offline"])
        .args(functions.iter().map(|name| format!("--package=tidings-{name}")))
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

#[test]
fn a_function_that_is_built_alone_compiles_nothing_that_a_build_of_all_has_not() {
    let all = compiled(&FUNCTIONS);
    for function in FUNCTIONS {
        let alone = compiled(&[function]);
        let again: Vec<_> = alone.difference(&all).collect();
        assert!(again.is_empty(), "{function}: enable in tidings-lambda what these lack: {again:?}");
    }
}

/// The variables that a source text reads, by the constants of the configuration module.
fn variables(source: &str) -> BTreeSet<&'static str> {
    // What a crate calls, and the variables that the call reads.
    const READS: &[(&str, &[&str])] = &[
        (".users()?", &["TIDINGS_USERS_TABLE", "TIDINGS_LOOKUPS_TABLE"]),
        (".messages()?", &["TIDINGS_MESSAGES_TABLE"]),
        (".directory()?", &["TIDINGS_DIRECTORY_TABLE"]),
        (".lanes()?", &["TIDINGS_DELIVER_QUEUE_URL", "TIDINGS_BULK_QUEUE_URL"]),
        (".timers()?", &["TIDINGS_LATER_QUEUE_URL", "TIDINGS_DUE_TABLE"]),
        ("config::CONNECTION_LIFE", &["TIDINGS_CONNECTION_LIFE_SECONDS"]),
        (".fanout_queue()?", &["TIDINGS_FANOUT_QUEUE_URL"]),
        (".gateway()?", &["TIDINGS_CONNECTIONS_ENDPOINT"]),
        ("config::root_keys()?", &["TIDINGS_ROOT_KEYS"]),
        (".sealer()?", &["TIDINGS_ROOT_KEYS"]),
        (".device_tokens()?", &["TIDINGS_USERS_TABLE", "TIDINGS_LOOKUPS_TABLE", "TIDINGS_ROOT_KEYS"]),
        (".apps()?", &["TIDINGS_DIRECTORY_TABLE"]),
        ("config::PROVIDERS_URL", &["TIDINGS_PROVIDERS_URL"]),
        ("config::PROVIDER_SECRETS", &["TIDINGS_PROVIDER_SECRETS"]),
        ("config::API_URL", &["TIDINGS_API_URL"]),
        ("config::EMAIL_FROM", &["TIDINGS_EMAIL_FROM"]),
        (".steps()?", &["TIDINGS_FALLBACK_QUEUE_URL", "TIDINGS_LATER_QUEUE_URL", "TIDINGS_DUE_TABLE"]),
    ];
    READS.iter().filter(|(call, _)| source.contains(call)).flat_map(|(_, names)| names.iter().copied()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_template_gives_every_function_exactly_what_it_reads() {
    let world = World::start().await;
    for function in world.twin.template().functions.values() {
        let binary = function.binary.as_deref().unwrap();
        let folder = repository().join("functions").join(binary).join("src");
        let source: String = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{folder:?}: {error}"))
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        let mut read = variables(&source);
        read.insert("TIDINGS_LOG");
        let given: BTreeSet<&str> = function.environment.keys().map(String::as_str).collect();
        assert_eq!(given, read, "{}", function.logical_id);
    }
    world.end().await;
}
