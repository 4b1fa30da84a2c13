//! The options of a device.

use std::time::Duration;

use tidings_wire::Backoff;
use tidings_wire::action::Position;

/// The options of a device. [`Options::new`] has defaults that suit most apps.
#[derive(Debug, Clone)]
pub struct Options {
    /// The WebSocket API: `wss://…/{stage}`.
    pub socket_url: String,
    /// The end of the last run, from [`Event::Message`] and [`Event::Synced`]: nothing up to there is shown again, so
    /// an app that acknowledges by itself keeps the position of the last message that it has handled. Delete it when
    /// the device changes hands, and when a registration returns other keys. `None`: everything that the service keeps
    /// for this device.
    ///
    /// [`Event::Message`]: crate::Event::Message
    /// [`Event::Synced`]: crate::Event::Synced
    pub cursor: Option<Position>,
    /// The number of the last announcement that was shown, from [`Event::Announcement`]: nothing up to there is shown
    /// again. 0: everything that is kept. Delete it when the device changes hands.
    ///
    /// [`Event::Announcement`]: crate::Event::Announcement
    pub announced: u64,
    /// Whether the client or the app acknowledges.
    pub ack: Ack,
    /// How the connect token is sent.
    pub token_in: TokenIn,
    /// Pause between heartbeats. `None`: as the service requests in its pongs, and a minute until the first pong.
    pub ping_every: Option<Duration>,
    /// The latest time of a connection's first heartbeat; up to a quarter of it is taken off at random, because many
    /// devices may have reconnected together. It comes soon, because a message that was stored between the connection
    /// and the first action was not posted to it, and the head in the pong reveals it.
    pub first_ping: Duration,
    /// How long to wait for a handshake, a pong or a replay.
    pub answer_within: Duration,
    /// Pauses between attempts to connect.
    pub backoff: Backoff,
    /// The longest pause while no connection to the API can be made at all. Refusals and connections that end are
    /// answers, and keep the pauses of `backoff`. Default: as long as those.
    pub longest_outage_pause: Duration,
    /// When to move to a new socket if the service has not asked for it before. API Gateway ends every connection
    /// after two hours.
    pub rollover_after: Duration,
    /// After this many refusals (401, 403) in a row the device gives up and must be registered again. The first refusal
    /// of a row resets the pauses to the shortest.
    pub give_up_after: u32,
}

impl Options {
    /// Defaults that suit most apps: no cursor, automatic acknowledgements, the service's interval of heartbeats.
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
            longest_outage_pause: Backoff::default().longest,
            rollover_after: Duration::from_secs(110 * 60),
            give_up_after: 3,
        }
    }
}

/// The side that acknowledges a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// The client, when the app takes the message from [`Events`](crate::Events).
    Automatic,
    /// The app, with [`Device::ack`](crate::Device::ack).
    Manual,
}

/// How the connect token is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenIn {
    /// In `Sec-WebSocket-Protocol`, which proxies do not log. If the gateway does not answer with a protocol, as RFC
    /// 6455 requires, the device goes on with [`TokenIn::Query`] by itself.
    Subprotocol,
    /// In the URL.
    Query,
}
