//! `$connect`: a device opens a socket with a token that it has signed itself.
//!
//! Refused with 401: no token, a malformed, expired or used one, an unknown device, a key of an earlier generation. With 403:
//! another device's token, an origin that the app does not list. Nothing is stored then.

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tidings_crypto::token::Token;
use tidings_domain::{Connection, Timestamp, UserKey, eviction, presence::LEASE_SECONDS};
use tidings_gateway::Gateway;
use tidings_lambda::{
    Error, logs,
    socket::{self, Reply},
};
use tidings_service::{
    AppCache, DeviceTokens,
    device_token::{NotSigned, Signed},
};
use tidings_store::{Connected, Connections, StoreError};

/// The WebSocket subprotocol that a client may name, with its token beside it.
const SUBPROTOCOL: &str = "tidings.v1";

/// Connections that are closed at the same time.
const CLOSED_AT_ONCE: usize = 8;

/// What the handler needs.
#[derive(Debug)]
pub struct Deps {
    connections: Connections,
    apps: AppCache,
    tokens: DeviceTokens,
    gateway: Gateway,
}

/// Runs the function until its process ends.
///
/// # Errors
/// If the environment lacks a variable, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    let sdk = tidings_lambda::start()?;
    let deps = Deps {
        connections: sdk.connections()?,
        apps: sdk.apps()?,
        tokens: sdk.device_tokens()?,
        gateway: sdk.gateway()?,
    };
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
    let offered = match Offered::of(event) {
        Ok(offered) => offered,
        Err(refused) => return Ok(Err(refused)),
    };
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
            if let Err(error) = evict(deps, &device.user, &connection, now).await {
                // The bound is exceeded until the user's next connection: no reason to refuse this one.
                tracing::warn!(connection = %connection.id, error = logs::chain(&error), "connections were not evicted");
            }
            let mut reply = Reply::done();
            if offered.subprotocol {
                reply.headers.insert("Sec-WebSocket-Protocol".to_owned(), SUBPROTOCOL.to_owned());
            }
            Ok(reply)
        }
        Connected::TokenUsed => Err(Refused::Token("used token")),
        Connected::Dead => Err(Refused::Token("the connection ended before it began")),
        Connected::DeviceLeft => Err(Refused::Token("the device has left its user")),
    })
}

/// Closes the connections of a user that are beyond the bounds now that there is a new one. Each is closed before it is
/// buried: what its device has confirmed by then counts, and the device comes back and syncs.
async fn evict(deps: &Deps, user: &UserKey, new: &Connection, now: Timestamp) -> Result<(), StoreError> {
    let connections = deps.connections.of_user(user, now).await?;
    let surplus = eviction::surplus_connections(&connections, &new.id);
    stream::iter(surplus)
        .map(Ok)
        .try_for_each_concurrent(CLOSED_AT_ONCE, |evicted| async move {
            deps.gateway.close(&evicted.id).await;
            deps.connections.bury(user, &evicted.id, now).await?;
            tracing::info!(connection = %evicted.id, device = %evicted.device, by = %new.id, "connection evicted");
            Ok(())
        })
        .await
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
    /// The token stands in the query, or beside the subprotocol, where it stays out of access logs. Several lines of
    /// `Sec-WebSocket-Protocol` are one list (RFC 6455 §11.3.4); the single-value map of an event has the last one
    /// alone.
    fn of(event: &'a ApiGatewayWebsocketProxyRequest) -> Result<Self, Refused> {
        let lines = |name: &'static str| {
            let all = &event.multi_value_headers;
            let headers = if all.contains_key(name) { all } else { &event.headers };
            headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
        };
        let protocols = || lines("sec-websocket-protocol").flat_map(|list| list.split(',')).map(str::trim);
        let subprotocol = protocols().any(|protocol| protocol == SUBPROTOCOL);
        let beside = protocols().find(|protocol| subprotocol && *protocol != SUBPROTOCOL && !protocol.is_empty());
        Ok(Self {
            device: once(event, "deviceId", "deviceId is given twice")?,
            token: once(event, "token", "the token is given twice")?.or(beside),
            subprotocol,
            origin: lines("origin").next_back(),
        })
    }
}

/// A parameter of the query, which is refused if it is given twice: neither of the two is known to be meant.
fn once<'a>(
    event: &'a ApiGatewayWebsocketProxyRequest,
    name: &str,
    twice: &'static str,
) -> Result<Option<&'a str>, Refused> {
    let all = event.multi_value_query_string_parameters.all(name).unwrap_or_default();
    if all.len() > 1 { Err(Refused::Token(twice)) } else { Ok(event.query_string_parameters.first(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(headers: serde_json::Value, query: serde_json::Value) -> ApiGatewayWebsocketProxyRequest {
        // As API Gateway does, the single-value maps carry the last of several values.
        let last = |all: &serde_json::Value| -> serde_json::Value {
            let pairs = all.as_object().unwrap().iter();
            pairs.map(|(name, values)| (name.clone(), values.as_array().unwrap().last().unwrap().clone())).collect()
        };
        let mut event: serde_json::Value =
            serde_json::from_str(include_str!("../../../events/ws-connect.json")).unwrap();
        event["headers"] = last(&headers);
        event["multiValueHeaders"] = headers;
        event["queryStringParameters"] = last(&query);
        event["multiValueQueryStringParameters"] = query;
        serde_json::from_value(event).unwrap()
    }

    fn token(protocols: &[&str]) -> Option<String> {
        let event = event(serde_json::json!({"Sec-WebSocket-Protocol": protocols}), serde_json::json!({}));
        Offered::of(&event).unwrap().token.map(str::to_owned)
    }

    #[test]
    fn lines_of_protocols_are_one_list() {
        for protocols in [
            &["tidings.v1, a.b.c"][..],
            &["tidings.v1", "a.b.c"],
            &["a.b.c", "tidings.v1"],
            &["tidings.v1,", " a.b.c ,"],
            &["a.b.c,tidings.v1"],
            &["", "tidings.v1", "", "a.b.c"],
        ] {
            assert_eq!(token(protocols).as_deref(), Some("a.b.c"), "{protocols:?}");
        }
        for protocols in [&["tidings.v1"][..], &["a.b.c"], &["tidings.v1", "tidings.v1"], &["other", "a.b.c"], &[""]] {
            assert_eq!(token(protocols), None, "{protocols:?}");
        }
    }

    #[test]
    fn what_the_query_gives_twice_is_refused() {
        let offered = |query: serde_json::Value| {
            let event = event(serde_json::json!({"Origin": ["https://a.example"]}), query);
            let offered = Offered::of(&event)?;
            Ok((offered.device.map(str::to_owned), offered.token.map(str::to_owned)))
        };
        let once = serde_json::json!({"deviceId": ["d"], "token": ["t"]});
        assert_eq!(offered(once), Ok((Some("d".to_owned()), Some("t".to_owned()))));
        for query in
            [serde_json::json!({"deviceId": ["d", "d"]}), serde_json::json!({"token": ["t", "u"], "deviceId": ["d"]})]
        {
            assert_eq!(offered(query).map_err(Refused::status), Err(401));
        }
    }
}
