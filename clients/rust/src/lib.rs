//! The Rust client of Tidings, for both ends of a message.
//!
//! - [`Backend`] is your server: it registers devices, sends messages and reads their trail, over HTTPS with the app
//!   key.
//! - [`Device`] is one device: it holds the socket and delivers [`Event`]s to you. It signs connect tokens, asks for
//!   missed messages, opens sealed frames, puts them in order, shows each message once, acknowledges, and sends
//!   heartbeats. It reconnects after every loss with a growing, jittered pause, and moves to a new socket before the
//!   two hours of the old one end.
//! - [`DeviceApi`] lists the messages of a device's user, counts the unread ones, and sets the user's preferences, over
//!   HTTPS with tokens of the device.
//!
//! ```no_run
//! use tidings_client::{Backend, Device, Event, Identity, Options};
//! use tidings_wire::{Content, RegisterRequest, SendRequest};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let backend = Backend::new("http://127.0.0.1:7400", "td_demo.…")?;
//! let registration: RegisterRequest = serde_json::from_value(serde_json::json!({
//!     "appId": "demo", "alias": "alice", "platform": "PC", "nativeToken": "this-machine",
//! }))?;
//! let registered = backend.register(&registration).await?;
//!
//! let identity = Identity::from_answer(&registered)?;
//! let (_device, mut events) = Device::open(identity, Options::new("ws://127.0.0.1:7401/prod"));
//!
//! let hello = SendRequest {
//!     audiences: vec!["alice".to_owned()],
//!     content: Content { alert: Some("Hello".to_owned()), ..Content::default() },
//!     ..SendRequest::default()
//! };
//! backend.send(&hello, None).await?;
//!
//! while let Some(event) = events.next().await {
//!     if let Event::Message(received) = event {
//!         println!("{}", received.message.content.alert.unwrap_or_default());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Inside, [`Inbox`] decides and does no I/O; `worker` carries out its steps.

mod announcements;
mod backend;
mod confirmations;
mod device;
mod device_api;
mod dial;
mod event;
mod identity;
mod inbox;
mod options;
mod received;
mod socket;
mod worker;

pub use backend::{ApiError, Backend};
pub use device::{Device, DeviceGone, Events};
pub use device_api::DeviceApi;
pub use dial::ConnectError;
pub use event::{CloseReason, Event, Loss, Unreadable};
pub use identity::{Identity, IdentityError};
pub use inbox::{Inbox, Step};
pub use options::{Ack, Options, TokenIn};
pub use received::Received;
pub use tidings_wire::Backoff;

/// The programs of the guide, which are compiled as they are.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/clients.md")]
mod guide {}
