//! A device on its socket. Like a client, it repeats a failed action and asks for a lost message.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use serde_json::Value;
use tidings_client::Identity;
use tidings_domain::MessageId;
use tidings_wire::{Frame, MessageFrame};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use super::cell::Cell;

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Time without an effect after which an action is repeated.
const AGAIN_AFTER: Duration = Duration::from_millis(1_500);

/// A device on its socket.
pub(super) struct Phone {
    sender: SplitSink<Stream, Message>,
    seen: Arc<Mutex<Seen>>,
}

/// The frames received so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) frames: Vec<Frame>,
    /// Answers of API Gateway itself: the function failed.
    failures: usize,
}

impl Seen {
    pub(super) fn messages(&self) -> impl Iterator<Item = &MessageFrame> {
        self.frames.iter().filter_map(|frame| if let Frame::Message(message) = frame { Some(&**message) } else { None })
    }

    /// The message with an id; every copy of it must be the same.
    pub(super) fn message(&self, id: &MessageId) -> Option<MessageFrame> {
        let mut of_it = self.messages().filter(|message| message.id == id.as_str());
        let first = of_it.next()?;
        assert!(of_it.all(|other| other == first), "shown differently: {:?}", self.frames);
        Some(first.clone())
    }
}

impl Phone {
    /// Connects, with a new token each time, until the upgrade is accepted.
    pub(super) async fn open(cell: &Cell, identity: &Identity) -> Self {
        for _ in 0..10 {
            let token = identity.connect_token(crate::world::seconds()).unwrap();
            match cell.lane.world.connect(identity.id(), &token).await {
                Ok(socket) => {
                    let (sender, receiver) = socket.split();
                    let seen = Arc::new(Mutex::new(Seen::default()));
                    tokio::spawn(listen(receiver, identity.clone(), seen.clone()));
                    return Self { sender, seen };
                }
                Err(status) => assert!(status >= 500, "refused for good: {status}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("never connected");
    }

    pub(super) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }

    /// Sends an action, repeatedly until it has its effect.
    pub(super) async fn send(&mut self, cell: &Cell, action: Value, mut done: impl AsyncFnMut(&Self) -> bool) {
        for _ in 0..12 {
            let failures = self.seen(|seen| seen.failures);
            self.sender.send(Message::text(action.to_string())).await.unwrap();
            let sent = tokio::time::Instant::now();
            let mut pause = Duration::from_millis(5);
            while sent.elapsed() < AGAIN_AFTER && self.seen(|seen| seen.failures) == failures {
                if done(self).await {
                    return;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(80));
            }
        }
        panic!("{action} has no effect (hits: {}): {:?}", cell.hits(), self.seen.lock().unwrap());
    }

    /// Closes the socket.
    pub(super) async fn close(mut self) {
        self.sender.close().await.unwrap();
    }
}

async fn listen(mut receiver: SplitStream<Stream>, identity: Identity, seen: Arc<Mutex<Seen>>) {
    while let Some(Ok(message)) = receiver.next().await {
        let Message::Text(text) = message else { continue };
        let frame = identity.open(&text).ok().and_then(|plain| serde_json::from_slice(&plain).ok());
        let mut seen = seen.lock().unwrap();
        match frame {
            Some(frame) => seen.frames.push(frame),
            None => {
                assert!(text.contains("Internal server error"), "{text}");
                seen.failures += 1;
            }
        }
    }
}
