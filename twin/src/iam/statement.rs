//! Statements of identity-based policies, split into rules of one action and one resource each.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::condition::{Condition, Context, texts};
use super::pattern::{matches, matches_action};

/// Whether a rule allows or denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// The origin of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A statement that is written in the template.
    Written,
    /// A policy that the template names: a policy template of SAM, or one that AWS manages.
    Named(String),
    /// A policy that SAM adds by itself.
    Added,
}

/// One action on one resource, allowed or denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(super) origin: Origin,
    pub(super) effect: Effect,
    pub(super) action: Matcher,
    pub(super) resource: Matcher,
    conditions: Arc<[Condition]>,
}

/// A pattern for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Matcher {
    /// `Action`, `Resource`.
    One(String),
    /// `NotAction`, `NotResource`.
    NoneOf(Vec<String>),
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(pattern) => f.write_str(pattern),
            Self::NoneOf(patterns) => write!(f, "all but {}", patterns.join(" and ")),
        }
    }
}

impl Matcher {
    fn is_met(&self, fits: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::One(pattern) => fits(pattern),
            Self::NoneOf(patterns) => !patterns.iter().any(|pattern| fits(pattern)),
        }
    }
}

impl Rule {
    /// An action that is allowed on a resource, without conditions.
    pub(super) fn allow(origin: Origin, action: &str, resource: String) -> Self {
        let (action, resource) = (Matcher::One(action.to_owned()), Matcher::One(resource));
        Self { origin, effect: Effect::Allow, action, resource, conditions: Arc::from([]) }
    }

    /// The rules of a policy document: each action with each resource of each statement. The error is a sentence.
    pub(crate) fn of_document(document: &Value, origin: &Origin) -> Result<Vec<Self>, String> {
        let mut rules = Vec::new();
        for statement in statements(document)? {
            rules.extend(Self::of_statement(statement, origin)?);
        }
        Ok(rules)
    }

    pub(super) fn of_statement(statement: &Value, origin: &Origin) -> Result<Vec<Self>, String> {
        let elements = statement.as_object().ok_or("a statement is no object")?;
        let known = ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];
        if let Some(other) = elements.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("a statement of a role's policy has no element {other}"));
        }
        let effect = match statement["Effect"].as_str() {
            Some("Allow") => Effect::Allow,
            Some("Deny") => Effect::Deny,
            _ => return Err("the Effect of a statement is Allow or Deny".to_owned()),
        };
        let actions = matchers(statement, "Action", "NotAction")?;
        let resources = matchers(statement, "Resource", "NotResource")?;
        let conditions = match &statement["Condition"] {
            Value::Null => Arc::from([]),
            block => Arc::from(Condition::parse(block)?),
        };
        let mut rules = Vec::new();
        for action in actions {
            for resource in &resources {
                rules.push(Self {
                    origin: origin.clone(),
                    effect,
                    action: action.clone(),
                    resource: resource.clone(),
                    conditions: Arc::clone(&conditions),
                });
            }
        }
        Ok(rules)
    }

    /// Whether the rule counts for an action on an unknown resource: one that allows has to allow it on everything, and
    /// one that denies may be about this resource.
    pub(super) fn may_be_about(&self, action: &str, context: &Context) -> bool {
        let is_everything = matches!(&self.resource, Matcher::One(pattern) if pattern == "*");
        (self.effect == Effect::Deny || is_everything) && self.applies(action, context)
    }

    /// Whether the rule applies to an action on a resource.
    pub(super) fn is_about(&self, action: &str, resource: &str, context: &Context) -> bool {
        self.resource.is_met(|pattern| matches(pattern, resource)) && self.applies(action, context)
    }

    /// Whether the rule applies to an action, whatever the resource.
    fn applies(&self, action: &str, context: &Context) -> bool {
        self.action.is_met(|pattern| matches_action(pattern, action))
            && self.conditions.iter().all(|condition| condition.holds(context))
    }
}

/// The statements of a policy document.
pub(super) fn statements(document: &Value) -> Result<&[Value], String> {
    let known = ["Id", "Statement", "Version"];
    let mut names = document.as_object().into_iter().flatten().map(|(name, _)| name);
    if let Some(other) = names.find(|name| !known.contains(&name.as_str())) {
        return Err(format!("a policy has no element {other}"));
    }
    match document["Version"].as_str() {
        None | Some("2008-10-17" | "2012-10-17") => {}
        Some(other) => return Err(format!("no policy has the Version {other}; there are 2012-10-17 and 2008-10-17")),
    }
    match &document["Statement"] {
        Value::Array(statements) => Ok(statements),
        Value::Object(_) => Ok(std::slice::from_ref(&document["Statement"])),
        _ => Err("the policy has no Statement".to_owned()),
    }
}

/// The names in one element of a statement, or all names except those in the negated element.
fn matchers(statement: &Value, name: &str, negated: &str) -> Result<Vec<Matcher>, String> {
    let (found, is_negated) = match (&statement[name], &statement[negated]) {
        (found, Value::Null) if !found.is_null() => (texts(found)?, false),
        (Value::Null, found) if !found.is_null() => (texts(found)?, true),
        _ => return Err(format!("a statement has either {name} or {negated}")),
    };
    if found.is_empty() {
        return Err(format!("the {name} of a statement is empty"));
    }
    for text in &found {
        if text.contains("${") {
            return Err(format!("the twin does not evaluate the policy variable in {text}"));
        }
        let is_well_formed = match name {
            "Action" => text.contains(':'),
            _ => text.starts_with("arn:") && text.matches(':').count() >= 5,
        };
        if text != "*" && !is_well_formed {
            let form = if name == "Action" { "service:Action" } else { "an ARN" };
            return Err(format!("{text} is neither * nor {form}"));
        }
    }
    match is_negated {
        true => Ok(vec![Matcher::NoneOf(found)]),
        false => Ok(found.into_iter().map(Matcher::One).collect()),
    }
}
