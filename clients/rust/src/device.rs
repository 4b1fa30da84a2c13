//! The app's side of a device: commands in, events out.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use tidings_wire::action::{AppState, Position, Receipt};
use tidings_wire::{Action, MessageFrame};
use tokio::sync::{mpsc, oneshot};

use crate::event::Event;
use crate::identity::Identity;
use crate::options::{Ack, Options};
use crate::received::receipt;
use crate::worker::{Command, Worker};

/// The device's task has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the device is closed")]
pub struct DeviceGone;

/// The handle of a device. Cheap to clone. The device lives as long as its [`Events`] do.
#[derive(Debug, Clone)]
pub struct Device {
    commands: mpsc::UnboundedSender<Command>,
}

/// The events of a device, in order. None is dropped: if the app does not take them, they pile up.
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

    /// Acknowledges a message. The acknowledgement is kept and repeated until a connection carries it. A message
    /// without a position in the mailbox needs no acknowledgement.
    ///
    /// # Errors
    /// If the device is closed.
    pub fn ack(&self, message: &MessageFrame) -> Result<(), DeviceGone> {
        receipt(message).map_or(Ok(()), |receipt| self.send(Action::Ack(receipt)))
    }

    /// Acknowledges everything up to a position, for an app that handles messages in their order. The client repeats it
    /// on every new connection, so it covers acknowledgements that were lost. An app that acknowledges by hand keeps
    /// the position and sends it when it starts. Under [`Ack::Automatic`] the client does this by itself.
    ///
    /// # Errors
    /// If the device is closed.
    pub fn ack_up_to(&self, position: Position) -> Result<(), DeviceGone> {
        self.send(Action::Ack(Receipt { id: None, position }))
    }

    /// Reports that a person has read a message.
    ///
    /// # Errors
    /// If the device is closed.
    pub fn read(&self, message: &MessageFrame) -> Result<(), DeviceGone> {
        receipt(message).map_or(Ok(()), |receipt| self.send(Action::Read(receipt)))
    }

    /// Reports whether a person is looking at the app.
    ///
    /// # Errors
    /// If the device is closed.
    pub fn state(&self, state: AppState) -> Result<(), DeviceGone> {
        self.send(Action::State { state })
    }

    /// Sends a heartbeat now, in addition to the regular ones. [`Event::Pong`] answers.
    ///
    /// # Errors
    /// If the device is closed.
    pub fn ping(&self) -> Result<(), DeviceGone> {
        self.send(Action::Ping)
    }

    fn send(&self, action: Action) -> Result<(), DeviceGone> {
        self.commands.send(Command::Send(action)).map_err(|_| DeviceGone)
    }

    /// Closes the socket properly and ends the device. Returns when the service has answered, or cannot any more.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Close(done)).is_ok() {
            // If the sender was dropped, the task has already ended, as requested.
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

    /// The app holds the message now, which is what an automatic acknowledgement confirms.
    fn taken(&self, event: &Event) {
        if let (Ack::Automatic, Event::Message(received)) = (self.ack, event)
            && let Some(receipt @ Receipt { .. }) = receipt(&received.message)
        {
            // The task may have ended meanwhile; the message then comes again in the next run.
            let _ = self.commands.send(Command::Send(Action::Ack(receipt)));
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
