//! A connection and what is waited for on it.

use std::time::Duration;

use futures_util::StreamExt;
use tidings_wire::action::Position;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite;

use crate::dial::Socket;

/// The connection that everything is said on.
pub(super) struct Line {
    pub(super) socket: Socket,
    /// Something came on it that was for us.
    pub(super) heard: bool,
    /// Up to where it was told that the app has taken everything.
    pub(super) summed_up: Option<Position>,
    /// When a message was acknowledged last.
    pub(super) acked: Option<Instant>,
    /// When it is told next up to where the app has taken everything, because of acknowledgements that were not said one by
    /// one.
    pub(super) sum: Option<Instant>,
    pub(super) ping: Instant,
    /// When the oldest ping that has no answer was said.
    pub(super) pinged: Option<Instant>,
    pub(super) pong: Option<Instant>,
    pub(super) replay: Option<Instant>,
    /// When what is in doubt is said again, and how often it was.
    pub(super) repeat: Option<Instant>,
    pub(super) repeats: u32,
    pub(super) rollover: Option<Instant>,
}

impl Line {
    pub(super) fn next_deadline(&self) -> Instant {
        [self.sum, self.pong, self.replay, self.repeat, self.rollover]
            .into_iter()
            .flatten()
            .fold(self.ping, Instant::min)
    }

    /// A ping is about to be said. The first unanswered one counts, however many follow it.
    pub(super) fn pings(&mut self, now: Instant, answer_within: Duration) {
        self.pinged.get_or_insert(now);
        self.pong.get_or_insert(now + answer_within);
    }
}

/// A connection whose successor is there. It is read until the successor has proved itself, and then until its end.
pub(super) struct Old {
    pub(super) line: Line,
    /// Goodbye was said; its answer is waited for until then.
    pub(super) leaves: Option<Instant>,
}

/// What comes next on the old connection; never, where there is none.
pub(super) async fn next_of(old: &mut Option<Old>) -> Option<Result<tungstenite::Message, tungstenite::Error>> {
    match old {
        Some(old) => old.line.socket.next().await,
        None => std::future::pending().await,
    }
}
