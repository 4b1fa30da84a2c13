//! What the JSON Schemas (2020-12) of the types need: words with their descriptions, texts that are types on the wire,
//! and rules that serde does not know. The feature is for `examples/schemas`, which writes the documents; no function
//! enables it.
//!
//! Requests are closed, since their readers refuse unknown fields; answers and frames are open, so that a client of
//! today reads those of tomorrow.

use std::{borrow::Cow, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// The words of an enumeration, each with its doc comment.
pub trait Described {
    /// Words and doc comments, as they are declared.
    const WORDS: &'static [(&'static str, &'static str)];
}

/// The schema of an enumeration: its own doc comment, and a list of the words with theirs.
pub(crate) fn of_words(about: &str, words: &[(&str, &str)]) -> Schema {
    let listed: String = words.iter().map(|(word, doc)| format!("\n- `{word}`: {}", indented(doc))).collect();
    let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    json_schema!({"description": format!("{}\n{listed}", trimmed(about)), "type": "string", "enum": words})
}

/// A doc comment without the blanks that begin its lines.
pub fn trimmed(doc: &str) -> String {
    let lines: Vec<&str> = doc.lines().map(str::trim).collect();
    lines.join("\n").trim().to_owned()
}

/// A doc comment as an item of a list.
fn indented(doc: &str) -> String {
    trimmed(doc).replace('\n', "\n  ")
}

// -- Types of the wire that are text in Rust --------------------------------------------------------------------------

macro_rules! texts {
    ($($(#[doc = $about:literal])+ $name:ident = $schema:tt;)+) => {$(
        $(#[doc = $about])+
        pub(crate) enum $name {}

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                named(concat!($($about, "\n"),+), json!($schema))
            }
        }
    )+};
}

fn named(about: &str, schema: Value) -> Schema {
    let mut described = json_schema!({"description": trimmed(about)});
    if let Value::Object(schema) = schema {
        described.ensure_object().extend(schema);
    }
    described
}

const UUID: &str = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$";

texts! {
    /// A device. The same app and native token always give the same.
    DeviceId = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "examples": ["6f0e4f2a3c1d5b7988a1c2d3e4f50617"]};
    /// A message; a UUID in lower case.
    MessageId = {
        "type": "string", "format": "uuid", "pattern": UUID, "examples": ["0193a2b4-6c7d-7e8f-9a0b-1c2d3e4f5061"]
    };
    /// An announcement; a UUID in lower case.
    AnnouncementId = {
        "type": "string", "format": "uuid", "pattern": UUID, "examples": ["0193a2b4-6c7d-7e8f-9a0b-1c2d3e4f5062"]
    };
    /// A JWE in compact form (RFC 7516): five parts, the second of them empty. The first is `SealedHeader`
    /// of asyncapi.yaml in base64url. The device opens it with its content key, and accepts no other algorithm.
    SealedFrame = {
        "type": "string", "pattern": r"^[A-Za-z0-9_-]+\.\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}$"
    };
    /// The JWK (RFC 7517) that opens this device's frames. Secret.
    ContentKey = {
        "type": "object",
        "properties": {
            "kty": {"type": "string", "const": "oct"},
            "use": {"type": "string", "const": "enc"},
            "alg": {"type": "string", "const": "dir"},
            "kid": {
                "description": "Device, version of the root key, generation; then `enc`.",
                "type": "string",
                "pattern": r"^[A-Za-z0-9_-]{1,64}\.[0-9]+\.[0-9]+\.enc$"
            },
            "k": {"description": "64 bytes in base64url.", "type": "string", "pattern": "^[A-Za-z0-9_-]{86}$"}
        },
        "required": ["kty", "use", "alg", "kid", "k"]
    };
    /// The JWK (RFC 7517) that signs this device's connect tokens. Secret.
    TokenKey = {
        "type": "object",
        "properties": {
            "kty": {"type": "string", "const": "oct"},
            "use": {"type": "string", "const": "sig"},
            "alg": {"type": "string", "const": "HS256"},
            "kid": {
                "description": "Device, version of the root key, generation; then `sig`.",
                "type": "string",
                "pattern": r"^[A-Za-z0-9_-]{1,64}\.[0-9]+\.[0-9]+\.sig$"
            },
            "k": {"description": "32 bytes in base64url.", "type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}
        },
        "required": ["kty", "use", "alg", "kid", "k"]
    };
}

// -- Objects of flags -----------------------------------------------------------------------------------------------

/// An object with a flag for each word of an enumeration of channels.
pub(crate) struct Welcome<T>(PhantomData<T>);

impl<T: Described> JsonSchema for Welcome<T> {
    fn schema_name() -> Cow<'static, str> {
        "WelcomeChannels".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let flag =
            |(word, doc): &(&str, &str)| ((*word).to_owned(), json!({"description": trimmed(doc), "type": "boolean"}));
        let flags: Map<String, Value> = T::WORDS.iter().map(flag).collect();
        json_schema!({
            "description": "Which channels are welcome. Those that are not named are.",
            "type": "object",
            "properties": flags,
            "additionalProperties": false
        })
    }
}

// -- What the types do not express ------------------------------------------------------------------------------------

/// Any JSON but `null`, which counts as absent.
pub(crate) fn any(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": ["object", "array", "string", "number", "boolean"]})
}

/// What no alias is: `ALL`, in any case.
pub(crate) fn everyone() -> Value {
    json!({"pattern": r"^\s*[Aa][Ll][Ll]\s*$"})
}

/// A list of aliases: none is `ALL`.
pub(crate) fn of_aliases(schema: &mut Schema) {
    if let Some(Value::Object(item)) = schema.get_mut("items") {
        item.insert("not".to_owned(), everyone());
    }
}

/// A moment with any offset.
pub(crate) fn moment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// An email address: how long its first part may be, and what it is made of.
pub(crate) const EMAIL: [&str; 2] = [
    "^[^@]{1,64}@",
    "^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*\
     @([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.)+[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$",
];

/// What a reader of requests takes: no fields but the named ones, and texts of one character at least.
pub(crate) fn request(schema: &mut Schema) {
    texts(schema);
    schema.insert("additionalProperties".to_owned(), false.into());
}

/// Texts have one character at least that is not a blank; those with a pattern are described by it.
pub(crate) fn texts(schema: &mut Schema) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for property in properties.values_mut() {
        text(property);
        if let Some(item) = property.get_mut("items") {
            text(item);
        }
    }
}

fn text(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    let is_text = match schema.get("type") {
        Some(Value::String(kind)) => kind == "string",
        Some(Value::Array(kinds)) => kinds == &["string", "null"],
        _ => false,
    };
    if is_text && ["pattern", "format", "enum", "const", "allOf"].iter().all(|key| !schema.contains_key(*key)) {
        schema.insert("minLength".to_owned(), 1.into());
        schema.insert("pattern".to_owned(), r"\S".into());
    }
}

/// The position of a message that is in a mailbox: numbers from 1.
pub(crate) fn kept(schema: &mut Schema) {
    for name in ["epoch", "seq"] {
        if let Some(Value::Object(number)) = schema.get_mut("properties").and_then(|all| all.get_mut(name)) {
            number.insert("minimum".to_owned(), 1.into());
        }
    }
}

/// The content of an announcement, which no device confirms.
pub(crate) fn unconfirmed(schema: &mut Schema) {
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.shift_remove("needConfirm");
    }
}

/// An absent list is read as an empty one, which is refused: it is no default.
pub(crate) fn without_default(schema: &mut Schema) {
    schema.remove("default");
}
