//! The output of a command: complete or with an error, and without any sequence that commands the terminal.
//!
//! `println!` panics when its reader is gone or its disk is full. The functions of this module do not: a command ends
//! quietly when its reader is gone, as `cat` does, and with an error if its output cannot be written. Crates that use
//! this module deny the lints `print_stdout` and `print_stderr`.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Command, FromArgMatches};
use serde::Serialize;

use super::failure::Failure;
use super::style::{SEQUENCES, escaped, is_harmful};

/// The exit status of a command whose reader is gone: that of a program which SIGPIPE has ended.
const READER_GONE: u8 = 141;

/// Prints a line.
///
/// # Errors
/// If standard output cannot be written.
pub fn line(text: impl Display) -> Result<(), Failure> {
    print(format_args!("{text}\n"))
}

/// Prints a text of whole lines.
///
/// # Errors
/// If standard output cannot be written.
pub fn print(text: impl Display) -> Result<(), Failure> {
    write(&mut io::stdout().lock(), &shown(&text.to_string()))
}

/// Prints one line of JSON.
///
/// # Errors
/// If standard output cannot be written.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    write(&mut io::stdout().lock(), &escape_harmful(&format!("{}\n", serde_json::to_string(value)?)))
}

/// Prints JSON for a reader.
///
/// # Errors
/// If standard output cannot be written.
pub fn pretty_json(value: &impl Serialize) -> Result<(), Failure> {
    write(&mut io::stdout().lock(), &escape_harmful(&format!("{}\n", serde_json::to_string_pretty(value)?)))
}

/// Prints a line about the work on standard error. If that cannot be written, there is nowhere to report it.
pub fn note(text: impl Display) {
    let _ = write(&mut io::stderr().lock(), &shown(&format!("{text}\n")));
}

/// Prints a line about the work on standard error, in place of the line before.
pub fn progress(text: impl Display) {
    let _ = write(&mut io::stderr().lock(), &format!("\r{}   ", shown(&text.to_string())));
}

/// Parses the arguments of this program.
///
/// # Errors
/// The exit status, if the arguments are wrong or ask for help.
pub fn arguments<A: FromArgMatches>(command: Command) -> Result<A, ExitCode> {
    let print = |error: &clap::Error| {
        let plain = error.render().to_string();
        // The message quotes the arguments, which may hold any character.
        if plain.contains(|c| c != '\n' && is_harmful(c)) {
            return io::stderr().write_all(shown(&plain).as_bytes());
        }
        error.print()?;
        io::stdout().flush()
    };
    let program = command.get_name().to_owned();
    let parsed = command.try_get_matches().and_then(|matches| A::from_arg_matches(&matches));
    parsed.map_err(|error| match print(&error) {
        Ok(()) => u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(unwritten) => exit_code(Err(failure(unwritten)), &program),
    })
}

/// Reports a failure, and returns the exit status of the command.
#[must_use]
pub fn exit_code(ended: Result<(), Failure>, program: &str) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_reader_gone() => ExitCode::from(READER_GONE),
        Err(failure) => {
            note(failure.report(program));
            ExitCode::FAILURE
        }
    }
}

fn write(to: &mut impl Write, text: &str) -> Result<(), Failure> {
    to.write_all(text.as_bytes()).and_then(|()| to.flush()).map_err(failure)
}

fn failure(error: io::Error) -> Failure {
    let is_reader_gone = error.kind() == io::ErrorKind::BrokenPipe;
    let failure = Failure::new("write the output").because(error);
    if is_reader_gone { failure.with_reader_gone() } else { failure }
}

/// The text with its lines and styles, and every other sequence escaped that a terminal would obey. Foreign text has
/// already gone through [`printable`](super::style::printable); this is the second line of defence.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let sequence = SEQUENCES.iter().find(|sequence| rest.starts_with(**sequence));
        let taken = sequence.map_or(c.len_utf8(), |sequence| sequence.len());
        match sequence {
            Some(sequence) => shown.push_str(sequence),
            None if c == '\n' || !is_harmful(c) => shown.push(c),
            None => shown.push_str(&escaped(c)),
        }
        rest = &rest[taken..];
    }
    shown
}

/// Escapes harmful characters in JSON, which keeps its value. The serializer escapes only the control characters of
/// ASCII.
fn escape_harmful(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || !is_harmful(c) {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::style::Style;

    /// A standard output that fails.
    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A writer that accepts everything and fails at the flush, like a full disk.
    struct Full;

    impl Write for Full {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn a_reader_that_is_gone_ends_quietly_and_a_full_disk_with_an_error() {
        assert!(write(&mut Failing(io::ErrorKind::BrokenPipe), "x").unwrap_err().is_reader_gone());
        for failure in
            [write(&mut Failing(io::ErrorKind::StorageFull), "x").unwrap_err(), write(&mut Full, "x").unwrap_err()]
        {
            assert!(!failure.is_reader_gone());
            assert!(failure.report("program").starts_with("program: write the output: "), "{failure:?}");
        }
    }

    #[test]
    fn nothing_commands_the_terminal_but_the_styles_of_the_program() {
        let style = Style::coloured();
        let text = format!("{} and \u{1b}[2J\u{9b}31m\r\u{202e}abc\u{2066}\n", style.bold("x\u{1b}[0my"));
        let expected = "\u{1b}[1mx\\u{1b}[0my\u{1b}[0m and \\u{1b}[2J\\u{9b}31m\\r\\u{202e}abc\\u{2066}\n";
        assert_eq!(shown(&text), expected);
    }

    #[test]
    fn json_keeps_its_value() {
        let value = serde_json::json!({"a": "\u{1b}\u{7f}\u{9b}\u{202e}\u{2028}é你👨‍👩‍👧"});
        let text = escape_harmful(&value.to_string());
        assert_eq!(text, r#"{"a":"\u001b\u007f\u009b\u202e\u2028é你👨‍👩‍👧"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
