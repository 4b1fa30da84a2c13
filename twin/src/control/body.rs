//! The body of a request.

use axum::body::Bytes;
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use super::refuse;

/// A body in JSON, whatever its content type.
#[derive(Debug, Clone, Copy)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let bytes =
            <Bytes as FromRequest<S>>::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        read(&bytes).map(Self).map_err(|message| refuse(StatusCode::BAD_REQUEST, &message))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> OptionalFromRequest<S> for Body<T> {
    type Rejection = Response;

    /// A request may have no body.
    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Response> {
        let bytes =
            <Bytes as FromRequest<S>>::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        let given = (!bytes.is_empty()).then(|| read(&bytes)).transpose();
        given.map(|body| body.map(Self)).map_err(|message| refuse(StatusCode::BAD_REQUEST, &message))
    }
}

/// No body, for a route that takes none. `null` in JSON is no body, too.
#[derive(Debug, Clone, Copy)]
pub struct NoBody;

impl<S: Send + Sync> FromRequest<S> for NoBody {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let asked = format!("{} {}", request.method(), request.uri().path());
        let bytes =
            <Bytes as FromRequest<S>>::from_request(request, state).await.map_err(IntoResponse::into_response)?;
        match bytes.trim_ascii() {
            b"" | b"null" => Ok(Self),
            _ => Err(refuse(StatusCode::BAD_REQUEST, &format!("{asked} takes no body, and this request has one"))),
        }
    }
}

/// Reads a body; an error is a sentence about it.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    if body.starts_with("\u{feff}".as_bytes()) {
        return Err("the body begins with a byte order mark (U+FEFF)".to_owned());
    }
    if body.starts_with(&[0xff, 0xfe]) || body.starts_with(&[0xfe, 0xff]) {
        return Err("the body begins with the byte order mark of UTF-16; it has to be UTF-8".to_owned());
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_byte_order_mark_is_named() {
        assert_eq!(read::<Value>(b"{}"), Ok(json!({})));
        for (body, named) in [
            (&b"\xef\xbb\xbf{}"[..], "a byte order mark (U+FEFF)"),
            (b"\xef\xbb\xbf", "a byte order mark (U+FEFF)"),
            (b"\xff\xfe{\0}\0", "the byte order mark of UTF-16"),
            (b"\xfe\xff\0{\0}", "the byte order mark of UTF-16"),
            // Elsewhere it is a character that JSON does not have there.
            (b"{\xef\xbb\xbf}", "key must be a string"),
        ] {
            let message = read::<Value>(body).unwrap_err();
            assert!(message.contains(named), "{message}");
        }
    }
}
