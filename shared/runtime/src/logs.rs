//! Logs: one JSON object a line, as CloudWatch and people query them.

use tracing_subscriber::filter::LevelFilter;

use crate::config;

/// Starts logging at the level that the environment names, `info` where it names none.
pub fn init() {
    // A level and no directives: their parser is a regular-expression engine in every binary.
    let level = std::env::var(config::LOG).ok().and_then(|level| level.trim().parse().ok());
    // A second call, as in tests that share a process, keeps the first one's subscriber.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_current_span(false)
        .with_max_level(level.unwrap_or(LevelFilter::INFO))
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
