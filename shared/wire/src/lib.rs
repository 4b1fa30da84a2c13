//! The JSON that Tidings speaks: what a backend sends over HTTP, what it gets back, and what travels on the WebSocket.
//!
//! Shapes and their limits live here and nothing else: no decision, no I/O. The functions read requests with
//! [`SendRequest::parse`] and [`RegisterRequest::parse`], which name every field that is wrong, not only the first;
//! clients build the same structs and serialise them.
//!
//! - [`send`]: `POST /v1/messages` and its answer
//! - [`device`]: `POST /v1/devices` and its answer
//! - [`preferences`]: `GET` and `PUT /v1/users/{alias}/preferences`, `/v1/preferences`
//! - [`trail`]: `GET /v1/messages/{id}`
//! - [`item`]: `GET` and `PUT /v1/items/{item}`
//! - [`inbox`]: `GET /v1/inbox`, `GET /v1/inbox/unread`
//! - [`frame`]: what a device receives, once decrypted
//! - [`action`]: what a device sends
//! - [`backoff`]: how long a client waits before it reconnects
//! - [`problem`]: errors on HTTP (RFC 9457)
//! - [`fields`], [`json`], [`name`], [`limits`]: how requests are read
//! - `schema`, behind the feature of this name: the JSON Schema of all of it

pub mod action;
pub mod announcement;
pub mod backoff;
mod channel;
mod choice;
pub mod device;
pub mod fields;
pub mod frame;
pub mod inbox;
pub mod item;
pub mod json;
mod language;
pub mod limits;
pub mod name;
mod open;
mod platform;
pub mod preferences;
pub mod problem;
#[cfg(feature = "schema")]
pub mod schema;
pub mod send;
mod timestamp;
pub mod trail;
mod version;

pub use action::Action;
pub use announcement::{AnnounceAnswer, AnnounceRequest};
pub use backoff::Backoff;
pub use channel::{PushAddress, WebpushKeys};
pub use choice::Choice;
pub use device::{DeviceAnswer, RegisterAnswer, RegisterRequest};
pub use fields::FieldProblem;
pub use frame::{Frame, MessageFrame};
pub use inbox::{InboxAnswer, InboxMessage, InboxRequest, UnreadAnswer};
pub use item::{ItemAnswer, ItemRequest};
pub use open::{Open, Word};
pub use platform::Platform;
pub use preferences::Preferences;
pub use problem::{Problem, ProblemCode};
pub use send::{Content, SendAnswer, SendRequest};
pub use timestamp::Timestamp;
pub use trail::Trail;
pub use version::Version;
