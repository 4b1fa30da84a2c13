//! Reading one provider's part of the credentials.

use std::fmt;

use serde_json::{Map, Value};
use tidings_crypto::jws::KeyError;
use tidings_text::without_mark;

use crate::endpoint::EndpointError;

/// A text that does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The fault of a document of credentials. It never contains a part of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// It is not a JSON object.
    #[error("the credentials are not a JSON object")]
    Malformed,
    /// Unknown provider.
    #[error("{name:?} is not a provider: expected {known}")]
    UnknownProvider {
        /// Its name.
        name: String,
        /// The names of all providers.
        known: String,
    },
    /// A provider's part is not an object.
    #[error("{0} is not an object")]
    NoObject(&'static str),
    /// A field is missing.
    #[error("{provider}.{field} is missing")]
    Missing {
        /// The provider's name.
        provider: &'static str,
        /// The field's name.
        field: &'static str,
    },
    /// A field is wrong.
    #[error("{provider}.{field}: {reason}")]
    Wrong {
        /// The provider's name.
        provider: &'static str,
        /// The field's name.
        field: &'static str,
        /// The reason.
        reason: Reason,
    },
    /// Unknown field.
    #[error("{provider}.{field} is not a field")]
    UnknownField {
        /// The provider's name.
        provider: &'static str,
        /// The field's name.
        field: String,
    },
}

/// Why a field is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is of another type.
    #[error("not a text")]
    NotText,
    /// It is of another type.
    #[error("not true or false")]
    NotBoolean,
    /// It is empty, or has characters that HTTP cannot carry.
    #[error("not a text of 1 to 200 printable ASCII characters")]
    NotPrintable,
    /// It is not a key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It is not base64url.
    #[error("not base64url")]
    Encoding,
    /// It is not a URL that may be called.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// It does not have the form that this provider requires.
    #[error("{0}")]
    Form(&'static str),
}

/// The part of a document for one provider.
pub(crate) struct Part<'a> {
    provider: &'static str,
    fields: &'a Map<String, Value>,
}

impl<'a> Part<'a> {
    /// The part of `provider`.
    pub(crate) fn new(provider: &'static str, fields: &'a Map<String, Value>) -> Self {
        Self { provider, fields }
    }

    /// A field that goes into a header, a path or a token.
    pub(crate) fn printable(&self, field: &'static str) -> Result<String, CredentialsError> {
        self.read(field, |text| {
            let fits = (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
            if fits { Ok(text.to_owned()) } else { Err(Reason::NotPrintable) }
        })
    }

    /// A text field, parsed by `read`.
    pub(crate) fn read<T>(
        &self,
        field: &'static str,
        read: impl FnOnce(&str) -> Result<T, Reason>,
    ) -> Result<T, CredentialsError> {
        let missing = CredentialsError::Missing { provider: self.provider, field };
        let value = self.fields.get(field).ok_or(missing)?;
        let text = value.as_str().ok_or_else(|| self.wrong(field, Reason::NotText))?;
        // `jq --rawfile` copies the byte order mark of a file into the value.
        read(without_mark(text)).map_err(|reason| self.wrong(field, reason))
    }

    /// A flag that is off if it is absent.
    pub(crate) fn flag(&self, field: &'static str) -> Result<bool, CredentialsError> {
        match self.fields.get(field) {
            None => Ok(false),
            Some(flag) => flag.as_bool().ok_or_else(|| self.wrong(field, Reason::NotBoolean)),
        }
    }

    /// Rejects unknown fields: a misspelt optional field would silently take its default.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), CredentialsError> {
        match self.fields.keys().find(|field| !known.contains(&field.as_str())) {
            Some(field) => Err(CredentialsError::UnknownField { provider: self.provider, field: field.clone() }),
            None => Ok(()),
        }
    }

    pub(crate) fn wrong(&self, field: &'static str, reason: Reason) -> CredentialsError {
        CredentialsError::Wrong { provider: self.provider, field, reason }
    }
}
