//! The secrets of the template, which are there from the start.

use md5::{Digest, Md5};

use super::SecretsManager;
use super::secret::{Content, STAGES, Version, now};
use crate::ids::hexadecimal;
use crate::template;

/// The prefix of the id of a version whose value comes from the template.
const VERSION_PREFIX: &str = "00000000-0000-4000-8000-0001";

impl SecretsManager {
    /// Creates the secrets that a template declares. A secret whose value a request has put, or that a request has
    /// deleted, stays as it is. A secret whose value in the template has changed gets the new one, as in an update of
    /// the stack.
    pub(super) fn declare(&self, declared: &[template::Secret]) {
        let mut secrets = self.secrets();
        for template::Secret { name, value, .. } in declared {
            let secret = secrets.entry(name.clone()).or_default();
            let Some(value) = value else { continue };
            let id = version_id(value);
            let is_of_the_template = secret.versions.first().is_none_or(|it| it.id.starts_with(VERSION_PREFIX));
            if secret.deletion.is_some() || !is_of_the_template || secret.versions.iter().any(|it| it.id == id) {
                continue;
            }
            secret.versions.insert(0, Version { id, created: now(), content: Content::Text(value.clone()) });
            secret.versions.truncate(STAGES.len());
        }
    }
}

/// The id of a version of this value: always the same, so that a kept value is recognized.
fn version_id(value: &str) -> String {
    format!("{VERSION_PREFIX}{}", hexadecimal(&Md5::digest(value)[..4]))
}
