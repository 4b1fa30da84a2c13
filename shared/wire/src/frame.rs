//! What a device receives, once decrypted. Every frame names the device that it is for.

use serde::{Deserialize, Serialize};

use crate::{action::Position, choice::choice, send::Content};

choice! {
    /// Why an action of a device had no effect.
    ErrorCode {
        /// There is no `action`, or none of the five.
        UnknownAction = "unknown_action",
        /// Fields are missing, wrong, not known or given twice; `detail` names each, up to twenty.
        InvalidFields = "invalid_fields",
        /// A receipt of a message that the mailbox does not have at that position.
        UnknownMessage = "unknown_message",
        /// A receipt of a position in another epoch than the mailbox's.
        UnknownEpoch = "unknown_epoch",
        /// A receipt of a position beyond the mailbox's newest message.
        FutureSeq = "future_seq",
        /// Not JSON, or not an object.
        NotJson = "not_json",
        /// Nested more than [`crate::limits::JSON_DEPTH`] levels.
        BodyTooDeep = "body_too_deep",
        /// Over [`crate::limits::HTTP_BODY_BYTES`] bytes; API Gateway closes the connection long before.
        BodyTooLarge = "body_too_large",
        /// Not text; API Gateway itself closes the connection at one.
        BinaryFrame = "binary_frame",
    }
}

choice! {
    /// Why a device should come back on a new connection.
    ReconnectCode {
        /// Instead of a pong, in the last eighth of the connection's life: open a new connection within `after`
        /// seconds, send `sync` there, and close this one when `synced` has come. This one works until then.
        Rollover = "rollover",
        /// The device was unregistered, changed hands, or was away for too long. In clear, because no key belongs to
        /// such a connection: close it, wait up to `after` seconds, connect again.
        UnknownConnection = "unknown_connection",
        /// A device or its user has more connections than allowed, and this one was used least recently. In clear, just
        /// before the connection is closed: wait up to `after` seconds, connect again.
        Evicted = "evicted",
    }
}

/// What a device receives, once opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Frame {
    /// A message.
    Message(Box<MessageFrame>),
    /// An announcement.
    Announcement(Box<AnnouncementFrame>),
    /// The answer to `sync`, after the messages that it replayed.
    Synced(Synced),
    /// The answer to `ping`.
    Pong(Pong),
    /// An action of the device could not be carried out.
    Error(ErrorFrame),
    /// Come back on a new connection.
    Reconnect(Reconnect),
}

impl Frame {
    /// The device that the frame is for.
    #[must_use]
    pub fn device_id(&self) -> &str {
        match self {
            Self::Message(frame) => &frame.device_id,
            Self::Announcement(frame) => &frame.device_id,
            Self::Synced(frame) => &frame.device_id,
            Self::Pong(frame) => &frame.device_id,
            Self::Error(frame) => &frame.device_id,
            Self::Reconnect(frame) => &frame.device_id,
        }
    }
}

/// A message, as one device receives it. `epoch` and `seq`, its position in the user's mailbox, are absent for a
/// message that is not kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "Message", transform = crate::schema::kept)
)]
pub struct MessageFrame {
    /// The message's id: the same on every device and every time it comes. Show each once.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::MessageId"))]
    pub id: String,
    /// Its position in the user's mailbox; absent for a message that is not kept.
    #[serde(flatten, skip_serializing_if = "Option::is_none", default)]
    pub position: Option<Position>,
    /// The device that the frame is for.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::DeviceId"))]
    pub device_id: String,
    /// The user.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = crate::limits::ALIAS_CHARS)))]
    pub to_user_name: String,
    /// The `sender`, if the request names one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = crate::limits::NAME_CHARS)))]
    pub from_user_name: Option<String>,
    /// When it was accepted, or its `sendAt`; in seconds since the Unix epoch.
    pub create_time: i64,
    /// What was sent.
    #[serde(flatten)]
    pub content: Content,
}

/// An announcement, as one device receives it. Devices do not acknowledge it. One with a `number` up to the device's
/// cursor was shown before. One whose `after` is beyond the cursor is not shown: an announcement between is missing,
/// and a `sync` brings it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "Announcement", transform = crate::schema::unconfirmed)
)]
pub struct AnnouncementFrame {
    /// The announcement's id: the same on every device and every time it comes.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::AnnouncementId"))]
    pub id: String,
    /// Its position among the announcements of the app and tenant. Numbers grow; they are not dense.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub number: u64,
    /// The number that it follows, 0 for the first: that of the announcement before it, or in a replay the one that the
    /// device has reached. No announcement between the two is for this device.
    pub after: u64,
    /// The device that the frame is for.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::DeviceId"))]
    pub device_id: String,
    /// The user.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = crate::limits::ALIAS_CHARS)))]
    pub to_user_name: String,
    /// The `sender`, if the request names one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = crate::limits::NAME_CHARS)))]
    pub from_user_name: Option<String>,
    /// When it was accepted, in seconds since the Unix epoch.
    pub create_time: i64,
    /// What was announced.
    #[serde(flatten)]
    pub content: Content,
}

/// How far a replay came in the announcements. Absent if the device did not ask, and while there is more of the
/// mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Announced {
    /// The last one that this replay sent; if it sent none, the number that the device asked from.
    pub after: u64,
    /// The number to keep once everything up to `after` has come: no announcement between the two is for this device.
    pub number: u64,
    /// Whether there are more: ask again from `number`. Absent if not.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub more: bool,
}

/// The end of a replay. `epoch` and `seq` are the cursor to keep; `0`, `0` for an empty mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Synced {
    /// The device that the frame is for.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::DeviceId"))]
    pub device_id: String,
    /// The cursor to keep: everything up to it has been sent.
    #[serde(flatten)]
    pub position: Position,
    /// Whether the mailbox reaches back to the device's cursor. If not, messages may be missing.
    pub recovered: bool,
    /// Whether there is more: ask again with this cursor.
    pub more: bool,
    /// Messages that this replay posted. They may still be on their way.
    #[cfg_attr(feature = "schema", schemars(range(max = crate::limits::SYNC_PAGE)))]
    pub count: u64,
    /// Their `seq`, in the epoch of the cursor. A message that is listed and has not arrived is on its way, or lost.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = crate::limits::SYNC_PAGE), inner(range(min = 1))))]
    pub posted: Option<Vec<u64>>,
    /// How far it came in the announcements, if the device asked for them and nothing of the mailbox is left.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub announced: Option<Announced>,
}

/// The answer to a ping. `epoch` and `seq` are the mailbox's head: a device that is behind it sends `sync`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Pong {
    /// The device that the frame is for.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::DeviceId"))]
    pub device_id: String,
    /// Head of the mailbox: a client whose cursor is behind it has missed a message.
    #[serde(flatten)]
    pub position: Position,
    /// The service's clock, in seconds since the Unix epoch.
    pub server_time: i64,
    /// Seconds until the next ping is due.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = crate::limits::PING_SECONDS)))]
    pub next_ping: u64,
}

/// An action of the device could not be carried out. It had no effect, and the connection stays open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Error"))]
pub struct ErrorFrame {
    /// The device that the frame is for.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::DeviceId"))]
    pub device_id: String,
    /// A code that stays the same.
    #[cfg_attr(feature = "schema", schemars(with = "ErrorCode"))]
    pub code: String,
    /// What is wrong, for people: the field and the limit.
    pub detail: String,
}

/// Come back on a new connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reconnect {
    /// The device that the frame is for.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::DeviceId"))]
    pub device_id: String,
    /// Stable code, `snake_case`.
    #[cfg_attr(feature = "schema", schemars(with = "ReconnectCode"))]
    pub code: String,
    /// Seconds to wait before the next connection, to be spread by full jitter.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub after: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_frame_is_flat() {
        let frame = Frame::Message(Box::new(MessageFrame {
            id: "m".into(),
            position: Some(Position { epoch: 7, seq: 3 }),
            device_id: "d".into(),
            to_user_name: "alice".into(),
            from_user_name: None,
            create_time: 1,
            content: Content { alert: Some("Hello".into()), ..Content::default() },
        }));
        let json = serde_json::json!({"type": "message", "id": "m", "epoch": 7, "seq": 3, "deviceId": "d",
            "toUserName": "alice", "createTime": 1, "alert": "Hello"});
        assert_eq!(serde_json::to_value(&frame).unwrap(), json);
        assert_eq!(serde_json::from_value::<Frame>(json).unwrap(), frame);
    }
}
