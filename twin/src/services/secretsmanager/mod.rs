//! Secrets Manager: six operations of its JSON 1.1 protocol, with the real service's errors.
//!
//! Secrets are in memory, or in a file that only its owner can read. With a file, a change is answered once it is on
//! disk.

mod declared;
mod describe;
mod operations;
mod protocol;
mod secret;
mod service;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use self::protocol::{Code, Refusal, Request, error, refused};
use self::secret::{Content, Secret, Version, found, named};
pub use self::service::SERVICE;
use super::call::{OpenError, Opening, json_1_1};
use crate::private_file;

/// The secrets of a twin. A clone shares them.
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

impl fmt::Debug for SecretsManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretsManager").field("names", &self.secrets().keys()).finish_non_exhaustive()
    }
}

impl SecretsManager {
    /// The secrets that the data folder keeps, and those of the template.
    pub(super) fn open_for(opening: &Opening<'_>) -> Result<Self, OpenError> {
        let opened = Self::open(opening.data.path("secretsmanager.json").as_deref());
        let secrets = opened.map_err(|source| OpenError::new("serve the secrets", opening.data.error(source)))?;
        secrets.declare(&opening.template.secrets);
        Ok(secrets)
    }

    /// The secrets in the file at `path`, which need not exist yet; in memory if there is none.
    ///
    /// # Errors
    /// If the file cannot be read, or holds anything but secrets.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let secrets = path.map(private_file::read_json).transpose()?.unwrap_or_default();
        let path = path.map(Path::to_path_buf);
        Ok(Self(Arc::new(Shared { secrets: Mutex::new(secrets), path, presets: Mutex::default() })))
    }

    /// Gives this value to each secret whose name contains `name_part`, until a request puts or deletes the secret.
    pub fn preset(&self, name_part: &str, value: String) {
        let preset = Preset { name_part: name_part.to_owned(), value };
        self.0.presets.lock().unwrap_or_else(PoisonError::into_inner).push(preset);
    }

    /// Answers a request.
    fn answer(&self, operation: &str, body: &[u8]) -> Response {
        let answer = match serde_json::from_slice(body) {
            Ok(request) => self.execute(operation, request),
            Err(_) => refused(Code::Serialization, "The request body is not what the operation takes."),
        };
        match answer {
            Ok(answer) => json_1_1(StatusCode::OK, &answer),
            Err(Refusal { code, message }) => error(code.status(), code.name(), &message),
        }
    }

    fn execute(&self, operation: &str, request: Request) -> Result<Value, Refusal> {
        match operation {
            "CreateSecret" => self.create(request),
            "PutSecretValue" => self.put(request),
            "GetSecretValue" => self.get(&request),
            "DeleteSecret" => self.delete(&request),
            "DescribeSecret" => self.describe(&request),
            "ListSecrets" => self.list(&request),
            _ => refused(Code::UnknownOperation, format!("the local twin does not serve {operation}")),
        }
    }

    /// The preset of a name, unless a request has put or deleted the secret.
    fn preset_of(&self, secrets: &BTreeMap<String, Secret>, secret_id: &str) -> Option<(String, Secret)> {
        if found(secrets, secret_id).is_some() {
            return None;
        }
        let presets = self.0.presets.lock().unwrap_or_else(PoisonError::into_inner);
        let preset = presets.iter().find(|preset| secret_id.contains(&preset.name_part))?;
        let content = Content::Text(preset.value.clone());
        // The id is fixed, because the value is.
        let version = Version { id: "00000000-0000-4000-8000-000000000000".to_owned(), created: 0.0, content };
        Some((named(secret_id).to_owned(), Secret { versions: vec![version], ..Secret::default() }))
    }

    /// Replaces the secret of a name, and keeps it on disk.
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
            // A refused change leaves no trace.
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
