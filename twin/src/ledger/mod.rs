//! The cost of each message: the AWS requests of a trace, counted by service and operation.
//!
//! A trace begins with an event from outside (an HTTP request, a socket's message, a schedule's tick) and continues
//! through every queue and function that it triggers. A request that serves several traces at once, such as the
//! receipt of ten messages, counts as a share for each. When nothing of a trace is left running or waiting, it is
//! quiet, and the log has one line with its outcome and its cost, even if it cost nothing.

mod control;
mod cost;
#[cfg(test)]
mod tests;
mod trace_id;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::Notify;

pub(crate) use self::control::control;
pub use self::trace_id::TraceId;
use crate::service::Service;

/// How many traces are remembered; the oldest quiet ones are forgotten first.
const REMEMBERED: usize = 4096;

/// Counts the requests of every trace. A clone counts into the same ledger.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    book: Mutex<Book>,
    became_quiet: Notify,
}

#[derive(Debug, Default)]
struct Book {
    entries: HashMap<TraceId, Entry>,
    order: VecDeque<TraceId>,
    aliases: HashMap<String, TraceId>,
}

#[derive(Debug)]
struct Entry {
    origin: String,
    outcome: Option<String>,
    started: SystemTime,
    requests: BTreeMap<(Service, String), f64>,
    holds: usize,
    aliases: Vec<String>,
    name: Option<String>,
    /// Whether it has just begun, or has counted requests since its last line in the log.
    unlogged: bool,
}

/// The cost of a trace so far.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceSummary {
    /// Its id.
    pub trace_id: TraceId,
    /// The event that began it: `POST /v1/messages`, a route key, a schedule's name.
    pub origin: String,
    /// The answer to the caller, once there is one.
    pub outcome: Option<String>,
    /// When it began, in milliseconds since 1970.
    pub started_at: u64,
    /// Whether nothing of it is running or waiting.
    pub quiet: bool,
    /// The requests by service and operation.
    pub requests: Vec<RequestCount>,
    /// The requests as one readable line.
    pub cost: String,
}

/// The number of requests of one operation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RequestCount {
    /// The service.
    pub service: Service,
    /// The operation, `PutItem`.
    pub operation: String,
    /// The requests; a request shared by several traces counts as a part.
    pub count: f64,
}

impl TraceSummary {
    /// The requests to one service whose operation is one of these; all requests to it if none is named.
    #[must_use]
    pub fn count(&self, service: Service, operations: &[&str]) -> f64 {
        self.requests
            .iter()
            .filter(|request| request.service == service)
            .filter(|request| operations.is_empty() || operations.contains(&request.operation.as_str()))
            .map(|request| request.count)
            .sum()
    }
}

/// Keeps traces from becoming quiet until it is dropped: held while an invocation runs or a message waits.
#[derive(Debug)]
pub struct Hold {
    ledger: Ledger,
    traces: Vec<TraceId>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.ledger.release(&self.traces);
    }
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a trace for an event from outside. `origin` describes it for a reader: method and path, or a route.
    #[must_use]
    pub fn begin(&self, origin: &str) -> TraceId {
        let trace = TraceId::new();
        // One line, even if it costs nothing.
        self.book().entry(&trace, origin).unlogged = true;
        trace
    }

    /// Records a trace that began elsewhere: with a header of the client, or before a restart.
    pub fn adopt(&self, trace: &TraceId, origin: &str) {
        self.book().entry(trace, origin);
    }

    /// Keeps these traces from becoming quiet until the hold is dropped.
    #[must_use]
    pub fn hold(&self, traces: &[TraceId]) -> Hold {
        let mut book = self.book();
        for trace in traces {
            book.entry(trace, "").holds += 1;
        }
        drop(book);
        Hold { ledger: self.clone(), traces: traces.to_vec() }
    }

    /// Counts one request; each of the traces bears an equal share. A trace that is named twice bears two.
    pub fn record(&self, traces: &[TraceId], service: Service, operation: &str) {
        let share = 1.0 / traces.len().max(1) as f64;
        let mut book = self.book();
        for trace in traces {
            let entry = book.entry(trace, "");
            *entry.requests.entry((service, operation.to_owned())).or_default() += share;
            entry.unlogged = true;
        }
    }

    /// Records the answer to the caller, `202`.
    pub fn outcome(&self, trace: &TraceId, outcome: &str) {
        if let Some(entry) = self.book().entries.get_mut(trace) {
            entry.outcome = Some(outcome.to_owned());
        }
    }

    /// Gives a trace another id, such as that of a message. The first trace keeps the id: a message's trace is that of
    /// its sending, not of a later query.
    pub fn alias(&self, trace: &TraceId, alias: &str) {
        let mut book = self.book();
        if !book.aliases.contains_key(alias) {
            book.aliases.insert(alias.to_owned(), trace.clone());
            book.entry(trace, "").aliases.push(alias.to_owned());
        }
    }

    /// Gives a trace the id by which its caller knows it: an alias that also names it in the log.
    pub fn name(&self, trace: &TraceId, name: &str) {
        self.alias(trace, name);
        if let Some(entry) = self.book().entries.get_mut(trace) {
            entry.name = Some(name.to_owned());
        }
    }

    /// The cost of a trace, by its id or an alias of it.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<TraceSummary> {
        let book = self.book();
        let trace = TraceId::parse(id).or_else(|| book.aliases.get(id).cloned())?;
        book.entries.get(&trace).map(|entry| entry.summary(&trace))
    }

    /// The latest traces, newest first.
    #[must_use]
    pub fn recent(&self, limit: usize) -> Vec<TraceSummary> {
        let book = self.book();
        let entries = book.order.iter().rev().filter_map(|trace| Some((trace, book.entries.get(trace)?)));
        entries.take(limit).map(|(trace, entry)| entry.summary(trace)).collect()
    }

    /// Waits until nothing of the trace is running or waiting, and returns its cost; at once if it is unknown.
    pub async fn settled(&self, trace: &TraceId) -> Option<TraceSummary> {
        loop {
            let became_quiet = self.0.became_quiet.notified();
            tokio::pin!(became_quiet);
            // Registered before the check, so that a release in between is not missed.
            became_quiet.as_mut().enable();
            match self.find(trace.as_str()) {
                Some(summary) if !summary.quiet => became_quiet.await,
                settled_or_unknown => return settled_or_unknown,
            }
        }
    }

    fn release(&self, traces: &[TraceId]) {
        let mut book = self.book();
        for trace in traces {
            let Some(entry) = book.entries.get_mut(trace) else { continue };
            entry.holds = entry.holds.saturating_sub(1);
            if entry.holds == 0 && std::mem::take(&mut entry.unlogged) {
                let outcome = entry.outcome.as_deref().unwrap_or_default();
                let id = entry.name.as_deref().unwrap_or(trace.as_str());
                let (line, cost) = (format!("{} {outcome}", entry.origin), cost::line(&entry.requests));
                let line = format!("{}  {cost}", line.trim_end());
                tracing::info!(target: "twin::trace", id, "{}", line.trim_end());
            }
        }
        drop(book);
        self.0.became_quiet.notify_waiters();
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Counts stay meaningful even if a thread died while counting.
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn entry(&mut self, trace: &TraceId, origin: &str) -> &mut Entry {
        if !self.entries.contains_key(trace) {
            self.order.push_back(trace.clone());
            self.forget();
        }
        let entry = self.entries.entry(trace.clone()).or_insert_with(|| Entry {
            origin: String::new(),
            outcome: None,
            started: SystemTime::now(),
            requests: BTreeMap::new(),
            holds: 0,
            aliases: Vec::new(),
            name: None,
            unlogged: false,
        });
        if entry.origin.is_empty() {
            entry.origin = origin.chars().take(200).collect();
        }
        entry
    }

    fn forget(&mut self) {
        // Bounded: a trace that is not quiet moves to the young end, at most once around.
        for _ in 0..self.order.len().saturating_sub(REMEMBERED) {
            let Some(trace) = self.order.pop_front() else { return };
            match self.entries.get(&trace) {
                Some(entry) if entry.holds > 0 => self.order.push_back(trace),
                _ => {
                    for alias in self.entries.remove(&trace).map(|entry| entry.aliases).unwrap_or_default() {
                        self.aliases.remove(&alias);
                    }
                }
            }
        }
    }
}

impl Entry {
    fn summary(&self, trace: &TraceId) -> TraceSummary {
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        TraceSummary {
            trace_id: trace.clone(),
            origin: self.origin.clone(),
            outcome: self.outcome.clone(),
            started_at: u64::try_from(started).unwrap_or(u64::MAX),
            quiet: self.holds == 0,
            requests: self
                .requests
                .iter()
                .map(|((service, operation), count)| RequestCount {
                    service: *service,
                    operation: operation.clone(),
                    count: *count,
                })
                .collect(),
            cost: cost::line(&self.requests),
        }
    }
}
