//! Conditions of statements
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>).

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::pattern::matches;

/// The values of a request's condition keys, by their lower-case names.
pub(crate) type Context = BTreeMap<Cow<'static, str>, Vec<String>>;

/// The keys that requests to the twin may have. `kms:ViaService` never has a value, because functions call KMS
/// themselves.
const KEYS: [&str; 12] = [
    "aws:principalaccount",
    "aws:requestedregion",
    "aws:resourceaccount",
    "aws:securetransport",
    "kms:calleraccount",
    "kms:encryptioncontextkeys",
    "kms:grantisforawsresource",
    "kms:requestalias",
    "kms:resourcealiases",
    "kms:viaservice",
    "ses:fromaddress",
    "ses:recipients",
];

/// The beginning of the keys that name a pair of the encryption context of a request to KMS.
pub(crate) const ENCRYPTION_CONTEXT: &str = "kms:encryptioncontext:";

/// One key that has to have a value, or must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    key: String,
    test: Test,
    set: Set,
    holds_without: bool,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Equals,
    EqualsIgnoringCase,
    Like,
    NotEquals,
    NotEqualsIgnoringCase,
    NotLike,
    Null,
}

/// How several values of a request are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    One,
    Any,
    All,
}

const TESTS: [(&str, Test); 12] = [
    ("ArnEquals", Test::Like),
    ("ArnLike", Test::Like),
    ("ArnNotEquals", Test::NotLike),
    ("ArnNotLike", Test::NotLike),
    ("Bool", Test::EqualsIgnoringCase),
    ("Null", Test::Null),
    ("StringEquals", Test::Equals),
    ("StringEqualsIgnoreCase", Test::EqualsIgnoringCase),
    ("StringLike", Test::Like),
    ("StringNotEquals", Test::NotEquals),
    ("StringNotEqualsIgnoreCase", Test::NotEqualsIgnoringCase),
    ("StringNotLike", Test::NotLike),
];

impl Condition {
    /// The conditions of a statement. The error is a sentence that names the part which the twin does not evaluate.
    pub(super) fn parse(block: &Value) -> Result<Vec<Self>, String> {
        let operators = block.as_object().ok_or("its Condition is no object")?;
        let mut conditions = Vec::new();
        for (operator, keys) in operators {
            let keys: &Map<String, Value> = keys.as_object().ok_or_else(|| format!("{operator} has no keys"))?;
            for (key, values) in keys {
                conditions.push(Self::of(operator, key, texts(values)?)?);
            }
        }
        Ok(conditions)
    }

    fn of(operator: &str, key: &str, values: Vec<String>) -> Result<Self, String> {
        let (set, name) = match operator.split_once(':') {
            Some(("ForAnyValue", name)) => (Set::Any, name),
            Some(("ForAllValues", name)) => (Set::All, name),
            Some(_) => return Err(format!("the twin does not evaluate the condition operator {operator}")),
            None => (Set::One, operator),
        };
        let (name, holds_without) = name.strip_suffix("IfExists").map_or((name, false), |name| (name, true));
        let test = TESTS.iter().find(|(known, _)| *known == name).map(|(_, test)| *test);
        let test = test.ok_or_else(|| format!("the twin does not evaluate the condition operator {operator}"))?;
        let lower = key.to_ascii_lowercase();
        let is_pair = lower.strip_prefix(ENCRYPTION_CONTEXT).is_some_and(|name| !name.is_empty());
        if !is_pair && !KEYS.contains(&lower.as_str()) {
            return Err(format!("the twin does not know the condition key {key}"));
        }
        if let Some(variable) = values.iter().find(|value| value.contains("${")) {
            return Err(format!("the twin does not evaluate the policy variable in {variable}"));
        }
        Ok(Self { key: lower, test, set, holds_without, values })
    }

    pub(super) fn holds(&self, context: &Context) -> bool {
        let found = context.get(self.key.as_str()).map(Vec::as_slice).unwrap_or_default();
        if self.test == Test::Null {
            return self.values.iter().any(|value| (value == "true") == found.is_empty());
        }
        let is_negative = matches!(self.test, Test::NotEquals | Test::NotEqualsIgnoringCase | Test::NotLike);
        let fits = |value: &String| self.values.iter().any(|wanted| self.fits(wanted, value)) != is_negative;
        match self.set {
            Set::All => found.iter().all(fits),
            Set::Any if found.is_empty() => self.holds_without,
            Set::Any => found.iter().any(fits),
            Set::One if found.is_empty() => self.holds_without || is_negative,
            Set::One => found.iter().all(fits),
        }
    }

    fn fits(&self, wanted: &str, value: &str) -> bool {
        match self.test {
            Test::Equals | Test::NotEquals => wanted == value,
            Test::EqualsIgnoringCase | Test::NotEqualsIgnoringCase => wanted.eq_ignore_ascii_case(value),
            Test::Like | Test::NotLike => matches(wanted, value),
            Test::Null => false,
        }
    }
}

/// One text or a list of them.
pub(super) fn texts(value: &Value) -> Result<Vec<String>, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(format!("{other} is no text")),
    };
    match value {
        Value::Array(items) => items.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}
