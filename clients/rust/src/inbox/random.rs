//! The inbox against a service, a network and an app that do all that they may, in an order drawn from a seed.

use std::collections::BTreeSet;

use super::tests::message;
use super::*;
use tidings_wire::frame::Pong;

const STEPS: usize = 20_000;
const SEEDS: u64 = 8;
const PAGE: usize = 5;

/// A linear congruential generator: its numbers are the same on every machine and in every version.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

struct Entry {
    position: Position,
    /// For this device; an entry for another platform also has a position.
    wanted: bool,
    confirmed: bool,
}

struct World {
    random: Random,
    /// The service lists the positions that it replays. Only then a message may be withdrawn at any time.
    names: bool,
    /// How often the network loses a frame or an action: once in this many times. 0: never.
    losing: u64,
    log: Vec<Entry>,
    /// Positions of logs that have expired.
    gone: BTreeSet<Position>,
    inbox: Inbox,
    in_flight: Vec<Frame>,
    /// The messages that the app was shown, in order. It keeps its cursor in the same moment.
    shown: Vec<Position>,
    kept: Option<Position>,
    restarts: u64,
    given_up: u64,
}

impl World {
    fn new(seed: u64, names: bool) -> Self {
        let mut world = Self {
            random: Random(seed),
            names,
            losing: 8,
            log: Vec::new(),
            gone: BTreeSet::new(),
            inbox: Inbox::default(),
            in_flight: Vec::new(),
            shown: Vec::new(),
            kept: Some(Position { epoch: 0, seq: 0 }),
            restarts: 0,
            given_up: 0,
        };
        world.restart();
        world
    }

    fn loses(&mut self) -> bool {
        self.losing > 0 && self.random.once_in(self.losing)
    }

    fn head(&self) -> Position {
        self.log.last().map_or(Position { epoch: 0, seq: 0 }, |entry| entry.position)
    }

    fn send(&mut self, frame: Frame) {
        if !self.loses() {
            self.in_flight.push(frame);
        }
    }

    fn post(&mut self, position: Position) {
        self.send(message(Some(position), &format!("{}-{}", position.epoch, position.seq)));
    }

    fn append(&mut self) {
        let tail = self.head();
        let epoch = if self.log.is_empty() { self.gone.last().map_or(1, |at| at.epoch + 1) } else { tail.epoch };
        let position = Position { epoch, seq: if self.log.is_empty() { 1 } else { tail.seq + 1 } };
        let wanted = !self.random.once_in(4);
        self.log.push(Entry { position, wanted, confirmed: false });
        if wanted {
            self.post(position);
        }
    }

    /// The answer of `functions/sync`.
    fn sync(&mut self, cursor: Option<Position>) {
        let head = self.head();
        let from = cursor.filter(|cursor| *cursor <= head);
        let after = self.log.iter().filter(|entry| Some(entry.position) > from).collect::<Vec<_>>();
        let mut more = after.len() > PAGE;
        let page = after.iter().take(PAGE).map(|entry| (entry.position, entry.wanted && !entry.confirmed));
        let page = page.collect::<Vec<_>>();
        let recovered = match (cursor, page.first()) {
            (None, _) => true,
            (Some(Position { epoch: 0, .. }), first) => first.is_none_or(|(at, _)| at.seq == 1),
            (Some(cursor), Some((first, _))) => first.epoch == cursor.epoch && first.seq == cursor.seq + 1,
            (Some(cursor), None) => cursor == head,
        };
        let mut end = if page.is_empty() { Some(head) } else { from };
        let mut posted_here = Vec::new();
        for (position, posted) in page {
            if posted {
                if self.losing > 0 && self.random.once_in(20) {
                    // A post that is not accepted ends the replay.
                    more = true;
                    break;
                }
                self.post(position);
                posted_here.push(position.seq);
            }
            end = Some(position);
        }
        let position = end.unwrap_or(Position { epoch: 0, seq: 0 });
        let count = posted_here.len() as u64;
        let posted = self.names.then_some(posted_here);
        self.send(Frame::Synced(Synced {
            device_id: "d".to_owned(),
            position,
            recovered,
            more,
            count,
            posted,
            announced: None,
        }));
    }

    fn acknowledge(&mut self, position: Position) {
        assert!(self.shown.contains(&position), "{position:?} was acknowledged and not shown");
        if self.loses() {
            return;
        }
        if let Some(entry) = self.log.iter_mut().find(|entry| entry.position == position) {
            entry.confirmed = true;
        }
    }

    fn carry_out(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Send(Action::Sync { after, .. }) => self.receive_sync(after),
                Step::Send(Action::Ack(receipt)) | Step::AckAgain(receipt) => self.acknowledge(receipt.position),
                Step::Send(other) => panic!("{other:?} must not be sent"),
                Step::Deliver(received) => self.show(received.message.position.unwrap()),
                Step::Synced(synced) => {
                    let emptied = synced.position == Position { epoch: 0, seq: 0 } && !self.gone.is_empty();
                    assert!(emptied || self.kept <= Some(synced.position), "{synced:?} goes back");
                    self.kept = Some(synced.position);
                }
                Step::GiveUp => {
                    self.given_up += 1;
                    self.connect();
                }
            }
        }
        assert!(self.inbox.held.len() <= HELD);
    }

    fn receive_sync(&mut self, after: Option<Position>) {
        if !self.loses() {
            self.sync(after);
        }
    }

    fn show(&mut self, position: Position) {
        assert!(self.shown.last() < Some(&position), "{position:?} after {:?}", self.shown.last());
        // The inbox must not skip anything that this device must show.
        let missed = self.log.iter().find(|it| {
            it.wanted && !it.confirmed && it.position < position && self.shown.binary_search(&it.position).is_err()
        });
        assert!(missed.is_none(), "{position:?} before {:?}", missed.unwrap().position);
        self.shown.push(position);
        self.kept = Some(position);
        self.inbox.acknowledged(position);
        self.acknowledge(position);
    }

    /// A new connection: frames on their way on the old one are lost.
    fn connect(&mut self) {
        self.in_flight.clear();
        let Action::Sync { after, .. } = self.inbox.connected() else { panic!("a replay must be requested") };
        self.receive_sync(after);
    }

    fn restart(&mut self) {
        self.restarts += 1;
        self.inbox = Inbox::new(self.kept);
        self.connect();
    }

    fn arrive(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        // Mostly in order, otherwise in any; and sometimes twice.
        let any = self.random.once_in(4);
        let index = if any { usize::try_from(self.random.below(self.in_flight.len() as u64)).unwrap() } else { 0 };
        let frame = self.in_flight.remove(index);
        if self.losing > 0 && self.random.once_in(10) {
            self.in_flight.push(frame.clone());
        }
        let steps = self.inbox.frame(frame, String::new());
        self.carry_out(steps);
    }

    fn ping(&mut self) {
        let pong = Pong { device_id: "d".to_owned(), position: self.head(), server_time: 0, next_ping: 60 };
        self.send(Frame::Pong(pong));
    }

    /// The service redelivers a message without a confirmation.
    fn redeliver(&mut self) {
        let open = self.log.iter().filter(|entry| entry.wanted && !entry.confirmed).map(|entry| entry.position);
        let open = open.collect::<Vec<_>>();
        if !open.is_empty() {
            let index = usize::try_from(self.random.below(open.len() as u64)).unwrap();
            self.post(open[index]);
        }
    }

    fn overdue(&mut self) {
        let steps = self.inbox.replay_overdue();
        self.carry_out(steps);
    }

    /// One of the newest is cancelled, or expires.
    fn withdraw(&mut self) {
        let back = usize::try_from(self.random.below(8)).unwrap();
        if let Some(entry) = self.log.iter_mut().rev().nth(back) {
            entry.wanted = false;
        }
    }

    /// Every entry expires; a new log begins with the next one. By then nothing of the old log is on its way.
    fn expire(&mut self) {
        self.gone.extend(self.log.drain(..).map(|entry| entry.position));
        self.in_flight.clear();
    }

    fn step(&mut self) {
        match self.random.below(1_000) {
            0..=199 => self.append(),
            200..=239 if self.names => self.withdraw(),
            200..=849 => self.arrive(),
            850..=889 => self.ping(),
            890..=939 => self.redeliver(),
            940..=969 => self.overdue(),
            970..=979 => self.connect(),
            980..=987 => self.restart(),
            988..=997 => {
                // The old socket is still read.
                let Action::Sync { after, .. } = self.inbox.rolled_over() else { panic!("a replay must be requested") };
                self.receive_sync(after);
            }
            998.. if self.random.once_in(4) => self.expire(),
            998.. => {}
        }
    }

    /// The network loses nothing any more: everything arrives, and everything is confirmed.
    fn settle(&mut self) {
        self.losing = 0;
        for _ in 0..10_000 {
            while !self.in_flight.is_empty() {
                self.arrive();
            }
            if self.inbox.awaits_replay() {
                self.overdue();
            } else if self.inbox.cursor() < Some(self.head()) {
                self.ping();
            } else if self.log.iter().any(|entry| entry.wanted && !entry.confirmed) {
                self.redeliver();
            } else {
                return;
            }
        }
        panic!("it does not come to rest");
    }
}

#[test]
fn whatever_the_network_does_each_message_is_shown_once_and_in_order() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, seed % 2 == 0);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
        let wanted = world.log.iter().filter(|entry| entry.wanted).map(|entry| entry.position);
        for position in wanted {
            assert!(world.shown.binary_search(&position).is_ok(), "seed {seed}: {position:?} was not shown");
        }
        let (shown, restarts, given_up) = (world.shown.len(), world.restarts, world.given_up);
        assert!(shown > 1_000 && restarts > 50 && given_up > 0, "{shown} shown, {restarts} restarts, {given_up}");
    }
}
