//! Secrets without their values: `DescribeSecret` and `ListSecrets`.

use serde_json::{Map, Value, json};

use super::SecretsManager;
use super::protocol::{Code, Filter, Refusal, Request, not_found, refused, required};
use super::secret::{STAGES, Secret, arn, found};

/// The most secrets in one answer.
const PAGE: usize = 100;

impl SecretsManager {
    pub(super) fn describe(&self, request: &Request) -> Result<Value, Refusal> {
        let secret_id = required(request.secret_id.as_deref(), "secretId")?;
        let secrets = self.secrets();
        let kept = found(&secrets, secret_id).and_then(|name| secrets.get_key_value(name));
        match kept {
            // A secret that is marked for deletion is still described.
            Some((_, secret)) if secret.is_gone() => not_found(),
            Some((name, secret)) => Ok(described(name, secret, "VersionIdsToStages")),
            None => match self.preset_of(&secrets, secret_id) {
                Some((name, secret)) => Ok(described(&name, &secret, "VersionIdsToStages")),
                None => not_found(),
            },
        }
    }

    pub(super) fn list(&self, request: &Request) -> Result<Value, Refusal> {
        if let Some(filter) = request.filters.iter().find(|filter| !matches!(filter.key.as_str(), "name" | "all")) {
            return refused(
                Code::InvalidParameter,
                format!("the local twin has no filter {:?}, only name", filter.key),
            );
        }
        let max = request.max_results.unwrap_or(PAGE);
        if !(1..=PAGE).contains(&max) {
            return refused(Code::InvalidParameter, "MaxResults must be between 1 and 100.");
        }
        let secrets = self.secrets();
        let after = request.next_token.as_deref().unwrap_or_default();
        let mut listed = secrets
            .iter()
            .filter(|(_, secret)| !secret.is_gone())
            .filter(|(_, secret)| secret.deletion.is_none() || request.include_planned_deletion)
            .filter(|(name, _)| name.as_str() > after)
            .filter(|(name, _)| request.filters.iter().all(|filter| fits(filter, name)));
        let page: Vec<_> = listed.by_ref().take(max).collect();
        let entries: Vec<Value> =
            page.iter().map(|(name, secret)| described(name, secret, "SecretVersionsToStages")).collect();
        let mut answer = json!({"SecretList": entries});
        if listed.next().is_some()
            && let Some((name, _)) = page.last()
        {
            answer["NextToken"] = name.as_str().into();
        }
        Ok(answer)
    }
}

/// Whether a name begins with one of a filter's values; `!` before a value excludes.
fn fits(filter: &Filter, name: &str) -> bool {
    let (not, these): (Vec<_>, Vec<_>) = filter.values.iter().partition(|value| value.starts_with('!'));
    let is_named = these.is_empty() || these.iter().any(|value| name.starts_with(value.as_str()));
    is_named && !not.iter().any(|value| name.starts_with(&value[1..]))
}

/// A secret without its value. `stages` is the member of the answer that holds its versions.
fn described(name: &str, secret: &Secret, stages: &str) -> Value {
    let versions = secret.versions.iter().zip(STAGES).map(|(version, stage)| (version.id.clone(), json!([stage])));
    let versions: Map<String, Value> = versions.collect();
    let mut answer = json!({"ARN": arn(name), "Name": name, stages: versions});
    if let (Some(newest), Some(oldest)) = (secret.versions.first(), secret.versions.last()) {
        answer["LastChangedDate"] = newest.created.into();
        answer["CreatedDate"] = oldest.created.into();
    }
    if let Some(deletion) = secret.deletion {
        answer["DeletedDate"] = deletion.into();
    }
    answer
}
