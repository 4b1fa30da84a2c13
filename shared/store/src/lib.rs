//! What Tidings stores in DynamoDB: one struct for a family of items, all over one SDK client. Keys and attribute names
//! are in `keys` and `item` only.
//!
//! - [`Users`]: the whole partition of a user, and the preferences in it
//! - [`Devices`], [`Connections`]: in the partition of their user, and look-ups by their ids
//! - [`Mailboxes`]: each user's log of messages; [`Claims`]: the fallback steps in its entries
//! - [`Messages`]: one record per send, which is also the idempotency record
//! - [`Apps`], [`Items`], [`Announcements`], in one table: apps and their keys; closed items; logs of announcements
//! - [`Due`]: timers that are due later than a queue's longest delay
//!
//! Everything is stored as [`families`] declares it: sealed under the keyring of its app, which the [`Vault`] provides,
//! or in clear if the deployment does not seal.
//!
//! Every item that can become stale has `expires_at`, in seconds; DynamoDB deletes late, so every reader filters on it.

mod announcements;
mod apps;
mod claims;
mod connections;
mod devices;
mod due;
mod error;
pub mod families;
mod guard;
mod inbox;
mod item;
mod items;
mod keys;
pub mod layout;
mod mailbox;
mod messages;
mod retry;
mod transaction;
mod unknown;
mod users;
mod vault;

pub use announcements::{Announced, Announcements, Page};
pub use apps::{App, Apps};
pub use claims::Claims;
pub use connections::{Connected, ConnectionRecord, Connections};
pub use devices::Devices;
pub use due::{Due, Kept, KeptTimer, minute_of};
pub use error::StoreError;
pub use items::Items;
pub use mailbox::{Appended, Confirmation, Confirmed, Mailboxes};
pub use messages::{Cancelled, Messages, Stored};
pub use retry::client;
pub use users::Users;
pub use vault::{Opened, Vault, kms};
