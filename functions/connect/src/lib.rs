//! `$connect`: a device opens a socket with a token that it has signed itself.
//!
//! Refused with 401: no token, a malformed, expired or used one, an unknown device, a key of an earlier generation. With 403:
//! another device's token, an origin that the app does not list. Nothing is stored then.

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use tidings_crypto::token::Token;
use tidings_domain::{Connection, Timestamp, presence::LEASE_SECONDS};
use tidings_lambda::{
    Error,
    socket::{self, Reply},
};
use tidings_service::{
    AppCache, DeviceTokens,
    device_token::{NotSigned, Signed},
};
use tidings_store::{Connected, Connections};

/// The WebSocket subprotocol that a client may name, with its token beside it.
const SUBPROTOCOL: &str = "tidings.v1";

/// What the handler needs.
#[derive(Debug)]
pub struct Deps {
    connections: Connections,
    apps: AppCache,
    tokens: DeviceTokens,
}

/// Runs the function until its process ends.
///
/// # Errors
/// If the environment lacks a variable, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    let sdk = tidings_lambda::start()?;
    let deps = Deps { connections: sdk.connections()?, apps: sdk.apps()?, tokens: sdk.device_tokens()? };
    socket::serve(|event, now| handle(&deps, event, now)).await
}

/// Why an upgrade is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    /// No token, or none that is worth anything: 401.
    #[error("{0}")]
    Token(&'static str),
    /// A token that does not prove who signed it: 401.
    #[error(transparent)]
    NotSigned(NotSigned),
    /// A token that may not be used here: 403.
    #[error("{0}")]
    Forbidden(&'static str),
}

impl Refused {
    fn status(self) -> u16 {
        match self {
            Self::Token(_) | Self::NotSigned(_) => 401,
            Self::Forbidden(_) => 403,
        }
    }
}

/// Accepts or refuses an upgrade.
///
/// # Errors
/// Where the event is none, or the store does not answer: API Gateway says 500, and the client tries again.
pub async fn handle(deps: &Deps, event: ApiGatewayWebsocketProxyRequest, now: Timestamp) -> Result<Reply, Error> {
    let id = socket::connection_id(&event)?;
    match accept(deps, &event, now).await? {
        Ok(reply) => {
            tracing::info!(connection = %id, "connected");
            Ok(reply)
        }
        Err(refused) => {
            tracing::info!(connection = %id, status = refused.status(), reason = %refused, "connection refused");
            Ok(Reply::refused(refused.status()))
        }
    }
}

async fn accept(
    deps: &Deps,
    event: &ApiGatewayWebsocketProxyRequest,
    now: Timestamp,
) -> Result<Result<Reply, Refused>, Error> {
    let offered = Offered::of(event);
    let Some(token) = offered.token else { return Ok(Err(Refused::Token("no token"))) };
    let Ok(token) = Token::parse(token) else { return Ok(Err(Refused::Token("malformed token"))) };
    if offered.device.is_some_and(|device| device != token.key_id().device) {
        return Ok(Err(Refused::Forbidden("another device's token")));
    }
    let Signed { device, key_version, claims } = match deps.tokens.verify(token, now).await? {
        Ok(signed) => signed,
        Err(why) => return Ok(Err(Refused::NotSigned(why))),
    };
    let Some(app) = deps.apps.get(&device.user.app, now).await? else { return Ok(Err(Refused::Token("unknown app"))) };
    if let Some(origin) = offered.origin
        && !app.origins.is_empty()
        && !app.origins.iter().any(|listed| listed == origin)
    {
        return Ok(Err(Refused::Forbidden("origin")));
    }
    let connection = Connection {
        id: socket::connection_id(event)?,
        device: device.id,
        generation: device.generation,
        key_version,
        platform: device.platform,
        connected: now,
        lease: now.plus_seconds(LEASE_SECONDS),
    };
    let remember = Timestamp(i64::try_from(claims.remember_until()).unwrap_or(i64::MAX).saturating_mul(1_000));
    Ok(match deps.connections.connect(&device.user, &connection, &claims.jti, remember).await? {
        Connected::Recorded => {
            let mut reply = Reply::done();
            if offered.subprotocol {
                reply.headers.insert("Sec-WebSocket-Protocol".to_owned(), SUBPROTOCOL.to_owned());
            }
            Ok(reply)
        }
        Connected::TokenUsed => Err(Refused::Token("used token")),
        Connected::Dead => Err(Refused::Token("the connection ended before it began")),
    })
}

/// What the client offers in the upgrade.
#[derive(Debug)]
struct Offered<'a> {
    device: Option<&'a str>,
    token: Option<&'a str>,
    subprotocol: bool,
    origin: Option<&'a str>,
}

impl<'a> Offered<'a> {
    /// The token stands in the query, or beside the subprotocol, where it stays out of access logs.
    fn of(event: &'a ApiGatewayWebsocketProxyRequest) -> Self {
        let header = |name: &str| event.headers.get(name).and_then(|value| value.to_str().ok());
        let protocols = || header("sec-websocket-protocol").into_iter().flat_map(|list| list.split(',')).map(str::trim);
        let subprotocol = protocols().any(|protocol| protocol == SUBPROTOCOL);
        let beside = protocols().find(|protocol| subprotocol && *protocol != SUBPROTOCOL && !protocol.is_empty());
        Self {
            device: event.query_string_parameters.first("deviceId"),
            token: event.query_string_parameters.first("token").or(beside),
            subprotocol,
            origin: header("origin"),
        }
    }
}
