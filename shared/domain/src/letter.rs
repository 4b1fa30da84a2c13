//! The part of a message that lasts from its acceptance to the last step of its chain.

use serde::{Deserialize, Serialize};
use tidings_wire::{
    Frame, MessageFrame, Open, Platform, Timestamp,
    action::Position,
    send::{Condition, Content},
};

use crate::{DeviceId, MessageId, More, UserKey, Written, chain::Step, digest};

/// Characters of a collapse digest.
const COLLAPSE_CHARS: usize = 12;

/// The part of a message that its record, its queued deliveries and its mailbox entries have in common. All three store
/// it in this form: the content as one JSON text, because an app's `extra` may be nested deeper than DynamoDB's 32
/// levels, and times as numbers, which are a third of the size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Letter {
    /// The message's id.
    pub id: MessageId,
    /// The platform whose devices receive it.
    pub platform: Open<Platform>,
    /// What the devices receive.
    pub content: Written<Content>,
    /// Text of the SMS, if the sender gave one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sms: Option<String>,
    /// The fallback chain.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub steps: Vec<Step>,
    /// What must still hold when a step is due.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub condition: Option<Condition>,
    /// When it was accepted; for a scheduled message, when it was to be sent. Its order, life and chain count from
    /// here.
    #[serde(with = "millis")]
    pub accepted: Timestamp,
    /// When it expires for a recipient who has not confirmed it.
    #[serde(with = "millis")]
    pub deadline: Timestamp,
    /// The end of its redelivery, if it has to be confirmed.
    #[serde(with = "optional_millis", skip_serializing_if = "Option::is_none", default)]
    pub redeliver_until: Option<Timestamp>,
    /// What it replaces: see [`collapse_digest`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub collapse: Option<String>,
    /// What a newer version has added.
    #[serde(flatten)]
    pub more: More,
}

impl Letter {
    /// The frame for one device of a recipient; a transient message has no position.
    #[must_use]
    pub fn frame(&self, position: Option<Position>, user: &UserKey, device: &DeviceId) -> Frame {
        Frame::Message(Box::new(MessageFrame {
            id: self.id.to_string(),
            position,
            device_id: device.to_string(),
            to_user_name: user.alias.clone(),
            from_user_name: self.content.sender.clone(),
            create_time: self.accepted.seconds(),
            content: Content::clone(&self.content),
        }))
    }
}

/// The digest of a sender's collapse key. Messages for different platforms do not replace each other.
#[must_use]
pub fn collapse_digest(platform: Platform, key: &str) -> String {
    digest(format!("{platform}\0{key}").as_bytes()).chars().take(COLLAPSE_CHARS).collect()
}

/// A moment as a number, in milliseconds since the Unix epoch.
mod millis {
    use serde::{Deserialize, Deserializer, Serializer};
    use tidings_wire::Timestamp;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(deserializer).map(Timestamp)
    }
}

/// A moment as a number, or none.
mod optional_millis {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use tidings_wire::Timestamp;

    #[expect(clippy::ref_option, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(|at| at.0).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<i64>::deserialize(deserializer)?.map(Timestamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::letter;
    use tidings_wire::send::Channel;

    #[test]
    fn reads_what_it_writes_and_writes_no_field_that_is_not_set() {
        let bare = letter(1);
        let json = serde_json::to_value(&bare).unwrap();
        let mut names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accepted", "content", "deadline", "id", "platform"]);
        let extra = serde_json::from_str(&format!("{}1.50{}", "[".repeat(60), "]".repeat(60))).unwrap();
        let whole = Letter {
            content: Content { alert: Some("\"".into()), extra: Some(extra), ..Content::default() }.into(),
            sms: Some(String::new()),
            steps: vec![Step { channel: Channel::Sms.into(), after: Some(5) }],
            condition: Some(Condition { item_open: Some("order:1".into()), client_version_below: None }),
            redeliver_until: Some(Timestamp(-1)),
            collapse: Some("k".into()),
            ..bare.clone()
        };
        for letter in [bare, whole] {
            let json = serde_json::to_string(&letter).unwrap();
            assert_eq!(serde_json::from_str::<Letter>(&json).unwrap(), letter, "{json}");
        }
    }

    #[test]
    fn a_collapse_key_counts_for_its_platform() {
        assert_ne!(collapse_digest(Platform::Ios, "a"), collapse_digest(Platform::All, "a"));
        assert_eq!(collapse_digest(Platform::Ios, "a").len(), COLLAPSE_CHARS);
    }
}
