//! The call sites, as the source has them: which function makes which request to AWS, and by which way.
//!
//! A way is written `function: caller > receiver.method > … > Operation`: the function of the source that begins it,
//! the methods of the shared crates that it leads through, and the operation of the SDK that is sent in the end. A
//! caller that calls the same method twice begins two ways, the second one with `#2`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use crate::world::repository;

/// Receivers by the names that the source gives them, and their types.
const RECEIVERS: &[(&str, &str)] = &[
    ("users", "Users"),
    ("devices", "Devices"),
    ("connections", "Connections"),
    ("mailboxes", "Mailboxes"),
    ("claims", "Claims"),
    ("messages", "Messages"),
    ("directory", "Apps"),
    ("items", "Items"),
    ("announcements", "Announcements"),
    ("due", "Due"),
    ("queue", "DeliverQueue"),
    ("fallback", "StepQueue"),
    ("fanout", "FanoutQueue"),
    ("later", "TimerQueue"),
    ("gateway", "Gateway"),
    ("lanes", "Lanes"),
    ("timers", "Timers"),
    ("timers()", "Timers"),
    ("steps", "Steps"),
    ("apps", "AppCache"),
    ("tokens", "DeviceTokens"),
    ("channels", "Channels"),
    ("sms", "Sms"),
    ("emails", "Emails"),
    ("pushes", "Pushes"),
    ("clients", "Clients"),
    ("batches", "Batches"),
    ("visibility", "Visibility"),
];

/// How the SDK's operations are written, and how AWS calls them.
const OPERATIONS: &[(&str, &str)] = &[
    (".get_item()", "GetItem"),
    (".put_item()", "PutItem"),
    (".update_item()", "UpdateItem"),
    (".delete_item()", "DeleteItem"),
    (".query()", "Query"),
    (".batch_get_item()", "BatchGetItem"),
    (".transact_write_items()", "TransactWriteItems"),
    (".send_message_batch()", "SendMessageBatch"),
    (".send_message()", "SendMessage"),
    (".change_message_visibility_batch()", "ChangeMessageVisibilityBatch"),
    (".post_to_connection()", "PostToConnection"),
    (".delete_connection()", "DeleteConnection"),
    (".publish()", "Publish"),
    (".send_email()", "SendEmail"),
    (".get_secret_value()", "GetSecretValue"),
];

/// What the extractor of a handler's signature calls before the handler runs.
const EXTRACTORS: &[(&str, &str)] =
    &[("Checked<App", " apps.authenticate("), ("Checked<SignedDevice", " signed_request(")];

/// Functions and methods by `Type.name`; those of a crate without a type by `.name`. The bodies are without
/// comments.
type Bodies = BTreeMap<String, String>;

/// Every way from a function to a request, and how many `.send()` the source has in all.
pub(super) fn found() -> BTreeSet<String> {
    let mut shared = Bodies::new();
    for name in ["store", "queue", "gateway", "service", "channels", "lambda"] {
        read(&repository().join("shared").join(name).join("src"), &mut shared);
    }
    let mut reached = BTreeSet::new();
    let mut ways = BTreeSet::new();
    for function in std::fs::read_dir(repository().join("functions")).unwrap() {
        let function = function.unwrap();
        let mut own = Bodies::new();
        read(&function.path().join("src"), &mut own);
        let mut all = shared.clone();
        all.extend(
            own.iter().filter(|(name, _)| !name.starts_with('.')).map(|(name, body)| (name.clone(), body.clone())),
        );
        for (name, body) in own.iter().filter(|(name, _)| name.starts_with('.')) {
            let begins = format!("{}: {}", function.file_name().to_str().unwrap(), &name[1..]);
            follow(&all, body, "", &begins, &mut ways, &mut reached);
        }
        // What no method of a known receiver reaches would be missing from the ways.
        for (name, body) in own.iter().chain(&shared).filter(|(_, body)| body.contains(".send()")) {
            assert_eq!(body.matches(".send()").count(), operations(body).len(), "{name}: what does it send?");
        }
        let missed = own.iter().filter(|(name, body)| body.contains(".send()") && !reached.contains(*name));
        assert_eq!(missed.count(), 0, "requests of {begins:?} that no way leads to", begins = function.file_name());
    }
    // The command line's own.
    reached.extend(["create", "set"].map(|method| format!("Apps.{method}")));
    for (name, _) in shared.iter().filter(|(_, body)| body.contains(".send()")) {
        assert!(reached.contains(name), "{name}: no function leads there");
    }
    ways
}

/// Follows every call in a body to the requests that it leads to.
fn follow(all: &Bodies, body: &str, of: &str, way: &str, ways: &mut BTreeSet<String>, reached: &mut BTreeSet<String>) {
    for operation in operations(body) {
        assert!(ways.insert(format!("{way} > {operation}")), "{way} > {operation}: twice in one method");
    }
    for (name, called) in all {
        let (owner, method) = name.split_once('.').unwrap();
        let receivers: Vec<&str> = if owner.is_empty() {
            // A free function beside the method.
            vec![""]
        } else {
            let named = RECEIVERS.iter().filter(|(_, known)| *known == owner).map(|(receiver, _)| *receiver);
            named.chain((owner == of).then_some("self")).collect()
        };
        let mut count = 0;
        for receiver in receivers {
            let call = if receiver.is_empty() { format!("{method}(") } else { format!("{receiver}.{method}(") };
            for (at, _) in body.match_indices(&call) {
                let before = body[..at].chars().next_back().unwrap_or(' ');
                if before.is_alphanumeric() || before == '_' || receiver.is_empty() && matches!(before, '.' | ':') {
                    continue;
                }
                count += 1;
                let nth = if count == 1 { String::new() } else { format!("#{count}") };
                let step = if receiver.is_empty() {
                    method.to_owned()
                } else {
                    format!("{}.{method}", receiver.trim_end_matches("()"))
                };
                reached.insert(name.clone());
                follow(all, called, owner, &format!("{way} > {step}{nth}"), ways, reached);
            }
        }
    }
}

fn operations(body: &str) -> Vec<&'static str> {
    OPERATIONS.iter().flat_map(|(written, name)| body.matches(written).map(|_| *name)).collect()
}

/// Reads the functions and methods of every file of a folder.
fn read(folder: &Path, bodies: &mut Bodies) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, bodies);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            read_file(&std::fs::read_to_string(&path).unwrap(), bodies);
        }
    }
}

/// rustfmt's own layout tells where things begin and end: `impl` and free functions at the margin, methods four
/// spaces in.
fn read_file(source: &str, bodies: &mut Bodies) {
    let mut owner = String::new();
    let mut open: Option<(String, &str, String)> = None;
    for line in source.lines() {
        if line.starts_with("#[cfg(test)]") {
            break;
        }
        let code = line.split("//").next().unwrap_or_default();
        if let Some((name, end, mut body)) = open.take() {
            // A chain of calls is one text, wherever its lines are broken.
            let code = code.trim();
            body.push_str(if code.starts_with('.') { "" } else { " " });
            body.push_str(code);
            if line == end {
                let extractors = EXTRACTORS.iter().filter(|(written, _)| body.contains(written));
                let calls: String = extractors.map(|(_, call)| *call).collect();
                bodies.insert(name, body + &calls);
            } else {
                open = Some((name, end, body));
            }
            continue;
        }
        if let Some(rest) = code.strip_prefix("impl ") {
            owner = rest.trim_end_matches([' ', '{', '}']).to_owned();
        } else if code == "}" {
            owner.clear();
        }
        let indented = code.starts_with("    ") && !code.starts_with("     ");
        let Some((before, rest)) = code.split_once("fn ") else { continue };
        let words = ["pub", "pub(crate)", "async", "const"];
        if !before.split_whitespace().all(|word| words.contains(&word)) || !(indented || before.trim_start() == before)
        {
            continue;
        }
        let name = rest.split(['(', '<']).next().unwrap_or_default();
        let owner = if indented { owner.as_str() } else { "" };
        if code.trim_end().ends_with('}') {
            bodies.insert(format!("{owner}.{name}"), code.to_owned());
        } else {
            // The signature belongs to what is read; it calls nothing but its extractors.
            open = Some((format!("{owner}.{name}"), if indented { "    }" } else { "}" }, String::new()));
        }
    }
}
