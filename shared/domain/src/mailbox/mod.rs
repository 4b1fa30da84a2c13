//! The mailbox: an append-only log per user. Entries have a dense `seq` within an `epoch`; each carries the ids of the
//! entries before it, so that the newest one alone recognises a duplicate.

mod entry;
mod links;
mod log;
mod replay;
mod slot;

pub use entry::{Closed, Entry, Header, RETENTION_SECONDS};
pub use links::{COLLAPSE_KEYS, Collapsed, Links, WINDOW, Window};
pub use log::{append, recent_position};
pub use replay::{Misplaced, misplaced, recovered, replay_from, unwanted_run};
pub use slot::{Slot, Tail};

/// A delivery that arrives later than this after its acceptance is looked for by id before it is appended: it may have
/// been redriven from a dead-letter queue, or be a repeated request. In seconds; below SQS FIFO's 5-minute
/// deduplication.
pub const LATE_SECONDS: u64 = 240;

/// A worker that has checked a delivery against the record of its message stores it within so many seconds: twice as
/// long as `deliver` may run.
pub const STORING_SECONDS: u64 = 60;

#[cfg(test)]
mod tests;
