//! Invalid input over WebSocket: a refused upgrade, or an error frame; nothing is stored.

use futures_util::SinkExt;
use sam_twin::gateway::websocket::{BinaryFrames, SocketLimits};
use serde_json::{Value, json};
use tidings_crypto::app_key::AppKey;
use tidings_wire::Frame;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

use crate::world::{World, eventually, seconds};

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_token_is_a_refused_upgrade_and_stores_nothing() {
    let world = World::start().await;
    let alice = world.device("alice", "a").await;
    let bob = world.device("bob", "b").await;
    let url = world.twin.socket_url();

    // One valid connection first: its token is the one that is replayed.
    let used = alice.connect_token(seconds()).unwrap();
    let socket = world.connect(alice.id(), &used).await.unwrap();
    let before = world.stored().await;

    let fresh = alice.connect_token(seconds()).unwrap();
    let flipped = flip_last(&fresh);
    let long_ago = alice.connect_token(seconds() - 120).unwrap();
    let not_yet = alice.connect_token(seconds() + 120).unwrap();
    let foreign = bob.connect_token(seconds()).unwrap();
    let unknown = tidings_client::Identity::from_answer(&unknown_device()).unwrap();
    let unknown_token = unknown.connect_token(seconds()).unwrap();
    let rows: Vec<(&str, String, u16)> = vec![
        ("no token", format!("{url}?deviceId={}", alice.id()), 401),
        ("neither device nor token", url.clone(), 401),
        ("malformed token", format!("{url}?deviceId={}&token=nonsense", alice.id()), 401),
        ("wrong signature", format!("{url}?deviceId={}&token={flipped}", alice.id()), 401),
        ("expired token", format!("{url}?deviceId={}&token={long_ago}", alice.id()), 401),
        ("token of the future", format!("{url}?deviceId={}&token={not_yet}", alice.id()), 401),
        ("replayed token", format!("{url}?deviceId={}&token={used}", alice.id()), 401),
        ("another device's token", format!("{url}?deviceId={}&token={foreign}", alice.id()), 403),
        ("unknown device", format!("{url}?deviceId={}&token={unknown_token}", unknown.id()), 401),
        ("two tokens", format!("{url}?deviceId={}&token={fresh}&token={fresh}", alice.id()), 401),
        ("a misspelt parameter", format!("{url}?deviceid={}&token={fresh}", alice.id()), 400),
        ("a parameter too many", format!("{url}?deviceId={}&token={fresh}&x=1", alice.id()), 400),
        ("an empty name", format!("{url}?deviceId={}&token={fresh}&=1", alice.id()), 400),
        ("two devices", format!("{url}?deviceId={0}&deviceId={0}&token={fresh}", alice.id()), 401),
    ];
    for (name, url, status) in rows {
        match tokio_tungstenite::connect_async(url).await {
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                assert_eq!(response.status().as_u16(), status, "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(world.stored().await, before, "nothing was stored");
    drop(socket);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lines_of_protocols_are_one_list() {
    let world = World::start().await;
    let alice = world.device("alice", "a").await;
    for order in [[0, 1], [1, 0]] {
        let token = alice.connect_token(seconds()).unwrap();
        let lines = ["tidings.v1", token.as_str()];
        let mut request = world.twin.socket_url().into_client_request().unwrap();
        for index in order {
            request.headers_mut().append("sec-websocket-protocol", lines[index].parse().unwrap());
        }
        // The client library does not support a list over two lines, and would refuse the answer: the status is read by
        // hand.
        let status = upgrade(&world, request).await;
        assert_eq!(status, 101, "{order:?}");
    }
    world.end().await;
}

/// The status of the answer to an upgrade.
async fn upgrade(world: &World, request: http::Request<()>) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let url: http::Uri = world.twin.socket_url().parse().unwrap();
    let mut stream = tokio::net::TcpStream::connect(url.authority().unwrap().as_str()).await.unwrap();
    let mut head = format!("GET {} HTTP/1.1\r\n", url.path());
    for (name, value) in request.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    std::str::from_utf8(&answer).unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_the_app_does_not_list_is_refused() {
    let world = World::start().await;
    let shop = AppKey::generate("shop", [3; 32]).unwrap();
    world.create_app(&shop, vec!["https://shop.example".to_owned()]).await;
    let backend = tidings_client::Backend::new(&world.twin.api_url(), shop.expose()).unwrap();
    let mut registration = World::registration("alice", "a");
    registration.app_id = "shop".to_owned();
    let device = tidings_client::Identity::from_answer(&backend.register(&registration).await.unwrap()).unwrap();
    for (origin, accepted) in [("https://evil.example", false), ("https://shop.example", true)] {
        let token = device.connect_token(seconds()).unwrap();
        let url = format!("{}?deviceId={}&token={token}", world.twin.socket_url(), device.id());
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("origin", origin.parse().unwrap());
        match tokio_tungstenite::connect_async(request).await {
            Ok(_) => assert!(accepted, "{origin}"),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                assert_eq!((accepted, response.status().as_u16()), (false, 403), "{origin}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_message_is_an_error_frame_and_stores_nothing() {
    // API Gateway ends the connection at a binary frame (below); the function must not rely on that.
    let limits = SocketLimits { binary_frames: BinaryFrames::Forward, ..SocketLimits::default() };
    let world = World::limited(limits).await;
    let mut alice = world.online("alice", "a").await;
    let id = world.send(&["bob"], "not for Alice").await;
    eventually("Bob's message is stored", async || world.trail(&id).await.recipients[0].position.is_some()).await;
    let place = world.trail(&id).await.recipients[0].position.unwrap();
    let before = world.stored().await;

    let deep = format!("{{\"action\":\"ping\",\"x\":{}{}}}", "[".repeat(64), "]".repeat(64));
    let text = |value: Value| Message::text(value.to_string());
    let foreign = json!({"action": "ack", "id": id, "epoch": place.epoch, "seq": place.seq});
    let rows: Vec<(&str, Message, &str)> = vec![
        ("unknown action", text(json!({"action": "dance"})), "unknown_action"),
        ("no action", text(json!({})), "unknown_action"),
        ("not JSON", Message::text("hello"), "not_json"),
        ("a byte order mark", Message::text("\u{feff}{\"action\":\"ping\"}"), "not_json"),
        ("binary frame", Message::binary(vec![1, 2, 3]), "binary_frame"),
        ("JSON 65 deep", Message::text(deep), "body_too_deep"),
        ("ping with a field too many", text(json!({"action": "ping", "x": 1})), "invalid_fields"),
        ("sync with half a cursor", text(json!({"action": "sync", "epoch": 1})), "invalid_fields"),
        ("ack of nothing", text(json!({"action": "ack"})), "invalid_fields"),
        ("ack of an unknown message", text(json!({"action": "ack", "id": "x", "epoch": 1, "seq": 1})), "unknown_epoch"),
        ("ack of another user's message", text(foreign), "unknown_epoch"),
        ("two actions", Message::text(r#"{"action":"ping","action":"sync"}"#), "invalid_fields"),
        ("two places", Message::text(r#"{"action":"sync","epoch":1,"seq":1,"seq":2}"#), "invalid_fields"),
        ("a number beyond a double", Message::text(r#"{"action":"sync","epoch":1e999,"seq":1}"#), "invalid_fields"),
        ("unknown state", text(json!({"action": "state", "state": "asleep"})), "invalid_fields"),
    ];
    for (name, message, code) in rows {
        alice.socket.send(message).await.unwrap();
        match alice.frame().await {
            Frame::Error(error) => {
                assert_eq!(error.code, code, "{name}");
                assert_eq!(error.detail.contains("byte order mark (U+FEFF)"), name == "a byte order mark", "{error:?}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    let many: serde_json::Map<String, Value> = std::iter::once(("action".to_owned(), json!("ping")))
        .chain((0..2_000).map(|n| (format!("x{n}"), json!(1))))
        .collect();
    alice.socket.send(text(Value::Object(many))).await.unwrap();
    let Frame::Error(error) = alice.frame().await else { panic!("an error") };
    assert_eq!((error.detail.matches("is not a field").count(), error.code.as_str()), (20, "invalid_fields"));
    assert!(error.detail.ends_with("; and 1980 more") && error.detail.len() < 2_000, "{}", error.detail);
    assert_eq!(world.stored().await, before, "nothing was stored");
    assert!(world.trail(&id).await.recipients[0].transitions.iter().all(|t| t.event.as_str() != "confirmed"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_frame_ends_the_connection() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    alice.socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(alice.end().await, Some(1003));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_one_byte_too_many_ends_the_connection() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    // In frames below the frame limit, so that only the message is too large.
    let piece = "x".repeat(16 * 1024);
    let last = 128 * 1024 / piece.len();
    for n in 0..=last {
        let data = if n == last { "x" } else { &piece };
        let opcode = if n == 0 { frame::Data::Text } else { frame::Data::Continue };
        let frame = frame::frame(data, opcode, n == last);
        // The service may end the connection before it has read everything.
        if alice.socket.send(Message::Frame(frame)).await.is_err() {
            break;
        }
    }
    assert_eq!(alice.end().await, Some(1009));
    world.end().await;
}

mod frame {
    pub(crate) use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;
    use tokio_tungstenite::tungstenite::protocol::frame::{Frame, coding::OpCode};

    pub(crate) fn frame(data: &str, opcode: Data, last: bool) -> Frame {
        Frame::message(data.as_bytes().to_vec(), OpCode::Data(opcode), last)
    }
}

fn flip_last(token: &str) -> String {
    // Not the very last character: some of its bits are padding.
    let (head, tail) = token.split_at(token.len() - 2);
    let other = if tail.starts_with('A') { "B" } else { "A" };
    format!("{head}{other}{}", &tail[1..])
}

/// The answer to the registration of a device, which does not exist in the store.
fn unknown_device() -> tidings_wire::RegisterAnswer {
    use tidings_crypto::{
        jwk::Jwk,
        keys::{DeviceKeys, KeyId, RootKeys},
    };
    let roots = RootKeys::parse(&format!("{{\"1\":\"{}\"}}", "k".repeat(64))).unwrap();
    let id = KeyId::content("nobody", 1, 1);
    let keys = DeviceKeys::derive(&roots, &roots, crate::world::APP, &id).unwrap();
    tidings_wire::RegisterAnswer {
        id: "nobody".to_owned(),
        keys: tidings_wire::device::DeviceKeys {
            content: Jwk::of_content(&id, &keys.content),
            token: Jwk::of_token(&id, &keys.token),
        },
        evicted: Vec::new(),
    }
}
