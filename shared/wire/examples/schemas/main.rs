//! Writes what is derived from the wire's types: the schemas in `docs/openapi.yaml` and `docs/asyncapi.yaml`, below
//! [`MARK`], the types of the client in TypeScript, and the words of the console. With `--check` it writes nothing, and
//! fails if one of them is out of date.
//!
//! ```sh
//! cargo run -p tidings-wire --features schema --example schemas
//! ```

mod definitions;
mod finish;
mod javascript;
mod typescript;
mod yaml;

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode};

use schemars::generate::Contract;
use serde_json::{Map, Value};

use definitions::PLACE;

const COMMAND: &str = "cargo run -p tidings-wire --features schema --example schemas";

/// The line of a document below which everything is generated.
const MARK: &str = "    # -- Generated from the types of shared/wire by";

/// What is written.
const FILES: &[(&str, Kind)] = &[
    ("docs/openapi.yaml", Kind::Openapi),
    ("docs/asyncapi.yaml", Kind::Asyncapi),
    ("clients/js/src/wire.ts", Kind::TypeScript),
    ("tidings/console/wire.js", Kind::JavaScript),
];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A document with JSON Schema 2020-12.
    Openapi,
    /// A document with JSON Schema draft 7.
    Asyncapi,
    /// Types.
    TypeScript,
    /// Words.
    JavaScript,
}

fn main() -> ExitCode {
    let is_check = std::env::args().any(|argument| argument == "--check");
    match run(is_check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(is_check: bool) -> Result<(), String> {
    let definitions = finish::finish(definitions::definitions(&Contract::Serialize))?;
    is_read_as_written(&definitions, &finish::finish(definitions::definitions(&Contract::Deserialize))?)?;
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut stale = Vec::new();
    for (name, kind) in FILES {
        let path = root.join(name);
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let after = match kind {
            Kind::Openapi | Kind::Asyncapi => document(name, &before, &definitions, *kind)?,
            Kind::TypeScript => typescript::module(&definitions, COMMAND)?,
            Kind::JavaScript => javascript::module(&definitions, COMMAND)?,
        };
        if before == after {
            continue;
        }
        if is_check {
            stale.push(*name);
        } else {
            std::fs::write(&path, after).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("not up to date with shared/wire: {}; run `{COMMAND}` and commit the result", stale.join(", ")))
}

/// Checks that serde requires no field of an answer or a frame that is not always written. Requests have other readers.
fn is_read_as_written(written: &Map<String, Value>, read: &Map<String, Value>) -> Result<(), String> {
    for (name, schema) in written.iter().filter(|(_, schema)| schema["additionalProperties"] != false) {
        if schema["required"] != read[name]["required"] {
            let (always, wanted) = (&schema["required"], &read[name]["required"]);
            return Err(format!(
                "{name}: {always} is always written, and {wanted} is wanted: `default` is missing or too much"
            ));
        }
    }
    Ok(())
}

/// A document with the schemas that its part by hand refers to, and those that these refer to.
fn document(name: &str, text: &str, all: &Map<String, Value>, kind: Kind) -> Result<String, String> {
    let (by_hand, _) = text.split_once(MARK).ok_or_else(|| format!("{name} has no line that begins with `{MARK}`"))?;
    let (_, described) = by_hand.rsplit_once("\n  schemas:\n").ok_or_else(|| format!("{name} has no schemas"))?;
    let mut wanted = BTreeSet::new();
    let mut next: Vec<String> = references(by_hand);
    while let Some(reference) = next.pop() {
        if described.contains(&format!("\n    {reference}:\n")) || !wanted.insert(reference.clone()) {
            continue;
        }
        let schema = all.get(&reference).ok_or_else(|| {
            format!("{name} refers to {reference}, which is neither a type of the wire nor described above the line")
        })?;
        next.extend(references(&schema.to_string()));
    }
    if kind == Kind::Asyncapi {
        for tagged in ["Action", "Frame"] {
            let is_missing = |variant: &String| !wanted.contains(variant);
            if let Some(missing) = references(&all[tagged].to_string()).into_iter().find(is_missing) {
                return Err(format!("{name} has no message whose payload is {missing}"));
            }
        }
    }
    let mut text = format!("{by_hand}{MARK}\n    #    {COMMAND}\n");
    for (name, schema) in all.iter().filter(|(name, _)| wanted.contains(*name)) {
        let mut schema = schema.clone();
        if kind == Kind::Asyncapi {
            // What a device receives is open, whatever it is part of.
            if schema["properties"]["action"].is_null() {
                open(&mut schema);
            }
            draft_7(&mut schema);
        }
        yaml::entry(&mut text, 4, name, &schema, yaml::Keys::OfSchema);
    }
    Ok(text)
}

/// The names of the schemas that a text refers to.
fn references(text: &str) -> Vec<String> {
    let name = |rest: &str| rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    text.split(PLACE).skip(1).map(name).collect()
}

fn open(schema: &mut Value) {
    if let Value::Object(schema) = schema {
        schema.retain(|key, value| key != "additionalProperties" || *value != false);
        schema.values_mut().for_each(open);
    }
}

/// Draft 7 passes over everything beside a reference, and has another word for fields that need each other.
fn draft_7(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(needed) = object.shift_remove("dependentRequired") {
                object.insert("dependencies".to_owned(), needed);
            }
            if object.len() > 1
                && let Some(reference) = object.shift_remove("$ref")
            {
                object.insert("allOf".to_owned(), serde_json::json!([{"$ref": reference}]));
            }
            object.values_mut().for_each(draft_7);
        }
        Value::Array(items) => items.iter_mut().for_each(draft_7),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
