//! KMS: symmetric keys with their aliases and grants, by its JSON 1.1 protocol, with the real service's errors.
//!
//! Ciphertexts are encrypted with AES-256 in GCM, and bound to their key and encryption context. The keys are in
//! memory, or in a file that only its owner can read. With a file, a change is answered once it is on disk.

mod aliases;
mod blob;
mod checks;
mod control;
mod cryptography;
mod declared;
mod grants;
mod keys;
mod needs;
mod protocol;
mod service;
mod stored;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use self::protocol::{Code, Refusal, Request, error, refused};
pub use self::service::SERVICE;
use self::stored::{Stored, now};
use super::call::{OpenError, Opening, json_1_1};
use crate::private_file;

/// The keys of a twin. A clone shares them.
#[derive(Clone, Default)]
pub struct Kms(Arc<Shared>);

#[derive(Default)]
struct Shared {
    stored: Mutex<Stored>,
    path: Option<PathBuf>,
}

impl fmt::Debug for Kms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kms").field("keys", &self.stored().keys.keys()).finish_non_exhaustive()
    }
}

/// An operation.
type Operation = fn(&Kms, &Request) -> Result<Value, Refusal>;

/// The operations that are served.
const SERVED: &[(&str, Operation)] = &[
    ("CancelKeyDeletion", Kms::cancel_key_deletion),
    ("CreateAlias", Kms::create_alias),
    ("CreateGrant", Kms::create_grant),
    ("CreateKey", Kms::create_key),
    ("Decrypt", Kms::decrypt),
    ("DeleteAlias", Kms::delete_alias),
    ("DescribeKey", Kms::describe_key),
    ("DisableKey", Kms::disable_key),
    ("EnableKey", Kms::enable_key),
    ("Encrypt", Kms::encrypt),
    ("GenerateDataKey", Kms::generate_data_key),
    ("GenerateDataKeyWithoutPlaintext", Kms::generate_data_key_without_plaintext),
    ("GetKeyRotationStatus", Kms::get_key_rotation_status),
    ("ListAliases", Kms::list_aliases),
    ("ListGrants", Kms::list_grants),
    ("ListKeys", Kms::list_keys),
    ("ReEncrypt", Kms::re_encrypt),
    ("RetireGrant", Kms::retire_grant),
    ("RevokeGrant", Kms::revoke_grant),
    ("ScheduleKeyDeletion", Kms::schedule_key_deletion),
    ("UpdateAlias", Kms::update_alias),
];

impl Kms {
    /// The keys that the data folder keeps, and those of the template.
    pub(super) fn open_for(opening: &Opening<'_>) -> Result<Self, OpenError> {
        let opened = Self::open(opening.data.path("kms.json").as_deref());
        let kms = opened.map_err(|source| OpenError::new("serve the keys", opening.data.error(source)))?;
        let declared = kms.declare(&opening.template.keys, &opening.template.key_aliases);
        declared.map_err(|Refusal { message, .. }| OpenError::new("make the keys of the template", message))?;
        Ok(kms)
    }

    /// The keys in the file at `path`, which need not exist yet; in memory if there is none.
    ///
    /// # Errors
    /// If the file cannot be read, or holds anything but keys.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let stored = path.map(private_file::read_json).transpose()?.unwrap_or_default();
        let path = path.map(Path::to_path_buf);
        Ok(Self(Arc::new(Shared { stored: Mutex::new(stored), path })))
    }

    /// Answers a request.
    fn answer(&self, operation: &str, body: &[u8]) -> Response {
        let answer = match serde_json::from_slice(body) {
            Ok(request) => self.execute(operation, &request),
            Err(_) => refused(Code::Serialization, "The request body is not what the operation takes."),
        };
        match answer {
            Ok(answer) => json_1_1(StatusCode::OK, &answer),
            Err(Refusal { code, message }) => error(code, &message),
        }
    }

    fn execute(&self, operation: &str, request: &Request) -> Result<Value, Refusal> {
        let Some((_, serve)) = SERVED.iter().find(|(name, _)| *name == operation) else {
            return refused(Code::UnknownOperation, format!("the local twin does not serve {operation}"));
        };
        checks::request(request)?;
        serve(self, request)
    }

    /// Changes the keys, and keeps them on disk. A refused change leaves no trace.
    fn change<T>(&self, change: impl FnOnce(&mut Stored) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let mut stored = self.stored();
        let mut changed = stored.clone();
        changed.erase(now());
        let outcome = change(&mut changed)?;
        if let Some(path) = &self.0.path {
            let bytes = serde_json::to_vec_pretty(&changed).map_err(io::Error::from);
            let written = bytes.and_then(|bytes| private_file::write(path, &bytes));
            written.map_err(|error| Refusal { code: Code::Internal, message: error.to_string() })?;
        }
        *stored = changed;
        Ok(outcome)
    }

    /// The answer to a request of a test that is not limited by a role.
    #[cfg(test)]
    pub(super) fn asked(&self, operation: &str, body: &Value) -> Value {
        let request = serde_json::from_value(body.clone()).unwrap();
        self.execute(operation, &request).unwrap()
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.0.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
