//! References to resources that do not exist. CloudFormation refuses them everywhere. The twin resolves only what it
//! needs, but a part that it does not need, such as a policy, may be what denies access.

use serde_json::{Map, Value};

use super::TemplateError;
use super::resolve::{At, Resolver, intrinsic};

/// What the references of a part may name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Parameters: in conditions and rules.
    Parameters,
    /// All that the template declares: in a part that its own condition leaves out.
    Declared,
    /// All but the resources that their conditions leave out.
    Made,
}

struct Walk<'r, 'a> {
    resolver: &'r Resolver<'a>,
    scope: Scope,
}

/// Refuses a reference to a name that the template does not have, or that a condition leaves out. Refuses conditions
/// and rules that cannot be evaluated, too.
pub(super) fn check(document: &Value, resolver: &Resolver<'_>) -> Result<(), TemplateError> {
    let section = |name: &str| document.get(name).and_then(Value::as_object).into_iter().flatten();
    for (name, kind) in [("Conditions", "condition"), ("Rules", "rule")] {
        for (name, part) in section(name) {
            Walk { resolver, scope: Scope::Parameters }.within(part, &At::new(format!("{kind} {name}")))?;
        }
    }
    resolver.check_conditions()?;
    let walk = |item: &Value, at: &At| {
        let is_made = resolver.is_wanted(item, at)?;
        Ok::<_, TemplateError>(Walk { resolver, scope: if is_made { Scope::Made } else { Scope::Declared } })
    };
    for (logical_id, resource) in section("Resources") {
        let at = At::resource(logical_id);
        walk(resource, &at)?.within(&resource["Properties"], &at)?;
    }
    for (name, output) in section("Outputs") {
        let at = At::new(format!("output {name}"));
        walk(output, &at)?.within(output, &at)?;
    }
    Ok(())
}

impl Walk<'_, '_> {
    fn within(&self, value: &Value, at: &At) -> Result<(), TemplateError> {
        match value {
            Value::Array(items) => {
                items.iter().enumerate().try_for_each(|(index, item)| self.within(item, &at.child(index)))
            }
            Value::Object(object) => match intrinsic(object) {
                Some((name, argument)) => self.function(name, argument, &at.child(name)),
                None => object.iter().try_for_each(|(name, value)| self.within(value, &at.child(name))),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn function(&self, name: &str, argument: &Value, at: &At) -> Result<(), TemplateError> {
        match (name, argument) {
            ("Ref", Value::String(target)) => self.reference(target, at),
            ("Condition", Value::String(condition)) => self.resolver.check_condition(condition, at),
            ("Fn::GetAtt", Value::String(text)) => {
                let (logical_id, attribute) = text.split_once('.').unwrap_or((text, ""));
                self.attribute(logical_id, attribute, at)
            }
            ("Fn::GetAtt", Value::Array(parts)) => match &parts[..] {
                [Value::String(logical_id), Value::String(attribute), ..] => self.attribute(logical_id, attribute, at),
                _ => self.within(argument, at),
            },
            ("Fn::If", Value::Array(parts)) => self.choice(parts, at),
            ("Fn::Sub", Value::String(text)) => self.substituted(text, &Map::new(), at),
            ("Fn::Sub", Value::Array(parts)) => {
                if let [Value::String(text), Value::Object(variables)] = &parts[..] {
                    self.substituted(text, variables, at)?;
                }
                self.within(argument, at)
            }
            // A macro replaces it with other content.
            ("Fn::Transform", _) => Ok(()),
            _ => self.within(argument, at),
        }
    }

    /// Checks both values of an `Fn::If`. The one that is not chosen may name what a condition leaves out.
    fn choice(&self, parts: &[Value], at: &At) -> Result<(), TemplateError> {
        let is_true = match parts.first() {
            Some(Value::String(condition)) => {
                self.resolver.check_condition(condition, at)?;
                self.resolver.condition(condition, at)?
            }
            _ => true,
        };
        for (place, part) in parts.iter().enumerate() {
            let is_left = place == if is_true { 2 } else { 1 };
            let scope = if is_left && self.scope == Scope::Made { Scope::Declared } else { self.scope };
            Self { scope, ..*self }.within(part, &at.child(place))?;
        }
        Ok(())
    }

    /// Checks the names that a text contains as `${Name}` and `${Name.Attribute}`.
    fn substituted(&self, text: &str, variables: &Map<String, Value>, at: &At) -> Result<(), TemplateError> {
        let names = text.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name.trim());
        for name in names.filter(|name| !name.starts_with('!') && !variables.contains_key(*name)) {
            match name.split_once('.') {
                Some((logical_id, attribute)) if !matches!(attribute, "Stage" | "Alias" | "Version") => {
                    self.attribute(logical_id, attribute, at)?;
                }
                _ => self.reference(name, at)?,
            }
        }
        Ok(())
    }

    fn reference(&self, target: &str, at: &At) -> Result<(), TemplateError> {
        match self.scope {
            Scope::Parameters => self.resolver.check_parameter(target, at),
            Scope::Declared => self.resolver.check_reference(target, at),
            Scope::Made => {
                self.resolver.check_reference(target, at)?;
                self.made(target.split('.').next().unwrap_or_default(), at)
            }
        }
    }

    fn attribute(&self, logical_id: &str, attribute: &str, at: &At) -> Result<(), TemplateError> {
        if self.scope == Scope::Parameters {
            return Err(at.error(format!("{logical_id} is no parameter, and only parameters have a value here")));
        }
        self.resolver.check_attribute(logical_id, attribute, at)?;
        if self.scope == Scope::Made { self.made(logical_id, at) } else { Ok(()) }
    }

    /// Refuses a resource that its condition leaves out.
    fn made(&self, logical_id: &str, at: &At) -> Result<(), TemplateError> {
        match self.resolver.resource(logical_id) {
            Some(resource) if !self.resolver.is_wanted(resource, at)? => {
                let condition = resource["Condition"].as_str().unwrap_or_default();
                Err(at.error(format!("there is no resource {logical_id}, because its condition {condition} is false")))
            }
            _ => Ok(()),
        }
    }
}
