//! The client against servers that speak TLS.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::{ALL_VERSIONS, RootCertStore, ServerConfig, SupportedProtocolVersion, version::TLS12};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::*;

const CA: &str = include_str!("../../tests/tls/ca.pem");
const KEY: &str = include_str!("../../tests/tls/key.pem");
const LOCALHOST: &str = include_str!("../../tests/tls/localhost.pem");
const OTHER: &str = include_str!("../../tests/tls/other.pem");
const EXPIRED: &str = include_str!("../../tests/tls/expired.pem");

const BOTH: [Protocol; 2] = [Protocol::Negotiated, Protocol::Http2];
/// Generous for a busy machine: no test waits for a limit to pass.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(20),
    request: Duration::from_secs(30),
    idle: Duration::from_secs(60),
    answer_bytes: 1024,
};

/// The client of production, except for its trusted certificates.
fn client() -> Client {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CA.as_bytes()).unwrap()).unwrap();
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Client::with_tls(LIMITS, Reach::Anywhere, &tls)
}

/// The protocols and the certificate of a server.
fn tls(certificate: &str, alpn: &[&str], versions: &[&'static SupportedProtocolVersion]) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_protocol_versions(versions).with_no_client_auth();
    let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// A server on loopback, which reports how each connection ended. It stops when it is dropped.
struct Server {
    url: String,
    seen: UnboundedReceiver<String>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start<F: Future<Output = String> + Send + 'static>(
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        let (report, seen) = unbounded_channel();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (report, serving) = (report.clone(), serve(stream));
                connections.spawn(async move { report.send(serving.await) });
            }
        });
        Self { url, seen, task }
    }

    /// A server that answers each request with the protocol that was negotiated.
    async fn answering(tls: TlsAcceptor) -> Self {
        Self::start(move |stream| answer(tls.clone(), stream)).await
    }

    async fn ask(&self, client: &Client, protocol: Protocol) -> Result<String, NoAnswer> {
        let request = Request::post(&self.url).body(Bytes::from_static(b"secret")).unwrap();
        let answer = client.send(request, protocol).await?;
        assert_eq!(answer.status, StatusCode::OK);
        Ok(String::from_utf8(answer.body.to_vec()).unwrap())
    }

    /// Waits for the end of a connection.
    async fn ended(&mut self) -> String {
        self.seen.recv().await.unwrap()
    }
}

/// Serves a connection to its end, and returns how it ended.
async fn answer(tls: TlsAcceptor, stream: TcpStream) -> String {
    let stream = match tls.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => return error.to_string(),
    };
    let (_, session) = stream.get_ref();
    let alpn = session.alpn_protocol().map(|name| String::from_utf8(name.to_vec()).unwrap());
    let version = session.protocol_version().unwrap();
    let negotiated = format!("{version:?} {}", alpn.clone().unwrap_or_default());
    let service = service_fn(|request: Request<Incoming>| {
        let text = format!("{:?} {negotiated}", request.version());
        async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text)))) }
    });
    let io = TokioIo::new(stream);
    let ended = match alpn.as_deref() {
        Some("h2") => http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await,
        _ => http1::Builder::new().serve_connection(io, service).await,
    };
    format!("{ended:?}")
}

#[tokio::test]
async fn http2_is_taken_where_it_is_offered() {
    use Protocol::{Http2, Negotiated};
    let cases: [(&[&str], Protocol, &str); 6] = [
        (&["h2"], Http2, "HTTP/2.0 TLSv1_3 h2"),
        (&["http/1.1", "h2"], Http2, "HTTP/2.0 TLSv1_3 h2"),
        (&["h2", "http/1.1"], Negotiated, "HTTP/2.0 TLSv1_3 h2"),
        (&["h2"], Negotiated, "HTTP/2.0 TLSv1_3 h2"),
        (&["http/1.1"], Negotiated, "HTTP/1.1 TLSv1_3 http/1.1"),
        (&[], Negotiated, "HTTP/1.1 TLSv1_3 "),
    ];
    for (alpn, protocol, expected) in cases {
        let server = Server::answering(tls(LOCALHOST, alpn, ALL_VERSIONS)).await;
        assert_eq!(server.ask(&client(), protocol).await.as_deref(), Ok(expected), "{alpn:?} {protocol:?}");
    }
}

#[tokio::test]
async fn what_needs_http2_is_not_sent_to_a_server_without() {
    let mut server = Server::answering(tls(LOCALHOST, &["http/1.1"], ALL_VERSIONS)).await;
    let none = server.ask(&client(), Protocol::Http2).await.unwrap_err();
    assert_eq!(none, NoAnswer::Unreachable("received fatal alert: NoApplicationProtocol".to_owned()));
    assert_eq!(server.ended().await, "peer doesn't support any known protocol");
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_that_is_not_known_to_be_the_one() {
    let production = Client::new(LIMITS, Reach::Anywhere);
    let cases = [
        (OTHER, client(), "certificate not valid for name \"localhost\"", "BadCertificate"),
        (EXPIRED, client(), "certificate expired", "CertificateExpired"),
        (LOCALHOST, production, "UnknownIssuer", "UnknownCA"),
    ];
    for (certificate, client, reason, alert) in cases {
        for protocol in BOTH {
            let mut server = Server::answering(tls(certificate, &["h2", "http/1.1"], ALL_VERSIONS)).await;
            let none = server.ask(&client, protocol).await.unwrap_err();
            let expected = format!("invalid peer certificate: {reason}");
            assert!(matches!(&none, NoAnswer::Unreachable(text) if text.starts_with(&expected)), "{none:?}");
            // The server has seen no more than the end of the handshake.
            assert_eq!(server.ended().await, format!("received fatal alert: {alert}"));
        }
    }
}

#[tokio::test]
async fn servers_of_tls_1_2_are_called() {
    let cases: [(&[&str], Protocol, &str); 3] = [
        (&["h2", "http/1.1"], Protocol::Http2, "HTTP/2.0 TLSv1_2 h2"),
        (&["h2", "http/1.1"], Protocol::Negotiated, "HTTP/2.0 TLSv1_2 h2"),
        (&[], Protocol::Negotiated, "HTTP/1.1 TLSv1_2 "),
    ];
    for (alpn, protocol, expected) in cases {
        let server = Server::answering(tls(LOCALHOST, alpn, &[&TLS12])).await;
        assert_eq!(server.ask(&client(), protocol).await.as_deref(), Ok(expected), "{alpn:?} {protocol:?}");
    }
}

#[tokio::test]
async fn servers_of_tls_1_1_are_not() {
    // What such a server answers to a ClientHello: a ServerHello of its version, or the alert `protocol_version`.
    let mut hello = vec![0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0xc0, 0x09, 0]);
    let alert = vec![0x15, 3, 2, 0, 2, 2, 70];
    let cases = [
        (hello, "peer is incompatible: ServerDoesNotSupportTls12Or13", "[21, 3, 3, 0, 2, 2, 70]"),
        (alert, "received fatal alert: ProtocolVersion", "[]"),
    ];
    for (answer, reason, expected) in cases {
        for protocol in BOTH {
            let answer = answer.clone();
            let mut server = Server::start(move |stream| tls_1_1(answer.clone(), stream)).await;
            let none = server.ask(&client(), protocol).await.unwrap_err();
            assert_eq!((none, server.ended().await), (NoAnswer::Unreachable(reason.to_owned()), expected.to_owned()));
        }
    }
}

/// Answers a ClientHello with these bytes, and returns what the client sends after it.
async fn tls_1_1(answer: Vec<u8>, mut stream: TcpStream) -> String {
    let mut head = [0; 5];
    stream.read_exact(&mut head).await.unwrap();
    let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut hello).await.unwrap();
    stream.write_all(&answer).await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    format!("{rest:?}")
}

#[tokio::test]
async fn the_public_client_speaks_no_http_without_tls() {
    let client = Client::new(LIMITS, Reach::Public);
    for protocol in BOTH {
        let request = Request::post("http://example.com/").body(Bytes::new()).unwrap();
        let none = client.send(request, protocol).await.unwrap_err();
        assert_eq!(none, NoAnswer::Unreachable("the URL is not https".to_owned()));
    }
}

/// The reaction of an HTTP/2 server to a request.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Answer,
    /// Answers, and closes the connection when it is idle.
    AnswerAndClose,
    /// Answers, and goes away when the connection is idle.
    AnswerAndGoAway,
    /// Goes away, and leaves the request to its successor.
    GoAwayBefore,
    /// Goes away after the request, and does not answer it.
    GoAwayAfter,
    /// Ends the stream, and reports that it has not processed it.
    Refuse,
    /// Ends the stream.
    Fail,
}

/// Serves a connection of HTTP/2, frame by frame (RFC 9113 §6). The replies are used up over all connections; then it
/// answers.
async fn scripted(tls: TlsAcceptor, replies: &[Reply], asked: &AtomicUsize, stream: TcpStream) -> io::Result<()> {
    let mut stream = tls.accept(stream).await?;
    stream.read_exact(&mut [0; 24]).await?;
    stream.write_all(&frame(4, 0, 0, &[])).await?;
    loop {
        let id = request(&mut stream).await?;
        let reply = replies.get(asked.fetch_add(1, Ordering::SeqCst)).unwrap_or(&Reply::Answer);
        let answer = frame(1, 0b101, id, &[0x88]);
        let go_away = |last: u32| frame(7, 0, 0, &[last.to_be_bytes(), [0; 4]].concat());
        let reset = |code: h2::Reason| frame(3, 0, id, &u32::from(code).to_be_bytes());
        let frames = match reply {
            Reply::Answer | Reply::AnswerAndClose => answer,
            Reply::AnswerAndGoAway => [answer, go_away(id)].concat(),
            Reply::GoAwayBefore => go_away(id - 1),
            Reply::GoAwayAfter => go_away(id),
            Reply::Refuse => reset(h2::Reason::REFUSED_STREAM),
            Reply::Fail => reset(h2::Reason::INTERNAL_ERROR),
        };
        stream.write_all(&frames).await?;
        if matches!(reply, Reply::AnswerAndClose | Reply::GoAwayAfter) {
            stream.shutdown().await?;
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let head = [0, 0, u8::try_from(payload.len()).unwrap(), kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

/// Reads to the end of a request, and returns the id of its stream.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<u32> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [high, middle, low, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        stream.read_exact(&mut payload).await?;
        if matches!(kind, 0 | 1) && flags & 1 == 1 {
            return Ok(u32::from_be_bytes(id));
        }
    }
}

/// Asks a server of this script twice. Returns the results, and how many requests reached it.
async fn ask_twice(replies: &'static [Reply], protocol: Protocol) -> ([Result<String, NoAnswer>; 2], usize) {
    let (tls, asked) = (tls(LOCALHOST, &["h2"], ALL_VERSIONS), Arc::new(AtomicUsize::new(0)));
    let counted = asked.clone();
    let mut server = Server::start(move |stream| {
        let (tls, asked) = (tls.clone(), counted.clone());
        async move { format!("{:?}", scripted(tls, replies, &asked, stream).await) }
    })
    .await;
    let client = client();
    let first = server.ask(&client, protocol).await;
    if matches!(replies, [Reply::AnswerAndClose | Reply::AnswerAndGoAway, ..]) {
        server.ended().await;
    }
    let second = server.ask(&client, protocol).await;
    ([first, second], asked.load(Ordering::SeqCst))
}

#[tokio::test]
async fn after_an_idle_connection_was_closed_there_is_another() {
    for replies in [&[Reply::AnswerAndClose], &[Reply::AnswerAndGoAway]] {
        for protocol in BOTH {
            let (answers, asked) = ask_twice(replies, protocol).await;
            assert_eq!((answers.map(|it| it.is_ok()), asked), ([true, true], 2), "{replies:?} {protocol:?}");
        }
    }
}

#[tokio::test]
async fn what_the_server_has_not_looked_at_is_sent_again() {
    use Reply::{Answer, GoAwayBefore, Refuse};
    let cases: [&[Reply]; 4] = [&[Answer, GoAwayBefore], &[Answer, Refuse], &[GoAwayBefore], &[Refuse]];
    for replies in cases {
        for protocol in BOTH {
            let (answers, asked) = ask_twice(replies, protocol).await;
            assert_eq!((answers.map(|it| it.is_ok()), asked), ([true, true], 3), "{replies:?} {protocol:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_never_looks_has_not_been_reached() {
    use Reply::{GoAwayBefore, Refuse};
    let cases: [(&[Reply], &str); 2] = [
        (&[GoAwayBefore; 4], "connection error received: not a result of an error"),
        (&[Refuse; 4], "stream error received: refused stream before processing any application logic"),
    ];
    for (replies, reason) in cases {
        for protocol in BOTH {
            let none = Err(NoAnswer::Unreachable(format!("the server left the request unread: {reason}")));
            assert_eq!(ask_twice(replies, protocol).await, ([none.clone(), none], 4), "{replies:?} {protocol:?}");
        }
    }
}

#[tokio::test]
async fn what_the_server_may_have_looked_at_is_not_sent_again() {
    use Reply::{Answer, Fail, GoAwayAfter};
    let cases: [&[Reply]; 2] = [&[Answer, GoAwayAfter], &[Answer, Fail]];
    for replies in cases {
        for protocol in BOTH {
            let (answers, asked) = ask_twice(replies, protocol).await;
            assert_eq!((answers, asked), ([Ok(String::new()), Err(NoAnswer::Cut)], 2), "{replies:?} {protocol:?}");
        }
    }
}
