//! Colours, for a terminal that wants them.

use std::io::IsTerminal;

use time::OffsetDateTime;
use time::macros::format_description;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Whether to colour the output to `stream`: if it is a terminal, without `NO_COLOR` (<https://no-color.org>).
pub fn colours(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The sequences that [`Style`] writes.
pub(super) const SEQUENCES: [&str; 5] = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m"];

/// The colours of standard output. Styled text is a single line, and goes through [`printable`].
#[derive(Debug, Clone, Copy)]
pub struct Style {
    colours: bool,
}

impl Style {
    /// With colours if standard output is a terminal that wants them.
    #[must_use]
    pub fn of_stdout() -> Self {
        Self { colours: colours(&std::io::stdout()) }
    }

    /// Without colours.
    #[must_use]
    pub fn plain() -> Self {
        Self { colours: false }
    }

    /// With colours, whatever standard output is.
    #[cfg(test)]
    pub(super) fn coloured() -> Self {
        Self { colours: true }
    }

    fn paint(self, code: &str, text: &str) -> String {
        let text = printable(text);
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
    }

    /// Green.
    #[must_use]
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Red.
    #[must_use]
    pub fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// Bold.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Faint.
    #[must_use]
    pub fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }
}

/// The time of day to the millisecond, UTC.
pub fn clock() -> String {
    let form = format_description!("[hour]:[minute]:[second].[subsecond digits:3]");
    OffsetDateTime::now_utc().format(form).unwrap_or_default()
}

/// The same clock for the twin's own log lines.
#[derive(Debug, Clone, Copy)]
pub struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        writer.write_str(&clock())
    }
}

/// A foreign text in one line. Names, messages and errors may hold characters that command this terminal or reorder its
/// text. These are escaped as in Rust, and all others stay.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { escaped(c) } else { c.to_string() }).collect()
}

pub(super) fn escaped(c: char) -> String {
    match c {
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        c => c.escape_unicode().to_string(),
    }
}

/// Whether a terminal obeys this character instead of showing it: a control character, a separator of lines or
/// paragraphs, or one that changes the order of the text (UAX #9).
pub(super) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_escaped_and_what_is_text_is_not() {
        assert_eq!(printable("\u{1b}]0;x\u{7}\u{9b}2J\n\r\t\0"), "\\u{1b}]0;x\\u{7}\\u{9b}2J\\n\\r\\t\\u{0}");
        assert_eq!(printable("gpj\u{202e}.exe\u{2069}\u{200f}\u{61c}"), "gpj\\u{202e}.exe\\u{2069}\\u{200f}\\u{61c}");
        assert_eq!(printable("one\u{2028}two"), "one\\u{2028}two");
        for text in ["Zoë", "张伟", "👨‍👩‍👧 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "مرحبا", "a\\b 'c' \"d\""]
        {
            assert_eq!(printable(text), text);
        }
    }

    #[test]
    fn what_is_styled_cannot_end_its_style() {
        assert_eq!(Style::coloured().bold("a\u{1b}[0m\nb"), "\u{1b}[1ma\\u{1b}[0m\\nb\u{1b}[0m");
        assert_eq!(Style::plain().faint("a\u{1b}[0m"), "a\\u{1b}[0m");
    }
}
