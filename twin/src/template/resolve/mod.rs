//! Intrinsic functions, pseudo parameters, conditions and dynamic references.

mod at;
mod conditions;
mod finish;
mod globals;
mod intrinsics;
mod names;
mod parameters;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

pub(super) use self::at::{At, text_of};
pub(super) use self::globals::globals_of_kind;
pub(super) use self::names::capitalised;
use super::model::Secret;
use super::secrets::Secrets;
use super::{Settings, TemplateError};

/// The deepest chain of references between intrinsics; it ends a template that refers to itself.
const MAX_DEPTH: usize = 64;
/// `AWS::URLSuffix`.
const URL_SUFFIX: &str = "amazonaws.com";
/// The API that SAM generates for `HttpApi` events that name none.
pub(super) const IMPLICIT_HTTP_API: &str = "ServerlessHttpApi";

/// Resolves the values of one template.
pub(super) struct Resolver<'a> {
    settings: &'a Settings,
    document: &'a Value,
    parameters: BTreeMap<String, Value>,
    secrets: RefCell<&'a mut Secrets>,
    warnings: RefCell<BTreeSet<String>>,
    depth: Cell<usize>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(
        document: &'a Value,
        settings: &'a Settings,
        secrets: &'a mut Secrets,
    ) -> Result<Self, TemplateError> {
        let parameters = parameters::values(document, settings)?;
        let resolver = Self {
            settings,
            document,
            parameters,
            secrets: RefCell::new(secrets),
            warnings: RefCell::default(),
            depth: Cell::new(0),
        };
        resolver.warn_of_parameters();
        Ok(resolver)
    }

    /// Warns of parameters whose values AWS would read from Systems Manager, or check by a pattern that the twin cannot
    /// read.
    fn warn_of_parameters(&self) {
        let declared = self.document.get("Parameters").and_then(Value::as_object);
        for (name, parameter) in declared.into_iter().flatten() {
            let kind = parameter["Type"].as_str().unwrap_or_default();
            if kind.starts_with("AWS::SSM::Parameter::Value") {
                self.warn(format!(
                    "parameter {name}: the twin has no Parameter Store; its value is taken as it is given"
                ));
            }
            if let Some((pattern, Err(error))) = parameters::pattern(parameter) {
                self.warn(format!(
                    "parameter {name}, AllowedPattern: the twin cannot read {pattern} ({error}), and takes any value"
                ));
            }
        }
    }

    /// Logs a warning once.
    pub(super) fn warn(&self, message: impl Into<String>) {
        self.warnings.borrow_mut().insert(message.into());
    }

    pub(super) fn into_warnings(self) -> Vec<String> {
        self.warnings.into_inner().into_iter().collect()
    }

    /// The kept secrets other than the declared ones, by logical id.
    pub(super) fn secrets_besides(&self, declared: &[Secret]) -> Vec<String> {
        let is_left = |id: &&String| !declared.iter().any(|secret| secret.logical_id == **id);
        self.secrets.borrow().logical_ids().filter(is_left).cloned().collect()
    }

    /// A resource as written, unless its condition is false.
    pub(super) fn resource(&self, logical_id: &str) -> Option<&'a Value> {
        self.document.get("Resources")?.get(logical_id)
    }

    /// Whether a resource or an output exists under its condition.
    pub(super) fn is_wanted(&self, item: &Value, at: &At) -> Result<bool, TemplateError> {
        match item.get("Condition").and_then(Value::as_str) {
            Some(condition) => self.condition(condition, at),
            None => Ok(true),
        }
    }

    /// Resolves a value. `None` is `AWS::NoValue`.
    pub(super) fn value(&self, value: &Value, at: &At) -> Result<Option<Value>, TemplateError> {
        match self.evaluate(value, at)? {
            Some(value) => self.finish(value, at).map(Some),
            None => Ok(None),
        }
    }

    /// A resource's properties with those of `Globals` below them.
    pub(super) fn with_globals(&self, logical_id: &str) -> Option<Map<String, Value>> {
        let resource = self.resource(logical_id)?;
        let mut merged = Value::Object(globals::of(self.document, resource));
        merge(&mut merged, resource.get("Properties").unwrap_or(&Value::Null));
        match merged {
            Value::Object(properties) => Some(properties),
            _ => None,
        }
    }

    /// The `Globals` of one kind of resource: `HttpApi`.
    pub(super) fn globals(&self, section: &str) -> Map<String, Value> {
        let globals = self.document.get("Globals").and_then(|globals| globals.get(section)?.as_object());
        globals.cloned().unwrap_or_default()
    }

    /// Takes one step along a chain of references, up to [`MAX_DEPTH`].
    fn deeper<T>(&self, at: &At, step: impl FnOnce() -> Result<T, TemplateError>) -> Result<T, TemplateError> {
        let depth = self.depth.get() + 1;
        if depth > MAX_DEPTH {
            return Err(at.error("its value refers to itself"));
        }
        self.depth.set(depth);
        let result = step();
        self.depth.set(depth - 1);
        result
    }

    /// The value, with its intrinsic functions resolved.
    fn evaluate(&self, value: &Value, at: &At) -> Result<Option<Value>, TemplateError> {
        self.deeper(at, || self.evaluate_here(value, at))
    }

    fn evaluate_here(&self, value: &Value, at: &At) -> Result<Option<Value>, TemplateError> {
        match value {
            Value::Array(items) => {
                let mut resolved = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    resolved.extend(self.evaluate(item, &at.child(index))?);
                }
                Ok(Some(Value::Array(resolved)))
            }
            Value::Object(object) => {
                if let Some((name, argument)) = intrinsic(object) {
                    return self.intrinsic(name, argument, at);
                }
                let mut resolved = Map::new();
                for (name, value) in object {
                    if let Some(value) = self.evaluate(value, &at.child(name))? {
                        resolved.insert(name.clone(), value);
                    }
                }
                Ok(Some(Value::Object(resolved)))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(Some(value.clone())),
        }
    }
}

/// The intrinsic function that an object stands for, if it is one.
pub(super) fn intrinsic(object: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut entries = object.iter();
    let (name, argument) = entries.next()?;
    let is_intrinsic = name == "Ref" || name.starts_with("Fn::") || (name == "Condition" && argument.is_string());
    (is_intrinsic && entries.next().is_none()).then_some((name, argument))
}

/// Merges `over` into `below` as SAM does with `Globals`: objects by key, lists appended, other values replaced.
fn merge(below: &mut Value, over: &Value) {
    match (below, over) {
        (_, Value::Null) => {}
        (Value::Object(below), Value::Object(over)) if intrinsic(over).is_none() && intrinsic(below).is_none() => {
            for (name, value) in over {
                merge(below.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(below), Value::Array(over)) => below.extend(over.iter().cloned()),
        (below, over) => *below = over.clone(),
    }
}
