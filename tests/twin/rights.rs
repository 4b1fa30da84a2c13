//! Every function may do in DynamoDB exactly what its code does: nothing here enforces policies, so that a right too few shows
//! on AWS alone, and a right too many nowhere.

use std::collections::BTreeSet;

use serde_yaml_ng::Value;

use crate::world::repository;

/// What a function's code calls, and the rights that the call takes, each `table action`.
const TAKES: &[(&str, &[&str])] = &[
    ("users.view(", &["UsersTable Query"]),
    ("users.presence(", &["UsersTable Query"]),
    ("users.pulse(", &["UsersTable Query"]),
    ("mailboxes.append(", &["UsersTable PutItem"]),
    ("mailboxes.entry(", &["UsersTable GetItem"]),
    ("mailboxes.find(", &["UsersTable/index/by_message Query"]),
    ("mailboxes.entries_of(", &["UsersTable/index/by_message Query", "UsersTable BatchGetItem"]),
    ("mailboxes.after(", &["UsersTable Query"]),
    ("mailboxes.before(", &["UsersTable Query"]),
    ("mailboxes.headers_before(", &["UsersTable Query"]),
    ("mailboxes.confirm(", &["UsersTable UpdateItem"]),
    ("mailboxes.note_offline(", &["UsersTable UpdateItem"]),
    ("mailboxes.close(", &["UsersTable UpdateItem"]),
    ("mailboxes.note_redelivered(", &["UsersTable UpdateItem"]),
    ("mailboxes.note_unanswered(", &["UsersTable UpdateItem"]),
    ("devices.move_cursor(", &["UsersTable UpdateItem"]),
    ("claims.claim(", &["UsersTable UpdateItem", "UsersTable GetItem"]),
    ("claims.release(", &["UsersTable UpdateItem"]),
    ("devices.forget_push(", &["UsersTable UpdateItem"]),
    ("claims.end(", &["UsersTable UpdateItem"]),
    ("connections.set_state(", &["UsersTable UpdateItem"]),
    ("connections.connect(", &["LookupsTable ConditionCheckItem", "LookupsTable PutItem", "UsersTable PutItem"]),
    ("connections.of_user(", &["UsersTable Query"]),
    ("connections.bury(", &["LookupsTable UpdateItem", "UsersTable DeleteItem"]),
    ("connections.get(", &["LookupsTable GetItem"]),
    ("connections.last_words(", &["LookupsTable GetItem"]),
    ("connections.disconnect(", &["LookupsTable UpdateItem", "UsersTable DeleteItem"]),
    ("connections.prune(", &["UsersTable DeleteItem"]),
    ("connections.renew(", &["LookupsTable ConditionCheckItem", "UsersTable UpdateItem"]),
    ("devices.get(", &["LookupsTable GetItem"]),
    ("devices.last_known(", &["LookupsTable GetItem"]),
    ("tokens.verify(", &["LookupsTable GetItem", "LookupsTable UpdateItem", "UsersTable UpdateItem"]),
    ("Checked<SignedDevice", &["LookupsTable GetItem", "LookupsTable UpdateItem", "UsersTable UpdateItem"]),
    (
        "devices.register(",
        &["LookupsTable PutItem", "LookupsTable UpdateItem", "UsersTable UpdateItem", "UsersTable DeleteItem"],
    ),
    ("users.change_preferences(", &["UsersTable UpdateItem"]),
    ("users.set_preferences(", &["UsersTable UpdateItem"]),
    ("devices.unregister(", &["LookupsTable UpdateItem", "UsersTable DeleteItem"]),
    ("connections.connected(", &["UsersTable/index/by_tenant Query"]),
    ("announcements.announce(", &["DirectoryTable GetItem", "DirectoryTable PutItem", "DirectoryTable UpdateItem"]),
    ("announcements.receipt(", &["DirectoryTable GetItem"]),
    ("announcements.get(", &["DirectoryTable GetItem"]),
    ("announcements.after(", &["DirectoryTable Query"]),
    ("announcements.before(", &["DirectoryTable Query"]),
    ("announcements.withdraw(", &["DirectoryTable UpdateItem"]),
    ("items.close(", &["DirectoryTable UpdateItem"]),
    ("items.open(", &["DirectoryTable DeleteItem"]),
    ("items.closed(", &["DirectoryTable GetItem"]),
    ("announcements.count_posts(", &["DirectoryTable UpdateItem"]),
    ("messages.store(", &["MessagesTable PutItem", "MessagesTable GetItem"]),
    ("messages.get(", &["MessagesTable GetItem"]),
    ("messages.cancel(", &["MessagesTable UpdateItem", "MessagesTable GetItem"]),
    ("messages.begin(", &["MessagesTable UpdateItem"]),
    (".apps()?", &["DirectoryTable GetItem"]),
    ("steps.schedule(", &["DueTable PutItem"]),
    ("timers.schedule(", &["DueTable PutItem"]),
    ("timers().schedule(", &["DueTable PutItem"]),
    ("timers.hand_on(", &["DueTable DeleteItem"]),
    ("due.minute(", &["DueTable Query"]),
    ("due.done_until(", &["DueTable GetItem"]),
    ("due.set_done_until(", &["DueTable UpdateItem"]),
];

/// The text that an intrinsic names its resource by: `UsersTable.Arn`, `${UsersTable.Arn}/index/by_message`.
fn name(resource: &Value) -> String {
    match resource {
        Value::Tagged(tagged) => name(&tagged.value),
        Value::String(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

fn table(resource: &str) -> String {
    resource.trim_start_matches("${").replace(".Arn", "").replace('}', "")
}

fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Sequence(items) => items.iter().collect(),
        one => vec![one],
    }
}

/// Every right in DynamoDB that the statements below a node grant.
fn granted(node: &Value, rights: &mut BTreeSet<String>) {
    match node {
        Value::Mapping(mapping) => {
            if let (Some(actions), Some(resources)) = (mapping.get("Action"), mapping.get("Resource")) {
                for action in list(actions).into_iter().filter_map(|action| action.as_str()?.strip_prefix("dynamodb:"))
                {
                    for resource in list(resources) {
                        rights.insert(format!("{} {action}", table(&name(resource))));
                    }
                }
            }
            mapping.values().for_each(|inner| granted(inner, rights));
        }
        Value::Sequence(items) => items.iter().for_each(|inner| granted(inner, rights)),
        Value::Tagged(tagged) => granted(&tagged.value, rights),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_function_may_do_exactly_what_it_does() {
    let text = std::fs::read_to_string(repository().join("template.yaml")).unwrap();
    let template: Value = serde_yaml_ng::from_str(&text).unwrap();
    let resources = template["Resources"].as_mapping().unwrap();
    let mut functions = 0;
    for (id, resource) in resources {
        let Some(binary) = resource.get("Metadata").and_then(|metadata| metadata["BuildProperties"]["Binary"].as_str())
        else {
            continue;
        };
        functions += 1;
        let mut rights = BTreeSet::new();
        granted(&resource["Properties"]["Policies"], &mut rights);
        let role = id.as_str().unwrap().replace("Function", "Role");
        resources.get(&role).into_iter().for_each(|role| granted(role, &mut rights));

        let folder = repository().join("functions").join(binary).join("src");
        let source: String = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        let takes = TAKES.iter().filter(|(call, _)| source.contains(call)).flat_map(|(_, rights)| rights.iter());
        let takes: BTreeSet<String> = takes.map(|right| (*right).to_owned()).collect();
        assert_eq!(rights, takes, "{binary}: what template.yaml grants, and what the code takes");
    }
    assert_eq!(functions, 11);
}
