//! One queue, as a state machine: it reads no clock and does no I/O. Time is an argument, in milliseconds since 1970.
//!
//! A FIFO group is blocked while any of its messages is in flight, and behind a message that is still delayed. One
//! receive may take several messages of a group, in order, as SQS does.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use sha2::{Digest, Sha256};

use super::error::{Code, SqsError};
use super::message::{Message, Outgoing, Received};
use crate::ids::hexadecimal;
use crate::ledger::Hold;
use crate::template::Queue;

/// How long a FIFO queue remembers a deduplication id.
pub(super) const DEDUPLICATION_MILLIS: u64 = 5 * 60 * 1000;
/// How many messages a FIFO receive searches for a group that is not blocked; SQS has such a bound too.
const FIFO_WINDOW: usize = 20_000;

/// The messages of one queue.
#[derive(Debug)]
pub(super) struct QueueState {
    config: Queue,
    entries: BTreeMap<u64, Entry>,
    /// Every message by the time at which it becomes visible.
    by_time: BTreeSet<(u64, u64)>,
    next_sequence: u64,
    /// The messages of the deduplication window, by deduplication key.
    recent: HashMap<DeduplicationKey, Recent>,
}

#[derive(Debug)]
struct Entry {
    message: Message,
    visible_at: u64,
    /// Whether a consumer has it, or has let its visibility timeout pass.
    received: bool,
    /// Keeps the message's traces from becoming quiet while it waits here.
    hold: Option<Hold>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct DeduplicationKey {
    group: Option<String>,
    id: String,
}

#[derive(Debug, Clone)]
struct Recent {
    sent_at: u64,
    message_id: String,
    sequence: u64,
}

/// The outcome of a send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) message_id: String,
    pub(super) sequence: u64,
    /// The message as it is kept; none if it is a duplicate.
    pub(super) stored: Option<Stored>,
}

/// A message and when it becomes visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) message: Message,
    pub(super) sequence: u64,
    pub(super) visible_at: u64,
}

/// The order in which messages are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As they were sent, which a standard queue tries to keep.
    Sent,
    /// In an order that depends on this number, which a standard queue may do as well.
    Random(u64),
}

/// The result of a receive.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) received: Vec<Received>,
    /// Messages that were received too often and go to the dead-letter queue.
    pub(super) dead: Vec<(u64, Message)>,
}

/// The number of messages in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Ready to be received.
    pub visible: usize,
    /// Received by a consumer, and not yet deleted.
    pub in_flight: usize,
    /// Sent with a delay that has not passed yet.
    pub delayed: usize,
}

impl QueueState {
    pub(super) fn new(config: Queue) -> Self {
        Self { config, entries: BTreeMap::new(), by_time: BTreeSet::new(), next_sequence: 1, recent: HashMap::new() }
    }

    pub(super) fn config(&self) -> &Queue {
        &self.config
    }

    /// Accepts a message. `id` is the id that it gets if it is new.
    pub(super) fn send(&mut self, outgoing: Outgoing, id: String, now: u64) -> Result<Accepted, SqsError> {
        outgoing.check()?;
        let limit = self.config.max_message_bytes;
        if outgoing.size() > limit {
            let message =
                format!("One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes.");
            return Err(SqsError::new(Code::InvalidParameterValue, message));
        }
        let deduplication_id = self.deduplication_id(&outgoing)?;
        if let Some(key) = deduplication_id.as_ref().map(|id| self.key(outgoing.group.as_ref(), id)) {
            self.recent.retain(|_, recent| now < recent.sent_at + DEDUPLICATION_MILLIS);
            if let Some(recent) = self.recent.get(&key) {
                let message_id = recent.message_id.clone();
                return Ok(Accepted { message_id, sequence: recent.sequence, stored: None });
            }
        }
        let delay = outgoing.delay_seconds.map_or(self.config.delay, Duration::from_secs);
        let message = Message {
            id,
            body: outgoing.body,
            attributes: outgoing.attributes,
            group: outgoing.group,
            deduplication_id,
            trace_header: outgoing.trace_header,
            traces: outgoing.traces,
            sent_at: now,
            first_received_at: None,
            receives: 0,
            dead_letter_source: None,
        };
        let visible_at = now + millis(delay);
        let sequence = self.next_sequence;
        let stored = Stored { message, sequence, visible_at };
        self.restore(stored.clone());
        Ok(Accepted { message_id: stored.message.id.clone(), sequence, stored: Some(stored) })
    }

    fn deduplication_id(&self, outgoing: &Outgoing) -> Result<Option<String>, SqsError> {
        let invalid = |message: &str| Err(SqsError::new(Code::InvalidParameterValue, message));
        if outgoing.delay_seconds.is_some_and(|delay| delay > 900) {
            return invalid(
                "Value for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
            );
        }
        if !self.config.fifo {
            return match outgoing.deduplication_id {
                None => Ok(None),
                Some(_) => invalid(
                    "Value for parameter MessageDeduplicationId is invalid. Reason: The request includes a parameter \
                     that is not valid for this queue type.",
                ),
            };
        }
        if outgoing.delay_seconds.is_some_and(|delay| delay > 0) {
            return invalid(
                "Value for parameter DelaySeconds is invalid. Reason: The request includes a parameter that is not \
                 valid for this queue type.",
            );
        }
        if outgoing.group.is_none() {
            let message = "The request must contain the parameter MessageGroupId.";
            return Err(SqsError::new(Code::MissingParameter, message));
        }
        match &outgoing.deduplication_id {
            Some(id) => Ok(Some(id.clone())),
            None if self.config.content_based_deduplication => {
                Ok(Some(hexadecimal(&Sha256::digest(outgoing.body.as_bytes()))))
            }
            None => invalid(
                "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided \
                 explicitly",
            ),
        }
    }

    fn key(&self, group: Option<&String>, id: &str) -> DeduplicationKey {
        let group = if self.config.deduplicate_per_group { group.cloned() } else { None };
        DeduplicationKey { group, id: id.to_owned() }
    }

    /// Restores a message from the journal.
    pub(super) fn restore(&mut self, stored: Stored) {
        let Stored { message, sequence, visible_at } = stored;
        self.remember(message.group.clone(), message.deduplication_id.clone(), &message.id, sequence, message.sent_at);
        self.next_sequence = self.next_sequence.max(sequence + 1);
        self.by_time.insert((visible_at, sequence));
        self.entries.insert(sequence, Entry { message, visible_at, received: false, hold: None });
    }

    /// Remembers the deduplication id of a message, which may be gone.
    pub(super) fn remember(
        &mut self,
        group: Option<String>,
        deduplication_id: Option<String>,
        message_id: &str,
        sequence: u64,
        sent_at: u64,
    ) {
        self.next_sequence = self.next_sequence.max(sequence + 1);
        if let Some(id) = deduplication_id {
            let recent = Recent { sent_at, message_id: message_id.to_owned(), sequence };
            self.recent.insert(self.key(group.as_ref(), &id), recent);
        }
    }

    /// The deduplication ids of messages that are gone, for the journal: group, deduplication id, message id, sequence
    /// number, time.
    pub(super) fn remembered(&self, now: u64) -> impl Iterator<Item = (Option<&str>, &str, &str, u64, u64)> {
        self.recent
            .iter()
            .filter(move |(_, recent)| now < recent.sent_at + DEDUPLICATION_MILLIS)
            .filter(|(_, recent)| !self.entries.contains_key(&recent.sequence))
            .map(|(key, it)| (key.group.as_deref(), key.id.as_str(), it.message_id.as_str(), it.sequence, it.sent_at))
    }

    /// All messages, in order.
    pub(super) fn stored(&self) -> impl Iterator<Item = Stored> {
        self.entries.iter().map(|(sequence, entry)| Stored {
            message: entry.message.clone(),
            sequence: *sequence,
            visible_at: entry.visible_at,
        })
    }

    /// Restores a receipt from the journal.
    pub(super) fn restore_receives(&mut self, sequence: u64, receives: u32, first_received_at: u64) {
        if let Some(entry) = self.entries.get_mut(&sequence) {
            entry.message.receives = receives;
            entry.message.first_received_at = Some(first_received_at);
        }
    }

    /// Attaches a hold to the message, which is dropped with it.
    pub(super) fn hold(&mut self, sequence: u64, hold: Hold) {
        if let Some(entry) = self.entries.get_mut(&sequence) {
            entry.hold = Some(hold);
        }
    }

    /// Accepts a dead letter from another queue. It keeps its id and, in a standard queue, its age.
    pub(super) fn accept_dead_letter(&mut self, message: Message, source_arn: &str, now: u64) -> Stored {
        let fifo = self.config.fifo;
        let message = Message {
            receives: 0,
            first_received_at: None,
            dead_letter_source: Some(source_arn.to_owned()),
            sent_at: if fifo { now } else { message.sent_at },
            // The message id identifies it here: another message may have the sender's deduplication id.
            deduplication_id: fifo.then(|| message.id.clone()),
            ..message
        };
        let stored = Stored { message, sequence: self.next_sequence, visible_at: now };
        self.restore(stored.clone());
        stored
    }

    /// The messages that are not in flight, in order; each with the ARN of its source queue.
    pub(super) fn visible(&self, now: u64) -> Vec<(u64, Option<String>)> {
        let visible = self.entries.iter().filter(|(_, entry)| entry.visible_at <= now);
        visible.map(|(sequence, entry)| (*sequence, entry.message.dead_letter_source.clone())).collect()
    }

    /// The oldest messages, in any state.
    pub(super) fn oldest(&self, limit: usize) -> Vec<Message> {
        self.entries.values().take(limit).map(|entry| entry.message.clone()).collect()
    }

    /// Takes a message out, unless it is in flight.
    pub(super) fn take_visible(&mut self, sequence: u64, now: u64) -> Option<Message> {
        let visible = self.entries.get(&sequence).is_some_and(|entry| entry.visible_at <= now);
        visible.then(|| self.remove(sequence)).flatten()
    }

    /// Accepts a redriven dead letter as a new message: with another id, sent now.
    pub(super) fn accept_redriven(&mut self, message: Message, id: String, now: u64) -> Stored {
        let message = Message {
            receives: 0,
            first_received_at: None,
            dead_letter_source: None,
            sent_at: now,
            // Under its sender's deduplication id it would count as a duplicate of itself.
            deduplication_id: self.config.fifo.then(|| id.clone()),
            id,
            ..message
        };
        let stored = Stored { message, sequence: self.next_sequence, visible_at: now };
        self.restore(stored.clone());
        stored
    }

    /// Hands out up to `max` messages for `visibility`.
    pub(super) fn receive(&mut self, max: usize, visibility: Option<Duration>, now: u64, order: Order) -> Taken {
        let visible_at = now + millis(visibility.unwrap_or(self.config.visibility_timeout));
        let mut taken = Taken::default();
        for sequence in self.candidates(max, now, order) {
            if taken.received.len() == max {
                break;
            }
            let Some(entry) = self.entries.get_mut(&sequence) else { continue };
            let spent =
                self.config.redrive.as_ref().is_some_and(|redrive| entry.message.receives >= redrive.max_receives);
            if spent {
                taken.dead.extend(self.remove(sequence).map(|message| (sequence, message)));
                continue;
            }
            entry.message.receives += 1;
            entry.message.first_received_at.get_or_insert(now);
            entry.received = true;
            let received = Received {
                message: entry.message.clone(),
                sequence,
                receipt_handle: handle(&self.config.name, sequence, entry.message.receives),
            };
            self.reschedule(sequence, visible_at);
            taken.received.push(received);
        }
        taken
    }

    /// The messages that may be received now, in the order of receipt; more than `max`, because some are dead.
    fn candidates(&self, max: usize, now: u64, order: Order) -> Vec<u64> {
        let dead = |sequence: &u64| {
            let redrive = self.config.redrive.as_ref();
            redrive.zip(self.entries.get(sequence)).is_some_and(|(it, entry)| entry.message.receives >= it.max_receives)
        };
        let mut wanted = max;
        let mut enough = |sequence: &u64| {
            let more = wanted > 0;
            wanted -= usize::from(more && !dead(sequence));
            more
        };
        if !self.config.fifo {
            let visible = self.by_time.range(..=(now, u64::MAX)).map(|(_, sequence)| *sequence);
            let Order::Random(chance) = order else { return visible.take_while(|it| enough(it)).collect() };
            let mut visible: Vec<u64> = visible.collect();
            visible
                .sort_by_cached_key(|sequence| Sha256::digest([chance.to_le_bytes(), sequence.to_le_bytes()].concat()));
            return visible.into_iter().take_while(|it| enough(it)).collect();
        }
        let busy = self.by_time.range((now + 1, 0)..).filter_map(|(_, sequence)| self.entries.get(sequence));
        let busy = busy.filter(|entry| entry.received).filter_map(|entry| entry.message.group.as_deref());
        let mut blocked: HashSet<&str> = busy.collect();
        let mut candidates = Vec::new();
        for (sequence, entry) in self.entries.iter().take(FIFO_WINDOW) {
            let group = entry.message.group.as_deref().unwrap_or_default();
            if blocked.contains(group) {
                continue;
            }
            if entry.visible_at > now {
                blocked.insert(group);
                continue;
            }
            if !enough(sequence) {
                break;
            }
            candidates.push(*sequence);
        }
        candidates
    }

    /// Deletes a message by its receipt handle, and returns it if it was still there.
    pub(super) fn delete(&mut self, receipt_handle: &str, now: u64) -> Result<Option<(u64, Message)>, SqsError> {
        let (sequence, receives) = self.parse_handle(receipt_handle)?;
        let Some(entry) = self.entries.get(&sequence) else { return Ok(None) };
        if self.config.fifo && (entry.visible_at <= now || entry.message.receives != receives) {
            let message = format!(
                "Value {receipt_handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
            );
            return Err(SqsError::new(Code::InvalidParameterValue, message));
        }
        if entry.message.receives != receives {
            // An older handle of a message that was received since: SQS answers with success and keeps the message.
            return Ok(None);
        }
        Ok(self.remove(sequence).map(|message| (sequence, message)))
    }

    /// Changes how long a received message stays invisible, from now on.
    pub(super) fn change_visibility(
        &mut self,
        receipt_handle: &str,
        visibility: Duration,
        now: u64,
    ) -> Result<(), SqsError> {
        let (sequence, receives) = self.parse_handle(receipt_handle)?;
        let entry = self.entries.get(&sequence);
        let entry = entry.filter(|entry| entry.visible_at > now && entry.message.receives == receives);
        if entry.is_none_or(|entry| !entry.received) {
            let message = format!(
                "Value {receipt_handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist \
                         or is not available for visibility timeout change."
            );
            return Err(SqsError::new(Code::MessageNotInflight, message));
        }
        self.reschedule(sequence, now + millis(visibility));
        Ok(())
    }

    /// Deletes the messages that are past the queue's retention period, and returns which.
    pub(super) fn expire(&mut self, now: u64) -> Vec<u64> {
        let retention = millis(self.config.retention);
        // Sequences follow the time of sending, except for dead letters, which keep their age: hence no early end.
        let expired = self.entries.iter().filter(|(_, entry)| entry.message.sent_at + retention <= now);
        let expired: Vec<u64> = expired.map(|(sequence, _)| *sequence).collect();
        for sequence in &expired {
            self.remove(*sequence);
        }
        expired
    }

    /// Deletes all messages, and returns which.
    pub(super) fn purge(&mut self) -> Vec<u64> {
        self.by_time.clear();
        std::mem::take(&mut self.entries).into_keys().collect()
    }

    /// Removes a message that is gone according to the journal.
    pub(super) fn remove(&mut self, sequence: u64) -> Option<Message> {
        let entry = self.entries.remove(&sequence)?;
        self.by_time.remove(&(entry.visible_at, sequence));
        Some(entry.message)
    }

    pub(super) fn counts(&self, now: u64) -> Counts {
        let mut counts = Counts { visible: self.entries.len(), ..Counts::default() };
        for (_, sequence) in self.by_time.range((now + 1, 0)..) {
            counts.visible -= 1;
            match self.entries.get(sequence) {
                Some(entry) if entry.received => counts.in_flight += 1,
                _ => counts.delayed += 1,
            }
        }
        counts
    }

    /// When the next message becomes visible by the passing of time alone.
    pub(super) fn next_change(&self, now: u64) -> Option<u64> {
        self.by_time.range((now + 1, 0)..).next().map(|(time, _)| *time)
    }

    fn reschedule(&mut self, sequence: u64, visible_at: u64) {
        if let Some(entry) = self.entries.get_mut(&sequence) {
            self.by_time.remove(&(entry.visible_at, sequence));
            entry.visible_at = visible_at;
            self.by_time.insert((visible_at, sequence));
        }
    }

    fn parse_handle(&self, receipt_handle: &str) -> Result<(u64, u32), SqsError> {
        let text = BASE64.decode(receipt_handle).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let parsed = text.as_deref().and_then(|text| {
            let (name, rest) = text.split_once('/')?;
            let (sequence, receives) = rest.split_once('/')?;
            (name == self.config.name).then_some((sequence.parse().ok()?, receives.parse().ok()?))
        });
        let message = format!("The input receipt handle \"{receipt_handle}\" is not a valid receipt handle.");
        parsed.ok_or_else(|| SqsError::new(Code::ReceiptHandleIsInvalid, message))
    }
}

/// A receipt handle, which names one receipt of one message: a later receipt makes it stale.
fn handle(queue: &str, sequence: u64, receives: u32) -> String {
    BASE64.encode(format!("{queue}/{sequence}/{receives}"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
