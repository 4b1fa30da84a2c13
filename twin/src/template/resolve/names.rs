//! Names of resources: physical names, URLs, ARNs and the ids of APIs.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::at::At;
use super::{IMPLICIT_HTTP_API, Resolver, URL_SUFFIX};
use crate::iam::Arns;
use crate::ids::{hexadecimal, secret_suffix, uuid_of};
use crate::template::TemplateError;

/// An attribute that is derived from the physical name of its resource.
struct Attribute {
    kinds: &'static [&'static str],
    attribute: &'static str,
    /// The property that has the physical name.
    name: &'static str,
    written: fn(&Resolver<'_>, &str) -> String,
}

const ATTRIBUTES: &[Attribute] = &[
    Attribute {
        kinds: &["AWS::Serverless::Function", "AWS::Lambda::Function"],
        attribute: "Arn",
        name: "FunctionName",
        written: |resolver, name| resolver.function_arn(name),
    },
    Attribute {
        kinds: &["AWS::SQS::Queue"],
        attribute: "Arn",
        name: "QueueName",
        written: |resolver, name| resolver.queue_arn(name),
    },
    Attribute {
        kinds: &["AWS::SQS::Queue"],
        attribute: "QueueName",
        name: "QueueName",
        written: |_, name| name.to_owned(),
    },
    Attribute {
        kinds: &["AWS::SQS::Queue"],
        attribute: "QueueUrl",
        name: "QueueName",
        written: |resolver, name| resolver.queue_url(name),
    },
    Attribute {
        kinds: &["AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable", "AWS::Serverless::SimpleTable"],
        attribute: "Arn",
        name: "TableName",
        written: |resolver, name| resolver.arn("dynamodb", &format!("table/{name}")),
    },
    Attribute {
        kinds: &["AWS::SNS::Topic"],
        attribute: "TopicArn",
        name: "TopicName",
        written: |resolver, name| resolver.arn("sns", name),
    },
    Attribute {
        kinds: &["AWS::SNS::Topic"],
        attribute: "TopicName",
        name: "TopicName",
        written: |_, name| name.to_owned(),
    },
    Attribute {
        kinds: &["AWS::IAM::Role"],
        attribute: "Arn",
        name: "RoleName",
        written: |resolver, name| format!("arn:aws:iam::{}:role/{name}", resolver.settings.account_id),
    },
    Attribute {
        kinds: &["AWS::Logs::LogGroup"],
        attribute: "Arn",
        name: "LogGroupName",
        written: |resolver, name| resolver.arn("logs", &format!("log-group:{name}:*")),
    },
];

/// The types of which `!Ref` is the physical name, each with the property that has it.
const NAMED: [(&str, &str); 9] = [
    ("AWS::DynamoDB::GlobalTable", "TableName"),
    ("AWS::DynamoDB::Table", "TableName"),
    ("AWS::IAM::Role", "RoleName"),
    ("AWS::KMS::Alias", "AliasName"),
    ("AWS::Lambda::Function", "FunctionName"),
    ("AWS::Logs::LogGroup", "LogGroupName"),
    ("AWS::S3::Bucket", "BucketName"),
    ("AWS::Serverless::Function", "FunctionName"),
    ("AWS::Serverless::SimpleTable", "TableName"),
];

/// The parameters that every template has.
const PSEUDO_PARAMETERS: [&str; 8] = [
    "AWS::AccountId",
    "AWS::NoValue",
    "AWS::NotificationARNs",
    "AWS::Partition",
    "AWS::Region",
    "AWS::StackId",
    "AWS::StackName",
    "AWS::URLSuffix",
];

/// The APIs that SAM generates for events that name none. The names of their parts begin with these.
const IMPLICIT_APIS: [&str; 2] = [IMPLICIT_HTTP_API, "ServerlessRestApi"];

/// All attributes of a resource type that the twin serves, including those for which it has only a placeholder.
fn attributes(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "AWS::Serverless::Function" | "AWS::Lambda::Function" => &["Arn"],
        "AWS::SQS::Queue" => &["Arn", "QueueName", "QueueUrl"],
        "AWS::DynamoDB::Table" | "AWS::Serverless::SimpleTable" => &["Arn", "StreamArn"],
        "AWS::DynamoDB::GlobalTable" => &["Arn", "StreamArn", "TableId"],
        "AWS::SecretsManager::Secret" => &["Id"],
        "AWS::KMS::Key" => &["Arn", "KeyId"],
        "AWS::SNS::Topic" => &["TopicArn", "TopicName"],
        _ => return None,
    })
}

/// A route key as SAM writes it in logical ids: `ping` is `Ping`, and `$connect` is `Connect`.
pub(in crate::template) fn capitalised(key: &str) -> String {
    let key = key.trim_start_matches('$').to_lowercase();
    let mut characters = key.chars();
    characters.next().into_iter().flat_map(char::to_uppercase).chain(characters.clone()).collect()
}

/// Refuses an attribute that resources of this type do not have.
fn check_attribute_of(kind: &str, logical_id: &str, attribute: &str, at: &At) -> Result<(), TemplateError> {
    match attributes(kind).filter(|known| !known.contains(&attribute)) {
        Some(known) => {
            let known = known.join(", ");
            Err(at.error(format!("{logical_id} has no attribute {attribute}; an {kind} has {known}")))
        }
        None => Ok(()),
    }
}

impl Resolver<'_> {
    /// Refuses a reference to what is no parameter.
    pub(in crate::template) fn check_parameter(&self, target: &str, at: &At) -> Result<(), TemplateError> {
        match PSEUDO_PARAMETERS.contains(&target) || self.parameters.contains_key(target) {
            true => Ok(()),
            false => Err(at.error(format!("there is no parameter {target}"))),
        }
    }

    /// Refuses a reference to a name that is neither a parameter nor a resource, nor generated by SAM.
    pub(in crate::template) fn check_reference(&self, target: &str, at: &At) -> Result<(), TemplateError> {
        if target.starts_with("AWS::") && !PSEUDO_PARAMETERS.contains(&target) {
            let known = PSEUDO_PARAMETERS.join(", ");
            return Err(at.error(format!("there is no pseudo parameter {target}; there are {known}")));
        }
        let is_there = PSEUDO_PARAMETERS.contains(&target)
            || self.parameters.contains_key(target)
            || self.resource(target).is_some()
            || IMPLICIT_APIS.iter().any(|implicit| target.starts_with(implicit));
        if is_there { Ok(()) } else { self.generated_reference(target, at).map(drop) }
    }

    /// Refuses an attribute of a resource that does not exist, or that has no such attribute.
    pub(in crate::template) fn check_attribute(
        &self,
        logical_id: &str,
        attribute: &str,
        at: &At,
    ) -> Result<(), TemplateError> {
        match self.resource(logical_id) {
            Some(resource) => {
                check_attribute_of(resource["Type"].as_str().unwrap_or_default(), logical_id, attribute, at)
            }
            None => self.check_reference(logical_id, at),
        }
    }

    /// The physical name of a resource: the value of its name property, or the stack's name and its logical id.
    pub(in crate::template) fn physical_name(&self, logical_id: &str, property: &str) -> Result<String, TemplateError> {
        let at = At::resource(logical_id).child(property);
        let named = self.resource(logical_id).and_then(|resource| resource.get("Properties")?.get(property));
        if let Some(Value::String(name)) = named.map(|name| self.evaluate(name, &at)).transpose()?.flatten() {
            return Ok(name);
        }
        let name = format!("{}-{logical_id}", self.settings.stack_name);
        Ok(match property {
            "QueueName" if self.is_fifo(logical_id)? => format!("{name}.fifo"),
            _ => name,
        })
    }

    /// Whether a queue is FIFO.
    pub(in crate::template) fn is_fifo(&self, logical_id: &str) -> Result<bool, TemplateError> {
        self.is_set(logical_id, "FifoQueue")
    }

    fn is_set(&self, logical_id: &str, property: &str) -> Result<bool, TemplateError> {
        let at = At::resource(logical_id).child(property);
        let flag = self.resource(logical_id).and_then(|resource| resource.get("Properties")?.get(property));
        let flag = flag.map(|flag| self.evaluate(flag, &at)).transpose()?.flatten();
        Ok(flag.is_some_and(|flag| flag == true || flag == "true"))
    }

    /// The id of a key of KMS, always the same for the same stack and logical id.
    pub(in crate::template) fn key_id(&self, logical_id: &str) -> Result<String, TemplateError> {
        let digest = Sha256::digest(format!("{}/{logical_id}", self.settings.stack_name));
        let id = uuid_of(digest.as_slice().first_chunk().copied().unwrap_or_default());
        let is_multi_region = self.is_set(logical_id, "MultiRegion")?;
        Ok(if is_multi_region { format!("mrk-{}", id.replace('-', "")) } else { id })
    }

    /// The id of an API: ten characters like those of API Gateway, and always the same for the same logical id.
    pub(in crate::template) fn api_id(&self, logical_id: &str) -> String {
        hexadecimal(&Sha256::digest(logical_id)[..5])
    }

    /// The stage of an API, as its resource names it, or else SAM's default.
    pub(in crate::template) fn stage_name(&self, logical_id: &str) -> Result<String, TemplateError> {
        let at = At::resource(logical_id).child("StageName");
        let resource = self.resource(logical_id);
        let stage = self.with_globals(logical_id).and_then(|properties| properties.get("StageName").cloned());
        match stage.map(|stage| self.evaluate(&stage, &at)).transpose()?.flatten() {
            Some(Value::String(stage)) => Ok(stage),
            _ if resource.is_some_and(|resource| resource["Type"] == "AWS::Serverless::WebSocketApi") => {
                Ok("default".to_owned())
            }
            _ => Ok("$default".to_owned()),
        }
    }

    pub(super) fn resource_reference(&self, target: &str, at: &At) -> Result<String, TemplateError> {
        let Some(resource) = self.resource(target) else {
            return self.generated_reference(target, at);
        };
        let kind = resource["Type"].as_str().unwrap_or_default();
        if let Some((_, name)) = NAMED.iter().find(|(named, _)| *named == kind) {
            return self.physical_name(target, name);
        }
        Ok(match kind {
            "AWS::SQS::Queue" => self.queue_url(&self.physical_name(target, "QueueName")?),
            "AWS::Serverless::HttpApi" | "AWS::Serverless::WebSocketApi" | "AWS::ApiGatewayV2::Api" => {
                self.api_id(target)
            }
            "AWS::ApiGatewayV2::Stage" => self.stage_name(target)?,
            "AWS::SecretsManager::Secret" => self.secret_arn(target)?,
            "AWS::KMS::Key" => self.key_id(target)?,
            "AWS::SNS::Topic" => self.arn("sns", &self.physical_name(target, "TopicName")?),
            "AWS::IAM::ManagedPolicy" => self.policy_arn(target)?,
            // A reference to a route, an integration or any other resource that only the template uses is its logical
            // id.
            _ => target.to_owned(),
        })
    }

    /// A name that SAM generates beside a resource: `Api.Stage`, `Function.Alias`, `WebSocketApiPingRoute`,
    /// `FunctionRole`.
    fn generated_reference(&self, target: &str, at: &At) -> Result<String, TemplateError> {
        if IMPLICIT_APIS.contains(&target) {
            return Ok(self.api_id(target));
        }
        if let Some((logical_id, property)) = target.split_once('.') {
            match property {
                "Stage" if self.resource(logical_id).is_some() => return self.stage_name(logical_id),
                "Alias" | "Version" if self.resource(logical_id).is_some() => {
                    return Ok(format!("{}:live", self.attribute(logical_id, "Arn", at)?));
                }
                _ => {}
            }
        }
        self.check_generated_route(target, at)?;
        let resources = self.document.get("Resources").and_then(Value::as_object);
        let is_generated = resources.into_iter().flatten().any(|(logical_id, resource)| {
            target.starts_with(logical_id.as_str())
                && resource["Type"].as_str().is_some_and(|kind| kind.starts_with("AWS::Serverless::"))
        });
        match is_generated {
            true => Ok(target.to_owned()),
            false => Err(at.error(format!("there is no parameter and no resource {target}"))),
        }
    }

    /// Refuses a route of a WebSocket API that SAM does not generate: `WsdefaultRoute`, for the route `$default` of
    /// `Ws`.
    fn check_generated_route(&self, target: &str, at: &At) -> Result<(), TemplateError> {
        let resources = self.document.get("Resources").and_then(Value::as_object);
        let sockets = resources.into_iter().flatten().filter(|(_, it)| it["Type"] == "AWS::Serverless::WebSocketApi");
        for (logical_id, api) in sockets {
            let Some(rest) = target.strip_prefix(logical_id.as_str()) else { continue };
            let Some(suffix) = ["Route", "Integration"].into_iter().find(|suffix| rest.ends_with(suffix)) else {
                continue;
            };
            let routes = api["Properties"]["Routes"].as_object().into_iter().flatten();
            let made: Vec<String> =
                routes.map(|(key, _)| format!("{logical_id}{}{suffix}", capitalised(key))).collect();
            if !made.iter().any(|made| made == target) {
                let message = format!("SAM generates no {target}: of {logical_id} it generates {}", made.join(", "));
                return Err(at.error(message));
            }
        }
        Ok(())
    }

    pub(super) fn attribute(&self, logical_id: &str, attribute: &str, at: &At) -> Result<String, TemplateError> {
        let Some(resource) = self.resource(logical_id) else {
            let generated = self.generated_reference(logical_id, at)?;
            return Ok(match attribute {
                "Arn" => format!("arn:aws:iam::{}:role/{generated}", self.settings.account_id),
                "ApiEndpoint" => self.execute_api(&generated, "https"),
                _ => generated,
            });
        };
        let kind = resource["Type"].as_str().unwrap_or_default();
        let known = ATTRIBUTES.iter().find(|known| known.kinds.contains(&kind) && known.attribute == attribute);
        if let Some(Attribute { name, written, .. }) = known {
            return Ok(written(self, &self.physical_name(logical_id, name)?));
        }
        check_attribute_of(kind, logical_id, attribute, at)?;
        Ok(match (kind, attribute) {
            ("AWS::Serverless::HttpApi" | "AWS::Serverless::WebSocketApi" | "AWS::ApiGatewayV2::Api", "ApiId") => {
                self.api_id(logical_id)
            }
            ("AWS::Serverless::HttpApi" | "AWS::ApiGatewayV2::Api", "ApiEndpoint")
                if resource["Properties"]["ProtocolType"] != "WEBSOCKET" =>
            {
                self.execute_api(&self.api_id(logical_id), "https")
            }
            ("AWS::Serverless::WebSocketApi" | "AWS::ApiGatewayV2::Api", "ApiEndpoint") => {
                self.execute_api(&self.api_id(logical_id), "wss")
            }
            ("AWS::SecretsManager::Secret", "Id") => self.secret_arn(logical_id)?,
            ("AWS::IAM::ManagedPolicy", "PolicyArn") => self.policy_arn(logical_id)?,
            ("AWS::KMS::Key", "KeyId") => self.key_id(logical_id)?,
            ("AWS::KMS::Key", "Arn") => self.arn("kms", &format!("key/{}", self.key_id(logical_id)?)),
            _ => {
                self.warn(format!(
                    "{logical_id}.{attribute} of a {kind} is not known here; a placeholder stands for it"
                ));
                format!("{logical_id}.{attribute}")
            }
        })
    }

    /// A writer of ARNs in the twin's account.
    pub(in crate::template) fn arns(&self) -> Arns {
        Arns::new(&self.settings.region, &self.settings.account_id)
    }

    pub(super) fn arn(&self, service: &str, resource: &str) -> String {
        self.arns().of(service, resource)
    }

    /// The type of a resource.
    pub(in crate::template) fn kind(&self, logical_id: &str) -> Option<&str> {
        self.resource(logical_id)?.get("Type")?.as_str()
    }

    /// The resources of these types, except those whose condition is false.
    pub(in crate::template) fn of_kinds(&self, kinds: &[&str]) -> Result<Vec<String>, TemplateError> {
        let resources = self.document.get("Resources").and_then(Value::as_object);
        let mut found = Vec::new();
        for (logical_id, resource) in resources.into_iter().flatten() {
            let is_one = resource["Type"].as_str().is_some_and(|kind| kinds.contains(&kind));
            if is_one && self.is_wanted(resource, &At::resource(logical_id))? {
                found.push(logical_id.clone());
            }
        }
        Ok(found)
    }

    /// The resource of a type whose physical name, by this property, is this one.
    pub(in crate::template) fn named(
        &self,
        kind: &str,
        property: &str,
        name: &str,
    ) -> Result<Option<String>, TemplateError> {
        for logical_id in self.of_kinds(&[kind])? {
            if self.physical_name(&logical_id, property)? == name {
                return Ok(Some(logical_id));
            }
        }
        Ok(None)
    }

    /// The ARN of a managed policy of the template.
    pub(in crate::template) fn policy_arn(&self, logical_id: &str) -> Result<String, TemplateError> {
        let at = At::resource(logical_id).child("Path");
        let path = self.resource(logical_id).and_then(|policy| policy.get("Properties")?.get("Path"));
        let path = path.map(|path| self.evaluate(path, &at)).transpose()?.flatten();
        let path = path.as_ref().and_then(Value::as_str).unwrap_or("/");
        let name = self.physical_name(logical_id, "ManagedPolicyName")?;
        Ok(format!("arn:aws:iam::{}:policy{path}{name}", self.settings.account_id))
    }

    /// The ARN of a secret of the template.
    pub(super) fn secret_arn(&self, logical_id: &str) -> Result<String, TemplateError> {
        let name = self.physical_name(logical_id, "Name")?;
        Ok(self.arn("secretsmanager", &format!("secret:{name}-{}", secret_suffix(&name))))
    }

    /// The ARN of a function of this name.
    pub(in crate::template) fn function_arn(&self, name: &str) -> String {
        self.arn("lambda", &format!("function:{name}"))
    }

    /// The ARN of a queue of this name.
    pub(in crate::template) fn queue_arn(&self, name: &str) -> String {
        self.arn("sqs", name)
    }

    /// The URL of a queue of this name.
    pub(in crate::template) fn queue_url(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.settings.aws_url.trim_end_matches('/'), self.settings.account_id)
    }

    pub(super) fn execute_api(&self, api_id: &str, scheme: &str) -> String {
        format!("{scheme}://{api_id}.execute-api.{}.{URL_SUFFIX}", self.settings.region)
    }
}
