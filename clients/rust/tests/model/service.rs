//! The service of the model: its clock, its reads, and the writes of the store with the conditions that the
//! real ones carry.

use std::collections::BTreeSet;
use std::sync::Mutex;

use tidings_domain::{
    Connection, Delivery, Device, DeviceId, Entry, Letter, MessageId, More, Position, Profile, Timestamp, UserKey,
    UserView,
    chain::{Outcome, Step, StepDue},
    mailbox::Tail,
    trail,
};
use tidings_wire::{Content, Platform, send::Channel, trail::State as TrailState};

use crate::state::{Broken, Faults, Lookup, Real, Socket, State};

/// When every message is accepted.
pub(crate) const ACCEPTED: Timestamp = Timestamp(1_000_000);

/// One condition or one rule that is left out, to see that the model misses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    AppendUnconditionally,
    WindowForgets,
    DeleteBeforeStore,
    ConnectDespiteTombstone,
    ClaimDespiteAck,
    ClaimDespiteClaim,
    OutcomeOverwrites,
    StepNotScheduled,
    ClientTrustsLiveOrder,
    ClientShowsEverything,
    LogBeginsTwice,
}

/// The configuration of an exploration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) devices: u8,
    /// The lane of each message.
    pub(crate) lanes: Vec<u8>,
    /// Pauses of the steps of the first message's chain.
    pub(crate) chain: Vec<Option<u64>>,
    pub(crate) ttl: u64,
    /// The stops of the clock, in seconds after acceptance.
    pub(crate) times: Vec<u64>,
    /// Devices that are connected and in step when it begins.
    pub(crate) online: Vec<u8>,
    /// Devices whose app confirms what it is shown.
    pub(crate) confirming: Vec<u8>,
    /// Whether providers may refuse.
    pub(crate) refusals: bool,
    pub(crate) faults: Faults,
    pub(crate) mutation: Option<Mutation>,
}

/// The model: a configuration, and the real values that never change.
#[derive(Debug)]
pub(crate) struct Tidings {
    pub(crate) config: Config,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) devices: Vec<Device>,
    pub(crate) user: UserKey,
    /// The situations that have occurred; see [`Tidings::meet`].
    pub(crate) met: Mutex<BTreeSet<&'static str>>,
}

impl Tidings {
    pub(crate) fn new(config: Config) -> Self {
        let user = UserKey { app: "demo".parse().unwrap(), tenant: String::new(), alias: "alice".into() };
        let channels = [Channel::Sms, Channel::Email];
        let letter = |n: usize| Letter {
            id: MessageId::new(ACCEPTED, [u8::try_from(n).unwrap() + 1; 10]),
            platform: Platform::All.into(),
            content: Content { alert: Some("Hello".into()), ..Content::default() }.into(),
            sms: None,
            steps: config
                .chain
                .iter()
                .filter(|_| n == 0)
                .zip(channels)
                .map(|(after, channel)| Step { channel: channel.into(), after: *after })
                .collect(),
            condition: None,
            accepted: ACCEPTED,
            deadline: ACCEPTED.plus_seconds(config.ttl),
            redeliver_until: None,
            collapse: None,
            more: More::default(),
        };
        let delivery = |n| Delivery { letter: letter(n), user: user.clone(), persist: true, scheduled: false };
        let deliveries = (0..config.lanes.len()).map(delivery);
        let devices = (0..config.devices).map(|n| Device {
            id: format!("d{n}").parse().unwrap(),
            user: user.clone(),
            generation: 1,
            platform: Platform::Web.into(),
            client_version: None,
            registered: Timestamp(0),
            used: Timestamp(0),
            cursor: None,
            push: None,
        });
        Self { deliveries: deliveries.collect(), devices: devices.collect(), user, config, met: Mutex::default() }
    }

    /// Records that a situation has occurred.
    pub(crate) fn meet(&self, what: &'static str) {
        self.met.lock().unwrap().insert(what);
    }

    pub(crate) fn mutated(&self, mutation: Mutation) -> bool {
        self.config.mutation == Some(mutation)
    }

    pub(crate) fn now(&self, state: &State) -> Timestamp {
        ACCEPTED.plus_seconds(self.config.times[state.clock])
    }

    pub(crate) fn message(&self, id: &MessageId) -> u8 {
        let at = self.deliveries.iter().position(|delivery| delivery.letter.id == *id).unwrap();
        u8::try_from(at).unwrap()
    }

    pub(crate) fn device(&self, socket: &Socket) -> &DeviceId {
        &self.devices[usize::from(socket.device)].id
    }

    pub(crate) fn connection(&self, state: &State, socket: u8) -> Connection {
        let it = &state.sockets[usize::from(socket)];
        let connected = Timestamp(it.present.unwrap_or(0));
        Connection {
            id: format!("c{socket}").parse().unwrap(),
            device: self.device(it).clone(),
            generation: 1,
            key_version: 1,
            platform: self.devices[usize::from(it.device)].platform,
            connected,
            lease: Timestamp(i64::MAX),
        }
    }

    /// One strongly consistent read.
    pub(crate) fn view(&self, state: &State) -> UserView {
        let present = (0..state.sockets.len()).filter(|&at| state.sockets[at].present.is_some());
        let profile =
            Profile { mobile: Some("+8613800138000".into()), email: Some("a@b.cn".into()), ..Profile::default() };
        UserView {
            profile: Some(profile),
            devices: self.devices.clone(),
            connections: present.map(|at| self.connection(state, u8::try_from(at).unwrap())).collect(),
            tail: state.log.last().map(|entry| Tail::from(&**entry)),
        }
    }

    pub(crate) fn entry<'a>(&self, state: &'a State, position: Position) -> Option<&'a Real<Entry>> {
        state.log.iter().find(|entry| entry.position == position)
    }

    /// `attribute_not_exists(pk)`; and of a first entry, that no log was begun within a day.
    pub(crate) fn append(&self, state: &mut State, entry: &Real<Entry>) -> bool {
        if entry.position.seq == 1
            && !state.log.is_empty()
            && !self.mutated(Mutation::LogBeginsTwice)
            && !self.mutated(Mutation::AppendUnconditionally)
        {
            self.meet("two workers want to begin the log");
            return false;
        }
        if let Some(at) = state.log.iter().position(|it| it.position == entry.position) {
            if self.mutated(Mutation::AppendUnconditionally) {
                state.log[at] = entry.clone();
                return true;
            }
            self.meet("two workers want one place");
            return false;
        }
        state.log.push(entry.clone());
        state.log.sort_by_key(|entry| entry.position);
        true
    }

    /// Changes an entry, and watches what no change may do.
    pub(crate) fn update(&self, state: &mut State, position: Position, change: impl FnOnce(&mut Entry)) {
        let now = self.now(state);
        let Some(at) = state.log.iter().position(|entry| entry.position == position) else { return };
        let before = state.log[at].clone();
        let after = before.with(change);
        if rank(trail::state(&after, now)) < rank(trail::state(&before, now)) {
            state.broken = Some(Broken::StateWentBack);
        }
        if !before.acks.iter().all(|ack| after.acks.contains(ack)) {
            state.broken = Some(Broken::AcksShrank);
        }
        state.log[at] = after;
    }

    /// `SET acked_by.#device = if_not_exists(…)` where `id = :id`.
    pub(crate) fn confirm(&self, state: &mut State, device: u8, message: u8, position: Position) {
        let (id, device) = (&self.deliveries[usize::from(message)].letter.id, &self.devices[usize::from(device)].id);
        let now = self.now(state);
        if self.entry(state, position).is_some_and(|entry| entry.letter.id == *id && !entry.is_confirmed_by(device)) {
            self.update(state, position, |entry| entry.acks.push((device.clone(), now)));
        }
    }

    /// `id = :id AND attribute_not_exists(claimed) AND attribute_not_exists(closed) AND size(acked_by) = 0 …`.
    pub(crate) fn claim(&self, state: &mut State, due: &StepDue) -> bool {
        let now = self.now(state);
        let Some(entry) = self.entry(state, due.position).filter(|entry| entry.letter.id == due.id) else {
            return false;
        };
        let (claimed, confirmed) = (entry.steps[due.step].claimed.is_some(), entry.is_confirmed());
        if claimed {
            self.meet("two workers want one step");
        }
        if confirmed {
            self.meet("an acknowledgement between the read and the claim");
        }
        if (claimed && !self.mutated(Mutation::ClaimDespiteClaim))
            || (confirmed && !self.mutated(Mutation::ClaimDespiteAck))
        {
            return false;
        }
        if confirmed {
            state.broken = Some(Broken::ClaimAfterAck);
        }
        self.update(state, due.position, |entry| entry.steps[due.step].claimed = Some(now));
        true
    }

    /// `attribute_not_exists(outcome)`.
    pub(crate) fn end_step(&self, state: &mut State, due: &StepDue, outcome: Outcome) {
        let now = self.now(state);
        let keeps = !self.mutated(Mutation::OutcomeOverwrites);
        self.update(state, due.position, |entry| {
            let record = &mut entry.steps[due.step];
            if record.outcome.is_none() || !keeps {
                record.outcome = Some((outcome, now));
            }
        });
    }

    /// Transaction of `$connect`: the look-up must not be there.
    pub(crate) fn connect(&self, state: &mut State, socket: u8) -> bool {
        let now = self.now(state).0;
        let it = &mut state.sockets[usize::from(socket)];
        if it.lookup != Lookup::Absent {
            self.meet("a disconnect that was handled before its connect");
            if !self.mutated(Mutation::ConnectDespiteTombstone) {
                return false;
            }
        }
        it.lookup = Lookup::Alive { connected: now };
        it.present = Some(now);
        true
    }
}

/// The order of `docs/decisions/trail.md`: a state is the best that has happened.
pub(crate) fn rank(state: TrailState) -> u8 {
    match state {
        TrailState::Scheduled | TrailState::Accepted => 0,
        TrailState::Pending => 1,
        TrailState::Expired => 2,
        TrailState::Failed | TrailState::Suppressed => 3,
        TrailState::FallbackDelivered => 4,
        TrailState::Confirmed => 5,
    }
}
