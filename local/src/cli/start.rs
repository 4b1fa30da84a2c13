//! Starting the twin with what the command line says of it.

use std::path::PathBuf;

use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;

use super::failure::Failure;
use super::style::{self, Style};
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

/// Prints what the functions log, for as long as the twin runs.
pub(crate) fn print_logs(twin: &Twin) {
    let mut logs = twin.functions().logs();
    let style = Style::of_stderr();
    tokio::spawn(async move {
        loop {
            match logs.recv().await {
                Ok(line) => eprintln!("{}", told(&line, style)),
                Err(RecvError::Lagged(lines)) => eprintln!("({lines} lines of the functions were too fast to show)"),
                Err(RecvError::Closed) => return,
            }
        }
    });
}

/// One line of a function. Those in JSON, as CloudWatch queries them, are put into words.
fn told(line: &LogLine, style: Style) -> String {
    let name = line.function.trim_end_matches("Function").to_lowercase();
    let function = format!("{} {}", style.faint(&style::clock()), style.faint(&format!("{name:>10}")));
    let Ok(Value::Object(mut fields)) = serde_json::from_str(&line.text) else {
        return format!("{function}  {}", line.text);
    };
    let mut take = |name| match fields.remove(name) {
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let (level, message) = (take("level"), take("message"));
    // Told otherwise, or for machines: the trace line names the request, and its spans repeat it.
    for told in ["timestamp", "spans", "xrayTraceId", "requestId"] {
        take(told);
    }
    let level = match level.as_str() {
        "ERROR" => style.bad("error "),
        "WARN" => style.bad("warn "),
        "INFO" | "" => String::new(),
        other => format!("{} ", other.to_lowercase()),
    };
    let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    format!("{function}  {level}{message}{}", style.faint(&fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_plainly(text: &str) -> String {
        let line = LogLine { function: "SendFunction".into(), process: 1, text: text.to_owned() };
        let told = told(&line, Style::plain());
        let (_clock, told) = told.split_once(' ').unwrap();
        told.trim_start().to_owned()
    }

    #[test]
    fn json_is_put_into_words_and_the_rest_left_alone() {
        let json = r#"{"timestamp":"2026","level":"WARN","message":"stored twice","id":"m-1","n":2,"spans":[]}"#;
        assert_eq!(told_plainly(json), r#"send  warn stored twice id="m-1" n=2"#);
        assert_eq!(told_plainly("thread panicked"), "send  thread panicked");
    }

    #[test]
    fn parameters_have_a_name() {
        assert_eq!(parameter("A=b=c").unwrap(), ("A".to_owned(), "b=c".to_owned()));
        assert!(parameter("A").is_err());
    }
}
