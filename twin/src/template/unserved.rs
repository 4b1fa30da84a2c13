//! Properties that control access, or the event of a function, and that the twin does not implement. They are refused
//! by name: if the twin ignored them, it would let everyone in, or pass other events to functions than AWS.

use serde_json::Value;

use super::TemplateError;
use super::properties::Properties;
use super::resolve::At;

/// A property that the twin does not serve, unless its value has no effect.
pub(super) struct Unserved {
    property: &'static str,
    /// Values without an effect, besides empty ones.
    harmless: &'static [&'static str],
    why: &'static str,
}

const fn unserved(property: &'static str, harmless: &'static [&'static str], why: &'static str) -> Unserved {
    Unserved { property, harmless, why }
}

const AUTHORIZERS: &str = "the twin has no authorizers, and would let everyone in";
const API_KEYS: &str = "the twin has no API keys, and would let everyone in";
const MAPPINGS: &str = "the twin maps no requests and answers: functions get the whole event (AWS_PROXY)";
const PROXY_ONLY: &str = "the twin serves proxy integrations of functions (AWS_PROXY) and no others";
const SCOPES: &str = "the twin has no authorizers that would ask for scopes, and would let everyone in";
const MUTUAL_TLS: &str = "the twin asks no client for a certificate, and would let everyone in";
const CLOSED: &str = "the twin serves the API at the address that this closes, and would let everyone in";
const OPEN_API: &str = "the twin reads the paths of a DefinitionBody that is in the template, and no other OpenAPI";
const FILTERS: &str = "the twin does not filter messages, and would invoke the function with those that AWS drops";
const BOUNDARIES: &str = "the twin does not evaluate permissions boundaries, and would allow more than AWS";

/// An `AWS::Serverless::WebSocketApi`.
pub(super) const SOCKET_API: &[Unserved] = &[unserved("DisableExecuteApiEndpoint", &["false"], CLOSED)];

/// `Auth` of an `AWS::Serverless::WebSocketApi`.
pub(super) const SOCKET_AUTH: &[Unserved] = &[unserved("AuthType", &["NONE"], AUTHORIZERS)];

/// `Domain` of an API, or an `AWS::ApiGatewayV2::DomainName`.
pub(super) const DOMAIN: &[Unserved] = &[unserved("MutualTlsAuthentication", &[], MUTUAL_TLS)];

/// A route of an `AWS::Serverless::WebSocketApi`.
pub(super) const SOCKET_ROUTE: &[Unserved] = &[unserved("ApiKeyRequired", &["false"], API_KEYS)];

/// An `AWS::Serverless::HttpApi`.
pub(super) const HTTP_API: &[Unserved] =
    &[unserved("DefinitionUri", &[], OPEN_API), unserved("DisableExecuteApiEndpoint", &["false"], CLOSED)];

/// `Auth` of an `AWS::Serverless::HttpApi`. An authorizer that is only declared guards nothing.
pub(super) const HTTP_AUTH: &[Unserved] = &[unserved("DefaultAuthorizer", &["NONE"], AUTHORIZERS)];

/// `Auth` of an `HttpApi` event.
pub(super) const EVENT_AUTH: &[Unserved] =
    &[unserved("Authorizer", &["NONE"], AUTHORIZERS), unserved("AuthorizationScopes", &[], SCOPES)];

/// `x-amazon-apigateway-endpoint-configuration` of a `DefinitionBody`.
pub(super) const DEFINED_ENDPOINT: &[Unserved] = &[unserved("disableExecuteApiEndpoint", &["false"], CLOSED)];

/// `x-amazon-apigateway-auth` of an operation.
pub(super) const OPERATION_AUTH: &[Unserved] = &[unserved("type", &["NONE"], AUTHORIZERS)];

/// An operation of a `DefinitionBody`, or the body itself.
pub(super) const OPERATION: &[Unserved] = &[unserved("security", &[], AUTHORIZERS)];

/// `x-amazon-apigateway-integration` of an operation.
pub(super) const OPERATION_INTEGRATION: &[Unserved] = &[
    unserved("type", &["AWS_PROXY"], PROXY_ONLY),
    unserved("integrationSubtype", &[], PROXY_ONLY),
    unserved("requestParameters", &[], MAPPINGS),
    unserved("responseParameters", &[], MAPPINGS),
];

/// An `AWS::ApiGatewayV2::Api`.
pub(super) const API: &[Unserved] = &[
    unserved("DisableExecuteApiEndpoint", &["false"], CLOSED),
    unserved("Body", &[], OPEN_API),
    unserved("BodyS3Location", &[], OPEN_API),
    unserved("Target", &[], "the twin serves an AWS::ApiGatewayV2::Route, and no route that an API makes by itself"),
];

/// An `AWS::ApiGatewayV2::Route`.
pub(super) const ROUTE: &[Unserved] = &[
    unserved("AuthorizationType", &["NONE"], AUTHORIZERS),
    unserved("AuthorizerId", &[], AUTHORIZERS),
    unserved("AuthorizationScopes", &[], SCOPES),
    unserved("ApiKeyRequired", &["false"], API_KEYS),
];

/// An `AWS::ApiGatewayV2::Integration`.
pub(super) const INTEGRATION: &[Unserved] = &[
    unserved("IntegrationType", &["AWS_PROXY"], PROXY_ONLY),
    unserved("IntegrationSubtype", &[], PROXY_ONLY),
    unserved("RequestTemplates", &[], MAPPINGS),
    unserved("TemplateSelectionExpression", &[], MAPPINGS),
    unserved("RequestParameters", &[], MAPPINGS),
    unserved("ResponseParameters", &[], MAPPINGS),
    unserved("ContentHandlingStrategy", &[], MAPPINGS),
    unserved("PassthroughBehavior", &["WHEN_NO_MATCH", "WHEN_NO_TEMPLATES"], MAPPINGS),
];

/// A function, as far as its role is concerned.
pub(super) const FUNCTION_ROLE: &[Unserved] = &[unserved("PermissionsBoundary", &[], BOUNDARIES)];

/// An `AWS::IAM::Role`.
pub(super) const ROLE: &[Unserved] = &[unserved("PermissionsBoundary", &[], BOUNDARIES)];

/// `FilterCriteria` of an event source.
pub(super) const FILTER: &[Unserved] = &[unserved("Filters", &[], FILTERS)];

/// Properties by which API Gateway refuses invalid requests.
const VALIDATION: [&str; 3] = ["ModelSelectionExpression", "RequestModels", "RequestParameters"];

/// Refuses the first of these properties that has an effective value.
pub(super) fn refuse(properties: &Properties<'_, '_>, unserved: &[Unserved]) -> Result<(), TemplateError> {
    for rule in unserved {
        if let Some(value) = properties.get(rule.property)? {
            rule.check(&value, &properties.at(rule.property))?;
        }
    }
    Ok(())
}

/// Does the same for a part of a `DefinitionBody`.
pub(super) fn refuse_within(part: &Value, at: &At, unserved: &[Unserved]) -> Result<(), TemplateError> {
    unserved.iter().try_for_each(|rule| match part.get(rule.property) {
        Some(value) => rule.check(value, &at.child(rule.property)),
        None => Ok(()),
    })
}

/// Refuses events of an HTTP API in any other payload format than that of the twin.
pub(super) fn payload(version: Option<&str>, at: &At) -> Result<(), TemplateError> {
    match version {
        None | Some("2.0") => Ok(()),
        Some(other) => Err(at.error(format!("is {other}; the twin sends events in payload format 2.0 only"))),
    }
}

/// The validation that a route requests and the twin does not do.
pub(super) fn validation(route: &Properties<'_, '_>) -> Option<&'static str> {
    VALIDATION.into_iter().find(|property| route.has(property))
}

impl Unserved {
    fn check(&self, value: &Value, at: &At) -> Result<(), TemplateError> {
        let changes_nothing = match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => self.harmless.iter().any(|harmless| text.eq_ignore_ascii_case(harmless)),
            Value::Array(items) => items.is_empty(),
            Value::Object(entries) => entries.is_empty(),
            Value::Bool(true) | Value::Number(_) => false,
        };
        if changes_nothing { Ok(()) } else { Err(at.error(self.why)) }
    }
}
