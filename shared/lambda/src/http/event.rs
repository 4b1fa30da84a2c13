//! An event of an HTTP API (payload format 2.0), sanitised for `lambda_http`.
//!
//! `lambda_http` 1.3.2 builds a URI out of the client's request, and panics if a query, a path or a `Host` holds
//! characters that a URI may not contain, or if a body is not valid Base64 although it is marked as such. Here no
//! client input can fail the invocation: the event that `lambda_http` gets has no path, query or host, and the request
//! gets its URI afterwards.

use std::collections::BTreeMap;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lambda_http::request::LambdaRequest;
use serde::Deserialize;

use super::extract::Query;

/// The fields of an event that the functions read, each as the client may have written it.
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

/// The target of a request: everything in its event except method, headers and body.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The path of its route, with the parameters encoded again.
    pub(super) uri: Uri,
    /// The pairs of its query.
    pub(super) query: Query,
}

impl HttpEvent {
    /// The target of the request.
    ///
    /// API Gateway passes a decoded path. If it were parsed as that of a URL, a `#` or `?` in a name would end it, a
    /// `/` would split it, and a `%41` would be decoded once more: the request would address another resource. If API
    /// Gateway found no route, the path is kept as it is, so that it matches no route here either. The same holds for a
    /// path that is too long for a URI.
    pub(super) fn target(&self) -> Target {
        Target { uri: self.path().parse().unwrap_or_default(), query: Query::decode(&self.raw_query_string) }
    }

    /// The event without the parts that [`target`](Self::target) returns.
    pub(super) fn into_request(self) -> LambdaRequest {
        let mut event = ApiGatewayV2httpRequest::default();
        // An invalid method has no route.
        event.request_context.http.method =
            Method::from_bytes(self.request_context.http.method.as_bytes()).unwrap_or(Method::TRACE);
        event.headers = headers(&self.headers);
        // API Gateway never marks a body as Base64 that is not; such a body is read as it is, and refused.
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

/// The headers without the host, which `lambda_http` would put into its URI.
fn headers(all: &BTreeMap<String, String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in all.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
        let Ok(name) = HeaderName::try_from(name.as_str()) else { continue };
        // A control character becomes U+FFFD, which none of our headers accepts; the header is not lost.
        let readable = value.replace(|c: char| c.is_ascii_control() && c != '\t', "\u{fffd}");
        headers.extend(HeaderValue::from_bytes(readable.as_bytes()).ok().map(|value| (name, value)));
    }
    headers
}

/// Percent-encodes one segment of a path.
fn encode(segment: &str) -> String {
    form_urlencoded::byte_serialize(segment.as_bytes()).collect::<String>().replace('+', "%20")
}
