//! A secret, and the names by which it is found.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::protocol::{Code, Refusal, not_found, refused};
use crate::ids::secret_suffix;

/// The length of the suffix that an ARN adds to the name of its secret: a hyphen and six characters.
const SUFFIX_CHARS: usize = 7;

/// The secret of a name, or the mark that it was deleted.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Secret {
    /// The newest first: `AWSCURRENT` and, if there is one, `AWSPREVIOUS`.
    pub(super) versions: Vec<Version>,
    /// The time of its deletion, in seconds since 1970. The entry stays after that, so that no preset takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deletion: Option<f64>,
}

impl Secret {
    pub(super) fn is_gone(&self) -> bool {
        self.deletion.is_some_and(|at| at <= now())
    }
}

/// A current or former value of a secret.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) created: f64,
    #[serde(flatten)]
    pub(super) content: Content,
}

/// A value: a text, or bytes in base64, as on the wire.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Content {
    #[serde(rename = "SecretString")]
    Text(String),
    #[serde(rename = "SecretBinary")]
    Binary(String),
}

/// The labels of the versions that are kept.
pub(super) const STAGES: [&str; 2] = ["AWSCURRENT", "AWSPREVIOUS"];

/// The secret of a name or an ARN, if it can be used.
pub(super) fn kept(secrets: &BTreeMap<String, Secret>, secret_id: &str) -> Result<(String, Secret), Refusal> {
    let Some((name, secret)) = found(secrets, secret_id).and_then(|name| secrets.get_key_value(name)) else {
        return not_found();
    };
    if secret.is_gone() {
        return not_found();
    }
    if secret.deletion.is_some() {
        return refused(
            Code::InvalidRequest,
            "You can't perform this operation on the secret because it was marked for deletion.",
        );
    }
    Ok((name.clone(), secret.clone()))
}

/// The name of the known secret that is meant by a name, an ARN, or an ARN without its last six characters.
pub(super) fn found<'a>(secrets: &BTreeMap<String, Secret>, secret_id: &'a str) -> Option<&'a str> {
    let whole = secret_id.rsplit_once(":secret:").map_or(secret_id, |(_, name)| name);
    [named(secret_id), whole].into_iter().find(|name| secrets.contains_key(*name))
}

/// The name in a name or an ARN.
pub(super) fn named(secret_id: &str) -> &str {
    match secret_id.rsplit_once(":secret:") {
        Some((_, name)) if arn(name.get(..name.len().saturating_sub(SUFFIX_CHARS)).unwrap_or(name)) == secret_id => {
            &name[..name.len() - SUFFIX_CHARS]
        }
        Some((_, name)) => name,
        None => secret_id,
    }
}

/// The ARN of a name.
pub(super) fn arn(name: &str) -> String {
    format!("arn:aws:secretsmanager:us-east-1:000000000000:secret:{name}-{}", secret_suffix(name))
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as f64 / 1000.0
}
