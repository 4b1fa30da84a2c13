//! Intrinsic functions, pseudo parameters, conditions and dynamic references.

mod names;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::secrets::Secrets;
use super::{Settings, TemplateError};

/// How deep intrinsics may lead to one another; a template that refers to itself ends here instead of never.
const MAX_DEPTH: usize = 64;
/// `AWS::URLSuffix`.
const URL_SUFFIX: &str = "amazonaws.com";
/// The API that SAM makes for `HttpApi` events that name none.
pub(super) const IMPLICIT_HTTP_API: &str = "ServerlessHttpApi";

/// Where a value stands, for errors.
#[derive(Debug, Clone)]
pub(super) struct At {
    owner: String,
    path: String,
}

impl At {
    /// Something that is not a resource: `output ApiUrl`.
    pub(super) fn new(owner: impl Into<String>) -> Self {
        Self { owner: owner.into(), path: String::new() }
    }

    /// A resource.
    pub(super) fn resource(logical_id: &str) -> Self {
        Self::new(format!("resource {logical_id}"))
    }

    /// What stands below this.
    pub(super) fn child(&self, name: impl std::fmt::Display) -> Self {
        let path = if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) };
        Self { owner: self.owner.clone(), path }
    }

    /// An error here.
    pub(super) fn error(&self, message: impl Into<String>) -> TemplateError {
        let place = match self.path.as_str() {
            "" => self.owner.clone(),
            path => format!("{}, property {path}", self.owner),
        };
        TemplateError::Invalid { place, message: message.into() }
    }
}

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
        let parameters = parameters(document, settings)?;
        Ok(Self {
            settings,
            document,
            parameters,
            secrets: RefCell::new(secrets),
            warnings: RefCell::default(),
            depth: Cell::new(0),
        })
    }

    /// Says something once.
    pub(super) fn warn(&self, message: impl Into<String>) {
        self.warnings.borrow_mut().insert(message.into());
    }

    pub(super) fn into_warnings(self) -> Vec<String> {
        self.warnings.into_inner().into_iter().collect()
    }

    /// A resource as written, unless its condition is false.
    pub(super) fn resource(&self, logical_id: &str) -> Option<&'a Value> {
        self.document.get("Resources")?.get(logical_id)
    }

    /// Whether a resource or an output is there at all.
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
        let section = resource["Type"].as_str().and_then(|kind| kind.strip_prefix("AWS::Serverless::"));
        let global = section.and_then(|section| self.document.get("Globals")?.get(section));
        let mut merged = global.cloned().unwrap_or_else(|| Value::Object(Map::new()));
        merge(&mut merged, resource.get("Properties").unwrap_or(&Value::Null));
        match merged {
            Value::Object(properties) => Some(properties),
            _ => None,
        }
    }

    /// One step further into values that lead to others.
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

    fn intrinsic(&self, name: &str, argument: &Value, at: &At) -> Result<Option<Value>, TemplateError> {
        let at = &at.child(name);
        let malformed = |wants: &str| at.error(format!("wants {wants}"));
        Ok(Some(match name {
            "Ref" => {
                let target = argument.as_str().ok_or_else(|| malformed("a name"))?;
                return self.reference(target, at);
            }
            "Fn::GetAtt" => {
                let resolved = self.some(argument, at)?;
                let parts: Vec<&str> = match &resolved {
                    Value::String(text) => text.splitn(2, '.').collect(),
                    Value::Array(parts) => parts.iter().filter_map(Value::as_str).collect(),
                    _ => Vec::new(),
                };
                let [resource, attribute @ ..] = parts.as_slice() else {
                    return Err(malformed("a resource and an attribute"));
                };
                Value::String(self.attribute(resource, &attribute.join("."), at)?)
            }
            "Fn::Sub" => match argument {
                Value::String(text) => Value::String(self.substitute(text, &Map::new(), at)?),
                Value::Array(parts) => match parts.as_slice() {
                    [Value::String(text), Value::Object(variables)] => {
                        Value::String(self.substitute(text, variables, at)?)
                    }
                    _ => return Err(malformed("a text and its variables")),
                },
                _ => return Err(malformed("a text")),
            },
            "Fn::Join" => {
                let resolved = self.some(argument, at)?;
                let parts = resolved.as_array().map(Vec::as_slice).unwrap_or_default();
                let [Value::String(separator), Value::Array(parts)] = parts else {
                    return Err(malformed("a separator and a list"));
                };
                let parts = parts.iter().map(|part| text_of(part, at)).collect::<Result<Vec<_>, _>>()?;
                Value::String(parts.join(separator))
            }
            "Fn::Split" => {
                let resolved = self.some(argument, at)?;
                let parts = resolved.as_array().map(Vec::as_slice).unwrap_or_default();
                let [Value::String(separator), Value::String(text)] = parts else {
                    return Err(malformed("a separator and a text"));
                };
                Value::from(text.split(separator.as_str()).collect::<Vec<_>>())
            }
            "Fn::Select" => {
                let resolved = self.some(argument, at)?;
                let parts = resolved.as_array().map(Vec::as_slice).unwrap_or_default();
                let [index, Value::Array(items)] = parts else {
                    return Err(malformed("an index and a list"));
                };
                let index: usize = text_of(index, at)?.parse().map_err(|_| malformed("a number as index"))?;
                items.get(index).cloned().ok_or_else(|| at.error(format!("the list has no item {index}")))?
            }
            "Fn::If" => match argument.as_array().map(Vec::as_slice) {
                Some([Value::String(condition), then, otherwise]) => {
                    let chosen = if self.condition(condition, at)? { then } else { otherwise };
                    return self.evaluate(chosen, at);
                }
                _ => return Err(malformed("a condition and two values")),
            },
            "Fn::FindInMap" => {
                let resolved = self.some(argument, at)?;
                let keys: Vec<&str> = resolved.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let [map, first, second, ..] = keys.as_slice() else {
                    return Err(malformed("a map and two keys"));
                };
                let found = self.document.get("Mappings").and_then(|maps| maps.get(map)?.get(first)?.get(second));
                found.cloned().ok_or_else(|| at.error(format!("no entry {first}.{second} in the mapping {map}")))?
            }
            "Fn::Base64" => {
                let text = text_of(&self.some(argument, at)?, at)?;
                Value::String(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text))
            }
            "Fn::Length" => match self.some(argument, at)? {
                Value::Array(items) => Value::from(items.len()),
                _ => return Err(malformed("a list")),
            },
            "Fn::ToJsonString" => Value::String(self.some(argument, at)?.to_string()),
            "Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not" | "Condition" => {
                let condition = Value::Object(Map::from_iter([(name.to_owned(), argument.clone())]));
                Value::Bool(self.truth(&condition, at)?)
            }
            "Fn::GetAZs" => {
                let region = &self.settings.region;
                Value::from(["a", "b", "c"].map(|zone| format!("{region}{zone}")).to_vec())
            }
            unsupported => return Err(at.error(format!("{unsupported} has no counterpart on this machine"))),
        }))
    }

    fn some(&self, value: &Value, at: &At) -> Result<Value, TemplateError> {
        self.evaluate(value, at)?.ok_or_else(|| at.error("AWS::NoValue has no place here"))
    }

    fn reference(&self, target: &str, at: &At) -> Result<Option<Value>, TemplateError> {
        let settings = self.settings;
        let text = match target {
            "AWS::NoValue" => return Ok(None),
            "AWS::NotificationARNs" => return Ok(Some(Value::Array(Vec::new()))),
            "AWS::Region" => settings.region.clone(),
            "AWS::AccountId" => settings.account_id.clone(),
            "AWS::StackName" => settings.stack_name.clone(),
            "AWS::StackId" => {
                let (region, account, stack) = (&settings.region, &settings.account_id, &settings.stack_name);
                format!("arn:aws:cloudformation:{region}:{account}:stack/{stack}/local")
            }
            "AWS::Partition" => "aws".to_owned(),
            "AWS::URLSuffix" => URL_SUFFIX.to_owned(),
            _ => match self.parameters.get(target) {
                Some(value) => return Ok(Some(value.clone())),
                None => self.resource_reference(target, at)?,
            },
        };
        Ok(Some(Value::String(text)))
    }

    fn substitute(&self, text: &str, variables: &Map<String, Value>, at: &At) -> Result<String, TemplateError> {
        let mut result = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            result.push_str(&rest[..start]);
            let after = &rest[start + 2..];
            let end = after.find('}').ok_or_else(|| at.error("a ${ is never closed"))?;
            let name = &after[..end];
            rest = &after[end + 1..];
            // `${!Literal}` is how a text says `${Literal}`.
            if let Some(literal) = name.strip_prefix('!') {
                result.push_str(&format!("${{{literal}}}"));
                continue;
            }
            let name = name.trim();
            let value = match variables.get(name) {
                Some(value) => self.some(value, &at.child(name))?,
                None => self.variable(name, at)?,
            };
            result.push_str(&text_of(&value, &at.child(name))?);
        }
        result.push_str(rest);
        Ok(result)
    }

    fn variable(&self, name: &str, at: &At) -> Result<Value, TemplateError> {
        if let Some((logical_id, attribute)) = name.split_once('.')
            && !matches!(attribute, "Stage" | "Alias" | "Version")
        {
            return self.attribute(logical_id, attribute, at).map(Value::String);
        }
        self.reference(name, at)?.ok_or_else(|| at.error("AWS::NoValue has no place in a text"))
    }

    fn condition(&self, name: &str, at: &At) -> Result<bool, TemplateError> {
        let condition = self.document.get("Conditions").and_then(|conditions| conditions.get(name));
        let condition = condition.ok_or_else(|| at.error(format!("there is no condition {name}")))?;
        let at = At::new(format!("condition {name}"));
        self.deeper(&at, || self.truth(condition, &at))
    }

    fn truth(&self, condition: &Value, at: &At) -> Result<bool, TemplateError> {
        let malformed = || at.error("is not a condition");
        let (name, argument) = condition.as_object().and_then(intrinsic).ok_or_else(malformed)?;
        let at = &at.child(name);
        Ok(match name {
            "Condition" => self.condition(argument.as_str().ok_or_else(malformed)?, at)?,
            "Fn::Equals" => match self.some(argument, at)?.as_array().map(Vec::as_slice) {
                Some([left, right]) => text_of(left, at)? == text_of(right, at)?,
                _ => return Err(malformed()),
            },
            "Fn::And" => argument
                .as_array()
                .ok_or_else(malformed)?
                .iter()
                .try_fold(true, |all, item| Ok::<_, TemplateError>(self.truth(item, at)? && all))?,
            "Fn::Or" => argument
                .as_array()
                .ok_or_else(malformed)?
                .iter()
                .try_fold(false, |any, item| Ok::<_, TemplateError>(self.truth(item, at)? || any))?,
            "Fn::Not" => match argument.as_array().map(Vec::as_slice) {
                Some([item]) => !self.truth(item, at)?,
                _ => return Err(malformed()),
            },
            _ => return Err(malformed()),
        })
    }

    /// What is left once intrinsics are resolved: the twin's addresses in the place of AWS's, and dynamic references.
    fn finish(&self, value: Value, at: &At) -> Result<Value, TemplateError> {
        Ok(match value {
            Value::String(text) => Value::String(self.finish_text(&text, at)?),
            Value::Array(items) => {
                let items = items.into_iter().enumerate().map(|(index, item)| self.finish(item, &at.child(index)));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Value::Object(object) => {
                let entries = object.into_iter().map(|(name, value)| {
                    let value = self.finish(value, &at.child(&name))?;
                    Ok::<_, TemplateError>((name, value))
                });
                Value::Object(entries.collect::<Result<_, _>>()?)
            }
            other => other,
        })
    }

    fn finish_text(&self, text: &str, at: &At) -> Result<String, TemplateError> {
        let mut text = text.to_owned();
        if text.contains(".execute-api.") {
            let resources = self.document.get("Resources").and_then(Value::as_object);
            let declared = resources.into_iter().flatten().map(|(logical_id, resource)| {
                let properties = &resource["Properties"];
                let websocket =
                    resource["Type"] == "AWS::Serverless::WebSocketApi" || properties["ProtocolType"] == "WEBSOCKET";
                (logical_id.as_str(), websocket)
            });
            for (logical_id, websocket) in declared.chain([(IMPLICIT_HTTP_API, false)]) {
                let id = self.api_id(logical_id);
                let https = if websocket { &self.settings.aws_url } else { &self.settings.api_url };
                text = text.replace(&self.execute_api(&id, "https"), https.trim_end_matches('/'));
                text = text.replace(&self.execute_api(&id, "wss"), self.settings.socket_url.trim_end_matches('/'));
            }
        }
        while let Some(start) = text.find("{{resolve:") {
            let length = text[start..].find("}}").ok_or_else(|| at.error("a {{resolve: is never closed"))?;
            let value = self.dynamic_reference(&text[start + 10..start + length], at)?;
            text.replace_range(start..start + length + 2, &value);
        }
        Ok(text)
    }

    fn dynamic_reference(&self, reference: &str, at: &At) -> Result<String, TemplateError> {
        let Some(secret) = reference.strip_prefix("secretsmanager:") else {
            return Err(at.error(format!("{{{{resolve:{reference}}}}} has no counterpart on this machine")));
        };
        let resources = self.document.get("Resources").and_then(Value::as_object);
        let secrets = resources.into_iter().flatten().filter(|(_, it)| it["Type"] == "AWS::SecretsManager::Secret");
        for (logical_id, _) in secrets {
            let arn = self.arn("secretsmanager", &format!("secret:{logical_id}"));
            let name = self.physical_name(logical_id, "Name")?;
            let Some(rest) = secret.strip_prefix(&arn).or_else(|| secret.strip_prefix(&name)) else { continue };
            if !rest.is_empty() && !rest.starts_with(':') {
                continue;
            }
            let value = self.secret_value(logical_id)?;
            // What follows is `:SecretString:<key>:<version stage>:<version id>`, all of it optional.
            return match rest.split(':').nth(2).filter(|key| !key.is_empty()) {
                None => Ok(value),
                Some(key) => {
                    let object: Map<String, Value> = serde_json::from_str(&value)
                        .map_err(|_| at.error(format!("the secret {logical_id} is not a JSON object")))?;
                    let value = object.get(key);
                    let value = value.ok_or_else(|| at.error(format!("the secret {logical_id} has no key {key}")))?;
                    text_of(value, at)
                }
            };
        }
        Err(at.error("it resolves a secret that the template does not make"))
    }

    fn secret_value(&self, logical_id: &str) -> Result<String, TemplateError> {
        let at = At::resource(logical_id);
        let properties = self.resource(logical_id).and_then(|resource| resource.get("Properties"));
        if let Some(text) = properties.and_then(|properties| properties.get("SecretString")) {
            return text_of(&self.some(text, &at.child("SecretString"))?, &at);
        }
        let rules = properties.and_then(|properties| properties.get("GenerateSecretString")).unwrap_or(&Value::Null);
        let rules = self.some(rules, &at.child("GenerateSecretString"))?;
        self.secrets
            .borrow_mut()
            .obtain(logical_id, &rules)
            .map_err(|source| TemplateError::Secret { secret: logical_id.to_owned(), source })
    }
}

fn parameters(document: &Value, settings: &Settings) -> Result<BTreeMap<String, Value>, TemplateError> {
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

/// The one intrinsic function that an object is, if it is one.
fn intrinsic(object: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut entries = object.iter();
    let (name, argument) = entries.next()?;
    let is_intrinsic = name == "Ref" || name.starts_with("Fn::") || (name == "Condition" && argument.is_string());
    (is_intrinsic && entries.next().is_none()).then_some((name, argument))
}

/// A scalar as CloudFormation writes it into a text.
pub(super) fn text_of(value: &Value, at: &At) -> Result<String, TemplateError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(bool) => Ok(bool.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(at.error("is not a plain value")),
    }
}

/// Lays `over` upon `below` as SAM does with `Globals`: objects key by key, lists one after the other, else replaced.
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
