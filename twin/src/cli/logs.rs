//! What a terminal shows of the twin's log and of its functions'.

use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tracing::Level;
use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use super::style;
use crate::functions::LogLine;
use crate::stack::Twin;

/// Logs for a reader, on standard error. `filter` as in `info`, `warn,twin=debug`.
///
/// # Errors
/// If it is no filter.
pub fn log(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| Failure::new(format!("--log {filter:?}")).because(error).hint("try --log debug"))?;
    // A second call in one process keeps the first one's subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_timer(style::Clock)
        .with_ansi(style::colours(&std::io::stderr()))
        // A line that cannot be written would be reported where it cannot be written, either, and that panics.
        .log_internal_errors(false)
        .try_init();
    Ok(())
}

/// Logs what the functions log, for as long as the twin runs: one stream, one filter.
pub fn show_functions(twin: &Twin) {
    let mut logs = twin.functions().logs();
    tokio::spawn(async move {
        loop {
            match logs.recv().await {
                Ok(line) => show(&line),
                Err(RecvError::Lagged(lines)) => tracing::warn!(lines, "the functions were too fast to show"),
                Err(RecvError::Closed) => return,
            }
        }
    });
}

fn show(line: &LogLine) {
    let (level, text) = in_words(line);
    let text = style::printable(&text);
    match level {
        Level::ERROR => tracing::error!(target: "twin::function", "{text}"),
        Level::WARN => tracing::warn!(target: "twin::function", "{text}"),
        Level::INFO => tracing::info!(target: "twin::function", "{text}"),
        Level::DEBUG => tracing::debug!(target: "twin::function", "{text}"),
        _ => tracing::trace!(target: "twin::function", "{text}"),
    }
}

/// One line of a function, with its level. Those in JSON, as CloudWatch queries them, are put into words.
fn in_words(line: &LogLine) -> (Level, String) {
    let function = line.function.trim_end_matches("Function").to_lowercase();
    let Ok(Value::Object(mut fields)) = serde_json::from_str(&line.text) else {
        // Not from the logger: a panic, or the runtime's complaint.
        return (Level::WARN, format!("{function:>10}  {}", line.text));
    };
    let mut take = |name| match fields.remove(name) {
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let level = take("level").parse().unwrap_or(Level::INFO);
    let message = take("message");
    // Told otherwise, or for machines: the trace line names the request, and its spans repeat it.
    for told in ["timestamp", "spans", "xrayTraceId", "requestId"] {
        take(told);
    }
    let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    (level, format!("{function:>10}  {message}{fields}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_put_into_words_and_the_rest_left_alone() {
        let told =
            |text: &str| in_words(&LogLine { function: "SendFunction".into(), process: 1, text: text.to_owned() });
        let json = r#"{"timestamp":"2026","level":"DEBUG","message":"stored","id":"m-1","n":2,"spans":[]}"#;
        assert_eq!(told(json), (Level::DEBUG, r#"      send  stored id="m-1" n=2"#.to_owned()));
        assert_eq!(told("thread panicked"), (Level::WARN, "      send  thread panicked".to_owned()));
    }
}
