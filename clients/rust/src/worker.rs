//! The task behind a device: keeps a socket open and carries out what the [`Inbox`] decides.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tidings_crypto::random;
use tidings_wire::frame::Reconnect;
use tidings_wire::{Action, Frame};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::backoff;
use crate::device::{Ack, Command, Event, Options, TokenIn, Unreadable};
use crate::dial::{ConnectError, Dial, Socket};
use crate::identity::Identity;
use crate::inbox::{Inbox, Step};

/// An acknowledgement that was said so shortly before a loss may not have been heard; it is said again.
const DOUBTFUL: Duration = Duration::from_secs(10);
/// A clock that differs by more than this from the service's is corrected after a refusal, in seconds.
const CLOCK_TOLERANCE: i64 = 2;
/// Pause before asking again when a replay's answer was an error of the gateway.
const REPLAY_RETRY: Duration = Duration::from_secs(1);
/// How long the service may take to answer a close.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// The first heartbeat comes soon: a message that was stored between our connection and our first words about the mailbox
/// was posted to nobody, and the head in the pong tells of it.
const FIRST_PING: Duration = Duration::from_secs(5);

/// The pause before the next heartbeat until a pong says otherwise.
const NEXT_PING: Duration = Duration::from_secs(60);

/// How a connection ended, or why there was none.
#[derive(Debug, thiserror::Error)]
pub enum Loss {
    /// It was not opened.
    #[error(transparent)]
    Connect(ConnectError),
    /// The other side closed it.
    #[error("the connection was closed ({code})")]
    Closed {
        /// The close code (RFC 6455 §7.4); 1005 where there was none.
        code: u16,
    },
    /// It broke.
    #[error("the connection broke")]
    Broken(#[source] Box<tungstenite::Error>),
    /// A heartbeat brought no answer.
    #[error("the service does not answer")]
    Silent,
    /// The service asked to come back on a new connection.
    #[error("the service asked to reconnect ({code})")]
    Asked {
        /// The stable code of the reason.
        code: String,
        /// How long to stay away.
        after: Duration,
    },
}

/// Why a device ended.
#[derive(Debug)]
pub enum CloseReason {
    /// The app asked for it, or no longer listens.
    Asked,
    /// No further attempt can help: the service refuses this device, which has to be registered anew, or the URL is none.
    CannotConnect(ConnectError),
}

type Opening = Pin<Box<dyn Future<Output = Result<Socket, ConnectError>> + Send>>;

pub(crate) struct Worker {
    identity: Identity,
    options: Options,
    inbox: Inbox,
    events: mpsc::UnboundedSender<Event>,
    commands: mpsc::UnboundedReceiver<Command>,
    clock_ahead: i64,
    /// Said by the app while there was no connection.
    unsaid: VecDeque<Action>,
    /// Acknowledged lately, in doubt if the connection is lost now.
    acknowledged: VecDeque<(Instant, Action)>,
    refusals: u32,
    attempt: u32,
}

/// Why serving a connection ended.
enum End {
    Lost(Loss),
    Close(Option<oneshot::Sender<()>>),
}

/// The deadlines of one connection.
struct Deadlines {
    ping: Instant,
    pong: Option<Instant>,
    replay: Option<Instant>,
    rollover: Option<Instant>,
}

impl Deadlines {
    fn next(&self) -> Instant {
        [self.pong, self.replay, self.rollover].into_iter().flatten().fold(self.ping, Instant::min)
    }
}

impl Worker {
    pub(crate) fn new(
        identity: Identity,
        options: Options,
        events: mpsc::UnboundedSender<Event>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let inbox = Inbox::new(options.cursor);
        Self {
            identity,
            options,
            inbox,
            events,
            commands,
            clock_ahead: 0,
            unsaid: VecDeque::new(),
            acknowledged: VecDeque::new(),
            refusals: 0,
            attempt: 0,
        }
    }

    pub(crate) async fn run(mut self) {
        let (reason, done) = self.stay_connected().await;
        self.tell(Event::Closed(reason));
        if let Some(done) = done {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
    }

    async fn stay_connected(&mut self) -> (CloseReason, Option<oneshot::Sender<()>>) {
        loop {
            let opening = self.dial();
            let ended = tokio::select! {
                opened = opening => match opened {
                    Ok(socket) => self.serve(socket).await,
                    Err(error) => End::Lost(Loss::Connect(error)),
                },
                asked = self.wait_for_close() => End::Close(asked),
            };
            let loss = match ended {
                End::Close(done) => return (CloseReason::Asked, done),
                End::Lost(loss) => loss,
            };
            let retry_in = match self.pause_after(&loss) {
                Some(pause) => pause,
                None => match loss {
                    Loss::Connect(error) => return (CloseReason::CannotConnect(error), None),
                    Loss::Closed { .. } | Loss::Broken(_) | Loss::Silent | Loss::Asked { .. } => Duration::ZERO,
                },
            };
            tracing::debug!(device = self.identity.id(), %loss, ?retry_in, "connection lost");
            self.tell(Event::Disconnected { loss, retry_in });
            tokio::select! {
                () = tokio::time::sleep(retry_in) => {}
                done = self.wait_for_close() => return (CloseReason::Asked, done),
            }
        }
    }

    /// How long to wait before the next attempt; `None` to make none.
    fn pause_after(&mut self, loss: &Loss) -> Option<Duration> {
        match loss {
            Loss::Connect(ConnectError::NoSubprotocol) if self.options.token_in == TokenIn::Subprotocol => {
                tracing::info!("the gateway does not answer with a subprotocol; the token goes into the URL");
                self.options.token_in = TokenIn::Query;
                return Some(Duration::ZERO);
            }
            Loss::Connect(error @ ConnectError::Refused { clock_ahead, .. }) if error.is_refusal() => {
                self.refusals += 1;
                if let Some(ahead) = clock_ahead.filter(|ahead| (ahead - self.clock_ahead).abs() > CLOCK_TOLERANCE) {
                    tracing::info!(seconds = ahead, "this machine's clock differs from the service's; corrected");
                    self.clock_ahead = ahead;
                    return Some(Duration::ZERO);
                }
                if self.refusals >= self.options.give_up_after {
                    return None;
                }
            }
            Loss::Asked { after, .. } => {
                // At least a second's window: all devices of a deployment may have been asked at once.
                return Some(backoff::spread((*after).max(self.options.backoff.first), draw()));
            }
            Loss::Connect(ConnectError::BadUrl { .. }) => return None,
            Loss::Connect(_) | Loss::Closed { .. } | Loss::Broken(_) | Loss::Silent => self.refusals = 0,
        }
        let pause = self.options.backoff.pause(self.attempt, draw());
        self.attempt = self.attempt.saturating_add(1);
        Some(pause)
    }

    /// Between connections: keeps what the app says, until it asks for the end.
    async fn wait_for_close(&mut self) -> Option<oneshot::Sender<()>> {
        loop {
            let command = tokio::select! {
                command = self.commands.recv() => command,
                () = self.events.closed() => None,
            };
            match command {
                Some(Command::Say(action)) => self.keep(action),
                Some(Command::Close(done)) => return Some(done),
                None => return None,
            }
        }
    }

    /// What is worth saying later: confirmations. A heartbeat or a state is about its own moment.
    fn keep(&mut self, action: Action) {
        match &action {
            Action::Ack(receipt) => self.inbox.acknowledged(receipt.position),
            Action::Read(_) => {}
            Action::Ping | Action::Sync { .. } | Action::State { .. } => return,
        }
        self.unsaid.push_back(action);
    }

    fn dial(&self) -> Opening {
        let dial = Dial {
            identity: self.identity.clone(),
            url: self.options.socket_url.clone(),
            token_in: self.options.token_in,
            within: self.options.answer_within,
            clock_ahead: self.clock_ahead,
        };
        Box::pin(dial.open())
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more: `closed()` ends the task at its next turn.
        let _ = self.events.send(event);
    }

    /// Serves a connection, and its successors at every rollover, until one is lost.
    async fn serve(&mut self, mut socket: Socket) -> End {
        let mut old: Option<Socket> = None;
        let mut successor: Option<Opening> = None;
        let mut deadlines = match self.greet(&mut socket).await {
            Ok(deadlines) => deadlines,
            Err(loss) => return End::Lost(loss),
        };
        self.tell(Event::Connected);
        loop {
            let result = tokio::select! {
                incoming = socket.next() => match received(incoming) {
                    Ok(Some(text)) => self.receive(&mut socket, &mut deadlines, text).await,
                    Ok(None) => Ok(()),
                    Err(loss) => Err(loss),
                },
                incoming = next_of(&mut old) => match received(incoming) {
                    Ok(Some(text)) => self.receive(&mut socket, &mut deadlines, text).await,
                    Ok(None) => Ok(()),
                    // Its successor is there.
                    Err(_) => { old = None; Ok(()) }
                },
                opened = open_of(&mut successor) => {
                    successor = None;
                    match opened {
                        Ok(opened) => {
                            old = Some(std::mem::replace(&mut socket, opened));
                            self.greet(&mut socket).await.map(|greeted| deadlines = greeted)
                        }
                        // The old one still serves; if it ends before the next attempt, that is an ordinary loss.
                        Err(error) => {
                            tracing::debug!(%error, "no successor for the connection yet");
                            deadlines.rollover = Some(Instant::now() + self.options.backoff.longest);
                            Ok(())
                        }
                    }
                }
                command = self.commands.recv() => match command {
                    Some(Command::Say(action)) => self.say_for_app(&mut socket, &mut deadlines, action).await,
                    Some(Command::Close(done)) => { close(socket).await; return End::Close(Some(done)); }
                    None => { close(socket).await; return End::Close(None); }
                },
                () = self.events.closed() => { close(socket).await; return End::Close(None); }
                () = sleep_until(deadlines.next()) => {
                    if deadlines.rollover.is_some_and(|at| at <= Instant::now()) {
                        deadlines.rollover = None;
                        successor = Some(self.dial());
                    }
                    self.on_deadline(&mut socket, &mut deadlines).await
                }
            };
            if let Err(loss) = result {
                self.doubt();
                return End::Lost(loss);
            }
            // The gap is closed on the new connection: the old one has nothing left to bring.
            if old.is_some()
                && !self.inbox.awaits_replay()
                && let Some(old) = old.take()
            {
                tokio::spawn(close(old));
            }
        }
    }

    /// The first words on a connection.
    async fn greet(&mut self, socket: &mut Socket) -> Result<Deadlines, Loss> {
        let now = Instant::now();
        let sync = self.inbox.connected();
        say(socket, &sync).await?;
        while let Some(action) = self.unsaid.front() {
            say(socket, action).await?;
            if let Some(said) = self.unsaid.pop_front() {
                self.note(said);
            }
        }
        // Half an hour at most is spread, in proportion, so that devices that came together do not leave together.
        let early = backoff::spread(self.options.rollover_after / 4, draw());
        Ok(Deadlines {
            ping: now + self.options.ping_every.unwrap_or(FIRST_PING),
            pong: None,
            replay: Some(now + self.options.answer_within),
            rollover: Some(now + self.options.rollover_after.saturating_sub(early)),
        })
    }

    /// Remembers an acknowledgement for as long as it is in doubt.
    fn note(&mut self, said: Action) {
        if let Action::Ack(_) | Action::Read(_) = said {
            let now = Instant::now();
            self.acknowledged.push_back((now, said));
            while self.acknowledged.front().is_some_and(|(at, _)| now.duration_since(*at) > DOUBTFUL) {
                self.acknowledged.pop_front();
            }
        }
    }

    /// The connection is lost: what was confirmed just before is confirmed again on the next one. Confirming twice
    /// changes nothing.
    fn doubt(&mut self) {
        let now = Instant::now();
        let lately = std::mem::take(&mut self.acknowledged);
        let doubtful = lately.into_iter().filter(|(at, _)| now.duration_since(*at) <= DOUBTFUL);
        for (_, action) in doubtful.rev() {
            self.unsaid.push_front(action);
        }
    }

    async fn say_for_app(
        &mut self,
        socket: &mut Socket,
        deadlines: &mut Deadlines,
        action: Action,
    ) -> Result<(), Loss> {
        if let Action::Ack(receipt) = &action {
            self.inbox.acknowledged(receipt.position);
        }
        if action == Action::Ping {
            deadlines.pong.get_or_insert(Instant::now() + self.options.answer_within);
        }
        let said = say(socket, &action).await;
        match said {
            Ok(()) => self.note(action),
            Err(_) => self.keep(action),
        }
        said
    }

    async fn on_deadline(&mut self, socket: &mut Socket, deadlines: &mut Deadlines) -> Result<(), Loss> {
        let now = Instant::now();
        if deadlines.pong.is_some_and(|at| at <= now) {
            return Err(Loss::Silent);
        }
        if deadlines.replay.is_some_and(|at| at <= now) {
            let steps = self.inbox.replay_overdue();
            self.carry_out(socket, deadlines, steps).await?;
            deadlines.replay = self.inbox.awaits_replay().then(|| now + self.options.answer_within);
        }
        if deadlines.ping <= now {
            say(socket, &Action::Ping).await?;
            deadlines.ping = now + self.options.ping_every.unwrap_or(NEXT_PING);
            // The first unanswered one counts, however many follow it.
            deadlines.pong.get_or_insert(now + self.options.answer_within);
        }
        Ok(())
    }

    async fn receive(
        &mut self,
        socket: &mut Socket,
        deadlines: &mut Deadlines,
        incoming: Incoming,
    ) -> Result<(), Loss> {
        if let Some(reconnect) = in_clear(&incoming) {
            let after = Duration::from_secs(reconnect.after);
            return Err(Loss::Asked { code: reconnect.code, after });
        }
        let (frame, sealed) = match self.read(incoming) {
            Ok(read) => read,
            Err(unreadable) => {
                tracing::warn!(device = self.identity.id(), %unreadable, "ignored");
                self.tell(Event::Unreadable(unreadable));
                if let Some(replay) = deadlines.replay.as_mut() {
                    // Probably the gateway's own error in place of the replay: ask again soon, not at the deadline.
                    *replay = (*replay).min(Instant::now() + REPLAY_RETRY);
                }
                return Ok(());
            }
        };
        deadlines.pong = None;
        match &frame {
            Frame::Reconnect(reconnect) => {
                let after = Duration::from_secs(reconnect.after);
                return Err(Loss::Asked { code: reconnect.code.clone(), after });
            }
            Frame::Pong(pong) => {
                let next = self.options.ping_every.unwrap_or(Duration::from_secs(pong.next_ping.max(1)));
                deadlines.ping = Instant::now() + next;
                self.tell(Event::Pong(pong.clone()));
            }
            Frame::Error(error) => self.tell(Event::Refused(error.clone())),
            Frame::Message(_) | Frame::Synced(_) => {}
        }
        let steps = self.inbox.frame(frame, sealed);
        self.carry_out(socket, deadlines, steps).await
    }

    /// Opens a frame and holds it to this device.
    fn read(&self, incoming: Incoming) -> Result<(Frame, String), Unreadable> {
        let Incoming::Text(sealed) = incoming else { return Err(Unreadable::NotSealedForUs) };
        let plaintext = self.identity.open(&sealed).map_err(|_| Unreadable::NotSealedForUs)?;
        let frame: Frame = serde_json::from_slice(&plaintext).map_err(|_| Unreadable::UnknownKind)?;
        if frame.device_id() != self.identity.id() {
            return Err(Unreadable::NamesAnotherDevice);
        }
        Ok((frame, sealed))
    }

    async fn carry_out(
        &mut self,
        socket: &mut Socket,
        deadlines: &mut Deadlines,
        steps: Vec<Step>,
    ) -> Result<(), Loss> {
        for step in steps {
            match step {
                Step::Say(action) => {
                    say(socket, &action).await?;
                    self.note(action);
                }
                Step::AckAgain(receipt) if self.options.ack == Ack::Automatic => {
                    say(socket, &Action::Ack(receipt)).await?;
                }
                Step::AckAgain(_) => {}
                Step::Deliver(received) => self.tell(Event::Message(received)),
                Step::Synced(synced) => {
                    // Only now the connection has proved its worth.
                    (self.attempt, self.refusals) = (0, 0);
                    self.tell(Event::Synced(synced));
                }
                Step::GiveUp => return Err(Loss::Silent),
            }
        }
        match (self.inbox.awaits_replay(), deadlines.replay) {
            (true, None) => deadlines.replay = Some(Instant::now() + self.options.answer_within),
            (false, Some(_)) => deadlines.replay = None,
            (true, Some(_)) | (false, None) => {}
        }
        Ok(())
    }
}

/// The one thing that the service says in clear: it does not know this connection, so that no key belongs to it. Coming back
/// costs nothing but the connection; everything else in clear is ignored.
fn in_clear(incoming: &Incoming) -> Option<Reconnect> {
    let Incoming::Text(text) = incoming else { return None };
    match serde_json::from_str(text) {
        Ok(Frame::Reconnect(reconnect)) if reconnect.device_id.is_empty() => Some(reconnect),
        Ok(_) | Err(_) => None,
    }
}

/// What came that matters to us.
enum Incoming {
    Text(String),
    Binary,
}

/// `None` for what belongs to the WebSocket itself.
fn received(incoming: Option<Result<Message, tungstenite::Error>>) -> Result<Option<Incoming>, Loss> {
    match incoming {
        Some(Ok(Message::Text(text))) => Ok(Some(Incoming::Text(text.as_str().to_owned()))),
        Some(Ok(Message::Binary(_))) => Ok(Some(Incoming::Binary)),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(None),
        Some(Ok(Message::Close(frame))) => Err(Loss::Closed { code: frame.map_or(1005, |frame| frame.code.into()) }),
        Some(Err(error)) => Err(Loss::Broken(Box::new(error))),
        None => Err(Loss::Closed { code: 1006 }),
    }
}

async fn next_of(socket: &mut Option<Socket>) -> Option<Result<Message, tungstenite::Error>> {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

async fn open_of(opening: &mut Option<Opening>) -> Result<Socket, ConnectError> {
    match opening {
        Some(opening) => opening.await,
        None => std::future::pending().await,
    }
}

async fn say(socket: &mut Socket, action: &Action) -> Result<(), Loss> {
    let text = serde_json::to_string(action)
        .map_err(|error| Loss::Broken(Box::new(tungstenite::Error::Io(std::io::Error::other(error)))))?;
    socket.send(Message::text(text)).await.map_err(|error| Loss::Broken(Box::new(error)))
}

/// Says goodbye and waits a little for the answer, so that the service forgets the connection at once.
async fn close(mut socket: Socket) {
    let goodbye = async {
        if socket.close(None).await.is_ok() {
            while !matches!(socket.next().await, Some(Ok(Message::Close(_)) | Err(_)) | None) {}
        }
    };
    // A service that does not answer finds out by itself.
    let _ = timeout(CLOSE_WITHIN, goodbye).await;
}

/// A random number for a jittered pause. Without randomness the middle of the window, which is still a pause.
fn draw() -> u64 {
    random::bytes().map_or(u64::MAX / 2, u64::from_be_bytes)
}
