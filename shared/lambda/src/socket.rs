//! WebSocket functions: parsed events for the handlers, answers for API Gateway.

use std::{collections::HashMap, future::Future};

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use futures_util::TryFutureExt;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::Serialize;
use tidings_domain::{ConnectionId, IdError, Timestamp, mailbox::Misplaced};
use tidings_service::{Sealer, sealer::SealError};
use tidings_store::ConnectionRecord;
use tidings_wire::{
    Action, Choice, FieldProblem, Frame,
    action::ActionName,
    frame::{ErrorCode, ErrorFrame, Reconnect, ReconnectCode},
    json, limits,
};

use crate::{Error, failure::Failure};

/// Serves a route of the WebSocket API until the process ends. `handle` gets each event and its time of arrival.
///
/// # Errors
/// If the Runtime API cannot be reached.
pub async fn serve<F, Fut>(handle: F) -> Result<(), Error>
where
    F: Fn(ApiGatewayWebsocketProxyRequest, Timestamp) -> Fut,
    Fut: Future<Output = Result<Reply, Error>>,
{
    // Boxed: below it lie the SDK's futures, deeper than the compiler lays out in one.
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| {
        Box::pin(handle(event.payload, Timestamp::now()).map_err(Failure::from))
    }))
    .await
}

/// An event that lacks a mandatory field. It fails the invocation: no default is invented.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// No connection id.
    #[error("the event has no connection id")]
    NoConnection,
    /// An invalid connection id.
    #[error("the event's connection id")]
    Connection(#[from] IdError),
}

/// The connection that an event is about.
///
/// # Errors
/// [`EventError`].
pub fn connection_id(event: &ApiGatewayWebsocketProxyRequest) -> Result<ConnectionId, EventError> {
    let id = event.request_context.connection_id.as_deref().ok_or(EventError::NoConnection)?;
    Ok(id.parse()?)
}

/// A function's answer to an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// HTTP status: for `$connect`, whether the upgrade is accepted; for a message, 200.
    pub status_code: u16,
    /// Headers of the upgrade.
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    pub headers: HashMap<String, String>,
    /// The frame to send back, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl Reply {
    /// Succeeds without a frame.
    #[must_use]
    pub fn done() -> Self {
        Self { status_code: 200, ..Self::default() }
    }

    /// Refuses an upgrade.
    #[must_use]
    pub fn refused(status_code: u16) -> Self {
        Self { status_code, ..Self::default() }
    }

    /// Sends a frame back.
    #[must_use]
    pub fn frame(sealed: String) -> Self {
        Self { body: Some(sealed), ..Self::done() }
    }
}

/// The reason for answering a device's message with an error frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The frame was binary.
    Binary,
    /// Not a JSON object.
    Body(json::JsonError),
    /// No such action.
    UnknownAction,
    /// Fields are missing, wrong or unknown.
    Fields(Vec<FieldProblem>),
    /// The mailbox has no such message at that position.
    NotInMailbox(Misplaced),
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Binary => ErrorCode::BinaryFrame,
            Self::Body(json::JsonError::TooLarge { .. }) => ErrorCode::BodyTooLarge,
            Self::Body(json::JsonError::TooDeep) => ErrorCode::BodyTooDeep,
            Self::Body(
                json::JsonError::ByteOrderMark { .. } | json::JsonError::Syntax { .. } | json::JsonError::NotAnObject,
            ) => ErrorCode::NotJson,
            Self::UnknownAction => ErrorCode::UnknownAction,
            Self::Fields(_) | Self::Body(json::JsonError::Fields(_)) => ErrorCode::InvalidFields,
            Self::NotInMailbox(Misplaced::UnknownMessage) => ErrorCode::UnknownMessage,
            Self::NotInMailbox(Misplaced::UnknownEpoch) => ErrorCode::UnknownEpoch,
            Self::NotInMailbox(Misplaced::FutureSeq) => ErrorCode::FutureSeq,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Binary => "frames are text".to_owned(),
            Self::Fields(problems) | Self::Body(json::JsonError::Fields(problems)) => {
                let (named, more) = FieldProblem::named(problems);
                let mut parts: Vec<String> = named.iter().map(FieldProblem::to_string).collect();
                parts.extend((more > 0).then(|| format!("and {more} more")));
                parts.join("; ")
            }
            Self::Body(error) => error.to_string(),
            Self::UnknownAction => format!("`action` must be one of {}", ActionName::listed(|_| true)),
            Self::NotInMailbox(Misplaced::UnknownMessage) => {
                "the mailbox has no message of this `id` at this `epoch` and `seq`".to_owned()
            }
            Self::NotInMailbox(Misplaced::UnknownEpoch) => {
                "`epoch` is not the mailbox's; ask with `sync` for the present one".to_owned()
            }
            Self::NotInMailbox(Misplaced::FutureSeq) => "`seq` is beyond the mailbox's newest message".to_owned(),
        }
    }

    /// The error frame for the device.
    #[must_use]
    pub fn frame(&self, to: &ConnectionRecord) -> Frame {
        Frame::Error(ErrorFrame {
            device_id: to.connection.device.to_string(),
            code: self.code().to_string(),
            detail: self.detail(),
        })
    }
}

/// Parses a device's message.
///
/// # Errors
/// [`Refusal`], for the error frame.
pub fn action(event: &ApiGatewayWebsocketProxyRequest) -> Result<Action, Refusal> {
    if event.is_base64_encoded {
        return Err(Refusal::Binary);
    }
    let object = json::object(event.body.as_deref().unwrap_or_default().as_bytes()).map_err(Refusal::Body)?;
    let named = object.get("action").and_then(|action| action.as_str());
    if named.is_none_or(|action| ActionName::from_word(action).is_none()) {
        return Err(Refusal::UnknownAction);
    }
    Action::parse(object).map_err(Refusal::Fields)
}

/// Seals a frame as the answer. A device whose root key was withdrawn is answered as on an unknown connection: it has
/// no key any more, reconnects, is refused, and registers again.
///
/// # Errors
/// [`SealError`], apart from a withdrawn root key.
pub async fn answer(sealer: &Sealer, frame: &Frame, to: &ConnectionRecord) -> Result<Reply, Error> {
    match sealer.seal(frame, to).await {
        Ok(sealed) => Ok(Reply::frame(sealed)),
        Err(SealError::Key(withdrawn)) => {
            let connection = &to.connection.id;
            tracing::info!(%connection, version = withdrawn.version, "root key of the connection was withdrawn");
            unknown_connection()
        }
        Err(error) => Err(error.into()),
    }
}

/// The answer on a connection that the service does not know. It is in clear, because no key belongs to the connection.
/// A client takes it as a reason to reconnect, never as a message.
///
/// # Errors
/// If the frame cannot be written as JSON.
pub fn unknown_connection() -> Result<Reply, Error> {
    Ok(Reply::frame(in_clear(ReconnectCode::UnknownConnection, 1)?))
}

/// The frame for a connection that is closed because its device or user exceeds the limit. It is in clear, because the
/// function that closes it has no keys; a client takes it only as a reason to reconnect later.
///
/// # Errors
/// If the frame cannot be written as JSON.
pub fn evicted() -> Result<String, Error> {
    in_clear(ReconnectCode::Evicted, limits::EVICTED_SECONDS)
}

fn in_clear(code: ReconnectCode, after: u64) -> Result<String, Error> {
    let frame = Frame::Reconnect(Reconnect { device_id: String::new(), code: code.to_string(), after });
    Ok(serde_json::to_string(&frame)?)
}
