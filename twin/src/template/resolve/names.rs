//! What resources are called: physical names, URLs, ARNs and the ids of APIs.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::at::At;
use super::{IMPLICIT_HTTP_API, Resolver, URL_SUFFIX};
use crate::iam::Arns;
use crate::ids::{hexadecimal, secret_suffix};
use crate::template::TemplateError;

/// An attribute that is written from the physical name of its resource.
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

/// The APIs that SAM makes for events that name none, and the beginnings of what belongs to them.
const IMPLICIT_APIS: [&str; 2] = [IMPLICIT_HTTP_API, "ServerlessRestApi"];

/// All attributes of a resource type that the twin serves, those included for which it has a placeholder only.
fn attributes(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "AWS::Serverless::Function" | "AWS::Lambda::Function" => &["Arn"],
        "AWS::SQS::Queue" => &["Arn", "QueueName", "QueueUrl"],
        "AWS::DynamoDB::Table" | "AWS::Serverless::SimpleTable" => &["Arn", "StreamArn"],
        "AWS::DynamoDB::GlobalTable" => &["Arn", "StreamArn", "TableId"],
        "AWS::SecretsManager::Secret" => &["Id"],
        "AWS::SNS::Topic" => &["TopicArn", "TopicName"],
        _ => return None,
    })
}

/// `ping` is `Ping` and `$connect` is `Connect` in the logical ids that SAM makes of route keys.
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
    /// Refuses a reference to what is neither a parameter nor a resource, nor made by SAM.
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

    /// Refuses an attribute of a resource that is not there, or that has no such attribute.
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

    /// The physical name of a resource: what its name property says, or the stack's name and its logical id.
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
        let at = At::resource(logical_id).child("FifoQueue");
        let fifo = self.resource(logical_id).and_then(|queue| queue.get("Properties")?.get("FifoQueue"));
        let fifo = fifo.map(|fifo| self.evaluate(fifo, &at)).transpose()?.flatten();
        Ok(fifo.is_some_and(|fifo| fifo == true || fifo == "true"))
    }

    /// The id of an API: ten characters as API Gateway's, and always the same for the same logical id.
    pub(in crate::template) fn api_id(&self, logical_id: &str) -> String {
        hexadecimal(&Sha256::digest(logical_id)[..5])
    }

    /// The stage of an API, as the resource names it or as SAM does where it is silent.
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
        Ok(match resource["Type"].as_str().unwrap_or_default() {
            "AWS::Serverless::Function" | "AWS::Lambda::Function" => self.physical_name(target, "FunctionName")?,
            "AWS::SQS::Queue" => self.queue_url(&self.physical_name(target, "QueueName")?),
            "AWS::DynamoDB::Table" | "AWS::DynamoDB::GlobalTable" | "AWS::Serverless::SimpleTable" => {
                self.physical_name(target, "TableName")?
            }
            "AWS::Serverless::HttpApi" | "AWS::Serverless::WebSocketApi" | "AWS::ApiGatewayV2::Api" => {
                self.api_id(target)
            }
            "AWS::ApiGatewayV2::Stage" => self.stage_name(target)?,
            "AWS::SecretsManager::Secret" => self.secret_arn(target)?,
            "AWS::SNS::Topic" => self.arn("sns", &self.physical_name(target, "TopicName")?),
            "AWS::Logs::LogGroup" => self.physical_name(target, "LogGroupName")?,
            "AWS::IAM::Role" => self.physical_name(target, "RoleName")?,
            "AWS::S3::Bucket" => self.physical_name(target, "BucketName")?,
            // A route, an integration and whatever else is only referred to within the template is its logical id.
            _ => target.to_owned(),
        })
    }

    /// What SAM makes beside a resource: `Api.Stage`, `Function.Alias`, `WebSocketApiPingRoute`, `FunctionRole`.
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

    /// Refuses a route of a WebSocket API that SAM does not make: `WsdefaultRoute`, for the route `$default` of `Ws`.
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
                let message = format!("SAM makes no {target}: of {logical_id} it makes {}", made.join(", "));
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
            _ => {
                self.warn(format!(
                    "{logical_id}.{attribute} of a {kind} is not known here; a placeholder stands for it"
                ));
                format!("{logical_id}.{attribute}")
            }
        })
    }

    /// Writes ARNs of the account that the twin plays.
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

    /// The resources of these types, but for those whose condition is false.
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
