//! What the queues' journal holds.

use serde::{Deserialize, Serialize};

use super::message::Message;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Record {
    /// A queue took a message in.
    Sent {
        /// The queue's name.
        queue: String,
        /// Its place in the queue.
        sequence: u64,
        /// When it becomes visible.
        visible_at: u64,
        /// The message.
        message: Message,
    },
    /// A consumer received a message.
    Received {
        /// The queue's name.
        queue: String,
        /// Its place in the queue.
        sequence: u64,
        /// How often it was received by now.
        receives: u32,
        /// When it was first received.
        first_received_at: u64,
    },
    /// A message is gone: deleted, expired, or moved to a queue of dead letters.
    Deleted {
        /// The queue's name.
        queue: String,
        /// Its place in the queue.
        sequence: u64,
    },
    /// A message is gone, and its deduplication id is not forgotten yet.
    Remembered {
        /// The queue's name.
        queue: String,
        /// Its group, where deduplication is by group.
        group: Option<String>,
        /// Its deduplication id.
        deduplication_id: String,
        /// The id that a repetition is answered with.
        message_id: String,
        /// Its place in the queue.
        sequence: u64,
        /// When it was sent.
        sent_at: u64,
    },
}
