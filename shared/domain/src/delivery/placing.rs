//! The path of one delivery into its recipient's mailbox, one request at a time: [`Next`] names the request, and
//! [`Placing`] decides on the next one from its answer. The caller carries the requests out.

use tidings_wire::{Timestamp, action::Position};

use super::{job::Delivery, posting::devices_of};
use crate::{
    Connection, DeviceId, Entry, Letter, UserView,
    mailbox::{self, Slot},
};

/// How often the entry is placed again after another worker has taken its position.
pub const APPEND_ATTEMPTS: u32 = 5;

/// The request that comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Read the recipient, then [`Placing::viewed`].
    View {
        /// Whether the id in the mailbox belongs to another message: one that was sent under the same idempotency key,
        /// and forgotten before this one was accepted.
        is_reused: bool,
    },
    /// Look the message up by id, beyond the mailbox's window, then [`Placing::found`].
    Find(Draft),
    /// Read the entry at this position, then [`Placing::looked_at`].
    Entry {
        /// The position.
        position: Position,
        /// The connections that the message is posted to.
        targets: Vec<Connection>,
    },
    /// Read whether the message is cancelled, then [`Placing::checked`].
    Record {
        /// What comes next if it is not.
        then: Box<Next>,
    },
    /// Append the entry, then [`Placing::appended`].
    Append(Draft),
    /// Record that no device was reached, then go on.
    NoteOffline {
        /// The entry's position.
        position: Position,
        /// The devices whose connections are gone.
        gone: Vec<DeviceId>,
        /// What comes next.
        then: Box<Next>,
    },
    /// Close an entry as replaced, before its replacement is shown; then go on. Idempotent.
    Close {
        /// The replaced entry's position.
        replaced: Position,
        /// What comes next.
        then: Box<Next>,
    },
    /// Nothing more.
    Done(Placement),
}

/// The result of placing a delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Placement {
    /// Nowhere: its time had run out before it was stored.
    Expired,
    /// Nowhere: its sender cancelled it before it was stored.
    Cancelled,
    /// In the mailbox, and nothing of it may start any more.
    Settled,
    /// Nowhere: it is transient, to be posted to these connections.
    Transient(Vec<Connection>),
    /// In the mailbox at this position, to be posted to these connections.
    At(Position, Vec<Connection>),
    /// Nowhere yet: other workers have taken its position at every attempt.
    Contended,
}

/// An entry before it is appended.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The entry.
    pub entry: Box<Entry>,
    /// The connections that the message is posted to.
    pub targets: Vec<Connection>,
}

impl Draft {
    /// The entry that a message becomes in the mailbox of this recipient.
    #[must_use]
    pub fn new(letter: &Letter, view: &UserView, now: Timestamp) -> Self {
        let entry = mailbox::append(view.tail.as_ref(), letter, now);
        let targets: Vec<Connection> = view.reachable(letter.platform).cloned().collect();
        if entry.closed.is_some() {
            // Not posted as this entry; but an open one may be found under the message's id.
            return Self { entry: Box::new(entry), targets };
        }
        let posted = devices_of(&targets);
        let offline = posted.is_empty().then_some(now);
        Self { entry: Box::new(Entry { posted, offline, ..entry }), targets }
    }
}

/// One delivery on its way into the mailbox.
#[derive(Debug)]
pub struct Placing<'a> {
    delivery: &'a Delivery,
    /// How often the queue has handed it out.
    receives: u32,
    conflicts: u32,
}

impl<'a> Placing<'a> {
    /// A delivery that the queue has handed out so many times.
    #[must_use]
    pub fn new(delivery: &'a Delivery, receives: u32) -> Self {
        Self { delivery, receives, conflicts: 0 }
    }

    /// The first request.
    #[must_use]
    pub fn begin(&self) -> Next {
        Next::View { is_reused: false }
    }

    /// Continues with the recipient's state. A delivery that comes late, or not for the first time, is looked up by id
    /// beyond the window: the user's other lane may have gone on meanwhile.
    #[must_use]
    pub fn viewed(&self, is_reused: bool, view: &UserView, now: Timestamp) -> Next {
        let letter = &self.delivery.letter;
        let targets = || view.reachable(letter.platform).cloned().collect();
        let tail = view.tail.as_ref().filter(|_| self.delivery.persist && !is_reused);
        if let Some(position) = tail.and_then(|tail| mailbox::recent_position(tail, &letter.id)) {
            // Even after its deadline: what the entry replaces must still be closed.
            return Next::Entry { position, targets: targets() };
        }
        if now > letter.deadline {
            return Next::Done(Placement::Expired);
        }
        if !self.delivery.persist {
            return self.unless_cancelled(Next::Done(Placement::Transient(targets())), now);
        }
        let draft = Draft::new(letter, view, now);
        // After an unreadable entry, the window is incomplete.
        let is_window_short = view.tail.as_ref().is_some_and(|tail| !tail.knows_the_newest());
        if !is_reused && (self.receives > 1 || self.delivery.is_late(now) || is_window_short) {
            Next::Find(draft)
        } else {
            self.unless_cancelled(Next::Append(draft), now)
        }
    }

    /// Continues with the position that the index has for the message's id.
    #[must_use]
    pub fn found(&self, draft: Draft, position: Option<Position>, now: Timestamp) -> Next {
        match position {
            Some(position) => Next::Entry { position, targets: draft.targets },
            None => self.unless_cancelled(Next::Append(draft), now),
        }
    }

    /// Continues with the entry under the message's id: posts it again at its old position, unless it is another
    /// message's.
    #[must_use]
    pub fn looked_at(
        &self,
        position: Position,
        targets: Vec<Connection>,
        slot: Option<Slot<Entry>>,
        now: Timestamp,
    ) -> Next {
        let letter = &self.delivery.letter;
        let entry = match slot {
            // The message has its position. Only a newer version knows whether any step may still start.
            Some(Slot::Unreadable(_)) => return Next::Done(Placement::Settled),
            Some(Slot::Read(entry)) => Some(entry),
            None => None,
        };
        let is_same = |it: &Entry| it.letter.id == letter.id && it.letter.accepted == letter.accepted;
        let Some(entry) = entry.filter(is_same) else { return Next::View { is_reused: true } };
        if !entry.is_open(now) {
            return after_closing(entry.links.replaces, Placement::Settled);
        }
        // The previous worker found every connection gone, and died before it could record that.
        let is_unnoted = targets.is_empty() && entry.offline.is_none();
        let next = after_closing(entry.links.replaces, Placement::At(position, targets));
        if is_unnoted { Next::NoteOffline { position, gone: entry.posted, then: Box::new(next) } } else { next }
    }

    /// Continues with whether the sender has cancelled the message.
    #[must_use]
    pub fn checked(&self, then: Next, is_cancelled: bool) -> Next {
        if is_cancelled { Next::Done(Placement::Cancelled) } else { then }
    }

    /// Continues with whether the entry was appended. If another one has its position, the recipient is read again.
    #[must_use]
    pub fn appended(&mut self, draft: Draft, is_stored: bool) -> Next {
        if !is_stored {
            self.conflicts += 1;
            let is_over = self.conflicts == APPEND_ATTEMPTS;
            return if is_over { Next::Done(Placement::Contended) } else { self.begin() };
        }
        let Entry { position, closed, links, .. } = *draft.entry;
        let placement = if closed.is_some() { Placement::Settled } else { Placement::At(position, draft.targets) };
        after_closing(links.replaces, placement)
    }

    /// A step that is first checked against the message's record, if the message's cancellation may have overtaken the
    /// delivery.
    fn unless_cancelled(&self, then: Next, now: Timestamp) -> Next {
        let may_be_cancelled = self.delivery.scheduled || self.delivery.is_late(now);
        if may_be_cancelled { Next::Record { then: Box::new(then) } } else { then }
    }
}

/// The end, after the replaced entry is closed.
fn after_closing(replaced: Option<Position>, placement: Placement) -> Next {
    let done = Next::Done(placement);
    match replaced {
        Some(replaced) => Next::Close { replaced, then: Box::new(done) },
        None => done,
    }
}
