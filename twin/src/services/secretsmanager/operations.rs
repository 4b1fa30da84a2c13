//! The operations of Secrets Manager.

use serde_json::{Value, json};

use super::SecretsManager;
use super::protocol::{Code, Refusal, Request, not_found, refused, required, version_id};
use super::secret::{Content, STAGES, Secret, Version, arn, found, kept, now};

/// The longest secret, in bytes.
pub(super) const SECRET_BYTES: usize = 65_536;
/// The longest name of a secret.
const NAME_CHARS: usize = 512;
const DAY_SECONDS: f64 = 24.0 * 60.0 * 60.0;

impl SecretsManager {
    pub(super) fn create(&self, request: Request) -> Result<Value, Refusal> {
        let name = required(request.name.as_deref(), "name")?.to_owned();
        let is_right = |c: char| c.is_ascii_alphanumeric() || "-/_+=.@!".contains(c);
        if name.chars().count() > NAME_CHARS || !name.chars().all(is_right) {
            return refused(
                Code::Validation,
                "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: \
                 -/_+=.@!",
            );
        }
        let id = version_id(&request)?;
        let content = content(request)?;
        let mut secrets = self.secrets();
        match secrets.get(&name) {
            None => {}
            Some(secret) if secret.is_gone() => {}
            Some(Secret { deletion: Some(_), .. }) => {
                return refused(
                    Code::InvalidRequest,
                    "You can't create this secret because a secret with this name is already scheduled for deletion.",
                );
            }
            // A repeated request: its first answer was lost.
            Some(Secret { versions, .. })
                if versions.iter().any(|it| it.id == id && Some(&it.content) == content.as_ref()) =>
            {
                return Ok(json!({"ARN": arn(&name), "Name": name, "VersionId": id}));
            }
            Some(_) => {
                return refused(
                    Code::ResourceExists,
                    format!("The operation failed because the secret {name} already exists."),
                );
            }
        }
        let mut answer = json!({"ARN": arn(&name), "Name": name});
        if content.is_some() {
            answer["VersionId"] = id.clone().into();
        }
        let versions = content.into_iter().map(|content| Version { id: id.clone(), created: now(), content }).collect();
        self.change(&mut secrets, &name, Secret { versions, ..Secret::default() })?;
        Ok(answer)
    }

    pub(super) fn put(&self, request: Request) -> Result<Value, Refusal> {
        let secret_id = required(request.secret_id.as_deref(), "secretId")?.to_owned();
        let id = version_id(&request)?;
        let Some(content) = content(request)? else {
            return refused(Code::InvalidRequest, "You must provide either SecretString or SecretBinary.");
        };
        let mut secrets = self.secrets();
        let (name, mut secret) = kept(&secrets, &secret_id)?;
        let stages = match secret.versions.iter().position(|version| version.id == id) {
            // A repeated request: its first answer was lost.
            Some(place) if secret.versions[place].content == content => STAGES[place],
            Some(_) => {
                let arn = arn(&name);
                return refused(
                    Code::ResourceExists,
                    format!(
                        "You can't use ClientRequestToken {id} because that value is already in use for a version of \
                         secret {arn}."
                    ),
                );
            }
            None => {
                secret.versions.insert(0, Version { id: id.clone(), created: now(), content });
                secret.versions.truncate(STAGES.len());
                self.change(&mut secrets, &name, secret)?;
                STAGES[0]
            }
        };
        Ok(json!({"ARN": arn(&name), "Name": name, "VersionId": id, "VersionStages": [stages]}))
    }

    pub(super) fn get(&self, request: &Request) -> Result<Value, Refusal> {
        let secret_id = required(request.secret_id.as_deref(), "secretId")?;
        let secrets = self.secrets();
        let (name, secret) = match kept(&secrets, secret_id) {
            Err(Refusal { code: Code::ResourceNotFound, .. }) => {
                self.preset_of(&secrets, secret_id).map_or_else(not_found, Ok)?
            }
            found => found?,
        };
        let stage = request.version_stage.as_deref();
        let labelled = STAGES.into_iter().zip(&secret.versions);
        let found = match &request.version_id {
            Some(id) => labelled.into_iter().find(|(of, it)| it.id == *id && stage.is_none_or(|stage| stage == *of)),
            None => labelled.into_iter().find(|(of, _)| stage.unwrap_or(STAGES[0]) == *of),
        };
        let Some((stage, Version { id, created, content })) = found else {
            let wanted = match &request.version_id {
                Some(id) => format!("VersionId: {id}"),
                None => format!("staging label: {}", stage.unwrap_or(STAGES[0])),
            };
            let message = format!("Secrets Manager can't find the specified secret value for {wanted}");
            return refused(Code::ResourceNotFound, message);
        };
        let mut answer = json!({
            "ARN": arn(&name),
            "Name": name,
            "VersionId": id,
            "VersionStages": [stage],
            "CreatedDate": created,
        });
        match content {
            Content::Text(text) => answer["SecretString"] = text.as_str().into(),
            Content::Binary(base64) => answer["SecretBinary"] = base64.as_str().into(),
        }
        Ok(answer)
    }

    pub(super) fn delete(&self, request: &Request) -> Result<Value, Refusal> {
        let secret_id = required(request.secret_id.as_deref(), "secretId")?;
        let (by_force, window) = (request.force_delete_without_recovery, request.recovery_window_in_days);
        if by_force && window.is_some() {
            return refused(
                Code::InvalidParameter,
                "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
            );
        }
        let window = window.unwrap_or(30);
        if !(7..=30).contains(&window) {
            return refused(
                Code::InvalidParameter,
                "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
            );
        }
        let mut secrets = self.secrets();
        if by_force {
            // AWS, too, answers the same whether or not the secret exists.
            let name = found(&secrets, secret_id).unwrap_or(secret_id).to_owned();
            let answer = json!({"ARN": arn(&name), "Name": name, "DeletionDate": now()});
            self.change(&mut secrets, &name, Secret { deletion: Some(now()), ..Secret::default() })?;
            return Ok(answer);
        }
        let (name, secret) = match kept(&secrets, secret_id) {
            Err(Refusal { code: Code::ResourceNotFound, .. }) => {
                self.preset_of(&secrets, secret_id).map_or_else(not_found, Ok)?
            }
            found => found?,
        };
        let deletion = now() + f64::from(window) * DAY_SECONDS;
        self.change(&mut secrets, &name, Secret { deletion: Some(deletion), ..secret })?;
        Ok(json!({"ARN": arn(&name), "Name": name, "DeletionDate": deletion}))
    }
}

/// The value in a request.
fn content(request: Request) -> Result<Option<Content>, Refusal> {
    let content = match (request.secret_string, request.secret_binary) {
        (Some(_), Some(_)) => {
            return refused(
                Code::InvalidParameter,
                "You can't specify both a binary secret value and a string secret value.",
            );
        }
        (Some(text), None) => Content::Text(text),
        (None, Some(base64)) => Content::Binary(base64),
        (None, None) => return Ok(None),
    };
    let (Content::Text(value) | Content::Binary(value)) = &content;
    if value.is_empty() {
        return refused(
            Code::Validation,
            "1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have \
             length greater than or equal to 1",
        );
    }
    if value.len() > SECRET_BYTES {
        return refused(
            Code::Validation,
            format!(
                "1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have \
                 length less than or equal to {SECRET_BYTES}"
            ),
        );
    }
    Ok(Some(content))
}
