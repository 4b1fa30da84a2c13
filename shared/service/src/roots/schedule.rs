//! When root keys are read again.

use tidings_domain::Timestamp;

/// Seconds after a failed read before the next one: a request that finds the keys aged waits for it.
const RETRY_SECONDS: u64 = 30;

/// Seconds between two reads for the sake of unknown versions.
const LOOK_UP_SECONDS: u64 = 10;

/// When to read root keys again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    refresh_seconds: u64,
    due: Timestamp,
    look_up: Timestamp,
}

impl Schedule {
    /// After they were read for the first time; what was read is aged after `refresh_seconds`.
    pub(super) fn begin(now: Timestamp, refresh_seconds: u64) -> Self {
        Self { refresh_seconds, due: now.plus_seconds(refresh_seconds), look_up: now }
    }

    /// After they were read once more.
    pub(super) fn succeeded(&mut self, now: Timestamp) {
        self.due = now.plus_seconds(self.refresh_seconds);
    }

    /// After a read has failed.
    pub(super) fn failed(&mut self, now: Timestamp) {
        self.due = now.plus_seconds(RETRY_SECONDS.min(self.refresh_seconds));
    }

    /// After they were read for a version that they lacked.
    pub(super) fn looked_up(&mut self, now: Timestamp) {
        self.look_up = now.plus_seconds(LOOK_UP_SECONDS.min(self.refresh_seconds));
    }

    /// Whether they are so old that they are read again.
    pub(super) fn is_aged(&self, now: Timestamp) -> bool {
        now >= self.due
    }

    /// Whether they may be read for a version that they lack.
    pub(super) fn may_look_up(&self, now: Timestamp) -> bool {
        now >= self.look_up
    }
}
