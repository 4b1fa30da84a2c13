//! Messages, their attributes and the digests that SQS answers with.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use super::error::{Code, SqsError};
use crate::ids::hexadecimal;
use crate::ledger::TraceId;

/// A message attribute, in the shape of the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attribute {
    /// `String`, `Number` or `Binary`, with an optional `.suffix`.
    pub data_type: String,
    /// The value of a text or a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub string_value: Option<String>,
    /// The value of bytes, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary_value: Option<String>,
}

/// Attributes by name.
pub type Attributes = BTreeMap<String, Attribute>;

/// A message as its sender gave it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The body.
    pub body: String,
    /// The sender's own attributes.
    pub attributes: Attributes,
    /// How long it stays invisible; the queue's delay if it has none.
    pub delay_seconds: Option<u64>,
    /// The group whose order is kept.
    pub group: Option<String>,
    /// The id by which a duplicate is recognized.
    pub deduplication_id: Option<String>,
    /// The `AWSTraceHeader`.
    pub trace_header: Option<String>,
    /// The traces that bear its cost.
    pub traces: Vec<TraceId>,
}

/// A message that a queue accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The id that SQS gave it.
    pub id: String,
    /// The body.
    pub body: String,
    /// The sender's own attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: Attributes,
    /// The group whose order is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The id by which a duplicate is recognized; every message of a FIFO queue has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deduplication_id: Option<String>,
    /// The `AWSTraceHeader`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_header: Option<String>,
    /// The traces that bear its cost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<TraceId>,
    /// When it was sent, in milliseconds since 1970.
    pub sent_at: u64,
    /// When it was first received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_received_at: Option<u64>,
    /// How often it was received.
    #[serde(default)]
    pub receives: u32,
    /// The ARN of the source queue, if this is a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_source: Option<String>,
}

/// A message that a consumer received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The message.
    pub message: Message,
    /// Its sequence number in the queue.
    pub sequence: u64,
    /// The handle that deletes it.
    pub receipt_handle: String,
}

impl Received {
    /// The system attributes that SQS returns with it.
    #[must_use]
    pub fn system_attributes(&self) -> BTreeMap<&'static str, String> {
        let message = &self.message;
        let fifo = message.deduplication_id.is_some();
        let attributes = [
            ("ApproximateReceiveCount", Some(message.receives.to_string())),
            ("SentTimestamp", Some(message.sent_at.to_string())),
            ("SenderId", Some(SENDER_ID.to_owned())),
            ("ApproximateFirstReceiveTimestamp", message.first_received_at.map(|at| at.to_string())),
            ("MessageGroupId", message.group.clone()),
            ("MessageDeduplicationId", message.deduplication_id.clone()),
            ("SequenceNumber", fifo.then(|| sequence_number(self.sequence))),
            ("AWSTraceHeader", message.trace_header.clone()),
            ("DeadLetterQueueSourceArn", message.dead_letter_source.clone()),
        ];
        attributes.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// The sender of every message: all requests come from the one account.
const SENDER_ID: &str = "AIDALOCALLOCALLOCALXX";

/// A FIFO queue's sequence numbers have twenty digits.
pub(super) fn sequence_number(sequence: u64) -> String {
    format!("{sequence:020}")
}

impl Outgoing {
    /// Its size as SQS counts it: the body and each attribute's name, type and value.
    pub(super) fn size(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, attribute)| {
            let value = attribute.string_value.as_ref().or(attribute.binary_value.as_ref()).map_or(0, String::len);
            name.len() + attribute.data_type.len() + value
        });
        self.body.len() + attributes.sum::<usize>()
    }

    /// Refuses a message that no queue accepts.
    pub(super) fn check(&self) -> Result<(), SqsError> {
        if self.body.is_empty() {
            return Err(SqsError::new(Code::MissingParameter, "The request must contain the parameter MessageBody."));
        }
        // The characters of XML 1.0: the rule is older than the JSON protocol.
        let is_allowed = |character: char| match character {
            '\t' | '\n' | '\r' => true,
            _ => matches!(character, ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..),
        };
        if !self.body.chars().all(is_allowed) {
            let message = "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF \
                           | #xE000 to #xFFFD | #x10000 to #x10FFFF";
            return Err(SqsError::new(Code::InvalidMessageContents, message));
        }
        if self.attributes.len() > 10 {
            let message =
                format!("Number of message attributes [{}] exceeds the allowed maximum [10].", self.attributes.len());
            return Err(SqsError::new(Code::InvalidParameterValue, message));
        }
        for (name, attribute) in &self.attributes {
            check_attribute(name, attribute)?;
            let filled = attribute.string_value.as_deref().is_some_and(|text| !text.is_empty())
                || attribute.binary_value.as_deref().is_some_and(|bytes| !bytes.is_empty());
            if !filled {
                let kind = &attribute.data_type;
                let message = format!(
                    "The message attribute '{name}' with type '{kind}' must use a non-empty value of that type."
                );
                return Err(SqsError::new(Code::InvalidParameterValue, message));
            }
        }
        for (name, id) in [("MessageGroupId", &self.group), ("MessageDeduplicationId", &self.deduplication_id)] {
            if id.as_deref().is_some_and(|id| !is_identifier(id)) {
                let message = format!(
                    "Value for parameter {name} is invalid. Reason: {name} can only include alphanumeric and \
                     punctuation characters. 1 to 128 in length."
                );
                return Err(SqsError::new(Code::InvalidParameterValue, message));
            }
        }
        Ok(())
    }
}

/// Refuses an invalid name or type of an attribute.
fn check_attribute(name: &str, attribute: &Attribute) -> Result<(), SqsError> {
    let invalid = |message: String| Err(SqsError::new(Code::InvalidParameterValue, message));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if !(1..=256).contains(&name.len()) || !name.bytes().all(is_plain) {
        return invalid(
            "Message (user) attribute name can only contain upper and lower score characters, digits, periods, \
             hyphens and underscores, and has 1 to 256 of them."
                .to_owned(),
        );
    }
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("aws.") || lower.starts_with("amazon.") {
        return invalid(format!("Message (user) attribute name '{name}' begins with a reserved prefix."));
    }
    let kind = attribute.data_type.split('.').next().unwrap_or_default();
    match kind {
        "String" | "Binary" => Ok(()),
        "Number" if attribute.string_value.as_deref().is_some_and(|text| text.parse::<f64>().is_ok()) => Ok(()),
        "Number" => invalid(format!("Can't cast the value of message (user) attribute '{name}' to a number.")),
        _ => invalid(format!(
            "The message (user) attribute '{name}' has an invalid message attribute type, the set of supported type \
             prefixes is Binary, Number, and String."
        )),
    }
}

fn is_identifier(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The MD5 of a text in hexadecimal.
#[must_use]
pub fn md5_of_text(text: &str) -> String {
    hexadecimal(&Md5::digest(text.as_bytes()))
}

/// The MD5 of attributes, over the length-prefixed form that SQS documents.
pub(super) fn md5_of_attributes(attributes: &Attributes) -> Option<String> {
    if attributes.is_empty() {
        return None;
    }
    let mut digest = Md5::new();
    for (name, attribute) in attributes {
        let (kind, value) = match (&attribute.binary_value, &attribute.string_value) {
            (Some(bytes), _) => (2, BASE64.decode(bytes).unwrap_or_default()),
            (None, text) => (1, text.clone().unwrap_or_default().into_bytes()),
        };
        add_with_length(&mut digest, name.as_bytes());
        add_with_length(&mut digest, attribute.data_type.as_bytes());
        digest.update([kind]);
        add_with_length(&mut digest, &value);
    }
    Some(hexadecimal(&digest.finalize()))
}

fn add_with_length(digest: &mut Md5, bytes: &[u8]) {
    digest.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    digest.update(bytes);
}
