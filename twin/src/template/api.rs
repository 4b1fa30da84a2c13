//! HTTP and WebSocket APIs: one resource in SAM, several in CloudFormation.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::TemplateError;
use super::checks;
use super::known::{self, Known};
use super::model::{Cors, HttpApi, HttpRoute, Template, WebSocketApi, WebSocketRoute};
use super::properties::{Properties, function_named};
use super::resolve::{At, IMPLICIT_HTTP_API, Resolver, capitalised, text_of};
use super::unserved::{self, Unserved, refuse, refuse_within};

/// The property with the format of the events that an HTTP API sends.
const PAYLOAD: &str = "PayloadFormatVersion";

/// The parts of the APIs that were read so far. They refer to one another, so they are joined at the end.
#[derive(Default)]
pub(super) struct Apis {
    http: BTreeMap<String, HttpApi>,
    websocket: BTreeMap<String, WebSocketApi>,
    /// HTTP routes of `HttpApi` events, with the id of their API.
    events: Vec<(String, HttpRoute)>,
    /// The API's logical id and the route key, by the route's logical id, which a route response names.
    route_ids: BTreeMap<String, (String, String)>,
    /// Route responses, by the logical id of the route that they name.
    route_responses: BTreeMap<String, At>,
    integrations: BTreeMap<String, Integration>,
    routes: Vec<Route>,
    stages: Vec<(String, String)>,
    /// Warnings about requests that the twin does not validate.
    unvalidated: Vec<String>,
}

struct Integration {
    function: String,
    timeout: Option<Duration>,
    /// `PayloadFormatVersion`, and its place.
    payload: (Option<String>, At),
}

/// An `AWS::ApiGatewayV2::Route`.
struct Route {
    logical_id: String,
    api_id: String,
    key: String,
    integration: String,
    has_response_selection: bool,
}

impl Apis {
    /// Takes a resource if it belongs to an API, and returns whether it does.
    pub(super) fn take(
        &mut self,
        logical_id: &str,
        kind: &str,
        properties: &Properties<'_, '_>,
        template: &Template,
    ) -> Result<bool, TemplateError> {
        match kind {
            "AWS::Serverless::HttpApi" => self.serverless_http(logical_id, properties, template)?,
            "AWS::Serverless::WebSocketApi" => self.serverless_websocket(logical_id, properties, template)?,
            "AWS::ApiGatewayV2::Api" => self.api(logical_id, properties)?,
            "AWS::ApiGatewayV2::Integration" => self.integration(logical_id, properties, template)?,
            "AWS::ApiGatewayV2::Route" => self.route(logical_id, properties)?,
            "AWS::ApiGatewayV2::RouteResponse" => {
                self.route_responses.insert(properties.required("RouteId")?, properties.at("RouteId"));
            }
            "AWS::ApiGatewayV2::IntegrationResponse" => {}
            "AWS::ApiGatewayV2::Stage" => {
                self.stages.push((properties.required("ApiId")?, properties.required("StageName")?));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn integration(
        &mut self,
        logical_id: &str,
        properties: &Properties<'_, '_>,
        template: &Template,
    ) -> Result<(), TemplateError> {
        known::only(properties, &known::INTEGRATION)?;
        refuse(properties, unserved::INTEGRATION)?;
        let at = properties.at("IntegrationUri");
        let integration = Integration {
            function: function_named(template, &properties.required("IntegrationUri")?, &at)?,
            timeout: milliseconds(properties, "TimeoutInMillis")?,
            payload: (properties.text(PAYLOAD)?, properties.at(PAYLOAD)),
        };
        self.integrations.insert(logical_id.to_owned(), integration);
        Ok(())
    }

    fn route(&mut self, logical_id: &str, properties: &Properties<'_, '_>) -> Result<(), TemplateError> {
        known::only(properties, &known::ROUTE)?;
        refuse(properties, unserved::ROUTE)?;
        self.check_validation(logical_id, properties);
        let target = properties.required("Target")?;
        self.routes.push(Route {
            logical_id: logical_id.to_owned(),
            api_id: properties.required("ApiId")?,
            key: properties.required("RouteKey")?,
            integration: target.rsplit('/').next().unwrap_or_default().to_owned(),
            has_response_selection: properties.text("RouteResponseSelectionExpression")?.is_some(),
        });
        Ok(())
    }

    /// Takes an `HttpApi` event of a function.
    pub(super) fn http_event(
        &mut self,
        function: String,
        properties: &Properties<'_, '_>,
        resolver: &Resolver<'_>,
    ) -> Result<(), TemplateError> {
        guarded(properties, "Auth", &known::EVENT_AUTH, unserved::EVENT_AUTH)?;
        let api = properties.text("ApiId")?.unwrap_or_else(|| resolver.api_id(IMPLICIT_HTTP_API));
        let route = HttpRoute {
            method: properties.text("Method")?.map_or_else(|| "ANY".to_owned(), |method| method.to_ascii_uppercase()),
            path: properties.text("Path")?.unwrap_or_else(|| "$default".to_owned()),
            function,
            timeout: milliseconds(properties, "TimeoutInMillis")?,
        };
        unserved::payload(properties.text(PAYLOAD)?.as_deref(), &properties.at(PAYLOAD))?;
        let method = if route.method == "X-AMAZON-APIGATEWAY-ANY-METHOD" { "ANY".to_owned() } else { route.method };
        checks::route(&method, &route.path, properties.place())?;
        self.events.push((api, HttpRoute { method, ..route }));
        Ok(())
    }

    fn serverless_http(
        &mut self,
        logical_id: &str,
        properties: &Properties<'_, '_>,
        template: &Template,
    ) -> Result<(), TemplateError> {
        let mut api = guarded_http(logical_id, properties)?;
        let definition = properties.inner("DefinitionBody")?;
        refuse(&definition, unserved::OPERATION)?;
        refuse(&definition.inner("x-amazon-apigateway-endpoint-configuration")?, unserved::DEFINED_ENDPOINT)?;
        let paths = definition.get("paths")?;
        for (path, methods) in paths.as_ref().and_then(Value::as_object).into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let at = definition.at("paths").child(path).child(method);
                api.routes.extend(defined_route(path, method, operation, template, &at)?);
            }
        }
        self.http.insert(logical_id.to_owned(), api);
        Ok(())
    }

    fn serverless_websocket(
        &mut self,
        logical_id: &str,
        properties: &Properties<'_, '_>,
        template: &Template,
    ) -> Result<(), TemplateError> {
        known::only(properties, &known::SOCKET_API)?;
        refuse(properties, unserved::SOCKET_API)?;
        guarded(properties, "Auth", &known::SOCKET_AUTH, unserved::SOCKET_AUTH)?;
        if properties.has("Auth") {
            properties.inner("Auth")?.required("AuthType")?;
        }
        check_domain(logical_id, properties)?;
        let declared = properties.inner("Routes")?;
        let mut routes = BTreeMap::new();
        for key in declared.names() {
            let route = declared.inner(&key)?;
            known::only(&route, &known::SOCKET_ROUTE)?;
            refuse(&route, unserved::SOCKET_ROUTE)?;
            self.check_validation(&format!("{logical_id}, route {key}"), &route);
            let generated = format!("{logical_id}{}Route", capitalised(&key));
            self.route_ids.insert(generated, (logical_id.to_owned(), key.clone()));
            let route = WebSocketRoute {
                function: function_named(template, &route.required("FunctionArn")?, &route.at("FunctionArn"))?,
                has_route_response: route.text("RouteResponseSelectionExpression")?.is_some(),
                timeout: milliseconds(&route, "IntegrationTimeout")?,
            };
            routes.insert(key, route);
        }
        let api = WebSocketApi {
            logical_id: logical_id.to_owned(),
            api_id: String::new(),
            stage: properties.text("StageName")?.unwrap_or_else(|| "default".to_owned()),
            route_selection_expression: properties.required("RouteSelectionExpression")?,
            routes,
        };
        self.websocket.insert(logical_id.to_owned(), api);
        Ok(())
    }

    fn api(&mut self, logical_id: &str, properties: &Properties<'_, '_>) -> Result<(), TemplateError> {
        known::only(properties, &known::API)?;
        refuse(properties, unserved::API)?;
        if properties.required("ProtocolType")? == "WEBSOCKET" {
            let api = WebSocketApi {
                logical_id: logical_id.to_owned(),
                api_id: String::new(),
                stage: "default".to_owned(),
                route_selection_expression: properties.required("RouteSelectionExpression")?,
                routes: BTreeMap::new(),
            };
            self.websocket.insert(logical_id.to_owned(), api);
        } else {
            let api = HttpApi {
                logical_id: logical_id.to_owned(),
                api_id: String::new(),
                stage: "$default".to_owned(),
                routes: Vec::new(),
                cors: cors(properties, "CorsConfiguration")?,
            };
            self.http.insert(logical_id.to_owned(), api);
        }
        Ok(())
    }

    /// Joins the parts of the APIs.
    pub(super) fn finish(mut self, resolver: &Resolver<'_>, template: &mut Template) -> Result<(), TemplateError> {
        if self.events.iter().any(|(api, _)| *api == resolver.api_id(IMPLICIT_HTTP_API)) {
            let globals = Properties::new(resolver, resolver.globals("HttpApi"), At::new("Globals.HttpApi"));
            self.http.insert(IMPLICIT_HTTP_API.to_owned(), guarded_http(IMPLICIT_HTTP_API, &globals)?);
        }
        self.http.iter_mut().for_each(|(logical_id, api)| api.api_id = resolver.api_id(logical_id));
        self.websocket.iter_mut().for_each(|(logical_id, api)| api.api_id = resolver.api_id(logical_id));
        for (api_id, stage) in std::mem::take(&mut self.stages) {
            self.http.values_mut().filter(|api| api.api_id == api_id).for_each(|api| api.stage.clone_from(&stage));
            self.websocket.values_mut().filter(|api| api.api_id == api_id).for_each(|api| api.stage.clone_from(&stage));
        }
        for (api_id, route) in std::mem::take(&mut self.events) {
            let api = self.http.values_mut().find(|api| api.api_id == api_id).ok_or_else(|| {
                At::resource(&route.function)
                    .child("Events")
                    .error("names an ApiId that is no HTTP API of this template")
            })?;
            api.routes.push(route);
        }
        for route in std::mem::take(&mut self.routes) {
            self.join(route)?;
        }
        self.join_responses(resolver)?;
        template.http_api = only("HTTP", self.http)?;
        template.websocket_api = only("WebSocket", self.websocket)?;
        Ok(())
    }

    /// Gives routes their responses.
    fn join_responses(&mut self, resolver: &Resolver<'_>) -> Result<(), TemplateError> {
        for (route, at) in &self.route_responses {
            if !self.route_ids.contains_key(route) {
                let known: Vec<&str> = self.route_ids.keys().map(String::as_str).collect();
                return Err(at.error(format!("{route} is no route of a WebSocket API; there are {}", known.join(", "))));
            }
        }
        for (logical_id, (api_id, key)) in &self.route_ids {
            let Some(route) = self.websocket.get_mut(api_id).and_then(|api| api.routes.get_mut(key)) else { continue };
            if route.has_route_response && !self.route_responses.contains_key(logical_id) {
                resolver.warn(format!(
                    "{api_id}, route {key}: it has a RouteResponseSelectionExpression, but there is no \
                     AWS::ApiGatewayV2::RouteResponse for it: what its function answers reaches no client, as on AWS"
                ));
                route.has_route_response = false;
            }
        }
        self.unvalidated.iter().for_each(|warning| resolver.warn(warning));
        Ok(())
    }

    /// Records a warning about a route whose requests AWS would validate.
    fn check_validation(&mut self, owner: &str, route: &Properties<'_, '_>) {
        if let Some(property) = unserved::validation(route) {
            self.unvalidated.push(format!("{owner}: the twin does not validate requests as {property} asks"));
        }
    }

    fn join(&mut self, route: Route) -> Result<(), TemplateError> {
        let at = At::resource(&route.logical_id);
        let integration = self.integrations.get(&route.integration);
        let integration =
            integration.ok_or_else(|| at.child("Target").error("names no integration of this template"))?;
        if let Some(api) = self.websocket.values_mut().find(|api| api.api_id == route.api_id) {
            self.route_ids.insert(route.logical_id, (api.logical_id.clone(), route.key.clone()));
            let joined = WebSocketRoute {
                function: integration.function.clone(),
                has_route_response: route.has_response_selection,
                timeout: integration.timeout,
            };
            api.routes.insert(route.key, joined);
            return Ok(());
        }
        let api = self.http.values_mut().find(|api| api.api_id == route.api_id);
        let api = api.ok_or_else(|| at.child("ApiId").error("names no API of this template"))?;
        unserved::payload(integration.payload.0.as_deref(), &integration.payload.1)?;
        let (method, path) = route.key.split_once(' ').unwrap_or(("ANY", &route.key));
        api.routes.push(HttpRoute {
            method: method.to_ascii_uppercase(),
            path: path.to_owned(),
            function: integration.function.clone(),
            timeout: integration.timeout,
        });
        Ok(())
    }
}

/// An `AWS::Serverless::HttpApi`, without its routes; refused if it is guarded.
fn guarded_http(logical_id: &str, properties: &Properties<'_, '_>) -> Result<HttpApi, TemplateError> {
    known::only(properties, &known::HTTP_API)?;
    refuse(properties, unserved::HTTP_API)?;
    guarded(properties, "Auth", &known::HTTP_AUTH, unserved::HTTP_AUTH)?;
    check_domain(logical_id, properties)?;
    Ok(HttpApi {
        logical_id: logical_id.to_owned(),
        api_id: String::new(),
        stage: properties.text("StageName")?.unwrap_or_else(|| "$default".to_owned()),
        routes: Vec::new(),
        cors: cors(properties, "CorsConfiguration")?,
    })
}

/// Refuses a part with unknown properties, or with properties that the twin does not serve.
fn guarded(
    properties: &Properties<'_, '_>,
    name: &str,
    known: &Known,
    unserved: &[Unserved],
) -> Result<(), TemplateError> {
    let part = properties.inner(name)?;
    known::only(&part, known)?;
    refuse(&part, unserved)
}

/// Refuses a domain that asks clients for certificates; warns that the twin ignores any other.
fn check_domain(logical_id: &str, properties: &Properties<'_, '_>) -> Result<(), TemplateError> {
    guarded(properties, "Domain", &known::DOMAIN, unserved::DOMAIN)?;
    if properties.has("Domain") {
        properties.warn(logical_id, "Domain", "the twin serves the API at its port, and not at this domain");
    }
    Ok(())
}

/// The methods that a path of OpenAPI can have; any other key beside them is not an operation.
const METHODS: [&str; 9] =
    ["get", "put", "post", "delete", "options", "head", "patch", "trace", "x-amazon-apigateway-any-method"];

/// The route of an operation in a `DefinitionBody`.
fn defined_route(
    path: &str,
    method: &str,
    operation: &Value,
    template: &Template,
    at: &At,
) -> Result<Option<HttpRoute>, TemplateError> {
    const INTEGRATION: &str = "x-amazon-apigateway-integration";
    const AUTH: &str = "x-amazon-apigateway-auth";
    if !METHODS.contains(&method) {
        return Ok(None);
    }
    refuse_within(operation, at, unserved::OPERATION)?;
    refuse_within(&operation[AUTH], &at.child(AUTH), unserved::OPERATION_AUTH)?;
    let at = at.child(INTEGRATION);
    let integration = &operation[INTEGRATION];
    refuse_within(integration, &at, unserved::OPERATION_INTEGRATION)?;
    if let Some(version) = integration.get("payloadFormatVersion") {
        let at = at.child("payloadFormatVersion");
        unserved::payload(Some(&text_of(version, &at)?), &at)?;
    }
    let uri = integration["uri"].as_str().ok_or_else(|| at.child("uri").error("is missing"))?;
    Ok(Some(HttpRoute {
        method: match method {
            "x-amazon-apigateway-any-method" => "ANY".to_owned(),
            method => method.to_ascii_uppercase(),
        },
        path: path.to_owned(),
        function: function_named(template, uri, &at.child("uri"))?,
        timeout: integration["timeoutInMillis"].as_u64().map(Duration::from_millis),
    }))
}

/// The only API of a kind: the twin has one port for each kind.
fn only<T>(kind: &str, apis: BTreeMap<String, T>) -> Result<Option<T>, TemplateError> {
    match apis.len() {
        0 | 1 => Ok(apis.into_values().next()),
        _ => {
            let names: Vec<String> = apis.into_keys().collect();
            Err(TemplateError::Shape(format!("the twin serves one {kind} API, and there are {}", names.join(", "))))
        }
    }
}

fn milliseconds(properties: &Properties<'_, '_>, name: &str) -> Result<Option<Duration>, TemplateError> {
    Ok(properties.number(name)?.map(Duration::from_millis))
}

fn cors(properties: &Properties<'_, '_>, name: &str) -> Result<Option<Cors>, TemplateError> {
    // SAM reads `CorsConfiguration: true` as "every origin".
    match properties.get(name)? {
        None | Some(Value::Bool(false)) => return Ok(None),
        Some(Value::Bool(true)) => {
            let all = || vec!["*".to_owned()];
            let cors = Cors { allow_origins: all(), allow_methods: all(), allow_headers: all(), ..Cors::default() };
            return Ok(Some(cors));
        }
        Some(_) => {}
    }
    let rules = properties.inner(name)?;
    Ok(Some(Cors {
        allow_origins: rules.texts("AllowOrigins")?,
        allow_methods: rules.texts("AllowMethods")?,
        allow_headers: rules.texts("AllowHeaders")?,
        expose_headers: rules.texts("ExposeHeaders")?,
        allow_credentials: rules.flag("AllowCredentials", false)?,
        max_age: rules.number("MaxAge")?.map(Duration::from_secs),
    }))
}
