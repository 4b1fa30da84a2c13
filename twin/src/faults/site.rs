//! The calls that a fault can strike.

use std::borrow::Cow;

/// One call, as rules and plans see it.
#[derive(Debug, Clone, Default)]
pub struct Site<'a> {
    /// The function that calls, or that is to be invoked, by logical id.
    pub function: Option<&'a str>,
    /// The AWS service that is called, by name.
    pub service: Option<&'a str>,
    /// The target of the call: an operation, a route, a queue.
    pub operation: &'a str,
    /// The text of the call: path and body, as sent and decoded.
    pub text: Vec<Cow<'a, str>>,
}

impl Site<'_> {
    /// The name by which its calls are counted.
    pub(super) fn name(&self) -> String {
        let service = self.service.unwrap_or("-");
        format!("{} {service} {}", self.function.unwrap_or("-"), self.operation)
    }

    /// The call for a reader: `F dynamodb PutItem`, `F $disconnect`.
    pub(super) fn in_words(&self) -> String {
        let parts = [self.function, self.service, Some(self.operation)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    pub(super) fn has(&self, text: &str) -> bool {
        self.text.iter().any(|part| part.contains(text))
    }
}
