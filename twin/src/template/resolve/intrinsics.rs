//! The intrinsic functions, one method each.

use serde_json::{Map, Value};

use super::at::{At, text_of};
use super::{Resolver, URL_SUFFIX};
use crate::template::TemplateError;

type Resolved = Result<Option<Value>, TemplateError>;

impl Resolver<'_> {
    /// The result of an intrinsic function; `None` is `AWS::NoValue`.
    pub(super) fn intrinsic(&self, name: &str, argument: &Value, at: &At) -> Resolved {
        let at = &at.child(name);
        match name {
            "Ref" => self.fn_ref(argument, at),
            "Fn::Base64" => self.fn_base64(argument, at),
            "Fn::FindInMap" => self.fn_find_in_map(argument, at),
            "Fn::GetAtt" => self.fn_get_att(argument, at),
            "Fn::GetAZs" => Ok(Some(self.zones())),
            "Fn::If" => self.fn_if(argument, at),
            "Fn::Join" => self.fn_join(argument, at),
            "Fn::Length" => self.fn_length(argument, at),
            "Fn::Select" => self.fn_select(argument, at),
            "Fn::Split" => self.fn_split(argument, at),
            "Fn::Sub" => self.fn_sub(argument, at),
            "Fn::ToJsonString" => Ok(Some(Value::String(self.some(argument, at)?.to_string()))),
            "Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not" | "Condition" => {
                let condition = Value::Object(Map::from_iter([(name.to_owned(), argument.clone())]));
                Ok(Some(Value::Bool(self.truth(&condition, at)?)))
            }
            unsupported => Err(at.error(format!("{unsupported} has no counterpart on this machine"))),
        }
    }

    fn fn_ref(&self, argument: &Value, at: &At) -> Resolved {
        let target = argument.as_str().ok_or_else(|| wants("a name", at))?;
        self.reference(target, at)
    }

    fn fn_base64(&self, argument: &Value, at: &At) -> Resolved {
        let text = text_of(&self.some(argument, at)?, at)?;
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
        Ok(Some(Value::String(encoded)))
    }

    fn fn_find_in_map(&self, argument: &Value, at: &At) -> Resolved {
        let resolved = self.some(argument, at)?;
        let parts = resolved.as_array().map(Vec::as_slice).unwrap_or_default();
        let [Value::String(map), Value::String(first), Value::String(second), options @ ..] = parts else {
            return Err(wants("a map and two keys", at));
        };
        let found = self.document.get("Mappings").and_then(|maps| maps.get(map)?.get(first)?.get(second));
        // AWS::LanguageExtensions takes a value for keys that the map does not have.
        let found = found.or_else(|| options.first()?.get("DefaultValue"));
        let found = found.ok_or_else(|| at.error(format!("no entry {first}.{second} in the mapping {map}")))?;
        Ok(Some(found.clone()))
    }

    fn fn_get_att(&self, argument: &Value, at: &At) -> Resolved {
        let resolved = self.some(argument, at)?;
        let parts: Vec<&str> = match &resolved {
            Value::String(text) => text.splitn(2, '.').collect(),
            Value::Array(parts) => parts.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let [resource, attribute @ ..] = parts.as_slice() else {
            return Err(wants("a resource and an attribute", at));
        };
        Ok(Some(Value::String(self.attribute(resource, &attribute.join("."), at)?)))
    }

    fn fn_if(&self, argument: &Value, at: &At) -> Resolved {
        let Some([Value::String(condition), then, otherwise]) = argument.as_array().map(Vec::as_slice) else {
            return Err(wants("a condition and two values", at));
        };
        let chosen = if self.condition(condition, at)? { then } else { otherwise };
        self.evaluate(chosen, at)
    }

    fn fn_join(&self, argument: &Value, at: &At) -> Resolved {
        let resolved = self.some(argument, at)?;
        let Some([Value::String(separator), Value::Array(parts)]) = resolved.as_array().map(Vec::as_slice) else {
            return Err(wants("a separator and a list", at));
        };
        let parts = parts.iter().map(|part| text_of(part, at)).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Value::String(parts.join(separator))))
    }

    fn fn_length(&self, argument: &Value, at: &At) -> Resolved {
        match self.some(argument, at)? {
            Value::Array(items) => Ok(Some(Value::from(items.len()))),
            _ => Err(wants("a list", at)),
        }
    }

    fn fn_select(&self, argument: &Value, at: &At) -> Resolved {
        let resolved = self.some(argument, at)?;
        let Some([index, Value::Array(items)]) = resolved.as_array().map(Vec::as_slice) else {
            return Err(wants("an index and a list", at));
        };
        let index: usize = text_of(index, at)?.parse().map_err(|_| wants("a number as index", at))?;
        let item = items.get(index).ok_or_else(|| at.error(format!("the list has no item {index}")))?;
        Ok(Some(item.clone()))
    }

    fn fn_split(&self, argument: &Value, at: &At) -> Resolved {
        let resolved = self.some(argument, at)?;
        let Some([Value::String(separator), Value::String(text)]) = resolved.as_array().map(Vec::as_slice) else {
            return Err(wants("a separator and a text", at));
        };
        Ok(Some(Value::from(text.split(separator.as_str()).collect::<Vec<_>>())))
    }

    fn fn_sub(&self, argument: &Value, at: &At) -> Resolved {
        let none = Map::new();
        let (text, variables) = match argument {
            Value::String(text) => (text, &none),
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(text), Value::Object(variables)] => (text, variables),
                _ => return Err(wants("a text and its variables", at)),
            },
            _ => return Err(wants("a text", at)),
        };
        Ok(Some(Value::String(self.substitute(text, variables, at)?)))
    }

    /// The availability zones of the region.
    fn zones(&self) -> Value {
        let region = &self.settings.region;
        Value::from(["a", "b", "c"].map(|zone| format!("{region}{zone}")).to_vec())
    }

    /// A value that must not be `AWS::NoValue`.
    pub(super) fn some(&self, value: &Value, at: &At) -> Result<Value, TemplateError> {
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
            // `${!Literal}` is an escape for `${Literal}`.
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
}

fn wants(what: &str, at: &At) -> TemplateError {
    at.error(format!("wants {what}"))
}
