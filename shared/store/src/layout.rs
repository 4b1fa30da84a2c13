//! The layout of the tables, for tools that read them directly.

use tidings_domain::Position;

use crate::keys;

/// The partition key of every table. In the table of users it is a user's key, in that of messages a message's id.
pub const PARTITION: &str = keys::PK;

/// The sort key of the tables that have one.
pub const SORT: &str = keys::SK;

/// The prefix of the sort keys of mailbox entries.
pub const ENTRY: &str = keys::ENTRY;

/// A sort key after every other one in a user's partition.
pub const BEHIND_ALL: &str = "~";

/// The attribute of a mailbox entry that holds its message's id.
pub const MESSAGE_ID: &str = "id";

/// The attribute of a message's record that holds when it was accepted, in milliseconds.
pub const ACCEPTED: &str = "accepted";

/// The attribute of a message's record that holds its tenant; absent for none.
pub const TENANT: &str = "tenant";

/// The attribute of a message's record that holds its recipients.
pub const ALIASES: &str = "aliases";

/// The position of a mailbox entry, by its sort key.
#[must_use]
pub fn position(sort_key: &str) -> Option<Position> {
    keys::position(sort_key)
}
