//! The values of a template's parameters.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde_json::Value;

use super::at::{At, text_of};
use crate::template::{Settings, TemplateError};

/// Each parameter with its given value, or its default.
pub(super) fn values(document: &Value, settings: &Settings) -> Result<BTreeMap<String, Value>, TemplateError> {
    let declared = document.get("Parameters").and_then(Value::as_object).cloned().unwrap_or_default();
    if let Some(name) = settings.parameters.keys().find(|name| !declared.contains_key(*name)) {
        let known: Vec<&str> = declared.keys().map(String::as_str).collect();
        return Err(TemplateError::UnknownParameter { name: name.clone(), known: known.join(", ") });
    }
    let mut values = BTreeMap::new();
    for (name, parameter) in declared {
        let at = At::new(format!("parameter {name}"));
        let given = settings.parameters.get(&name).cloned().map(Value::String);
        let value = given.or_else(|| parameter.get("Default").cloned());
        let value = text_of(&value.ok_or_else(|| TemplateError::MissingParameter(name.clone()))?, &at)?;
        let is_list =
            parameter["Type"].as_str().is_some_and(|kind| kind == "CommaDelimitedList" || kind.starts_with("List<"));
        let value = match is_list {
            true => {
                let items: Vec<&str> = value.split(',').map(str::trim).collect();
                items.iter().try_for_each(|item| check(&parameter, item, &at))?;
                Value::from(items)
            }
            false => {
                check(&parameter, &value, &at)?;
                Value::String(value)
            }
        };
        values.insert(name, value);
    }
    Ok(values)
}

/// Checks a value against the parameter's constraints, as CloudFormation does.
fn check(parameter: &Value, value: &str, at: &At) -> Result<(), TemplateError> {
    let limit = |name: &str| {
        let limit = parameter.get(name).map(|limit| text_of(limit, &at.child(name))).transpose()?;
        let number = |text: String| text.parse::<f64>().map_err(|_| at.child(name).error("is not a number"));
        limit.map(number).transpose()
    };
    let broken = match parameter.get("AllowedValues") {
        Some(Value::Array(allowed)) => {
            let allowed = allowed.iter().map(|value| text_of(value, at)).collect::<Result<Vec<_>, _>>()?;
            (!allowed.iter().any(|allowed| allowed == value)).then(|| format!("is not one of {}", allowed.join(", ")))
        }
        _ => None,
    };
    let broken = broken.or_else(|| not_matched(parameter, value));
    let kind = parameter["Type"].as_str().unwrap_or_default();
    let broken = match (broken, kind) {
        (Some(broken), _) => Some(broken),
        (None, "Number" | "List<Number>") => match value.parse::<f64>() {
            Err(_) => Some("is not a number".to_owned()),
            Ok(number) => outside(number, limit("MinValue")?, limit("MaxValue")?, ""),
        },
        (None, _) => outside(value.chars().count() as f64, limit("MinLength")?, limit("MaxLength")?, " characters"),
    };
    match broken {
        None => Ok(()),
        Some(broken) => {
            let described = parameter.get("ConstraintDescription").and_then(Value::as_str);
            let described = described.map(|text| format!(": {text}")).unwrap_or_default();
            Err(at.error(format!("{value:?} {broken}{described}")))
        }
    }
}

/// The bound that a number violates.
fn outside(number: f64, least: Option<f64>, most: Option<f64>, unit: &str) -> Option<String> {
    match (least.filter(|least| number < *least), most.filter(|most| number > *most)) {
        (Some(least), _) => Some(format!("is less than {least}{unit}")),
        (None, Some(most)) => Some(format!("is more than {most}{unit}")),
        (None, None) => None,
    }
}

/// The pattern that a value does not match as a whole. Any value matches a pattern that the twin cannot read.
fn not_matched(parameter: &Value, value: &str) -> Option<String> {
    let (pattern, whole) = pattern(parameter)?;
    whole.is_ok_and(|whole| !whole.is_match(value)).then(|| format!("does not match {pattern}"))
}

/// The `AllowedPattern` of a parameter. AWS reads it as Java does: it may look around, which the twin does not.
pub(super) fn pattern(parameter: &Value) -> Option<(&str, Result<Regex, regex_lite::Error>)> {
    let pattern = parameter.get("AllowedPattern")?.as_str()?;
    Some((pattern, Regex::new(&format!("^(?:{pattern})$"))))
}
