//! Secrets Manager: four operations of its JSON 1.1 protocol, with the real service's errors.
//!
//! Secrets are in memory, or in a file that only its owner can read; then a change is answered once it is on the disk.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ids::{hexadecimal, uuid};
use crate::private_file;

/// What `X-Amz-Target` begins with.
pub(super) const TARGET: &str = "secretsmanager";
/// Longest secret, in bytes.
const SECRET_BYTES: usize = 65_536;
/// Longest name of a secret.
const NAME_CHARS: usize = 512;
/// What a name of a secret has that its ARN goes on with: a hyphen and six characters.
const SUFFIX_CHARS: usize = 7;
const DAY_SECONDS: f64 = 24.0 * 60.0 * 60.0;

/// The secrets of a twin. A clone has the same ones.
#[derive(Clone, Default)]
pub struct SecretsManager(Arc<Shared>);

#[derive(Default)]
struct Shared {
    secrets: Mutex<BTreeMap<String, Secret>>,
    path: Option<PathBuf>,
    presets: Mutex<Vec<Preset>>,
}

/// A value that secrets have from the start. See [`SecretsManager::preset`].
struct Preset {
    name_part: String,
    value: String,
}

/// What is known of a name.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Secret {
    /// The newest first: `AWSCURRENT` and, where there is one, `AWSPREVIOUS`.
    versions: Vec<Version>,
    /// When it is deleted, in seconds since 1970. What is known of it is kept even then, so that no preset stands in for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deletion: Option<f64>,
}

impl Secret {
    fn is_gone(&self) -> bool {
        self.deletion.is_some_and(|at| at <= now())
    }
}

/// A value that a secret has, or had.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    id: String,
    created: f64,
    #[serde(flatten)]
    content: Content,
}

/// A value: a text, or bytes in base64, as they come and go.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
enum Content {
    #[serde(rename = "SecretString")]
    Text(String),
    #[serde(rename = "SecretBinary")]
    Binary(String),
}

/// The labels of the versions that are kept.
const STAGES: [&str; 2] = ["AWSCURRENT", "AWSPREVIOUS"];

/// Why a request is refused.
#[derive(Debug, PartialEq)]
struct Refusal {
    code: Code,
    message: String,
}

/// The errors of the service, by their names there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
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
    const fn name(self) -> &'static str {
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

    const fn status(self) -> StatusCode {
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

fn refused<T>(code: Code, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, message: message.into() })
}

fn not_found<T>() -> Result<T, Refusal> {
    refused(Code::ResourceNotFound, "Secrets Manager can't find the specified secret.")
}

/// What a request may say. What it says beyond that makes no difference here: descriptions, tags, keys.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Request {
    name: Option<String>,
    secret_id: Option<String>,
    secret_string: Option<String>,
    secret_binary: Option<String>,
    client_request_token: Option<String>,
    version_id: Option<String>,
    version_stage: Option<String>,
    force_delete_without_recovery: bool,
    recovery_window_in_days: Option<u32>,
}

impl fmt::Debug for SecretsManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretsManager").field("names", &self.secrets().keys()).finish_non_exhaustive()
    }
}

impl SecretsManager {
    /// The secrets in the file at `path`, which need not exist yet; in memory if there is none.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let secrets = match path.map(fs::read) {
            None => BTreeMap::new(),
            Some(Ok(bytes)) => serde_json::from_slice(&bytes)?,
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Some(Err(error)) => return Err(error),
        };
        let path = path.map(Path::to_path_buf);
        Ok(Self(Arc::new(Shared { secrets: Mutex::new(secrets), path, presets: Mutex::default() })))
    }

    /// Gives each secret whose name contains `name_part` this value, until a request puts or deletes it.
    pub fn preset(&self, name_part: &str, value: String) {
        let preset = Preset { name_part: name_part.to_owned(), value };
        self.0.presets.lock().unwrap_or_else(PoisonError::into_inner).push(preset);
    }

    /// Answers a request.
    pub(super) fn serve(&self, operation: &str, body: &[u8]) -> Response {
        let answer = match serde_json::from_slice(body) {
            Ok(request) => self.execute(operation, request),
            Err(_) => refused(Code::Serialization, "The request body is not what the operation takes."),
        };
        match answer {
            Ok(answer) => response(StatusCode::OK, &answer),
            Err(Refusal { code, message }) => error(code.status(), code.name(), &message),
        }
    }

    fn execute(&self, operation: &str, request: Request) -> Result<Value, Refusal> {
        match operation {
            "CreateSecret" => self.create(request),
            "PutSecretValue" => self.put(request),
            "GetSecretValue" => self.get(&request),
            "DeleteSecret" => self.delete(&request),
            _ => refused(Code::UnknownOperation, format!("the local twin does not serve {operation}")),
        }
    }

    fn create(&self, request: Request) -> Result<Value, Refusal> {
        let name = required(request.name.as_deref(), "name")?.to_owned();
        let is_right = |c: char| c.is_ascii_alphanumeric() || "-/_+=.@!".contains(c);
        if name.chars().count() > NAME_CHARS || !name.chars().all(is_right) {
            return refused(
                Code::Validation,
                "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
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
            // The same request once more: its first answer was lost.
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

    fn put(&self, request: Request) -> Result<Value, Refusal> {
        let secret_id = required(request.secret_id.as_deref(), "secretId")?.to_owned();
        let id = version_id(&request)?;
        let Some(content) = content(request)? else {
            return refused(Code::InvalidRequest, "You must provide either SecretString or SecretBinary.");
        };
        let mut secrets = self.secrets();
        let (name, mut secret) = kept(&secrets, &secret_id)?;
        let stages = match secret.versions.iter().position(|version| version.id == id) {
            // The same request once more: its first answer was lost.
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

    fn get(&self, request: &Request) -> Result<Value, Refusal> {
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

    fn delete(&self, request: &Request) -> Result<Value, Refusal> {
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
            // Whether there is one makes no difference to the real one, either.
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

    /// The preset of a name, unless a request has put or deleted the secret.
    fn preset_of(&self, secrets: &BTreeMap<String, Secret>, secret_id: &str) -> Option<(String, Secret)> {
        if found(secrets, secret_id).is_some() {
            return None;
        }
        let presets = self.0.presets.lock().unwrap_or_else(PoisonError::into_inner);
        let preset = presets.iter().find(|preset| secret_id.contains(&preset.name_part))?;
        let content = Content::Text(preset.value.clone());
        // Always the same, as long as it is the same value.
        let version = Version { id: "00000000-0000-4000-8000-000000000000".to_owned(), created: 0.0, content };
        Some((named(secret_id).to_owned(), Secret { versions: vec![version], ..Secret::default() }))
    }

    /// Says something new of a name, and keeps it.
    fn change(
        &self,
        secrets: &mut MutexGuard<'_, BTreeMap<String, Secret>>,
        name: &str,
        secret: Secret,
    ) -> Result<(), Refusal> {
        let before = secrets.insert(name.to_owned(), secret);
        let Some(path) = &self.0.path else { return Ok(()) };
        let written = serde_json::to_vec_pretty(&**secrets).map_err(io::Error::from);
        let written = written.and_then(|bytes| private_file::write(path, &bytes));
        written.map_err(|error| {
            // What is refused has not happened.
            match before {
                Some(before) => drop(secrets.insert(name.to_owned(), before)),
                None => drop(secrets.remove(name)),
            }
            Refusal { code: Code::InternalServiceError, message: error.to_string() }
        })
    }

    fn secrets(&self) -> MutexGuard<'_, BTreeMap<String, Secret>> {
        self.0.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The secret of a name or an ARN, where it can be used.
fn kept(secrets: &BTreeMap<String, Secret>, secret_id: &str) -> Result<(String, Secret), Refusal> {
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

/// The name that is known, of a name, an ARN, or an ARN without its last six characters.
fn found<'a>(secrets: &BTreeMap<String, Secret>, secret_id: &'a str) -> Option<&'a str> {
    let whole = secret_id.rsplit_once(":secret:").map_or(secret_id, |(_, name)| name);
    [named(secret_id), whole].into_iter().find(|name| secrets.contains_key(*name))
}

/// The name in a name or an ARN.
fn named(secret_id: &str) -> &str {
    match secret_id.rsplit_once(":secret:") {
        Some((_, name)) if arn(name.get(..name.len().saturating_sub(SUFFIX_CHARS)).unwrap_or(name)) == secret_id => {
            &name[..name.len() - SUFFIX_CHARS]
        }
        Some((_, name)) => name,
        None => secret_id,
    }
}

/// The ARN of a name. Its last six characters are by chance at AWS, and here of the name, so that they need no keeping.
fn arn(name: &str) -> String {
    let suffix = hexadecimal(&Md5::digest(name)[..3]);
    format!("arn:aws:secretsmanager:us-east-1:000000000000:secret:{name}-{suffix}")
}

fn required<'a>(value: Option<&'a str>, member: &str) -> Result<&'a str, Refusal> {
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

/// The id of a version to be: the caller's token, by which a request that is sent once more is known.
fn version_id(request: &Request) -> Result<String, Refusal> {
    match &request.client_request_token {
        Some(token) if (32..=64).contains(&token.len()) => Ok(token.clone()),
        Some(_) => refused(Code::InvalidParameter, "ClientRequestToken must be 32-64 characters long."),
        None => Ok(uuid()),
    }
}

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

/// An error as the service tells it.
pub(super) fn error(status: StatusCode, code: &str, message: &str) -> Response {
    response(status, &json!({"__type": code, "Message": message}))
}

fn response(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/x-amz-json-1.1".to_owned()),
        (header::HeaderName::from_static("x-amzn-requestid"), uuid()),
    ];
    (status, headers, body.to_string()).into_response()
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(secrets: &SecretsManager, operation: &str, request: Value) -> Result<Value, (Code, String)> {
        let request = serde_json::from_value(request).unwrap();
        secrets.execute(operation, request).map_err(|Refusal { code, message }| (code, message))
    }

    fn preset(path: Option<&Path>) -> SecretsManager {
        let secrets = SecretsManager::open(path).unwrap();
        secrets.preset("/providers/", "{}".to_owned());
        secrets
    }

    fn code(answer: Result<Value, (Code, String)>) -> Code {
        answer.unwrap_err().0
    }

    const TOKEN: &str = "0f9c2b7c-6f0e-4d9c-8f7c-0f6b5c7f0a01";
    const APP: &str = "shop/prod/providers/demo";

    #[test]
    fn a_secret_is_made_put_read_and_deleted() {
        let secrets = SecretsManager::default();
        let missing = ask(&secrets, "GetSecretValue", json!({"SecretId": "a"})).unwrap_err();
        let words = "Secrets Manager can't find the specified secret.";
        assert_eq!(missing, (Code::ResourceNotFound, words.to_owned()));
        assert_eq!(
            code(ask(&secrets, "PutSecretValue", json!({"SecretId": "a", "SecretString": "1"}))),
            Code::ResourceNotFound
        );

        let create = json!({"Name": "a", "SecretString": "1", "ClientRequestToken": TOKEN, "Description": "told"});
        let made = ask(&secrets, "CreateSecret", create.clone()).unwrap();
        assert_eq!(ask(&secrets, "CreateSecret", create).unwrap(), made, "the answer was lost");
        assert_eq!(
            code(ask(&secrets, "CreateSecret", json!({"Name": "a", "SecretString": "2"}))),
            Code::ResourceExists
        );
        let arn = made["ARN"].as_str().unwrap();
        let put = ask(&secrets, "PutSecretValue", json!({"SecretId": arn, "SecretString": "2"})).unwrap();
        assert_eq!(put["VersionStages"], json!(["AWSCURRENT"]));
        let other = json!({"SecretId": "a", "SecretString": "3", "ClientRequestToken": TOKEN});
        assert_eq!(code(ask(&secrets, "PutSecretValue", other)), Code::ResourceExists);
        assert_eq!(code(ask(&secrets, "PutSecretValue", json!({"SecretId": "a"}))), Code::InvalidRequest);

        for id in ["a", arn, arn.rsplit_once('-').unwrap().0] {
            let read = ask(&secrets, "GetSecretValue", json!({"SecretId": id})).unwrap();
            assert_eq!((&read["SecretString"], &read["VersionId"]), (&json!("2"), &put["VersionId"]), "{id}");
            assert!(read["CreatedDate"].as_f64() > Some(1.7e9));
        }
        for wanted in [json!({"VersionStage": "AWSPREVIOUS"}), json!({"VersionId": TOKEN})] {
            let mut request = wanted;
            request["SecretId"] = "a".into();
            assert_eq!(ask(&secrets, "GetSecretValue", request).unwrap()["SecretString"], "1");
        }
        let stage = json!({"SecretId": "a", "VersionStage": "AWSPENDING"});
        assert_eq!(code(ask(&secrets, "GetSecretValue", stage)), Code::ResourceNotFound);

        let delete = json!({"SecretId": "a", "RecoveryWindowInDays": 7});
        ask(&secrets, "DeleteSecret", delete.clone()).unwrap();
        assert_eq!(code(ask(&secrets, "DeleteSecret", delete)), Code::InvalidRequest);
        assert_eq!(code(ask(&secrets, "GetSecretValue", json!({"SecretId": "a"}))), Code::InvalidRequest);
        assert_eq!(code(ask(&secrets, "CreateSecret", json!({"Name": "a"}))), Code::InvalidRequest);
        ask(&secrets, "DeleteSecret", json!({"SecretId": arn, "ForceDeleteWithoutRecovery": true})).unwrap();
        assert_eq!(code(ask(&secrets, "GetSecretValue", json!({"SecretId": "a"}))), Code::ResourceNotFound);
        ask(&secrets, "CreateSecret", json!({"Name": "a"})).unwrap();
        let empty = ask(&secrets, "GetSecretValue", json!({"SecretId": "a"})).unwrap_err().1;
        assert!(empty.ends_with("secret value for staging label: AWSCURRENT"), "{empty}");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let secrets = SecretsManager::default();
        let long = "x".repeat(SECRET_BYTES + 1);
        let cases = [
            ("GetSecretValue", json!({}), Code::Validation),
            ("CreateSecret", json!({"Name": "a b"}), Code::Validation),
            ("CreateSecret", json!({"Name": "a", "SecretString": long}), Code::Validation),
            ("CreateSecret", json!({"Name": "a", "ClientRequestToken": "x"}), Code::InvalidParameter),
            ("CreateSecret", json!({"Name": "a", "SecretString": "", "SecretBinary": ""}), Code::InvalidParameter),
            ("DeleteSecret", json!({"SecretId": "a", "RecoveryWindowInDays": 1}), Code::InvalidParameter),
            ("DeleteSecret", json!({"SecretId": "a"}), Code::ResourceNotFound),
            ("ListSecrets", json!({}), Code::UnknownOperation),
        ];
        for (operation, request, expected) in cases {
            assert_eq!(code(ask(&secrets, operation, request.clone())), expected, "{operation} {request}");
        }
        assert_eq!(secrets.serve("GetSecretValue", b"[").status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_preset_holds_until_a_request_puts_or_deletes_the_secret() {
        let secrets = preset(None);
        let get = |id: &str| ask(&secrets, "GetSecretValue", json!({"SecretId": id}));
        let read = get(APP).unwrap();
        assert_eq!((&read["Name"], &read["SecretString"]), (&json!(APP), &json!("{}")));
        assert_eq!(get(read["ARN"].as_str().unwrap()).unwrap(), read);
        assert_eq!(code(get("shop/prod/other")), Code::ResourceNotFound);
        // Who forgets to make a secret should see it here, too.
        let put = json!({"SecretId": APP, "SecretString": "mine"});
        assert_eq!(code(ask(&secrets, "PutSecretValue", put)), Code::ResourceNotFound);
        ask(&secrets, "CreateSecret", json!({"Name": APP, "SecretString": "mine"})).unwrap();
        assert_eq!(get(APP).unwrap()["SecretString"], "mine");
        let none = "shop/prod/providers/none";
        ask(&secrets, "DeleteSecret", json!({"SecretId": none, "ForceDeleteWithoutRecovery": true})).unwrap();
        assert_eq!(code(get(none)), Code::ResourceNotFound);
    }

    #[cfg(unix)]
    #[test]
    fn secrets_are_kept_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/secretsmanager.json");
        let open = || preset(Some(&path));
        ask(&open(), "CreateSecret", json!({"Name": "a", "SecretBinary": "AAEC"})).unwrap();
        ask(&open(), "DeleteSecret", json!({"SecretId": APP, "ForceDeleteWithoutRecovery": true})).unwrap();
        assert_eq!(ask(&open(), "GetSecretValue", json!({"SecretId": "a"})).unwrap()["SecretBinary"], "AAEC");
        assert_eq!(code(ask(&open(), "GetSecretValue", json!({"SecretId": APP}))), Code::ResourceNotFound);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{:?}", open()).contains("AAEC"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(SecretsManager::open(Some(&path)).is_err());
    }

    #[test]
    fn what_cannot_be_kept_has_not_happened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secretsmanager.json");
        let secrets = SecretsManager::open(Some(&path)).unwrap();
        fs::create_dir(&path).unwrap();
        let answer = ask(&secrets, "CreateSecret", json!({"Name": "a", "SecretString": "1"}));
        assert_eq!(code(answer), Code::InternalServiceError);
        assert_eq!(code(ask(&secrets, "GetSecretValue", json!({"SecretId": "a"}))), Code::ResourceNotFound);
    }
}
