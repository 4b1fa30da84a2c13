//! A state of the model: everything that outlives the process of a worker, and every worker that is active.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::ops::Deref;
use std::sync::Arc;

use tidings_client::Inbox;
use tidings_domain::{
    Connection, ConnectionId, Entry, Position,
    chain::{Outcome, StepDue},
    delivery::{Next, Placement, PostOutcome},
};

/// A value of the real code, shared between states and hashed once.
#[derive(Clone)]
pub(crate) struct Real<T>(Arc<T>, u64);

impl<T: Fingerprint> Real<T> {
    pub(crate) fn new(value: T) -> Self {
        let mut hasher = DefaultHasher::new();
        value.fingerprint(&mut hasher);
        Self(Arc::new(value), hasher.finish())
    }

    /// The same value with a change.
    pub(crate) fn with(&self, change: impl FnOnce(&mut T)) -> Self
    where
        T: Clone,
    {
        let mut value = T::clone(&self.0);
        change(&mut value);
        Self::new(value)
    }
}

impl<T> Deref for Real<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Hash for Real<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.1.hash(state);
    }
}

impl<T: PartialEq> PartialEq for Real<T> {
    fn eq(&self, other: &Self) -> bool {
        self.1 == other.1 && self.0 == other.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Real<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Hashes what may differ between two values of the model.
pub(crate) trait Fingerprint {
    fn fingerprint<H: Hasher>(&self, state: &mut H);
}

impl Fingerprint for Inbox {
    fn fingerprint<H: Hasher>(&self, state: &mut H) {
        self.hash(state);
    }
}

impl Fingerprint for Entry {
    fn fingerprint<H: Hasher>(&self, state: &mut H) {
        (self.position, &self.letter.id, self.stored.0, self.offline.map(|at| at.0), &self.posted).hash(state);
        for (device, at) in self.acks.iter().chain(&self.gone) {
            (device, at.0).hash(state);
        }
        (self.acks.len(), self.links.window.as_str()).hash(state);
        for step in &self.steps {
            let outcome = step.outcome.as_ref().map(|(outcome, at)| (code(outcome), at.0));
            (step.claimed.map(|at| at.0), outcome).hash(state);
        }
    }
}

impl Fingerprint for Next {
    fn fingerprint<H: Hasher>(&self, state: &mut H) {
        mem::discriminant(self).hash(state);
        match self {
            Self::View { is_reused } => is_reused.hash(state),
            Self::Find(draft) | Self::Append(draft) => {
                draft.entry.fingerprint(state);
                ids(&draft.targets).hash(state);
            }
            Self::Entry { position, targets } => (position, ids(targets)).hash(state),
            Self::Record { then } => then.fingerprint(state),
            Self::NoteOffline { position, gone, then } => {
                (position, gone).hash(state);
                then.fingerprint(state);
            }
            Self::Close { replaced, then } => {
                replaced.hash(state);
                then.fingerprint(state);
            }
            Self::Done(placement) => {
                mem::discriminant(placement).hash(state);
                if let Placement::At(position, targets) = placement {
                    (position, ids(targets)).hash(state);
                }
            }
        }
    }
}

fn ids(connections: &[Connection]) -> Vec<&ConnectionId> {
    connections.iter().map(|connection| &connection.id).collect()
}

impl Fingerprint for StepDue {
    fn fingerprint<H: Hasher>(&self, state: &mut H) {
        (self.position, &self.id, self.step, self.due.0, self.waited).hash(state);
    }
}

fn code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Accepted(_) => 0,
        Outcome::Refused(_) => 1,
        Outcome::Skipped(_) => 2,
        Outcome::Unknown => 3,
        Outcome::Newer(_) => 4,
    }
}

/// How often each fault may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// A worker dies between two of its requests.
    pub(crate) crash: u8,
    /// A queue redelivers a message that a worker still holds, or that is done.
    pub(crate) repeat: u8,
    /// A frame is lost although it was accepted.
    pub(crate) lose_frame: u8,
    /// A frame comes twice.
    pub(crate) repeat_frame: u8,
    /// 410 though delivered.
    pub(crate) gone_alive: u8,
    /// 200 though dead.
    pub(crate) accepted_dead: u8,
    /// 429 or a server error, and the frame may have arrived.
    pub(crate) retry: u8,
    /// An action of a device is lost.
    pub(crate) lose_word: u8,
    /// An action of a device is handled twice.
    pub(crate) repeat_word: u8,
    /// A device loses its connection.
    pub(crate) drop: u8,
    /// A device opens a new connection before it closes the old one.
    pub(crate) roll: u8,
    /// A device gives up while it connects.
    pub(crate) abort: u8,
    /// `$disconnect` never comes.
    pub(crate) lose_disconnect: u8,
    /// A device asks again although the answer is on its way.
    pub(crate) haste: u8,
    /// The index does not know yet what was appended.
    pub(crate) index_lag: u8,
}

/// A message on its delivery queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Queued {
    /// It has not been deleted.
    pub(crate) there: bool,
    /// A worker holds it.
    pub(crate) in_flight: bool,
    /// How often it has been handed out; more than twice is all the same to the service.
    pub(crate) receives: u8,
}

/// One attempt at a delivery.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) struct Deliverer {
    pub(crate) message: u8,
    pub(crate) receives: u8,
    pub(crate) at: DeliverAt,
}

/// The next step of a deliverer.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) enum DeliverAt {
    /// The next request on the way into the mailbox.
    Place(Real<Next>),
    Post(Posting),
    /// Prunes what is gone, then looks once more or goes on.
    Prune(Posting),
    Again(Posting),
    NoteOffline(Posting),
    Schedule(Posting),
    /// Nothing follows.
    Delete,
}

impl DeliverAt {
    /// Whether the next request asks the index.
    pub(crate) fn looks_in_the_index(&self) -> bool {
        matches!(self, Self::Place(next) if matches!(**next, Next::Find(_)))
    }
}

/// The posts of a deliverer.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) struct Posting {
    pub(crate) position: Position,
    /// Connections that are still to be posted to.
    pub(crate) left: Vec<u8>,
    pub(crate) outcomes: Vec<(u8, Posted)>,
    /// The connections that were gone in the first round, if this is the second.
    pub(crate) second: Option<Vec<u8>>,
}

/// [`PostOutcome`], hashable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Posted {
    Accepted,
    Gone,
    Retry,
}

impl From<Posted> for PostOutcome {
    fn from(posted: Posted) -> Self {
        match posted {
            Posted::Accepted => Self::Accepted,
            Posted::Gone => Self::Gone,
            Posted::Retry => Self::Retry,
        }
    }
}

/// A step on the `later` and `fallback` queues. It stays until it is deleted.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) struct QueuedStep {
    pub(crate) due: Real<StepDue>,
    /// On the `later` queue, before its time has come.
    pub(crate) waits: bool,
    /// A worker holds it.
    pub(crate) in_flight: bool,
    /// It has been deleted, but may be redelivered.
    pub(crate) done: bool,
}

/// One attempt at a step.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) struct Stepper {
    pub(crate) due: Real<StepDue>,
    pub(crate) waits: bool,
    pub(crate) at: StepAt,
}

/// [`Outcome`], hashable.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ended(pub(crate) Outcome);

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        Self(outcome)
    }
}

impl Hash for Ended {
    fn hash<H: Hasher>(&self, state: &mut H) {
        code(&self.0).hash(state);
    }
}

/// The next step of a stepper.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) enum StepAt {
    Entry,
    View(Option<Real<Entry>>),
    Claim(Real<Entry>),
    Call(Real<Entry>),
    Record(Real<Entry>, Ended),
    Schedule(Real<StepDue>),
    Delete,
}

/// A replay at work.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) struct Replayer {
    pub(crate) connection: u8,
    pub(crate) asked: Option<Position>,
    pub(crate) at: ReplayAt,
}

/// The next step of a replay.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) enum ReplayAt {
    Entries {
        cursor: Option<Position>,
        head: Option<Position>,
    },
    Post {
        /// The position that it has reached.
        last: Position,
        recovered: bool,
        /// The remaining entries: message, position, and whether the device wants it.
        entries: Vec<(u8, Position, bool)>,
        posted: Vec<u64>,
    },
    Answer(Synced),
}

/// The end of a replay.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Synced {
    pub(crate) position: Position,
    pub(crate) recovered: bool,
    pub(crate) more: bool,
    pub(crate) posted: Vec<u64>,
}

/// A frame on its way to a device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wire {
    Message { message: u8, position: Position },
    Synced(Synced),
    Pong(Position),
    Reconnect,
}

/// An action of a device that no function has handled yet. The gateway delivers actions in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Word {
    Sync(Option<Position>),
    Ack(u8, Position),
    Ping,
}

/// The device's end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Line {
    Dialing,
    Open,
    Closed,
}

/// The store's record of a connection by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lookup {
    Absent,
    Alive {
        connected: i64,
    },
    /// Dead since; with its user, unless it died before it was connected.
    Tombstone {
        buried: i64,
        known: bool,
    },
}

/// One connection, from the dial to the last action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Socket {
    pub(crate) device: u8,
    pub(crate) line: Line,
    pub(crate) connect_pending: bool,
    pub(crate) disconnect_pending: bool,
    pub(crate) lookup: Lookup,
    /// Beside the mailbox, since when.
    pub(crate) present: Option<i64>,
    pub(crate) to_device: Vec<Wire>,
    pub(crate) words: Vec<Word>,
    /// The device leaves it as soon as its successor has proved itself.
    pub(crate) old: bool,
    /// Its `$disconnect` has been handled.
    pub(crate) ended: bool,
}

/// A device: the real inbox, and what the app has seen.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) struct Client {
    pub(crate) inbox: Real<Inbox>,
    pub(crate) shown: Vec<(u8, Position)>,
    /// Shown and not yet confirmed by the app.
    pub(crate) unconfirmed: Vec<(u8, Position)>,
    /// Confirmed, and sent again on the next connection.
    pub(crate) doubtful: Vec<(u8, Position)>,
    /// Confirmed while there was no connection.
    pub(crate) unsent: Vec<(u8, Position)>,
    /// The cursor that the service keeps for it.
    pub(crate) kept_cursor: Option<Position>,
}

/// One state.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) struct State {
    /// Index into the times of the configuration.
    pub(crate) clock: usize,
    pub(crate) queue: Vec<Queued>,
    pub(crate) deliverers: Vec<Deliverer>,
    pub(crate) log: Vec<Real<Entry>>,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) replayers: Vec<Replayer>,
    pub(crate) steps: Vec<QueuedStep>,
    pub(crate) steppers: Vec<Stepper>,
    pub(crate) clients: Vec<Client>,
    /// Calls of each provider, by message and step.
    pub(crate) calls: Vec<Vec<u8>>,
    pub(crate) left: Faults,
    /// The rule that a transition broke, which no single state shows.
    pub(crate) broken: Option<Broken>,
}

/// A rule that a transition broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Broken {
    ClaimAfterAck,
    StateWentBack,
    AcksShrank,
}
