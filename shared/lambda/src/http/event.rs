//! An event of an HTTP API (payload format 2.0), made safe for `lambda_http`.
//!
//! `lambda_http` 1.3.2 builds a URI out of what the client sent, and panics if a query, a path or a `Host` holds what no
//! URI may, or a body is not the Base64 that it says. Here nothing that a client writes can fail the invocation: the
//! event that `lambda_http` gets has no path, query or host, and the request gets its own URI afterwards.

use std::collections::BTreeMap;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lambda_http::request::LambdaRequest;
use serde::Deserialize;

use super::extract::Query;

/// What the functions read of an event, each as the client may have written it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HttpEvent {
    #[serde(default)]
    raw_path: String,
    #[serde(default)]
    raw_query_string: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    path_parameters: Option<BTreeMap<String, String>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
    request_context: Context,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    route_key: String,
    http: Http,
}

#[derive(Clone, Debug, Deserialize)]
struct Http {
    method: String,
}

/// Where a request goes: what its event says beside method, headers and body.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The path of its route, with the parameters encoded again.
    pub(super) uri: Uri,
    /// The pairs of its query.
    pub(super) query: Query,
}

impl HttpEvent {
    /// Where the request goes.
    ///
    /// API Gateway hands over a path that is decoded. Read as that of a URL, a `#` or `?` in a name would end it there,
    /// a `/` would split it, and a `%41` be decoded once more: the request would be about something else. If no route
    /// was found, the path is taken as it reads, so that it finds none here either; and so does one that is too long
    /// for a URI.
    pub(super) fn target(&self) -> Target {
        Target { uri: self.path().parse().unwrap_or_default(), query: Query::decode(&self.raw_query_string) }
    }

    /// The event without what [`target`](Self::target) has.
    pub(super) fn into_request(self) -> LambdaRequest {
        let mut event = ApiGatewayV2httpRequest::default();
        // A method that is none has no route.
        event.request_context.http.method =
            Method::from_bytes(self.request_context.http.method.as_bytes()).unwrap_or(Method::TRACE);
        event.headers = headers(&self.headers);
        // No gateway sends a body that is not the Base64 that it says: it is read as it is, and refused.
        event.is_base64_encoded =
            self.is_base64_encoded && self.body.as_ref().is_none_or(|body| STANDARD.decode(body).is_ok());
        event.body = self.body;
        LambdaRequest::ApiGatewayV2(event)
    }

    fn path(&self) -> String {
        let route = self.request_context.route_key.split_once(' ');
        let parameter =
            |name: &str| self.path_parameters.as_ref().and_then(|all| all.get(name)).map_or("", String::as_str);
        let segment = |segment: &str| match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => encode(parameter(name)),
            None => encode(segment),
        };
        let segments: Vec<String> = match route {
            Some((_, path)) => path.split('/').map(segment).collect(),
            None => self.raw_path.split('/').map(encode).collect(),
        };
        segments.join("/")
    }
}

/// The headers but the host, which `lambda_http` would put into its URI.
fn headers(all: &BTreeMap<String, String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in all.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
        let Ok(name) = HeaderName::try_from(name.as_str()) else { continue };
        // A control character becomes U+FFFD, which no header of ours takes, rather than that the header is lost.
        let readable = value.replace(|c: char| c.is_ascii_control() && c != '\t', "\u{fffd}");
        headers.extend(HeaderValue::from_bytes(readable.as_bytes()).ok().map(|value| (name, value)));
    }
    headers
}

/// Percent-encodes one segment of a path.
fn encode(segment: &str) -> String {
    form_urlencoded::byte_serialize(segment.as_bytes()).collect::<String>().replace('+', "%20")
}
