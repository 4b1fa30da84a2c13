//! `ping` and `$default`. A `ping` is answered with the head of the mailbox, so that the client detects a gap by
//! itself. It renews the lease once half of it is spent, and asks the client to move to a new connection before API
//! Gateway ends this one. A message that no route takes is answered with the reason.

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use tidings_domain::{
    Connection, Position, Timestamp,
    presence::{self, LEASE_SECONDS, Life},
};
use tidings_lambda::{
    Error, config,
    socket::{self, Refusal, Reply},
};
use tidings_service::Sealer;
use tidings_store::{ConnectionRecord, Connections, Users};
use tidings_wire::{
    Action, Frame,
    frame::{Pong, Reconnect, ReconnectCode},
};

/// The handler's dependencies.
#[derive(Debug)]
pub struct Deps {
    users: Users,
    connections: Connections,
    sealer: Sealer,
    /// The maximum life of a connection at API Gateway, in seconds.
    life: u64,
}

/// The range of a connection's life, in seconds: API Gateway's limit, or less if something else ends connections
/// sooner.
const LIFE_SECONDS: std::ops::RangeInclusive<u64> = 10..=7_200;

/// Runs the function until its process ends.
///
/// # Errors
/// If the environment lacks a variable, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    let sdk = tidings_lambda::start()?;
    let deps = Deps {
        users: sdk.users()?,
        connections: sdk.connections()?,
        life: config::number(config::CONNECTION_LIFE, LIFE_SECONDS)?,
        sealer: sdk.sealer().await?,
    };
    socket::serve(|event, now| handle(&deps, event, now)).await
}

/// Answers a message.
///
/// # Errors
/// If the event is malformed or DynamoDB is unavailable.
pub async fn handle(deps: &Deps, event: ApiGatewayWebsocketProxyRequest, now: Timestamp) -> Result<Reply, Error> {
    let id = socket::connection_id(&event)?;
    let Some(record) = deps.connections.get(&id, now).await? else {
        return socket::unknown_connection();
    };
    let frame = match socket::action(&event) {
        Ok(Action::Ping) => match pong(deps, &record, now).await? {
            Some(pong) => pong,
            None => return socket::unknown_connection(),
        },
        // The other actions have routes; a message that arrives here under their names is malformed.
        Ok(Action::Sync { .. } | Action::Ack(_) | Action::Read(_) | Action::State { .. }) => {
            Refusal::UnknownAction.frame(&record)
        }
        Err(refusal) => refusal.frame(&record),
    };
    socket::answer(&deps.sealer, &frame, &record).await
}

/// The pong; `None` if the connection has been buried.
async fn pong(deps: &Deps, record: &ConnectionRecord, now: Timestamp) -> Result<Option<Frame>, Error> {
    let pulse = deps.users.pulse(&record.user, &record.connection.id, now).await?;
    if pulse.wants_renewal(now) {
        let renewed = Connection { lease: now.plus_seconds(LEASE_SECONDS), ..record.connection.clone() };
        if !deps.connections.renew(&record.user, &renewed).await? {
            return Ok(None);
        }
    }
    let device_id = record.connection.device.to_string();
    let next_ping = match presence::life(record.connection.connected, deps.life, now) {
        Life::Stays(seconds) => seconds,
        // The client starts the new connection with `sync`, so it does not need the head.
        Life::Moves(after) => {
            let code = ReconnectCode::Rollover.to_string();
            return Ok(Some(Frame::Reconnect(Reconnect { device_id, code, after })));
        }
    };
    let nothing_yet = Position { epoch: 0, seq: 0 };
    Ok(Some(Frame::Pong(Pong {
        device_id,
        position: pulse.head.unwrap_or(nothing_yet),
        server_time: now.seconds(),
        next_ping,
    })))
}
