//! Logs: one JSON object a line, as CloudWatch and people query them.

use tracing_subscriber::EnvFilter;

use crate::config;

/// Starts logging at the level that the environment names, `info` where it names none.
pub fn init() {
    let level = std::env::var(config::LOG).unwrap_or_default();
    let filter = EnvFilter::try_new(level.trim()).ok().filter(|_| !level.trim().is_empty());
    // A second call, as in tests that share a process, keeps the first one's subscriber.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_current_span(false)
        .with_env_filter(filter.unwrap_or_else(|| EnvFilter::new("info")))
        .try_init();
}

/// An error and everything behind it, in one line.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
