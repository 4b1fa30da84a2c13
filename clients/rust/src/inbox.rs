//! What to do with each frame: order, gaps, duplicates. Decides and does no I/O.
//!
//! The mailbox is dense: after place *n* comes *n + 1*. So the inbox knows a gap when it sees one, holds back what came
//! too early, and asks for the rest. Each message is shown once and in order, because
//!
//! - a message is shown when everything before it was, or was passed over by the service: never else;
//! - what stands at or before the cursor is never shown again, whoever sends it: an earlier life of the app showed it,
//!   or the service said that there is nothing to show;
//! - the cursor never passes a message that the service has sent and that did not come, and never goes back, unless it
//!   turns out to be the cursor of another mailbox.
//!
//! A replay passes over entries that are not for this device: of another platform, expired, cancelled, confirmed. So
//! a hole may be nothing. `posted` names the places that the replay sent, and it is complete when they are here. From
//! a service that does not name them, `count` says how many they are. An answer to an earlier question may come late,
//! even after messages that it counts were shown. It then counts more than is missing, never less: what the service
//! wants to give us at a place can only be withdrawn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};

use tidings_wire::action::{Position, Receipt};
use tidings_wire::frame::Synced;
use tidings_wire::{Action, Frame, MessageFrame};

use crate::received::{Received, receipt};

/// How many ids are remembered to refuse duplicates. The service looks back a few dozen; this is generous.
const REMEMBERED: usize = 4_096;
/// How many places are remembered with whether the app confirmed them. An app that lets more than these wait in its
/// events may have one confirmed that it has not taken.
const KNOWN: usize = 16_384;
/// How many messages wait for their turn at most, 24 KB each. Beyond that the newest are dropped: a replay brings them
/// again. More than a page of a replay, so that the ones that are due always have room.
const HELD: usize = 4_096;
/// How many redeliveries wait until it is known whether the cursor belongs to this mailbox. Dropped ones come again.
const REPEATS: usize = 128;
/// How often a replay is asked for on one connection before another one is tried.
const REPLAY_ATTEMPTS: u32 = 3;

/// What follows from a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Say this to the service.
    Say(Action),
    /// An earlier life of the app was shown this, and its acknowledgement seems to be lost. Acknowledge it again if
    /// it is the client that acknowledges; an app that does it itself has decided about it then.
    AckAgain(Receipt),
    /// Hand this message to the app. Each id comes once.
    Deliver(Box<Received>),
    /// The replay ended here.
    Synced(Synced),
    /// The service does not answer, or its messages do not come: give this connection up.
    GiveUp,
}

/// The state of one device's mailbox on this side.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Inbox {
    /// Everything up to here was delivered or passed over.
    cursor: Option<Position>,
    /// Everything up to here was shown before anything that `delivered` remembers.
    earlier: Option<Position>,
    /// The furthest place that was heard of on this connection.
    head: Option<Position>,
    replay: Option<Replay>,
    /// What came before its turn.
    held: BTreeMap<Position, Box<Received>>,
    /// Messages without a place that came during a replay.
    transient: Vec<Received>,
    /// What was shown in this life, and whether the app confirmed it.
    delivered: BTreeMap<Position, bool>,
    seen: Seen,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Replay {
    attempt: u32,
    /// Where the cursor was when it was asked for.
    after: Option<Position>,
    /// No answer on this connection has told yet whether the cursor belongs to this mailbox.
    first: bool,
    /// The cursor turned out to be of another log, so that something may be missing.
    anew: bool,
    /// The answer came, but fewer messages than it counts: they travel on another way and may come later.
    short: Option<Synced>,
}

impl Hash for Replay {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let short = self.short.as_ref().map(|it| (it.position, it.recovered, it.more, it.count, &it.posted));
        (self.attempt, self.after, self.first, self.anew, short).hash(state);
    }
}

/// What is here of what an answer counts.
enum Coverage {
    Complete,
    Short,
    /// More is here than was sent: a live message of a place that the replay passes over is among it, and may hide that
    /// another one is missing.
    Stray,
}

impl Inbox {
    /// An inbox that has everything up to `cursor`.
    #[must_use]
    pub fn new(cursor: Option<Position>) -> Self {
        Self { cursor, earlier: cursor, ..Self::default() }
    }

    /// Everything up to here was delivered: keep it, and begin with it next time.
    #[must_use]
    pub fn cursor(&self) -> Option<Position> {
        self.cursor
    }

    /// Whether a replay was asked for and has not ended: an answer is due.
    #[must_use]
    pub fn awaits_replay(&self) -> bool {
        self.replay.is_some()
    }

    /// A new connection is there: ask for what was missed.
    #[must_use]
    pub fn connected(&mut self) -> Action {
        // What was held comes again with the replay.
        self.held.clear();
        self.head = None;
        self.ask(Replay { attempt: 0, after: None, first: true, anew: false, short: None })
    }

    /// A new connection is there beside one that is still read: ask for what neither may bring.
    #[must_use]
    pub fn rolled_over(&mut self) -> Action {
        let first = self.replay.as_ref().is_some_and(|replay| replay.first);
        self.ask(Replay { attempt: 0, after: None, first, anew: false, short: None })
    }

    /// Asks for a replay for another reason than the mailbox, unless one is on its way.
    #[must_use]
    pub fn ask_if_idle(&mut self) -> Vec<Step> {
        if self.replay.is_some() { Vec::new() } else { vec![Step::Say(self.ask_anew())] }
    }

    fn ask_anew(&mut self) -> Action {
        self.ask(Replay { attempt: 0, after: None, first: false, anew: false, short: None })
    }

    fn ask(&mut self, replay: Replay) -> Action {
        self.replay = Some(Replay { after: self.cursor, short: None, ..replay });
        Action::Sync { after: self.cursor, announced: None }
    }

    fn ask_again(&mut self, replay: Replay) -> Step {
        let attempt = replay.attempt + 1;
        if attempt < REPLAY_ATTEMPTS { Step::Say(self.ask(Replay { attempt, ..replay })) } else { Step::GiveUp }
    }

    /// The app confirmed the message at this place; should it come again, it is confirmed again without being shown.
    pub fn acknowledged(&mut self, position: Position) {
        if let Some(confirmed) = self.delivered.get_mut(&position) {
            *confirmed = true;
        }
    }

    /// No answer to the replay, or not all of it, within the time for it. What did not come by several replays may
    /// come by another connection; passing over it would lose it for good.
    #[must_use]
    pub fn replay_overdue(&mut self) -> Vec<Step> {
        let Some(replay) = self.replay.take() else { return Vec::new() };
        vec![self.ask_again(replay)]
    }

    /// A frame came. `sealed` is its text on the wire.
    #[must_use]
    pub fn frame(&mut self, frame: Frame, sealed: String) -> Vec<Step> {
        match frame {
            Frame::Message(message) => self.message(Box::new(Received { message: *message, sealed })),
            Frame::Synced(synced) => self.synced(synced),
            Frame::Pong(pong) => {
                self.heard_of(pong.position);
                self.ask_if_behind()
            }
            // About the connection or about something that was said, not about the mailbox.
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
        self.heard_of(position);
        if self.has(position) {
            if !self.replay.as_ref().is_some_and(|replay| replay.first) {
                return self.again(&received.message).into_iter().collect();
            }
            // If the cursor is of another mailbox, this may be new.
            if self.held.len() < REPEATS {
                self.held.insert(position, received);
            }
            return Vec::new();
        }
        let mut steps = Vec::new();
        if self.is_next(position) {
            // Whatever else is missing comes after it. This is what makes progress where messages are lost often.
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
        self.heard_of(end);
        let Some(replay) = self.replay.as_ref() else {
            // An answer that we no longer wait for.
            return self.ask_if_behind();
        };
        let mut steps = Vec::new();
        if replay.first {
            if !synced.recovered && self.cursor.is_some_and(|at| end < at) {
                return vec![Step::Say(self.begin_anew())];
            }
            steps = self.cursor_is_of_this_log();
        }
        let Some(replay) = self.replay.take() else { return steps };
        if Some(end) < replay.after || (synced.more && Some(end) == replay.after) {
            // The answer to an earlier question, or the service could not even send the first one. Asked again when
            // the time for an answer is over, not at once.
            self.replay = Some(replay);
            return steps;
        }
        match self.coverage(&replay, &synced) {
            Coverage::Complete => {
                synced.recovered &= !replay.anew;
                steps.extend(self.finish(replay, synced));
            }
            Coverage::Short => self.replay = Some(Replay { short: Some(synced), ..replay }),
            Coverage::Stray => {
                // Asked again when the time for an answer is over, and counted from nothing.
                self.held = self.held.split_off(&beyond(end));
                self.replay = Some(replay);
            }
        }
        steps
    }

    /// The service's log does not reach to the cursor: it is that of another user, or was set back. Everything in it
    /// is new. Only believed of the first answer on a connection, which cannot be late.
    fn begin_anew(&mut self) -> Action {
        self.cursor = Some(Position { epoch: 0, seq: 0 });
        self.earlier = None;
        self.head = None;
        self.held.clear();
        self.delivered.clear();
        self.ask(Replay { attempt: 0, after: None, first: false, anew: true, short: None })
    }

    /// The cursor belongs to this mailbox: what waited for knowing that has been shown before.
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
        // A replay has one epoch: the entries of the one before are gone when it begins.
        let within =
            |place: Option<Position>| place.filter(|at| at.epoch == end.epoch).map_or(0, |at| at.seq.min(end.seq));
        let shown = within(self.cursor).saturating_sub(within(replay.after));
        let held = self.held.keys().filter(|at| at.epoch == end.epoch && **at <= end).count() as u64;
        let here = shown + held;
        if here >= end.seq.saturating_sub(within(replay.after)) {
            // No hole, so nothing can be missing.
            return Coverage::Complete;
        }
        match here.cmp(&synced.count) {
            std::cmp::Ordering::Less => Coverage::Short,
            // As many as were sent. `count` cannot tell whether they are the same: a live message that was withdrawn
            // on its way, so that the replay passes over its place, would stand in for one that is missing.
            std::cmp::Ordering::Equal => Coverage::Complete,
            std::cmp::Ordering::Greater => Coverage::Stray,
        }
    }

    /// The replay is complete: first what it brought, then what came live meanwhile.
    fn finish(&mut self, replay: Replay, mut synced: Synced) -> Vec<Step> {
        let end = synced.position;
        let later = self.held.split_off(&beyond(end));
        let replayed = std::mem::replace(&mut self.held, later);
        let mut steps = Vec::new();
        for (position, received) in replayed {
            steps.extend(self.pass(position, received));
        }
        if replay.after.is_none() {
            // The service remembers for a client that keeps no cursor: what it passes over was shown.
            self.earlier = Some(end);
        }
        self.cursor = self.cursor.max(Some(end));
        // What came live meanwhile may be beyond the end by now; whoever keeps this must not go back.
        synced.position = self.cursor.unwrap_or(end);
        let more = synced.more;
        steps.push(Step::Synced(synced));
        steps.extend(self.advance());
        if self.cursor > replay.after && (more || self.is_behind()) {
            steps.push(Step::Say(self.ask_anew()));
        } else if self.is_behind() {
            steps.push(self.ask_again(replay));
        } else {
            for received in std::mem::take(&mut self.transient) {
                steps.extend(self.show(Box::new(received)));
            }
        }
        steps
    }

    /// Hands on what was held and has its turn now.
    fn advance(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some(position) = self.held.keys().next().copied().filter(|&position| self.is_next(position)) {
            if let Some(received) = self.held.remove(&position) {
                steps.extend(self.pass(position, received));
            }
        }
        steps
    }

    /// Shows the message that has its turn.
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

    /// What comes again: its acknowledgement may have been lost. A message that the app holds unconfirmed is
    /// confirmed by the app only: a crash would lose it otherwise, because what is confirmed is not replayed. And one
    /// that was passed over was not shown to anybody.
    fn again(&self, message: &MessageFrame) -> Option<Step> {
        let receipt = receipt(message)?;
        match self.delivered.get(&receipt.position) {
            Some(true) => Some(Step::Say(Action::Ack(receipt))),
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

    fn heard_of(&mut self, position: Position) {
        self.head = self.head.max(Some(position));
    }

    fn ask_if_behind(&mut self) -> Vec<Step> {
        if self.replay.is_none() && self.is_behind() { vec![Step::Say(self.ask_anew())] } else { Vec::new() }
    }

    /// Whether something is known to be beyond everything that is here.
    fn is_behind(&self) -> bool {
        self.head > self.cursor
    }

    /// Whether this place has been delivered or passed over. Of an older epoch, which began earlier, everything has.
    fn has(&self, position: Position) -> bool {
        Some(position) <= self.cursor
    }

    fn is_next(&self, position: Position) -> bool {
        match self.cursor {
            // Nothing comes before the first entry of any epoch, so an empty mailbox knows its first message.
            Some(Position { seq: 0, .. }) => position.seq == 1,
            Some(at) => at.epoch == position.epoch && position.seq == at.seq.saturating_add(1),
            None => false,
        }
    }
}

/// The first place after one in its epoch.
fn beyond(position: Position) -> Position {
    Position { seq: position.seq.saturating_add(1), ..position }
}

/// The last ids. Places alone would do for what has one; this also covers what has none, and a service that stores
/// twice.
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
