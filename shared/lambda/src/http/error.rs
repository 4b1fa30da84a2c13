//! Every failure of a request, as a problem (RFC 9457).

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use tidings_crypto::app_key::AppKeyError;
use tidings_service::apps::AppsError;
use tidings_store::StoreError;
use tidings_wire::{FieldProblem, Problem, ProblemCode, Timestamp, json, problem};

use crate::Error;

/// Every way in which a request can fail, each with one status and one code.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Fields are missing, empty, too long, of the wrong type or unknown.
    #[error("fields are wrong")]
    Fields(Vec<FieldProblem>),
    /// The body is not a readable JSON object.
    #[error("{0}")]
    Body(json::JsonError),
    /// No `Authorization: Bearer` header.
    #[error("send the app key as `Authorization: Bearer …`")]
    NoAppKey,
    /// The app key is not valid.
    #[error("{0}")]
    WrongAppKey(KeyFault),
    /// No `Authorization: Bearer` header on a device's request.
    #[error("send a token that the device has signed as `Authorization: Bearer …`")]
    NoToken,
    /// The token is not valid.
    #[error("{0}")]
    WrongToken(TokenFault),
    /// The request names another app than the key's.
    #[error("`appId` is not the app that the key belongs to")]
    UnknownApp,
    /// The resource does not exist, or belongs to another app.
    #[error("{0}")]
    NotFound(&'static str),
    /// No such route.
    #[error("no such route; see the API's documentation")]
    NoRoute,
    /// The route exists with other methods.
    #[error("the method is not allowed here")]
    MethodNotAllowed,
    /// The idempotency key was used with another body.
    #[error("the Idempotency-Key was used before with another body")]
    KeyReused,
    /// The message was cancelled before.
    #[error("the message was cancelled before, at {0}")]
    AlreadyCancelled(Timestamp),
    /// The message's lifetime is over.
    #[error("the message's time was over at {0}: nothing is left to cancel")]
    Settled(Timestamp),
    /// Another request changed the same record at the same moment.
    #[error("changed by another request at the same moment; try again")]
    Conflict,
    /// A dependency is slow or down; the request may be repeated.
    #[error("not available just now; try again")]
    Unavailable(#[source] Error),
    /// A fault of the service.
    #[error("internal error")]
    Internal(#[source] Error),
}

/// What is wrong with an app key, as far as its form shows. Nothing more is revealed of one with the right form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// It has the form of a key, and no app has it.
    #[error("the app key is not valid; `tidings app create` shows one")]
    Unknown,
    /// It does not have the form of a key.
    #[error("{0}")]
    Form(AppKeyError),
    /// It is a token, signed by a device.
    #[error(
        "this is a token that a device has signed; a backend sends its app key here, `td_<appId>.` and 43 characters"
    )]
    DeviceToken,
}

/// What is wrong with a device's token. One answer for all causes, except for text that is not a token at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is not valid, for whatever reason.
    #[error("the token is not valid, or no longer: sign a new one, and check the clock")]
    Invalid,
    /// It is an app key.
    #[error("this is an app key; a device asks here for its own user, with a token that it signs itself")]
    AppKey,
}

impl ApiError {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Fields(_) => StatusCode::BAD_REQUEST,
            Self::Body(json::JsonError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(
                json::JsonError::TooDeep
                | json::JsonError::ByteOrderMark { .. }
                | json::JsonError::Syntax { .. }
                | json::JsonError::NotAnObject
                | json::JsonError::Fields(_),
            ) => StatusCode::BAD_REQUEST,
            Self::NoAppKey | Self::WrongAppKey(_) | Self::NoToken | Self::WrongToken(_) => StatusCode::UNAUTHORIZED,
            Self::UnknownApp => StatusCode::FORBIDDEN,
            Self::NotFound(_) | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::AlreadyCancelled(_) | Self::Settled(_) | Self::Conflict => StatusCode::CONFLICT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether an item that the request names cannot be read by this version.
    pub(crate) fn is_unreadable(&self) -> bool {
        let item = std::error::Error::source(self).and_then(|source| source.downcast_ref::<StoreError>());
        item.is_some_and(StoreError::is_unreadable)
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ProblemCode {
        match self {
            Self::Fields(_) | Self::Body(json::JsonError::Fields(_)) => ProblemCode::InvalidFields,
            Self::Body(json::JsonError::TooLarge { .. }) => ProblemCode::BodyTooLarge,
            Self::Body(json::JsonError::TooDeep) => ProblemCode::BodyTooDeep,
            Self::Body(
                json::JsonError::ByteOrderMark { .. } | json::JsonError::Syntax { .. } | json::JsonError::NotAnObject,
            ) => ProblemCode::NotJson,
            Self::NoAppKey => ProblemCode::NoAppKey,
            Self::WrongAppKey(_) => ProblemCode::WrongAppKey,
            Self::NoToken => ProblemCode::NoToken,
            Self::WrongToken(_) => ProblemCode::WrongToken,
            Self::UnknownApp => ProblemCode::UnknownApp,
            Self::NotFound(_) => ProblemCode::NotFound,
            Self::NoRoute => ProblemCode::NoRoute,
            Self::MethodNotAllowed => ProblemCode::MethodNotAllowed,
            Self::KeyReused => ProblemCode::IdempotencyKeyReused,
            Self::AlreadyCancelled(_) => ProblemCode::AlreadyCancelled,
            Self::Settled(_) => ProblemCode::MessageSettled,
            Self::Conflict => ProblemCode::Conflict,
            Self::Unavailable(_) => ProblemCode::Unavailable,
            Self::Internal(_) => ProblemCode::Internal,
        }
    }

    /// Seconds after which a repeat makes sense.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Conflict | Self::Unavailable(_) => Some(1),
            Self::Fields(_)
            | Self::Body(_)
            | Self::NoAppKey
            | Self::WrongAppKey(_)
            | Self::NoToken
            | Self::WrongToken(_)
            | Self::UnknownApp
            | Self::NotFound(_)
            | Self::NoRoute
            | Self::MethodNotAllowed
            | Self::KeyReused
            | Self::AlreadyCancelled(_)
            | Self::Settled(_)
            | Self::Internal(_) => None,
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_transient() { Self::Unavailable(error.into()) } else { Self::Internal(error.into()) }
    }
}

impl From<AppsError> for ApiError {
    fn from(error: AppsError) -> Self {
        match error {
            AppsError::NoKey => Self::NoAppKey,
            AppsError::WrongKey => Self::WrongAppKey(KeyFault::Unknown),
            AppsError::Store(error) => error.into(),
        }
    }
}

impl From<Vec<FieldProblem>> for ApiError {
    fn from(problems: Vec<FieldProblem>) -> Self {
        Self::Fields(problems)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let problems: &[FieldProblem] =
            if let Self::Fields(wrong) | Self::Body(json::JsonError::Fields(wrong)) = &self { wrong } else { &[] };
        let detail = if problems.is_empty() { self.to_string() } else { FieldProblem::summary(problems) };
        let (errors, _) = FieldProblem::named(problems);
        let problem = Problem {
            status: status.as_u16(),
            code: self.code().to_string(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            detail,
            request_id: None,
            errors: errors.to_vec(),
        };
        let mut response = (status, Json(&problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(problem::MEDIA_TYPE));
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For the middleware, which adds the request's id.
        response.extensions_mut().insert(problem);
        response.extensions_mut().insert(std::sync::Arc::new(self));
        response
    }
}
