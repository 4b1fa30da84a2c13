//! One connection: its client, the messages to send, and its close.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::gateway::Moment;
use crate::gateway::socket_events::Origin;

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) origin: Origin,
    /// The messages to send, in order.
    pub(super) outbound: mpsc::Sender<String>,
    /// Set once the gateway wants the connection closed.
    pub(super) closing: watch::Sender<Option<Close>>,
    last_active: AtomicI64,
}

/// The answer to `GET @connections/{id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutConnection {
    /// When it was opened, ISO 8601.
    pub connected_at: String,
    /// When a message was last sent or received, ISO 8601.
    pub last_active_at: String,
    /// The address of the client.
    pub source_ip: String,
    /// The client's user agent.
    pub user_agent: Option<String>,
}

impl Connection {
    /// A connection that has just been opened, and the queue of messages to send.
    pub(super) fn new(origin: Origin, buffered_messages: usize) -> (Self, mpsc::Receiver<String>) {
        let (outbound, queue) = mpsc::channel(buffered_messages);
        let last_active = AtomicI64::new(origin.connected_at.epoch_millis());
        (Self { last_active, origin, outbound, closing: watch::channel(None).0 }, queue)
    }

    /// The connection as `GET @connections/{id}` describes it.
    pub(super) fn about(&self) -> AboutConnection {
        AboutConnection {
            connected_at: self.origin.connected_at.iso(),
            last_active_at: Moment::from_epoch_millis(self.last_active.load(Ordering::Relaxed)).iso(),
            source_ip: self.origin.source_ip.clone(),
            user_agent: self.origin.user_agent.clone(),
        }
    }

    /// Records that a message was sent or received.
    pub(super) fn touch(&self) {
        self.last_active.store(Moment::now().epoch_millis(), Ordering::Relaxed);
    }

    /// How long the connection has been silent.
    pub(super) fn silent_for(&self) -> Duration {
        let millis = Moment::now().epoch_millis() - self.last_active.load(Ordering::Relaxed);
        Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    }

    /// Asks the session to close, unless it has been asked before.
    pub(super) fn close(&self, close: Close) {
        self.closing.send_if_modified(|closing| {
            let first = closing.is_none();
            closing.get_or_insert(close);
            first
        });
    }
}

/// A close: its status code and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Close {
    pub(super) code: u16,
    pub(super) reason: String,
}

impl Close {
    pub(super) fn new(code: u16, reason: &str) -> Self {
        Self { code, reason: reason.to_owned() }
    }

    /// The close of idle and old connections.
    pub(super) fn going_away() -> Self {
        Self::new(1001, "Going away")
    }

    /// The close that is reported for a broken socket, and that asks a session to cut its socket.
    pub(super) fn abnormal() -> Self {
        Self::new(1006, "Connection Closed Abnormally")
    }

    pub(super) fn from_client(frame: Option<CloseFrame>) -> Self {
        match frame {
            None => Self::new(1005, "Client-side close frame status not set"),
            Some(frame) => Self::new(frame.code.into(), &frame.reason),
        }
    }

    /// The close that a read error calls for; none if the socket is gone.
    pub(super) fn from_error(error: &Error) -> Option<Self> {
        match error {
            Error::Capacity(_) => Some(Self::new(1009, "Message too big")),
            Error::Utf8(_) => Some(Self::new(1007, "Invalid UTF-8")),
            // A socket that ends without a close frame is gone; any other breach of the protocol can be answered.
            Error::Protocol(protocol) if !protocol.to_string().contains("without closing handshake") => {
                Some(Self::new(1002, "Protocol error"))
            }
            _ => None,
        }
    }

    /// Whether the socket is cut without a close frame.
    pub(super) fn is_cut(&self) -> bool {
        self.code == 1006
    }

    pub(super) fn frame(&self) -> CloseFrame {
        CloseFrame { code: CloseCode::from(self.code), reason: self.reason.as_str().into() }
    }
}
