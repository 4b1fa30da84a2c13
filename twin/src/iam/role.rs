//! A role: the rules of its policies, and their decisions.

use super::condition::Context;
use super::statement::{Effect, Rule};

/// A role of the template, or one that SAM generates for a function.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Role {
    /// Its name in IAM.
    pub name: String,
    /// The rules of all its policies.
    pub(crate) rules: Vec<Rule>,
    /// Whether the template does not have it: its policies are unknown, so everything is allowed.
    pub(crate) is_foreign: bool,
    /// The rights that Lambda uses with the role: to write logs and traces, and to read the queues that feed the
    /// function.
    pub(crate) asked_by_lambda: Vec<Need>,
}

/// An action on a resource that a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need {
    /// The action, `dynamodb:PutItem`.
    pub(crate) action: String,
    /// The resource. If there are several, a right to one of them is enough; if there is none, the twin cannot see it
    /// in the request, and only a right to everything is enough.
    pub(crate) resources: Vec<String>,
    /// The values for conditions.
    pub(crate) context: Context,
    /// The principals, by ARN, to whom a grant of KMS gives the action.
    pub(crate) granted_to: Vec<String>,
}

impl Need {
    /// An action on one resource.
    pub(crate) fn of(action: impl Into<String>, resource: impl Into<String>) -> Self {
        let resources = vec![resource.into()];
        Self { action: action.into(), resources, context: Context::new(), granted_to: Vec::new() }
    }

    /// An action on something that the twin cannot see in the request.
    pub(crate) fn of_unknown(action: impl Into<String>) -> Self {
        Self { resources: Vec::new(), ..Self::of(action, "") }
    }

    /// The resource that an error names.
    pub(crate) fn resource(&self) -> &str {
        self.resources.first().map_or("*", String::as_str)
    }
}

/// The decision of a role's rules.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The rules at these places allow it.
    Allowed(Vec<usize>),
    /// No rule allows it.
    NotAllowed,
    /// A rule denies it.
    Denied,
}

impl Role {
    /// Decides as IAM does for one account: a request is denied if no statement allows it, or if one denies it
    /// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>).
    pub(crate) fn decide(&self, need: &Need) -> Decision {
        let is_about = |rule: &Rule| match &need.resources[..] {
            [] => rule.may_be_about(&need.action, &need.context),
            resources => resources.iter().any(|resource| rule.is_about(&need.action, resource, &need.context)),
        };
        let mut allowing = Vec::new();
        for (place, rule) in self.rules.iter().enumerate().filter(|(_, rule)| is_about(rule)) {
            match rule.effect {
                Effect::Deny => return Decision::Denied,
                Effect::Allow => allowing.push(place),
            }
        }
        if allowing.is_empty() && !self.is_foreign { Decision::NotAllowed } else { Decision::Allowed(allowing) }
    }
}
