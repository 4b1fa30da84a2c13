//! The message of a command that failed, as the terminal shows it.

use std::error::Error;
use std::fmt::Write as _;

use super::style::printable;

/// A failed command: the attempt, its cause, and a hint.
#[derive(Debug)]
pub struct Failure {
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    hint: Option<String>,
    is_reader_gone: bool,
}

impl Failure {
    /// A failure of the attempt `what`.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None, hint: None, is_reader_gone: false }
    }

    /// Marks the failure as caused by a reader of the output that is gone: it is not reported.
    pub(super) fn with_reader_gone(mut self) -> Self {
        self.is_reader_gone = true;
        self
    }

    /// Whether the command ended because the reader of its output is gone.
    #[must_use]
    pub fn is_reader_gone(&self) -> bool {
        self.is_reader_gone
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The attempt with every cause behind it, in one line.
    pub fn reason(&self) -> String {
        let mut reason = self.what.clone();
        let mut cause = self.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = cause {
            let text = error.to_string();
            // Some errors repeat their source in their text.
            if !reason.ends_with(&text) {
                let _ = write!(reason, ": {text}");
            }
            cause = error.source();
        }
        reason
    }

    /// The reason and the hint, as `program` prints them. The hint is the program's own text; the reason may contain
    /// foreign text, so it is escaped.
    #[must_use]
    pub fn report(&self, program: &str) -> String {
        let hint = self.hint.as_ref().map(|hint| format!("\n  {hint}")).unwrap_or_default();
        format!("{program}: {}{hint}", printable(&self.reason()))
    }
}

/// Any error can end a command; [`Context`] adds the attempt to those that do not name it.
impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let what = error.to_string();
        Self { source: Some(Box::new(error)), ..Self::new(what) }
    }
}

/// Adds the attempt to an error.
pub trait Context<T> {
    /// The same result, whose error begins with the attempt.
    ///
    /// # Errors
    /// That of the result.
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(what()).because(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_every_cause_once_and_the_hint_last() {
        let io = std::io::Error::other("refused");
        let failure = Failure::from(io).hint("is it running?");
        assert_eq!(failure.report("program"), "program: refused\n  is it running?");
        let failure = Failure::new("reach it").because(std::io::Error::other("refused"));
        assert_eq!(failure.reason(), "reach it: refused");
    }

    #[test]
    fn the_words_of_others_stay_in_their_line() {
        let failure = Failure::new("refused: \u{1b}[2Jalias\n  run this").hint("one\n  two");
        assert_eq!(failure.report("program"), "program: refused: \\u{1b}[2Jalias\\n  run this\n  one\n  two");
    }
}
