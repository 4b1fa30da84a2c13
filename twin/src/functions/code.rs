//! The code of the functions, which can be exchanged while the twin runs, as by a deployment.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::process::Source;

/// The current source of the code. A process of earlier code is not reused.
#[derive(Debug)]
pub(super) struct Code {
    first: Source,
    now: Mutex<(Source, u64)>,
}

impl Code {
    pub(super) fn new(first: Source) -> Self {
        Self { now: Mutex::new((first.clone(), 0)), first }
    }

    /// The source, and the number of the exchange that brought it.
    pub(super) fn now(&self) -> (Source, u64) {
        self.locked().clone()
    }

    /// The number of the last exchange.
    pub(super) fn number(&self) -> u64 {
        self.locked().1
    }

    /// The source at the start of the twin.
    pub(super) fn first(&self) -> &Source {
        &self.first
    }

    pub(super) fn exchange(&self, source: Source) {
        let mut now = self.locked();
        *now = (source, now.1 + 1);
    }

    fn locked(&self) -> MutexGuard<'_, (Source, u64)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
