//! HTTP functions: an axum router on `lambda_http`, and every failure as a problem.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{FromRequestParts, MatchedPath, Path, Request},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use lambda_http::{
    RequestExt as _,
    request::RequestContext,
    tower::{Layer as _, util::MapRequestLayer},
};
use serde_json::{Map, Value};
use tidings_crypto::{keys::RootKeys, token::Token};
use tidings_service::{
    Apps,
    apps::AppsError,
    device_token::{Signed, signed_by},
};
use tidings_store::{App, StoreError, Users};
use tidings_wire::{FieldProblem, Problem, Timestamp, fields::Fields, json, limits, problem};

use crate::{Error, logs};

/// Every way in which a request can fail, each with one status and one code.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Fields are missing, empty, too long, of the wrong type or not known.
    #[error("fields are wrong")]
    Fields(Vec<FieldProblem>),
    /// The body is no JSON object that we read.
    #[error("{0}")]
    Body(json::JsonError),
    /// No `Authorization: Bearer` header.
    #[error("send the app key as `Authorization: Bearer …`")]
    NoAppKey,
    /// The key is not one of the app's.
    #[error("the app key is not valid")]
    WrongAppKey,
    /// No `Authorization: Bearer` header, where a device asks.
    #[error("send a token that the device has signed as `Authorization: Bearer …`")]
    NoToken,
    /// The token proves nothing: one answer, whatever is wrong with it.
    #[error("the token is not valid, or no longer: sign a new one, and check the clock")]
    WrongToken,
    /// The request names another app than the key's.
    #[error("`appId` is not the app that the key belongs to")]
    UnknownApp,
    /// Nothing there, or not this app's.
    #[error("{0}")]
    NotFound(&'static str),
    /// No such route.
    #[error("no such route; see the API's documentation")]
    NoRoute,
    /// The route exists with other methods.
    #[error("the method is not allowed here")]
    MethodNotAllowed,
    /// The idempotency key was used with another body.
    #[error("the Idempotency-Key was used before with another body")]
    KeyReused,
    /// The message was cancelled before.
    #[error("the message was cancelled before, at {0}")]
    AlreadyCancelled(Timestamp),
    /// The message's time is over.
    #[error("the message's time was over at {0}: nothing is left to cancel")]
    Settled(Timestamp),
    /// Somebody else changed the same thing at the same moment.
    #[error("changed by another request at the same moment; try again")]
    Conflict,
    /// A dependency is slow or down; the request may be repeated.
    #[error("not available just now; try again")]
    Unavailable(#[source] Error),
    /// A fault of ours.
    #[error("internal error")]
    Internal(#[source] Error),
}

impl ApiError {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Fields(_) => StatusCode::BAD_REQUEST,
            Self::Body(json::JsonError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(json::JsonError::TooDeep | json::JsonError::Syntax { .. } | json::JsonError::NotAnObject) => {
                StatusCode::BAD_REQUEST
            }
            Self::NoAppKey | Self::WrongAppKey | Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            Self::UnknownApp => StatusCode::FORBIDDEN,
            Self::NotFound(_) | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::AlreadyCancelled(_) | Self::Settled(_) | Self::Conflict => StatusCode::CONFLICT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fields(_) => "invalid_fields",
            Self::Body(json::JsonError::TooLarge { .. }) => "body_too_large",
            Self::Body(json::JsonError::TooDeep) => "body_too_deep",
            Self::Body(json::JsonError::Syntax { .. } | json::JsonError::NotAnObject) => "not_json",
            Self::NoAppKey => "no_app_key",
            Self::WrongAppKey => "wrong_app_key",
            Self::NoToken => "no_token",
            Self::WrongToken => "wrong_token",
            Self::UnknownApp => "unknown_app",
            Self::NotFound(_) => "not_found",
            Self::NoRoute => "no_route",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::KeyReused => "idempotency_key_reused",
            Self::AlreadyCancelled(_) => "already_cancelled",
            Self::Settled(_) => "message_settled",
            Self::Conflict => "conflict",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal",
        }
    }

    /// Seconds after which a repeat makes sense.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Conflict | Self::Unavailable(_) => Some(1),
            Self::Fields(_)
            | Self::Body(_)
            | Self::NoAppKey
            | Self::WrongAppKey
            | Self::NoToken
            | Self::WrongToken
            | Self::UnknownApp
            | Self::NotFound(_)
            | Self::NoRoute
            | Self::MethodNotAllowed
            | Self::KeyReused
            | Self::AlreadyCancelled(_)
            | Self::Settled(_)
            | Self::Internal(_) => None,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Request { .. } => Self::Unavailable(error.into()),
            StoreError::Item { .. } => Self::Internal(error.into()),
        }
    }
}

impl From<AppsError> for ApiError {
    fn from(error: AppsError) -> Self {
        match error {
            AppsError::NoKey => Self::NoAppKey,
            AppsError::WrongKey => Self::WrongAppKey,
            AppsError::Store(error) => error.into(),
        }
    }
}

impl From<Vec<FieldProblem>> for ApiError {
    fn from(problems: Vec<FieldProblem>) -> Self {
        Self::Fields(problems)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let errors = if let Self::Fields(problems) = &self { problems.clone() } else { Vec::new() };
        let detail = match errors.as_slice() {
            [] => self.to_string(),
            [only] => format!("`{}` {}", only.field, only.detail),
            [first, rest @ ..] => format!("`{}` {}; and {} more", first.field, first.detail, rest.len()),
        };
        let problem = Problem {
            status: status.as_u16(),
            code: self.code().to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            detail,
            request_id: None,
            errors,
        };
        let mut response = (status, Json(&problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE));
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For the middleware, which knows the request's id.
        response.extensions_mut().insert(problem);
        response.extensions_mut().insert(std::sync::Arc::new(self));
        response
    }
}

/// Reads a body as a JSON object.
///
/// # Errors
/// [`ApiError::Body`].
pub fn object(body: &Bytes) -> Result<Map<String, Value>, ApiError> {
    json::object(body).map_err(ApiError::Body)
}

/// The id of the invocation and the trace that it belongs to.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// Lambda's request id.
    pub request_id: String,
    /// X-Ray trace header.
    pub trace: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Invocation {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// The id in a request's path. One that is not even UTF-8 is empty, and so nobody's.
#[derive(Clone, Debug)]
pub struct PathId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        Ok(id.map_or_else(|_| Self(String::new()), |Path(id)| Self(id)))
    }
}

/// The pairs of a query, decoded (`application/x-www-form-urlencoded`).
pub fn pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    form_urlencoded::parse(query.as_bytes()).into_owned()
}

/// What a path names, in 1 to `max` characters, and the tenant that its query may name (`tenantCode`; empty for none).
///
/// # Errors
/// [`ApiError::Fields`].
pub fn of_tenant(
    name: &'static str,
    value: String,
    max: usize,
    query: Option<&str>,
) -> Result<(String, String), ApiError> {
    let text = |(name, value)| (name, Value::String(value));
    let mut path = Fields::new(Map::from_iter([text((name.to_owned(), value))]));
    let named = path.required_text(name, max);
    let mut asked = Fields::new(pairs(query.unwrap_or_default()).map(text).collect());
    let tenant = asked.text("tenantCode", limits::IDENTIFIER_CHARS).unwrap_or_default();
    let mut problems = path.into_problems();
    problems.extend(asked.into_problems());
    if problems.is_empty() { Ok((named, tenant)) } else { Err(problems.into()) }
}

/// An answer that no cache keeps: it is one person's, and old soon.
pub fn personal<T>(answer: T) -> Response
where
    Json<T>: IntoResponse,
{
    ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(answer)).into_response()
}

/// The token of an `Authorization: Bearer` header.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The device that asks over HTTP, by the token that it sends as `Authorization: Bearer`, and its app. What opens no socket opens
/// nothing here either; only the use of a token is not noted, so that one may serve as often as it likes within its minute.
///
/// # Errors
/// [`ApiError::NoToken`]; [`ApiError::WrongToken`], whatever is wrong with it; or that of the store.
pub async fn signed_request(
    users: &Users,
    apps: &Apps,
    roots: &RootKeys,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<(Signed, App), ApiError> {
    let refused = |reason: &dyn std::fmt::Display| {
        tracing::info!(%reason, "device refused");
        ApiError::WrongToken
    };
    let token = bearer(headers).ok_or(ApiError::NoToken)?;
    let token = Token::parse(token).map_err(|error| refused(&error))?;
    let signed = signed_by(users, roots, token, now).await?.map_err(|why| refused(&why))?;
    match apps.get(&signed.device.user.app, now).await? {
        Some(app) => Ok((signed, app)),
        None => Err(refused(&"unknown app")),
    }
}

/// Serves a router until the process ends: problems get the request's id, faults are logged once, unknown routes and methods
/// are problems too.
///
/// # Errors
/// Where the Runtime API cannot be reached.
pub async fn serve(router: Router) -> Result<(), Error> {
    lambda_http::run(MapRequestLayer::new(routed).layer(complete(router))).await
}

/// The request under the URI that its route, its path parameters and its query make.
///
/// API Gateway hands over a path that is decoded. Read as that of a URL, a `#` or `?` in a name would end it there and take the
/// query away, a `/` would split it, and a `%41` be decoded once more: the request would be about something else. Where no route
/// was found, the path is taken as it reads, so that it finds none here either.
fn routed(mut request: lambda_http::Request) -> lambda_http::Request {
    let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() else { return request };
    let route = context.route_key.as_deref().and_then(|key| key.split_once(' '));
    let parameters = request.path_parameters();
    let segment = |segment: &str| match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
        Some(name) => encode(parameters.first(name).unwrap_or_default()),
        None => encode(segment),
    };
    let path: Vec<String> = match route {
        Some((_, path)) => path.split('/').map(segment).collect(),
        None => request.raw_http_path().split('/').map(encode).collect(),
    };
    let uri = format!("{}?{}", path.join("/"), request.query_string_parameters().to_query_string());
    *request.uri_mut() = uri.parse::<Uri>().unwrap_or_default();
    request
}

/// Percent-encodes one segment of a path.
fn encode(segment: &str) -> String {
    form_urlencoded::byte_serialize(segment.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A router with everything that every HTTP function has.
pub fn complete(router: Router) -> Router {
    router
        .fallback(|| async { ApiError::NoRoute })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        // The limit is ours, so that its answer is a problem; API Gateway and Lambda have theirs before it.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .layer(middleware::from_fn(edge))
}

async fn edge(mut request: Request, next: Next) -> Response {
    let invocation = request.lambda_context_ref().map_or_else(Invocation::default, |context| Invocation {
        request_id: context.request_id.clone(),
        trace: context.xray_trace_id.clone(),
    });
    // The route, not the path: what a client writes there may be anything, a token or an address too.
    let path = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    request.extensions_mut().insert(invocation.clone());
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    let request_id = invocation.request_id;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let cause = response.extensions_mut().remove::<std::sync::Arc<ApiError>>();
        let error = cause.map_or_else(String::new, |error| logs::chain(&*error));
        if status >= 500 {
            tracing::error!(%method, path, status, code = problem.code, request_id, error, "request failed");
        } else {
            tracing::info!(%method, path, status, code = problem.code, request_id, "request refused");
        }
        let headers = std::mem::take(response.headers_mut());
        let problem = Problem { request_id: Some(request_id), ..problem };
        response = (response.status(), Json(problem)).into_response();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response
            .headers_mut()
            .extend(headers.into_iter().filter(|(name, _)| name.as_ref() != Some(&header::CONTENT_LENGTH)));
    } else {
        tracing::info!(%method, path, status, request_id, "request served");
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::extract::RawQuery;
    use lambda_http::{request::from_str, tower::Service as _};
    use serde_json::json;

    use super::*;

    /// What a route is told of a request that API Gateway hands over like this: the name, and the pairs of the query.
    async fn told(route_key: &str, raw_path: &str, parameters: Value, query: &str) -> Result<(String, Value), u16> {
        let told = |PathId(name): PathId, RawQuery(query): RawQuery| async move {
            let query: Vec<_> = pairs(&query.unwrap_or_default()).collect();
            Json(json!([name, query]))
        };
        let router = Router::new()
            .route("/v1/items/{item}", axum::routing::put(told))
            .route("/v1/users/{alias}/preferences", axum::routing::put(told));
        let event = json!({
            "version": "2.0", "routeKey": route_key, "rawPath": raw_path, "rawQueryString": query,
            "headers": {"host": "api.example.com"}, "pathParameters": parameters, "isBase64Encoded": false,
            "requestContext": {
                "routeKey": route_key, "stage": "$default", "accountId": "1", "apiId": "a", "requestId": "r",
                "domainName": "api.example.com", "domainPrefix": "api", "time": "", "timeEpoch": 0,
                "http": {"method": "PUT", "path": raw_path, "protocol": "HTTP/1.1", "sourceIp": "::1", "userAgent": ""},
            },
        });
        let request = from_str(&event.to_string()).unwrap();
        let answer = MapRequestLayer::new(routed).layer(complete(router)).call(request).await.unwrap();
        if !answer.status().is_success() {
            return Err(answer.status().as_u16());
        }
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let Value::Array(told) = serde_json::from_slice(&body).unwrap() else { panic!("{body:?}") };
        Ok((told[0].as_str().unwrap().to_owned(), told[1].clone()))
    }

    #[tokio::test]
    async fn a_name_is_what_the_event_says_whatever_its_path_looks_like() {
        let names = [
            "order:4711",
            "order#4711",
            "a?b=c",
            "a/b",
            "x%41",
            "50%",
            "a b",
            "é|ü",
            "+",
            "..",
            "a\\b",
            "\n",
            "{item}",
        ];
        for name in names {
            let path = format!("/v1/items/{name}");
            let query = "tenantCode=north%23%3F&tenantCode=b+c&x=%25";
            let pairs = json!([["tenantCode", "north#?"], ["tenantCode", "b c"], ["x", "%"]]);
            let (item, mut query) = told("PUT /v1/items/{item}", &path, json!({"item": name}), query).await.unwrap();
            // One name's values keep their order; of two names, none comes first.
            query.as_array_mut().unwrap().sort_by_key(|pair| pair[0].to_string());
            assert_eq!((item.as_str(), query), (name, pairs));

            let path = format!("/v1/users/{name}/preferences");
            let answer = told("PUT /v1/users/{alias}/preferences", &path, json!({"alias": name}), "").await;
            assert_eq!(answer, Ok((name.to_owned(), json!([]))));
        }
    }

    #[tokio::test]
    async fn what_the_gateway_knows_no_route_for_finds_none_here() {
        for path in ["/v1/items/order#a/b", "/v1/items/order?a/b", "/v1/items/x/../order", "/v1/items/", "/", ""] {
            assert_eq!(told("$default", path, Value::Null, "").await, Err(404), "{path}");
        }
    }
}
