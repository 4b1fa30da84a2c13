//! One open socket: frames in, frames out, limits, and an orderly close from either side.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message as Frames};

use super::api::SocketApi;
use super::connection::{Close, Connection};
use super::limits::{BinaryFrames, SocketLimits};
use super::message::Message;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A session that is over, with the close of its socket still to finish.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) close: Close,
    socket: Option<Rest>,
}

/// A socket after its last message.
#[derive(Debug)]
enum Rest {
    /// The client sent a close; the answer is on its way.
    Answered(Socket),
    /// A close was sent; the client's answer is awaited.
    Awaiting(Socket),
    /// A close was sent while the client's frames cannot be read.
    Unreadable(Socket),
}

impl Ended {
    /// A session that never began.
    pub(super) fn abnormal() -> Self {
        Self { close: Close::abnormal(), socket: None }
    }

    /// Finishes the closing handshake, within this time.
    pub(super) async fn finish(self, limit: Duration) {
        let Some(rest) = self.socket else { return };
        let finishing = async {
            match rest {
                Rest::Answered(mut socket) | Rest::Awaiting(mut socket) => {
                    // Reading also sends what is queued, including the answer to a close, and ends with the handshake.
                    while let Some(Ok(_)) = socket.next().await {}
                }
                Rest::Unreadable(mut socket) => {
                    // Unread data at the end of a socket becomes a reset, which can overtake the close frame.
                    let raw = socket.get_mut();
                    let _ = raw.shutdown().await;
                    let mut scrap = [0; 8192];
                    while matches!(raw.read(&mut scrap).await, Ok(1..)) {}
                }
            }
        };
        let _ = tokio::time::timeout(limit, finishing).await;
    }
}

/// Why the reader stopped.
enum Stop {
    /// The client closed.
    Client(Close),
    /// The gateway closes; `readable` if the client's frames can still be read.
    Gateway { close: Close, readable: bool },
    /// The socket is gone.
    Gone,
}

/// Serves an upgraded socket until it ends.
pub(super) async fn run(
    api: &SocketApi,
    connection: &Arc<Connection>,
    upgraded: Upgraded,
    queue: mpsc::Receiver<String>,
) -> Ended {
    let limits = *api.limits();
    let config = WebSocketConfig::default()
        // A connection costs memory while it is silent: small buffers, which grow as needed.
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_frame_size(Some(limits.frame_bytes))
        .max_message_size(Some(limits.message_bytes));
    let socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (sink, mut stream) = socket.split();
    let writer = tokio::spawn(write(api.clone(), sink, queue, connection.clone(), limits.frame_bytes));
    let stop = read(api, connection, &mut stream, &limits).await;

    let (close, rest): (Close, fn(Socket) -> Rest) = match stop {
        Stop::Gateway { close, .. } if close.is_cut() => {
            connection.close(close);
            writer.abort();
            return Ended::abnormal();
        }
        Stop::Client(close) => (close, Rest::Answered),
        Stop::Gateway { close, readable: true } => (close, Rest::Awaiting),
        Stop::Gateway { close, readable: false } => (close, Rest::Unreadable),
        Stop::Gone => (Close::abnormal(), Rest::Answered),
    };
    connection.close(close.clone());
    let abort = writer.abort_handle();
    // A client that does not read blocks the writer: then it cannot be sent a close, either.
    let sink = match tokio::time::timeout(limits.close, writer).await {
        Ok(sink) => sink.ok(),
        Err(_) => {
            abort.abort();
            None
        }
    };
    let socket = sink.and_then(|sink| stream.reunite(sink).ok()).map(rest);
    Ended { close, socket }
}

async fn read(
    api: &SocketApi,
    connection: &Arc<Connection>,
    stream: &mut SplitStream<Socket>,
    limits: &SocketLimits,
) -> Stop {
    let busy = Arc::new(Semaphore::new(limits.concurrent_messages));
    let mut closing = connection.closing.subscribe();
    let life = tokio::time::sleep(limits.life);
    tokio::pin!(life);
    loop {
        let next = async {
            let permit = busy.clone().acquire_owned().await.ok()?;
            Some((permit, stream.next().await?))
        };
        let (permit, frames) = tokio::select! {
            read = next => match read {
                Some((permit, Ok(frames))) => (permit, frames),
                Some((_, Err(error))) => match Close::from_error(&error) {
                    Some(close) => return Stop::Gateway { close, readable: false },
                    None => return Stop::Gone,
                },
                None => return Stop::Gone,
            },
            () = tokio::time::sleep(limits.idle.saturating_sub(connection.silent_for())) => {
                if connection.silent_for() >= limits.idle {
                    return Stop::Gateway { close: Close::going_away(), readable: true };
                }
                continue;
            }
            () = &mut life => return Stop::Gateway { close: Close::going_away(), readable: true },
            close = asked_to_close(&mut closing) => return Stop::Gateway { close, readable: true },
        };
        connection.touch();
        if let Frames::Text(text) = &frames
            && api.cuts(connection, text)
        {
            return Stop::Gateway { close: Close::abnormal(), readable: false };
        }
        match frames {
            Frames::Text(text) => api.received(connection.clone(), Message::Text(text.to_string()), permit),
            Frames::Binary(_) if limits.binary_frames == BinaryFrames::Refuse => {
                return Stop::Gateway { close: Close::new(1003, "Unsupported data"), readable: true };
            }
            Frames::Binary(bytes) => api.received(connection.clone(), Message::Binary(bytes), permit),
            Frames::Close(frame) => return Stop::Client(Close::from_client(frame)),
            // A ping is answered by the next read.
            Frames::Ping(_) | Frames::Pong(_) | Frames::Frame(_) => {}
        }
    }
}

async fn asked_to_close(closing: &mut watch::Receiver<Option<Close>>) -> Close {
    match closing.wait_for(Option::is_some).await {
        Ok(close) => close.clone().unwrap_or_else(Close::going_away),
        Err(_) => Close::going_away(),
    }
}

/// Sends what is queued, in order, until the connection closes; then the rest of the queue, and the close itself.
async fn write(
    api: SocketApi,
    mut sink: SplitSink<Socket, Frames>,
    mut queue: mpsc::Receiver<String>,
    connection: Arc<Connection>,
    frame_bytes: usize,
) -> SplitSink<Socket, Frames> {
    let mut closing = connection.closing.subscribe();
    let close = loop {
        tokio::select! {
            biased;
            close = asked_to_close(&mut closing) => break close,
            message = queue.recv() => {
                let Some(message) = message else { return sink };
                if api.cuts(&connection, &message) {
                    connection.close(Close::abnormal());
                    return sink;
                }
                if send(&mut sink, message, frame_bytes).await.is_err() {
                    return sink;
                }
                connection.touch();
            }
        }
    };
    // Later posts find the connection gone.
    queue.close();
    if close.is_cut() {
        return sink;
    }
    while let Some(message) = queue.recv().await {
        if send(&mut sink, message, frame_bytes).await.is_err() {
            return sink;
        }
    }
    // Fails if the client closed first: the reader answers its close.
    let _ = sink.send(Frames::Close(Some(close.frame()))).await;
    sink
}

/// Sends one text message, in frames no larger than API Gateway's.
async fn send(sink: &mut SplitSink<Socket, Frames>, text: String, frame_bytes: usize) -> Result<(), Error> {
    if text.len() <= frame_bytes {
        return sink.send(Frames::Text(text.into())).await;
    }
    let bytes = bytes::Bytes::from(text);
    let frames = bytes.len().div_ceil(frame_bytes);
    for index in 0..frames {
        let part = bytes.slice(index * frame_bytes..bytes.len().min((index + 1) * frame_bytes));
        let opcode = OpCode::Data(if index == 0 { Data::Text } else { Data::Continue });
        sink.feed(Frames::Frame(Frame::message(part, opcode, index + 1 == frames))).await?;
    }
    sink.flush().await
}
