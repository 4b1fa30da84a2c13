//! The values of a template's parameters.

use std::collections::BTreeMap;

use serde_json::Value;

use super::at::{At, text_of};
use crate::template::{Settings, TemplateError};

/// Each parameter with the value that it was given, or its default.
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
        if let Some(Value::Array(allowed)) = parameter.get("AllowedValues") {
            let allowed = allowed.iter().map(|value| text_of(value, &at)).collect::<Result<Vec<_>, _>>()?;
            if !allowed.contains(&value) {
                return Err(at.error(format!("{value} is not one of {}", allowed.join(", "))));
            }
        }
        let is_list =
            parameter["Type"].as_str().is_some_and(|kind| kind == "CommaDelimitedList" || kind.starts_with("List<"));
        let value = match is_list {
            true => Value::from(value.split(',').map(str::trim).collect::<Vec<_>>()),
            false => Value::String(value),
        };
        values.insert(name, value);
    }
    Ok(values)
}
