//! The limits of a WebSocket API.

use std::time::Duration;

/// The handling of a binary frame from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryFrames {
    /// It goes to the route as Base64 with `isBase64Encoded`.
    Forward,
    /// The connection is closed with 1003, as API Gateway documents it.
    Refuse,
}

/// The limits of a WebSocket API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketLimits {
    /// How long a connection may be silent in both directions: 10 minutes.
    pub idle: Duration,
    /// How long a connection may live: 2 hours.
    pub life: Duration,
    /// The largest frame, in bytes of payload: 32 KB.
    pub frame_bytes: usize,
    /// The largest message, in either direction: 128 KB.
    pub message_bytes: usize,
    /// How long an integration may take: 29 seconds.
    pub integration: Duration,
    /// All headers of the upgrade request, with its path: 10,240 bytes.
    pub header_bytes: usize,
    /// How many messages to a client wait in its buffer before a post is throttled.
    pub buffered_messages: usize,
    /// How many messages from one client are handled at once before the next is read.
    pub concurrent_messages: usize,
    /// How long a client has to answer a close before its socket is dropped.
    pub close: Duration,
    /// The handling of binary frames.
    pub binary_frames: BinaryFrames,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(10 * 60),
            life: Duration::from_secs(2 * 60 * 60),
            frame_bytes: 32 * 1024,
            message_bytes: 128 * 1024,
            integration: Duration::from_secs(29),
            header_bytes: 10_240,
            buffered_messages: 256,
            concurrent_messages: 32,
            close: Duration::from_secs(3),
            binary_frames: BinaryFrames::Refuse,
        }
    }
}
