//! The parts of a function's answer that the WebSocket API uses: a status, a body, a subprotocol.

use axum::http::{HeaderValue, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The status in a function's answer.
pub(super) fn status_of(answer: &Value) -> Option<StatusCode> {
    let status = answer.get("statusCode")?;
    let status = status.as_u64().or_else(|| status.as_str()?.parse().ok())?;
    StatusCode::from_u16(u16::try_from(status).ok()?).ok()
}

/// The body of a route response.
pub(super) fn response_body(answer: &Value) -> Option<String> {
    let body = match answer.get("body")? {
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let body = match answer.get("isBase64Encoded") {
        Some(Value::Bool(true)) => String::from_utf8_lossy(&STANDARD.decode(body).ok()?).into_owned(),
        _ => body,
    };
    (!body.is_empty()).then_some(body)
}

/// The subprotocol that `$connect` chose: the one response header that API Gateway passes on.
pub(super) fn subprotocol(answer: &Value) -> Option<HeaderValue> {
    let in_map = |name: &str| {
        let headers = answer.get(name)?.as_object()?;
        let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol"))?;
        value.as_str().or_else(|| value.get(0)?.as_str())
    };
    let value = in_map("headers").or_else(|| in_map("multiValueHeaders"))?;
    HeaderValue::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_subprotocol_is_found_whatever_its_case_and_form() {
        let single = json!({"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "a"}});
        let multi = json!({"statusCode": 200, "headers": {}, "multiValueHeaders": {"sec-websocket-protocol": ["b"]}});
        assert_eq!(subprotocol(&single), Some(HeaderValue::from_static("a")));
        assert_eq!(subprotocol(&multi), Some(HeaderValue::from_static("b")));
        assert_eq!(subprotocol(&json!({"statusCode": 200})), None);
    }
}
