//! Places in a template, for errors, and the plain values at these places.

use serde_json::Value;

use crate::template::TemplateError;

/// The place of a value, for errors.
#[derive(Debug, Clone)]
pub(in crate::template) struct At {
    owner: String,
    path: String,
}

impl At {
    /// The place of a part that is not a resource: `output ApiUrl`.
    pub(in crate::template) fn new(owner: impl Into<String>) -> Self {
        Self { owner: owner.into(), path: String::new() }
    }

    /// A resource.
    pub(in crate::template) fn resource(logical_id: &str) -> Self {
        Self::new(format!("resource {logical_id}"))
    }

    /// The place of a child of this value.
    pub(in crate::template) fn child(&self, name: impl std::fmt::Display) -> Self {
        let path = if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) };
        Self { owner: self.owner.clone(), path }
    }

    /// An error at this place.
    pub(in crate::template) fn error(&self, message: impl Into<String>) -> TemplateError {
        let place = match self.path.as_str() {
            "" => self.owner.clone(),
            path => format!("{}, property {path}", self.owner),
        };
        TemplateError::Invalid { place, message: message.into() }
    }
}

/// A scalar as CloudFormation substitutes it into a text.
pub(in crate::template) fn text_of(value: &Value, at: &At) -> Result<String, TemplateError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(bool) => Ok(bool.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(at.error("is not a plain value")),
    }
}
