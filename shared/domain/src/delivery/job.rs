//! What travels on the delivery queues.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidings_wire::{Timestamp, Word};

use super::redelivery::Redelivery;
use crate::{AppId, Letter, MessageId, UserKey, mailbox, shape::Body};

/// One message for one recipient: everything that its delivery needs but the recipient's own state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The message.
    #[serde(flatten)]
    pub letter: Letter,
    /// The recipient.
    pub user: UserKey,
    /// Whether it is kept in the mailbox.
    pub persist: bool,
    /// Whether it was accepted long before it was put on the queue, so that its cancellation may have come in between.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub scheduled: bool,
}

impl Delivery {
    /// Whether it comes so late that the mailbox's window alone cannot recognise a duplicate.
    #[must_use]
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.letter.accepted.plus_seconds(mailbox::LATE_SECONDS) < now
    }
}

/// A message whose sender has cancelled it. It travels behind its delivery, in the same group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Withdraw {
    /// The recipient.
    pub user: UserKey,
    /// The message.
    pub id: MessageId,
    /// When it was cancelled.
    pub at: Timestamp,
}

/// What travels on a delivery queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "lowercase")]
pub enum Job {
    /// A message for one recipient.
    Deliver(Box<Delivery>),
    /// A message that no device has confirmed, or whose posts had no answer.
    #[serde(rename = "again")]
    Redeliver(Redelivery),
    /// A cancelled message.
    Withdraw(Withdraw),
}

impl Body for Job {
    const KIND: &'static str = "job";

    fn app(&self) -> Option<&AppId> {
        Some(&self.user().app)
    }

    fn name(body: &Value) -> Option<Word> {
        Word::new(body.get("job")?.as_str()?)
    }
}

impl Job {
    /// The user in whose order it stands.
    #[must_use]
    pub fn user(&self) -> &UserKey {
        match self {
            Self::Deliver(delivery) => &delivery.user,
            Self::Redeliver(redelivery) => &redelivery.user,
            Self::Withdraw(withdraw) => &withdraw.user,
        }
    }

    /// The name by which the queue drops a repeat; differs from those of its user's other jobs.
    #[must_use]
    pub fn deduplication_id(&self) -> String {
        match self {
            Self::Deliver(delivery) => delivery.letter.id.to_string(),
            Self::Redeliver(redelivery) => format!("{}.{}", redelivery.id, redelivery.name()),
            Self::Withdraw(withdraw) => format!("{}.withdraw", withdraw.id),
        }
    }
}
