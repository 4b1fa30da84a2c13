//! What a device receives, once decrypted. Every frame names the device that it is for.

use serde::{Deserialize, Serialize};

use crate::{action::Position, send::Content};

/// One frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Something that the device said could not be done.
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

/// A message, as one device receives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageFrame {
    /// The message's id; the same on every device and every redelivery.
    pub id: String,
    /// Where it stands in the user's mailbox; absent for a message that is not kept.
    #[serde(flatten, skip_serializing_if = "Option::is_none", default)]
    pub position: Option<Position>,
    /// The device.
    pub device_id: String,
    /// The user.
    pub to_user_name: String,
    /// The sender, where the request names one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from_user_name: Option<String>,
    /// When it was accepted, in seconds since the Unix epoch.
    pub create_time: i64,
    /// What was sent.
    #[serde(flatten)]
    pub content: Content,
}

/// An announcement, as one device receives it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnnouncementFrame {
    /// Its id; the same on every device.
    pub id: String,
    /// Its place among the announcements of the app and tenant. Numbers grow; they are not dense.
    pub number: u64,
    /// The number before it: what stands between the two is not for this device. 0 for the first.
    pub after: u64,
    /// The device.
    pub device_id: String,
    /// The user.
    pub to_user_name: String,
    /// The sender, where the request names one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from_user_name: Option<String>,
    /// When it was accepted, in seconds since the Unix epoch.
    pub create_time: i64,
    /// What was announced.
    #[serde(flatten)]
    pub content: Content,
}

/// How far a replay came in the announcements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Announced {
    /// The last one that this replay sent; where it sent none, the place that the client asked from.
    pub after: u64,
    /// The cursor to keep: nothing between `after` and it is for this device.
    pub number: u64,
    /// Whether there is more: ask again with the new cursor, at once where it has moved.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub more: bool,
}

/// The end of a replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Synced {
    /// The device.
    pub device_id: String,
    /// The cursor to keep: everything up to it has been sent.
    #[serde(flatten)]
    pub position: Position,
    /// Whether the replay is complete: false where the log no longer reaches back to the client's cursor.
    pub recovered: bool,
    /// Whether there is more: ask again with the new cursor.
    pub more: bool,
    /// Messages that this replay sent.
    pub count: u64,
    /// Their places in the epoch. Without them a live message that was withdrawn on its way, so that the replay passes over its
    /// place, could stand in for one that is counted and missing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub posted: Option<Vec<u64>>,
    /// How far it came in the announcements, where the client asked for them and nothing of the mailbox is left.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub announced: Option<Announced>,
}

/// The server is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pong {
    /// The device.
    pub device_id: String,
    /// Head of the mailbox: a client whose cursor is behind it has missed something.
    #[serde(flatten)]
    pub position: Position,
    /// The server's clock, in seconds since the Unix epoch.
    pub server_time: i64,
    /// Seconds until the next ping is due.
    pub next_ping: u64,
}

/// Something that the device said could not be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorFrame {
    /// The device.
    pub device_id: String,
    /// Stable code, `snake_case`.
    pub code: String,
    /// The field and the limit.
    pub detail: String,
}

/// Come back on a new connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reconnect {
    /// The device.
    pub device_id: String,
    /// Stable code, `snake_case`.
    pub code: String,
    /// Seconds to wait before; spread it by full jitter.
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
