//! The state that the parts of a running soak share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sam_twin::client::Client;
use tidings_client::Backend;
use tidings_wire::Trail;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::history::{DeviceLog, Item, Sent};
use super::plan::Plan;
use super::twin::Session;
use super::waiting::Waiting;

/// No request to the twin takes this long; one that does is repeated.
const TIMEOUT: Duration = Duration::from_secs(31);

/// A soak that runs.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) plan: Arc<Plan>,
    pub(crate) session: Session,
    pub(crate) backend: Backend,
    /// The client for the twin.
    pub(crate) control: Client,
    pub(crate) progress: Progress,
    /// The trails to read.
    pub(crate) waiting: Waiting,
    /// Cancelled when the soak is over, for any reason.
    pub(crate) stop: CancellationToken,
    log: Mutex<Log>,
}

/// The history so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) sends: Vec<Sent>,
    pub(crate) announced: Vec<Option<u64>>,
    pub(crate) devices: Vec<DeviceLog>,
    pub(crate) trails: BTreeMap<usize, Arc<Trail>>,
    pub(crate) begun_when_confirmed: BTreeMap<(usize, String), BTreeSet<usize>>,
    pub(crate) outbox: BTreeMap<u64, Item>,
    pub(crate) faults: BTreeMap<String, u64>,
}

/// The progress.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    accepted: watch::Sender<usize>,
    pub(crate) settled: AtomicUsize,
    pub(crate) retries: AtomicU64,
    pub(crate) redriven: AtomicU64,
    pub(crate) twins_killed: AtomicU64,
    pub(crate) exchanges: AtomicU64,
}

impl World {
    pub(crate) fn new(plan: Plan, session: Session, backend: Backend) -> Self {
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
            control: Client::new(TIMEOUT),
            progress: Progress::default(),
            waiting: Waiting::default(),
            stop: CancellationToken::new(),
            log: Mutex::new(log),
        }
    }

    /// The history so far. Never held over an await.
    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A path of the twin's AWS port.
    pub(crate) fn aws(&self, path: &str) -> String {
        format!("{}{path}", self.session.aws_url)
    }

    /// Sleeps; `false` if the soak was stopped meanwhile.
    pub(crate) async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => true,
            () = self.stop.cancelled() => false,
        }
    }
}

impl Progress {
    pub(crate) fn accepted(&self) -> usize {
        *self.accepted.borrow()
    }

    pub(crate) fn one_more_accepted(&self) {
        self.accepted.send_modify(|accepted| *accepted += 1);
    }

    /// Waits until so many have been accepted.
    pub(crate) async fn reached(&self, count: usize) {
        let mut accepted = self.accepted.subscribe();
        // The sender lives as long as this struct.
        let _ = accepted.wait_for(|accepted| *accepted >= count).await;
    }

    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
