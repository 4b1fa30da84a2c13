//! The one HTTP client: HTTP/1.1 and HTTP/2, TLS by rustls on ring, with limits of time and size.

use std::error::Error;
use std::future::Future;
use std::io;
use std::iter::successors;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{
    self,
    connect::{
        HttpConnector, capture_connection,
        dns::{GaiResolver, Name},
    },
};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout, timeout_at};
use tower_service::Service;

use crate::answer::{Answer, NoAnswer};
use crate::endpoint::{self, Reach};

#[cfg(test)]
mod tests;

/// Limits of time and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time limit of a connection: name resolution, TCP and TLS together.
    pub connect: Duration,
    /// Time limit of a whole answer, including the connection.
    pub request: Duration,
    /// How long an idle connection may be reused.
    pub idle: Duration,
    /// Most bytes of an answer's body that are read; the rest is discarded.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            // One attempt with a long limit: an answer that comes later leaves a step unknown.
            request: Duration::from_secs(9),
            // A frozen Lambda wakes with dead sockets: reuse only what was used just now.
            idle: Duration::from_secs(20),
            answer_bytes: 64 * 1024,
        }
    }
}

/// The protocol of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 or HTTP/1.1, as TLS negotiates (ALPN); HTTP/1.1 without TLS.
    Negotiated,
    /// HTTP/2 alone; without TLS by prior knowledge (RFC 9113 §3.3).
    Http2,
}

/// Why an attempt has no answer.
enum Failure {
    /// The server reports that it has not processed the request, with the reason.
    Unprocessed(String),
    /// Anything else.
    NoAnswer(NoAnswer),
}

impl From<NoAnswer> for Failure {
    fn from(none: NoAnswer) -> Self {
        Self::NoAnswer(none)
    }
}

impl From<Failure> for NoAnswer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unprocessed(reason) => Self::Unreachable(format!("the server left the request unread: {reason}")),
            Failure::NoAnswer(none) => none,
        }
    }
}

type Connector = HttpsConnector<HttpConnector<Resolver>>;
type Pool = legacy::Client<Connector, Full<Bytes>>;

/// An HTTP client. Clones share its connections. It follows no redirects and repeats no request that may have been
/// acted
/// on.
#[derive(Clone, Debug)]
pub struct Client {
    negotiated: Pool,
    http2: Pool,
    limits: Limits,
    reach: Reach,
}

impl Client {
    /// A client with these limits that calls only addresses within `reach`.
    #[must_use]
    pub fn new(limits: Limits, reach: Reach) -> Self {
        Self::with_tls(limits, reach, &ClientConfig::builder().with_webpki_roots().with_no_client_auth())
    }

    /// A client with this TLS configuration.
    fn with_tls(limits: Limits, reach: Reach, tls: &ClientConfig) -> Self {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(limits.idle);
        let negotiated = builder.build(connector(reach, Protocol::Negotiated, tls));
        let http2 = builder.http2_only(true).build(connector(reach, Protocol::Http2, tls));
        Self { negotiated, http2, limits, reach }
    }

    /// The addresses that it may call.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// Sends a request once, or twice if the server reports that it has not processed the first.
    ///
    /// # Errors
    /// [`NoAnswer`] if no status came, or the body was cut.
    pub async fn send(&self, request: Request<Bytes>, protocol: Protocol) -> Result<Answer, NoAnswer> {
        // An IP address as host is never resolved, so the resolver cannot refuse it.
        endpoint::check(request.uri(), self.reach).map_err(|error| NoAnswer::Unreachable(error.to_string()))?;
        let deadline = Instant::now() + self.limits.request;
        match self.attempt(request.clone(), protocol, deadline).await {
            Ok(answer) => Ok(answer),
            // The server closed the connection while the request was on its way: a new connection serves.
            Err(Failure::Unprocessed(_)) => Ok(self.attempt(request, protocol, deadline).await?),
            Err(Failure::NoAnswer(none)) => Err(none),
        }
    }

    /// Sends a request, once.
    async fn attempt(&self, request: Request<Bytes>, protocol: Protocol, deadline: Instant) -> Result<Answer, Failure> {
        let mut request = request.map(Full::new);
        let captured = capture_connection(&mut request);
        // Once there is a connection, the request may be on its way. If the pooled connection was dead before anything
        // was written, the pool connects once more; if that fails, nothing was sent.
        let is_connected = || captured.connection_metadata().is_some();
        let pool = match protocol {
            Protocol::Negotiated => &self.negotiated,
            Protocol::Http2 => &self.http2,
        };
        let mut sending = pool.request(request);
        let connecting = self.limits.connect.min(deadline.saturating_duration_since(Instant::now()));
        let sent = match timeout(connecting, &mut sending).await {
            Ok(sent) => sent,
            Err(_) if !is_connected() => {
                return Err(NoAnswer::Unreachable(format!("no connection within {} ms", connecting.as_millis())).into());
            }
            Err(_) => timeout_at(deadline, sending).await.map_err(|_| NoAnswer::Timeout)?,
        };
        let answer = sent.map_err(|error| match is_connected() && !error.is_connect() {
            true if is_unprocessed(&error) => Failure::Unprocessed(root(&error)),
            true => NoAnswer::Cut.into(),
            false => NoAnswer::Unreachable(root(&error)).into(),
        })?;
        let (head, body) = answer.into_parts();
        let body = timeout_at(deadline, read(body, self.limits.answer_bytes));
        let body = body.await.map_err(|_| NoAnswer::Timeout)?.map_err(|_| NoAnswer::Cut)?;
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

/// The beginning of a body.
async fn read<B: BodyExt<Data = Bytes> + Unpin>(mut body: B, limit: usize) -> Result<Bytes, B::Error> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            bytes.extend_from_slice(data);
        }
        if bytes.len() >= limit {
            bytes.truncate(limit);
            break;
        }
    }
    Ok(bytes.freeze())
}

/// The innermost cause of an error, which an operator can act on: `Connection refused`, `invalid peer
/// certificate`.
fn root(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Whether the server reports that it has not processed a request (RFC 9113 §8.7): it refused the stream, or closed the
/// connection before it. If it may have processed the request before it closed the connection, the error is another.
fn is_unprocessed(error: &(dyn Error + 'static)) -> bool {
    let says_so = |error: &h2::Error| {
        error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    };
    successors(Some(error), |&error| error.source()).any(|error| error.downcast_ref().is_some_and(says_so))
}

fn connector(reach: Reach, protocol: Protocol, tls: &ClientConfig) -> Connector {
    let mut tcp = HttpConnector::new_with_resolver(Resolver { system: GaiResolver::new(), reach });
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let tls = HttpsConnectorBuilder::new().with_tls_config(tls.clone());
    let tls = match reach {
        Reach::Public => tls.https_only(),
        Reach::Anywhere => tls.https_or_http(),
    };
    match protocol {
        Protocol::Negotiated => tls.enable_http1().enable_http2().wrap_connector(tcp),
        Protocol::Http2 => tls.enable_http2().wrap_connector(tcp),
    }
}

/// The system's resolver, without the addresses that must not be called: a public name may resolve to a private
/// address.
#[derive(Clone, Debug)]
struct Resolver {
    system: GaiResolver,
    reach: Reach,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.system.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, reach) = (self.system.call(name), self.reach);
        Box::pin(async move {
            let found: Vec<SocketAddr> = resolving.await?.filter(|address| may_call(reach, address)).collect();
            match found.is_empty() {
                true => Err(io::Error::new(io::ErrorKind::PermissionDenied, "the name has no public address")),
                false => Ok(found.into_iter()),
            }
        })
    }
}

fn may_call(reach: Reach, address: &SocketAddr) -> bool {
    match reach {
        Reach::Public => endpoint::is_public(address.ip()),
        Reach::Anywhere => true,
    }
}
