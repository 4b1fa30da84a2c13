//! Listeners, and the connections that they accept.
//!
//! Every listener of a twin and of its extensions is a [`BoundListener`], so that all have two properties: answers are
//! sent at once, and the head of a request has a time limit. Clippy refuses every other way to listen (`clippy.toml`).

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How many connections the system keeps until they are accepted: as many as `TcpListener::bind` asks for.
const BACKLOG: u32 = 1024;

/// How long a listener pauses when the system has no more file descriptors.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// A bound listener. Its connections have `TCP_NODELAY`: otherwise the last part of a long answer waits 40 ms, because
/// the client delays its acknowledgement of the part before.
#[derive(Debug)]
pub struct BoundListener(TcpListener);

/// The connection of a request, stored as an extension of each request.
#[derive(Clone, Debug)]
pub struct Connection(CancellationToken);

impl Connection {
    /// Ends the connection without another byte.
    pub fn cut(&self) {
        self.0.cancel();
    }
}

impl BoundListener {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// If the port is taken, or the system refuses it.
    #[expect(clippy::disallowed_methods, reason = "this is the way that all others take")]
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        #[cfg(unix)]
        socket.set_reuseaddr(true)?;
        // Accepted sockets inherit it, even those that another crate accepts.
        socket.set_nodelay(true)?;
        socket.bind(address)?;
        Ok(Self(socket.listen(BACKLOG)?))
    }

    /// The address, with the port that was chosen.
    ///
    /// # Errors
    /// If the system does not report it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The inner listener, for a crate that accepts connections itself.
    pub(crate) fn into_inner(self) -> TcpListener {
        self.0
    }

    /// The next connection.
    async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((stream, peer)) => {
                    // Set again, for systems on which it is not inherited.
                    let _ = stream.set_nodelay(true);
                    return (stream, peer);
                }
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "no connection can be accepted");
                    tokio::time::sleep(AFTER_ERROR).await;
                }
            }
        }
    }

    /// Serves a router until `stop`, then finishes the running requests. Dropping the future ends every connection.
    ///
    /// With `head`, a connection is closed when the head of a request takes longer, and speaks only HTTP/1.1. Requests
    /// carry [`ConnectInfo`] and [`Connection`].
    pub async fn serve(self, router: Router, stop: CancellationToken, head: Option<Duration>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                (stream, peer) = self.accept() => {
                    connections.spawn(serve_connection(stream, peer, router.clone(), stop.clone(), head));
                }
                Some(_) = connections.join_next() => {}
                () = stop.cancelled() => break,
            }
        }
        drop(self);
        while connections.join_next().await.is_some() {}
    }
}

/// Whether an error of `accept` concerns a single connection.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    stop: CancellationToken,
    head: Option<Duration>,
) {
    let cut = CancellationToken::new();
    let connection = Connection(cut.clone());
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(connection.clone());
        router.call(request)
    });
    let io = TokioIo::new(stream);
    match head {
        // The detection of HTTP/1 or HTTP/2 would wait for the first bytes without a time limit.
        Some(limit) => {
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(limit);
            let serving = server.serve_connection(io, service).with_upgrades();
            drive(serving, |serving| serving.graceful_shutdown(), &cut, &stop).await;
        }
        None => {
            let server = auto::Builder::new(TokioExecutor::new());
            let serving = server.serve_connection_with_upgrades(io, service);
            drive(serving, |serving| serving.graceful_shutdown(), &cut, &stop).await;
        }
    }
}

/// Serves a connection to its end: until it is cut, or has answered all requests from before `stop`.
async fn drive<C, E: Display>(
    serving: C,
    end_gracefully: impl Fn(Pin<&mut C>),
    cut: &CancellationToken,
    stop: &CancellationToken,
) where
    C: Future<Output = Result<(), E>>,
{
    let mut serving = pin!(serving);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            served = serving.as_mut() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection ended");
                }
                return;
            }
            () = cut.cancelled() => return,
            () = stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                end_gracefully(serving.as_mut());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::extract::Extension;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn bound() -> (BoundListener, SocketAddr) {
        let listener = BoundListener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn what_is_accepted_sends_at_once() {
        let (listener, address) = bound();
        let client = TcpStream::connect(address);
        let (accepted, client) = tokio::join!(listener.accept(), client);
        assert!(accepted.0.nodelay().unwrap());
        drop(client);
        // A crate that accepts connections itself, as that of the tables does, never sets the option.
        let listener = listener.into_inner();
        let (accepted, client) = tokio::join!(listener.accept(), TcpStream::connect(address));
        assert!(accepted.unwrap().0.nodelay().unwrap());
        drop(client);
    }

    #[tokio::test]
    async fn half_a_head_is_waited_for_no_longer_than_its_limit_and_a_connection_can_be_cut() {
        let (listener, address) = bound();
        let cut = |Extension(connection): Extension<Connection>| async move {
            connection.cut();
            std::future::pending::<()>().await;
        };
        let router = Router::new().route("/", get(|| async { "whole" })).route("/cut", get(cut));
        let (stop, head) = (CancellationToken::new(), Some(Duration::from_millis(200)));
        let serving = tokio::spawn(listener.serve(router, stop.clone(), head));
        for half in ["", "P", "GET / HT", "GET / HTTP/1.1\r\nhost: a\r\n", "GET /cut HTTP/1.1\r\nhost: a\r\n\r\n"] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(half.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let ended = tokio::time::timeout(Duration::from_secs(10), client.read_to_end(&mut answer)).await;
            assert!(ended.is_ok() && answer.is_empty(), "{half:?} {}", String::from_utf8_lossy(&answer));
        }
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("whole"), "{answer}");
        stop.cancel();
        serving.await.unwrap();
    }
}
