//! Faults on purpose: exactly this one, at exactly that call.

use serde::{Deserialize, Serialize};

use super::kind::Fault;
use super::site::Site;

/// One fault at the calls that match, a stated number of times. An omitted condition matches every call.
///
/// ```
/// use sam_twin::faults::{Fault, Rule};
/// use sam_twin::services::dynamodb;
///
/// // The second put of the function with `|alice` in it is executed, and the process dies without the answer.
/// let rule = Rule::new(Fault::KillAfter)
///     .function("EchoFunction")
///     .service(dynamodb::SERVICE)
///     .operation("PutItem")
///     .contains("|alice")
///     .skip(1);
/// assert_eq!(rule.times, 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The kind of fault.
    pub fault: Fault,
    /// The function, by logical id: the one that calls, or the one that would be invoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The AWS service that is called, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The operation, `PutItem`, `PostToConnection`; of sockets the route, `$disconnect`, or `Frame` for
    /// [`Fault::DropSocket`]; of queues the queue's name; of invocations `Invoke`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Texts that must all occur in the path or the body of the call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contains: Vec<String>,
    /// How many calls it strikes.
    #[serde(default = "once")]
    pub times: u32,
    /// How many matching calls it lets pass first.
    #[serde(default)]
    pub skip: u32,
}

fn once() -> u32 {
    1
}

impl Rule {
    /// A rule that strikes the first call that the fault can strike.
    #[must_use]
    pub fn new(fault: Fault) -> Self {
        Self { fault, function: None, service: None, operation: None, contains: Vec::new(), times: 1, skip: 0 }
    }

    /// Only calls of this function, by logical id.
    #[must_use]
    pub fn function(mut self, function: impl Into<String>) -> Self {
        self.function = Some(function.into());
        self
    }

    /// Only calls to this service.
    #[must_use]
    pub fn service(mut self, service: impl AsRef<str>) -> Self {
        self.service = Some(service.as_ref().to_owned());
        self
    }

    /// Only this operation.
    #[must_use]
    pub fn operation(mut self, operation: impl Into<String>) -> Self {
        self.operation = Some(operation.into());
        self
    }

    /// Only calls with this text in their path or body; may be given several times.
    #[must_use]
    pub fn contains(mut self, text: impl Into<String>) -> Self {
        self.contains.push(text.into());
        self
    }

    /// Strikes this many calls.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Strikes every call.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u32::MAX)
    }

    /// Lets this many matching calls pass first.
    #[must_use]
    pub fn skip(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    fn matches(&self, site: &Site<'_>) -> bool {
        self.function.as_deref().is_none_or(|function| site.function == Some(function))
            && self.service.as_deref().is_none_or(|service| site.service == Some(service))
            && self.operation.as_deref().is_none_or(|operation| site.operation == operation)
            && self.contains.iter().all(|text| site.has(text))
    }
}

/// A rule with the calls that it has seen.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) id: u64,
    pub(super) rule: Rule,
    pub(super) hits: u32,
    seen: u32,
}

impl Watch {
    pub(super) fn new(id: u64, rule: Rule) -> Self {
        Self { id, rule, hits: 0, seen: 0 }
    }

    /// Counts a call, and returns whether the rule strikes it.
    pub(super) fn wants(&mut self, site: &Site<'_>, possible: &[Fault]) -> bool {
        if !possible.contains(&self.rule.fault) || !self.rule.matches(site) {
            return false;
        }
        let passed = self.seen;
        self.seen = self.seen.saturating_add(1);
        passed >= self.rule.skip && self.hits < self.rule.times
    }
}
