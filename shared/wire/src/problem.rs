//! Errors on HTTP: RFC 9457 problem details with a stable `code`.

use serde::{Deserialize, Serialize};

use crate::FieldProblem;

/// Media type of a problem (RFC 9457 §3).
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, for a program (`code`) and for a person (`detail`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Stable code, `snake_case`.
    pub code: String,
    /// What the status means, in a few words.
    pub title: String,
    /// What is wrong with this request: the field and the limit.
    pub detail: String,
    /// The request's id, as it stands in the logs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
    /// Every field that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<FieldProblem>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.detail)
    }
}

impl std::error::Error for Problem {}
