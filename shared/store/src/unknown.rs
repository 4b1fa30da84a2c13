//! Stored data that this version does not know: it is named and counted in the log, and skipped. docs/operations.md
//! turns the fields into a metric.

use std::{error::Error, fmt::Display};

use tidings_domain::{Position, Word};

use crate::StoreError;

/// Skips an unreadable item; of its user, the pseudonym is logged. It costs only what it stands for, and neither its
/// user nor its neighbours.
pub(crate) fn pass_over(kind: &'static str, user: Option<String>, place: impl Display, error: &StoreError) {
    let cause = error.source().map(ToString::to_string);
    tracing::warn!(unreadable = 1, kind, user, place = %place, error = %error, cause, "unreadable item skipped");
}

/// Names an item of a kind that only a newer version stores.
pub(crate) fn item(user: String, place: &str) {
    tracing::warn!(unknown = 1, kind = "item", user, place, "item of a newer version skipped");
}

/// Names a word of an entry that a newer version has written.
pub(crate) fn name(kind: &'static str, word: Word, user: &str, position: Position, message: &str) {
    let place = place(position);
    tracing::warn!(unknown = 1, kind, name = %word, user, place, message_id = message, "word of a newer version");
}

/// A position, as log lines have it.
pub(crate) fn place(position: Position) -> String {
    format!("{}#{}", position.epoch, position.seq)
}
