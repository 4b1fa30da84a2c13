//! Moving to a new socket before the gateway ends the old one.

use tokio::time::Instant;

use super::Worker;
use super::line::{Line, Old};
use crate::dial::Socket;
use crate::event::{Event, Loss};
use crate::socket::{CLOSE_WITHIN, send_close};

impl Worker {
    /// Moves to a new connection: all actions go to it from now on. The old one is read until [`Self::part`].
    pub(super) async fn roll_over(
        &mut self,
        line: &mut Line,
        old: &mut Option<Old>,
        socket: Socket,
    ) -> Result<(), Loss> {
        self.confirmations.doubt(Instant::now(), self.taken);
        let sync = self.inbox.rolled_over();
        match self.greet(socket, sync).await {
            Ok(greeted) => {
                *old = Some(Old { line: std::mem::replace(line, greeted), leaves: None });
                Ok(())
            }
            Err(loss) => self.go_back(line, &loss).await,
        }
    }

    /// Goes on with the old connection after its successor failed.
    pub(super) async fn go_back(&mut self, line: &mut Line, loss: &Loss) -> Result<(), Loss> {
        self.retry_rollover(line, loss);
        (line.pinged, line.pong, line.ping) = (None, None, Instant::now());
        self.confirmations.doubt(Instant::now(), self.taken);
        let sync = self.inbox.rolled_over();
        self.begin(line, sync).await
    }

    pub(super) fn retry_rollover(&mut self, line: &mut Line, loss: &Loss) {
        let pause = self.pause_after(loss).unwrap_or(self.options.backoff.longest);
        tracing::debug!(device = self.identity.id(), %loss, ?pause, "no successor for the connection yet");
        line.rollover = Some(Instant::now() + pause);
    }

    /// Leaves the old connection once a frame has arrived on the new one and the gap is closed. Frames that were posted
    /// to the old one meanwhile are read until it ends.
    pub(super) async fn part(&mut self, line: &Line, old: &mut Option<Old>) {
        if !line.has_received || self.inbox.awaits_replay() {
            return;
        }
        let Some(leaving) = old.as_mut().filter(|old| old.leaves.is_none()) else { return };
        self.attempt = 0;
        self.emit(Event::RolledOver);
        if send_close(&mut leaving.line.socket).await {
            leaving.leaves = Some(Instant::now() + CLOSE_WITHIN);
        } else {
            *old = None;
        }
    }
}
