//! The events of a device and of its connections.

use std::time::Duration;

use tidings_wire::frame::{AnnouncementFrame, ErrorFrame, Pong, Synced};
use tokio_tungstenite::tungstenite;

use crate::dial::ConnectError;
use crate::received::Received;

/// An event of a device.
#[derive(Debug)]
pub enum Event {
    /// A socket is open; messages follow when the replay is complete.
    Connected,
    /// The replay is complete. If it is not `recovered`, the mailbox no longer reaches back to the
    /// cursor.
    Synced(Synced),
    /// A message: in order, and each id once.
    Message(Box<Received>),
    /// An announcement of the app to everyone: in order, and each once. It is not acknowledged.
    Announcement(Box<AnnouncementFrame>),
    /// The device has moved to a new socket and leaves the old one. Nothing was interrupted.
    RolledOver,
    /// The service answered a heartbeat.
    Pong(Pong),
    /// The service refused an action of the device.
    Refused(ErrorFrame),
    /// The socket carried something that is not a frame for this device. It was ignored.
    Unreadable(Unreadable),
    /// The connection is gone; the device comes back by itself.
    Disconnected {
        /// How it ended.
        loss: Loss,
        /// When the next attempt begins.
        retry_in: Duration,
    },
    /// The last event.
    Closed(CloseReason),
}

/// Why a frame was ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not sealed, or sealed for another device, or changed on the way. API Gateway itself answers in clear when an
    /// integration fails.
    #[error("the frame is not sealed for this device")]
    NotSealedForUs,
    /// Sealed for this device, but of a kind that this version does not know.
    #[error("the frame is of an unknown kind")]
    UnknownKind,
    /// Sealed with this device's key, but with the id of another device.
    #[error("the frame names another device")]
    NamesAnotherDevice,
}

/// How a connection ended, or why it was not opened.
#[derive(Debug, thiserror::Error)]
pub enum Loss {
    /// It was not opened.
    #[error(transparent)]
    Connect(ConnectError),
    /// The other side closed it.
    #[error("the connection was closed ({code})")]
    Closed {
        /// The close code (RFC 6455 §7.4); 1005 if there was none.
        code: u16,
    },
    /// It broke.
    #[error("the connection broke: {0}")]
    Broken(Box<tungstenite::Error>),
    /// A heartbeat was not answered.
    #[error("the service does not answer")]
    Silent,
    /// The service asked the device to reconnect.
    #[error("the service asked to reconnect ({code})")]
    Asked {
        /// The stable code of the reason.
        code: String,
        /// How long to wait before the new connection.
        after: Duration,
    },
}

/// Why a device ended.
#[derive(Debug, thiserror::Error)]
pub enum CloseReason {
    /// The app closed the device, or dropped its events.
    #[error("the app closed the device")]
    Asked,
    /// No further attempt can help: the service refuses this device, which has to be registered again, or the URL is
    /// invalid.
    #[error("{error}{}", advice(.0), error = .0)]
    CannotConnect(ConnectError),
}

/// What to check after the last attempt; nothing if the error names it.
fn advice(error: &ConnectError) -> &'static str {
    if error.is_refusal() {
        "; register again, and check that the URL's path is the stage and the clock is right"
    } else {
        ""
    }
}
