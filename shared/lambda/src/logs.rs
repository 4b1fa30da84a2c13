//! Logs: one JSON object a line, for CloudWatch queries and for people.

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::config;

/// Starts logging at the level that the environment names, `info` by default. Third-party crates log from `warn`
/// upwards at most: below, they print whole requests with private content.
pub fn init() {
    let level = std::env::var(config::LOG).ok().and_then(|level| level.trim().parse().ok());
    let level = level.unwrap_or(LevelFilter::INFO);
    // No directive parser: it would bring a regular-expression engine into every binary.
    let filter = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("tidings", level);
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false).with_current_span(false);
    // A second call, as in tests that share a process, keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(lines.with_span_list(false)).with(filter).try_init();
}

/// An error and its chain of sources, in one line.
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
