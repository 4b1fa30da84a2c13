//! How a device connects and behaves.

use std::time::Duration;

use tidings_wire::Backoff;
use tidings_wire::action::Position;

/// How a device connects and behaves. [`Options::new`] has what suits most.
#[derive(Debug, Clone)]
pub struct Options {
    /// The WebSocket API: `wss://…/{stage}`.
    pub socket_url: String,
    /// Where the last run ended ([`Event::Message`] and [`Event::Synced`] name it): nothing up to there is shown again, so
    /// an app that acknowledges by itself keeps the position of what it is done with. Forget it when the device changes
    /// hands, and when a registration has brought other keys. `None`: everything that the service keeps for this device.
    ///
    /// [`Event::Message`]: crate::Event::Message
    /// [`Event::Synced`]: crate::Event::Synced
    pub cursor: Option<Position>,
    /// The number of the last announcement that was shown, from [`Event::Announcement`]: nothing up to there is shown
    /// again. 0: everything that is kept. Forget it when the device changes hands.
    ///
    /// [`Event::Announcement`]: crate::Event::Announcement
    pub announced: u64,
    /// Who acknowledges.
    pub ack: Ack,
    /// Where the connect token travels.
    pub token_in: TokenIn,
    /// Pause between heartbeats. `None`: what the service asks for in its pongs, and a minute until the first one.
    pub ping_every: Option<Duration>,
    /// When the first heartbeat of a connection comes at the latest; up to a quarter of it is taken off at random,
    /// because many devices may have come back together. It comes soon: what was stored between our connection and
    /// our first words about the mailbox was posted to nobody, and the head in the pong tells of it.
    pub first_ping: Duration,
    /// How long to wait for a handshake, a pong or a replay.
    pub answer_within: Duration,
    /// Pauses between attempts to connect.
    pub backoff: Backoff,
    /// When to move to a new socket where the service has not asked for it before. API Gateway ends every connection
    /// after two hours.
    pub rollover_after: Duration,
    /// After so many refusals (401, 403) in a row the device gives up: it has to be registered again. The first of a row
    /// puts the window of the pauses back to its beginning.
    pub give_up_after: u32,
}

impl Options {
    /// What suits most: begins without a cursor, acknowledges by itself, follows the service's pace.
    #[must_use]
    pub fn new(socket_url: impl Into<String>) -> Self {
        Self {
            socket_url: socket_url.into(),
            cursor: None,
            announced: 0,
            ack: Ack::Automatic,
            token_in: TokenIn::Subprotocol,
            ping_every: None,
            first_ping: Duration::from_secs(5),
            answer_within: Duration::from_secs(15),
            backoff: Backoff::default(),
            rollover_after: Duration::from_secs(110 * 60),
            give_up_after: 3,
        }
    }
}

/// Who acknowledges a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// The client, when the app takes the message from [`Events`](crate::Events).
    Automatic,
    /// The app, with [`Device::ack`](crate::Device::ack).
    Manual,
}

/// Where the connect token travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenIn {
    /// In `Sec-WebSocket-Protocol`, which proxies do not log. If the gateway does not answer with a protocol, which RFC
    /// 6455 wants from it, the device goes on with [`TokenIn::Query`] by itself.
    Subprotocol,
    /// In the URL.
    Query,
}
