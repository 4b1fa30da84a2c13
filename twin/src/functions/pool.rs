//! The processes of one function: started on demand, reused, and ended when idle.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};

use super::process::Process;
use super::runtime_api::{Answer, Invocation, RESPONSE_LIMIT};
use super::{InvokeError, Shared};
use crate::ledger::TraceId;
use crate::template::Function;

/// How long to wait for an answer from a process that has already ended.
const LAST_WORDS: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Pool {
    pub(super) function: Function,
    permits: Semaphore,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// The process that was used last is at the end and is used next, so that the others can grow old.
    processes: Vec<Process>,
    reaping: bool,
}

/// The outcome of one invocation on one process.
enum End {
    /// The process answered, and can be used again.
    Answered(Answer),
    /// The process ended with this status; `taken` if it had taken the invocation.
    Exited { status: String, taken: bool },
    /// The process took too long and has to be killed.
    TimedOut { taken: bool },
}

impl Pool {
    pub(super) fn new(function: Function, default_limit: usize) -> Self {
        let limit = function.reserved_concurrency.map_or(default_limit, |limit| limit as usize);
        Self { function, permits: Semaphore::new(limit), idle: Mutex::default() }
    }

    /// Runs one invocation to its end.
    pub(super) async fn invoke(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        payload: Bytes,
        traces: &[TraceId],
    ) -> Result<Bytes, InvokeError> {
        let name = &self.function.logical_id;
        // A real Lambda would throttle at once, but a laptop has few cores, so the invocation waits a little.
        let permit = tokio::time::timeout(shared.options.queue_limit, self.permits.acquire()).await;
        let Ok(Ok(_permit)) = permit else { return Err(InvokeError::Throttled { function: name.clone() }) };
        let request_id = crate::ids::uuid();
        loop {
            let mut process = match self.take_idle(shared.code.number()) {
                Some(process) => process,
                None => self.start(shared).await?,
            };
            shared.assign(process.number, name, traces);
            let init = shared.options.init_limit;
            let end = self.run(&mut process, init, &request_id, &payload, traces).await;
            match end {
                End::Answered(answer) => return self.settle(shared, process, answer, &request_id).await,
                // The process died while idle, before it saw this invocation: another one can take it.
                End::Exited { taken: false, .. } if process.proven => {}
                End::Exited { status, .. } => {
                    let message = format!("RequestId: {request_id} Error: Runtime exited with error: {status}");
                    tracing::warn!(function = %name, process = process.number, %status, "the process ended");
                    return Err(InvokeError::failed(name, "Runtime.ExitError", &message));
                }
                End::TimedOut { taken } => {
                    tracing::warn!(function = %name, process = process.number, taken, "timed out and was killed");
                    let (function, timeout, is_new) = (name.clone(), self.function.timeout, !process.proven);
                    process.kill().await;
                    return Err(match is_new && !taken {
                        true => InvokeError::NotReady { function, init, timeout },
                        false => InvokeError::TimedOut { function, after: timeout },
                    });
                }
            }
        }
    }

    async fn start(&self, shared: &Arc<Shared>) -> Result<Process, InvokeError> {
        Process::start(&self.function, shared)
            .await
            .map_err(|source| InvokeError::Start { function: self.function.logical_id.clone(), source })
    }

    async fn run(
        &self,
        process: &mut Process,
        init: Duration,
        request_id: &str,
        payload: &Bytes,
        traces: &[TraceId],
    ) -> End {
        let wanted = process.kill_switch.wanted.clone();
        let (taken, mut was_taken) = oneshot::channel();
        let (answer, mut answered) = oneshot::channel();
        let timeout = self.function.timeout;
        process.api.offer(Invocation {
            request_id: request_id.to_owned(),
            arn: self.function.arn.clone(),
            trace: traces.first().cloned().unwrap_or_default().header(),
            payload: payload.clone(),
            timeout,
            taken,
            answer,
        });

        // The timeout begins when the process takes the invocation: the start is Lambda's init phase, with a separate
        // limit.
        tokio::select! {
            biased;
            Ok(()) = &mut was_taken => {}
            Ok(answer) = &mut answered => return End::Answered(answer),
            () = wanted.cancelled() => return End::Exited { status: put_down(process).await, taken: false },
            status = process.child.wait() => return match last_words(answered).await {
                Some(answer) => End::Answered(answer),
                None => End::Exited { status: describe(status), taken: was_taken.try_recv().is_ok() },
            },
            () = tokio::time::sleep(init + timeout) => return End::TimedOut { taken: false },
        }
        tokio::select! {
            biased;
            Ok(answer) = &mut answered => End::Answered(answer),
            () = wanted.cancelled() => End::Exited { status: put_down(process).await, taken: true },
            status = process.child.wait() => match last_words(answered).await {
                Some(answer) => End::Answered(answer),
                None => End::Exited { status: describe(status), taken: true },
            },
            () = tokio::time::sleep(timeout) => End::TimedOut { taken: true },
        }
    }

    async fn settle(
        self: &Arc<Self>,
        shared: &Shared,
        mut process: Process,
        answer: Answer,
        request_id: &str,
    ) -> Result<Bytes, InvokeError> {
        let name = &self.function.logical_id;
        match answer {
            Answer::Response(body) => {
                self.put_back(process, shared.options.idle_limit);
                Ok(body)
            }
            Answer::Error { error_type, payload } => {
                self.put_back(process, shared.options.idle_limit);
                Err(InvokeError::reported(name, error_type, payload))
            }
            Answer::TooLarge => {
                self.put_back(process, shared.options.idle_limit);
                let message =
                    format!("RequestId: {request_id} Error: Response payload size exceeded {RESPONSE_LIMIT} bytes");
                Err(InvokeError::failed(name, "Function.ResponseSizeTooLarge", &message))
            }
            Answer::InitError { error_type, payload } => {
                // The process reports this and then ends by itself; it is not reused in any case.
                let _ = process.child.start_kill();
                Err(InvokeError::reported(name, error_type, payload))
            }
        }
    }

    /// Takes an idle process of this code; those of other code are ended.
    fn take_idle(&self, code: u64) -> Option<Process> {
        let mut idle = self.idle();
        while let Some(mut process) = idle.processes.pop() {
            let is_wanted = process.code == code && !process.kill_switch.wanted.is_cancelled();
            if is_wanted && matches!(process.child.try_wait(), Ok(None)) {
                return Some(process);
            }
        }
        None
    }

    fn put_back(self: &Arc<Self>, mut process: Process, idle_limit: Duration) {
        process.proven = true;
        process.idle_since = Instant::now();
        let mut idle = self.idle();
        if process.kill_switch.wanted.is_cancelled() {
            return;
        }
        idle.processes.push(process);
        if !std::mem::replace(&mut idle.reaping, true) {
            tokio::spawn(reap(Arc::downgrade(self), idle_limit));
        }
    }

    /// Removes the process of this number, if it is idle.
    pub(super) fn take_idle_process(&self, number: u64) -> Option<Process> {
        let mut idle = self.idle();
        let place = idle.processes.iter().position(|process| process.number == number)?;
        Some(idle.processes.remove(place))
    }

    /// Removes the idle processes, to end them.
    pub(super) fn drain(&self) -> Vec<Process> {
        std::mem::take(&mut self.idle().processes)
    }

    /// Ends processes that have been idle for too long, and returns the time until the next check.
    fn reap_once(&self, idle_limit: Duration) -> Option<Duration> {
        let mut idle = self.idle();
        idle.processes.retain(|process| process.idle_since.elapsed() < idle_limit);
        let oldest = idle.processes.iter().map(|process| process.idle_since).min();
        idle.reaping = oldest.is_some();
        oldest.map(|since| idle_limit.saturating_sub(since.elapsed()))
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends idle processes as each grows too old; returns when none is left.
async fn reap(pool: Weak<Pool>, idle_limit: Duration) {
    let mut wait = idle_limit;
    loop {
        tokio::time::sleep(wait).await;
        let Some(next) = pool.upgrade().and_then(|pool| pool.reap_once(idle_limit)) else { return };
        wait = next;
    }
}

/// Kills a process, waits until the system has reaped it, and returns its status.
async fn put_down(process: &mut Process) -> String {
    let killed = process.child.start_kill();
    describe(match killed {
        Ok(()) => process.child.wait().await,
        Err(error) => Err(error),
    })
}

/// Waits briefly for an answer: one sent just before the process ended may still be in the socket.
async fn last_words(answered: oneshot::Receiver<Answer>) -> Option<Answer> {
    tokio::time::timeout(LAST_WORDS, answered).await.ok()?.ok()
}

fn describe(status: std::io::Result<std::process::ExitStatus>) -> String {
    match status {
        // "exit status: 101" and "signal: 9 (SIGKILL)"; Lambda writes them without the colon.
        Ok(status) => status.to_string().replacen(": ", " ", 1),
        Err(error) => error.to_string(),
    }
}
