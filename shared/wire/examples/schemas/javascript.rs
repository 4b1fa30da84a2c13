//! The words that the console shows and offers.

use serde_json::{Map, Value};
use tidings_wire::{
    Choice,
    send::Channel,
    trail::{Event, State},
};

/// Longest line, as the console's formatter has it.
const COLUMNS: usize = 120;

/// Lists of words, by the enumerations that they are.
const LISTS: &[(&str, &str, &str)] = &[
    ("AUDIENCE_TYPES", "AudienceType", "What the names of an audience are."),
    ("MSG_TYPES", "MsgType", "Kinds of content."),
    ("PLATFORMS", "DevicePlatform", "What a device runs."),
    ("PRIORITIES", "Priority", "The lanes of messages."),
    ("STATES", "State", "The states of a recipient, in the order in which charts have them."),
];

/// The whole module.
pub(crate) fn module(definitions: &Map<String, Value>, command: &str) -> Result<String, String> {
    let mut text = format!("// Generated from the types of shared/wire by `{command}`.\n");
    let sentences = Event::ALL.iter().map(|(word, event)| (*word, event.sentence()));
    text.push_str("\n/** What happened to a message, with `{device}`, `{step}` and `{code}` to be filled in. */\n");
    object(&mut text, "EVENTS", sentences);
    text.push_str("\n/** The ways around the socket, as people call them. */\n");
    object(&mut text, "CHANNELS", Channel::ALL.iter().map(|(word, channel)| (*word, channel.name())));
    for (name, schema, about) in LISTS {
        let words = definitions.get(*schema).and_then(|schema| schema["enum"].as_array());
        let words = words.ok_or_else(|| format!("the wire has no words for {schema}"))?;
        text.push_str(&format!("\n/** {about} */\n"));
        list(&mut text, name, &words.iter().map(Value::to_string).collect::<Vec<_>>());
    }
    let settled = State::ALL.iter().filter(|(_, state)| state.is_settled());
    text.push_str("\n/** The states that nothing but a late confirmation follows. */\n");
    list(&mut text, "SETTLED", &settled.map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>());
    Ok(text)
}

fn object<'a>(text: &mut String, name: &str, entries: impl Iterator<Item = (&'a str, &'a str)>) {
    text.push_str(&format!("export const {name} = {{\n"));
    for (key, value) in entries {
        let is_name = key.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let key = if is_name { key.to_owned() } else { format!("{key:?}") };
        text.push_str(&format!("  {key}: {value:?},\n"));
    }
    text.push_str("};\n");
}

fn list(text: &mut String, name: &str, words: &[String]) {
    let line = format!("export const {name} = [{}];", words.join(", "));
    if line.len() <= COLUMNS {
        text.push_str(&format!("{line}\n"));
        return;
    }
    text.push_str(&format!("export const {name} = [\n"));
    for word in words {
        text.push_str(&format!("  {word},\n"));
    }
    text.push_str("];\n");
}
