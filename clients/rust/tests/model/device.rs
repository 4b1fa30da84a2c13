//! A device: the real [`Inbox`], and a model of what `clients/rust` does with its steps.

use tidings_client::{Inbox, Step};
use tidings_domain::Position;
use tidings_wire::{
    Action, Frame,
    action::Receipt,
    frame::{Pong, Synced as SyncedFrame},
};

use crate::{
    service::{Mutation, Tidings},
    state::{Client, Line, Lookup, Real, Socket, State, Synced, Wire, Word},
};

/// Connections that one device may open in the model; more would mean that it never comes to rest.
pub(crate) const SOCKETS: usize = 5;

impl Tidings {
    /// A device that begins: connected and in step with an empty mailbox, or not connected yet.
    pub(crate) fn client(&self, online: bool) -> Client {
        let mut inbox = Inbox::new(None);
        if online {
            let _ = inbox.connected();
            let position = Position { epoch: 0, seq: 0 };
            let synced = Synced { position, recovered: true, more: false, posted: Vec::new() };
            let _ = inbox.frame(self.frame(&Wire::Synced(synced), 0), String::new());
        }
        Client {
            inbox: Real::new(inbox),
            shown: Vec::new(),
            unconfirmed: Vec::new(),
            doubtful: Vec::new(),
            unsent: Vec::new(),
            kept_cursor: None,
        }
    }

    /// A socket of a device, from the dial on.
    pub(crate) fn dial(&self, state: &mut State, device: u8) {
        state.sockets.push(Socket {
            device,
            line: Line::Dialing,
            connect_pending: true,
            disconnect_pending: false,
            lookup: Lookup::Absent,
            present: None,
            to_device: Vec::new(),
            words: Vec::new(),
            old: false,
            ended: false,
        });
    }

    /// The connection that a device sends actions on.
    pub(crate) fn line(&self, state: &State, device: u8) -> Option<u8> {
        let its = |socket: &Socket| socket.device == device && socket.line == Line::Open && !socket.old;
        state.sockets.iter().position(its).map(|at| u8::try_from(at).unwrap())
    }

    /// Whether a device has a connection, or is about to have one.
    pub(crate) fn has_line(&self, state: &State, device: u8) -> bool {
        state.sockets.iter().any(|socket| socket.device == device && socket.line != Line::Closed && !socket.old)
    }

    /// The upgrade was answered: the first actions are sent.
    pub(crate) fn opened(&self, state: &mut State, socket: u8) {
        let device = state.sockets[usize::from(socket)].device;
        let rolls = self.line(state, device);
        if let Some(old) = rolls {
            state.sockets[usize::from(old)].old = true;
        }
        state.sockets[usize::from(socket)].line = Line::Open;
        let client = &mut state.clients[usize::from(device)];
        let mut inbox = Inbox::clone(&client.inbox);
        let sync = if rolls.is_some() { inbox.rolled_over() } else { inbox.connected() };
        client.inbox = Real::new(inbox);
        let unsent = std::mem::take(&mut client.unsent);
        client.doubtful.extend(unsent);
        let again = client.doubtful.clone();
        self.send(state, socket, &sync);
        for (message, position) in again {
            state.sockets[usize::from(socket)].words.push(Word::Ack(message, position));
        }
    }

    /// A connection ends. Frames on their way to the device are lost; its actions may still arrive.
    pub(crate) fn hang_up(&self, state: &mut State, socket: u8) {
        let it = &mut state.sockets[usize::from(socket)];
        it.line = Line::Closed;
        it.to_device.clear();
        it.disconnect_pending = true;
    }

    /// The app confirms a message that it was shown.
    pub(crate) fn acknowledge(&self, state: &mut State, device: u8, at: usize) {
        let line = self.line(state, device);
        let client = &mut state.clients[usize::from(device)];
        let (message, position) = client.unconfirmed.remove(at);
        client.inbox = client.inbox.with(|inbox| inbox.acknowledged(position));
        match line {
            Some(line) => {
                client.doubtful.push((message, position));
                state.sockets[usize::from(line)].words.push(Word::Ack(message, position));
            }
            None => client.unsent.push((message, position)),
        }
    }

    /// The answer to a replay is overdue.
    pub(crate) fn overdue(&self, state: &mut State, device: u8) {
        self.meet("a replay that is asked for again");
        let client = &mut state.clients[usize::from(device)];
        let mut inbox = Inbox::clone(&client.inbox);
        let steps = inbox.replay_overdue();
        client.inbox = Real::new(inbox);
        self.carry_out(state, device, steps);
    }

    /// Whether an answer to a replay may still be on its way.
    pub(crate) fn is_answer_on_its_way(&self, state: &State, device: u8) -> bool {
        let at_work = |worker: &crate::state::Replayer| {
            let socket = &state.sockets[usize::from(worker.connection)];
            socket.device == device && socket.line == Line::Open
        };
        let on_its_way = |socket: &Socket| {
            let asked = socket.words.iter().any(|word| matches!(word, Word::Sync(_)));
            socket.device == device && socket.line == Line::Open && (asked || !socket.to_device.is_empty())
        };
        state.sockets.iter().any(on_its_way) || state.replayers.iter().any(at_work)
    }

    /// A frame arrives.
    pub(crate) fn receive(&self, state: &mut State, socket: u8) {
        let it = &mut state.sockets[usize::from(socket)];
        let (wire, device, old) = (it.to_device.remove(0), it.device, it.old);
        if wire == Wire::Reconnect {
            // Frames about an old connection itself no longer matter.
            if !old {
                self.hang_up(state, socket);
            }
            return;
        }
        if let (Wire::Message { position, .. }, Some(cursor)) =
            (&wire, state.clients[usize::from(device)].inbox.cursor())
        {
            if *position <= cursor {
                self.meet("a message that the device has already");
            } else if position.seq > cursor.seq + 1 {
                self.meet("a message that comes before its turn");
            }
        }
        if self.mutated(Mutation::ClientTrustsLiveOrder) || self.mutated(Mutation::ClientShowsEverything) {
            return self.receive_carelessly(state, device, &wire);
        }
        let client = &mut state.clients[usize::from(device)];
        let mut inbox = Inbox::clone(&client.inbox);
        let steps = inbox.frame(self.frame(&wire, device), String::new());
        client.inbox = Real::new(inbox);
        self.carry_out(state, device, steps);
    }

    /// Clients with the mistakes of a first version.
    fn receive_carelessly(&self, state: &mut State, device: u8, wire: &Wire) {
        let client = &mut state.clients[usize::from(device)];
        let all = self.mutated(Mutation::ClientShowsEverything);
        let position = match wire {
            Wire::Message { message, position } => {
                if all || Some(*position) > client.inbox.cursor() {
                    client.shown.push((*message, *position));
                }
                *position
            }
            Wire::Synced(synced) => synced.position,
            Wire::Pong(_) | Wire::Reconnect => return,
        };
        let cursor = client.inbox.cursor().max(Some(position));
        client.inbox = Real::new(Inbox::new(cursor));
    }

    fn carry_out(&self, state: &mut State, device: u8, steps: Vec<Step>) {
        for step in steps {
            let line = self.line(state, device);
            let client = &mut state.clients[usize::from(device)];
            match step {
                Step::Send(action) => {
                    if let Some(line) = line {
                        self.send(state, line, &action);
                    }
                }
                Step::AckAgain(receipt) => {
                    if let Some(line) = line {
                        self.send(state, line, &Action::Ack(receipt));
                    }
                }
                Step::Deliver(received) => {
                    let id = received.message.id.parse().unwrap();
                    let shown = (self.message(&id), received.message.position.unwrap());
                    client.shown.push(shown);
                    if self.config.confirming.contains(&device) {
                        client.unconfirmed.push(shown);
                    }
                }
                Step::Synced(_) => {}
                Step::GiveUp => {
                    self.meet("a connection that is given up");
                    if let Some(line) = line {
                        self.hang_up(state, line);
                    }
                }
            }
        }
    }

    fn send(&self, state: &mut State, socket: u8, action: &Action) {
        let word = match action {
            Action::Sync { after, .. } => Word::Sync(*after),
            Action::Ack(Receipt { id: Some(id), position }) => Word::Ack(self.message(&id.parse().unwrap()), *position),
            Action::Ack(_) | Action::Read(_) | Action::Ping | Action::State { .. } => {
                unreachable!("the inbox sends only replay requests and acknowledgements by id")
            }
        };
        state.sockets[usize::from(socket)].words.push(word);
    }

    fn frame(&self, wire: &Wire, device: u8) -> Frame {
        let device = &self.devices[usize::from(device)].id;
        match wire {
            Wire::Message { message, position } => {
                self.deliveries[usize::from(*message)].letter.frame(Some(*position), &self.user, device)
            }
            Wire::Synced(Synced { position, recovered, more, posted }) => Frame::Synced(SyncedFrame {
                device_id: device.to_string(),
                position: *position,
                recovered: *recovered,
                more: *more,
                count: posted.len() as u64,
                posted: Some(posted.clone()),
                announced: None,
            }),
            Wire::Pong(position) => {
                Frame::Pong(Pong { device_id: device.to_string(), position: *position, server_time: 0, next_ping: 240 })
            }
            Wire::Reconnect => unreachable!("sent in clear"),
        }
    }
}
