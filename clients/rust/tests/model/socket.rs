//! Sockets as API Gateway has them: posts whose answers prove nothing, `$connect` and `$disconnect` late, lost or
//! swapped; and `functions/sync` and `functions/heartbeat` behind them.

use tidings_domain::{
    Position,
    mailbox::{self, Slot},
};

use crate::{
    service::Tidings,
    state::{Line, Lookup, Posted, ReplayAt, Replayer, State, Synced, Wire, Word},
};

/// As in the store: how long after its end a connection's last actions are accepted, in milliseconds.
const LAST_WORDS: i64 = 60_000;

const NOTHING_YET: Position = Position { epoch: 0, seq: 0 };

/// The fate of one request, or of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum How {
    Well,
    Lost,
    Twice,
    GoneThoughDelivered,
    GoneAndLost,
    AcceptedThoughDead,
    RetryThoughDelivered,
    RetryAndLost,
}

impl Tidings {
    /// Posts a frame to a connection.
    pub(crate) fn post(&self, state: &mut State, socket: u8, frame: Wire, how: How) -> Posted {
        let it = &mut state.sockets[usize::from(socket)];
        let copies = match (it.line, how) {
            (Line::Open, How::Well | How::GoneThoughDelivered | How::RetryThoughDelivered) => 1,
            (Line::Open, How::Twice) => 2,
            _ => 0,
        };
        it.to_device.extend(std::iter::repeat_n(frame, copies));
        match (it.line, how) {
            (_, How::AcceptedThoughDead) => Posted::Accepted,
            (_, How::RetryThoughDelivered | How::RetryAndLost) => Posted::Retry,
            (_, How::GoneThoughDelivered | How::GoneAndLost) => {
                self.meet("410 though alive");
                Posted::Gone
            }
            (Line::Open, How::Well | How::Lost | How::Twice) => Posted::Accepted,
            (Line::Dialing | Line::Closed, How::Well | How::Lost | How::Twice) => Posted::Gone,
        }
    }

    /// `$connect` is handled.
    pub(crate) fn handle_connect(&self, state: &mut State, socket: u8) {
        let recorded = self.connect(state, socket);
        let it = &mut state.sockets[usize::from(socket)];
        it.connect_pending = false;
        match (it.line, recorded) {
            (Line::Dialing, true) => self.opened(state, socket),
            (Line::Dialing, false) => it.line = Line::Closed,
            (Line::Open | Line::Closed, _) => {}
        }
    }

    /// `$disconnect` is handled: a tombstone, and the connection is forgotten.
    pub(crate) fn handle_disconnect(&self, state: &mut State, socket: u8) {
        let now = self.now(state).0;
        let it = &mut state.sockets[usize::from(socket)];
        it.disconnect_pending = false;
        it.ended = true;
        if it.connect_pending {
            it.lookup = Lookup::Tombstone { buried: now, known: false };
        } else if it.lookup != Lookup::Absent {
            it.lookup = Lookup::Tombstone { buried: now, known: true };
        }
        it.present = None;
    }

    /// An action of a device is handled. `stays`: it will be handled once more.
    pub(crate) fn handle_word(&self, state: &mut State, socket: u8, at: usize, stays: bool) {
        let now = self.now(state).0;
        let it = &mut state.sockets[usize::from(socket)];
        let word = if stays { it.words[at] } else { it.words.remove(at) };
        let alive = matches!(it.lookup, Lookup::Alive { .. });
        let device = it.device;
        match word {
            Word::Ack(message, position) => {
                // `#stored <= :at`: last actions apply to entries that were stored before the end.
                let end = match it.lookup {
                    Lookup::Tombstone { buried, known: true } if now <= buried + LAST_WORDS => Some(buried),
                    Lookup::Absent | Lookup::Alive { .. } | Lookup::Tombstone { .. } => None,
                };
                let last_words =
                    end.is_some_and(|end| self.entry(state, position).is_some_and(|it| it.stored.0 <= end));
                if end.is_some() {
                    self.meet("an acknowledgement after the disconnect");
                }
                if alive || last_words {
                    self.confirm(state, device, message, position);
                }
            }
            Word::Sync(asked) if alive => {
                let head = state.log.last().map(|entry| entry.position);
                let cursor = asked.or(state.clients[usize::from(device)].kept_cursor);
                let at = ReplayAt::Entries { cursor, head };
                state.replayers.push(Replayer { connection: socket, asked, at });
            }
            Word::Ping if alive => {
                if it.present.is_none()
                    && let Lookup::Alive { connected } = it.lookup
                {
                    it.present = Some(connected);
                    self.meet("a ping that brings a pruned connection back");
                }
                let head = state.log.last().map_or(NOTHING_YET, |entry| entry.position);
                self.answer(state, socket, Wire::Pong(head));
            }
            Word::Sync(_) | Word::Ping => self.answer(state, socket, Wire::Reconnect),
        }
    }

    fn answer(&self, state: &mut State, socket: u8, frame: Wire) {
        let it = &mut state.sockets[usize::from(socket)];
        if it.line == Line::Open {
            it.to_device.push(frame);
        }
    }

    /// The connection, if the next request of a replay is a frame.
    pub(crate) fn replays_to(&self, state: &State, at: usize) -> Option<u8> {
        match &state.replayers[at].at {
            ReplayAt::Entries { .. } => None,
            ReplayAt::Post { .. } | ReplayAt::Answer(_) => Some(state.replayers[at].connection),
        }
    }

    /// The next request of a replay.
    pub(crate) fn replay(&self, state: &mut State, worker: usize, how: How) {
        let Replayer { connection, asked, at } = state.replayers[worker].clone();
        let now = self.now(state);
        let number = usize::from(state.sockets[usize::from(connection)].device);
        let device = &self.devices[number];
        let next = match at {
            ReplayAt::Entries { cursor, head } => {
                let from = mailbox::replay_from(cursor, head);
                let entries: Vec<_> = match head {
                    Some(_) => state.log.iter().filter(|entry| Some(entry.position) > from).cloned().collect(),
                    None => Vec::new(),
                };
                let plain: Vec<_> =
                    entries.iter().map(|entry| Slot::Read(tidings_domain::Entry::clone(entry))).collect();
                if asked.is_none()
                    && let Some(run) = mailbox::unwanted_run(&plain, &device.id, Some(device.platform), now)
                {
                    self.meet("a cursor that the service keeps moves");
                    let kept = &mut state.clients[number].kept_cursor;
                    *kept = (*kept).max(Some(run));
                }
                let recovered = mailbox::recovered(cursor, plain.first().map(Slot::position), head);
                if !recovered {
                    self.meet("recovered: false");
                }
                let last = if entries.is_empty() { head.unwrap_or(NOTHING_YET) } else { from.unwrap_or(NOTHING_YET) };
                let entries = entries
                    .iter()
                    .map(|entry| {
                        let wanted = entry.is_wanted(&device.id, Some(device.platform), now);
                        (self.message(&entry.letter.id), entry.position, wanted)
                    })
                    .collect();
                passed_over(last, recovered, entries, Vec::new())
            }
            ReplayAt::Post { last, recovered, mut entries, mut posted } => {
                let (message, position, _) = entries.remove(0);
                let frame = Wire::Message { message, position };
                if self.post(state, connection, frame, how) == Posted::Accepted {
                    posted.push(position.seq);
                    passed_over(position, recovered, entries, posted)
                } else {
                    ReplayAt::Answer(Synced { position: last, recovered, more: true, posted })
                }
            }
            ReplayAt::Answer(synced) => {
                if how != How::Lost {
                    self.answer(state, connection, Wire::Synced(synced));
                }
                state.replayers.remove(worker);
                return;
            }
        };
        state.replayers[worker].at = next;
    }
}

/// Goes on to the next entry that is wanted.
fn passed_over(
    mut last: Position,
    recovered: bool,
    mut entries: Vec<(u8, Position, bool)>,
    posted: Vec<u64>,
) -> ReplayAt {
    while let Some((_, position, false)) = entries.first().copied() {
        last = position;
        entries.remove(0);
    }
    if entries.is_empty() {
        ReplayAt::Answer(Synced { position: last, recovered, more: false, posted })
    } else {
        ReplayAt::Post { last, recovered, entries, posted }
    }
}
