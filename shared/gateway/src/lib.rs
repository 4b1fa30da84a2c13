//! Posts frames to connections, and closes them, through API Gateway's management API (`@connections`).

use aws_sdk_apigatewaymanagement::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::delete_connection::DeleteConnectionError,
    primitives::Blob,
};
use tidings_domain::{ConnectionId, delivery::PostOutcome};

/// The management API of one WebSocket API.
#[derive(Clone, Debug)]
pub struct Gateway {
    client: Client,
}

impl Gateway {
    /// Wraps a client whose endpoint is the API's own: a custom domain serves clients only.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Posts one frame. API Gateway's answer is an outcome, not an error: only an acknowledgement proves arrival, and a
    /// 410 does not prove the opposite.
    pub async fn post(&self, connection: &ConnectionId, frame: String) -> PostOutcome {
        let request = self.client.post_to_connection().connection_id(connection.as_str()).data(Blob::new(frame));
        let error = match request.send().await {
            Ok(_) => return PostOutcome::Accepted,
            Err(error) => error,
        };
        let outcome = outcome(&error);
        match outcome {
            PostOutcome::Accepted | PostOutcome::Gone => {}
            PostOutcome::Retry => {
                tracing::warn!(%connection, code = error.code(), "post was not accepted");
            }
            PostOutcome::Fault => {
                let code = error.code();
                tracing::error!(%connection, code, "post was refused for good: check endpoint and permission");
            }
        }
        outcome
    }

    /// Closes a connection. A failure is logged and harmless: the service no longer knows the connection, and answers
    /// its next message with `unknown_connection`.
    pub async fn close(&self, connection: &ConnectionId) {
        match self.client.delete_connection().connection_id(connection.as_str()).send().await {
            Ok(_) => {}
            Err(error) if error.as_service_error().is_some_and(DeleteConnectionError::is_gone_exception) => {}
            Err(error) => tracing::warn!(%connection, code = error.code(), "connection was not closed"),
        }
    }
}

/// What a failed post comes to, by its status: the management API's own errors and those of IAM have different codes.
fn outcome<E>(error: &SdkError<E, HttpResponse>) -> PostOutcome {
    match error.raw_response().map(|response| response.status().as_u16()) {
        Some(410) => PostOutcome::Gone,
        // 403: the function has no permission to post, which is never a reason to prune.
        Some(403 | 413) => PostOutcome::Fault,
        // 429 is the account's rate limit or the full buffer of that client. After a server error, or without an
        // answer, the frame may have been delivered, and the client shows each id once.
        Some(_) | None => PostOutcome::Retry,
    }
}
