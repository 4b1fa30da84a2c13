//! `functions/deliver`, one request to the outside at a time, so that a worker may die and others may come in
//! between. Posts that had no answer are not repeated here: everything holds although every repeat is lost, and a
//! repeat that arrives is a frame that comes twice.

use tidings_domain::{
    Connection, ConnectionId, DeviceId, Entry, MessageId, Position,
    delivery::{self, Next, Placement, Placing, PostOutcome, Settled},
    mailbox::{Slot, WINDOW, Window},
};

use crate::{
    service::{Mutation, Tidings},
    socket::How,
    state::{DeliverAt, Deliverer, Posted, Posting, QueuedStep, Real, State, Wire},
};

fn numbers(connections: &[Connection]) -> Vec<u8> {
    connections.iter().map(|connection| number(&connection.id)).collect()
}

fn number(id: &ConnectionId) -> u8 {
    id.as_str()[1..].parse().unwrap()
}

impl Tidings {
    /// Whether the queue hands a message out: the one at the front of its lane, while no worker has it in hand.
    pub(crate) fn is_handed_out(&self, state: &State, message: usize) -> bool {
        let lane = self.config.lanes[message];
        let behind = (0..message).any(|other| self.config.lanes[other] == lane && state.queue[other].there);
        let queued = state.queue[message];
        queued.there && !queued.in_flight && !behind
    }

    pub(crate) fn hand_out(&self, state: &mut State, message: usize) {
        let queued = &mut state.queue[message];
        queued.in_flight = true;
        queued.receives += 1;
        if queued.receives > 1 {
            self.meet("a delivery that comes again");
        }
        let receives = queued.receives;
        if self.mutated(Mutation::DeleteBeforeStore) {
            queued.there = false;
        }
        let next = Placing::new(&self.deliveries[message], receives.into()).begin();
        let at = DeliverAt::Place(Real::new(next));
        state.deliverers.push(Deliverer { message: u8::try_from(message).unwrap(), receives, at });
    }

    /// The worker is gone; the message comes again, unless another worker has received it already.
    pub(crate) fn give_back(&self, state: &mut State, worker: usize) {
        let gone = state.deliverers.remove(worker);
        let queued = &mut state.queue[usize::from(gone.message)];
        if queued.receives == gone.receives {
            queued.in_flight = false;
        }
    }

    fn delete(&self, state: &mut State, worker: usize) {
        let done = state.deliverers.remove(worker);
        let queued = &mut state.queue[usize::from(done.message)];
        // A receipt that is no longer the newest deletes nothing.
        if queued.receives == done.receives && queued.in_flight {
            queued.there = false;
            queued.in_flight = false;
        }
    }

    /// The connection, if the next request of a deliverer is a post.
    pub(crate) fn posts_to(&self, state: &State, worker: usize) -> Option<u8> {
        match &state.deliverers[worker].at {
            DeliverAt::Post(posting) => posting.left.first().copied(),
            _ => None,
        }
    }

    /// The next request of a deliverer.
    pub(crate) fn deliver(&self, state: &mut State, worker: usize, how: How) {
        let Deliverer { message, receives, at } = state.deliverers[worker].clone();
        let delivery = &self.deliveries[usize::from(message)];
        let now = self.now(state);
        let next = match at {
            DeliverAt::Place(next) => {
                let next = self.place(state, message, receives, Next::clone(&next), how);
                self.placed(next, message)
            }
            DeliverAt::Post(mut posting) => {
                let target = posting.left.remove(0);
                let outcome = self.post(state, target, Wire::Message { message, position: posting.position }, how);
                posting.outcomes.push((target, outcome));
                if posting.left.is_empty() {
                    self.after_posts(state, posting, message)
                } else {
                    DeliverAt::Post(posting)
                }
            }
            DeliverAt::Prune(posting) => {
                for (target, outcome) in &posting.outcomes {
                    if *outcome == Posted::Gone {
                        state.sockets[usize::from(*target)].present = None;
                    }
                }
                let settled = self.settled(state, &posting);
                if posting.second.is_none() && !settled.may_have_reached() {
                    DeliverAt::Again(posting)
                } else {
                    self.after_pruning(state, posting, message)
                }
            }
            DeliverAt::Again(posting) => {
                self.meet("one more look after every connection was gone");
                let gone: Vec<u8> = posting.outcomes.iter().map(|(target, _)| *target).collect();
                let view = self.view(state);
                let reachable: Vec<_> = view.reachable(delivery.letter.platform).cloned().collect();
                let mut fresh = numbers(&reachable);
                fresh.retain(|target| !gone.contains(target));
                let posting = Posting { left: fresh, outcomes: Vec::new(), second: Some(gone), ..posting };
                if posting.left.is_empty() {
                    self.after_posts(state, posting, message)
                } else {
                    DeliverAt::Post(posting)
                }
            }
            DeliverAt::NoteOffline(posting) => {
                let mut gone = posting.second.clone().unwrap_or_default();
                gone.extend(posting.outcomes.iter().filter(|(_, it)| *it == Posted::Gone).map(|(target, _)| *target));
                let gone: Vec<_> = gone.into_iter().map(|target| self.connection(state, target)).collect();
                self.note_offline(state, posting.position, delivery::devices_of(&gone));
                self.then(posting, message)
            }
            DeliverAt::Schedule(posting) => {
                let perhaps = self.settled(state, &posting).may_have_reached();
                if let Some(due) = delivery::first_step(delivery, posting.position, perhaps, now) {
                    let waits = due.due > now;
                    let due = Real::new(due);
                    state.steps.push(QueuedStep { due, waits, in_flight: false, done: false });
                }
                DeliverAt::Delete
            }
            DeliverAt::Delete => return self.delete(state, worker),
        };
        state.deliverers[worker].at = next;
    }

    /// Carries out one request on the way into the mailbox; returns what comes next.
    fn place(&self, state: &mut State, message: u8, receives: u8, next: Next, how: How) -> Next {
        let delivery = &self.deliveries[usize::from(message)];
        let now = self.now(state);
        let mut placing = Placing::new(delivery, receives.into());
        match next {
            Next::View { is_reused } => {
                let mut view = self.view(state);
                if self.mutated(Mutation::WindowForgets)
                    && let Some(tail) = view.tail.as_mut()
                {
                    let other: MessageId = "00000000-0000-0000-0000-000000000000".parse().unwrap();
                    tail.window = (0..WINDOW).fold(Window::default(), |window, _| window.then(Some(&other)));
                    tail.id = Some(other);
                }
                placing.viewed(is_reused, &view, now)
            }
            Next::Find(draft) => {
                let found = state.log.iter().find(|it| it.letter.id == delivery.letter.id);
                let position = found.filter(|_| how != How::Lost).map(|entry| entry.position);
                placing.found(draft, position, now)
            }
            Next::Entry { position, targets } => {
                self.meet("a message that is posted again under its old place");
                let entry = self.entry(state, position).map(|entry| Entry::clone(entry));
                placing.looked_at(position, targets, entry.map(Slot::Read), now)
            }
            Next::Append(draft) => {
                let is_stored = self.append(state, &Real::new(Entry::clone(&draft.entry)));
                placing.appended(draft, is_stored)
            }
            Next::NoteOffline { position, gone, then } => {
                self.meet("a worker that died before it noted that no device was reached");
                self.note_offline(state, position, gone);
                *then
            }
            Next::Record { .. } => unreachable!("no message is scheduled, and none comes late"),
            Next::Close { .. } => unreachable!("no message has a collapse key"),
            Next::Done(_) => unreachable!("the worker goes on with its posts"),
        }
    }

    /// The state of a worker after a request on the way into the mailbox.
    fn placed(&self, next: Next, message: u8) -> DeliverAt {
        match next {
            Next::Done(Placement::At(position, targets)) => self.post_to(position, numbers(&targets), message),
            Next::Done(Placement::Expired | Placement::Settled) => DeliverAt::Delete,
            Next::Done(Placement::Cancelled | Placement::Transient(_) | Placement::Contended) => {
                unreachable!("every message is kept and none cancelled, and no conflict is counted")
            }
            next => DeliverAt::Place(Real::new(next)),
        }
    }

    fn note_offline(&self, state: &mut State, position: Position, gone: Vec<DeviceId>) {
        let now = self.now(state);
        self.update(state, position, |entry| {
            entry.offline.get_or_insert(now);
            entry.gone = gone.into_iter().map(|device| (device, now)).collect();
        });
    }

    fn post_to(&self, position: Position, left: Vec<u8>, message: u8) -> DeliverAt {
        let posting = Posting { position, left, outcomes: Vec::new(), second: None };
        match (posting.left.is_empty(), self.has_chain(message)) {
            (false, _) => DeliverAt::Post(posting),
            (true, true) => DeliverAt::Schedule(posting),
            (true, false) => DeliverAt::Delete,
        }
    }

    fn has_chain(&self, message: u8) -> bool {
        !self.deliveries[usize::from(message)].letter.steps.is_empty() && !self.mutated(Mutation::StepNotScheduled)
    }

    fn settled(&self, state: &State, posting: &Posting) -> Settled {
        let outcomes: Vec<(Connection, PostOutcome)> = posting
            .outcomes
            .iter()
            .map(|(target, outcome)| (self.connection(state, *target), PostOutcome::from(*outcome)))
            .collect();
        delivery::settle(&outcomes)
    }

    fn after_posts(&self, state: &State, posting: Posting, message: u8) -> DeliverAt {
        if self.settled(state, &posting).gone.is_empty() {
            self.after_pruning(state, posting, message)
        } else {
            DeliverAt::Prune(posting)
        }
    }

    fn after_pruning(&self, state: &State, posting: Posting, message: u8) -> DeliverAt {
        if posting.second.is_some() && !self.settled(state, &posting).is_reached() {
            DeliverAt::NoteOffline(posting)
        } else {
            self.then(posting, message)
        }
    }

    fn then(&self, posting: Posting, message: u8) -> DeliverAt {
        if posting.outcomes.iter().any(|(_, outcome)| *outcome == Posted::Retry) {
            self.meet("a post without an answer, which is not repeated");
        }
        if self.has_chain(message) { DeliverAt::Schedule(posting) } else { DeliverAt::Delete }
    }
}
