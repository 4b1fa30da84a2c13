//! The HTTP API: a request becomes an event of payload format 2.0, and the function's answer a response.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error as _;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::LengthLimitError;
use serde_json::{Map, Value, json};

use super::routes::{Match, Routes};
use super::{Moment, decoded_path, head_bytes, lacks_host, query_pairs};
use crate::functions::{Functions, InvokeError};
use crate::ids::{ACCOUNT_ID, gateway_id};
use crate::ledger::{Ledger, TraceId};
use crate::template::{self, Cors};

/// The response header that names the trace, so that a caller can look up what the request cost.
pub const TRACE_HEADER: &str = "x-twin-trace";

/// Response headers that only the gateway sets.
const OWN_HEADERS: [&str; 5] = ["connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"];

/// The limits of an HTTP API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpLimits {
    /// The largest body of a request: 10 MB.
    pub body_bytes: usize,
    /// How long the body of a request may take to arrive: 30 seconds.
    pub body: Duration,
    /// How long an integration may take: 30 seconds.
    pub integration: Duration,
    /// All headers of a request together, with the request line: 10,240 bytes.
    pub header_bytes: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_bytes: 10 * 1024 * 1024,
            body: Duration::from_secs(30),
            integration: Duration::from_secs(30),
            header_bytes: 10_240,
        }
    }
}

/// An HTTP API. A clone is the same API.
#[derive(Debug, Clone)]
pub struct HttpApi(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    api_id: String,
    stage: String,
    routes: Routes,
    cors: Option<Cors>,
    limits: HttpLimits,
    functions: Functions,
    ledger: Ledger,
}

impl HttpApi {
    /// The API of a template.
    #[must_use]
    pub fn new(api: template::HttpApi, functions: Functions, ledger: Ledger, limits: HttpLimits) -> Self {
        let template::HttpApi { api_id, stage, routes, cors, .. } = api;
        let routes = Routes::new(routes);
        Self(Arc::new(Inner { api_id, stage, routes, cors, limits, functions, ledger }))
    }

    /// A router that serves the API; it needs the peer's address ([`ConnectInfo`]).
    pub fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }

    /// The path as routes see it, without the stage. The stage `$default` has no prefix.
    fn path_in_stage<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.0.stage == "$default" {
            return Some(path);
        }
        let rest = path.strip_prefix('/')?.strip_prefix(self.0.stage.as_str())?;
        match rest {
            "" => Some("/"),
            rest => rest.starts_with('/').then_some(rest),
        }
    }

    /// Answers a request and traces it. Every request has a line in the log and an entry in the ledger, whatever its
    /// outcome.
    async fn answer(&self, peer: SocketAddr, parts: Parts, body: Body) -> Response {
        let began = Instant::now();
        let request_id = gateway_id();
        let origin = format!("{} {}", parts.method, parts.uri.path());
        let trace = self.0.ledger.begin(&origin);
        self.0.ledger.alias(&trace, &request_id);
        // The caller's answer is part of the trace: the trace is not quiet until the answer is recorded.
        let _hold = self.0.ledger.hold(std::slice::from_ref(&trace));
        let answer = self.answer_of_function(peer, parts, body, &request_id, &trace).await;
        let mut response = answer.unwrap_or_else(IntoResponse::into_response);
        self.0.ledger.outcome(&trace, response.status().as_str());
        let took = began.elapsed();
        tracing::debug!(target: "twin::gateway", %trace, ?took, "{origin} {}", response.status().as_str());
        let headers = response.headers_mut();
        insert(headers, "apigw-requestid", &request_id);
        insert(headers, TRACE_HEADER, &trace);
        response
    }

    async fn answer_of_function(
        &self,
        peer: SocketAddr,
        parts: Parts,
        body: Body,
        request_id: &str,
        trace: &TraceId,
    ) -> Result<Response, Refusal> {
        if lacks_host(parts.version, &parts.headers) {
            return Err(Refusal::Malformed);
        }
        let decoded = decoded_path(parts.uri.path());
        let found = self.path_in_stage(&decoded).and_then(|path| self.0.routes.find(parts.method.as_str(), path));
        let found = found.ok_or(Refusal::NotFound)?;
        if head_bytes(&parts.uri, &parts.headers) > self.0.limits.header_bytes {
            return Err(Refusal::HeadersTooLarge);
        }
        let body = self.body(body).await?;
        let event = self.event((&parts, &decoded), &body, &found, peer, request_id, trace);
        let limit = found.route.timeout.map_or(self.0.limits.integration, |limit| limit.min(self.0.limits.integration));
        let invoked =
            self.0.functions.invoke(&found.route.function, event.to_string().into(), std::slice::from_ref(trace));
        match tokio::time::timeout(limit, invoked).await {
            Ok(Ok(answer)) => {
                if let Some(id) = answered_request_id(&answer) {
                    self.0.ledger.name(trace, &id);
                }
                from_function(&parts.method, &answer).map_err(|reason| {
                    let function = &found.route.function;
                    tracing::warn!(%function, reason, "the function's answer is no HTTP response");
                    Refusal::Internal
                })
            }
            Ok(Err(error)) => Err(Refusal::of(&error)),
            Err(_) => {
                tracing::warn!(function = %found.route.function, ?limit, "the integration timed out");
                Err(Refusal::Unavailable)
            }
        }
    }

    /// The body of a request, if all of it comes in time.
    async fn body(&self, body: Body) -> Result<Bytes, Refusal> {
        let read = axum::body::to_bytes(body, self.0.limits.body_bytes);
        match tokio::time::timeout(self.0.limits.body, read).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) if error.source().is_some_and(|source| source.is::<LengthLimitError>()) => {
                Err(Refusal::TooLarge)
            }
            // A chunk without a size, or a connection that ended.
            Ok(Err(_)) => Err(Refusal::Malformed),
            Err(_) => Err(Refusal::TooSlow),
        }
    }

    /// The event of payload format 2.0.
    fn event(
        &self,
        (parts, path): (&Parts, &str),
        body: &Bytes,
        found: &Match<'_>,
        peer: SocketAddr,
        request_id: &str,
        trace: &TraceId,
    ) -> Value {
        let now = Moment::now();
        let query = parts.uri.query().unwrap_or_default();
        let text = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let domain = text(header::HOST);
        let route_key = match found.route.path.as_str() {
            "$default" => "$default".to_owned(),
            path => format!("{} {path}", found.route.method),
        };
        let mut event = json!({
            "version": "2.0",
            "routeKey": route_key,
            // AWS decodes it, in spite of the name.
            "rawPath": path,
            "rawQueryString": query,
            "headers": joined_headers(&parts.headers, peer, trace),
            "requestContext": {
                "accountId": ACCOUNT_ID,
                "apiId": self.0.api_id,
                "domainName": domain,
                "domainPrefix": domain.split(['.', ':']).next().unwrap_or_default(),
                "http": {
                    "method": parts.method.as_str(),
                    "path": path,
                    "protocol": format!("{:?}", parts.version),
                    "sourceIp": peer.ip().to_string(),
                    "userAgent": text(header::USER_AGENT),
                },
                "requestId": request_id,
                "routeKey": route_key,
                "stage": self.0.stage,
                "time": now.common_log(),
                "timeEpoch": now.epoch_millis(),
            },
            "isBase64Encoded": false,
        });
        let cookies: Vec<&str> = parts
            .headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';').map(str::trim))
            .collect();
        if !cookies.is_empty() {
            event["cookies"] = json!(cookies);
        }
        let mut parameters: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in query_pairs(query) {
            parameters.entry(name).and_modify(|values| *values = format!("{values},{value}")).or_insert(value);
        }
        if !parameters.is_empty() {
            event["queryStringParameters"] = json!(parameters);
        }
        if !found.parameters.is_empty() {
            event["pathParameters"] = json!(found.parameters);
        }
        if !body.is_empty() {
            let as_text = std::str::from_utf8(body).ok().filter(|_| is_text(&parts.headers));
            event["isBase64Encoded"] = json!(as_text.is_none());
            event["body"] = as_text.map_or_else(|| json!(STANDARD.encode(body)), |text| json!(text));
        }
        event
    }
}

async fn serve(
    State(api): State<HttpApi>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let Some(cors) = &api.0.cors else { return api.answer(peer, parts, body).await };
    let origin = parts.headers.get(header::ORIGIN).cloned();
    let preflight = parts.method == Method::OPTIONS
        && origin.is_some()
        && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    // A preflight is answered here, whether or not a route matches it: it never reaches a function.
    let mut response = match preflight {
        true => StatusCode::NO_CONTENT.into_response(),
        false => api.answer(peer, parts, body).await,
    };
    let headers = response.headers_mut();
    match preflight {
        true => insert(headers, "apigw-requestid", &gateway_id()),
        false => ignore_own_rules(headers),
    }
    if let Some(origin) = origin {
        allow(cors, &origin, preflight, headers);
    }
    response
}

/// Removes the CORS headers of a function: if the API has CORS rules, API Gateway ignores the function's, for any
/// caller.
fn ignore_own_rules(headers: &mut HeaderMap) {
    let own = |name: &&HeaderName| name.as_str().starts_with("access-control-");
    let own: Vec<HeaderName> = headers.keys().filter(own).cloned().collect();
    own.iter().for_each(|name| drop(headers.remove(name)));
}

/// The `Access-Control-Allow-Origin` for a page of this origin. It names the origin if the origin is listed, by itself
/// or under `https://*` or `http://*`; if every origin is allowed, it is `*`.
fn allowed(cors: &Cors, origin: &HeaderValue) -> Option<HeaderValue> {
    let named = cors.allow_origins.iter().any(|listed| match listed.as_str() {
        "https://*" | "http://*" => origin.as_bytes().starts_with(listed.trim_end_matches('*').as_bytes()),
        listed => listed.as_bytes() == origin.as_bytes(),
    });
    let any = || cors.allow_origins.iter().any(|listed| listed == "*");
    named.then(|| origin.clone()).or_else(|| any().then(|| HeaderValue::from_static("*")))
}

/// Writes the CORS headers for a page of this origin.
fn allow(cors: &Cors, origin: &HeaderValue, preflight: bool, headers: &mut HeaderMap) {
    let Some(allowed) = allowed(cors, origin) else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if cors.allow_credentials {
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    if !preflight {
        list(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, &cors.expose_headers);
        return;
    }
    list(headers, header::ACCESS_CONTROL_ALLOW_METHODS, &cors.allow_methods);
    list(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, &cors.allow_headers);
    if let Some(age) = cors.max_age {
        insert(headers, header::ACCESS_CONTROL_MAX_AGE.as_str(), &age.as_secs());
    }
}

fn list(headers: &mut HeaderMap, name: HeaderName, values: &[String]) {
    if !values.is_empty() {
        insert(headers, name.as_str(), &values.join(","));
    }
}

fn insert(headers: &mut HeaderMap, name: &str, value: &impl Display) {
    let pair = (HeaderName::try_from(name), HeaderValue::try_from(value.to_string()));
    if let (Ok(name), Ok(value)) = pair {
        headers.insert(name, value);
    }
}

/// Headers as the event carries them: names in lower case, the values of one name joined by commas, cookies apart.
fn joined_headers(headers: &HeaderMap, peer: SocketAddr, trace: &TraceId) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| **name != header::COOKIE) {
        let value = String::from_utf8_lossy(value.as_bytes());
        let add = |values: &mut String| *values = format!("{values},{value}");
        joined.entry(name.as_str().to_owned()).and_modify(add).or_insert_with(|| value.clone().into_owned());
    }
    let forwarded = peer.ip().to_string();
    let add = |hops: &mut String| *hops = format!("{hops}, {forwarded}");
    joined.entry("x-forwarded-for".to_owned()).and_modify(add).or_insert_with(|| forwarded.clone());
    joined.insert("x-forwarded-port".to_owned(), "443".to_owned());
    joined.insert("x-forwarded-proto".to_owned(), "https".to_owned());
    joined.insert("x-amzn-trace-id".to_owned(), format!("Root={trace}"));
    joined.entry("content-length".to_owned()).or_insert_with(|| "0".to_owned());
    joined
}

/// Whether API Gateway passes a body of this type on as text rather than as Base64.
fn is_text(headers: &HeaderMap) -> bool {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return false;
    }
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || matches!(kind.as_str(), "application/json" | "application/javascript" | "application/xml")
}

/// The `requestId` in an answer. The caller knows the request by it, and can look up its cost by it.
fn answered_request_id(answer: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let body: Value = serde_json::from_str(answer.get("body")?.as_str()?).ok()?;
    Some(body.get("requestId")?.as_str()?.to_owned())
}

/// Turns a function's answer into a response.
fn from_function(method: &Method, answer: &[u8]) -> Result<Response, &'static str> {
    let answer: Value = serde_json::from_slice(answer).map_err(|_| "it is not JSON")?;
    let Some(status) = answer.get("statusCode") else {
        // "If your function returns valid JSON and no statusCode": 200, and the JSON is the body.
        let body = answer.as_str().map_or_else(|| answer.to_string(), str::to_owned);
        return Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response());
    };
    // AWS accepts a number in a string, too.
    let status =
        status.as_u64().or_else(|| status.as_str()?.parse().ok()).and_then(|status| u16::try_from(status).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok()).filter(|status| status.as_u16() >= 200);
    let status = status.ok_or("its statusCode is no HTTP status")?;
    let body = match answer.get("body") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) if answer.get("isBase64Encoded") == Some(&json!(true)) => {
            STANDARD.decode(text).map_err(|_| "its body is not Base64")?
        }
        Some(Value::String(text)) => text.clone().into_bytes(),
        Some(_) => return Err("its body is not a string"),
    };
    let kind = (!body.is_empty()).then_some(HeaderValue::from_static("text/plain;charset=UTF-8"));
    let is_empty = body.is_empty();
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    headers.extend(kind.map(|kind| (header::CONTENT_TYPE, kind)));
    let empty = Map::new();
    for (name, value) in answer.get("headers").and_then(Value::as_object).unwrap_or(&empty) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // The gateway sets length and connection; the function's values could be wrong.
        if !OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            insert(headers, name, &value);
        }
    }
    if method == Method::HEAD && is_empty {
        // The length is that of GET's body, which is not here: only the function may state it (RFC 9110 §8.6).
        let length = answer["headers"].as_object().into_iter().flatten();
        let length = length
            .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .find_map(|(_, value)| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
        headers.extend(length.map(|length| (header::CONTENT_LENGTH, HeaderValue::from(length))));
        *response.body_mut() = Body::from_stream(futures_util::stream::empty::<Result<Bytes, Infallible>>());
    }
    let headers = response.headers_mut();
    for cookie in answer.get("cookies").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
    Ok(response)
}

/// An error that the gateway answers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    NotFound,
    TooLarge,
    HeadersTooLarge,
    Malformed,
    TooSlow,
    Internal,
    Unavailable,
}

impl Refusal {
    fn of(error: &InvokeError) -> Self {
        match error {
            InvokeError::TooLarge { .. } => Self::TooLarge,
            InvokeError::Throttled { .. } | InvokeError::ShuttingDown => Self::Unavailable,
            InvokeError::Unknown { .. }
            | InvokeError::Start { .. }
            | InvokeError::NotReady { .. }
            | InvokeError::Failed { .. }
            | InvokeError::Refused { .. }
            | InvokeError::TimedOut { .. } => Self::Internal,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::NotFound => "Not Found",
            Self::TooLarge => "Request Entity Too Large",
            Self::HeadersTooLarge => "Request Header Fields Too Large",
            Self::Malformed => "Bad Request",
            Self::TooSlow => "Request Timeout",
            Self::Internal => "Internal Server Error",
            Self::Unavailable => "Service Unavailable",
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status(), axum::Json(json!({"message": self.message()}))).into_response()
    }
}
