//! A connection and its deadlines.

use std::time::Duration;

use futures_util::StreamExt;
use tidings_wire::action::Position;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite;

use crate::dial::Socket;

/// The connection that actions are sent on.
pub(super) struct Line {
    pub(super) socket: Socket,
    /// Whether a frame for this device has arrived on it.
    pub(super) has_received: bool,
    /// The last sum that was sent on it: the position up to which the app has taken everything.
    pub(super) summed_up: Option<Position>,
    /// When a message was acknowledged last.
    pub(super) acked: Option<Instant>,
    /// When the next sum is sent, because of acknowledgements that were not sent one by one.
    pub(super) sum: Option<Instant>,
    pub(super) ping: Instant,
    /// When the oldest ping without an answer was sent.
    pub(super) pinged: Option<Instant>,
    pub(super) pong: Option<Instant>,
    pub(super) replay: Option<Instant>,
    /// When actions in doubt are sent again, and how often they were.
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

    /// Records a ping that is about to be sent. The first unanswered one sets the deadline.
    pub(super) fn pings(&mut self, now: Instant, answer_within: Duration) {
        self.pinged.get_or_insert(now);
        self.pong.get_or_insert(now + answer_within);
    }
}

/// A connection with a successor. It is read until the successor has proved itself, and then until its end.
pub(super) struct Old {
    pub(super) line: Line,
    /// A close frame was sent; its answer is awaited until then.
    pub(super) leaves: Option<Instant>,
}

/// The next frame on the old connection; pending forever if there is none.
pub(super) async fn next_of(old: &mut Option<Old>) -> Option<Result<tungstenite::Message, tungstenite::Error>> {
    match old {
        Some(old) => old.line.socket.next().await,
        None => std::future::pending().await,
    }
}
