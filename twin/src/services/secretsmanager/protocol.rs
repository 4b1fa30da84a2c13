//! The JSON 1.1 protocol of Secrets Manager: requests, answers and errors.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use crate::ids::uuid;
use crate::services::call::json_1_1;

/// The reason for which a request is refused.
#[derive(Debug, PartialEq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: String,
}

/// The errors of the service, by their names there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    InternalServiceError,
    InvalidParameter,
    InvalidRequest,
    ResourceExists,
    ResourceNotFound,
    Serialization,
    UnknownOperation,
    Validation,
}

impl Code {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::InternalServiceError => "InternalServiceError",
            Self::InvalidParameter => "InvalidParameterException",
            Self::InvalidRequest => "InvalidRequestException",
            Self::ResourceExists => "ResourceExistsException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::Serialization => "SerializationException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::Validation => "ValidationException",
        }
    }

    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::InternalServiceError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::InvalidParameter
            | Self::InvalidRequest
            | Self::ResourceExists
            | Self::ResourceNotFound
            | Self::Serialization
            | Self::UnknownOperation
            | Self::Validation => StatusCode::BAD_REQUEST,
        }
    }
}

pub(super) fn refused<T>(code: Code, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, message: message.into() })
}

pub(super) fn not_found<T>() -> Result<T, Refusal> {
    refused(Code::ResourceNotFound, "Secrets Manager can't find the specified secret.")
}

/// The members of a request that matter here. All others (descriptions, tags, keys) are ignored.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Request {
    pub(super) name: Option<String>,
    pub(super) secret_id: Option<String>,
    pub(super) secret_string: Option<String>,
    pub(super) secret_binary: Option<String>,
    pub(super) client_request_token: Option<String>,
    pub(super) version_id: Option<String>,
    pub(super) version_stage: Option<String>,
    pub(super) force_delete_without_recovery: bool,
    pub(super) recovery_window_in_days: Option<u32>,
    pub(super) include_planned_deletion: bool,
    pub(super) filters: Vec<Filter>,
    pub(super) max_results: Option<usize>,
    pub(super) next_token: Option<String>,
}

/// A condition that a listed secret fulfils.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Filter {
    pub(super) key: String,
    pub(super) values: Vec<String>,
}

pub(super) fn required<'a>(value: Option<&'a str>, member: &str) -> Result<&'a str, Refusal> {
    let message = || match value {
        None => format!("Value null at '{member}' failed to satisfy constraint: Member must not be null"),
        Some(_) => format!(
            "Value at '{member}' failed to satisfy constraint: Member must have length greater than or equal to 1"
        ),
    };
    match value.filter(|value| !value.is_empty()) {
        Some(value) => Ok(value),
        None => refused(Code::Validation, format!("1 validation error detected: {}", message())),
    }
}

/// The id of a new version: the caller's token, by which a repeated request is recognized.
pub(super) fn version_id(request: &Request) -> Result<String, Refusal> {
    match &request.client_request_token {
        Some(token) if (32..=64).contains(&token.len()) => Ok(token.clone()),
        Some(_) => refused(Code::InvalidParameter, "ClientRequestToken must be 32-64 characters long."),
        None => Ok(uuid()),
    }
}

/// An error in the form of the service.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response {
    json_1_1(status, &json!({"__type": code, "Message": message}))
}
