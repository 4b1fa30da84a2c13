//! `$connect`: a device opens a socket with a token that it has signed itself.
//!
//! Refusals: 400 for an unknown query parameter; 401 for a token that is missing, malformed, expired or used, for an
//! unknown device and for a key of an earlier generation; 403 for another device's token and for an origin that the app
//! does not list. These store nothing. 429 if as many connections of the device or its user as its limit allows were
//! opened just before; the new connection's record is buried.

use std::collections::BTreeSet;

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use aws_lambda_events::query_map::QueryMap;
use futures_util::stream::{self, StreamExt};
use tidings_crypto::token::Token;
use tidings_domain::{
    Connection, Timestamp, UserKey,
    eviction::{self, Admission},
    presence::LEASE_SECONDS,
};
use tidings_gateway::Gateway;
use tidings_lambda::{
    Error, logs,
    socket::{self, Reply},
};
use tidings_service::{
    AppCache, DeviceTokens, Purpose,
    device_token::{NotSigned, Signed},
};
use tidings_store::{Connected, Connections};

/// The WebSocket subprotocol that a client may name, with its token beside it.
const SUBPROTOCOL: &str = "tidings.v1";

/// The parameters of the query.
const DEVICE: &str = "deviceId";
const TOKEN: &str = "token";

/// Why an upgrade with two tokens is refused.
const TWO_TOKENS: &str = "the token is given twice";

/// Why a connection is refused if its `$disconnect` was handled first.
const ENDED: &str = "the connection ended before it began";

/// Limit of connections that are closed in parallel.
const CLOSED_AT_ONCE: usize = 8;

/// The handler's dependencies.
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
        gateway: sdk.gateway()?,
        tokens: DeviceTokens::new(sdk.devices()?, sdk.roots(Purpose::Tokens).await?),
    };
    socket::serve(|event, now| handle(&deps, event, now)).await
}

/// The reason for refusing an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Refused {
    /// An unknown query parameter: 400.
    #[error("unknown parameter {0:?}; the parameters are deviceId and token")]
    UnknownParameter(String),
    /// No token, or an unusable one: 401.
    #[error("{0}")]
    Token(&'static str),
    /// A token that does not prove who signed it: 401.
    #[error(transparent)]
    NotSigned(NotSigned),
    /// A token that may not be used here: 403.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The limit of connections is reached by ones that were opened just before: 429.
    #[error("too many connections at the same moment")]
    Crowded,
}

impl Refused {
    fn status(&self) -> u16 {
        match self {
            Self::UnknownParameter(_) => 400,
            Self::Token(_) | Self::NotSigned(_) => 401,
            Self::Forbidden(_) => 403,
            Self::Crowded => 429,
        }
    }
}

/// Accepts or refuses an upgrade.
///
/// # Errors
/// If the event is malformed or DynamoDB is unavailable. API Gateway then answers 500, and the client tries again.
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
        Connected::Recorded => admit(deps, &device.user, &connection, now).await?.map(|()| {
            let mut reply = Reply::done();
            if offered.subprotocol {
                reply.headers.insert("Sec-WebSocket-Protocol".to_owned(), SUBPROTOCOL.to_owned());
            }
            reply
        }),
        Connected::TokenUsed => Err(Refused::Token("used token")),
        Connected::Dead => Err(Refused::Token(ENDED)),
        Connected::DeviceLeft => Err(Refused::Token("the device has left its user")),
    })
}

/// Enforces the user's limits with the new connection: evicts older ones, or refuses the new one. An upgrade that is
/// answered with 200 has a record, and the `$connect` of another connection does not evict it before that.
async fn admit(deps: &Deps, user: &UserKey, new: &Connection, now: Timestamp) -> Result<Result<(), Refused>, Error> {
    let connections = match deps.connections.of_user(user, now).await {
        Ok(connections) => connections,
        Err(error) => {
            // The limit is exceeded until the user's next connection; that is no reason to refuse this one.
            tracing::warn!(connection = %new.id, error = logs::chain(&error), "connections were not counted");
            return Ok(Ok(()));
        }
    };
    match eviction::admit(&connections, &new.id, now) {
        Admission::Admitted(surplus) => {
            evict(deps, user, &surplus, new, now).await?;
            Ok(Ok(()))
        }
        Admission::Crowded => {
            deps.connections.bury(user, &new.id, now).await?;
            Ok(Err(Refused::Crowded))
        }
        // A frame that arrived before the upgrade has pruned it. Its first ping restores it unless it is buried.
        Admission::Missing if deps.connections.get(&new.id, now).await?.is_some() => Ok(Ok(())),
        Admission::Missing => Ok(Err(Refused::Token(ENDED))),
    }
}

/// Closes the connections over the limits. Each gets a frame with the reason, then is closed, then buried:
/// confirmations that the device sends until then count, and the device reconnects and syncs. If that fails, the next
/// connection evicts it.
async fn evict(
    deps: &Deps,
    user: &UserKey,
    surplus: &[&Connection],
    new: &Connection,
    now: Timestamp,
) -> Result<(), Error> {
    let frame = &socket::evicted()?;
    stream::iter(surplus)
        .for_each_concurrent(CLOSED_AT_ONCE, |evicted| async move {
            deps.gateway.post(&evicted.id, frame.clone()).await;
            deps.gateway.close(&evicted.id).await;
            let gone = match deps.connections.bury(user, &evicted.id, now).await {
                Ok(true) => {
                    let (connection, device) = (&evicted.id, &evicted.device);
                    tracing::info!(%connection, %device, by = %new.id, "connection evicted");
                    Ok(())
                }
                // A connection that opened at the same moment has evicted it, or its `$disconnect` failed half-way.
                Ok(false) => deps.connections.prune(user, &evicted.id).await,
                Err(error) => Err(error),
            };
            gone.unwrap_or_else(|error| {
                tracing::warn!(connection = %evicted.id, error = logs::chain(&error), "connection was not evicted");
            });
        })
        .await;
    Ok(())
}

/// The parameters and headers that a client sends with the upgrade.
#[derive(Debug)]
struct Offered<'a> {
    device: Option<&'a str>,
    token: Option<&'a str>,
    subprotocol: bool,
    origin: Option<&'a str>,
}

impl<'a> Offered<'a> {
    /// Reads the token from the query, or from beside the subprotocol, which stays out of access logs. Several lines of
    /// `Sec-WebSocket-Protocol` are one list (RFC 6455 §11.3.4); the event's single-value map holds only the last one.
    fn of(event: &'a ApiGatewayWebsocketProxyRequest) -> Result<Self, Refused> {
        let lines = |name: &'static str| {
            let all = &event.multi_value_headers;
            let headers = if all.contains_key(name) { all } else { &event.headers };
            headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
        };
        let protocols = || lines("sec-websocket-protocol").flat_map(|list| list.split(',')).map(str::trim);
        let subprotocol = protocols().any(|protocol| protocol == SUBPROTOCOL);
        let mut others = protocols().filter(|protocol| subprotocol && *protocol != SUBPROTOCOL && !protocol.is_empty());
        let beside = others.next();
        let device = once(event, DEVICE, "deviceId is given twice")?;
        let token = once(event, TOKEN, TWO_TOKENS)?;
        // Which of the two is meant is unknown. A second protocol is no token either, and must not be ignored.
        if others.next().is_some() || (beside.is_some() && token.is_some()) {
            return Err(Refused::Token(TWO_TOKENS));
        }
        known(event)?;
        Ok(Self { device, token: token.or(beside), subprotocol, origin: lines("origin").next_back() })
    }
}

/// A query parameter. One that is given twice is refused, since it is unknown which of the two is meant.
fn once<'a>(
    event: &'a ApiGatewayWebsocketProxyRequest,
    name: &str,
    twice: &'static str,
) -> Result<Option<&'a str>, Refused> {
    let all = event.multi_value_query_string_parameters.all(name).unwrap_or_default();
    if all.len() > 1 { Err(Refused::Token(twice)) } else { Ok(event.query_string_parameters.first(name)) }
}

/// Refuses unknown query parameters: reports the first by name.
fn known(event: &ApiGatewayWebsocketProxyRequest) -> Result<(), Refused> {
    let given = |map: &QueryMap| map.iter().map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>();
    let names = given(&event.query_string_parameters);
    let names = names.union(&given(&event.multi_value_query_string_parameters)).cloned().collect::<Vec<_>>();
    match names.into_iter().find(|name| ![DEVICE, TOKEN].contains(&name.as_str())) {
        Some(name) => Err(Refused::UnknownParameter(name)),
        None => Ok(()),
    }
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
            assert_eq!(offered(query).map_err(|refused: Refused| refused.status()), Err(401));
        }
    }

    #[test]
    fn two_tokens_are_refused_wherever_they_are() {
        let offered = |protocols: &[&str], query: serde_json::Value| {
            let event = event(serde_json::json!({"Sec-WebSocket-Protocol": protocols}), query);
            Offered::of(&event).map(|offered| offered.token.map(str::to_owned))
        };
        let none = || serde_json::json!({});
        for protocols in [
            &["tidings.v1, a.b.c, d.e.f"][..],
            &["tidings.v1, a.b.c, a.b.c"],
            &["a.b.c", "tidings.v1", "d.e.f"],
            &["tidings.v1", "other, a.b.c"],
            &["a.b.c,,d.e.f,tidings.v1"],
        ] {
            assert_eq!(offered(protocols, none()), Err(Refused::Token("the token is given twice")), "{protocols:?}");
        }
        let query = || serde_json::json!({"token": ["d.e.f"]});
        assert_eq!(offered(&["tidings.v1, a.b.c"], query()), Err(Refused::Token("the token is given twice")));
        // Beside another protocol there is no token, so the query's token counts.
        assert_eq!(offered(&["tidings.v1"], query()), Ok(Some("d.e.f".to_owned())));
        assert_eq!(offered(&["graphql-ws, mqtt"], query()), Ok(Some("d.e.f".to_owned())));
    }

    #[test]
    fn a_parameter_that_the_query_does_not_have_is_refused_by_name() {
        for (query, name) in [
            (serde_json::json!({"deviceId": ["d"], "token": ["t"], "x": ["1"]}), "x"),
            (serde_json::json!({"deviceid": ["d"], "token": ["t"]}), "deviceid"),
            (serde_json::json!({"Token": ["t"]}), "Token"),
            (serde_json::json!({"tenantCode": [""]}), "tenantCode"),
            (serde_json::json!({"": ["t"]}), ""),
        ] {
            let event = event(serde_json::json!({}), query);
            let refused = Offered::of(&event).unwrap_err();
            assert_eq!((refused.status(), &refused), (400, &Refused::UnknownParameter(name.to_owned())));
            assert!(refused.to_string().contains(&format!("unknown parameter {name:?}")), "{refused}");
        }
    }
}
