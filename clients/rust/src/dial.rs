//! Opening one socket: token, handshake, and refusals.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{DATE, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderValue, StatusCode, Uri};
use tidings_crypto::encoding::percent;
use tidings_crypto::random::RandomError;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{ProtocolError, SubProtocolError};
use tokio_tungstenite::tungstenite::{self, protocol::WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::identity::Identity;
use crate::options::TokenIn;

/// The subprotocol of Tidings.
const PROTOCOL: &str = "tidings.v1";
/// The longest message that API Gateway carries, in bytes.
const MAX_MESSAGE: usize = 128 * 1024;

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The socket's URL is invalid.
    #[error("{url:?} is not the URL of a WebSocket API")]
    BadUrl {
        /// The URL as given.
        url: String,
    },
    /// The service answered without an upgrade.
    #[error("the connection was refused with {status}")]
    Refused {
        /// The status: 401 and 403 are about the device, all others are transient.
        status: StatusCode,
        /// How far the service's clock is ahead of this machine's, in seconds, if the answer has a date.
        clock_ahead: Option<i64>,
    },
    /// The service opened the socket without choosing `tidings.v1`, so the socket had to be dropped (RFC 6455 §4.1).
    #[error("the gateway does not answer with a WebSocket subprotocol")]
    NoSubprotocol,
    /// No connection, or it broke during the handshake.
    #[error("cannot reach {url}: {cause}")]
    Unreachable {
        /// As it was given.
        url: String,
        /// Why.
        cause: Box<tungstenite::Error>,
    },
    /// No answer in time.
    #[error("no answer to the handshake in {} seconds", .0.as_secs())]
    Timeout(Duration),
    /// No randomness for the token's id.
    #[error("cannot make a connect token: {0}")]
    Random(RandomError),
}

impl ConnectError {
    /// Whether the service refuses this device, as opposed to a transient fault.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. })
    }
}

/// Everything that one attempt needs, by value, so that it can run while another socket is in use.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    pub(crate) identity: Identity,
    pub(crate) url: String,
    pub(crate) token_in: TokenIn,
    pub(crate) within: Duration,
    /// How far the service's clock is ahead of this machine's, in seconds.
    pub(crate) clock_ahead: i64,
}

impl Dial {
    pub(crate) async fn open(self) -> Result<Socket, ConnectError> {
        let bad_url = || ConnectError::BadUrl { url: self.url.clone() };
        let uri: Uri = self.url.parse().map_err(|_| bad_url())?;
        if !matches!(uri.scheme_str(), Some("ws" | "wss")) || uri.query().is_some() {
            return Err(bad_url());
        }
        let token = self.identity.connect_token(unix_now().saturating_add_signed(self.clock_ahead));
        let token = token.map_err(ConnectError::Random)?;
        let path = if uri.path().is_empty() { "/" } else { uri.path() };
        let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let scheme = uri.scheme_str().unwrap_or_default();
        let mut url = format!("{scheme}://{authority}{path}?deviceId={}", percent(self.identity.id()));
        if self.token_in == TokenIn::Query {
            url.push_str("&token=");
            url.push_str(&token);
        }
        let mut request = url.into_client_request().map_err(|_| bad_url())?;
        if self.token_in == TokenIn::Subprotocol {
            let protocols = HeaderValue::try_from(format!("{PROTOCOL}, {token}")).map_err(|_| bad_url())?;
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocols);
        }
        let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
        let opening = connect_async_with_config(request, Some(config), true);
        match tokio::time::timeout(self.within, opening).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(tungstenite::Error::Http(response))) => {
                let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
                Err(ConnectError::Refused { status: response.status(), clock_ahead: date.and_then(clock_ahead) })
            }
            Ok(Err(tungstenite::Error::Protocol(ProtocolError::SecWebSocketSubProtocolError(
                SubProtocolError::NoSubProtocol,
            )))) => Err(ConnectError::NoSubprotocol),
            Ok(Err(error)) => Err(ConnectError::Unreachable { url: self.url, cause: Box::new(error) }),
            Err(_) => Err(ConnectError::Timeout(self.within)),
        }
    }
}

fn clock_ahead(date: &str) -> Option<i64> {
    let theirs = httpdate::parse_http_date(date).ok()?.duration_since(UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(theirs).ok()?.checked_sub(i64::try_from(unix_now()).ok()?)
}

fn unix_now() -> u64 {
    // With a clock before 1970 the token is refused, and the date of the refusal corrects the clock.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
