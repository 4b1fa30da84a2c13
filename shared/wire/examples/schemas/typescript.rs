//! The types that the client in TypeScript shares with the service.

use serde_json::{Map, Value};

use crate::definitions::PLACE;

/// Longest line, as the client's formatter has it.
const COLUMNS: usize = 120;

/// The schemas that have a name in TypeScript; every other one is inlined. The variants of a tagged
/// enumeration that are not listed stand in front of it under their own names.
const NAMED: &[(&str, &str)] = &[
    ("Channel", "Channel"),
    ("WelcomeChannels", "Channels"),
    ("Preferences", "Preferences"),
    ("PushAddress", "PushAddress"),
    ("InboxMessage", "SealedMessage"),
    ("InboxAnswer", "InboxAnswer"),
    ("UnreadAnswer", "Unread"),
    ("AppState", "AppState"),
    ("Ping", "Ping"),
    ("Sync", "Sync"),
    ("Ack", "Ack"),
    ("Read", "Read"),
    ("StateChange", "AppStateChange"),
    ("Action", "Action"),
    ("Message", "Message"),
    ("Announcement", "Announcement"),
    ("Announced", "Announced"),
    ("Synced", "Synced"),
    ("Pong", "Pong"),
    ("ErrorCode", "ErrorFrameCode"),
    ("Error", "ErrorFrame"),
    ("Reconnect", "Rollover"),
    ("ReconnectInClear", "ReconnectInClear"),
    ("Frame", "Frame"),
];

/// The whole module.
pub(crate) fn module(definitions: &Map<String, Value>, command: &str) -> Result<String, String> {
    let mut text = format!("// Generated from the types of shared/wire by `{command}`.\n\n");
    text.push_str("/** Any JSON. */\n");
    text.push_str("export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };\n");
    let types = Types { definitions, names: names(definitions) };
    for (schema, name) in &types.names {
        let schema = definitions.get(*schema).ok_or_else(|| format!("the wire has no {schema}"))?;
        text.push('\n');
        types.declare(&mut text, name, schema)?;
    }
    Ok(text)
}

/// The schemas that have a name, each with its name, in the order in which they are declared.
fn names(definitions: &Map<String, Value>) -> Vec<(&str, &str)> {
    let is_listed = |variant: &&str| NAMED.iter().any(|(schema, _)| schema == variant);
    let mut names = Vec::new();
    for (schema, name) in NAMED {
        let tagged = definitions.get(*schema).filter(|schema| schema["discriminator"].is_object());
        let variants = tagged.and_then(|schema| schema["oneOf"].as_array()).into_iter().flatten();
        let variants = variants.filter_map(|variant| variant["$ref"].as_str()?.strip_prefix(PLACE));
        names.extend(variants.filter(|variant| !is_listed(variant)).map(|variant| (variant, variant)));
        names.push((schema, name));
    }
    names
}

struct Types<'a> {
    definitions: &'a Map<String, Value>,
    names: Vec<(&'a str, &'a str)>,
}

impl Types<'_> {
    fn declare(&self, text: &mut String, name: &str, schema: &Value) -> Result<(), String> {
        comment(text, 0, schema["description"].as_str().unwrap_or_default());
        let fields = schema["properties"].as_object().filter(|_| self.record(schema).is_none());
        let Some(fields) = fields else {
            union(text, &format!("export type {name} ="), &self.forms(schema)?);
            return Ok(());
        };
        text.push_str(&format!("export interface {name} {{\n"));
        for (field, inner) in fields {
            comment(text, 2, inner["description"].as_str().unwrap_or_default());
            let mark = if is_required(schema, field) { "" } else { "?" };
            text.push_str(&format!("  readonly {field}{mark}: {};\n", self.written(inner)?));
        }
        text.push_str("}\n");
        Ok(())
    }

    fn written(&self, schema: &Value) -> Result<String, String> {
        Ok(self.forms(schema)?.join(" | "))
    }

    /// What a value may be: several if it is a word of a list, or one of several kinds.
    fn forms(&self, schema: &Value) -> Result<Vec<String>, String> {
        if let Some(place) = schema["$ref"].as_str() {
            let name = place.trim_start_matches(PLACE);
            if let Some((_, shown)) = self.names.iter().find(|(named, _)| *named == name) {
                return Ok(vec![(*shown).to_owned()]);
            }
            return self.forms(self.definitions.get(name).ok_or_else(|| format!("the wire has no {name}"))?);
        }
        if let Some(record) = self.record(schema) {
            return Ok(vec![record]);
        }
        if let Some(forms) = schema["oneOf"].as_array() {
            return forms.iter().map(|form| self.written(form)).collect();
        }
        if let Some(words) = schema["enum"].as_array() {
            return Ok(words.iter().map(Value::to_string).collect());
        }
        if !schema["const"].is_null() {
            return Ok(vec![schema["const"].to_string()]);
        }
        let form = match schema["type"].as_str() {
            Some("string") => "string".to_owned(),
            Some("boolean") => "boolean".to_owned(),
            Some("integer") => "number".to_owned(),
            Some("array") => format!("readonly {}[]", self.written(&schema["items"])?),
            Some("object") => self.object(schema)?,
            _ if schema["type"].is_array() => "Json".to_owned(),
            _ => return Err(format!("no type for {schema}")),
        };
        Ok(vec![form])
    }

    fn object(&self, schema: &Value) -> Result<String, String> {
        let Some(fields) = schema["properties"].as_object() else {
            return Ok(format!("Readonly<Record<string, {}>>", self.written(&schema["additionalProperties"])?));
        };
        let mut shown = Vec::new();
        for (field, inner) in fields {
            let mark = if is_required(schema, field) { "" } else { "?" };
            shown.push(format!("readonly {field}{mark}: {}", self.written(inner)?));
        }
        Ok(format!("{{ {} }}", shown.join("; ")))
    }

    /// An object whose optional fields are the words of a list, each a boolean.
    fn record(&self, schema: &Value) -> Option<String> {
        let fields = schema["properties"].as_object()?;
        let is_flag = |field: &Value| field["type"] == "boolean";
        let names: Vec<&str> = fields.keys().map(String::as_str).collect();
        let is_list =
            |words: &Value| words["enum"].as_array().is_some_and(|words| words.iter().eq(names.iter().copied()));
        let (list, _) = NAMED.iter().find(|(name, _)| is_list(&self.definitions[*name]))?;
        fields.values().all(is_flag).then(|| format!("Partial<Record<{list}, boolean>>"))
    }
}

fn is_required(schema: &Value, field: &str) -> bool {
    schema["required"].as_array().is_some_and(|names| names.iter().any(|name| name == field))
}

/// `name = a | b;`, one below the other if they do not fit.
fn union(text: &mut String, begin: &str, forms: &[String]) {
    let line = format!("{begin} {};", forms.join(" | "));
    if line.len() <= COLUMNS {
        text.push_str(&format!("{line}\n"));
        return;
    }
    text.push_str(begin);
    for form in forms {
        text.push_str(&format!("\n  | {form}"));
    }
    text.push_str(";\n");
}

fn comment(text: &mut String, depth: usize, prose: &str) {
    if prose.is_empty() {
        return;
    }
    let pad = " ".repeat(depth);
    if !prose.contains('\n') && depth + prose.len() + 7 <= COLUMNS {
        text.push_str(&format!("{pad}/** {prose} */\n"));
        return;
    }
    text.push_str(&format!("{pad}/**\n"));
    for paragraph in prose.lines() {
        let mut line = format!("{pad} *");
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            if line.len() + 1 + word.len() > COLUMNS {
                text.push_str(&format!("{line}\n"));
                line = format!("{pad} * {}{word}", if paragraph.starts_with("- ") { "  " } else { "" });
            } else {
                line = format!("{line} {word}");
            }
        }
        text.push_str(&format!("{line}\n"));
    }
    text.push_str(&format!("{pad} */\n"));
}
