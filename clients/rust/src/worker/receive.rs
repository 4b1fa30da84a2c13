//! Incoming frames of a connection, and the actions that follow.

use std::time::Duration;

use tidings_wire::frame::{Reconnect, ReconnectCode};
use tidings_wire::{Action, Frame};
use tokio::time::Instant;

use super::Worker;
use super::line::Line;
use super::pause::jitter;
use crate::announcements::Verdict;
use crate::event::{Event, Loss, Unreadable};
use crate::inbox::Step;
use crate::options::Ack;
use crate::socket::{Incoming, in_clear};

/// Pause before a replay is requested again after an error of the gateway.
const REPLAY_RETRY: Duration = Duration::from_secs(1);
/// How long messages may arrive after the answer that counts them, before they are requested again.
const STRAGGLE: Duration = Duration::from_secs(3);

impl Worker {
    pub(super) async fn receive(&mut self, line: &mut Line, incoming: Incoming) -> Result<(), Loss> {
        if let Some(Reconnect { code, after, .. }) = in_clear(&incoming) {
            return Err(Loss::Asked { code, after: Duration::from_secs(after) });
        }
        let Some((frame, sealed)) = self.read(incoming) else {
            if let Some(replay) = line.replay.as_mut() {
                // Probably the gateway's own error in place of the replay: request it again soon, not at the deadline.
                *replay = (*replay).min(Instant::now() + REPLAY_RETRY);
            }
            // Or the gateway's error about an acknowledgement, which has no answer if it succeeds.
            let pause = REPLAY_RETRY * 2_u32.saturating_pow(line.repeats.min(6));
            line.repeat.get_or_insert(Instant::now() + pause);
            return Ok(());
        };
        line.has_received = true;
        line.pong = None;
        match &frame {
            Frame::Pong(pong) => {
                self.ping_was_answered(line);
                line.ping =
                    Instant::now() + self.options.ping_every.unwrap_or(Duration::from_secs(pong.next_ping.max(1)));
            }
            Frame::Reconnect(Reconnect { code, after, .. }) => {
                let after = Duration::from_secs(*after);
                if code != ReconnectCode::Rollover.as_str() {
                    return Err(Loss::Asked { code: code.clone(), after });
                }
                // It replaces a pong and is not a loss: this connection serves until its successor does.
                self.ping_was_answered(line);
                let at = Instant::now() + jitter(after);
                line.rollover = Some(line.rollover.map_or(at, |planned| planned.min(at)));
            }
            Frame::Announcement(_) | Frame::Error(_) | Frame::Message(_) | Frame::Synced(_) => {}
        }
        let (answered, deadline) = (matches!(frame, Frame::Synced(_)), line.replay);
        let head = if let Frame::Pong(pong) = &frame { Some(pong.position) } else { None };
        self.take(line, frame, sealed).await?;
        if answered && line.replay == deadline {
            // There is no new request, so the answer was not complete.
            line.replay = deadline.map(|at| at.min(Instant::now() + STRAGGLE));
        }
        match head.and_then(|head| self.sum(line, head)) {
            Some(sum) => self.send_or_keep(line, sum).await,
            None => Ok(()),
        }
    }

    /// Handles a frame of a connection that has a successor: messages as usual, and nothing about the connection
    /// itself.
    pub(super) async fn receive_late(&mut self, line: &mut Line, incoming: Incoming) -> Result<(), Loss> {
        if in_clear(&incoming).is_some() {
            return Ok(());
        }
        match self.read(incoming) {
            Some((frame, sealed)) => self.take(line, frame, sealed).await,
            None => Ok(()),
        }
    }

    fn ping_was_answered(&mut self, line: &mut Line) {
        if let Some(pinged) = line.pinged.take() {
            self.confirmations.arrived_before(pinged);
        }
    }

    async fn take(&mut self, line: &mut Line, frame: Frame, sealed: String) -> Result<(), Loss> {
        let asks = match &frame {
            Frame::Pong(pong) => {
                self.emit(Event::Pong(pong.clone()));
                self.announcements.is_behind()
            }
            Frame::Error(error) => {
                self.emit(Event::Refused(error.clone()));
                false
            }
            Frame::Announcement(announcement) => match self.announcements.came(announcement) {
                Verdict::Show => {
                    self.attempt = 0;
                    self.emit(Event::Announcement(announcement.clone()));
                    false
                }
                Verdict::Known => false,
                Verdict::Ask => true,
            },
            Frame::Synced(synced) => synced.announced.is_some_and(|it| self.announcements.replayed(it)),
            Frame::Message(_) | Frame::Reconnect(_) => false,
        };
        let mut steps = self.inbox.frame(frame, sealed);
        if asks {
            steps.extend(self.inbox.ask_if_idle());
        }
        self.carry_out(line, steps).await
    }

    /// Opens a frame and checks that it is for this device.
    fn read(&self, incoming: Incoming) -> Option<(Frame, String)> {
        let opened = match incoming {
            Incoming::Text(sealed) => self.open(&sealed).map(|frame| (frame, sealed)),
            Incoming::Binary => Err(Unreadable::NotSealedForUs),
        };
        opened
            .inspect_err(|unreadable| {
                tracing::warn!(device = self.identity.id(), %unreadable, "ignored");
                self.emit(Event::Unreadable(*unreadable));
            })
            .ok()
    }

    fn open(&self, sealed: &str) -> Result<Frame, Unreadable> {
        let plaintext = self.identity.open(sealed).map_err(|_| Unreadable::NotSealedForUs)?;
        let frame: Frame = serde_json::from_slice(&plaintext).map_err(|_| Unreadable::UnknownKind)?;
        if frame.device_id() != self.identity.id() {
            return Err(Unreadable::NamesAnotherDevice);
        }
        Ok(frame)
    }

    /// Carries out the steps. Everything for the app is delivered even if the connection fails, because the inbox has
    /// passed it.
    pub(super) async fn carry_out(&mut self, line: &mut Line, steps: Vec<Step>) -> Result<(), Loss> {
        let mut result = Ok(());
        for step in steps {
            match step {
                Step::Send(action @ Action::Ack(_)) => result = self.ack_again(result, line, action).await,
                Step::Send(action) => {
                    let action = self.asks(line, action);
                    result = self.send_while(result, line, action).await;
                }
                Step::AckAgain(receipt) => {
                    if self.options.ack == Ack::Automatic {
                        result = self.ack_again(result, line, Action::Ack(receipt)).await;
                    }
                }
                Step::Deliver(received) => {
                    // There is progress, even if connections are cut before a page is complete.
                    self.attempt = 0;
                    self.emit(Event::Message(received));
                }
                Step::Synced(synced) => {
                    self.refusals = 0;
                    let sum = if synced.recovered { self.sum(line, synced.position) } else { None };
                    self.emit(Event::Synced(synced));
                    if let Some(sum) = sum {
                        result = self.send_while(result, line, sum).await;
                    }
                }
                Step::GiveUp => result = result.and(Err(Loss::Silent)),
            }
        }
        if !self.inbox.awaits_replay() {
            line.replay = None;
        }
        result
    }

    /// Acknowledges a message that has come again.
    async fn ack_again(&mut self, so_far: Result<(), Loss>, line: &mut Line, action: Action) -> Result<(), Loss> {
        if so_far.is_err() || !self.is_summed_up(&action) {
            return self.send_while(so_far, line, action).await;
        }
        // The last sum seems to be lost.
        line.summed_up = None;
        self.ack(line, action).await
    }

    /// Sends the action if nothing has failed so far, and keeps it otherwise.
    async fn send_while(&mut self, so_far: Result<(), Loss>, line: &mut Line, action: Action) -> Result<(), Loss> {
        if so_far.is_err() {
            self.confirmations.keep(action);
            return so_far;
        }
        self.send_or_keep(line, action).await
    }
}
