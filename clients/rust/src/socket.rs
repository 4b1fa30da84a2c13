//! Frames and actions on a socket, and its close.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tidings_wire::frame::Reconnect;
use tidings_wire::{Action, Frame};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::dial::Socket;
use crate::event::Loss;

/// How long the service may take to answer a close.
pub(crate) const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// An incoming frame.
pub(crate) enum Incoming {
    Text(String),
    Binary,
}

/// `None` for control frames of the WebSocket.
pub(crate) fn received(incoming: Option<Result<Message, tungstenite::Error>>) -> Result<Option<Incoming>, Loss> {
    match incoming {
        Some(Ok(Message::Text(text))) => Ok(Some(Incoming::Text(text.as_str().to_owned()))),
        Some(Ok(Message::Binary(_))) => Ok(Some(Incoming::Binary)),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(None),
        Some(Ok(Message::Close(frame))) => Err(Loss::Closed { code: frame.map_or(1005, |frame| frame.code.into()) }),
        Some(Err(error)) => Err(Loss::Broken(Box::new(error))),
        None => Err(Loss::Closed { code: 1006 }),
    }
}

/// The one frame that the service sends in clear: it does not know this connection, and so has no key for it. The
/// client reconnects at no other cost; everything else in clear is ignored.
pub(crate) fn in_clear(incoming: &Incoming) -> Option<Reconnect> {
    let Incoming::Text(text) = incoming else { return None };
    match serde_json::from_str(text) {
        Ok(Frame::Reconnect(reconnect)) if reconnect.device_id.is_empty() => Some(reconnect),
        Ok(_) | Err(_) => None,
    }
}

pub(crate) async fn send(socket: &mut Socket, action: &Action) -> Result<(), Loss> {
    let text = serde_json::to_string(action)
        .map_err(|error| Loss::Broken(Box::new(tungstenite::Error::Io(std::io::Error::other(error)))))?;
    socket.send(Message::text(text)).await.map_err(|error| Loss::Broken(Box::new(error)))
}

/// Sends a close frame and returns whether it was sent. Frames before the answer can still be read.
pub(crate) async fn send_close(socket: &mut Socket) -> bool {
    matches!(timeout(CLOSE_WITHIN, socket.close(None)).await, Ok(Ok(())))
}

/// Sends a close frame and waits briefly for the answer, so that the service forgets the connection at once.
pub(crate) async fn close(mut socket: Socket) {
    if send_close(&mut socket).await {
        let answer = async { while !matches!(socket.next().await, Some(Ok(Message::Close(_)) | Err(_)) | None) {} };
        // Without an answer, the service notices the loss by itself.
        let _ = timeout(CLOSE_WITHIN, answer).await;
    }
}
