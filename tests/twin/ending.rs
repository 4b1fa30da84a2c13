//! The checks at the end of a world: no message is left in a dead-letter queue, and neither a function nor the twin has
//! logged an error, except for those that the test expects.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use sam_twin::functions::{Functions, LogLine};
use serde_json::Value;
use tokio::{
    runtime::{Handle, Id},
    sync::broadcast::error::RecvError,
    task::JoinHandle,
};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// Longest wait for the last lines of functions that have ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// The errors that a test expects at the end of its world, and the lines that its functions logged until then.
#[derive(Debug)]
pub(crate) struct Ending {
    expected: Mutex<Expected>,
    logged: Arc<Mutex<BTreeSet<String>>>,
    listening: JoinHandle<()>,
    guard: Guard,
}

#[derive(Debug, Default)]
struct Expected {
    errors: Vec<String>,
    tolerated: Vec<String>,
    dead_letters: Vec<String>,
}

impl Ending {
    /// Subscribes to the functions' logs and to the errors of the twin in this runtime.
    pub(crate) fn of(functions: &Functions) -> Self {
        TwinErrors::listen();
        let logged = Arc::new(Mutex::new(BTreeSet::new()));
        let (mut lines, found) = (functions.logs(), logged.clone());
        let listening = tokio::spawn(async move {
            loop {
                match lines.recv().await {
                    Ok(line) => found.lock().unwrap().extend(error_in(&line)),
                    Err(RecvError::Lagged(count)) => {
                        found.lock().unwrap().insert(format!("{count} lines of the functions were missed"));
                    }
                    Err(RecvError::Closed) => return,
                }
            }
        });
        Self { expected: Mutex::default(), logged, listening, guard: Guard { has_ended: false } }
    }

    /// Expects at least one error with this text.
    pub(crate) fn expect_errors(&self, text: &str) {
        self.expected.lock().unwrap().errors.push(text.to_owned());
    }

    /// Tolerates errors with this text, if there are any.
    pub(crate) fn tolerate_errors(&self, text: &str) {
        self.expected.lock().unwrap().tolerated.push(text.to_owned());
    }

    /// Expects at least one message in this dead-letter queue, by its logical id.
    pub(crate) fn expect_dead_letters(&self, queue: &str) {
        self.expected.lock().unwrap().dead_letters.push(queue.to_owned());
    }

    /// Checks the expectations after the twin has ended and all of it is dropped. `dead_letters` are the bodies in each
    /// non-empty dead-letter queue.
    pub(crate) async fn check(mut self, dead_letters: &BTreeMap<String, Vec<String>>) {
        self.guard.has_ended = true;
        let ended = tokio::time::timeout(PATIENCE, self.listening).await;
        ended.expect("the functions' output ends with the twin").unwrap();
        let mut logged = std::mem::take(&mut *self.logged.lock().unwrap());
        logged.extend(TwinErrors::take(Handle::current().id()));
        let expected = self.expected.lock().unwrap();
        let mut faults = String::new();
        let is_foreseen =
            |line: &String| expected.errors.iter().chain(&expected.tolerated).any(|text| line.contains(text));
        for line in logged.iter().filter(|line| !is_foreseen(line)) {
            writeln!(faults, "an error was logged: {line}").unwrap();
        }
        for text in expected.errors.iter().filter(|text| !logged.iter().any(|line| line.contains(*text))) {
            writeln!(faults, "no error was logged with {text:?}").unwrap();
        }
        for (queue, bodies) in dead_letters.iter().filter(|(queue, _)| !expected.dead_letters.contains(queue)) {
            writeln!(faults, "{queue} holds {bodies:#?}").unwrap();
        }
        for queue in expected.dead_letters.iter().filter(|queue| !dead_letters.contains_key(*queue)) {
            writeln!(faults, "{queue} holds nothing").unwrap();
        }
        assert!(faults.is_empty(), "{faults}");
    }
}

/// Fails a passing test that does not end its world: the checks would be skipped.
#[derive(Debug)]
struct Guard {
    has_ended: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        assert!(self.has_ended || std::thread::panicking(), "a world was dropped that `end()` did not end");
    }
}

/// A line that reports an error: one of this level, or one that is not from the logger, as that of a panic.
fn error_in(line: &LogLine) -> Option<String> {
    let is_error = match serde_json::from_str::<Value>(&line.text) {
        Ok(fields) => fields["level"] == "ERROR",
        Err(_) => !line.text.trim().is_empty(),
    };
    is_error.then(|| format!("{}: {}", line.function, line.text))
}

/// The errors that twins log in this process, by runtime: each test has one.
#[derive(Debug)]
struct TwinErrors;

static TWIN_ERRORS: Mutex<Vec<(Id, String)>> = Mutex::new(Vec::new());

impl TwinErrors {
    fn listen() {
        static LISTENING: OnceLock<()> = OnceLock::new();
        LISTENING.get_or_init(|| tracing::subscriber::set_global_default(Self).unwrap());
    }

    fn take(runtime: Id) -> Vec<String> {
        let mut errors = TWIN_ERRORS.lock().unwrap();
        errors.extract_if(.., |(id, _)| *id == runtime).map(|(_, line)| line).collect()
    }
}

impl Subscriber for TwinErrors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == Level::ERROR
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{}:", event.metadata().target()));
        event.record(&mut line);
        if let Ok(runtime) = Handle::try_current() {
            TWIN_ERRORS.lock().unwrap().push((runtime.id(), line.0));
        }
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}
