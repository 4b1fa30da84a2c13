//! Lambda: functions as real processes that poll the Runtime API, one invocation at a time each.
//!
//! ```text
//! invoke ─> pool of the function ─> an idle process, or a new one ─> its own runtime API listener
//! ```
//!
//! A process gets the environment that Lambda would give it, with `AWS_ACCESS_KEY_ID=twin-<number>`. The key in the
//! signature of a request identifies the process, and so its invocation and its traces ([`Functions::traces_of`]).

mod code;
mod control;
mod pool;
mod process;
mod runtime_api;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::code::Code;
pub(crate) use self::control::control;
use self::pool::Pool;
pub use self::process::{RUN_FUNCTION, Source, end_with_the_twin};
use crate::faults::{Fault, Faults, Site};
use crate::ledger::{Ledger, TraceId};
use crate::template::Function;

/// The largest payload of an invocation, in bytes.
pub const PAYLOAD_LIMIT: usize = 6 * 1024 * 1024;

/// The settings with which functions run.
#[derive(Debug, Clone)]
pub struct FunctionsOptions {
    /// The source of their code.
    pub source: Source,
    /// The region in which they seem to run.
    pub region: String,
    /// The twin's AWS endpoint, `http://127.0.0.1:7402`.
    pub aws_endpoint: String,
    /// The most processes of one function at once, if the template reserves no concurrency.
    pub process_limit: usize,
    /// How long a new process has to initialise itself before the function's timeout begins. Lambda allows 10 s.
    pub init_limit: Duration,
    /// How long an invocation waits for a process before it is throttled.
    pub queue_limit: Duration,
    /// How long a process may be idle before it is ended.
    pub idle_limit: Duration,
    /// The faults of invocations.
    pub faults: Faults,
}

impl FunctionsOptions {
    /// Options with the limits of a small machine.
    #[must_use]
    pub fn new(source: Source, region: &str, aws_endpoint: &str) -> Self {
        Self {
            source,
            region: region.to_owned(),
            aws_endpoint: aws_endpoint.to_owned(),
            process_limit: 16,
            init_limit: Duration::from_secs(10),
            queue_limit: Duration::from_secs(20),
            idle_limit: Duration::from_secs(300),
            faults: Faults::default(),
        }
    }
}

/// The reason for which an invocation gave no result.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// The template has no such function.
    #[error("the template has no function {function}")]
    Unknown {
        /// The requested name.
        function: String,
    },
    /// The event is larger than Lambda accepts.
    #[error("an event of {bytes} bytes for {function} is over {PAYLOAD_LIMIT}")]
    TooLarge {
        /// The function.
        function: String,
        /// The size of the event.
        bytes: usize,
    },
    /// All processes of the function stayed busy.
    #[error("{function} is throttled: all its processes are busy")]
    Throttled {
        /// The function.
        function: String,
    },
    /// A fault made Lambda fail; the function has not seen the event.
    #[error("{function} was not invoked: the service failed, because of an injected fault")]
    Refused {
        /// The function.
        function: String,
    },
    /// The process could not be started at all.
    #[error("{function} cannot be started: {source}")]
    Start {
        /// The function.
        function: String,
        /// The error of the system, with the path.
        #[source]
        source: std::io::Error,
    },
    /// The function failed, or its process ended: what Lambda calls an unhandled function error.
    #[error("{function} failed with {error_type}: {message}")]
    Failed {
        /// The function.
        function: String,
        /// `Runtime.ExitError`, or the type that the function reported.
        error_type: String,
        /// Its message.
        message: String,
        /// The error document that a caller of Lambda would receive.
        payload: Bytes,
    },
    /// The process did not request its first invocation in time, and was killed.
    #[error(
        "the process of {function} did not ask for its first invocation within {} s of its start and the {} s of its \
         timeout: it is to GET http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next",
        init.as_secs_f64(), timeout.as_secs_f64()
    )]
    NotReady {
        /// The function.
        function: String,
        /// How long it had to initialise itself.
        init: Duration,
        /// Its timeout, which begins after that.
        timeout: Duration,
    },
    /// The function took longer than its timeout and was killed.
    #[error("{function} timed out after {:.2} seconds", after.as_secs_f64())]
    TimedOut {
        /// The function.
        function: String,
        /// Its timeout.
        after: Duration,
    },
    /// The twin is shutting down.
    #[error("the twin is shutting down")]
    ShuttingDown,
}

impl InvokeError {
    fn failed(function: &str, error_type: &str, message: &str) -> Self {
        let payload = json!({"errorType": error_type, "errorMessage": message}).to_string().into();
        let (function, error_type, message) = (function.to_owned(), error_type.to_owned(), message.to_owned());
        Self::Failed { function, error_type, message, payload }
    }

    /// An error from the document that a function posted.
    fn reported(function: &str, header: Option<String>, payload: Bytes) -> Self {
        let document: Value = serde_json::from_slice(&payload).unwrap_or_default();
        let text = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
        Self::Failed {
            function: function.to_owned(),
            error_type: text("errorType").or(header).unwrap_or_else(|| "Function.Unknown".to_owned()),
            message: text("errorMessage").unwrap_or_default(),
            payload,
        }
    }
}

/// One line that a function printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The function, by logical id.
    pub function: Arc<str>,
    /// The number of its process.
    pub process: u64,
    /// The stream on which it was printed.
    pub stream: Stream,
    /// The line, without its end.
    pub text: String,
}

/// A stream on which a function prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The work of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The function, by logical id.
    pub function: String,
    /// The traces of its running invocation, or else of the last one.
    pub traces: Vec<TraceId>,
}

/// All functions of a template. A clone is the same set.
#[derive(Debug, Clone)]
pub struct Functions(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pools: BTreeMap<String, Arc<Pool>>,
    shared: Arc<Shared>,
    invocations: TaskTracker,
    /// Turns true when running invocations are to be abandoned.
    give_up: watch::Sender<bool>,
}

/// The state that all pools share.
#[derive(Debug)]
struct Shared {
    options: FunctionsOptions,
    code: Code,
    ledger: Ledger,
    logs: broadcast::Sender<LogLine>,
    numbers: AtomicU64,
    callers: Mutex<HashMap<u64, Caller>>,
    switches: Mutex<HashMap<u64, KillSwitch>>,
}

/// The switch that kills a process, and that reports its end.
#[derive(Debug, Clone, Default)]
struct KillSwitch {
    wanted: CancellationToken,
    done: CancellationToken,
}

impl Shared {
    fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn assign(&self, process: u64, function: &str, traces: &[TraceId]) {
        let caller = Caller { function: function.to_owned(), traces: traces.to_vec() };
        self.callers().insert(process, caller);
    }

    fn forget(&self, process: u64) {
        self.callers().remove(&process);
        self.switches().remove(&process);
    }

    fn switches(&self) -> MutexGuard<'_, HashMap<u64, KillSwitch>> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn callers(&self) -> MutexGuard<'_, HashMap<u64, Caller>> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Functions {
    /// Makes functions ready to be invoked; none is started yet.
    #[must_use]
    pub fn new(functions: impl IntoIterator<Item = Function>, options: FunctionsOptions, ledger: Ledger) -> Self {
        let limit = options.process_limit;
        let pools = functions
            .into_iter()
            .map(|function| (function.logical_id.clone(), Arc::new(Pool::new(function, limit))))
            .collect();
        let shared = Shared {
            code: Code::new(options.source.clone()),
            options,
            ledger,
            logs: broadcast::Sender::new(1024),
            numbers: AtomicU64::new(0),
            callers: Mutex::default(),
            switches: Mutex::default(),
        };
        let (give_up, _) = watch::channel(false);
        Self(Arc::new(Inner { pools, shared: Arc::new(shared), invocations: TaskTracker::new(), give_up }))
    }

    /// Invokes a function, by logical id, and waits for its result.
    ///
    /// As on Lambda, a running invocation continues to its end even if its caller no longer waits. The ledger holds its
    /// traces meanwhile.
    ///
    /// # Errors
    /// See [`InvokeError`].
    pub async fn invoke(&self, function: &str, payload: Bytes, traces: &[TraceId]) -> Result<Bytes, InvokeError> {
        let Some(pool) = self.0.pools.get(function).cloned() else {
            return Err(InvokeError::Unknown { function: function.to_owned() });
        };
        if payload.len() > PAYLOAD_LIMIT {
            return Err(InvokeError::TooLarge { function: function.to_owned(), bytes: payload.len() });
        }
        if self.0.invocations.is_closed() {
            return Err(InvokeError::ShuttingDown);
        }
        if self.refuses(function, &payload) {
            let function = function.to_owned();
            return Err(InvokeError::Refused { function });
        }
        let hold = self.0.shared.ledger.hold(traces);
        let traces = traces.to_vec();
        let shared = self.0.shared.clone();
        let mut give_up = self.0.give_up.subscribe();
        let invocation = self.0.invocations.spawn(async move {
            let _hold = hold;
            tokio::select! {
                result = pool.invoke(&shared, payload, &traces) => result,
                // Dropping the invocation drops its process, which kills it.
                _ = give_up.wait_for(|give_up| *give_up) => Err(InvokeError::ShuttingDown),
            }
        });
        let result = invocation.await.unwrap_or(Err(InvokeError::ShuttingDown));
        if let Err(error) = &result {
            tracing::warn!(%function, %error, "an invocation failed");
        }
        result
    }

    /// The traces for which a process works, by its access key; none for any other key.
    #[must_use]
    pub fn traces_of(&self, access_key_id: &str) -> Vec<TraceId> {
        self.caller(access_key_id).map(|caller| caller.traces).unwrap_or_default()
    }

    /// The function that signs with this access key, and its traces.
    #[must_use]
    pub fn caller(&self, access_key_id: &str) -> Option<Caller> {
        let process = process::process_of(access_key_id)?;
        self.0.shared.callers().get(&process).cloned()
    }

    /// Whether a fault refuses an invocation.
    fn refuses(&self, function: &str, payload: &Bytes) -> bool {
        let faults = &self.0.shared.options.faults;
        if !faults.armed() {
            return false;
        }
        let text = vec![String::from_utf8_lossy(payload)];
        let site = Site { function: Some(function), service: None, operation: "Invoke", text };
        faults.strikes(Fault::FailInvoke, &site)
    }

    /// Kills the process that signs with this access key, as `kill -9` does, and waits until the system has reaped it.
    /// Its invocation fails at once, as in Lambda. Returns whether there was such a process.
    pub async fn kill(&self, access_key_id: &str) -> bool {
        let Some(number) = process::process_of(access_key_id) else { return false };
        let Some(switch) = self.0.shared.switches().get(&number).cloned() else { return false };
        switch.wanted.cancel();
        // The task that waits for an invocation kills its process; an idle process has no such task.
        match self.0.pools.values().find_map(|pool| pool.take_idle_process(number)) {
            Some(process) => process.kill().await,
            None => switch.done.cancelled().await,
        }
        true
    }

    /// Attributes requests signed by this process to a function, although none is started.
    #[cfg(test)]
    pub(crate) fn pretend(&self, process: u64, function: &str, traces: &[TraceId]) {
        self.0.shared.assign(process, function, traces);
    }

    /// The current source of the functions' code.
    #[must_use]
    pub fn source(&self) -> Source {
        self.0.shared.code.now().0
    }

    /// The source at the start of the twin.
    #[must_use]
    pub fn first_source(&self) -> Source {
        self.0.shared.code.first().clone()
    }

    /// How often the code has been exchanged.
    #[must_use]
    pub fn exchanged(&self) -> u64 {
        self.0.shared.code.number()
    }

    /// Replaces the functions' code, as a deployment does. The next invocation of each function runs the new code; a
    /// running invocation ends with the code with which it began.
    ///
    /// # Errors
    /// If a function has no code there; then nothing changes.
    pub async fn exchange(&self, source: Source) -> std::io::Result<()> {
        for pool in self.0.pools.values() {
            source.check(&pool.function)?;
        }
        self.0.shared.code.exchange(source);
        for pool in self.0.pools.values() {
            for process in pool.drain() {
                process.kill().await;
            }
        }
        Ok(())
    }

    /// The functions, by logical id.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.pools.keys().map(String::as_str)
    }

    /// The lines that the functions print from now on.
    #[must_use]
    pub fn logs(&self) -> broadcast::Receiver<LogLine> {
        self.0.shared.logs.subscribe()
    }

    /// Accepts no more invocations, waits at most this long for the running ones, then kills every process.
    pub async fn shutdown(&self, grace: Duration) {
        self.0.invocations.close();
        if tokio::time::timeout(grace, self.0.invocations.wait()).await.is_err() {
            self.0.give_up.send_replace(true);
            self.0.invocations.wait().await;
        }
        for pool in self.0.pools.values() {
            for process in pool.drain() {
                process.kill().await;
            }
        }
    }
}
