//! What to do with each frame: order, gaps, duplicates. Decides and does no I/O.
//!
//! The mailbox is dense: after place *n* comes *n + 1*. So the inbox knows a gap when it sees one, holds back what came
//! too early, and asks for the rest. While a replay runs, live messages wait behind it.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tidings_wire::action::{Position, Receipt};
use tidings_wire::frame::Synced;
use tidings_wire::{Action, Frame, MessageFrame};

use crate::device::Received;

/// How many ids are remembered to refuse duplicates. The service looks back a few dozen; this is generous.
const REMEMBERED: usize = 4_096;
/// How often a replay is asked for again before what came of it is accepted.
const REPLAY_ATTEMPTS: u32 = 3;

/// What follows from a frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Say this to the service.
    Say(Action),
    /// Hand this message to the app. Each id comes once.
    Deliver(Box<Received>),
    /// The replay ended here.
    Synced(Synced),
    /// The service does not answer: give this connection up.
    GiveUp,
}

/// The state of one device's mailbox on this side.
#[derive(Debug, Default)]
pub struct Inbox {
    /// Everything up to here was delivered.
    cursor: Option<Position>,
    replay: Option<Replay>,
    /// What came before its turn.
    held: BTreeMap<Position, Box<Received>>,
    /// Messages without a place that came during a replay.
    transient: Vec<Received>,
    seen: Seen,
}

#[derive(Debug)]
struct Replay {
    attempt: u32,
    /// The answer came, but fewer messages than it counts: they travel on another way and may come later.
    short: Option<Synced>,
}

impl Inbox {
    /// An inbox that has everything up to `cursor`.
    #[must_use]
    pub fn new(cursor: Option<Position>) -> Self {
        Self { cursor, ..Self::default() }
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
        self.ask(0)
    }

    fn ask(&mut self, attempt: u32) -> Action {
        self.replay = Some(Replay { attempt, short: None });
        Action::Sync { after: self.cursor }
    }

    /// The app confirmed a message; should it come again, it is confirmed again without being shown.
    pub fn acknowledged(&mut self, id: &str) {
        self.seen.confirm(id);
    }

    /// No answer to the replay, or not all of it, within the time for it.
    #[must_use]
    pub fn replay_overdue(&mut self) -> Vec<Step> {
        let Some(replay) = self.replay.take() else { return Vec::new() };
        let attempt = replay.attempt + 1;
        if attempt < REPLAY_ATTEMPTS {
            return vec![Step::Say(self.ask(attempt))];
        }
        match replay.short {
            // The counted messages did not come by three replays. What is missing may have been meant for another
            // connection; holding back what is here would only lose more.
            Some(synced) => self.finish(synced),
            None => vec![Step::GiveUp],
        }
    }

    /// A frame came. `sealed` is its text on the wire.
    #[must_use]
    pub fn frame(&mut self, frame: Frame, sealed: String) -> Vec<Step> {
        match frame {
            Frame::Message(message) => self.message(*message, sealed),
            Frame::Synced(synced) => self.synced(synced),
            Frame::Pong(pong) if !self.is_behind(pong.position) => Vec::new(),
            Frame::Pong(_) => vec![Step::Say(self.ask(0))],
            // About the connection or about something that was said, not about the mailbox.
            Frame::Error(_) | Frame::Reconnect(_) => Vec::new(),
        }
    }

    fn message(&mut self, message: MessageFrame, sealed: String) -> Vec<Step> {
        let position = message.position;
        let received = Box::new(Received { message, sealed });
        match position {
            None if self.replay.is_some() => {
                self.transient.push(*received);
                Vec::new()
            }
            None => self.deliver(received),
            Some(position) if self.replay.is_some() => {
                self.held.insert(position, received);
                let short = self.replay.as_mut().and_then(|replay| replay.short.take());
                short.map_or_else(Vec::new, |synced| self.synced(synced))
            }
            // Older than the cursor: a redelivery, or a replay's latecomer. Whether it is new, its id says.
            Some(position) if self.cursor.is_some_and(|at| at.epoch == position.epoch && position.seq <= at.seq) => {
                self.deliver(received)
            }
            Some(position) if self.is_next(position) => {
                self.cursor = Some(position);
                self.deliver(received)
            }
            Some(position) => {
                self.held.insert(position, received);
                vec![Step::Say(self.ask(0))]
            }
        }
    }

    fn synced(&mut self, synced: Synced) -> Vec<Step> {
        let Some(replay) = self.replay.as_mut() else {
            // An answer that we gave up on, or to a question of an earlier connection.
            return Vec::new();
        };
        let end = synced.position;
        let came = self.held.keys().filter(|at| at.epoch == end.epoch && at.seq <= end.seq).count() as u64;
        if came < synced.count {
            replay.short = Some(synced);
            return Vec::new();
        }
        self.finish(synced)
    }

    /// The replay is complete: first what it brought, then what came live meanwhile.
    fn finish(&mut self, synced: Synced) -> Vec<Step> {
        self.replay = None;
        let end = synced.position;
        let later = self.held.split_off(&Position { epoch: end.epoch, seq: end.seq.saturating_add(1) });
        let replayed = std::mem::replace(&mut self.held, later);
        let mut steps: Vec<Step> = replayed.into_values().flat_map(|received| self.deliver(received)).collect();
        self.cursor = Some(end);
        let more = synced.more;
        steps.push(Step::Synced(synced));
        if more {
            steps.push(Step::Say(self.ask(0)));
            return steps;
        }
        while let Some(entry) = self.held.first_entry() {
            let position = *entry.key();
            if !self.is_next(position) {
                steps.push(Step::Say(self.ask(0)));
                break;
            }
            if let Some((_, received)) = self.held.pop_first() {
                self.cursor = Some(position);
                steps.extend(self.deliver(received));
            }
        }
        for received in std::mem::take(&mut self.transient) {
            steps.extend(self.deliver(Box::new(received)));
        }
        steps
    }

    fn deliver(&mut self, received: Box<Received>) -> Vec<Step> {
        match self.seen.see(&received.message.id) {
            Sighting::First => vec![Step::Deliver(received)],
            Sighting::Again { confirmed: true } => {
                receipt(&received.message).map(|receipt| Step::Say(Action::Ack(receipt))).into_iter().collect()
            }
            Sighting::Again { confirmed: false } => Vec::new(),
        }
    }

    fn is_next(&self, position: Position) -> bool {
        match self.cursor {
            // Nothing comes before the first entry of any epoch, so an empty mailbox knows its first message.
            Some(Position { seq: 0, .. }) => position.seq == 1,
            Some(at) => at.epoch == position.epoch && position.seq == at.seq.saturating_add(1),
            None => false,
        }
    }

    /// Whether the mailbox's head is beyond everything that is here.
    fn is_behind(&self, head: Position) -> bool {
        if self.replay.is_some() {
            return false;
        }
        match self.cursor {
            Some(at) if at.epoch == head.epoch => head.seq > at.seq,
            Some(at) => head.seq > 0 && at != head,
            None => true,
        }
    }
}

/// How a message is confirmed; `None` for one without a place in the mailbox, which nobody waits for.
pub(crate) fn receipt(message: &MessageFrame) -> Option<Receipt> {
    message.position.map(|position| Receipt { id: Some(message.id.clone()), position })
}

enum Sighting {
    First,
    Again { confirmed: bool },
}

/// The last ids, and which of them the app confirmed.
#[derive(Debug, Default)]
struct Seen {
    confirmed: HashMap<String, bool>,
    order: VecDeque<String>,
}

impl Seen {
    fn see(&mut self, id: &str) -> Sighting {
        if let Some(&confirmed) = self.confirmed.get(id) {
            return Sighting::Again { confirmed };
        }
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.confirmed.remove(&oldest);
        }
        self.confirmed.insert(id.to_owned(), false);
        self.order.push_back(id.to_owned());
        Sighting::First
    }

    fn confirm(&mut self, id: &str) {
        if let Some(confirmed) = self.confirmed.get_mut(id) {
            *confirmed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_wire::Content;
    use tidings_wire::frame::Pong;

    const EPOCH: u64 = 7;

    fn at(seq: u64) -> Position {
        Position { epoch: EPOCH, seq }
    }

    fn message(position: Option<Position>, id: &str) -> Frame {
        Frame::Message(Box::new(MessageFrame {
            id: id.to_owned(),
            position,
            device_id: "d".to_owned(),
            to_user_name: "alice".to_owned(),
            from_user_name: None,
            create_time: 0,
            content: Content::default(),
        }))
    }

    /// Message *n* has the id `n`.
    fn live(inbox: &mut Inbox, seq: u64) -> Vec<String> {
        told(inbox.frame(message(Some(at(seq)), &seq.to_string()), String::new()))
    }

    fn synced(inbox: &mut Inbox, seq: u64, count: u64, more: bool) -> Vec<String> {
        let synced = Synced { device_id: "d".to_owned(), position: at(seq), recovered: true, more, count };
        told(inbox.frame(Frame::Synced(synced), String::new()))
    }

    /// The steps in short: `3` delivered, `?2` sync after 2, `!3` acknowledged, `=3` synced.
    fn told(steps: Vec<Step>) -> Vec<String> {
        steps
            .into_iter()
            .map(|step| match step {
                Step::Deliver(received) => received.message.id,
                Step::Say(Action::Sync { after }) => format!("?{}", after.map_or(0, |at| at.seq)),
                Step::Say(Action::Ack(receipt)) => format!("!{}", receipt.id.unwrap_or_default()),
                Step::Synced(synced) => format!("={}", synced.position.seq),
                Step::GiveUp => "give up".to_owned(),
                Step::Say(other) => format!("{other:?}"),
            })
            .collect()
    }

    fn ready(seq: u64) -> Inbox {
        let mut inbox = Inbox::new(Some(at(seq)));
        assert_eq!(inbox.connected(), Action::Sync { after: Some(at(seq)) });
        assert_eq!(synced(&mut inbox, seq, 0, false), [format!("={seq}")]);
        inbox
    }

    #[test]
    fn live_messages_pass_in_order() {
        let mut inbox = ready(2);
        assert_eq!(live(&mut inbox, 3), ["3"]);
        assert_eq!(live(&mut inbox, 4), ["4"]);
        assert_eq!(inbox.cursor(), Some(at(4)));
    }

    #[test]
    fn a_gap_is_asked_for_and_comes_before_what_showed_it() {
        let mut inbox = ready(2);
        assert_eq!(live(&mut inbox, 5), ["?2"]);
        assert!(live(&mut inbox, 6).is_empty(), "one question is enough");
        assert!(live(&mut inbox, 3).is_empty());
        assert!(live(&mut inbox, 4).is_empty());
        assert_eq!(synced(&mut inbox, 5, 3, false), ["3", "4", "5", "=5", "6"]);
    }

    #[test]
    fn what_comes_live_waits_for_the_replay() {
        let mut inbox = Inbox::new(None);
        assert_eq!(inbox.connected(), Action::Sync { after: None });
        assert!(live(&mut inbox, 3).is_empty());
        assert!(live(&mut inbox, 1).is_empty());
        assert!(told(inbox.frame(message(None, "typing"), String::new())).is_empty());
        assert!(live(&mut inbox, 2).is_empty());
        assert_eq!(synced(&mut inbox, 2, 2, false), ["1", "2", "=2", "3", "typing"]);
    }

    #[test]
    fn a_replay_in_pages_asks_on() {
        let mut inbox = Inbox::new(Some(at(0)));
        let _ = inbox.connected();
        live(&mut inbox, 1);
        assert_eq!(synced(&mut inbox, 1, 1, true), ["1", "=1", "?1"]);
        live(&mut inbox, 2);
        assert_eq!(synced(&mut inbox, 2, 1, false), ["2", "=2"]);
    }

    #[test]
    fn an_answer_that_overtook_its_messages_waits_for_them() {
        let mut inbox = ready(0);
        let _ = inbox.connected();
        assert!(live(&mut inbox, 1).is_empty());
        assert!(synced(&mut inbox, 2, 2, false).is_empty());
        assert_eq!(live(&mut inbox, 2), ["1", "2", "=2"]);
    }

    #[test]
    fn a_replay_that_stays_short_is_asked_again_and_then_accepted() {
        let mut inbox = ready(0);
        let _ = inbox.connected();
        live(&mut inbox, 2);
        for _ in 1..REPLAY_ATTEMPTS {
            assert!(synced(&mut inbox, 2, 2, false).is_empty());
            assert_eq!(told(inbox.replay_overdue()), ["?0"]);
        }
        assert!(synced(&mut inbox, 2, 2, false).is_empty());
        assert_eq!(told(inbox.replay_overdue()), ["2", "=2"]);
    }

    #[test]
    fn a_replay_without_an_answer_gives_the_connection_up() {
        let mut inbox = Inbox::new(None);
        let _ = inbox.connected();
        for _ in 1..REPLAY_ATTEMPTS {
            assert_eq!(told(inbox.replay_overdue()), ["?0"]);
        }
        assert_eq!(told(inbox.replay_overdue()), ["give up"]);
        assert!(told(inbox.replay_overdue()).is_empty());
    }

    #[test]
    fn expired_entries_leave_no_hole() {
        let mut inbox = Inbox::new(Some(at(2)));
        let _ = inbox.connected();
        live(&mut inbox, 5);
        assert_eq!(synced(&mut inbox, 6, 1, false), ["5", "=6"]);
        assert_eq!(live(&mut inbox, 7), ["7"]);
    }

    #[test]
    fn a_redelivery_is_confirmed_again_and_not_shown() {
        let mut inbox = ready(2);
        assert_eq!(live(&mut inbox, 3), ["3"]);
        assert!(live(&mut inbox, 3).is_empty(), "the app has not confirmed it");
        inbox.acknowledged("3");
        assert_eq!(live(&mut inbox, 3), ["!3"]);
    }

    #[test]
    fn a_latecomer_is_shown_though_its_place_has_passed() {
        let mut inbox = ready(5);
        assert_eq!(live(&mut inbox, 4), ["4"]);
        assert_eq!(inbox.cursor(), Some(at(5)));
    }

    #[test]
    fn the_first_message_of_an_empty_mailbox_needs_no_question() {
        let mut inbox = ready(0);
        let first = Position { epoch: 99, seq: 1 };
        assert_eq!(told(inbox.frame(message(Some(first), "a"), String::new())), ["a"]);
        assert_eq!(inbox.cursor(), Some(first));
    }

    #[test]
    fn another_epoch_is_a_gap() {
        let mut inbox = ready(3);
        let other = Position { epoch: EPOCH + 1, seq: 1 };
        assert_eq!(told(inbox.frame(message(Some(other), "a"), String::new())), ["?3"]);
        let answer = Synced { device_id: "d".to_owned(), position: other, recovered: false, more: false, count: 1 };
        assert_eq!(told(inbox.frame(Frame::Synced(answer), String::new())), ["a", "=1"]);
        assert_eq!(inbox.cursor(), Some(other));
    }

    #[test]
    fn a_pong_that_is_ahead_shows_a_gap() {
        let mut inbox = ready(3);
        let pong = |seq| Frame::Pong(Pong { device_id: "d".into(), position: at(seq), server_time: 0, next_ping: 60 });
        assert!(told(inbox.frame(pong(3), String::new())).is_empty());
        assert_eq!(told(inbox.frame(pong(4), String::new())), ["?3"]);
        assert!(told(inbox.frame(pong(4), String::new())).is_empty(), "one question is enough");
    }

    #[test]
    fn any_order_of_arrival_is_delivered_in_order_and_once() {
        // Every order of five live messages, with the replay that the first gap asks for answered at the end.
        let mut orders = vec![vec![]];
        for _ in 0..5 {
            orders = orders
                .into_iter()
                .flat_map(|order: Vec<u64>| {
                    (1..=5)
                        .filter(|n| !order.contains(n))
                        .map(|n| [order.clone(), vec![n]].concat())
                        .collect::<Vec<_>>()
                })
                .collect();
        }
        assert_eq!(orders.len(), 120);
        for order in orders {
            let mut inbox = ready(0);
            let mut delivered = Vec::new();
            for &seq in &order {
                delivered.extend(live(&mut inbox, seq));
            }
            if inbox.awaits_replay() {
                let cursor = inbox.cursor().map_or(0, |at| at.seq);
                for seq in cursor + 1..=5 {
                    delivered.extend(live(&mut inbox, seq));
                }
                delivered.extend(synced(&mut inbox, 5, 5 - cursor, false));
            }
            delivered.retain(|step| step.parse::<u64>().is_ok());
            assert_eq!(delivered, ["1", "2", "3", "4", "5"], "{order:?}");
        }
    }

    #[test]
    fn ids_are_forgotten_one_by_one() {
        let mut seen = Seen::default();
        for id in 0..=REMEMBERED {
            assert!(matches!(seen.see(&id.to_string()), Sighting::First));
        }
        assert!(matches!(seen.see("1"), Sighting::Again { .. }));
        assert!(matches!(seen.see("0"), Sighting::First));
        assert_eq!(seen.confirmed.len(), REMEMBERED);
    }
}
