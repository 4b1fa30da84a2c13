//! The history of a soak, recorded from outside: answers, frames, trails, mailboxes and the outbox. The checks read
//! nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use tidings_wire::action::Position;
use tidings_wire::{SendAnswer, Timestamp, Trail};

use super::plan::Plan;

/// The whole history.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) plan: Arc<Plan>,
    /// One for each message of the plan.
    pub(crate) sends: Vec<Sent>,
    /// The number of each announcement of the plan, once it was accepted.
    pub(crate) announced: Vec<Option<u64>>,
    /// One for each device of the plan.
    pub(crate) devices: Vec<DeviceLog>,
    /// The last trail of each message, read when everything was over.
    pub(crate) trails: BTreeMap<usize, Arc<Trail>>,
    /// The steps that had begun when a trail was first seen confirmed, by message and alias.
    pub(crate) begun_when_confirmed: BTreeMap<(usize, String), BTreeSet<usize>>,
    /// One for each user of the plan.
    pub(crate) mailboxes: Vec<Vec<Entry>>,
    pub(crate) outbox: Vec<Item>,
    /// Whether the service ran undisturbed: no fault, no kill, no short life of sockets.
    pub(crate) calm: bool,
    pub(crate) ended: Timestamp,
}

/// The outcome of sending one message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sent {
    /// When it is to be sent, if the request has a time.
    pub(crate) send_at: Option<Timestamp>,
    pub(crate) accepted: Option<Accepted>,
    /// The final refusal, or that there was no answer before the end.
    pub(crate) refused: Option<String>,
    pub(crate) repeats: Vec<Repeat>,
    pub(crate) cancelled: Option<Cancelled>,
}

#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    /// When the answer arrived.
    pub(crate) at: Timestamp,
    pub(crate) answer: SendAnswer,
}

/// A request that repeats a key.
#[derive(Debug, Clone)]
pub(crate) struct Repeat {
    pub(crate) other_body: bool,
    /// The answer, or the status and code of the refusal.
    pub(crate) answer: Result<SendAnswer, (u16, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// The service cancelled it; the time is that of the answer.
    Yes(Timestamp),
    /// The message was already settled.
    TooLate,
    /// Any other answer: status and code.
    Refused(u16, String),
}

/// The log of one device over all runs of its app.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeviceLog {
    pub(crate) id: String,
    pub(crate) shown: Vec<Shown>,
    pub(crate) announcements: Vec<ShownAnnouncement>,
    /// The times from the end of a replay until the loss of that connection.
    pub(crate) online: Vec<(Timestamp, Timestamp)>,
    /// The end of the last replay, if its connection is not lost yet.
    pub(crate) online_since: Option<Timestamp>,
    pub(crate) reconnects: u64,
    pub(crate) restarts: u64,
    pub(crate) rollovers: u64,
    /// Refusals of the service, by code.
    pub(crate) refusals: BTreeMap<String, u64>,
    /// Why the client gave up.
    pub(crate) ended: Option<String>,
}

/// A message that the app has received.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) position: Option<Position>,
    pub(crate) alert: String,
    pub(crate) at: Timestamp,
    /// The run of the app, from 0.
    pub(crate) run: u64,
}

/// An announcement that the app has received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShownAnnouncement {
    pub(crate) number: u64,
    pub(crate) alert: String,
}

/// An entry of a mailbox, as it is in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) position: Position,
    pub(crate) id: String,
}

/// An item of the twin's outbox.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    pub(crate) number: u64,
    pub(crate) message_id: String,
    pub(crate) channel: String,
    pub(crate) to: Vec<String>,
    #[serde(default)]
    pub(crate) subject: Option<String>,
    #[serde(default)]
    pub(crate) text: Option<String>,
}

impl DeviceLog {
    /// The connection is lost, or the history ends.
    pub(crate) fn offline(&mut self, now: Timestamp) {
        if let Some(since) = self.online_since.take() {
            self.online.push((since, now));
        }
    }
}

impl History {
    /// The ids of the accepted messages, with their index in the plan.
    pub(crate) fn ids(&self) -> BTreeMap<&str, usize> {
        let accepted = self.sends.iter().enumerate();
        accepted
            .filter_map(|(index, sent)| sent.accepted.as_ref().map(|one| (one.answer.request_id.as_str(), index)))
            .collect()
    }
}
