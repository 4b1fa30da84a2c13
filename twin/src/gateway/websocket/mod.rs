//! The WebSocket API: sockets on one side, functions on the other.
//!
//! The upgrade waits for `$connect`; then a session reads and writes the socket, and every message goes to the function
//! of its route. Posts from `@connections` and route responses leave through one queue per connection, so that they
//! arrive in the order in which they were accepted.

mod api;
mod connection;
mod limits;
mod message;
mod session;
mod upgrade;

pub use self::api::{PostError, SocketApi};
pub use self::connection::AboutConnection;
pub use self::limits::{BinaryFrames, SocketLimits};
pub use self::upgrade::router;
