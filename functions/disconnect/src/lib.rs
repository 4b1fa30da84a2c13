//! `$disconnect`: removes exactly that connection. API Gateway calls it on a best effort, sometimes before `$connect`
//! has been handled, so it leaves a tombstone.

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use tidings_domain::Timestamp;
use tidings_lambda::{
    Error,
    socket::{self, Reply},
};
use tidings_store::Connections;

/// Runs the function until its process ends.
///
/// # Errors
/// If the environment lacks a variable, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    let connections = tidings_lambda::start()?.connections()?;
    socket::serve(|event, now| handle(&connections, event, now)).await
}

/// Removes the connection.
///
/// # Errors
/// If the event is malformed or DynamoDB is unavailable. API Gateway does not try again, and the lease expires.
pub async fn handle(
    connections: &Connections,
    event: ApiGatewayWebsocketProxyRequest,
    now: Timestamp,
) -> Result<Reply, Error> {
    let id = socket::connection_id(&event)?;
    connections.disconnect(&id, now).await?;
    tracing::info!(connection = %id, "disconnected");
    Ok(Reply::done())
}
