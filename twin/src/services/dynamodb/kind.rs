//! The kind of a request: operation, table, index, the form of its key and its expressions, without the values that
//! differ between requests from the same place in the code.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use regex_lite::Regex;
use serde_json::Value;

use super::needs::members;
use crate::services::call::member;
use crate::template::Table;

/// The names of the key attributes of each table.
pub(super) type Keys = BTreeMap<String, Vec<String>>;

pub(super) fn keys_of(tables: &[Table]) -> Keys {
    let names = |table: &Table| {
        let schema = table.definition["KeySchema"].as_array().into_iter().flatten();
        schema.filter_map(|key| key["AttributeName"].as_str().map(str::to_owned)).collect()
    };
    tables.iter().map(|table| (table.name.clone(), names(table))).collect()
}

/// `UpdateItem things d# to SET a if attribute_exists(pk)`
pub(super) fn kind(operation: &str, body: &Value, keys: &Keys) -> String {
    match operation {
        "TransactGetItems" | "TransactWriteItems" => format!("{operation} {}", of_transaction(body, keys)),
        "BatchGetItem" | "BatchWriteItem" => {
            let tables = body["RequestItems"].as_object().into_iter().flatten();
            let tables: Vec<&str> = tables.map(|(table, _)| table.as_str()).collect();
            format!("{operation} {}", tables.join(" + "))
        }
        _ => of_one(operation, body, keys),
    }
}

/// The kinds of a transaction's members, each once. If some have a condition, only those: the number of the others may
/// vary with them.
fn of_transaction(body: &Value, keys: &Keys) -> String {
    let has_condition = |request: &Value| member(request, "ConditionExpression").is_some();
    let is_conditional = members(body).any(|(_, request)| has_condition(request));
    let counted = members(body).filter(|(_, request)| !is_conditional || has_condition(request));
    let mut kinds: Vec<String> = Vec::new();
    for (member, request) in counted {
        let kind = of_one(member, request, keys);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.join(" + ")
}

fn of_one(operation: &str, request: &Value, keys: &Keys) -> String {
    let table = member(request, "TableName").unwrap_or_default();
    let mut kind = format!("{operation} {table}");
    if let Some(index) = member(request, "IndexName") {
        let _ = write!(kind, "/{index}");
    }
    let names: &[String] = keys.get(table).map(Vec::as_slice).unwrap_or_default();
    let item = request.get("Key").or_else(|| request.get("Item")).unwrap_or(&Value::Null);
    if let Some(word) = names.iter().find_map(|name| word(&item[name.as_str()])) {
        let _ = write!(kind, " {word}");
    }
    if let Some(condition) = member(request, "KeyConditionExpression") {
        let _ = write!(kind, " where {}", with_words(condition, &request["ExpressionAttributeValues"]));
    }
    if let Some(update) = member(request, "UpdateExpression") {
        let _ = write!(kind, " to {}", beginning(update));
    }
    for (name, word) in [("ConditionExpression", "if"), ("FilterExpression", "only")] {
        if let Some(expression) = member(request, name) {
            let _ = write!(kind, " {word} {}", without_numbers(expression));
        }
    }
    kind
}

/// The first word of a key, if a `#` ends it: `device#`.
fn word(value: &Value) -> Option<String> {
    let (before, _) = value.get("S")?.as_str()?.split_once('#')?;
    let is_word = !before.is_empty() && before.bytes().all(|byte| byte.is_ascii_lowercase());
    is_word.then(|| format!("{before}#"))
}

/// A condition on keys, with the first words of its values in place of their names.
fn with_words(condition: &str, values: &Value) -> String {
    let mut text = condition.to_owned();
    let mut named: Vec<(&String, &Value)> = values.as_object().into_iter().flatten().collect();
    // Longer names first: `:pk` begins with `:p`.
    named.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    for (name, value) in named {
        text = text.replace(name.as_str(), &word(value).unwrap_or_else(|| "…".to_owned()));
    }
    text
}

/// The first clause of an update, up to its first attribute: the rest may vary. A placeholder of a name is cut, too:
/// `SET a.#b = :c, d = :e` is `SET a.#`.
fn beginning(update: &str) -> String {
    let end = update.find([',', '=']).unwrap_or(update.len());
    let mut words = update[..end].split_whitespace();
    let (clause, attribute) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let placeholder = Regex::new(r"#\w+");
    let attribute = placeholder.map_or_else(|_| attribute.into(), |it| it.replace_all(attribute, "#"));
    format!("{clause} {}", without_numbers(&attribute))
}

/// An expression with every number as 0.
fn without_numbers(expression: &str) -> String {
    let mut text = String::new();
    for character in expression.chars() {
        match character.is_ascii_digit() {
            true if text.ends_with('0') => {}
            true => text.push('0'),
            false => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys() -> Keys {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Keys::from([("things".to_owned(), names(&["pk", "sk"])), ("others".to_owned(), names(&["pk"]))])
    }

    #[test]
    fn a_kind_is_the_same_in_every_request_of_a_place() {
        let get = |pk: &str, sk: &str| json!({"TableName": "things", "Key": {"pk": {"S": pk}, "sk": {"S": sk}}});
        let rows = [
            ("GetItem", get("a|b|c", "m#0001"), "GetItem things m#"),
            ("GetItem", get("a|b#c", "z"), "GetItem things"),
            ("GetItem", get("items#a", "order#1"), "GetItem things items#"),
            (
                "UpdateItem",
                json!({
                    "TableName": "others", "Key": {"pk": {"S": "d#1"}},
                    "UpdateExpression": "SET steps[12].#state = :a, more = :b REMOVE c",
                    "ConditionExpression": "steps[12].#state = :old",
                }),
                "UpdateItem others d# to SET steps[0].# if steps[0].#state = :old",
            ),
            (
                "Query",
                json!({
                    "TableName": "things", "IndexName": "by",
                    "KeyConditionExpression": "pk = :p AND sk BETWEEN :pa AND :b",
                    "ExpressionAttributeValues": {":p": {"S": "x"}, ":pa": {"S": "m#1"}, ":b": {"S": "m#2"}},
                }),
                "Query things/by where pk = … AND sk BETWEEN m# AND m#",
            ),
            ("BatchGetItem", json!({"RequestItems": {"others": {}, "things": {}}}), "BatchGetItem others + things"),
            ("Scan", json!({"TableName": "things", "FilterExpression": "a = :a"}), "Scan things only a = :a"),
        ];
        for (operation, body, expected) in rows {
            assert_eq!(kind(operation, &body, &keys()), expected);
        }
    }

    #[test]
    fn a_transaction_is_known_by_what_has_to_hold_for_it() {
        let put = |pk: &str| json!({"Put": {"TableName": "others", "Item": {"pk": {"S": pk}, "a": {"S": "b"}}}});
        let check = json!({"Put": {
            "TableName": "others", "Item": {"pk": {"S": "d#1"}}, "ConditionExpression": "attribute_not_exists(pk)",
        }});
        let of = |members: &[&Value]| kind("TransactWriteItems", &json!({"TransactItems": members}), &keys());
        let conditional = "TransactWriteItems Put others d# if attribute_not_exists(pk)";
        assert_eq!(of(&[&check, &put("e#1")]), conditional);
        assert_eq!(of(&[&check, &put("e#1"), &put("f#1")]), conditional);
        assert_eq!(of(&[&put("e#1"), &put("e#2")]), "TransactWriteItems Put others e#");
    }
}
