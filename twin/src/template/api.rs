//! HTTP and WebSocket APIs, as SAM writes them in one piece and CloudFormation in many.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::TemplateError;
use super::model::{Cors, HttpApi, HttpRoute, Template, WebSocketApi, WebSocketRoute};
use super::properties::{Properties, function_named};
use super::resolve::{At, IMPLICIT_HTTP_API, Resolver};

/// What was found of the APIs so far; the pieces refer to one another, so they are joined at the end.
#[derive(Default)]
pub(super) struct Apis {
    http: BTreeMap<String, HttpApi>,
    websocket: BTreeMap<String, WebSocketApi>,
    /// HTTP routes of `HttpApi` events, with the id of their API.
    events: Vec<(String, HttpRoute)>,
    /// By the logical id that a route response names: the API's logical id and the route key.
    route_ids: BTreeMap<String, (String, String)>,
    route_responses: BTreeSet<String>,
    integrations: BTreeMap<String, Integration>,
    routes: Vec<Route>,
    stages: Vec<(String, String)>,
}

struct Integration {
    function: String,
    timeout: Option<Duration>,
    payload_v1: bool,
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
    /// Takes a resource that belongs to an API; says whether it did.
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
            "AWS::ApiGatewayV2::Integration" => {
                let at = properties.at("IntegrationUri");
                let integration = Integration {
                    function: function_named(template, &properties.required("IntegrationUri")?, &at)?,
                    timeout: milliseconds(properties, "TimeoutInMillis")?,
                    payload_v1: properties.text("PayloadFormatVersion")?.as_deref() == Some("1.0"),
                };
                self.integrations.insert(logical_id.to_owned(), integration);
            }
            "AWS::ApiGatewayV2::Route" => {
                let target = properties.required("Target")?;
                self.routes.push(Route {
                    logical_id: logical_id.to_owned(),
                    api_id: properties.required("ApiId")?,
                    key: properties.required("RouteKey")?,
                    integration: target.rsplit('/').next().unwrap_or_default().to_owned(),
                    has_response_selection: properties.text("RouteResponseSelectionExpression")?.is_some(),
                });
            }
            "AWS::ApiGatewayV2::RouteResponse" => {
                self.route_responses.insert(properties.required("RouteId")?);
            }
            "AWS::ApiGatewayV2::IntegrationResponse" => {}
            "AWS::ApiGatewayV2::Stage" => {
                self.stages.push((properties.required("ApiId")?, properties.required("StageName")?));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes an `HttpApi` event of a function.
    pub(super) fn http_event(
        &mut self,
        function: String,
        properties: &Properties<'_, '_>,
        resolver: &Resolver<'_>,
    ) -> Result<(), TemplateError> {
        let api = properties.text("ApiId")?.unwrap_or_else(|| resolver.api_id(IMPLICIT_HTTP_API));
        let route = HttpRoute {
            method: properties.text("Method")?.map_or_else(|| "ANY".to_owned(), |method| method.to_ascii_uppercase()),
            path: properties.text("Path")?.unwrap_or_else(|| "$default".to_owned()),
            function,
            timeout: milliseconds(properties, "TimeoutInMillis")?,
            payload_v1: properties.text("PayloadFormatVersion")?.as_deref() == Some("1.0"),
        };
        let method = if route.method == "X-AMAZON-APIGATEWAY-ANY-METHOD" { "ANY".to_owned() } else { route.method };
        self.events.push((api, HttpRoute { method, ..route }));
        Ok(())
    }

    fn serverless_http(
        &mut self,
        logical_id: &str,
        properties: &Properties<'_, '_>,
        template: &Template,
    ) -> Result<(), TemplateError> {
        let mut api = HttpApi {
            logical_id: logical_id.to_owned(),
            api_id: String::new(),
            stage: properties.text("StageName")?.unwrap_or_else(|| "$default".to_owned()),
            routes: Vec::new(),
            cors: cors(properties, "CorsConfiguration")?,
        };
        let definition = properties.inner("DefinitionBody")?;
        let paths = definition.get("paths")?;
        for (path, methods) in paths.as_ref().and_then(Value::as_object).into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let integration = &operation["x-amazon-apigateway-integration"];
                let Some(uri) = integration["uri"].as_str() else { continue };
                api.routes.push(HttpRoute {
                    method: match method.as_str() {
                        "x-amazon-apigateway-any-method" => "ANY".to_owned(),
                        method => method.to_ascii_uppercase(),
                    },
                    path: path.clone(),
                    function: function_named(template, uri, &definition.at("paths").child(path).child(method))?,
                    timeout: integration["timeoutInMillis"].as_u64().map(Duration::from_millis),
                    payload_v1: integration["payloadFormatVersion"] == "1.0",
                });
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
        let declared = properties.inner("Routes")?;
        let mut routes = BTreeMap::new();
        for key in declared.names() {
            let route = declared.inner(&key)?;
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

    /// Joins the pieces.
    pub(super) fn finish(mut self, resolver: &Resolver<'_>, template: &mut Template) -> Result<(), TemplateError> {
        if self.events.iter().any(|(api, _)| *api == resolver.api_id(IMPLICIT_HTTP_API)) {
            let api = HttpApi {
                logical_id: IMPLICIT_HTTP_API.to_owned(),
                api_id: String::new(),
                stage: "$default".to_owned(),
                routes: Vec::new(),
                cors: None,
            };
            self.http.insert(IMPLICIT_HTTP_API.to_owned(), api);
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
        for (logical_id, (api, key)) in &self.route_ids {
            if let Some(route) = self.websocket.get_mut(api).and_then(|api| api.routes.get_mut(key)) {
                route.has_route_response &= self.route_responses.contains(logical_id);
            }
        }
        template.http_api = only("HTTP", self.http)?;
        template.websocket_api = only("WebSocket", self.websocket)?;
        Ok(())
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
        let (method, path) = route.key.split_once(' ').unwrap_or(("ANY", &route.key));
        api.routes.push(HttpRoute {
            method: method.to_ascii_uppercase(),
            path: path.to_owned(),
            function: integration.function.clone(),
            timeout: integration.timeout,
            payload_v1: integration.payload_v1,
        });
        Ok(())
    }
}

/// The twin has one port for each kind of API.
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

/// `ping` is `Ping` and `$connect` is `Connect` in the logical ids that SAM makes of route keys.
fn capitalised(key: &str) -> String {
    let key = key.trim_start_matches('$').to_lowercase();
    let mut characters = key.chars();
    characters.next().into_iter().flat_map(char::to_uppercase).chain(characters.clone()).collect()
}

fn cors(properties: &Properties<'_, '_>, name: &str) -> Result<Option<Cors>, TemplateError> {
    // SAM takes `CorsConfiguration: true` for "everyone".
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
