//! Outgoing actions: acknowledgements one by one or as a sum, and repetitions of those that may be lost.

use std::time::Duration;

use tidings_wire::Action;
use tidings_wire::action::{Position, Receipt};
use tokio::time::Instant;

use super::Worker;
use super::line::Line;
use crate::event::Loss;
use crate::options::Ack;
use crate::socket::send;

/// Acknowledgements that come closer together than this are sent in one action.
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

    pub(super) async fn send_unsent(&mut self, line: &mut Line) -> Result<(), Loss> {
        while let Some(action) = self.confirmations.next() {
            send(&mut line.socket, action).await?;
            self.confirmations.sent_next(Instant::now());
        }
        Ok(())
    }

    pub(super) async fn send_for_app(&mut self, line: &mut Line, action: Action) -> Result<(), Loss> {
        self.confirmed(&action);
        if self.is_summed_up(&action) {
            return self.ack(line, action).await;
        }
        if action == Action::Ping {
            line.pings(Instant::now(), self.options.answer_within);
        }
        self.send_or_keep(line, action).await
    }

    /// Whether the sum, up to which the app has taken everything, covers this acknowledgement.
    pub(super) fn is_summed_up(&self, action: &Action) -> bool {
        let Action::Ack(Receipt { id: Some(_), position }) = action else { return false };
        let mailbox = self.inbox.cursor().map(|cursor| cursor.epoch);
        self.options.ack == Ack::Automatic && Some(*position) <= self.taken && Some(position.epoch) == mailbox
    }

    /// Sends an acknowledgement that the sum covers. The first one is sent at once, and those soon after it as a sum: a
    /// hundred messages of a replay take one action, not a hundred requests to a service that may be overloaded
    /// already.
    pub(super) async fn ack(&mut self, line: &mut Line, action: Action) -> Result<(), Loss> {
        let now = Instant::now();
        let crowd = line.sum.is_some() || line.acked.is_some_and(|at| now < at + ACK_PAUSE);
        if crowd || self.inbox.awaits_replay() {
            line.sum.get_or_insert(now + ACK_PAUSE);
            return Ok(());
        }
        line.acked = Some(now);
        self.send_or_keep(line, action).await
    }

    /// Sends the sum, unless it was already sent on this connection.
    pub(super) async fn send_sum(&mut self, line: &mut Line) -> Result<(), Loss> {
        match self.inbox.cursor().and_then(|cursor| self.sum(line, cursor)) {
            Some(sum) => self.send_or_keep(line, sum).await,
            None => Ok(()),
        }
    }

    pub(super) async fn send_or_keep(&mut self, line: &mut Line, action: Action) -> Result<(), Loss> {
        let sent = send(&mut line.socket, &action).await;
        match sent {
            Ok(()) => self.confirmations.sent(action, Instant::now()),
            Err(_) => self.confirmations.keep(action),
        }
        sent
    }

    /// The sum: an acknowledgement up to the position up to which the app has taken everything, if that has advanced.
    /// It is sent once on each connection and with each heartbeat, because a single acknowledgement may be lost
    /// silently, in the service too.
    pub(super) fn sum(&self, line: &mut Line, mailbox: Position) -> Option<Action> {
        let taken = self.taken.filter(|at| at.epoch == mailbox.epoch && Some(*at) > line.summed_up)?;
        line.summed_up = Some(taken);
        Some(Action::Ack(Receipt { id: None, position: taken }))
    }
}
