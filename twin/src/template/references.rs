//! References to resources that do not exist. CloudFormation refuses them everywhere. The twin resolves only what it
//! needs, but a part that it does not need, such as a policy, may be what denies access.

use serde_json::{Map, Value};

use super::TemplateError;
use super::resolve::{At, Resolver, intrinsic};

/// Refuses a reference in a resource or an output to a name that the template does not have.
pub(super) fn check(document: &Value, resolver: &Resolver<'_>) -> Result<(), TemplateError> {
    let section = |name: &str| document.get(name).and_then(Value::as_object).into_iter().flatten();
    for (logical_id, resource) in section("Resources") {
        within(&resource["Properties"], &At::resource(logical_id), resolver)?;
    }
    for (name, output) in section("Outputs") {
        within(output, &At::new(format!("output {name}")), resolver)?;
    }
    Ok(())
}

fn within(value: &Value, at: &At, resolver: &Resolver<'_>) -> Result<(), TemplateError> {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| within(item, &at.child(index), resolver))
        }
        Value::Object(object) => match intrinsic(object) {
            Some((name, argument)) => function(name, argument, &at.child(name), resolver),
            None => object.iter().try_for_each(|(name, value)| within(value, &at.child(name), resolver)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn function(name: &str, argument: &Value, at: &At, resolver: &Resolver<'_>) -> Result<(), TemplateError> {
    match (name, argument) {
        ("Ref", Value::String(target)) => resolver.check_reference(target, at),
        ("Condition", Value::String(condition)) => resolver.check_condition(condition, at),
        ("Fn::GetAtt", Value::String(text)) => {
            let (logical_id, attribute) = text.split_once('.').unwrap_or((text, ""));
            resolver.check_attribute(logical_id, attribute, at)
        }
        ("Fn::GetAtt", Value::Array(parts)) => match &parts[..] {
            [Value::String(logical_id), Value::String(attribute), ..] => {
                resolver.check_attribute(logical_id, attribute, at)
            }
            _ => within(argument, at, resolver),
        },
        ("Fn::If", Value::Array(parts)) => {
            if let Some(Value::String(condition)) = parts.first() {
                resolver.check_condition(condition, at)?;
            }
            within(argument, at, resolver)
        }
        ("Fn::Sub", Value::String(text)) => substituted(text, &Map::new(), at, resolver),
        ("Fn::Sub", Value::Array(parts)) => {
            if let [Value::String(text), Value::Object(variables)] = &parts[..] {
                substituted(text, variables, at, resolver)?;
            }
            within(argument, at, resolver)
        }
        // A macro replaces it with other content.
        ("Fn::Transform", _) => Ok(()),
        _ => within(argument, at, resolver),
    }
}

/// Checks the names that a text contains as `${Name}` and `${Name.Attribute}`.
fn substituted(
    text: &str,
    variables: &Map<String, Value>,
    at: &At,
    resolver: &Resolver<'_>,
) -> Result<(), TemplateError> {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name.trim());
    for name in names.filter(|name| !name.starts_with('!') && !variables.contains_key(*name)) {
        match name.split_once('.') {
            Some((logical_id, attribute)) if !matches!(attribute, "Stage" | "Alias" | "Version") => {
                resolver.check_attribute(logical_id, attribute, at)?;
            }
            _ => resolver.check_reference(name, at)?,
        }
    }
    Ok(())
}
