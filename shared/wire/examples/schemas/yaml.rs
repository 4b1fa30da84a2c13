//! A schema as people write it in YAML: in one line if it fits, the prose first.

use serde_json::{Map, Value};

/// Longest line.
const COLUMNS: usize = 120;

/// The keywords of a schema, in the order in which they are written; others follow as they come.
const ORDER: &[&str] = &[
    "description",
    "type",
    "format",
    "const",
    "enum",
    "default",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "propertyNames",
    "additionalProperties",
    "required",
    "dependentRequired",
    "dependencies",
    "anyOf",
    "oneOf",
    "discriminator",
    "if",
    "then",
    "else",
    "properties",
    "items",
];

/// What the keys of an object are.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Keys {
    /// Keywords of a schema.
    OfSchema,
    /// Names, which stay in their order.
    Names,
}

/// Writes `key: value` at a depth of blanks.
pub(crate) fn entry(text: &mut String, depth: usize, key: &str, value: &Value, keys: Keys) {
    let line = format!("{:depth$}{}:", "", scalar(key, Style::Block));
    write(text, depth + 2, &line, value, keys);
}

/// Writes a value behind what stands on its first line.
fn write(text: &mut String, depth: usize, line: &str, value: &Value, keys: Keys) {
    let flat = match value {
        Value::String(text) => scalar(text, Style::Block),
        _ => flow(value, keys),
    };
    if line.len() + 1 + flat.len() <= COLUMNS && !is_large(value) && !flat.contains('\n') {
        text.push_str(&format!("{line} {flat}\n"));
        return;
    }
    match value {
        Value::Object(object) => {
            text.push_str(&format!("{line}\n"));
            for (key, value) in ordered(object, keys) {
                entry(text, depth, key, value, inner(key, keys));
            }
        }
        Value::Array(items) => {
            text.push_str(&format!("{line}\n"));
            for item in items {
                let mut written = String::new();
                write(&mut written, depth + 2, &format!("{:depth$}-", ""), item, keys);
                // The first key of an object stands beside the dash.
                text.push_str(&written.replacen(&format!("-\n{:1$}", "", depth + 2), "- ", 1));
            }
        }
        Value::String(prose) if prose.contains(' ') => {
            text.push_str(&format!("{line} |-\n"));
            for line in prose.lines() {
                wrap(text, depth, line);
            }
        }
        Value::String(long) => fold(text, depth, line, long),
        Value::Null | Value::Bool(_) | Value::Number(_) => text.push_str(&format!("{line} {flat}\n")),
    }
}

/// A named schema is easier to read in several lines.
fn is_large(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.contains_key("properties") || object.contains_key("examples"))
}

/// Whether the keys below a key are keywords or names.
fn inner(key: &str, keys: Keys) -> Keys {
    let holds_names = ["properties", "mapping", "dependencies", "dependentRequired"].contains(&key);
    if keys == Keys::OfSchema && holds_names { Keys::Names } else { Keys::OfSchema }
}

fn ordered(object: &Map<String, Value>, keys: Keys) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = object.iter().collect();
    if keys == Keys::OfSchema {
        entries.sort_by_key(|(key, _)| ORDER.iter().position(|known| known == key).unwrap_or(ORDER.len()));
    }
    entries
}

/// A value in one line.
fn flow(value: &Value, keys: Keys) -> String {
    match value {
        Value::Object(object) => {
            let entry = |(key, value): (&String, &Value)| {
                format!("{}: {}", scalar(key, Style::Flow), flow(value, inner(key, keys)))
            };
            let entries: Vec<String> = ordered(object, keys).into_iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| flow(item, keys)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) => scalar(text, Style::Flow),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// Whether a text stands alone on its line or within brackets.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    Block,
    Flow,
}

/// A text: plain if no reader takes it for anything else, else in quotes.
fn scalar(text: &str, style: Style) -> String {
    let is_word = |byte: u8| {
        byte.is_ascii_alphanumeric() || b" _-/.;()`'=".contains(&byte) || byte == b',' && style == Style::Block
    };
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '$');
    let is_plain = begins && text.trim_start_matches('$').bytes().all(is_word) && !text.ends_with(' ');
    let is_keyword =
        ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
    if is_plain && !is_keyword { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

/// Writes a text without blanks, such as a pattern, in double quotes and in lines that fit: a `\` at the end of a line
/// joins it to the next one.
fn fold(text: &mut String, depth: usize, line: &str, long: &str) {
    text.push_str(&format!("{line} \"\\\n"));
    let mut row = format!("{:depth$}", "");
    for character in long.chars() {
        let written = match character {
            '\\' | '"' => format!("\\{character}"),
            _ => character.to_string(),
        };
        if row.len() + written.len() + 1 > COLUMNS {
            text.push_str(&format!("{row}\\\n"));
            row = format!("{:depth$}", "");
        }
        row.push_str(&written);
    }
    text.push_str(&format!("{row}\"\n"));
}

/// Prose in lines that fit; an item of a list goes on below its text.
fn wrap(text: &mut String, depth: usize, prose: &str) {
    let hanging = if prose.starts_with("- ") { depth + 2 } else { depth };
    let mut line = String::new();
    for word in prose.split(' ') {
        if !line.trim().is_empty() && line.len() + 1 + word.len() > COLUMNS {
            text.push_str(&format!("{line}\n"));
            line = format!("{:hanging$}{word}", "");
        } else if line.is_empty() {
            line = format!("{:depth$}{word}", "");
        } else {
            line = format!("{line} {word}");
        }
    }
    text.push_str(&format!("{}\n", line.trim_end()));
}
