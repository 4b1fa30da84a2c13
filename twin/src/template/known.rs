//! The properties of the parts of a template that control access. A misspelt one would guard nothing, so it is refused,
//! as by AWS.

use serde_json::Value;

use super::TemplateError;
use super::properties::Properties;
use super::resolve::At;

/// A part of a template: its name in messages, and its properties.
pub(super) struct Known {
    what: &'static str,
    properties: &'static [&'static str],
}

const fn known(what: &'static str, properties: &'static [&'static str]) -> Known {
    Known { what, properties }
}

pub(super) const HTTP_API: Known = known(
    "AWS::Serverless::HttpApi",
    &[
        "AccessLogSettings",
        "Auth",
        "CorsConfiguration",
        "DefaultRouteSettings",
        "DefinitionBody",
        "DefinitionUri",
        "Description",
        "DisableExecuteApiEndpoint",
        "Domain",
        "FailOnWarnings",
        "Name",
        "PropagateTags",
        "RouteSettings",
        "StageName",
        "StageVariables",
        "Tags",
    ],
);

pub(super) const HTTP_AUTH: Known =
    known("Auth of an AWS::Serverless::HttpApi", &["Authorizers", "DefaultAuthorizer", "EnableIamAuthorizer"]);

pub(super) const SOCKET_API: Known = known(
    "AWS::Serverless::WebSocketApi",
    &[
        "AccessLogSettings",
        "ApiKeySelectionExpression",
        "Auth",
        "DefaultRouteSettings",
        "Description",
        "DisableExecuteApiEndpoint",
        "DisableSchemaValidation",
        "Domain",
        "FailOnWarnings",
        "IpAddressType",
        "Name",
        "PropagateTags",
        "RouteSelectionExpression",
        "RouteSettings",
        "Routes",
        "StageName",
        "StageVariables",
        "Tags",
    ],
);

pub(super) const SOCKET_AUTH: Known =
    known("Auth of an AWS::Serverless::WebSocketApi", &["AuthArn", "AuthType", "IdentitySource", "InvokeRole", "Name"]);

pub(super) const SOCKET_ROUTE: Known = known(
    "a route of an AWS::Serverless::WebSocketApi",
    &[
        "ApiKeyRequired",
        "FunctionArn",
        "IntegrationTimeout",
        "ModelSelectionExpression",
        "OperationName",
        "RequestModels",
        "RequestParameters",
        "RouteResponseSelectionExpression",
    ],
);

pub(super) const DOMAIN: Known = known(
    "Domain of an API",
    &[
        "BasePath",
        "CertificateArn",
        "DomainName",
        "EndpointConfiguration",
        "MutualTlsAuthentication",
        "OwnershipVerificationCertificateArn",
        "Route53",
        "SecurityPolicy",
    ],
);

pub(super) const API: Known = known(
    "AWS::ApiGatewayV2::Api",
    &[
        "ApiKeySelectionExpression",
        "BasePath",
        "Body",
        "BodyS3Location",
        "CorsConfiguration",
        "CredentialsArn",
        "Description",
        "DisableExecuteApiEndpoint",
        "DisableSchemaValidation",
        "FailOnWarnings",
        "IpAddressType",
        "Name",
        "ProtocolType",
        "RouteKey",
        "RouteSelectionExpression",
        "Tags",
        "Target",
        "Version",
    ],
);

pub(super) const ROUTE: Known = known(
    "AWS::ApiGatewayV2::Route",
    &[
        "ApiId",
        "ApiKeyRequired",
        "AuthorizationScopes",
        "AuthorizationType",
        "AuthorizerId",
        "ModelSelectionExpression",
        "OperationName",
        "RequestModels",
        "RequestParameters",
        "RouteKey",
        "RouteResponseSelectionExpression",
        "Target",
    ],
);

pub(super) const INTEGRATION: Known = known(
    "AWS::ApiGatewayV2::Integration",
    &[
        "ApiId",
        "ConnectionId",
        "ConnectionType",
        "ContentHandlingStrategy",
        "CredentialsArn",
        "Description",
        "IntegrationMethod",
        "IntegrationSubtype",
        "IntegrationType",
        "IntegrationUri",
        "PassthroughBehavior",
        "PayloadFormatVersion",
        "RequestParameters",
        "RequestTemplates",
        "ResponseParameters",
        "TemplateSelectionExpression",
        "TimeoutInMillis",
        "TlsConfig",
    ],
);

pub(super) const EVENT_AUTH: Known = known("Auth of an HttpApi event", &["AuthorizationScopes", "Authorizer"]);

/// The properties of the events that the twin serves.
pub(super) const EVENTS: &[(&str, Known)] = &[
    (
        "HttpApi",
        known(
            "an HttpApi event",
            &["ApiId", "Auth", "Method", "Path", "PayloadFormatVersion", "RouteSettings", "TimeoutInMillis"],
        ),
    ),
    (
        "SQS",
        known(
            "an SQS event",
            &[
                "BatchSize",
                "Enabled",
                "FilterCriteria",
                "FunctionResponseTypes",
                "KmsKeyArn",
                "LoggingConfig",
                "MaximumBatchingWindowInSeconds",
                "MetricsConfig",
                "ProvisionedPollerConfig",
                "Queue",
                "ScalingConfig",
            ],
        ),
    ),
    (
        "Schedule",
        known(
            "a Schedule event",
            &[
                "DeadLetterConfig",
                "Description",
                "Enabled",
                "Input",
                "Name",
                "RetryPolicy",
                "RuleName",
                "Schedule",
                "State",
            ],
        ),
    ),
    (
        "ScheduleV2",
        known(
            "a ScheduleV2 event",
            &[
                "DeadLetterConfig",
                "Description",
                "EndDate",
                "FlexibleTimeWindow",
                "GroupName",
                "Input",
                "KmsKeyArn",
                "Name",
                "OmitName",
                "PermissionsBoundary",
                "RetryPolicy",
                "RoleArn",
                "ScheduleExpression",
                "ScheduleExpressionTimezone",
                "StartDate",
                "State",
            ],
        ),
    ),
];

/// The resources that give rights.
pub(super) const IAM: &[(&str, Known)] = &[
    (
        "AWS::IAM::Role",
        known(
            "AWS::IAM::Role",
            &[
                "AssumeRolePolicyDocument",
                "Description",
                "ManagedPolicyArns",
                "MaxSessionDuration",
                "Path",
                "PermissionsBoundary",
                "Policies",
                "RoleName",
                "Tags",
            ],
        ),
    ),
    ("AWS::IAM::Policy", known("AWS::IAM::Policy", &["Groups", "PolicyDocument", "PolicyName", "Roles", "Users"])),
    (
        "AWS::IAM::ManagedPolicy",
        known(
            "AWS::IAM::ManagedPolicy",
            &["Description", "Groups", "ManagedPolicyName", "Path", "PolicyDocument", "Roles", "Tags", "Users"],
        ),
    ),
    ("AWS::IAM::RolePolicy", known("AWS::IAM::RolePolicy", &["PolicyDocument", "PolicyName", "RoleName"])),
];

const EVENT: Known = known("an event", &["Properties", "Type"]);

const RESOURCE: Known = known(
    "a resource",
    &[
        "Condition",
        "Connectors",
        "CreationPolicy",
        "DeletionPolicy",
        "DependsOn",
        "IgnoreGlobals",
        "Metadata",
        "Properties",
        "Type",
        "UpdatePolicy",
        "UpdateReplacePolicy",
    ],
);

/// The sections of a template.
const SECTIONS: [&str; 12] = [
    "AWSTemplateFormatVersion",
    "Conditions",
    "Description",
    "Globals",
    "Hooks",
    "Mappings",
    "Metadata",
    "Outputs",
    "Parameters",
    "Resources",
    "Rules",
    "Transform",
];

/// The transforms that the twin plays. Any other is a macro, which may rewrite the whole template.
const TRANSFORMS: [&str; 2] = ["AWS::LanguageExtensions", "AWS::Serverless-2016-10-31"];

/// Refuses a property that this part does not have.
pub(super) fn only(properties: &Properties<'_, '_>, known: &Known) -> Result<(), TemplateError> {
    match properties.names().iter().find(|name| !known.has(name)) {
        Some(name) => Err(known.refusal(properties.place(), name)),
        None => Ok(()),
    }
}

/// Refuses a key beside a resource's properties that is not an attribute of resources.
pub(super) fn resource(resource: &Value, at: &At) -> Result<(), TemplateError> {
    RESOURCE.check(resource, at)
}

/// Refuses an unknown key beside an event's properties.
pub(super) fn event(event: &Value, at: &At) -> Result<(), TemplateError> {
    EVENT.check(event, at)
}

/// Refuses a section that templates do not have, and a transform that the twin does not play.
pub(super) fn sections(document: &Value) -> Result<(), TemplateError> {
    let mut names = document.as_object().into_iter().flatten().map(|(name, _)| name);
    if let Some(name) = names.find(|name| !SECTIONS.contains(&name.as_str())) {
        let message = format!("no template has a section {name}; there are {}", SECTIONS.join(", "));
        return Err(TemplateError::Shape(message));
    }
    let transforms = match document.get("Transform") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(transforms)) => &transforms[..],
        Some(transform) => std::slice::from_ref(transform),
    };
    match transforms.iter().find(|it| !it.as_str().is_some_and(|name| TRANSFORMS.contains(&name))) {
        None => Ok(()),
        Some(other) => {
            let name = other.get("Name").unwrap_or(other);
            let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
            Err(TemplateError::Shape(format!(
                "its transform {name} may rewrite all of it on AWS, and the twin does not run it; it takes {}",
                TRANSFORMS.join(" and ")
            )))
        }
    }
}

impl Known {
    fn has(&self, name: &str) -> bool {
        self.properties.contains(&name)
    }

    fn check(&self, part: &Value, at: &At) -> Result<(), TemplateError> {
        match part.as_object().into_iter().flatten().find(|(name, _)| !self.has(name)) {
            Some((name, _)) => Err(self.refusal(at, name)),
            None => Ok(()),
        }
    }

    fn refusal(&self, at: &At, name: &str) -> TemplateError {
        let (what, properties) = (self.what, self.properties.join(", "));
        at.child(name).error(format!("{what} has no such property; there are {properties}"))
    }
}
