//! An event of an HTTP API (payload format 2.0), as the request that it stands for, and a response as its answer.
//!
//! Read by hand: `lambda_http` 1.3.2 builds a URI out of what the client sent, and panics if a query, a path or a
//! `Host` holds what no URI may. Here nothing that a client writes can fail the invocation. A query is kept as the pairs
//! that it decodes to, and the path is the route's, with its parameters encoded again.

use std::collections::BTreeMap;

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderName, HeaderValue, Method, Uri, header},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::extract::{Invocation, Query};

/// What the functions read of an event.
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

/// What a function answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HttpAnswer {
    status_code: u16,
    headers: BTreeMap<String, String>,
    body: String,
    is_base64_encoded: bool,
}

impl HttpEvent {
    /// Whether the client asks for the head of an answer alone.
    pub(super) fn is_head(&self) -> bool {
        self.request_context.http.method == "HEAD"
    }

    /// The request that the event stands for.
    ///
    /// API Gateway hands over a path that is decoded. Read as that of a URL, a `#` or `?` in a name would end it there,
    /// a `/` would split it, and a `%41` be decoded once more: the request would be about something else. If no route
    /// was found, the path is taken as it reads, so that it finds none here either.
    pub(super) fn into_request(self, invocation: Invocation) -> Request {
        let path = self.path();
        let body = self.body.unwrap_or_default();
        let bytes = match self.is_base64_encoded.then(|| STANDARD.decode(&body)) {
            Some(Ok(bytes)) => Bytes::from(bytes),
            // No gateway sends a body that is not the Base64 that it says: it is read as it is, and refused.
            Some(Err(_)) | None => Bytes::from(body),
        };
        let mut request = Request::new(Body::from(bytes));
        // A path too long for a URI, and a method that is none, have no route.
        *request.uri_mut() = path.parse::<Uri>().unwrap_or_default();
        *request.method_mut() =
            Method::from_bytes(self.request_context.http.method.as_bytes()).unwrap_or(Method::TRACE);
        for (name, value) in &self.headers {
            let Ok(name) = HeaderName::try_from(name.as_str()) else { continue };
            // A control character becomes U+FFFD, which no header of ours takes, rather than that the header is lost.
            let readable = value.replace(|c: char| c.is_ascii_control() && c != '\t', "\u{fffd}");
            request.headers_mut().extend(HeaderValue::from_bytes(readable.as_bytes()).ok().map(|value| (name, value)));
        }
        request.extensions_mut().insert(Query::decode(&self.raw_query_string));
        request.extensions_mut().insert(invocation);
        request
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

/// Percent-encodes one segment of a path.
fn encode(segment: &str) -> String {
    form_urlencoded::byte_serialize(segment.as_bytes()).collect::<String>().replace('+', "%20")
}

impl HttpAnswer {
    /// The answer that a response is. One to `HEAD` has no body, and none says how long it is: API Gateway does.
    ///
    /// # Errors
    /// If the body cannot be read; ours are all in memory.
    pub(super) async fn of(response: Response, is_head: bool) -> Result<Self, axum::Error> {
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await?;
        let bytes = if is_head { Bytes::new() } else { bytes };
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in parts.headers.iter().filter(|(name, _)| **name != header::CONTENT_LENGTH) {
            let value = String::from_utf8_lossy(value.as_bytes());
            let joined = headers.entry(name.as_str().to_owned()).or_default();
            if !joined.is_empty() {
                joined.push_str(", ");
            }
            joined.push_str(&value);
        }
        let (body, is_base64_encoded) = match String::from_utf8(bytes.into()) {
            Ok(text) => (text, false),
            Err(error) => (STANDARD.encode(error.as_bytes()), true),
        };
        Ok(Self { status_code: parts.status.as_u16(), headers, body, is_base64_encoded })
    }
}
