//! The logs of the twin and of its functions, as the terminal shows them.

use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tracing::Level;
use tracing_subscriber::EnvFilter;

use super::failure::Failure;
use super::style;
use crate::functions::{LogLine, Stream};
use crate::stack::Twin;

/// Sets up the log on standard error. `filter` is as in `info`, `warn,twin=debug`.
///
/// # Errors
/// If the filter is invalid.
pub fn log(filter: &str) -> Result<(), Failure> {
    if let Some(word) = unknown_level(filter) {
        return Err(Failure::new(format!("--log {filter:?}: there is no level {word:?}")).hint(
            "levels are off, error, warn, info, debug and trace; sam_twin=debug sets that of one part of the twin",
        ));
    }
    let filter = EnvFilter::try_new(without_answers(filter))
        .map_err(|error| Failure::new(format!("--log {filter:?}")).because(error).hint("try --log debug"))?;
    // A second call in one process keeps the first one's subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_timer(style::Clock)
        .with_ansi(style::colours(&std::io::stderr()))
        // Otherwise a line that cannot be written is reported on standard error, which fails, too, and panics.
        .log_internal_errors(false)
        .try_init();
    Ok(())
}

/// The filter without the warnings about requests that DynamoDB refuses, such as a condition that does not hold. Each
/// of them is an ordinary answer, and its caller decides whether it is an error. From `debug` on they are logged.
fn without_answers(filter: &str) -> String {
    let level = filter.split(',').filter_map(|word| word.trim().parse::<Level>().ok()).max();
    let has_warnings = matches!(level, Some(Level::WARN | Level::INFO)) && !filter.contains("dynoxide");
    if has_warnings { format!("dynoxide::server=error,{filter}") } else { filter.to_owned() }
}

/// The word of a filter that stands in place of a level but is not one. `EnvFilter` would take it for the name of a
/// target, and log nothing else.
fn unknown_level(filter: &str) -> Option<&str> {
    let is_plain = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let mut words = filter.split(',').map(str::trim).filter(is_plain);
    words.find(|word| !word.eq_ignore_ascii_case("off") && word.parse::<Level>().is_err())
}

/// Logs what the functions log, for as long as the twin runs: one stream, one filter.
pub fn show_functions(twin: &Twin) {
    let mut logs = twin.functions().logs();
    tokio::spawn(async move {
        loop {
            match logs.recv().await {
                Ok(line) => show(&line),
                Err(RecvError::Lagged(lines)) => tracing::warn!(lines, "dropped lines: the functions log too fast"),
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

/// One log line of a function, with its level. A line in JSON, as CloudWatch queries them, becomes plain text.
fn in_words(line: &LogLine) -> (Level, String) {
    let function = line.function.trim_end_matches("Function").to_lowercase();
    let Ok(Value::Object(mut fields)) = serde_json::from_str(&line.text) else {
        // Not from a logger: a plain print, or, on standard error, a panic or an error of the runtime.
        let level = match line.stream {
            Stream::Stdout => Level::INFO,
            Stream::Stderr => Level::WARN,
        };
        return (level, format!("{function:>10}  {}", line.text));
    };
    let mut take = |name| match fields.remove(name) {
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let level = take("level").parse().unwrap_or(Level::INFO);
    let message = take("message");
    // Shown elsewhere, or of use to machines only: the trace line names the request, and the spans repeat it.
    for omitted in ["timestamp", "spans", "xrayTraceId", "requestId"] {
        take(omitted);
    }
    let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    (level, format!("{function:>10}  {message}{fields}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_dynamodb_refuses_is_no_warning() {
        let is_logged = |filter: &str| {
            let filter = EnvFilter::try_new(without_answers(filter)).unwrap();
            let subscriber = tracing_subscriber::fmt().with_env_filter(filter).finish();
            tracing::subscriber::with_default(subscriber, || {
                let answers = tracing::enabled!(target: "dynoxide::server", Level::WARN);
                (answers, tracing::enabled!(target: "sam_twin::gateway", Level::WARN))
            })
        };
        for filter in ["info", "warn", "INFO", "warn,sam_twin=info"] {
            assert_eq!(is_logged(filter), (false, true), "{filter}");
        }
        for filter in ["debug", "trace", "warn,dynoxide=warn"] {
            assert_eq!(is_logged(filter), (true, true), "{filter}");
        }
        for filter in ["error", "off", ""] {
            assert_eq!(is_logged(filter), (false, false), "{filter}");
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for filter in ["info", "WARN", "off", "warn,sam_twin=debug", "sam_twin[span]=info", "3", ""] {
            assert_eq!(unknown_level(filter), None, "{filter}");
        }
        for (filter, word) in [("foo", "foo"), ("warn,dbug", "dbug"), ("info, sam_twin", "sam_twin")] {
            assert_eq!(unknown_level(filter), Some(word));
            assert!(log(filter).is_err());
        }
    }

    #[test]
    fn json_is_put_into_words_and_the_rest_left_alone() {
        let printed = |stream, text: &str| {
            in_words(&LogLine { function: "SendFunction".into(), process: 1, stream, text: text.to_owned() })
        };
        let logged = |text: &str| printed(Stream::Stderr, text);
        let json = r#"{"timestamp":"2026","level":"DEBUG","message":"stored","id":"m-1","n":2,"spans":[]}"#;
        assert_eq!(logged(json), (Level::DEBUG, r#"      send  stored id="m-1" n=2"#.to_owned()));
        assert_eq!(logged("thread panicked"), (Level::WARN, "      send  thread panicked".to_owned()));
        assert_eq!(printed(Stream::Stdout, "hello"), (Level::INFO, "      send  hello".to_owned()));
    }
}
