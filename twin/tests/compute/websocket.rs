//! The WebSocket API and `@connections`, with tokio-tungstenite as the client.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use sam_twin::faults::{Fault, Faults, Rule};
use sam_twin::functions::{Functions, LogLine};
use sam_twin::gateway::websocket::{self, BinaryFrames, SocketApi, SocketLimits};
use sam_twin::ledger::Ledger;
use sam_twin::services::connections::Connections;
use sam_twin::template::{self, WebSocketRoute};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::twin::{self, function, request};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Twin {
    api: SocketApi,
    url: String,
    connections: String,
    functions: Functions,
    logs: broadcast::Receiver<LogLine>,
    ledger: Ledger,
    faults: Faults,
}

async fn twin_with(limits: SocketLimits, default: bool) -> Twin {
    let functions = twin::functions([function("socket")]);
    let logs = functions.logs();
    let route = |has_route_response| WebSocketRoute {
        function: "socketFunction".to_owned(),
        has_route_response,
        timeout: None,
    };
    let mut routes = BTreeMap::from([
        ("$connect".to_owned(), route(false)),
        ("$disconnect".to_owned(), route(false)),
        ("echo".to_owned(), route(true)),
        ("quiet".to_owned(), route(false)),
    ]);
    if default {
        routes.insert("$default".to_owned(), route(true));
    }
    let api = template::WebSocketApi {
        logical_id: "WebSocketApi".to_owned(),
        api_id: "socket".to_owned(),
        stage: "live".to_owned(),
        route_selection_expression: "$request.body.action".to_owned(),
        routes,
    };
    let ledger = Ledger::new();
    let faults = Faults::default();
    let api = SocketApi::new(api, functions.clone(), ledger.clone(), limits, faults.clone());
    let address = twin::serve(websocket::router(&api)).await;
    let management = twin::serve(Connections::new(Some(api.clone())).router()).await;
    Twin {
        api,
        url: format!("ws://{address}/live"),
        connections: format!("http://{management}/live/@connections"),
        functions,
        logs,
        ledger,
        faults,
    }
}

async fn twin() -> Twin {
    twin_with(SocketLimits::default(), true).await
}

impl Twin {
    /// Opens a socket; its connection id is that of the only open connection.
    async fn open(&mut self) -> (Socket, String) {
        let (socket, _) = connect_async(&self.url).await.unwrap();
        let connect = twin::json_line(&mut self.logs, "CONNECT ").await;
        (socket, connect["requestContext"]["connectionId"].as_str().unwrap().to_owned())
    }

    async fn disconnected(&mut self) -> (u64, String) {
        let event = twin::json_line(&mut self.logs, "DISCONNECT ").await;
        let context = &event["requestContext"];
        let code = context["disconnectStatusCode"].as_u64().unwrap();
        (code, context["disconnectReason"].as_str().unwrap().to_owned())
    }

    async fn manage(&self, method: &str, id: &str, body: impl Into<Bytes>) -> (u16, http::HeaderMap, Value) {
        let url = format!("{}/{}", self.connections, id.replace('=', "%3D"));
        let authorization = "AWS4-HMAC-SHA256 Credential=twin-1/20260101/us-east-1/execute-api/aws4_request";
        let (status, headers, body) = request(&url, method, &[("authorization", authorization)], body.into()).await;
        (status, headers, serde_json::from_slice(&body).unwrap_or_default())
    }
}

async fn next(socket: &mut Socket) -> Message {
    tokio::time::timeout(twin::PATIENCE, socket.next()).await.expect("nothing came").unwrap().unwrap()
}

async fn next_text(socket: &mut Socket) -> String {
    match next(socket).await {
        Message::Text(text) => text.to_string(),
        other => panic!("expected a text, got {other:?}"),
    }
}

async fn next_json(socket: &mut Socket) -> Value {
    serde_json::from_str(&next_text(socket).await).unwrap()
}

async fn next_close(socket: &mut Socket) -> (u16, String) {
    loop {
        match next(socket).await {
            Message::Close(Some(frame)) => return (frame.code.into(), frame.reason.to_string()),
            Message::Close(None) => return (1005, String::new()),
            _ => {}
        }
    }
}

async fn send(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// Sends a text in fragments of this size.
async fn send_fragments(socket: &mut Socket, text: &str, size: usize) -> Result<(), Error> {
    let parts: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
    for (index, part) in parts.iter().enumerate() {
        let opcode = OpCode::Data(if index == 0 { Data::Text } else { Data::Continue });
        let frame = Frame::message(Bytes::copy_from_slice(part), opcode, index + 1 == parts.len());
        socket.send(Message::Frame(frame)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn connect_is_asked_and_the_subprotocol_passed_on() {
    let mut twin = twin().await;
    let mut upgrade = format!("{}?deviceId=d%3D1&tag=1&tag=2", twin.url).into_client_request().unwrap();
    upgrade.headers_mut().insert("sec-websocket-protocol", "app.v1, token".parse().unwrap());
    upgrade.headers_mut().insert("origin", "https://app.example".parse().unwrap());
    let (_socket, response) = connect_async(upgrade).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-protocol"], "app.v1");
    assert!(twin.ledger.find(response.headers()["x-twin-trace"].to_str().unwrap()).is_some());

    let event = twin::json_line(&mut twin.logs, "CONNECT ").await;
    assert_eq!(event["headers"]["Origin"], "https://app.example");
    assert_eq!(event["headers"]["Sec-WebSocket-Protocol"], "app.v1, token");
    assert_eq!(event["multiValueQueryStringParameters"]["tag"], json!(["1", "2"]));
    let context = &event["requestContext"];
    assert_eq!(
        (&context["routeKey"], &context["stage"], &context["apiId"]),
        (&json!("$connect"), &json!("live"), &json!("socket"))
    );
    assert_eq!(context["identity"]["sourceIp"], "127.0.0.1");
    let id = context["connectionId"].as_str().unwrap().to_owned();
    assert_eq!(twin.api.connection_ids(), [id]);
    let decoded: ApiGatewayWebsocketProxyRequest = serde_json::from_value(event).unwrap();
    assert_eq!(decoded.query_string_parameters.first("deviceId"), Some("d=1"));
}

#[tokio::test]
async fn a_refused_upgrade_has_the_functions_status() {
    let twin = twin().await;
    for (refuse, expected) in
        [("401", 401), ("403", 403), ("500", 500), ("error", 500), ("malformed", 500), ("100", 500)]
    {
        match connect_async(format!("{}?refuse={refuse}", twin.url)).await {
            Err(Error::Http(response)) => {
                assert_eq!(response.status(), expected, "{refuse}");
                let body: Value = serde_json::from_slice(response.body().as_deref().unwrap()).unwrap();
                assert_eq!(body["connectionId"].as_str().unwrap().len(), 16);
            }
            other => panic!("{refuse}: {other:?}"),
        }
        assert!(twin.api.connection_ids().is_empty());
    }
}

#[tokio::test]
async fn anything_but_an_upgrade_of_this_stage_is_refused() {
    let twin = twin().await;
    let http = twin.url.replace("ws:", "http:");
    assert_eq!(request(&http, "GET", &[], Bytes::new()).await.0, 426);
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "8")];
    assert_eq!(request(&http, "GET", &upgrade, Bytes::new()).await.0, 400);
    match connect_async(twin.url.replace("live", "other")).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 403),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn messages_go_to_the_route_of_their_action() {
    let mut twin = twin().await;
    let (mut socket, id) = twin.open().await;
    send(&mut socket, json!({"action": "echo", "n": 1})).await;
    let event = next_json(&mut socket).await;
    assert_eq!(event["requestContext"]["routeKey"], "echo");
    assert_eq!(event["requestContext"]["connectionId"], id);
    assert_eq!(event["body"], r#"{"action":"echo","n":1}"#);
    let _: ApiGatewayWebsocketProxyRequest = serde_json::from_value(event).unwrap();

    for other in ["not json", r#"{"action":"unknown"}"#, r#"{"action":"$connect"}"#, "[]", "{}"] {
        socket.send(Message::text(other)).await.unwrap();
        let event = next_json(&mut socket).await;
        assert_eq!((&event["requestContext"]["routeKey"], &event["body"]), (&json!("$default"), &json!(other)));
    }
    let trace = &twin.ledger.recent(1)[0];
    assert_eq!((trace.origin.as_str(), trace.outcome.as_deref()), ("$default", Some("200")));
}

#[tokio::test]
async fn only_a_route_with_a_response_answers() {
    let mut twin = twin().await;
    let (mut socket, _) = twin.open().await;
    send(&mut socket, json!({"action": "quiet"})).await;
    send(&mut socket, json!({"action": "echo", "answer": "nothing"})).await;
    send(&mut socket, json!({"action": "echo", "last": true})).await;
    let event = next_json(&mut socket).await;
    assert_eq!(event["body"], r#"{"action":"echo","last":true}"#);
}

#[tokio::test]
async fn a_failure_is_answered_in_the_gateways_own_words() {
    let limits = SocketLimits { integration: Duration::from_secs(2), ..SocketLimits::default() };
    let mut twin = twin_with(limits, false).await;
    let (mut socket, id) = twin.open().await;
    let cases = [
        (json!({"action": "echo", "answer": "fail"}), "Internal server error"),
        (json!({"action": "quiet", "answer": "fail"}), "Internal server error"),
        (json!({"action": "echo", "answer": "refuse"}), "Internal server error"),
        (json!({"action": "echo", "answer": "malformed"}), "Internal server error"),
        (json!({"action": "echo", "answer": "sleep"}), "Endpoint request timed out"),
        (json!({"action": "unknown"}), "Forbidden"),
    ];
    for (message, expected) in cases {
        send(&mut socket, message.clone()).await;
        let frame = next_json(&mut socket).await;
        assert_eq!((&frame["message"], &frame["connectionId"]), (&json!(expected), &json!(id)), "{message}");
        assert_eq!(frame["requestId"].as_str().unwrap().len(), 16);
    }
}

#[tokio::test]
async fn binary_frames_are_given_as_base64_or_refused() {
    let limits = SocketLimits { binary_frames: BinaryFrames::Forward, ..SocketLimits::default() };
    let mut forwarding = twin_with(limits, true).await;
    let (mut socket, _) = forwarding.open().await;
    socket.send(Message::binary(vec![0, 1, 255])).await.unwrap();
    let event = next_json(&mut socket).await;
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("AAH/"), &json!(true)));

    let mut refusing = twin().await;
    let (mut socket, _) = refusing.open().await;
    socket.send(Message::binary(vec![0, 1, 255])).await.unwrap();
    assert_eq!(next_close(&mut socket).await.0, 1003);
    assert_eq!(refusing.disconnected().await.0, 1003);
}

#[tokio::test]
async fn a_message_may_have_128_kilobytes_in_frames_of_32() {
    let mut twin = twin().await;
    let (mut socket, _) = twin.open().await;
    let largest = "x".repeat(128 * 1024);
    send_fragments(&mut socket, &largest, 32 * 1024).await.unwrap();
    assert_eq!(next_json(&mut socket).await["body"], largest);

    send_fragments(&mut socket, &format!("{largest}x"), 32 * 1024).await.unwrap();
    assert_eq!(next_close(&mut socket).await.0, 1009);
    assert_eq!(twin.disconnected().await.0, 1009);

    let (mut socket, _) = twin.open().await;
    // A client that keeps writing must still read the close: nothing may reset the socket before.
    let _ = socket.send(Message::text("x".repeat(32 * 1024 + 1))).await;
    assert_eq!(next_close(&mut socket).await.0, 1009);
    assert_eq!(twin.disconnected().await.0, 1009);
    assert!(twin.api.connection_ids().is_empty());
}

#[tokio::test]
async fn silence_and_age_end_a_connection() {
    let idle = SocketLimits { idle: Duration::from_secs(2), ..SocketLimits::default() };
    let mut twin = twin_with(idle, true).await;
    let (mut socket, _) = twin.open().await;
    // A client that is silent for half of the limit, three times: together longer than the limit.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        socket.send(Message::Ping(Bytes::from_static(b"alive"))).await.unwrap();
        assert_eq!(next(&mut socket).await, Message::Pong(Bytes::from_static(b"alive")));
    }
    assert_eq!(next_close(&mut socket).await, (1001, "Going away".to_owned()));
    assert_eq!(twin.disconnected().await, (1001, "Going away".to_owned()));

    let old = SocketLimits { life: Duration::from_millis(600), ..SocketLimits::default() };
    let mut twin = twin_with(old, true).await;
    let (mut socket, _) = twin.open().await;
    assert_eq!(next_close(&mut socket).await, (1001, "Going away".to_owned()));
    assert_eq!(twin.disconnected().await.0, 1001);
}

#[tokio::test]
async fn disconnect_carries_the_clients_close() {
    let mut twin = twin().await;
    let (mut socket, _) = twin.open().await;
    socket.close(Some(CloseFrame { code: CloseCode::from(4001), reason: "enough".into() })).await.unwrap();
    assert_eq!(twin.disconnected().await, (4001, "enough".to_owned()));
    assert_eq!(next_close(&mut socket).await.0, 4001, "a close is answered with its own code");

    let (mut socket, _) = twin.open().await;
    socket.close(None).await.unwrap();
    assert_eq!(twin.disconnected().await, (1005, "Client-side close frame status not set".to_owned()));

    let (socket, id) = twin.open().await;
    drop(socket);
    assert_eq!(twin.disconnected().await.0, 1006);
    assert_eq!(twin.manage("POST", &id, "late").await.0, 410);
}

#[tokio::test]
async fn a_disconnect_can_be_lost_or_late() {
    let mut twin = twin().await;
    let (mut socket, id) = twin.open().await;
    let lost = twin.faults.add(Rule::new(Fault::LoseDisconnect).function("socketFunction").contains(id));
    socket.close(Some(CloseFrame { code: CloseCode::from(4001), reason: "lost".into() })).await.unwrap();
    assert_eq!(next_close(&mut socket).await.0, 4001);
    while twin.faults.hits(lost) == 0 {
        tokio::task::yield_now().await;
    }

    let (mut late, id) = twin.open().await;
    twin.faults.add(Rule::new(Fault::LateDisconnect).contains(id));
    late.close(Some(CloseFrame { code: CloseCode::from(4002), reason: "late".into() })).await.unwrap();
    assert_eq!(next_close(&mut late).await.0, 4002);
    while !twin.api.connection_ids().is_empty() {
        tokio::task::yield_now().await;
    }
    let (mut socket, _) = twin.open().await;
    socket.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() })).await.unwrap();
    assert_eq!(twin.disconnected().await.0, 1000, "a later one overtakes the late one, and the lost one never comes");
    assert_eq!(twin.disconnected().await.0, 4002);
}

#[tokio::test]
async fn a_socket_can_be_cut_at_a_frame_either_way() {
    let mut twin = twin().await;
    let (mut socket, _) = twin.open().await;
    let cut = twin.faults.add(Rule::new(Fault::DropSocket).contains("fatal"));
    send(&mut socket, json!({"action": "echo", "text": "harmless"})).await;
    next_json(&mut socket).await;
    send(&mut socket, json!({"action": "echo", "text": "fatal"})).await;
    assert!(!matches!(socket.next().await, Some(Ok(_))), "neither an answer nor a close");
    assert_eq!(twin.disconnected().await.0, 1006);
    assert_eq!(twin.faults.hits(cut), 1);

    let (mut socket, id) = twin.open().await;
    twin.faults.add(Rule::new(Fault::DropSocket).contains("posted").skip(1));
    for status in [200, 200] {
        assert_eq!(twin.manage("POST", &id, "posted").await.0, status, "a post proves nothing");
    }
    assert_eq!(next_text(&mut socket).await, "posted");
    assert!(!matches!(socket.next().await, Some(Ok(_))));
    assert_eq!(twin.disconnected().await.0, 1006);
    assert_eq!(twin.manage("POST", &id, "posted").await.0, 410);
}

#[tokio::test]
async fn posts_arrive_in_order_and_large_ones_in_frames() {
    let mut twin = twin().await;
    let (mut socket, id) = twin.open().await;
    for n in 0..100 {
        assert_eq!(twin.manage("POST", &id, n.to_string()).await.0, 200);
    }
    for n in 0..100 {
        assert_eq!(next_text(&mut socket).await, n.to_string());
    }
    let largest = "é".repeat(64 * 1024);
    assert_eq!(twin.manage("POST", &id, largest.clone()).await.0, 200);
    assert_eq!(next_text(&mut socket).await, largest);
    let (status, headers, _) = twin.manage("POST", &id, vec![b'x'; 128 * 1024 + 1]).await;
    assert_eq!((status, headers["x-amzn-errortype"].to_str().unwrap()), (413, "PayloadTooLargeException"));
}

#[tokio::test]
async fn a_connection_can_be_looked_at_and_closed() {
    let mut twin = twin().await;
    let (mut socket, id) = twin.open().await;
    let (status, _, about) = twin.manage("GET", &id, "").await;
    assert_eq!((status, &about["identity"]["sourceIp"]), (200, &json!("127.0.0.1")));
    assert!(about["connectedAt"].as_str().unwrap().ends_with('Z'));

    assert_eq!(twin.manage("POST", &id, "last words").await.0, 200);
    assert_eq!(twin.manage("DELETE", &id, "").await.0, 204);
    let (status, headers, body) = twin.manage("POST", &id, "too late").await;
    assert_eq!((status, headers["x-amzn-errortype"].to_str().unwrap()), (410, "GoneException"));
    assert_eq!(body["connectionId"], id);
    assert_eq!(next_text(&mut socket).await, "last words");
    assert_eq!(next_close(&mut socket).await, (1000, "Connection Closed Normally".to_owned()));
    assert_eq!(twin.disconnected().await, (1000, "Connection Closed Normally".to_owned()));
    for method in ["GET", "DELETE"] {
        assert_eq!(twin.manage(method, &id, "").await.0, 410, "{method}");
    }
}

#[tokio::test]
async fn strangers_and_other_stages_are_forbidden() {
    let mut twin = twin().await;
    let (_socket, id) = twin.open().await;
    let (status, headers, _) = request(&format!("{}/{id}", twin.connections), "POST", &[], "hello".into()).await;
    assert_eq!((status, headers["x-amzn-errortype"].to_str().unwrap()), (403, "MissingAuthenticationTokenException"));
    twin.connections = twin.connections.replace("live", "other");
    let (status, headers, _) = twin.manage("POST", &id, "hello").await;
    assert_eq!((status, headers["x-amzn-errortype"].to_str().unwrap()), (403, "ForbiddenException"));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_throttled_and_then_dropped() {
    let limits = SocketLimits { buffered_messages: 4, close: Duration::from_millis(200), ..SocketLimits::default() };
    let mut twin = twin_with(limits, true).await;
    let (socket, id) = twin.open().await;
    let large = vec![b'x'; 128 * 1024];
    let mut throttled = None;
    for _ in 0..400 {
        let (status, headers, _) = twin.manage("POST", &id, large.clone()).await;
        if status != 200 {
            throttled = Some((status, headers["x-amzn-errortype"].to_str().unwrap().to_owned()));
            break;
        }
    }
    assert_eq!(throttled, Some((429, "LimitExceededException".to_owned())));
    assert_eq!(twin.manage("DELETE", &id, "").await.0, 204);
    assert_eq!(twin.disconnected().await.0, 1000);
    drop(socket);
}

#[tokio::test]
async fn a_shutdown_closes_every_socket_and_invokes_disconnect() {
    let mut twin = twin().await;
    let (mut socket, _) = twin.open().await;
    let (api, reading) = (twin.api.clone(), tokio::spawn(async move { next_close(&mut socket).await }));
    api.shutdown(twin::PATIENCE).await;
    assert_eq!(reading.await.unwrap().0, 1001);
    assert_eq!(twin.disconnected().await.0, 1001);
    assert!(connect_async(&twin.url).await.is_err());
    twin.functions.shutdown(Duration::ZERO).await;
}
