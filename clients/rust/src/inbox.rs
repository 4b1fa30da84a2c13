//! The handling of each frame: order, gaps, duplicates. Decides and does no I/O.
//!
//! The mailbox is dense: position *n* is followed by *n + 1*. So the inbox recognises a gap, holds back messages that
//! came too early, and asks for the rest. Each message is shown once and in order, by three rules:
//!
//! - a message is shown only when everything before it was shown, or was skipped by the service;
//! - a message at or before the cursor is never shown, whichever way it comes: a former run of the app showed it, or
//!   the service reported that there is nothing to show;
//! - the cursor never passes a message that the service has sent and that did not arrive. It never goes back, unless it
//!   turns out to be the cursor of another mailbox.
//!
//! A replay skips entries that are not for this device: of another platform, expired, cancelled, confirmed. So a gap
//! may be empty. `posted` lists the positions that the replay sent, and it is complete when they have arrived. If the
//! service does not list them, `count` is their number. The answer to an earlier request may come late, even after
//! messages that it counts were shown. Its count is then too high, never too low: an entry that the service would send
//! at a position can only be withdrawn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};

use tidings_wire::action::{Position, Receipt};
use tidings_wire::frame::Synced;
use tidings_wire::{Action, Frame, MessageFrame};

use crate::received::{Received, receipt};

/// How many ids are kept to refuse duplicates. The service's deduplication window holds a few dozen.
const REMEMBERED: usize = 4_096;
/// How many positions are kept with their state of confirmation. If more messages than these wait in the app's events,
/// the client may confirm one that the app has not taken.
const KNOWN: usize = 16_384;
/// Most messages that wait for their turn, 24 KB each. Beyond that the newest are dropped, and a replay brings them
/// again. More than a page of a replay, so that the messages that are due always have room.
const HELD: usize = 4_096;
/// Most redeliveries that wait until the cursor's mailbox is known. Dropped ones come again.
const REPEATS: usize = 128;
/// Most requests for one replay on a connection, before the client tries another connection.
const REPLAY_ATTEMPTS: u32 = 3;

/// A consequence of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this to the service.
    Send(Action),
    /// A former run of the app was shown this message, and its acknowledgement seems to be lost. Acknowledge it again
    /// if the client acknowledges; an app that does so by hand has decided about it in that run.
    AckAgain(Receipt),
    /// Deliver this message to the app. Each id comes once.
    Deliver(Box<Received>),
    /// The replay ended.
    Synced(Synced),
    /// The service does not answer, or its messages do not arrive: give this connection up.
    GiveUp,
}

/// The client's state of one device's mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Inbox {
    /// Everything up to here was delivered or skipped.
    cursor: Option<Position>,
    /// Everything up to here was shown before the messages in `delivered`.
    earlier: Option<Position>,
    /// The highest position that is known on this connection.
    head: Option<Position>,
    replay: Option<Replay>,
    /// Messages that came before their turn.
    held: BTreeMap<Position, Box<Received>>,
    /// Messages without a position that came during a replay.
    transient: Vec<Received>,
    /// Messages that were shown in this run, and whether the app confirmed them.
    delivered: BTreeMap<Position, bool>,
    seen: Seen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Replay {
    attempt: u32,
    /// The cursor at the time of the request.
    after: Option<Position>,
    /// No answer on this connection has shown yet whether the cursor belongs to this mailbox.
    first: bool,
    /// The cursor turned out to belong to another log, so messages may be missing.
    is_other_log: bool,
    /// The answer came, but fewer messages than it counts: they may come later, by another path.
    short: Option<Synced>,
}

impl Hash for Replay {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let short = self.short.as_ref().map(|it| (it.position, it.recovered, it.more, it.count, &it.posted));
        (self.attempt, self.after, self.first, self.is_other_log, short).hash(state);
    }
}

/// How many of the messages that an answer counts have arrived.
enum Coverage {
    Complete,
    Short,
    /// More messages have arrived than were sent: one is live, at a position that the replay skipped, and may hide that
    /// another one is missing.
    Stray,
}

impl Inbox {
    /// An inbox of an app that has shown everything up to `cursor`.
    #[must_use]
    pub fn new(cursor: Option<Position>) -> Self {
        Self { cursor, earlier: cursor, ..Self::default() }
    }

    /// The position up to which everything was delivered. Keep it, and begin the next run with it.
    #[must_use]
    pub fn cursor(&self) -> Option<Position> {
        self.cursor
    }

    /// Whether a replay was requested and has not ended.
    #[must_use]
    pub fn awaits_replay(&self) -> bool {
        self.replay.is_some()
    }

    /// The request for missed messages on a new connection.
    #[must_use]
    pub fn connected(&mut self) -> Action {
        // Held messages come again with the replay.
        self.held.clear();
        self.head = None;
        self.ask(Replay { attempt: 0, after: None, first: true, is_other_log: false, short: None })
    }

    /// The request for messages that neither connection may bring, when a new one succeeds one that is still read.
    #[must_use]
    pub fn rolled_over(&mut self) -> Action {
        let first = self.replay.as_ref().is_some_and(|replay| replay.first);
        self.ask(Replay { attempt: 0, after: None, first, is_other_log: false, short: None })
    }

    /// Requests a replay for another reason than the mailbox, unless one is on its way.
    #[must_use]
    pub fn ask_if_idle(&mut self) -> Vec<Step> {
        if self.replay.is_some() { Vec::new() } else { vec![Step::Send(self.request_replay())] }
    }

    fn request_replay(&mut self) -> Action {
        self.ask(Replay { attempt: 0, after: None, first: false, is_other_log: false, short: None })
    }

    fn ask(&mut self, replay: Replay) -> Action {
        self.replay = Some(Replay { after: self.cursor, short: None, ..replay });
        Action::Sync { after: self.cursor, announced: None }
    }

    fn ask_again(&mut self, replay: Replay) -> Step {
        let attempt = replay.attempt + 1;
        if attempt < REPLAY_ATTEMPTS { Step::Send(self.ask(Replay { attempt, ..replay })) } else { Step::GiveUp }
    }

    /// Records that the app confirmed the message at this position. If the message comes again, it is confirmed again
    /// and not shown.
    pub fn acknowledged(&mut self, position: Position) {
        if let Some(confirmed) = self.delivered.get_mut(&position) {
            *confirmed = true;
        }
    }

    /// Handles a replay whose answer, or a part of it, did not come in time. Messages that several replays did not
    /// bring may come on another connection; skipping them would lose them for good.
    #[must_use]
    pub fn replay_overdue(&mut self) -> Vec<Step> {
        let Some(replay) = self.replay.take() else { return Vec::new() };
        vec![self.ask_again(replay)]
    }

    /// Handles a frame. `sealed` is its text on the wire.
    #[must_use]
    pub fn frame(&mut self, frame: Frame, sealed: String) -> Vec<Step> {
        match frame {
            Frame::Message(message) => self.message(Box::new(Received { message: *message, sealed })),
            Frame::Synced(synced) => self.synced(synced),
            Frame::Pong(pong) => {
                self.raise_head(pong.position);
                self.ask_if_behind()
            }
            // These concern the connection or an action, not the mailbox.
            Frame::Announcement(_) | Frame::Error(_) | Frame::Reconnect(_) => Vec::new(),
        }
    }

    fn message(&mut self, received: Box<Received>) -> Vec<Step> {
        let Some(position) = received.message.position else {
            if self.replay.is_none() {
                return self.show(received).into_iter().collect();
            }
            if self.transient.len() < HELD {
                self.transient.push(*received);
            }
            return Vec::new();
        };
        self.raise_head(position);
        if self.has(position) {
            if !self.replay.as_ref().is_some_and(|replay| replay.first) {
                return self.again(&received.message).into_iter().collect();
            }
            // If the cursor belongs to another mailbox, this message may be new.
            if self.held.len() < REPEATS {
                self.held.insert(position, received);
            }
            return Vec::new();
        }
        let mut steps = Vec::new();
        if self.is_next(position) {
            // Everything else that is missing comes after it. So there is progress even if many messages are lost.
            steps.extend(self.pass(position, received));
            steps.extend(self.cursor_is_of_this_log());
            steps.extend(self.advance());
        } else {
            self.hold(position, received);
        }
        match self.replay.as_mut().map(|replay| replay.short.take()) {
            Some(Some(synced)) => steps.extend(self.synced(synced)),
            Some(None) => {}
            None => steps.extend(self.ask_if_behind()),
        }
        steps
    }

    fn synced(&mut self, mut synced: Synced) -> Vec<Step> {
        let end = synced.position;
        self.raise_head(end);
        let Some(replay) = self.replay.as_ref() else {
            // An answer to a request that is over.
            return self.ask_if_behind();
        };
        let mut steps = Vec::new();
        if replay.first {
            if !synced.recovered && self.cursor.is_some_and(|at| end < at) {
                return vec![Step::Send(self.restart())];
            }
            steps = self.cursor_is_of_this_log();
        }
        let Some(replay) = self.replay.take() else { return steps };
        if Some(end) < replay.after || (synced.more && Some(end) == replay.after) {
            // The answer to an earlier request, or the service could not even send the first message. The request is
            // repeated when the time for an answer is over, not at once.
            self.replay = Some(replay);
            return steps;
        }
        match self.coverage(&replay, &synced) {
            Coverage::Complete => {
                synced.recovered &= !replay.is_other_log;
                steps.extend(self.finish(replay, synced));
            }
            Coverage::Short => self.replay = Some(Replay { short: Some(synced), ..replay }),
            Coverage::Stray => {
                // The request is repeated when the time for an answer is over, and the count begins at zero.
                self.held = self.held.split_off(&beyond(end));
                self.replay = Some(replay);
            }
        }
        steps
    }

    /// The service's log ends before the cursor: it belongs to another user, or was reset. Everything in it is new.
    /// Only the first answer on a connection is trusted with this, because it cannot be late.
    fn restart(&mut self) -> Action {
        self.cursor = Some(Position { epoch: 0, seq: 0 });
        self.earlier = None;
        self.head = None;
        self.held.clear();
        self.delivered.clear();
        self.ask(Replay { attempt: 0, after: None, first: false, is_other_log: true, short: None })
    }

    /// The cursor belongs to this mailbox: redeliveries that waited for this have been shown before.
    fn cursor_is_of_this_log(&mut self) -> Vec<Step> {
        let Some(replay) = self.replay.as_mut().filter(|replay| replay.first) else { return Vec::new() };
        replay.first = false;
        let Some(cursor) = self.cursor else { return Vec::new() };
        let after = self.held.split_off(&beyond(cursor));
        let repeats = std::mem::replace(&mut self.held, after);
        repeats.into_values().filter_map(|received| self.again(&received.message)).collect()
    }

    fn coverage(&self, replay: &Replay, synced: &Synced) -> Coverage {
        let end = synced.position;
        if let Some(posted) = &synced.posted {
            let place = |seq| Position { seq, ..end };
            let here = posted.iter().all(|&seq| self.has(place(seq)) || self.held.contains_key(&place(seq)));
            return if here { Coverage::Complete } else { Coverage::Short };
        }
        // A replay has one epoch: the entries of the former epoch are gone when the new one begins.
        let within =
            |place: Option<Position>| place.filter(|at| at.epoch == end.epoch).map_or(0, |at| at.seq.min(end.seq));
        let shown = within(self.cursor).saturating_sub(within(replay.after));
        let held = self.held.keys().filter(|at| at.epoch == end.epoch && **at <= end).count() as u64;
        let here = shown + held;
        if here >= end.seq.saturating_sub(within(replay.after)) {
            // No gap, so nothing can be missing.
            return Coverage::Complete;
        }
        match here.cmp(&synced.count) {
            std::cmp::Ordering::Less => Coverage::Short,
            // As many as were sent. `count` cannot show whether they are the same: a live message that was withdrawn on
            // its way, so that the replay skips its position, would replace one that is missing.
            std::cmp::Ordering::Equal => Coverage::Complete,
            std::cmp::Ordering::Greater => Coverage::Stray,
        }
    }

    /// Completes the replay: first its messages, then those that came live meanwhile.
    fn finish(&mut self, replay: Replay, mut synced: Synced) -> Vec<Step> {
        let end = synced.position;
        let later = self.held.split_off(&beyond(end));
        let replayed = std::mem::replace(&mut self.held, later);
        let mut steps = Vec::new();
        for (position, received) in replayed {
            steps.extend(self.pass(position, received));
        }
        if replay.after.is_none() {
            // The service keeps the cursor of a client that keeps none: the entries that it skips were shown.
            self.earlier = Some(end);
        }
        self.cursor = self.cursor.max(Some(end));
        // Live messages may have moved the cursor beyond the end; an app that keeps this position must not go back.
        synced.position = self.cursor.unwrap_or(end);
        let more = synced.more;
        steps.push(Step::Synced(synced));
        steps.extend(self.advance());
        if self.cursor > replay.after && (more || self.is_behind()) {
            steps.push(Step::Send(self.request_replay()));
        } else if self.is_behind() {
            steps.push(self.ask_again(replay));
        } else {
            for received in std::mem::take(&mut self.transient) {
                steps.extend(self.show(Box::new(received)));
            }
        }
        steps
    }

    /// Delivers held messages whose turn has come.
    fn advance(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some(position) = self.held.keys().next().copied().filter(|&position| self.is_next(position)) {
            if let Some(received) = self.held.remove(&position) {
                steps.extend(self.pass(position, received));
            }
        }
        steps
    }

    /// Shows the message whose turn it is.
    fn pass(&mut self, position: Position, received: Box<Received>) -> Option<Step> {
        self.cursor = Some(position);
        let shown = self.show(received)?;
        self.delivered.insert(position, false);
        if self.delivered.len() > KNOWN
            && let Some((oldest, _)) = self.delivered.pop_first()
        {
            self.earlier = self.earlier.max(Some(oldest));
        }
        Some(shown)
    }

    fn show(&mut self, received: Box<Received>) -> Option<Step> {
        self.seen.is_first(&received.message.id).then_some(Step::Deliver(received))
    }

    /// Handles a message that comes again: its acknowledgement may have been lost. If the app holds it unconfirmed,
    /// only the app confirms it: a confirmed message is not replayed, so a crash would lose it. And a message that was
    /// skipped was never shown.
    fn again(&self, message: &MessageFrame) -> Option<Step> {
        let receipt = receipt(message)?;
        match self.delivered.get(&receipt.position) {
            Some(true) => Some(Step::Send(Action::Ack(receipt))),
            Some(false) => None,
            None => (Some(receipt.position) <= self.earlier).then_some(Step::AckAgain(receipt)),
        }
    }

    fn hold(&mut self, position: Position, received: Box<Received>) {
        self.held.insert(position, received);
        if self.held.len() > HELD {
            self.held.pop_last();
        }
    }

    fn raise_head(&mut self, position: Position) {
        self.head = self.head.max(Some(position));
    }

    fn ask_if_behind(&mut self) -> Vec<Step> {
        if self.replay.is_none() && self.is_behind() { vec![Step::Send(self.request_replay())] } else { Vec::new() }
    }

    /// Whether messages beyond the cursor are known to exist.
    fn is_behind(&self) -> bool {
        self.head > self.cursor
    }

    /// Whether this position has been delivered or skipped, as every position of an older epoch has.
    fn has(&self, position: Position) -> bool {
        Some(position) <= self.cursor
    }

    fn is_next(&self, position: Position) -> bool {
        match self.cursor {
            // Nothing comes before the first entry of an epoch, so an empty mailbox recognises its first message.
            Some(Position { seq: 0, .. }) => position.seq == 1,
            Some(at) => at.epoch == position.epoch && position.seq == at.seq.saturating_add(1),
            None => false,
        }
    }
}

/// The position after this one in its epoch.
fn beyond(position: Position) -> Position {
    Position { seq: position.seq.saturating_add(1), ..position }
}

/// The last ids. Positions alone would do for messages that have one; ids also cover those without, and a service that
/// stores a message twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Seen {
    ids: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn is_first(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;
