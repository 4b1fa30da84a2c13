//! The task behind a device: keeps a socket open and carries out the steps of the [`Inbox`]. This module handles
//! connections; `receive` handles incoming frames, and `send` outgoing actions.

mod line;
mod pause;
mod receive;
mod rollover;
mod send;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt;
use tidings_wire::Action;
use tidings_wire::action::Position;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::announcements::Announcements;
use crate::confirmations::Confirmations;
use crate::dial::{ConnectError, Dial, Socket};
use crate::event::{CloseReason, Event, Loss};
use crate::identity::Identity;
use crate::inbox::Inbox;
use crate::options::{Ack, Options};
use crate::socket::{close, received, send};
use line::{Line, Old, next_of};
use pause::jitter;

/// The pause before the next heartbeat until a pong sets another.
const NEXT_PING: Duration = Duration::from_secs(60);

/// A command of a device's handle to its task.
#[derive(Debug)]
pub(crate) enum Command {
    Send(Action),
    Close(oneshot::Sender<()>),
}

type Opening = Pin<Box<dyn Future<Output = Result<Socket, ConnectError>> + Send>>;

pub(crate) struct Worker {
    identity: Identity,
    options: Options,
    inbox: Inbox,
    announcements: Announcements,
    events: mpsc::UnboundedSender<Event>,
    commands: mpsc::UnboundedReceiver<Command>,
    clock_ahead: i64,
    confirmations: Confirmations,
    /// The app has taken everything up to here, in this run or a former one.
    taken: Option<Position>,
    refusals: u32,
    /// Attempts to connect since the last progress, or since a connection that lasted.
    attempt: u32,
}

/// Why serving a connection ended.
enum End {
    Lost(Loss),
    Close(Option<oneshot::Sender<()>>),
}

impl Worker {
    pub(crate) fn new(
        identity: Identity,
        options: Options,
        events: mpsc::UnboundedSender<Event>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let inbox = Inbox::new(options.cursor);
        let announcements = Announcements::new(options.announced);
        let confirmations = Confirmations::default();
        // An app that acknowledges by hand has decided about its messages.
        let taken = options.cursor.filter(|at| options.ack == Ack::Automatic && at.seq > 0);
        Self {
            identity,
            options,
            inbox,
            announcements,
            events,
            commands,
            clock_ahead: 0,
            confirmations,
            taken,
            refusals: 0,
            attempt: 0,
        }
    }

    pub(crate) async fn run(mut self) {
        let (reason, done) = self.stay_connected().await;
        self.emit(Event::Closed(reason));
        if let Some(done) = done {
            // The caller may have stopped waiting.
            let _ = done.send(());
        }
    }

    async fn stay_connected(&mut self) -> (CloseReason, Option<oneshot::Sender<()>>) {
        loop {
            let opening = self.dial();
            let ended = tokio::select! {
                opened = opening => match opened {
                    Ok(socket) => {
                        let opened = Instant::now();
                        let end = self.serve(socket).await;
                        self.attempt = self.options.backoff.attempts_after(opened.elapsed(), self.attempt);
                        end
                    }
                    Err(error) => End::Lost(Loss::Connect(error)),
                },
                asked = self.wait_for_close() => End::Close(asked),
            };
            let loss = match ended {
                End::Close(done) => return (CloseReason::Asked, done),
                End::Lost(loss) => loss,
            };
            self.confirmations.doubt(Instant::now(), self.taken);
            let retry_in = match self.pause_after(&loss) {
                Some(pause) => pause,
                None => match loss {
                    Loss::Connect(error) => return (CloseReason::CannotConnect(error), None),
                    Loss::Closed { .. } | Loss::Broken(_) | Loss::Silent | Loss::Asked { .. } => Duration::ZERO,
                },
            };
            tracing::debug!(device = self.identity.id(), %loss, ?retry_in, "connection lost");
            self.emit(Event::Disconnected { loss, retry_in });
            tokio::select! {
                () = tokio::time::sleep(retry_in) => {}
                done = self.wait_for_close() => return (CloseReason::Asked, done),
            }
        }
    }

    /// Between connections: keeps the app's actions until it closes the device.
    async fn wait_for_close(&mut self) -> Option<oneshot::Sender<()>> {
        loop {
            let command = tokio::select! {
                command = self.commands.recv() => command,
                () = self.events.closed() => None,
            };
            match command {
                Some(Command::Send(action)) => {
                    self.confirmed(&action);
                    if !self.is_summed_up(&action) {
                        self.confirmations.keep(action);
                    }
                }
                Some(Command::Close(done)) => return Some(done),
                None => return None,
            }
        }
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

    fn emit(&self, event: Event) {
        // If the app has dropped its events, `closed()` ends the task at its next turn.
        let _ = self.events.send(event);
    }

    /// Serves a connection, and its successors at every rollover, until one is lost.
    async fn serve(&mut self, socket: Socket) -> End {
        let sync = self.inbox.connected();
        let mut line = match self.greet(socket, sync).await {
            Ok(line) => line,
            Err(loss) => return End::Lost(loss),
        };
        let mut old: Option<Old> = None;
        let mut successor: Option<Opening> = None;
        self.emit(Event::Connected);
        loop {
            let deadline = old
                .as_ref()
                .and_then(|old| old.leaves)
                .map_or(line.next_deadline(), |leaves| line.next_deadline().min(leaves));
            let result = tokio::select! {
                incoming = line.socket.next() => match received(incoming) {
                    Ok(Some(incoming)) => self.receive(&mut line, incoming).await,
                    Ok(None) => Ok(()),
                    Err(loss) => Err(loss),
                },
                incoming = next_of(&mut old) => match received(incoming) {
                    Ok(Some(incoming)) => self.receive_late(&mut line, incoming).await,
                    Ok(None) => Ok(()),
                    // The loss does not matter: its successor serves.
                    Err(_) => { old = None; Ok(()) }
                },
                opened = open_of(&mut successor) => {
                    successor = None;
                    match opened {
                        Ok(socket) => self.roll_over(&mut line, &mut old, socket).await,
                        // The old connection still serves. If it ends before the next attempt, that is an ordinary
                        // loss.
                        Err(error) => { self.retry_rollover(&mut line, &Loss::Connect(error)); Ok(()) }
                    }
                }
                command = self.commands.recv() => match command {
                    Some(Command::Send(action)) => self.send_for_app(&mut line, action).await,
                    Some(Command::Close(done)) => { self.leave(line, old).await; return End::Close(Some(done)); }
                    None => { self.leave(line, old).await; return End::Close(None); }
                },
                () = self.events.closed() => { self.leave(line, old).await; return End::Close(None); }
                () = sleep_until(deadline) => {
                    let now = Instant::now();
                    old = old.filter(|old| old.leaves.is_none_or(|until| until > now));
                    if line.rollover.is_some_and(|at| at <= now) {
                        line.rollover = None;
                        // One rollover at a time.
                        if successor.is_none() && old.as_ref().is_none_or(|old| old.leaves.is_some()) {
                            successor = Some(self.dial());
                        }
                    }
                    self.on_deadline(&mut line).await
                }
            };
            if let Err(loss) = result {
                match old.take() {
                    // The successor failed before it had proved itself, and the old connection still serves.
                    Some(Old { line: before, leaves: None }) => {
                        line = before;
                        if let Err(loss) = self.go_back(&mut line, &loss).await {
                            return End::Lost(loss);
                        }
                    }
                    Some(_) | None => return End::Lost(loss),
                }
            }
            self.part(&line, &mut old).await;
        }
    }

    /// Sends the first actions on a connection.
    async fn greet(&mut self, socket: Socket, sync: Action) -> Result<Line, Loss> {
        let now = Instant::now();
        let first_ping = self.options.first_ping.min(self.options.ping_every.unwrap_or(Duration::MAX));
        // Up to a quarter, half an hour at most, is taken off at random: devices that connected together must not leave
        // together.
        let early = jitter(self.options.rollover_after / 4);
        let mut line = Line {
            socket,
            has_received: false,
            summed_up: None,
            acked: None,
            sum: None,
            repeat: None,
            repeats: 0,
            ping: now + first_ping.saturating_sub(jitter(first_ping / 4)),
            pinged: None,
            pong: None,
            replay: None,
            rollover: Some(now + self.options.rollover_after.saturating_sub(early)),
        };
        self.begin(&mut line, sync).await?;
        Ok(line)
    }

    /// Requests missed messages, and sends the actions that could not be sent before.
    async fn begin(&mut self, line: &mut Line, sync: Action) -> Result<(), Loss> {
        let sync = self.asks(line, sync);
        send(&mut line.socket, &sync).await?;
        self.send_unsent(line).await
    }

    /// The request for a replay, with the device's position in the announcements.
    fn asks(&mut self, line: &mut Line, action: Action) -> Action {
        let Action::Sync { after, .. } = action else { return action };
        line.replay = Some(Instant::now() + self.options.answer_within);
        Action::Sync { after, announced: Some(self.announcements.asked()) }
    }

    /// Ends the connection. The app's earlier actions are sent first.
    async fn leave(&mut self, mut line: Line, old: Option<Old>) {
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Send(action) = command
                && self.send_for_app(&mut line, action).await.is_err()
            {
                break;
            }
        }
        if line.sum.take().is_some() {
            // The connection ends anyway, so a failure has no consequence.
            let _ = self.send_sum(&mut line).await;
        }
        let close_old = async {
            if let Some(Old { line, leaves: None }) = old {
                close(line.socket).await;
            }
        };
        tokio::join!(close(line.socket), close_old);
    }

    async fn on_deadline(&mut self, line: &mut Line) -> Result<(), Loss> {
        let now = Instant::now();
        if line.pong.is_some_and(|at| at <= now) {
            return Err(Loss::Silent);
        }
        if line.replay.is_some_and(|at| at <= now) {
            line.replay = None;
            let steps = self.inbox.replay_overdue();
            self.carry_out(line, steps).await?;
        }
        if line.repeat.is_some_and(|at| at <= now) {
            line.repeat = None;
            line.repeats += 1;
            self.confirmations.doubt(now, self.taken);
            self.send_unsent(line).await?;
            line.summed_up = None;
            line.sum = Some(now);
        }
        if line.sum.is_some_and(|at| at <= now) {
            (line.sum, line.acked) = (None, Some(now));
            self.send_sum(line).await?;
        }
        if line.ping <= now {
            line.ping = now + self.options.ping_every.unwrap_or(NEXT_PING);
            line.pings(now, self.options.answer_within);
            send(&mut line.socket, &Action::Ping).await?;
        }
        Ok(())
    }
}

async fn open_of(opening: &mut Option<Opening>) -> Result<Socket, ConnectError> {
    match opening {
        Some(opening) => opening.await,
        None => std::future::pending().await,
    }
}
