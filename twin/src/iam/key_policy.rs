//! The policy of a key of KMS
//! (<https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html>). Without its consent the policies of a
//! role do not count.

use serde_json::Value;

use super::condition::texts;
use super::role::Need;
use super::statement::{Effect, Origin, Rule, statements};

/// A key's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyPolicy {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    principals: Vec<String>,
    rules: Vec<Rule>,
}

/// The decision of a key's policy about a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A statement denies the action.
    Denied,
    /// A statement allows it to the principal itself, whatever the policies of its role.
    Allowed,
    /// A statement allows it to the account, and so to everyone whose role allows it.
    LeftToRole,
    /// No statement allows it.
    NotAllowed,
}

impl KeyPolicy {
    /// Reads a policy document. The error is a sentence that names the part which the twin does not evaluate.
    pub(crate) fn of_document(document: &Value) -> Result<Self, String> {
        let mut read = Vec::new();
        for statement in statements(document)? {
            let mut statement = statement.clone();
            let elements = statement.as_object_mut().ok_or("a statement is no object")?;
            let principal = elements.remove("Principal").ok_or("a statement of a key's policy has no Principal")?;
            let principals = principals(&principal)?;
            // The conditions of a statement about services only are none of the twin's business.
            if principals.is_empty() {
                continue;
            }
            let rules = Rule::of_statement(&statement, &Origin::Written)?;
            read.push(Statement { principals, rules });
        }
        Ok(Self { statements: read })
    }

    /// Decides about a principal of the account.
    pub(super) fn decide(&self, need: &Need, account: &str, is_principal: impl Fn(&str) -> bool) -> Verdict {
        let root = format!("arn:aws:iam::{account}:root");
        let is_account = |name: &str| name == account || name == root;
        let mut verdict = Verdict::NotAllowed;
        for Statement { principals, rules } in &self.statements {
            let is_named = principals.iter().any(|name| name == "*" || is_principal(name));
            if !is_named && !principals.iter().any(|name| is_account(name)) {
                continue;
            }
            for rule in rules.iter().filter(|rule| rule.is_about(&need.action, need.resource(), &need.context)) {
                verdict = match (rule.effect, is_named) {
                    (Effect::Deny, _) => return Verdict::Denied,
                    (Effect::Allow, true) => Verdict::Allowed,
                    (Effect::Allow, false) if verdict == Verdict::NotAllowed => Verdict::LeftToRole,
                    (Effect::Allow, false) => verdict,
                };
            }
        }
        verdict
    }
}

/// The principals of the account in a `Principal`; services and users of identity providers are no functions.
fn principals(principal: &Value) -> Result<Vec<String>, String> {
    match principal {
        Value::String(everyone) if everyone == "*" => Ok(vec![everyone.clone()]),
        Value::Object(kinds) => {
            let known = ["AWS", "CanonicalUser", "Federated", "Service"];
            match kinds.keys().find(|kind| !known.contains(&kind.as_str())) {
                Some(other) => Err(format!("a Principal has no kind {other}")),
                None => kinds.get("AWS").map_or(Ok(Vec::new()), texts),
            }
        }
        other => Err(format!("{other} is no Principal")),
    }
}
