//! The events that a WebSocket API sends to its functions: `CONNECT`, `MESSAGE`, `DISCONNECT`.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::{Moment, query_pairs};
use crate::ids::gateway_id;
use crate::ledger::TraceId;

/// The facts about a connection that each of its events carries.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) api_id: String,
    pub(super) stage: String,
    pub(super) domain_name: String,
    pub(super) connection_id: String,
    pub(super) connected_at: Moment,
    pub(super) source_ip: String,
    pub(super) user_agent: Option<String>,
}

/// An event and the request id in it.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) request_id: String,
    pub(super) body: Value,
}

impl Origin {
    /// The event of `$connect`, with the upgrade request's headers and query.
    pub(super) fn connect(&self, headers: &HeaderMap, query: &str, trace: &TraceId) -> Event {
        let mut event = self.event("$connect", "CONNECT");
        let mut values = header_values(headers);
        values.insert("X-Amzn-Trace-Id".to_owned(), vec![format!("Root={trace}")]);
        values.entry("X-Forwarded-For".to_owned()).or_default().push(self.source_ip.clone());
        values.insert("X-Forwarded-Port".to_owned(), vec!["443".to_owned()]);
        values.insert("X-Forwarded-Proto".to_owned(), vec!["https".to_owned()]);
        event.set_headers(values);
        let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in query_pairs(query) {
            parameters.entry(name).or_default().push(value);
        }
        if !parameters.is_empty() {
            event.body["queryStringParameters"] = json!(last_values(&parameters));
            event.body["multiValueQueryStringParameters"] = json!(parameters);
        }
        event
    }

    /// The event of a message; a binary one is given as Base64.
    pub(super) fn message(&self, route_key: &str, body: &str, is_base64: bool) -> Event {
        let mut event = self.event(route_key, "MESSAGE");
        event.body["requestContext"]["messageId"] = json!(gateway_id());
        event.body["body"] = json!(body);
        event.body["isBase64Encoded"] = json!(is_base64);
        event
    }

    /// The event of `$disconnect`, with the status code and the reason of the close.
    pub(super) fn disconnect(&self, code: u16, reason: &str) -> Event {
        let mut event = self.event("$disconnect", "DISCONNECT");
        event.body["requestContext"]["disconnectStatusCode"] = json!(code);
        event.body["requestContext"]["disconnectReason"] = json!(reason);
        // The real event has only these four: the client sent its own headers with the upgrade request.
        let values =
            [("Host", self.domain_name.as_str()), ("x-api-key", ""), ("X-Forwarded-For", ""), ("x-restapi", "")];
        event.set_headers(values.map(|(name, value)| (name.to_owned(), vec![value.to_owned()])).into());
        event
    }

    fn event(&self, route_key: &str, event_type: &str) -> Event {
        let now = Moment::now();
        let request_id = gateway_id();
        let mut identity = json!({"sourceIp": self.source_ip});
        if let Some(user_agent) = &self.user_agent {
            identity["userAgent"] = json!(user_agent);
        }
        let body = json!({
            "requestContext": {
                "routeKey": route_key,
                "eventType": event_type,
                "extendedRequestId": request_id,
                "requestTime": now.common_log(),
                "messageDirection": "IN",
                "stage": self.stage,
                "connectedAt": self.connected_at.epoch_millis(),
                "requestTimeEpoch": now.epoch_millis(),
                "identity": identity,
                "requestId": request_id,
                "domainName": self.domain_name,
                "connectionId": self.connection_id,
                "apiId": self.api_id,
            },
            "isBase64Encoded": false,
        });
        Event { request_id, body }
    }
}

impl Event {
    fn set_headers(&mut self, values: BTreeMap<String, Vec<String>>) {
        self.body["headers"] = json!(last_values(&values));
        self.body["multiValueHeaders"] = json!(values);
    }
}

/// Of several values of one name, the single-value maps carry the last.
fn last_values(values: &BTreeMap<String, Vec<String>>) -> BTreeMap<&str, &str> {
    values.iter().filter_map(|(name, values)| Some((name.as_str(), values.last()?.as_str()))).collect()
}

fn header_values(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    // Hop-by-hop headers, which API Gateway removes.
    let kept = headers.iter().filter(|(name, _)| !matches!(name.as_str(), "connection" | "upgrade"));
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in kept {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        values.entry(as_browsers_write(name.as_str())).or_default().push(value);
    }
    values
}

/// `sec-websocket-key` as `Sec-WebSocket-Key`.
///
/// API Gateway keeps the names of a socket's headers as the client sent them. The HTTP stack here has already made them
/// lower case, so this writes them as browsers do: that is the form which code for Lambda is tested against.
fn as_browsers_write(name: &str) -> String {
    let words = name.split('-').map(|word| match word {
        "websocket" => "WebSocket".to_owned(),
        "dnt" | "te" => word.to_ascii_uppercase(),
        word => {
            let (first, rest) = word.split_at(word.len().min(1));
            first.to_ascii_uppercase() + rest
        }
    });
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
    use axum::http::HeaderValue;

    use super::*;

    fn origin() -> Origin {
        Origin {
            api_id: "socket".to_owned(),
            stage: "local".to_owned(),
            domain_name: "127.0.0.1:7401".to_owned(),
            connection_id: "L0SM9cOFvHcCIhw=".to_owned(),
            connected_at: Moment::now(),
            source_ip: "127.0.0.1".to_owned(),
            user_agent: Some("test/1".to_owned()),
        }
    }

    fn decode(event: &Event) -> ApiGatewayWebsocketProxyRequest {
        serde_json::from_value(event.body.clone()).unwrap()
    }

    #[test]
    fn connect_carries_headers_and_query_in_both_forms() {
        let mut headers = HeaderMap::new();
        headers.append("sec-websocket-protocol", HeaderValue::from_static("app.v1, token"));
        headers.append("x-twice", HeaderValue::from_static("one"));
        headers.append("x-twice", HeaderValue::from_static("two"));
        headers.append("upgrade", HeaderValue::from_static("websocket"));
        let event = origin().connect(&headers, "deviceId=a%3D&tag=1&tag=2", &TraceId::new());

        assert_eq!(event.body["headers"]["X-Twice"], "two");
        assert_eq!(event.body["multiValueHeaders"]["X-Twice"], json!(["one", "two"]));
        assert_eq!(event.body["headers"]["Sec-WebSocket-Protocol"], "app.v1, token");
        assert!(event.body["headers"].get("Upgrade").is_none());
        assert_eq!(event.body["queryStringParameters"], json!({"deviceId": "a=", "tag": "2"}));
        assert_eq!(event.body["multiValueQueryStringParameters"]["tag"], json!(["1", "2"]));

        let decoded = decode(&event);
        assert_eq!(decoded.headers["sec-websocket-protocol"], "app.v1, token");
        assert_eq!(decoded.multi_value_headers.get_all("x-twice").iter().count(), 2);
        assert_eq!(decoded.query_string_parameters.first("deviceId"), Some("a="));
        assert_eq!(decoded.request_context.event_type.as_deref(), Some("CONNECT"));
        assert_eq!(decoded.request_context.connection_id.as_deref(), Some("L0SM9cOFvHcCIhw="));
        assert_eq!(decoded.request_context.identity.source_ip.as_deref(), Some("127.0.0.1"));
    }

    #[test]
    fn a_message_has_an_id_and_a_body_and_no_headers() {
        let event = origin().message("sync", "{\"action\":\"sync\"}", false);
        assert!(event.body.get("headers").is_none());
        let decoded = decode(&event);
        assert_eq!(decoded.request_context.route_key.as_deref(), Some("sync"));
        assert_eq!(decoded.request_context.event_type.as_deref(), Some("MESSAGE"));
        assert_eq!(decoded.request_context.message_id.map(|id| id.len()), Some(16));
        assert_eq!(decoded.body.as_deref(), Some("{\"action\":\"sync\"}"));
    }

    #[test]
    fn disconnect_carries_code_and_reason() {
        let decoded = decode(&origin().disconnect(1005, "Client-side close frame status not set"));
        assert_eq!(decoded.request_context.event_type.as_deref(), Some("DISCONNECT"));
        assert_eq!(decoded.request_context.disconnect_status_code, Some(1005));
        assert_eq!(
            decoded.request_context.disconnect_reason.as_deref(),
            Some("Client-side close frame status not set")
        );
        assert_eq!(decoded.headers["x-restapi"], "");
    }
}
