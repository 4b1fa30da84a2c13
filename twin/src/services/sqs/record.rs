//! The records of the queues' journal.

use serde::{Deserialize, Serialize};

use super::message::Message;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Record {
    /// A queue accepted a message.
    Sent {
        /// The queue's name.
        queue: String,
        /// Its sequence number in the queue.
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
        /// Its sequence number in the queue.
        sequence: u64,
        /// How often it has been received so far.
        receives: u32,
        /// When it was first received.
        first_received_at: u64,
    },
    /// A message is gone: deleted, expired, or moved to a dead-letter queue.
    Deleted {
        /// The queue's name.
        queue: String,
        /// Its sequence number in the queue.
        sequence: u64,
    },
    /// A message is gone, but its deduplication id is still remembered.
    Remembered {
        /// The queue's name.
        queue: String,
        /// Its group, if deduplication is by group.
        group: Option<String>,
        /// Its deduplication id.
        deduplication_id: String,
        /// The message id with which a duplicate is answered.
        message_id: String,
        /// Its sequence number in the queue.
        sequence: u64,
        /// When it was sent.
        sent_at: u64,
    },
}
