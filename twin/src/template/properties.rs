//! The properties of resources, resolved when they are read.

use std::time::Duration;

use serde_json::{Map, Value};

use super::TemplateError;
use super::model::Template;
use super::resolve::{At, Resolver, text_of};

/// The resolved properties of one resource, or of an event within it.
pub(super) struct Properties<'r, 'a> {
    resolver: &'r Resolver<'a>,
    values: Map<String, Value>,
    at: At,
}

impl<'r, 'a> Properties<'r, 'a> {
    /// The properties of a resource. Each is resolved only when it is read, so the twin need not understand those that
    /// it does not use.
    pub(super) fn of(resolver: &'r Resolver<'a>, logical_id: &str) -> Self {
        let values = resolver.with_globals(logical_id).unwrap_or_default();
        Self { resolver, values, at: At::resource(logical_id) }
    }

    /// The properties of a part of a resource.
    pub(super) fn new(resolver: &'r Resolver<'a>, values: Map<String, Value>, at: At) -> Self {
        Self { resolver, values, at }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The object at `name`, as properties.
    pub(super) fn inner(&self, name: &str) -> Result<Self, TemplateError> {
        let values = match self.get(name)? {
            Some(Value::Object(values)) => values,
            None | Some(Value::Null) => Map::new(),
            Some(_) => return Err(self.at.child(name).error("is no mapping")),
        };
        Ok(Self { resolver: self.resolver, values, at: self.at.child(name) })
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }

    /// The place of these properties in the template.
    pub(super) fn place(&self) -> &At {
        &self.at
    }

    /// Warns once that a property has no effect here.
    pub(super) fn warn(&self, owner: &str, name: &str, what: &str) {
        self.resolver.warn(format!("{owner}, {name}: {what}"));
    }

    pub(super) fn at(&self, name: &str) -> At {
        self.at.child(name)
    }

    pub(super) fn get(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        match self.values.get(name) {
            Some(value) => self.resolver.value(value, &self.at.child(name)),
            None => Ok(None),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, TemplateError> {
        self.get(name)?.map(|value| text_of(&value, &self.at.child(name))).transpose()
    }

    pub(super) fn required(&self, name: &str) -> Result<String, TemplateError> {
        self.text(name)?.ok_or_else(|| self.at.child(name).error("is missing"))
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, TemplateError> {
        let number = |text: String| text.parse().map_err(|_| self.at.child(name).error("is not a whole number"));
        self.text(name)?.map(number).transpose()
    }

    pub(super) fn seconds(&self, name: &str, default: u64) -> Result<Duration, TemplateError> {
        Ok(Duration::from_secs(self.number(name)?.unwrap_or(default)))
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, TemplateError> {
        match self.text(name)?.as_deref() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(self.at.child(name).error("is neither true nor false")),
        }
    }

    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, TemplateError> {
        match self.get(name)? {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|item| text_of(item, &self.at.child(name))).collect(),
            Some(single) => Ok(vec![text_of(&single, &self.at.child(name))?]),
        }
    }
}

/// The logical id of the function that a name, an ARN or an integration's URI stands for.
pub(super) fn function_named(template: &Template, reference: &str, at: &At) -> Result<String, TemplateError> {
    let name = reference.rsplit_once(":function:").map_or(reference, |(_, name)| name);
    let name = name.split([':', '/']).next().unwrap_or_default();
    let function = template.function(name).map(|function| function.logical_id.clone());
    function.ok_or_else(|| at.error(format!("{reference} is no function of this template")))
}
