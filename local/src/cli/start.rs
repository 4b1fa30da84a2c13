//! Starting the twin with what the command line says of it.

use std::path::PathBuf;

use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tracing::Level;

use super::failure::Failure;
use crate::functions::{LogLine, Source};
use crate::stack::{Twin, TwinOptions};

/// What to run, and where its code comes from.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TwinArgs {
    /// The SAM template to serve
    #[arg(long, value_name = "FILE", default_value = "template.yaml", help_heading = "Twin")]
    template: PathBuf,
    /// Run the functions from a folder that `cargo lambda build` or `sam build` made [default: this program itself]
    #[arg(long, value_name = "DIR", help_heading = "Twin")]
    artefacts: Option<PathBuf>,
    /// A parameter of the template, for example EmailFrom=me@example.com; repeatable
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter, help_heading = "Twin")]
    parameters: Vec<(String, String)>,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl TwinArgs {
    /// Options on free ports, in memory.
    pub(crate) fn options(self) -> Result<TwinOptions, Failure> {
        if !self.template.is_file() {
            return Err(Failure::new(format!("there is no template {}", self.template.display()))
                .hint("run this in the folder of the template, or give --template FILE"));
        }
        let source = match self.artefacts {
            Some(folder) if !folder.is_dir() => {
                return Err(Failure::new(format!("there is no folder {}", folder.display()))
                    .hint("`cargo lambda build --release` makes target/lambda"));
            }
            Some(folder) => Source::Artefacts(folder),
            None => Source::this_program()?,
        };
        Ok(TwinOptions { parameters: self.parameters.into_iter().collect(), ..TwinOptions::new(self.template, source) })
    }
}

/// The table of apps, as the template names it in its outputs.
pub(crate) fn directory_table(twin: &Twin) -> Result<String, Failure> {
    twin.outputs().get("DirectoryTableName").cloned().ok_or_else(|| {
        Failure::new("the template has no output DirectoryTableName").hint("it names the table that holds the apps")
    })
}

/// What the names of the secrets begin with by which apps push, as the template tells its functions.
pub(crate) fn provider_secrets(twin: &Twin) -> Option<String> {
    let mut functions = twin.template().functions.values();
    functions.find_map(|function| function.environment.get("TIDINGS_PROVIDER_SECRETS")).cloned()
}

/// Logs what the functions log, for as long as the twin runs: one stream, one filter.
pub(crate) fn show_logs(twin: &Twin) {
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
    let (level, text) = told(line);
    match level {
        Level::ERROR => tracing::error!(target: "tidings::function", "{text}"),
        Level::WARN => tracing::warn!(target: "tidings::function", "{text}"),
        Level::INFO => tracing::info!(target: "tidings::function", "{text}"),
        Level::DEBUG => tracing::debug!(target: "tidings::function", "{text}"),
        _ => tracing::trace!(target: "tidings::function", "{text}"),
    }
}

/// One line of a function, with its level. Those in JSON, as CloudWatch queries them, are put into words.
fn told(line: &LogLine) -> (Level, String) {
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
        let told = |text: &str| told(&LogLine { function: "SendFunction".into(), process: 1, text: text.to_owned() });
        let json = r#"{"timestamp":"2026","level":"DEBUG","message":"stored","id":"m-1","n":2,"spans":[]}"#;
        assert_eq!(told(json), (Level::DEBUG, r#"      send  stored id="m-1" n=2"#.to_owned()));
        assert_eq!(told("thread panicked"), (Level::WARN, "      send  thread panicked".to_owned()));
    }

    #[test]
    fn parameters_have_a_name() {
        assert_eq!(parameter("A=b=c").unwrap(), ("A".to_owned(), "b=c".to_owned()));
        assert!(parameter("A").is_err());
    }
}
