//! The JSON 1.1 protocol of KMS: requests and errors.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
    AccessDenied,
    AlreadyExists,
    Disabled,
    IncorrectKey,
    Internal,
    InvalidAliasName,
    InvalidArn,
    InvalidCiphertext,
    InvalidGrantId,
    InvalidGrantToken,
    InvalidKeyUsage,
    InvalidState,
    LimitExceeded,
    NotFound,
    Serialization,
    Throttling,
    UnknownOperation,
    UnsupportedOperation,
    Validation,
}

impl Code {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::AlreadyExists => "AlreadyExistsException",
            Self::Disabled => "DisabledException",
            Self::IncorrectKey => "IncorrectKeyException",
            Self::Internal => "KMSInternalException",
            Self::InvalidAliasName => "InvalidAliasNameException",
            Self::InvalidArn => "InvalidArnException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::InvalidGrantId => "InvalidGrantIdException",
            Self::InvalidGrantToken => "InvalidGrantTokenException",
            Self::InvalidKeyUsage => "InvalidKeyUsageException",
            Self::InvalidState => "KMSInvalidStateException",
            Self::LimitExceeded => "LimitExceededException",
            Self::NotFound => "NotFoundException",
            Self::Serialization => "SerializationException",
            Self::Throttling => "ThrottlingException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::UnsupportedOperation => "UnsupportedOperationException",
            Self::Validation => "ValidationException",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::AccessDenied
            | Self::AlreadyExists
            | Self::Disabled
            | Self::IncorrectKey
            | Self::InvalidAliasName
            | Self::InvalidArn
            | Self::InvalidCiphertext
            | Self::InvalidGrantId
            | Self::InvalidGrantToken
            | Self::InvalidKeyUsage
            | Self::InvalidState
            | Self::LimitExceeded
            | Self::NotFound
            | Self::Serialization
            | Self::Throttling
            | Self::UnknownOperation
            | Self::UnsupportedOperation
            | Self::Validation => StatusCode::BAD_REQUEST,
        }
    }
}

pub(super) fn refused<T>(code: Code, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, message: message.into() })
}

/// Refuses a value that a member cannot have, in the words of the service.
pub(super) fn invalid<T>(value: Option<&str>, member: &str, constraint: &str) -> Result<T, Refusal> {
    let value = value.map(|value| format!(" '{value}'")).unwrap_or_default();
    let message = format!("Value{value} at '{member}' failed to satisfy constraint: Member must {constraint}");
    refused(Code::Validation, format!("1 validation error detected: {message}"))
}

/// Refuses a request without this member.
pub(super) fn required<'r>(value: Option<&'r str>, member: &str) -> Result<&'r str, Refusal> {
    match value {
        Some("") => invalid(None, member, "have length greater than or equal to 1"),
        Some(value) => Ok(value),
        None => refused(
            Code::Validation,
            format!(
                "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not \
                 be null"
            ),
        ),
    }
}

/// The members of a request that matter here. All others (tags, policies) are ignored.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Request {
    pub(super) key_id: Option<String>,
    pub(super) source_key_id: Option<String>,
    pub(super) destination_key_id: Option<String>,
    pub(super) target_key_id: Option<String>,
    pub(super) alias_name: Option<String>,
    pub(super) key_spec: Option<String>,
    pub(super) customer_master_key_spec: Option<String>,
    pub(super) key_usage: Option<String>,
    pub(super) origin: Option<String>,
    pub(super) description: Option<String>,
    pub(super) multi_region: bool,
    pub(super) number_of_bytes: Option<i64>,
    pub(super) pending_window_in_days: Option<i64>,
    pub(super) plaintext: Option<String>,
    pub(super) ciphertext_blob: Option<String>,
    pub(super) encryption_context: BTreeMap<String, String>,
    pub(super) source_encryption_context: BTreeMap<String, String>,
    pub(super) destination_encryption_context: BTreeMap<String, String>,
    pub(super) encryption_algorithm: Option<String>,
    pub(super) source_encryption_algorithm: Option<String>,
    pub(super) destination_encryption_algorithm: Option<String>,
    pub(super) grant_tokens: Vec<String>,
    pub(super) grant_id: Option<String>,
    pub(super) grant_token: Option<String>,
    pub(super) grantee_principal: Option<String>,
    pub(super) retiring_principal: Option<String>,
    pub(super) operations: Vec<String>,
    pub(super) constraints: Option<Constraints>,
    pub(super) name: Option<String>,
    pub(super) limit: Option<i64>,
    pub(super) marker: Option<String>,
    pub(super) dry_run: bool,
    pub(super) recipient: Option<Value>,
}

/// The encryption contexts to which a grant is restricted.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Constraints {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) encryption_context_equals: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) encryption_context_subset: Option<BTreeMap<String, String>>,
}

/// An error in the form of the service.
pub(super) fn error(code: Code, message: &str) -> Response {
    let body = match message {
        "" => json!({"__type": code.name()}),
        message => json!({"__type": code.name(), "message": message}),
    };
    json_1_1(code.status(), &body)
}

/// A page of a list: the entries after the marker, and the marker of the next page.
pub(super) fn page(
    entries: impl Iterator<Item = (String, Value)>,
    request: &Request,
    member: &str,
    (usual, most): (i64, i64),
) -> Result<Value, Refusal> {
    let limit = request.limit.unwrap_or(usual);
    if !(1..=most).contains(&limit) {
        let (bound, word) = if limit < 1 { (1, "greater") } else { (most, "less") };
        let constraint = format!("have value {word} than or equal to {bound}");
        return invalid(Some(&limit.to_string()), "limit", &constraint);
    }
    let after = request.marker.as_deref().unwrap_or_default();
    let mut left = entries.filter(|(name, _)| name.as_str() > after);
    let page: Vec<(String, Value)> = left.by_ref().take(usize::try_from(limit).unwrap_or_default()).collect();
    let is_truncated = left.next().is_some();
    let marker = page.last().map(|(name, _)| name.clone()).filter(|_| is_truncated);
    let entries: Vec<Value> = page.into_iter().map(|(_, entry)| entry).collect();
    let mut answer = json!({member: entries, "Truncated": is_truncated});
    if let Some(marker) = marker {
        answer["NextMarker"] = marker.into();
    }
    Ok(answer)
}
