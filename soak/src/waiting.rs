//! The schedule of the trails to read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::plan::Plan;

/// When a trail is read for the first time after the acceptance of its message, and how long until the next time.
const FIRST_LOOK: Duration = Duration::from_millis(2_500);
const FIRST_LOOK_AT_CHAIN: Duration = Duration::from_millis(700);
const NEXT_LOOK: Duration = Duration::from_millis(1_500);

/// The messages whose trails are to be read, with the times.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<BinaryHeap<Reverse<(Instant, Duration, usize)>>>);

impl Waiting {
    pub(crate) fn accepted(&self, plan: &Plan, index: usize) {
        let first = if plan.messages[index].kind.has_chain() { FIRST_LOOK_AT_CHAIN } else { FIRST_LOOK };
        self.put(first, NEXT_LOOK, index);
    }

    pub(crate) fn put(&self, pause: Duration, next: Duration, index: usize) {
        let mut heap = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heap.push(Reverse((Instant::now() + pause, next, index)));
    }

    pub(crate) fn take(&self) -> Option<(Duration, usize)> {
        let mut heap = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = heap.peek().is_some_and(|Reverse((due, _, _))| *due <= Instant::now());
        if is_due { heap.pop().map(|Reverse((_, next, index))| (next, index)) } else { None }
    }
}
