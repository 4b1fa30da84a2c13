//! What Tidings keeps in DynamoDB. One struct per table family, each over one SDK client; keys and attribute names are in
//! `keys` and `item` and nowhere else.
//!
//! - [`Users`]: a user's partition (profile, devices, connections, mailbox) and the look-ups that lead to it
//! - [`Messages`]: one record per send, which is also the idempotency record
//! - [`Apps`], [`Items`], [`Announcements`], in one table: apps and their keys; closed items; logs of announcements
//! - [`Due`]: timers that are further off than a queue's delay
//!
//! Every item that can go stale has `expires_at`, in seconds; DynamoDB deletes late, so every reader filters on it.

mod announcements;
mod apps;
mod connections;
mod devices;
mod due;
mod error;
mod inbox;
mod item;
mod items;
mod keys;
mod mailbox;
mod messages;
mod retry;

pub use announcements::{Announced, Announcements};
pub use apps::{App, Apps};
pub use connections::{Connected, ConnectionRecord};
pub use due::{Due, Kept, minute_of};
pub use error::StoreError;
pub use items::Items;
pub use mailbox::{Appended, Confirmation};
pub use messages::{Cancelled, Messages, Stored};
pub use retry::client;

/// A user's partition, and the look-ups by device and by connection that lead to it.
#[derive(Clone, Debug)]
pub struct Users {
    client: aws_sdk_dynamodb::Client,
    table: String,
    lookups: String,
}

impl Users {
    /// Over the `Users` and `Lookups` tables.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, table: String, lookups: String) -> Self {
        Self { client, table, lookups }
    }
}
