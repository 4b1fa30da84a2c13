//! What was seen of a soak from outside: answers, frames, trails, mailboxes and the outbox. The checks read this and
//! nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use tidings_wire::action::Position;
use tidings_wire::{SendAnswer, Timestamp, Trail};

use super::plan::Plan;

/// Everything that was seen.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) plan: Arc<Plan>,
    /// One for each message of the plan.
    pub(super) sends: Vec<Sent>,
    /// The number of each announcement of the plan, once it was accepted.
    pub(super) announced: Vec<Option<u64>>,
    /// One for each device of the plan.
    pub(super) devices: Vec<DeviceLog>,
    /// The last trail of each message, read when everything was over.
    pub(super) trails: BTreeMap<usize, Arc<Trail>>,
    /// By message and alias: which steps had begun when a trail was first seen to be confirmed.
    pub(super) begun_when_confirmed: BTreeMap<(usize, String), BTreeSet<usize>>,
    /// One for each user of the plan.
    pub(super) mailboxes: Vec<Vec<Entry>>,
    pub(super) outbox: Vec<Item>,
    /// Whether nothing was done to the service: no fault, no kill, no short life of sockets.
    pub(super) calm: bool,
    pub(super) ended: Timestamp,
}

/// What came of sending one message.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
    /// When it is to be sent, where the request says so.
    pub(super) send_at: Option<Timestamp>,
    pub(super) accepted: Option<Accepted>,
    /// An answer that no repetition mends, or none in all the time.
    pub(super) refused: Option<String>,
    pub(super) repeats: Vec<Repeat>,
    pub(super) cancelled: Option<Cancelled>,
}

#[derive(Debug, Clone)]
pub(super) struct Accepted {
    /// When the answer was here.
    pub(super) at: Timestamp,
    pub(super) answer: SendAnswer,
}

/// The same key once more.
#[derive(Debug, Clone)]
pub(super) struct Repeat {
    pub(super) other_body: bool,
    /// The answer, or the status and code of the refusal.
    pub(super) answer: Result<SendAnswer, (u16, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// The service said yes, and this is when the answer was here.
    Yes(Timestamp),
    /// It said that the message had come to its end before.
    TooLate,
    /// Anything else: status and code.
    Refused(u16, String),
}

/// What one device has seen over all its runs.
#[derive(Debug, Clone, Default)]
pub(super) struct DeviceLog {
    pub(super) id: String,
    pub(super) shown: Vec<Shown>,
    pub(super) heard: Vec<Heard>,
    /// From the end of a replay until the loss of that connection.
    pub(super) online: Vec<(Timestamp, Timestamp)>,
    /// The same, of a connection that is not lost yet.
    pub(super) online_since: Option<Timestamp>,
    pub(super) reconnects: u64,
    pub(super) restarts: u64,
    pub(super) rollovers: u64,
    /// What the service said no to, by code.
    pub(super) refusals: BTreeMap<String, u64>,
    /// The client gave up: why.
    pub(super) ended: Option<String>,
}

/// A message in the hands of the app.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) position: Option<Position>,
    pub(super) alert: String,
    pub(super) at: Timestamp,
    /// Which run of the app it was, from 0.
    pub(super) run: u64,
}

/// An announcement in the hands of the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) number: u64,
    pub(super) alert: String,
}

/// An entry of a mailbox, as it stands in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) id: String,
}

/// An item of the twin's outbox.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item {
    pub(super) number: u64,
    pub(super) message_id: String,
    pub(super) channel: String,
    pub(super) to: Vec<String>,
    #[serde(default)]
    pub(super) subject: Option<String>,
    #[serde(default)]
    pub(super) text: Option<String>,
}

impl DeviceLog {
    /// The connection is lost, or this is as far as we look.
    pub(super) fn offline(&mut self, now: Timestamp) {
        if let Some(since) = self.online_since.take() {
            self.online.push((since, now));
        }
    }
}

impl History {
    /// The ids of what was accepted, with the message of the plan.
    pub(super) fn ids(&self) -> BTreeMap<&str, usize> {
        let accepted = self.sends.iter().enumerate();
        accepted
            .filter_map(|(index, sent)| sent.accepted.as_ref().map(|one| (one.answer.request_id.as_str(), index)))
            .collect()
    }
}
