//! The policy of a role that decides who may assume it
//! (<https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html>).

use serde_json::Value;

use super::condition::texts;
use super::pattern::matches_action;
use super::statement::statements;

const LAMBDA: &str = "lambda.amazonaws.com";
const ASSUME: &str = "sts:AssumeRole";

/// Whether Lambda may assume a role with this policy. A condition counts as met if it allows, and as not met if it
/// denies.
pub(crate) fn allows_lambda(document: &Value) -> Result<bool, String> {
    let mut is_allowed = false;
    for statement in statements(document)? {
        if !is_lambda(&statement["Principal"])? || !is_assuming(statement)? {
            continue;
        }
        match statement["Effect"].as_str() {
            Some("Allow") => is_allowed = true,
            Some("Deny") if statement["Condition"].is_null() => return Ok(false),
            Some("Deny") => {}
            _ => return Err("the Effect of a statement is Allow or Deny".to_owned()),
        }
    }
    Ok(is_allowed)
}

fn is_lambda(principal: &Value) -> Result<bool, String> {
    Ok(match principal {
        Value::String(everyone) => everyone == "*",
        Value::Object(kinds) => {
            let named = |kind: &str| kinds.get(kind).map_or(Ok(Vec::new()), texts);
            named("Service")?.iter().any(|name| name == LAMBDA) || named("AWS")?.iter().any(|name| name == "*")
        }
        _ => false,
    })
}

fn is_assuming(statement: &Value) -> Result<bool, String> {
    let names = |actions: &Value| Ok::<_, String>(texts(actions)?.iter().any(|it| matches_action(it, ASSUME)));
    match (&statement["Action"], &statement["NotAction"]) {
        (actions, Value::Null) if !actions.is_null() => names(actions),
        (Value::Null, others) if !others.is_null() => Ok(!names(others)?),
        _ => Err("a statement has either Action or NotAction".to_owned()),
    }
}
