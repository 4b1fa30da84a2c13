//! Keys, aliases and grants as they are kept, and the names by which a key is found.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::protocol::{Code, Constraints, Refusal, refused};
use crate::ids::ACCOUNT_ID;

/// The length of a key's material, in bytes.
pub(super) const MATERIAL_BYTES: usize = 32;

/// The region of all keys.
const REGION: &str = "us-east-1";

#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Stored {
    /// By id. A key that was deleted stays, without its material, so that the template does not make it once more.
    #[serde(default)]
    pub(super) keys: BTreeMap<String, Key>,
    /// By name, with `alias/`.
    #[serde(default)]
    pub(super) aliases: BTreeMap<String, Alias>,
    /// By id.
    #[serde(default)]
    pub(super) grants: BTreeMap<String, Grant>,
}

/// A key. It has no `Debug`, because it holds its material.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Key {
    /// None once the key is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) material: Option<Material>,
    /// In seconds since 1970, as every time here.
    pub(super) created: f64,
    pub(super) description: String,
    pub(super) enabled: bool,
    pub(super) rotates: bool,
    pub(super) multi_region: bool,
    /// The end of the waiting period before the key's deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deletion: Option<f64>,
    /// The origin in a template; none if a request has made the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) declared: Option<Declared>,
}

/// The resource by which a template declares a key.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Declared {
    pub(super) logical_id: String,
    /// `Enabled` of the resource. A change of it changes the key; what requests have done since then stays.
    pub(super) enabled: bool,
}

/// The material of a key, in base64 on disk.
#[derive(Clone)]
pub(super) struct Material(pub(super) [u8; MATERIAL_BYTES]);

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alias {
    pub(super) key_id: String,
    pub(super) created: f64,
    pub(super) updated: f64,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Grant {
    pub(super) key_id: String,
    pub(super) created: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) grantee: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retiring: Option<String>,
    pub(super) operations: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) constraints: Option<Constraints>,
}

/// The state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Enabled,
    Disabled,
    PendingDeletion,
}

impl State {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion => "PendingDeletion",
        }
    }
}

impl Key {
    pub(super) fn is_gone(&self) -> bool {
        self.material.is_none() || self.deletion.is_some_and(|at| at <= now())
    }

    pub(super) fn state(&self) -> State {
        match (self.deletion, self.enabled) {
            (Some(_), _) => State::PendingDeletion,
            (None, true) => State::Enabled,
            (None, false) => State::Disabled,
        }
    }

    /// Refuses the use of a key that is not enabled.
    pub(super) fn check_enabled(&self, id: &str) -> Result<(), Refusal> {
        match self.state() {
            State::Enabled => Ok(()),
            State::Disabled => refused(Code::Disabled, format!("{} is disabled.", arn(id))),
            State::PendingDeletion => self.check_not_pending(id),
        }
    }

    /// Refuses a change of a key that is pending deletion.
    pub(super) fn check_not_pending(&self, id: &str) -> Result<(), Refusal> {
        match self.state() {
            State::Enabled | State::Disabled => Ok(()),
            State::PendingDeletion => refused(Code::InvalidState, format!("{} is pending deletion.", arn(id))),
        }
    }
}

impl Stored {
    /// Erases the material of keys whose waiting period is over, and their aliases and grants.
    pub(super) fn erase(&mut self, now: f64) {
        let due = |key: &Key| key.material.is_some() && key.deletion.is_some_and(|at| at <= now);
        let gone: Vec<String> = self.keys.iter().filter(|(_, key)| due(key)).map(|(id, _)| id.clone()).collect();
        for id in &gone {
            if let Some(key) = self.keys.get_mut(id) {
                key.material = None;
            }
        }
        self.aliases.retain(|_, alias| !gone.contains(&alias.key_id));
        self.grants.retain(|_, grant| !gone.contains(&grant.key_id));
    }

    /// The key of an id, an ARN, an alias or an alias's ARN.
    pub(super) fn find(&self, reference: &str) -> Result<(String, &Key), Refusal> {
        let Some(name) = alias_in(reference) else { return self.find_by_id(reference) };
        let alias = self.aliases.get(name);
        let found = alias.and_then(|alias| Some((alias.key_id.clone(), self.keys.get(&alias.key_id)?)));
        match found.filter(|(_, key)| !key.is_gone()) {
            Some(found) => Ok(found),
            None => refused(Code::NotFound, format!("Alias {} is not found.", alias_arn(name))),
        }
    }

    /// The key of an id or an ARN, as most operations of administration take it.
    pub(super) fn find_by_id(&self, reference: &str) -> Result<(String, &Key), Refusal> {
        let id = id_in(reference)?;
        match self.keys.get(id).filter(|key| !key.is_gone()) {
            Some(key) => Ok((id.to_owned(), key)),
            None if is_id(id) => refused(Code::NotFound, format!("Key '{}' does not exist", arn(id))),
            None => refused(Code::NotFound, format!("Invalid keyId '{reference}'")),
        }
    }

    /// The names of a key.
    pub(super) fn aliases_of(&self, id: &str) -> Vec<String> {
        self.aliases.iter().filter(|(_, alias)| alias.key_id == id).map(|(name, _)| name.clone()).collect()
    }
}

/// The alias in a reference to a key, if it is one.
pub(super) fn alias_in(reference: &str) -> Option<&str> {
    let name = reference.strip_prefix(&arn_of("")).unwrap_or(reference);
    name.starts_with("alias/").then_some(name)
}

fn id_in(reference: &str) -> Result<&str, Refusal> {
    if !reference.starts_with("arn:") {
        return Ok(reference);
    }
    if let Some(id) = reference.strip_prefix(&arn_of("key/")) {
        return Ok(id);
    }
    match reference.split(':').collect::<Vec<_>>()[..] {
        ["arn", _, "kms", region, _, _] if region != REGION => refused(Code::NotFound, format!("Invalid arn {region}")),
        ["arn", _, "kms", _, account, _] if account != ACCOUNT_ID => {
            refused(Code::NotFound, format!("Key '{reference}' does not exist"))
        }
        _ => refused(Code::InvalidArn, format!("Invalid arn {reference}")),
    }
}

/// Whether a text has the form of a key's id: a UUID, or `mrk-` and 32 digits.
fn is_id(text: &str) -> bool {
    let is_hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.strip_prefix("mrk-") {
        Some(digits) => digits.len() == 32 && is_hexadecimal(digits),
        None => {
            let groups: Vec<&str> = text.split('-').collect();
            groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.into_iter().all(is_hexadecimal)
        }
    }
}

fn arn_of(resource: &str) -> String {
    format!("arn:aws:kms:{REGION}:{ACCOUNT_ID}:{resource}")
}

/// The ARN of a key.
pub(super) fn arn(id: &str) -> String {
    arn_of(&format!("key/{id}"))
}

/// The ARN of an alias, which begins with `alias/`.
pub(super) fn alias_arn(name: &str) -> String {
    arn_of(name)
}

/// Seconds since 1970.
pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as f64 / 1000.0
}

/// Random bytes for keys and nonces.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => refused(Code::Internal, error.to_string()),
    }
}

impl Serialize for Material {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Material {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| de::Error::custom("the material of a key is 32 bytes in base64"))
    }
}
