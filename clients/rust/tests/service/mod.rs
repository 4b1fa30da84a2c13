//! A service to test against: a real WebSocket server on port 0 that holds real keys.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tidings_client::{Ack, Backoff, Identity, Options};
use tidings_crypto::frame;
use tidings_crypto::jwk::Jwk;
use tidings_crypto::keys::{DeviceKeys, KeyId, RootKeys};
use tidings_crypto::token::{Claims, Token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

pub(crate) const DEVICE: &str = "device-1";

pub(crate) struct Service {
    listener: TcpListener,
    keys: DeviceKeys,
    content_kid: String,
    pub(crate) identity: Identity,
}

/// One accepted connection.
pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
    keys: DeviceKeys,
    kid: String,
    /// The device's token, verified.
    pub(crate) claims: Claims,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Service {
    pub(crate) async fn start() -> Self {
        let root = RootKeys::parse(r#"{"1":"a root secret that is long enough for tests"}"#).unwrap();
        let id = KeyId::content(DEVICE, 1, 0);
        let keys = DeviceKeys::derive(&root, &root, "demo", &id).unwrap();
        let answer = json!({"id": DEVICE, "keys": {
            "content": Jwk::of_content(&id, &keys.content), "token": Jwk::of_token(&id, &keys.token)}});
        let identity = Identity::from_answer(&serde_json::from_value(answer).unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, keys, content_kid: id.to_string(), identity }
    }

    /// Short pauses; all other options as an app would use them.
    pub(crate) fn options(&self) -> Options {
        let url = format!("ws://{}/local", self.listener.local_addr().unwrap());
        Options {
            backoff: Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(20) },
            ack: Ack::Automatic,
            ..Options::new(url)
        }
    }

    /// Accepts a device that presents its token in the subprotocol.
    pub(crate) async fn accept(&self) -> Peer {
        self.accept_choosing(true).await.expect("a device with its token in the subprotocol")
    }

    #[expect(clippy::result_large_err, reason = "the callback's type is tungstenite's")]
    /// Accepts a device, with or without a subprotocol in the answer. `None` if the device refused that.
    pub(crate) async fn accept_choosing(&self, chooses: bool) -> Option<Peer> {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut presented = None;
        let choose = |request: &Request, mut response: Response| {
            let protocols = request.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap());
            let query = request.uri().query().unwrap();
            let token = match protocols {
                Some(protocols) => protocols.strip_prefix("tidings.v1, ").unwrap().to_owned(),
                None => query.split_once("&token=").unwrap().1.to_owned(),
            };
            assert!(query.starts_with(&format!("deviceId={DEVICE}")));
            if chooses && protocols.is_some() {
                response.headers_mut().insert("sec-websocket-protocol", "tidings.v1".parse().unwrap());
            }
            presented = Some(token);
            Ok(response)
        };
        let socket = accept_hdr_async(stream, choose).await.ok()?;
        let claims = Token::parse(&presented.unwrap()).unwrap().verify(&self.keys.token, now()).unwrap();
        Some(Peer { socket, keys: self.keys.clone(), kid: self.content_kid.clone(), claims })
    }

    /// Accepts a device and answers it with a status in place of an upgrade.
    pub(crate) async fn refuse(&self, status: &str, date: Option<&str>) -> Claims {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut request = vec![0; 8192];
        let length = stream.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        let date = date.map(|date| format!("date: {date}\r\n")).unwrap_or_default();
        let answer = format!("HTTP/1.1 {status}\r\n{date}content-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        let token = request.lines().find_map(|line| line.split_once("tidings.v1, ")).unwrap().1.trim().to_owned();
        let iat = Token::parse(&token).unwrap();
        // The clock may be meant to be wrong: believed at its own time.
        let at = serde_json::from_slice::<Value>(&decode(token.split('.').nth(1).unwrap())).unwrap()["iat"].as_u64();
        iat.verify(&self.keys.token, at.unwrap()).unwrap()
    }
}

fn decode(text: &str) -> Vec<u8> {
    // Enough of base64url for a test.
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let bits = text.bytes().flat_map(|c| (0..6).rev().map(move |bit| (value(c) >> bit) & 1)).collect::<Vec<_>>();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect()
}

impl Peer {
    /// The next action of the device.
    pub(crate) async fn next_action(&mut self) -> Value {
        loop {
            match self.socket.next().await.expect("the device is there").expect("the connection holds") {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(_) => panic!("the device closed"),
                _ => {}
            }
        }
    }

    /// Whether the device closes the connection properly.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut closed = false;
        // To the end of the stream, because reading is what sends the answer to a close.
        while let Some(message) = self.socket.next().await {
            closed |= matches!(message, Ok(Message::Close(_)));
        }
        closed
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        let sealed = frame::seal_random(&self.keys.content, &self.kid, frame.to_string().as_bytes()).unwrap();
        self.send_in_clear(&sealed).await;
    }

    pub(crate) async fn send_in_clear(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn send_binary(&mut self) {
        self.socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    }

    /// Message *n* has the id `n`.
    pub(crate) async fn message(&mut self, seq: u64) {
        self.send(json!({"type": "message", "id": seq.to_string(), "epoch": 7, "seq": seq, "deviceId": DEVICE,
            "toUserName": "alice", "createTime": 1, "alert": format!("number {seq}")}))
            .await;
    }

    pub(crate) async fn synced(&mut self, seq: u64, count: u64) {
        self.send(json!({"type": "synced", "deviceId": DEVICE, "epoch": 7, "seq": seq, "recovered": true,
            "more": false, "count": count}))
            .await;
    }

    /// Answers the first replay request of a connection with nothing new.
    pub(crate) async fn up_to_date(&mut self, seq: u64) {
        assert_eq!(self.next_action().await["action"], "sync");
        self.synced(seq, 0).await;
    }
}
