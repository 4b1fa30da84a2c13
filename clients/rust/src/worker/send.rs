//! What is said on a connection: acknowledgements one by one or as a sum, and again what may not have arrived.

use std::time::Duration;

use tidings_wire::Action;
use tidings_wire::action::{Position, Receipt};
use tokio::time::Instant;

use super::Worker;
use super::line::Line;
use crate::event::Loss;
use crate::options::Ack;
use crate::socket::say;

/// Acknowledgements that come closer together than this are said in one word.
const ACK_PAUSE: Duration = Duration::from_millis(200);

impl Worker {
    pub(super) fn confirmed(&mut self, action: &Action) {
        if let Action::Ack(receipt) | Action::Read(receipt) = action {
            self.inbox.acknowledged(receipt.position);
        }
        if let Action::Ack(receipt) = action
            && (self.options.ack == Ack::Automatic || receipt.id.is_none())
        {
            self.taken = self.taken.max(Some(receipt.position));
        }
    }

    pub(super) async fn say_unsaid(&mut self, line: &mut Line) -> Result<(), Loss> {
        while let Some(action) = self.confirmations.next() {
            say(&mut line.socket, action).await?;
            self.confirmations.said_next(Instant::now());
        }
        Ok(())
    }

    pub(super) async fn say_for_app(&mut self, line: &mut Line, action: Action) -> Result<(), Loss> {
        self.confirmed(&action);
        if self.is_summed_up(&action) {
            return self.ack(line, action).await;
        }
        if action == Action::Ping {
            line.pings(Instant::now(), self.options.answer_within);
        }
        self.say_or_keep(line, action).await
    }

    /// Whether saying up to where the app has taken everything says this too.
    pub(super) fn is_summed_up(&self, action: &Action) -> bool {
        let Action::Ack(Receipt { id: Some(_), position }) = action else { return false };
        let mailbox = self.inbox.cursor().map(|cursor| cursor.epoch);
        self.options.ack == Ack::Automatic && Some(*position) <= self.taken && Some(position.epoch) == mailbox
    }

    /// Acknowledges what the sum covers. The first one is said at once, and what comes with it as a sum: a hundred messages
    /// of a replay are one word, not a hundred requests to a service that may be overloaded already.
    pub(super) async fn ack(&mut self, line: &mut Line, action: Action) -> Result<(), Loss> {
        let now = Instant::now();
        let crowd = line.sum.is_some() || line.acked.is_some_and(|at| now < at + ACK_PAUSE);
        if crowd || self.inbox.awaits_replay() {
            line.sum.get_or_insert(now + ACK_PAUSE);
            return Ok(());
        }
        line.acked = Some(now);
        self.say_or_keep(line, action).await
    }

    /// Says up to where the app has taken everything, unless that was said here before.
    pub(super) async fn say_sum(&mut self, line: &mut Line) -> Result<(), Loss> {
        match self.inbox.cursor().and_then(|cursor| self.sum(line, cursor)) {
            Some(sum) => self.say_or_keep(line, sum).await,
            None => Ok(()),
        }
    }

    pub(super) async fn say_or_keep(&mut self, line: &mut Line, action: Action) -> Result<(), Loss> {
        let said = say(&mut line.socket, &action).await;
        match said {
            Ok(()) => self.confirmations.said(action, Instant::now()),
            Err(_) => self.confirmations.keep(action),
        }
        said
    }

    /// What says up to where the app has taken everything, where that has moved on: once on each connection, and with each
    /// heartbeat. A single acknowledgement may be lost without a word, in the service too.
    pub(super) fn sum(&self, line: &mut Line, mailbox: Position) -> Option<Action> {
        let taken = self.taken.filter(|at| at.epoch == mailbox.epoch && Some(*at) > line.summed_up)?;
        line.summed_up = Some(taken);
        Some(Action::Ack(Receipt { id: None, position: taken }))
    }
}
