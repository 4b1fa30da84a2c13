//! The last step after the intrinsics: the twin's addresses in place of those of AWS, and dynamic references.

use serde_json::{Map, Value};

use super::at::{At, text_of};
use super::{IMPLICIT_HTTP_API, Resolver};
use crate::template::TemplateError;

impl Resolver<'_> {
    /// A value with the twin's addresses and without dynamic references.
    pub(super) fn finish(&self, value: Value, at: &At) -> Result<Value, TemplateError> {
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
            let arn = self.secret_arn(logical_id)?;
            let name = self.physical_name(logical_id, "Name")?;
            let Some(rest) = secret.strip_prefix(&arn).or_else(|| secret.strip_prefix(&name)) else { continue };
            if !rest.is_empty() && !rest.starts_with(':') {
                continue;
            }
            let value = self.secret_value(logical_id)?;
            // `:SecretString:<key>:<version stage>:<version id>` follows, all of it optional.
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

    /// The value of a secret of the template. A generated one is created if it does not exist yet.
    pub(in crate::template) fn secret_value(&self, logical_id: &str) -> Result<String, TemplateError> {
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
