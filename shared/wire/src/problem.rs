//! Errors on HTTP: RFC 9457 problem details with a stable `code`.

use serde::{Deserialize, Serialize};

use crate::{FieldProblem, choice::choice};

/// Media type of a problem (RFC 9457 §3).
pub const MEDIA_TYPE: &str = "application/problem+json";

choice! {
    /// A code that stays the same; each has one status.
    ProblemCode {
        /// Fields are missing, empty, too long, of the wrong type, not known, not served or given twice; `errors` names
        /// each, up to twenty.
        InvalidFields = "invalid_fields",
        /// The body is not JSON, or not an object; `detail` has line and column, or names a byte order mark.
        NotJson = "not_json",
        /// The body is nested more than [`crate::limits::JSON_DEPTH`] levels.
        BodyTooDeep = "body_too_deep",
        /// The request has no `Authorization: Bearer`.
        NoAppKey = "no_app_key",
        /// The key is malformed, of an unknown app, or not one of the app's.
        WrongAppKey = "wrong_app_key",
        /// The request of a device has no `Authorization: Bearer`.
        NoToken = "no_token",
        /// The token is malformed, expired, signed with another key, or of a device that is not known or has changed
        /// hands.
        WrongToken = "wrong_token",
        /// `appId` is not the app of the key.
        UnknownApp = "unknown_app",
        /// There is none, it is another app's, or it is no longer kept.
        NotFound = "not_found",
        /// There is no such route.
        NoRoute = "no_route",
        /// The path has other methods: `Allow` names them.
        MethodNotAllowed = "method_not_allowed",
        /// The message was cancelled before.
        AlreadyCancelled = "already_cancelled",
        /// The message's time is over; nothing is left to cancel.
        MessageSettled = "message_settled",
        /// Another request changed the device, or what a person prefers, at the same moment. Repeat.
        Conflict = "conflict",
        /// The body has over [`crate::limits::HTTP_BODY_BYTES`] bytes.
        BodyTooLarge = "body_too_large",
        /// The `Idempotency-Key` was used before with another body.
        IdempotencyKeyReused = "idempotency_key_reused",
        /// A fault of the service; the log has it under `requestId`.
        Internal = "internal",
        /// Something that the service needs did not answer. Repeat, with the same `Idempotency-Key`.
        Unavailable = "unavailable",
    }
}

/// What went wrong (RFC 9457), for a program (`code`) and for a person (`detail`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = errors_of_fields))]
pub struct Problem {
    /// The HTTP status.
    #[cfg_attr(feature = "schema", schemars(range(min = 400, max = 599)))]
    pub status: u16,
    /// Stable code, `snake_case`.
    #[cfg_attr(feature = "schema", schemars(with = "ProblemCode"))]
    pub code: String,
    /// What the status means, in a few words.
    pub title: String,
    /// What is wrong with this request, with the field and the limit.
    pub detail: String,
    /// The request's id, as in the logs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub request_id: Option<String>,
    /// The fields that are wrong, the first twenty of them; present for `invalid_fields`. If there are more,
    /// `detail` gives their number.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = crate::limits::PROBLEMS_NAMED)))]
    pub errors: Vec<FieldProblem>,
}

/// The rule of the schema beside the fields: `errors` is there for `invalid_fields`, and for no other code.
#[cfg(feature = "schema")]
fn errors_of_fields(schema: &mut schemars::Schema) {
    use serde_json::json;
    let code = json!({"properties": {"code": {"const": ProblemCode::InvalidFields}}});
    let parts =
        [("if", code), ("then", json!({"required": ["errors"]})), ("else", json!({"properties": {"errors": false}}))];
    schema.ensure_object().extend(parts.map(|(name, part)| (name.to_owned(), part)));
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.detail)
    }
}

impl std::error::Error for Problem {}
