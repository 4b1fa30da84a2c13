//! What is done to the schemas of all types alike.

use serde_json::{Map, Value, json};

use tidings_wire::{
    frame::ReconnectCode,
    limits,
    schema::{self, Described},
};

use crate::definitions::PLACE;

/// The tagged enumerations, with the field that distinguishes the variants, and whether a variant is closed.
const TAGGED: &[(&str, &str, bool)] =
    &[("Action", "action", true), ("Frame", "type", false), ("PushAddress", "channel", true)];

/// Gives every variant of a tagged enumeration a named schema, removes `null`, and writes limits into the prose.
pub(crate) fn finish(mut definitions: Map<String, Value>) -> Result<Map<String, Value>, String> {
    for (name, tag, is_closed) in TAGGED {
        name_variants(&mut definitions, name, tag, *is_closed)?;
    }
    reconnects(&mut definitions)?;
    for schema in definitions.values_mut() {
        walk(schema)?;
    }
    Ok(definitions)
}

/// Moves each variant to a named schema, under the variant's title or the name of the type that it holds.
fn name_variants(definitions: &mut Map<String, Value>, name: &str, tag: &str, is_closed: bool) -> Result<(), String> {
    let variants = definitions.get_mut(name).and_then(|schema| schema.get_mut("oneOf")).map(Value::take);
    let Some(Value::Array(variants)) = variants else { return Err(format!("{name} is not a tagged enumeration")) };
    let (mut tags, mut places) = (Vec::new(), Vec::new());
    for mut variant in variants {
        let held = variant["$ref"].as_str().and_then(|place| place.strip_prefix(PLACE)).map(str::to_owned);
        let title = variant["title"].as_str().map(str::to_owned);
        let Some(own) = title.or_else(|| held.clone()) else { return Err(format!("a variant of {name} has no title")) };
        if let Some(held) = held.and_then(|held| definitions.get(&held)) {
            variant = merged(variant, held.clone());
        }
        if let Some(schema) = variant.as_object_mut() {
            schema.shift_remove("title");
            if is_closed {
                schema.insert("additionalProperties".to_owned(), false.into());
            }
        }
        tags.extend(variant["properties"][tag]["const"].as_str().map(str::to_owned));
        definitions.insert(own.clone(), variant);
        places.push(format!("{PLACE}{own}"));
    }
    let description = definitions[name]["description"].take();
    let mapping: Map<String, Value> = tags.into_iter().zip(&places).map(|(tag, place)| (tag, json!(place))).collect();
    let references: Vec<Value> = places.iter().map(|place| json!({"$ref": place})).collect();
    definitions[name] = json!({
        "description": description,
        "type": "object",
        "required": [tag],
        "oneOf": references,
        "discriminator": {"propertyName": tag, "mapping": mapping}
    });
    Ok(())
}

/// A tagged variant and the type that it holds, as one object: the tag before the other fields. A variant with a title
/// brings its own description.
fn merged(variant: Value, mut held: Value) -> Value {
    if variant["title"].is_string() {
        held["description"] = variant["description"].clone();
    }
    let mut properties = variant["properties"].clone();
    let mut required = variant["required"].clone();
    if let (Value::Object(all), Value::Object(more)) = (&mut properties, held["properties"].take()) {
        all.extend(more);
    }
    if let (Value::Array(all), Value::Array(more)) = (&mut required, held["required"].take()) {
        all.extend(more);
    }
    held["properties"] = properties;
    held["required"] = required;
    held
}

/// A `reconnect` has two forms, by its code: one is sealed, the other comes in clear and names no device.
fn reconnects(definitions: &mut Map<String, Value>) -> Result<(), String> {
    let is_sealed = |word: &str| word == ReconnectCode::Rollover.as_str();
    let mut in_clear = definitions.get("Reconnect").cloned().ok_or("there is no Reconnect")?;
    let sealed = definitions.get_mut("Reconnect").ok_or("there is no Reconnect")?;
    let (mut codes, mut docs) = (Vec::new(), vec!["In clear: close the connection, and connect again.".to_owned()]);
    for (word, doc) in ReconnectCode::WORDS {
        if is_sealed(word) {
            sealed["description"] = schema::trimmed(doc).into();
            sealed["properties"]["code"] = json!({"type": "string", "const": word});
        } else {
            codes.push(*word);
            docs.push(format!("- `{word}`: {}", schema::trimmed(doc)));
        }
    }
    in_clear["description"] = docs.join("\n\n").replace("\n\n- ", "\n- ").replacen("\n- ", "\n\n- ", 1).into();
    in_clear["properties"]["code"] =
        json!({"description": "The reason, one of the codes above.", "type": "string", "enum": codes});
    in_clear["properties"]["deviceId"] = json!({"description": "Empty.", "type": "string", "const": ""});
    definitions.insert("ReconnectInClear".to_owned(), in_clear);
    definitions["Frame"]["oneOf"].as_array_mut().ok_or("Frame has no variants")?.push(json!({
        "$ref": format!("{PLACE}ReconnectInClear")
    }));
    Ok(())
}

/// Goes through a schema and those in it.
fn walk(schema: &mut Value) -> Result<(), String> {
    match schema {
        Value::Array(items) => items.iter_mut().try_for_each(walk),
        Value::Object(object) => {
            without_null(object);
            integer_format(object);
            both_or_none(object);
            if let Some(Value::String(text)) = object.get_mut("description") {
                *text = joined(&without_links(text)?);
            }
            object.values_mut().try_for_each(walk)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// What is optional is absent, and never `null`.
fn without_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            schema["type"] = kind.clone();
        }
    }
    if let Some(Value::Array(forms)) = schema.get_mut("anyOf") {
        let before = forms.len();
        forms.retain(|form| form["type"] != "null");
        if let ([Value::Object(form)], true) = (forms.as_slice(), forms.len() < before) {
            let form = form.clone();
            schema.shift_remove("anyOf");
            schema.extend(form);
        }
    }
}

/// Rust's widths are not the wire's: a number is limited by `maximum`, or has up to 64 bits.
fn integer_format(schema: &mut Map<String, Value>) {
    if schema.get("type").is_some_and(|kind| kind == "integer") {
        let format = schema.shift_remove("format");
        let is_wide = format.is_some_and(|format| format == "uint64" || format == "int64");
        if is_wide && !schema.contains_key("maximum") {
            schema.insert("format".to_owned(), "int64".into());
        }
    }
}

/// Requires `epoch` and `seq` together if a position is optional.
fn both_or_none(schema: &mut Map<String, Value>) {
    let Some(Value::Object(properties)) = schema.get("properties") else { return };
    let required = schema.get("required").and_then(Value::as_array);
    let is_optional = required.is_none_or(|names| !names.iter().any(|name| name == "seq"));
    if properties.contains_key("epoch") && properties.contains_key("seq") && is_optional {
        schema.insert("dependentRequired".to_owned(), json!({"epoch": ["seq"], "seq": ["epoch"]}));
    }
}

/// The prose of a doc comment: a link to a limit becomes its number, any other the name that it shows.
fn without_links(text: &str) -> Result<String, String> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        let (link, after) = after.split_once("`]").ok_or_else(|| format!("a link without an end: {text}"))?;
        shown.push_str(before);
        match link.trim_start_matches("crate::").strip_prefix("limits::") {
            Some(name) => shown.push_str(&limit(name).ok_or_else(|| format!("no limit of the name {name}: {text}"))?),
            None => shown.push_str(&format!("`{link}`")),
        }
        rest = after;
    }
    shown.push_str(rest);
    Ok(shown)
}

/// Prose with one line for each paragraph and each item of a list; the writer wraps it.
fn joined(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim) {
        match lines.last_mut() {
            Some(last) if !last.is_empty() && !line.is_empty() && !line.starts_with("- ") => {
                *last = format!("{last} {line}")
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

/// The limits that doc comments link to.
fn limit(name: &str) -> Option<String> {
    macro_rules! numbers {
        ($($name:ident),+ $(,)?) => {
            match name {
                $(stringify!($name) => Some(grouped(u64::try_from(limits::$name).ok()?)),)+
                "DURATION_SECONDS" => {
                    let (least, most) = (limits::DURATION_SECONDS.start(), limits::DURATION_SECONDS.end());
                    Some(format!("{} to {}", grouped(*least), grouped(*most)))
                }
                _ => None,
            }
        };
    }
    numbers![
        CONTENT_BYTES,
        FALLBACK_PAID_STEPS,
        HIGH_PRIORITY_RECIPIENTS,
        HTTP_BODY_BYTES,
        JSON_DEPTH,
        TRANSIENT_SECONDS,
        UNREAD_COUNTED,
    ]
}

/// A number with commas: `22,528`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}
