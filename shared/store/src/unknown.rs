//! What of the tables this version does not know: named in the log, counted there, and passed over. The fields are those that
//! docs/operations.md makes a metric of.

use std::{error::Error, fmt::Display};

use tidings_domain::{Position, UserKey, Word};

use crate::StoreError;

/// Passes over an item that cannot be read. It costs what it stands for, and neither its user nor its neighbours.
pub(crate) fn pass_over(kind: &'static str, user: Option<&UserKey>, place: impl Display, error: &StoreError) {
    let user = user.map(UserKey::digest);
    let cause = error.source().map(ToString::to_string);
    tracing::warn!(unreadable = 1, kind, user, place = %place, error = %error, cause, "passed over what cannot be read");
}

/// Names a word of an entry that a newer version has written.
pub(crate) fn name(kind: &'static str, word: Word, user: &UserKey, position: Position, message: &str) {
    let (user, place) = (user.digest(), place(position));
    tracing::warn!(unknown = 1, kind, name = %word, user, place, message_id = message, "a newer version has written this");
}

/// A position, as log lines have it.
pub(crate) fn place(position: Position) -> String {
    format!("{}#{}", position.epoch, position.seq)
}
