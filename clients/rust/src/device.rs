//! A device in the hands of an app: commands in, events out.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tidings_wire::action::{AppState, Position, Receipt};
use tidings_wire::frame::{AnnouncementFrame, ErrorFrame, Pong, Synced};
use tidings_wire::{Action, Backoff, MessageFrame};
use tokio::sync::{mpsc, oneshot};

use crate::identity::Identity;
use crate::inbox;
use crate::worker::{CloseReason, Loss, Worker};

/// How a device connects and behaves. [`Options::new`] has what suits most.
#[derive(Debug, Clone)]
pub struct Options {
    /// The WebSocket API: `wss://…/{stage}`.
    pub socket_url: String,
    /// Where the last run ended ([`Event::Message`] and [`Event::Synced`] say it): nothing up to there is shown
    /// again, so an app that acknowledges by itself keeps the place of what it is done with. Forget it when the
    /// device changes hands. `None`: everything that the service keeps for this device.
    pub cursor: Option<Position>,
    /// The number of the last announcement that was shown, from [`Event::Announcement`]: nothing up to there is shown
    /// again. 0: everything that is kept. Forget it when the device changes hands.
    pub announced: u64,
    /// Who acknowledges.
    pub ack: Ack,
    /// Where the connect token travels.
    pub token_in: TokenIn,
    /// Pause between heartbeats. `None`: what the service asks for in its pongs, and a minute until the first one.
    pub ping_every: Option<Duration>,
    /// When the first heartbeat of a connection comes at the latest; up to a quarter of it is taken off at random,
    /// because many devices may have come back together. It comes soon: what was stored between our connection and
    /// our first words about the mailbox was posted to nobody, and the head in the pong tells of it.
    pub first_ping: Duration,
    /// How long to wait for a handshake, a pong or a replay.
    pub answer_within: Duration,
    /// Pauses between attempts to connect.
    pub backoff: Backoff,
    /// When to move to a new socket where the service has not asked for it before. API Gateway ends every connection
    /// after two hours.
    pub rollover_after: Duration,
    /// After so many refusals (401, 403) in a row the device gives up: it has to be registered anew.
    pub give_up_after: u32,
}

impl Options {
    /// What suits most: begins without a cursor, acknowledges by itself, follows the service's pace.
    #[must_use]
    pub fn new(socket_url: impl Into<String>) -> Self {
        Self {
            socket_url: socket_url.into(),
            cursor: None,
            announced: 0,
            ack: Ack::Automatic,
            token_in: TokenIn::Subprotocol,
            ping_every: None,
            first_ping: Duration::from_secs(5),
            answer_within: Duration::from_secs(15),
            backoff: Backoff::default(),
            rollover_after: Duration::from_secs(110 * 60),
            give_up_after: 3,
        }
    }
}

/// Who acknowledges a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// The client, when the app takes the message from [`Events`].
    Automatic,
    /// The app, with [`Device::ack`].
    Manual,
}

/// Where the connect token travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenIn {
    /// In `Sec-WebSocket-Protocol`, which proxies do not log. If the gateway does not answer with a protocol, which RFC
    /// 6455 wants from it, the device goes on with [`TokenIn::Query`] by itself.
    Subprotocol,
    /// In the URL.
    Query,
}

/// A message as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The message.
    pub message: MessageFrame,
    /// The frame on the wire, a JWE in compact form.
    pub sealed: String,
}

// By hand, because `MessageFrame` has neither: its JSON holds no float that is not equal to itself.
impl Eq for Received {}

impl Hash for Received {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.message.id, self.message.position, &self.sealed).hash(state);
    }
}

/// What happens to a device.
#[derive(Debug)]
pub enum Event {
    /// A socket is open; messages follow when the replay is complete.
    Connected,
    /// Everything that was missed has been delivered. Not `recovered`: the mailbox no longer reaches back to the
    /// cursor.
    Synced(Synced),
    /// A message: in order, and each id once.
    Message(Box<Received>),
    /// What the app says to everyone: in order, and each once. Nobody acknowledges it.
    Announcement(Box<AnnouncementFrame>),
    /// The device has moved to a new socket and leaves the old one. Nothing was interrupted.
    RolledOver,
    /// The service answered a heartbeat.
    Pong(Pong),
    /// The service refused something that the device said.
    Refused(ErrorFrame),
    /// Something came that is not a frame for this device. It was ignored.
    Unreadable(Unreadable),
    /// The connection is gone; the device comes back by itself.
    Disconnected {
        /// How it ended.
        loss: Loss,
        /// When the next attempt begins.
        retry_in: Duration,
    },
    /// The end: nothing follows.
    Closed(CloseReason),
}

/// Why a frame was ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not sealed, or sealed for another device, or changed on the way. API Gateway itself answers in clear when an
    /// integration fails.
    #[error("the frame is not sealed for this device")]
    NotSealedForUs,
    /// Sealed for us, but of a kind that this version does not know.
    #[error("the frame is of an unknown kind")]
    UnknownKind,
    /// Sealed with our key, yet it names another device.
    #[error("the frame names another device")]
    NamesAnotherDevice,
}

#[derive(Debug)]
pub(crate) enum Command {
    Say(Action),
    Close(oneshot::Sender<()>),
}

/// The device's task has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the device is closed")]
pub struct DeviceGone;

/// The handle of a device. Cheap to clone. The device lives as long as its [`Events`] do.
#[derive(Debug, Clone)]
pub struct Device {
    commands: mpsc::UnboundedSender<Command>,
}

/// What happens to a device, in order. Nothing is dropped: an app that does not take its events lets them pile up.
pub struct Events {
    events: mpsc::UnboundedReceiver<Event>,
    commands: mpsc::UnboundedSender<Command>,
    ack: Ack,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("ack", &self.ack).finish_non_exhaustive()
    }
}

impl Device {
    /// Starts the device; it connects by itself and stays connected. Must be called within a Tokio runtime.
    #[must_use]
    pub fn open(identity: Identity, options: Options) -> (Self, Events) {
        let (commands, commands_in) = mpsc::unbounded_channel();
        let (events_out, events) = mpsc::unbounded_channel();
        let ack = options.ack;
        tokio::spawn(Worker::new(identity, options, events_out, commands_in).run());
        (Self { commands: commands.clone() }, Events { events, commands, ack })
    }

    /// Acknowledges a message. Kept and repeated until a connection carries it. A message without a place in the
    /// mailbox has nobody who waits for its acknowledgement.
    ///
    /// # Errors
    /// If the device is closed.
    pub fn ack(&self, message: &MessageFrame) -> Result<(), DeviceGone> {
        inbox::receipt(message).map_or(Ok(()), |receipt| self.say(Action::Ack(receipt)))
    }

    /// Acknowledges everything up to a place, as an app may that deals with messages in their order. It is said again on every
    /// new connection, and so covers what is lost on the way; an app that acknowledges by hand keeps the place and says it
    /// when it starts. Under [`Ack::Automatic`] the client does this by itself.
    ///
    /// # Errors
    /// If the device is closed.
    pub fn ack_up_to(&self, position: Position) -> Result<(), DeviceGone> {
        self.say(Action::Ack(Receipt { id: None, position }))
    }

    /// Says that a person has read a message.
    ///
    /// # Errors
    /// If the device is closed.
    pub fn read(&self, message: &MessageFrame) -> Result<(), DeviceGone> {
        inbox::receipt(message).map_or(Ok(()), |receipt| self.say(Action::Read(receipt)))
    }

    /// Says whether a person is looking at the app.
    ///
    /// # Errors
    /// If the device is closed.
    pub fn state(&self, state: AppState) -> Result<(), DeviceGone> {
        self.say(Action::State { state })
    }

    /// Sends a heartbeat now, beside the regular ones. [`Event::Pong`] answers.
    ///
    /// # Errors
    /// If the device is closed.
    pub fn ping(&self) -> Result<(), DeviceGone> {
        self.say(Action::Ping)
    }

    fn say(&self, action: Action) -> Result<(), DeviceGone> {
        self.commands.send(Command::Say(action)).map_err(|_| DeviceGone)
    }

    /// Closes the socket properly and ends the device. Returns when the service has heard it, or will not any more.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Close(done)).is_ok() {
            // Dropped instead of answered: the task has ended, which is what was asked for.
            let _ = closed.await;
        }
    }
}

impl Events {
    /// The next event; `None` after [`Event::Closed`].
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await?;
        self.taken(&event);
        Some(event)
    }

    /// The app holds the message now: this is the moment that an automatic acknowledgement confirms.
    fn taken(&self, event: &Event) {
        if let (Ack::Automatic, Event::Message(received)) = (self.ack, event)
            && let Some(receipt @ Receipt { .. }) = inbox::receipt(&received.message)
        {
            // The task may have ended meanwhile; the message then comes again next time.
            let _ = self.commands.send(Command::Say(Action::Ack(receipt)));
        }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let polled = self.events.poll_recv(context);
        if let Poll::Ready(Some(event)) = &polled {
            self.taken(event);
        }
        polled
    }
}
