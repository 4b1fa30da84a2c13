//! What the parts of a running soak share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidings_client::Backend;
use tidings_wire::Trail;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::history::{DeviceLog, Item, Sent};
use super::plan::Plan;
use super::watch::Waiting;
use crate::cli::session::Session;

/// A soak that runs.
#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Arc<Plan>,
    pub(super) session: Session,
    pub(super) backend: Backend,
    pub(super) control: Control,
    pub(super) progress: Progress,
    /// Trails that are to be read.
    pub(super) waiting: Waiting,
    /// Ended when the soak is over, whatever the reason.
    pub(super) stop: CancellationToken,
    log: Mutex<Log>,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) sends: Vec<Sent>,
    pub(super) announced: Vec<Option<u64>>,
    pub(super) devices: Vec<DeviceLog>,
    pub(super) trails: BTreeMap<usize, Arc<Trail>>,
    pub(super) begun_when_confirmed: BTreeMap<(usize, String), BTreeSet<usize>>,
    pub(super) outbox: BTreeMap<u64, Item>,
    pub(super) faults: BTreeMap<String, u64>,
}

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    accepted: watch::Sender<usize>,
    pub(super) settled: AtomicUsize,
    pub(super) retries: AtomicU64,
    pub(super) redriven: AtomicU64,
    pub(super) twins_killed: AtomicU64,
}

impl World {
    pub(super) fn new(plan: Plan, session: Session, backend: Backend) -> Self {
        let log = Log {
            sends: vec![Sent::default(); plan.messages.len()],
            announced: vec![None; plan.announcements.len()],
            devices: vec![DeviceLog::default(); plan.devices.len()],
            ..Log::default()
        };
        Self {
            plan: Arc::new(plan),
            session,
            backend,
            control: Control::new(),
            progress: Progress::default(),
            waiting: Waiting::default(),
            stop: CancellationToken::new(),
            log: Mutex::new(log),
        }
    }

    /// What was seen so far. Never held over an await.
    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A path of the twin's AWS port.
    pub(super) fn aws(&self, path: &str) -> String {
        format!("{}{path}", self.session.aws_url)
    }

    /// Sleeps; `false` where the soak was stopped meanwhile.
    pub(super) async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = self.stop.cancelled() => false,
        }
    }
}

impl Progress {
    pub(super) fn accepted(&self) -> usize {
        *self.accepted.borrow()
    }

    pub(super) fn one_more_accepted(&self) {
        self.accepted.send_modify(|accepted| *accepted += 1);
    }

    /// Waits until so many have been accepted.
    pub(super) async fn reached(&self, count: usize) {
        let mut accepted = self.accepted.subscribe();
        // The sender lives as long as we do.
        let _ = accepted.wait_for(|accepted| *accepted >= count).await;
    }

    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
