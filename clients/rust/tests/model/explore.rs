//! The model as `stateright` explores it: the actions of a state, their results, and the properties.

use stateright::{Model, Property};
use tidings_domain::{Entry, Position, mailbox::Slot, trail};

use crate::{
    device::SOCKETS,
    service::{Config, Tidings, rank},
    socket::How,
    state::{Broken, DeliverAt, Faults, Line, Lookup, Queued, ReplayAt, Replayer, Socket, State, StepAt, Word},
};

/// An action. Numbers are those of workers, sockets and devices in the state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Tick,
    HandOut(usize),
    Deliver(usize, How),
    HandStepOut(usize),
    Step(usize, bool),
    Dial(u8),
    HandleConnect(u8),
    HandleDisconnect(u8),
    HandleWord(u8, usize),
    Replay(usize, How),
    Receive(u8),
    Acknowledge(u8, usize),
    Overdue(u8),
    Ping(u8),
    Part(u8),
    Fault(Fault),
}

/// Faults, each as often as its budget allows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    CrashDeliverer(usize),
    CrashStepper(usize),
    CrashReplayer(usize),
    Repeat(usize),
    RepeatStep(usize),
    Post(usize, How),
    Replay(usize, How),
    IndexLag(usize),
    LoseWord(u8, usize),
    RepeatWord(u8, usize),
    Drop(u8),
    Roll(u8),
    Abort(u8),
    LoseDisconnect(u8),
    Haste(u8),
}

fn number(at: usize) -> u8 {
    u8::try_from(at).unwrap()
}

impl Tidings {
    /// Adds the actions that need no fault.
    fn moves(&self, state: &State, events: &mut Vec<Event>) {
        if state.clock + 1 < self.config.times.len() {
            events.push(Event::Tick);
        }
        let messages = 0..state.queue.len();
        events.extend(messages.filter(|&message| self.is_handed_out(state, message)).map(Event::HandOut));
        events.extend((0..state.deliverers.len()).map(|worker| Event::Deliver(worker, How::Well)));
        let steps = 0..state.steps.len();
        events.extend(steps.filter(|&at| self.is_step_handed_out(state, at)).map(Event::HandStepOut));
        for (worker, stepper) in state.steppers.iter().enumerate() {
            events.push(Event::Step(worker, false));
            if self.config.refusals && matches!(stepper.at, StepAt::Call(_)) {
                events.push(Event::Step(worker, true));
            }
        }
        events.extend((0..state.replayers.len()).map(|worker| Event::Replay(worker, How::Well)));
        for (at, socket) in state.sockets.iter().enumerate() {
            let at = number(at);
            if socket.connect_pending {
                events.push(Event::HandleConnect(at));
            }
            if socket.disconnect_pending {
                events.push(Event::HandleDisconnect(at));
            }
            if !socket.connect_pending {
                let first = |n: &usize| socket.words[..*n].iter().all(|word| *word != socket.words[*n]);
                events.extend((0..socket.words.len()).filter(first).map(|word| Event::HandleWord(at, word)));
            }
            if !socket.to_device.is_empty() {
                events.push(Event::Receive(at));
            }
            if socket.old
                && socket.line == Line::Open
                && !state.clients[usize::from(socket.device)].inbox.awaits_replay()
            {
                events.push(Event::Part(at));
            }
        }
        let mut pings = Vec::new();
        for (device, client) in state.clients.iter().enumerate() {
            let at = number(device);
            events.extend((0..client.unconfirmed.len()).map(|message| Event::Acknowledge(at, message)));
            if !self.has_line(state, at) && self.dialled(state, at) < SOCKETS {
                events.push(Event::Dial(at));
            }
            let Some(line) = self.line(state, at) else { continue };
            let idle = !self.is_answer_on_its_way(state, at);
            if client.inbox.awaits_replay() {
                if idle {
                    events.push(Event::Overdue(at));
                }
            } else if idle && self.ping_has_an_effect(state, line, client.inbox.cursor()) {
                pings.push(Event::Ping(at));
            }
        }
        // Heartbeats are far apart: what is going on is over before the next, unless there is haste.
        if events.is_empty() {
            events.append(&mut pings);
        }
    }

    fn dialled(&self, state: &State, device: u8) -> usize {
        state.sockets.iter().filter(|socket| socket.device == device).count()
    }

    /// A ping whose answer changes nothing is left out.
    fn ping_has_an_effect(&self, state: &State, line: u8, cursor: Option<Position>) -> bool {
        let socket = &state.sockets[usize::from(line)];
        let head = state.log.last().map(|entry| entry.position);
        head > cursor || socket.present.is_none() || !matches!(socket.lookup, Lookup::Alive { .. })
    }

    /// Adds the faults.
    fn faults(&self, state: &State, events: &mut Vec<Event>) {
        let mut push = |fault| events.push(Event::Fault(fault));
        self.faults_of_workers(state, &mut push);
        faults_of_queues(state, &mut push);
        faults_of_sockets(state, &mut push);
        self.haste(state, &mut push);
    }

    fn faults_of_workers(&self, state: &State, push: &mut impl FnMut(Fault)) {
        let left = state.left;
        let may_crash = left.crash > 0 && state.clock + 1 < self.config.times.len();
        for (worker, deliverer) in state.deliverers.iter().enumerate() {
            if may_crash {
                push(Fault::CrashDeliverer(worker));
            }
            if let Some(socket) = self.posts_to(state, worker) {
                self.post_faults(state, socket).for_each(|how| push(Fault::Post(worker, how)));
            }
            if left.index_lag > 0 && deliverer.at.looks_in_the_index() {
                push(Fault::IndexLag(worker));
            }
        }
        for worker in 0..state.steppers.len() {
            if may_crash {
                push(Fault::CrashStepper(worker));
            }
        }
        for worker in 0..state.replayers.len() {
            if may_crash {
                push(Fault::CrashReplayer(worker));
            }
            if let Some(socket) = self.replays_to(state, worker) {
                let answers = matches!(state.replayers[worker].at, ReplayAt::Answer(_));
                let possible = |how: &How| !answers || *how == How::Lost;
                self.post_faults(state, socket).filter(possible).for_each(|how| push(Fault::Replay(worker, how)));
            }
        }
    }

    /// A device that does not wait.
    fn haste(&self, state: &State, push: &mut impl FnMut(Fault)) {
        if state.left.haste > 0 {
            for (device, client) in state.clients.iter().enumerate() {
                let device = number(device);
                let Some(line) = self.line(state, device) else { continue };
                if client.inbox.awaits_replay() || self.ping_has_an_effect(state, line, client.inbox.cursor()) {
                    push(Fault::Haste(device));
                }
            }
        }
    }

    fn post_faults(&self, state: &State, socket: u8) -> impl Iterator<Item = How> {
        let (left, line) = (state.left, state.sockets[usize::from(socket)].line);
        let open = line == Line::Open;
        let possible = [
            (How::Lost, open && left.lose_frame > 0),
            (How::Twice, open && left.repeat_frame > 0),
            (How::GoneThoughDelivered, open && left.gone_alive > 0),
            (How::GoneAndLost, open && left.gone_alive > 0),
            (How::AcceptedThoughDead, !open && left.accepted_dead > 0),
            (How::RetryThoughDelivered, open && left.retry > 0),
            (How::RetryAndLost, open && left.retry > 0),
        ];
        possible.into_iter().filter(|(_, possible)| *possible).map(|(how, _)| how)
    }

    fn go_wrong(&self, state: &mut State, fault: &Fault) {
        let spend = |left: &mut Faults, how: How| {
            *match how {
                How::Well => unreachable!("nothing goes wrong"),
                How::Lost => &mut left.lose_frame,
                How::Twice => &mut left.repeat_frame,
                How::GoneThoughDelivered | How::GoneAndLost => &mut left.gone_alive,
                How::AcceptedThoughDead => &mut left.accepted_dead,
                How::RetryThoughDelivered | How::RetryAndLost => &mut left.retry,
            } -= 1;
        };
        match *fault {
            Fault::CrashDeliverer(worker) => {
                state.left.crash -= 1;
                self.give_back(state, worker);
            }
            Fault::CrashStepper(worker) => {
                state.left.crash -= 1;
                if matches!(state.steppers[worker].at, StepAt::Call(_)) {
                    self.meet("a crash between claim and call");
                }
                self.give_step_back(state, worker);
            }
            Fault::CrashReplayer(worker) => {
                state.left.crash -= 1;
                state.replayers.remove(worker);
            }
            Fault::Repeat(message) => {
                state.left.repeat -= 1;
                state.queue[message].there = true;
                state.queue[message].in_flight = false;
            }
            Fault::RepeatStep(at) => {
                state.left.repeat -= 1;
                state.steps[at].done = false;
                state.steps[at].in_flight = false;
            }
            Fault::Post(worker, how) => {
                spend(&mut state.left, how);
                self.deliver(state, worker, how);
            }
            Fault::Replay(worker, how) => {
                spend(&mut state.left, how);
                self.replay(state, worker, how);
            }
            Fault::IndexLag(worker) => {
                state.left.index_lag -= 1;
                self.deliver(state, worker, How::Lost);
            }
            Fault::LoseWord(socket, word) => {
                state.left.lose_word -= 1;
                state.sockets[usize::from(socket)].words.remove(word);
            }
            Fault::RepeatWord(socket, word) => {
                state.left.repeat_word -= 1;
                self.handle_word(state, socket, word, true);
            }
            Fault::Drop(socket) => {
                state.left.drop -= 1;
                self.hang_up(state, socket);
            }
            Fault::Roll(device) => {
                state.left.roll -= 1;
                self.dial(state, device);
            }
            Fault::Abort(socket) => {
                state.left.abort -= 1;
                self.hang_up(state, socket);
            }
            Fault::LoseDisconnect(socket) => {
                state.left.lose_disconnect -= 1;
                state.sockets[usize::from(socket)].disconnect_pending = false;
            }
            Fault::Haste(device) => {
                state.left.haste -= 1;
                if state.clients[usize::from(device)].inbox.awaits_replay() {
                    self.overdue(state, device);
                } else {
                    self.ping(state, device);
                }
            }
        }
    }

    /// A device pings, and the ping arrives at once: anything in between could as well have come before.
    fn ping(&self, state: &mut State, device: u8) {
        if let Some(line) = self.line(state, device) {
            let words = &mut state.sockets[usize::from(line)].words;
            words.push(Word::Ping);
            let last = words.len() - 1;
            self.handle_word(state, line, last, false);
        }
    }

    /// Normalises states that differ only in what no longer matters, and takes steps at once that cannot interfere.
    fn tidy(&self, state: &mut State) {
        // If a device's one connection stays, only the order of its frames matters, which is that of the posts.
        for at in 0..state.sockets.len() {
            while state.sockets[at].device != 0 && !state.sockets[at].to_device.is_empty() {
                self.receive(state, number(at));
            }
        }
        // The time of a worker's delete cannot be observed if neither crashes nor repeats are left.
        if state.left.crash == 0 && state.left.repeat == 0 {
            while let Some(at) = state.deliverers.iter().position(|worker| worker.at == DeliverAt::Delete) {
                self.deliver(state, at, How::Well);
            }
            while let Some(at) = state.steppers.iter().position(|worker| worker.at == StepAt::Delete) {
                self.step(state, at, false);
            }
        }
        if state.left.repeat == 0 {
            state.steps.retain(|step| !step.done);
        }
        state.steps.sort_by_key(|step| (step.due.step, step.due.due, step.due.waited, step.waits, step.in_flight));
        let State { sockets, replayers, .. } = state;
        let is_closed = |worker: &Replayer| sockets[usize::from(worker.connection)].line == Line::Closed;
        // No device receives the remaining frames of the others.
        replayers.retain(|worker| !is_closed(worker) || matches!(worker.at, ReplayAt::Entries { .. }));
        for socket in sockets.iter_mut() {
            socket.words.sort_unstable();
            let over = socket.line == Line::Closed && !socket.connect_pending && !socket.disconnect_pending;
            if over && socket.words.is_empty() && socket.present.is_none() {
                socket.lookup = Lookup::Absent;
                socket.old = false;
            }
        }
    }

    /// Whether nothing goes on any more, apart from possible faults.
    fn is_at_rest(&self, state: &State) -> bool {
        if state.clock + 1 < self.config.times.len() || !state.deliverers.is_empty() || !state.replayers.is_empty() {
            return false;
        }
        let mut events = Vec::new();
        self.moves(state, &mut events);
        events.is_empty()
    }

    /// Every message that is in no mailbox has expired, and every chain has come to its end.
    fn is_settled(&self, state: &State) -> bool {
        let now = self.now(state);
        self.deliveries.iter().all(|delivery| {
            let entry: Option<&Entry> =
                state.log.iter().find(|entry| entry.letter.id == delivery.letter.id).map(|entry| &**entry);
            let about = trail::About {
                accepted: delivery.letter.accepted,
                send_at: None,
                deadline: delivery.letter.deadline,
                cancelled: None,
                begun: None,
            };
            let slot = entry.map(|entry| Slot::Read(entry.clone()));
            let recipient = trail::recipient("alice", slot.as_ref(), &about, now);
            let unstored = entry.is_none() && now <= delivery.letter.deadline;
            let chain = delivery.letter.steps.is_empty() || recipient.state.is_settled();
            !unstored && chain
        })
    }

    /// Every device is connected, and has been shown what it wants.
    fn is_everything_shown(&self, state: &State) -> bool {
        let now = self.now(state);
        state.clients.iter().zip(&self.devices).enumerate().all(|(at, (client, device))| {
            let shown = |entry: &Entry| client.shown.iter().any(|(_, position)| *position == entry.position);
            let wants = |entry: &Entry| entry.is_wanted(&device.id, Some(device.platform), now);
            self.line(state, number(at)).is_some() && state.log.iter().all(|entry| !wants(entry) || shown(entry))
        })
    }
}

impl Model for Tidings {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let Config { devices, lanes, chain, online, faults, .. } = &self.config;
        let mut state = State {
            clock: 0,
            queue: vec![Queued { there: true, in_flight: false, receives: 0 }; lanes.len()],
            deliverers: Vec::new(),
            log: Vec::new(),
            sockets: Vec::new(),
            replayers: Vec::new(),
            steps: Vec::new(),
            steppers: Vec::new(),
            clients: (0..*devices).map(|device| self.client(online.contains(&device))).collect(),
            calls: vec![vec![0; chain.len()]; lanes.len()],
            left: *faults,
            broken: None,
        };
        for device in online {
            self.dial(&mut state, *device);
            let socket = state.sockets.last_mut().unwrap();
            (socket.line, socket.connect_pending) = (Line::Open, false);
            (socket.lookup, socket.present) = (Lookup::Alive { connected: 0 }, Some(0));
        }
        vec![state]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        self.moves(state, events);
        self.faults(state, events);
    }

    fn next_state(&self, last: &State, event: Event) -> Option<State> {
        let mut state = last.clone();
        match event {
            Event::Tick => {
                let ranks = |state: &State| -> Vec<u8> {
                    let now = self.now(state);
                    state.log.iter().map(|entry| rank(trail::state(entry, now))).collect()
                };
                state.clock += 1;
                if ranks(&state).iter().zip(ranks(last)).any(|(after, before)| *after < before) {
                    state.broken = Some(Broken::StateWentBack);
                }
            }
            Event::HandOut(message) => {
                self.hand_out(&mut state, message);
                // What comes between the two could as well have come before.
                let worker = state.deliverers.len() - 1;
                self.deliver(&mut state, worker, How::Well);
            }
            Event::Deliver(worker, how) => self.deliver(&mut state, worker, how),
            Event::HandStepOut(at) => {
                self.hand_step_out(&mut state, at);
                let worker = state.steppers.len() - 1;
                self.step(&mut state, worker, false);
            }
            Event::Step(worker, refused) => self.step(&mut state, worker, refused),
            Event::Dial(device) => self.dial(&mut state, device),
            Event::HandleConnect(socket) => self.handle_connect(&mut state, socket),
            Event::HandleDisconnect(socket) => self.handle_disconnect(&mut state, socket),
            Event::HandleWord(socket, word) => self.handle_word(&mut state, socket, word, false),
            Event::Replay(worker, how) => self.replay(&mut state, worker, how),
            Event::Receive(socket) => self.receive(&mut state, socket),
            Event::Acknowledge(device, at) => self.acknowledge(&mut state, device, at),
            Event::Overdue(device) => self.overdue(&mut state, device),
            Event::Ping(device) => {
                self.ping(&mut state, device);
            }
            Event::Part(socket) => self.hang_up(&mut state, socket),
            Event::Fault(fault) => self.go_wrong(&mut state, &fault),
        }
        self.tidy(&mut state);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one entry for each message", |_, state: &State| {
                let log = &state.log;
                (0..log.len()).all(|at| log[..at].iter().all(|entry| entry.letter.id != log[at].letter.id))
            }),
            Property::always("places are dense, in one epoch", |_, state: &State| {
                let first = state.log.first().map_or(0, |entry| entry.position.epoch);
                let dense =
                    |(at, entry): (usize, &Entry)| entry.position == Position { epoch: first, seq: at as u64 + 1 };
                state.log.iter().map(|entry| &**entry).enumerate().all(dense)
            }),
            Property::always("one lane keeps its order", |model: &Self, state: &State| {
                let lane = |entry: &Entry| {
                    let message = model.message(&entry.letter.id);
                    (model.config.lanes[usize::from(message)], message)
                };
                let places: Vec<_> = state.log.iter().map(|entry| lane(entry)).collect();
                (0..places.len()).all(|at| places[..at].iter().all(|it| it.0 != places[at].0 || it.1 < places[at].1))
            }),
            Property::always("nothing is shown twice", |_, state: &State| {
                state.clients.iter().all(|client| {
                    let shown = &client.shown;
                    (0..shown.len()).all(|at| shown[..at].iter().all(|it| it.0 != shown[at].0))
                })
            }),
            Property::always("what is shown is in order", |_, state: &State| {
                state.clients.iter().all(|client| client.shown.windows(2).all(|two| two[0].1 < two[1].1))
            }),
            Property::always("a provider is called once at most", |_, state: &State| {
                state.calls.iter().flatten().all(|calls| *calls <= 1)
            }),
            Property::always("nothing is claimed after an acknowledgement", |_, state: &State| {
                state.broken != Some(Broken::ClaimAfterAck)
            }),
            Property::always("a state never goes back", |_, state: &State| state.broken != Some(Broken::StateWentBack)),
            Property::always("acknowledgements only grow", |_, state: &State| state.broken != Some(Broken::AcksShrank)),
            Property::always("a connection that has ended stays dead", |_, state: &State| {
                let dead = |socket: &Socket| socket.present.is_none() && !matches!(socket.lookup, Lookup::Alive { .. });
                state.sockets.iter().all(|socket| !socket.ended || dead(socket))
            }),
            Property::always("at rest every message is settled", |model: &Self, state: &State| {
                !model.is_at_rest(state) || model.is_settled(state)
            }),
            Property::always("at rest every device has been shown what it wants", |model: &Self, state: &State| {
                !model.is_at_rest(state) || model.is_everything_shown(state)
            }),
        ]
    }
}

fn faults_of_queues(state: &State, push: &mut impl FnMut(Fault)) {
    if state.left.repeat > 0 {
        for (message, queued) in state.queue.iter().enumerate() {
            if queued.in_flight || (!queued.there && queued.receives > 0) {
                push(Fault::Repeat(message));
            }
        }
        for (at, step) in state.steps.iter().enumerate() {
            if step.in_flight || step.done {
                push(Fault::RepeatStep(at));
            }
        }
    }
}

fn faults_of_sockets(state: &State, push: &mut impl FnMut(Fault)) {
    let left = state.left;
    for (at, socket) in state.sockets.iter().enumerate() {
        let at = number(at);
        for word in 0..socket.words.len() {
            if left.lose_word > 0 {
                push(Fault::LoseWord(at, word));
            }
            if left.repeat_word > 0 && !socket.connect_pending {
                push(Fault::RepeatWord(at, word));
            }
        }
        // One device's reconnect is enough; the other one's would be the same again.
        if left.drop > 0 && socket.device == 0 && socket.line == Line::Open && !socket.old {
            push(Fault::Drop(at));
        }
        if left.roll > 0 && socket.device == 0 && socket.line == Line::Open && !socket.old {
            push(Fault::Roll(socket.device));
        }
        if left.abort > 0 && socket.line == Line::Dialing {
            push(Fault::Abort(at));
        }
        if left.lose_disconnect > 0 && socket.disconnect_pending {
            push(Fault::LoseDisconnect(at));
        }
    }
}
