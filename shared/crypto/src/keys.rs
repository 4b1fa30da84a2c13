//! Key derivation: HKDF-SHA-512 (RFC 5869) from a deployment's root secrets, so that no device key is ever stored.
//!
//! A deployment has three sets of root keys: one for content, one for tokens, one for links. A root secret has a
//! version. The two keys of a device have the same version, the highest that both of their sets hold; every version
//! that is still in a set opens and verifies what was made under it. A device's *generation* grows when it changes
//! hands: the old keys are then refused though the device id stays.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use hkdf::Hkdf;
use serde::Deserialize;
use sha2::Sha512;
use zeroize::Zeroizing;

use crate::frame::ContentKey;

/// The shortest root secret that is accepted, in characters.
pub const MIN_SECRET_CHARS: usize = 32;

/// The use of a key. A key of one use is never accepted for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Sealing frames to the device.
    Content,
    /// Signing connect tokens by the device.
    Token,
}

impl KeyUse {
    /// The JWK `use`, which also ends the key's id.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Content => "enc",
            Self::Token => "sig",
        }
    }
}

/// The id of a device's key, in text `{device}.{version}.{generation}.{enc|sig}`: all that deriving the key takes
/// beside the app of the device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyId {
    /// The device's id.
    pub device: String,
    /// The version of the root keys.
    pub version: u32,
    /// The device's key generation.
    pub generation: u32,
    /// The use of the key.
    pub key_use: KeyUse,
}

impl KeyId {
    /// The id of a device's content key.
    #[must_use]
    pub fn content(device: &str, version: u32, generation: u32) -> Self {
        Self { device: device.to_owned(), version, generation, key_use: KeyUse::Content }
    }

    /// The id of the device's other key.
    #[must_use]
    pub fn with_use(&self, key_use: KeyUse) -> Self {
        Self { key_use, ..self.clone() }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.device, self.version, self.generation, self.key_use.as_str())
    }
}

/// The text is not the id of a device's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key id: expected {{device}}.{{version}}.{{generation}}.{{enc|sig}}")]
pub struct KeyIdError;

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        // From the right, so that a device id may contain dots.
        let mut parts = text.rsplitn(4, '.');
        let mut next = || parts.next().ok_or(KeyIdError);
        let key_use = match next()? {
            "enc" => KeyUse::Content,
            "sig" => KeyUse::Token,
            _ => return Err(KeyIdError),
        };
        let generation = number(next()?).ok_or(KeyIdError)?;
        let version = number(next()?).ok_or(KeyIdError)?;
        let device = next()?;
        if device.is_empty() {
            return Err(KeyIdError);
        }
        Ok(Self { device: device.to_owned(), version, generation, key_use })
    }
}

/// Decimal with one spelling: no sign, no leading zero.
pub(crate) fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

/// The key with which a device signs its connect tokens.
#[derive(Clone)]
pub struct TokenKey(Zeroizing<[u8; 32]>);

impl TokenKey {
    /// Takes the key's bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The two keys of a device.
#[derive(Debug, Clone)]
pub struct DeviceKeys {
    /// Seals frames to it.
    pub content: ContentKey,
    /// Signs its connect tokens.
    pub token: TokenKey,
}

impl DeviceKeys {
    /// Derives both keys of an app's device. The use that the id names does not matter.
    ///
    /// # Errors
    /// If one of the sets has no root key of that version.
    pub fn derive(content: &RootKeys, tokens: &RootKeys, app: &str, id: &KeyId) -> Result<Self, UnknownVersion> {
        Ok(Self { content: content.content_key(app, id)?, token: tokens.token_key(app, id)? })
    }
}

/// The root keys cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootKeysError {
    /// Not an object of strings.
    #[error("the root keys are not a JSON object of version to secret")]
    Malformed,
    /// The object is empty.
    #[error("there is no root key")]
    Empty,
    /// A version that is not a whole number greater than zero. The text stays out: it may be a secret in the wrong
    /// place.
    #[error("the name of member {member} is not a version of a root key: expected 1, 2, 3 …")]
    Version {
        /// The place of the member in the object, from 1.
        member: usize,
    },
    /// A version that occurs twice.
    #[error("root key {version} occurs twice")]
    Repeated {
        /// The version.
        version: u32,
    },
    /// A secret that is too short to be one.
    #[error("root key {version} is shorter than {MIN_SECRET_CHARS} characters")]
    TooShort {
        /// The version of the secret.
        version: u32,
    },
}

/// No root key of that version is in the set: it was rotated away, or the id was made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no root key of version {version}")]
pub struct UnknownVersion {
    /// The version that was asked for.
    pub version: u32,
}

/// The versioned root keys of one purpose; never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct RootKeys {
    current: u32,
    /// The pseudo-random keys that HKDF extracted, by version; the secrets themselves are not kept.
    extracted: BTreeMap<u32, Zeroizing<[u8; 64]>>,
}

impl fmt::Debug for RootKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootKeys").field("versions", &self.extracted.keys()).field("keys", &"***").finish()
    }
}

impl RootKeys {
    /// Reads `{"1":"secret…","2":"secret…"}`.
    ///
    /// # Errors
    /// Names the version that is wrong, never a secret.
    pub fn parse(json: &str) -> Result<Self, RootKeysError> {
        let Entries(entries) = serde_json::from_str(json).map_err(|_| RootKeysError::Malformed)?;
        let mut extracted = BTreeMap::new();
        for (place, (text, secret)) in entries.into_iter().enumerate() {
            let version =
                number(&text).filter(|version| *version > 0).ok_or(RootKeysError::Version { member: place + 1 })?;
            if secret.chars().count() < MIN_SECRET_CHARS {
                return Err(RootKeysError::TooShort { version });
            }
            let (prk, _) = Hkdf::<Sha512>::extract(Some(b"tidings root key"), secret.as_bytes());
            if extracted.insert(version, Zeroizing::new(prk.into())).is_some() {
                return Err(RootKeysError::Repeated { version });
            }
        }
        let current = *extracted.keys().next_back().ok_or(RootKeysError::Empty)?;
        Ok(Self { current, extracted })
    }

    /// The highest version.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.current
    }

    /// Whether there is a root key of this version.
    #[must_use]
    pub fn has(&self, version: u32) -> bool {
        self.extracted.contains_key(&version)
    }

    /// The highest version that both sets hold, under which devices get their keys; `None` if they share none.
    #[must_use]
    pub fn newest_shared(&self, other: &Self) -> Option<u32> {
        self.extracted.keys().rev().copied().find(|version| other.has(*version))
    }

    /// Derives the key that seals frames to an app's device. The use that the id names does not matter.
    ///
    /// # Errors
    /// If there is no root key of that version.
    pub fn content_key(&self, app: &str, id: &KeyId) -> Result<ContentKey, UnknownVersion> {
        Ok(ContentKey::from_bytes(self.device_key(app, id, KeyUse::Content)?))
    }

    /// Derives the key with which an app's device signs its tokens. The use that the id names does not matter.
    ///
    /// # Errors
    /// If there is no root key of that version.
    pub fn token_key(&self, app: &str, id: &KeyId) -> Result<TokenKey, UnknownVersion> {
        Ok(TokenKey::from_bytes(self.device_key(app, id, KeyUse::Token)?))
    }

    fn device_key<const N: usize>(&self, app: &str, id: &KeyId, key_use: KeyUse) -> Result<[u8; N], UnknownVersion> {
        let KeyId { device, version, generation, .. } = id;
        let root = self.extracted.get(version).ok_or(UnknownVersion { version: *version })?;
        // With the length of the app, no two devices share an info, whatever the names are made of.
        let info = format!("tidings/2/{}/{generation}/{}/{app}/{device}", key_use.as_str(), app.len());
        Ok(expand(root, &info))
    }

    /// The key that signs the links of an app.
    pub(crate) fn link_key(&self, version: u32, app: &str) -> Option<Zeroizing<[u8; 32]>> {
        Some(Zeroizing::new(expand(self.extracted.get(&version)?, &format!("tidings/2/link/{app}"))))
    }
}

pub(crate) fn expand<const N: usize>(root: &[u8; 64], info: &str) -> [u8; N] {
    let mut key = [0; N];
    let expanded = Hkdf::<Sha512>::from_prk(root).is_ok_and(|hkdf| hkdf.expand(info.as_bytes(), &mut key).is_ok());
    // from_prk wants one hash length, expand at most 255 of them; both are constants here.
    assert!(expanded, "HKDF-SHA-512 refuses only wrong lengths, and these are fixed");
    key
}

/// The object's members in the order of the text. A map type would let the last of two equal versions win silently.
struct Entries(Vec<(String, Zeroizing<String>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of version to secret")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some((version, secret)) = map.next_entry::<String, String>()? {
                    entries.push((version, Zeroizing::new(secret)));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::hex;
    use std::collections::BTreeSet;

    const TWO: &str =
        r#"{"1":"first-secret-of-at-least-thirty-two-chars","2":"second-secret-of-at-least-thirty-two-chars"}"#;

    #[test]
    fn bad_root_keys_are_refused_without_showing_a_secret() {
        let long = "s".repeat(32);
        for (json, expected) in [
            ("".to_owned(), RootKeysError::Malformed),
            ("[]".to_owned(), RootKeysError::Malformed),
            (r#"{"1":7}"#.to_owned(), RootKeysError::Malformed),
            ("{}".to_owned(), RootKeysError::Empty),
            (format!(r#"{{"one":"{long}"}}"#), RootKeysError::Version { member: 1 }),
            (format!(r#"{{"0":"{long}"}}"#), RootKeysError::Version { member: 1 }),
            (format!(r#"{{"1":"{long}","01":"{long}"}}"#), RootKeysError::Version { member: 2 }),
            (format!(r#"{{"-1":"{long}"}}"#), RootKeysError::Version { member: 1 }),
            // The secret stands where the version should.
            (format!(r#"{{"{long}":"1"}}"#), RootKeysError::Version { member: 1 }),
            (format!(r#"{{"1":"{long}","1":"{long}"}}"#), RootKeysError::Repeated { version: 1 }),
            (r#"{"3":"short"}"#.to_owned(), RootKeysError::TooShort { version: 3 }),
        ] {
            let error = RootKeys::parse(&json).unwrap_err();
            assert_eq!(error, expected, "{json}");
            assert!(!format!("{error} {error:?}").contains(&long), "{error}");
        }
    }

    #[test]
    fn the_highest_version_is_current_and_the_lower_still_serves() {
        let root = RootKeys::parse(TWO).unwrap();
        assert_eq!(root.current(), 2);
        assert!(root.content_key("demo", &KeyId::content("d", 1, 0)).is_ok());
        let unknown = KeyId::content("d", 3, 0);
        assert_eq!(root.token_key("demo", &unknown).unwrap_err(), UnknownVersion { version: 3 });
    }

    #[test]
    fn devices_get_keys_under_the_newest_version_of_both_sets() {
        let secret = "s".repeat(32);
        let set = |versions: &[u32]| {
            let members: Vec<_> =
                versions.iter().map(|version| format!(r#""{version}":"{secret}{version}""#)).collect();
            RootKeys::parse(&format!("{{{}}}", members.join(","))).unwrap()
        };
        for (content, tokens, shared) in [
            (&[1][..], &[1][..], Some(1)),
            (&[1, 2], &[1], Some(1)),
            (&[2, 3], &[1, 2, 3, 4], Some(3)),
            (&[1], &[2], None),
        ] {
            assert_eq!(set(content).newest_shared(&set(tokens)), shared, "{content:?} {tokens:?}");
            assert_eq!(set(tokens).newest_shared(&set(content)), shared, "{tokens:?} {content:?}");
        }
    }

    #[test]
    fn every_version_app_device_generation_and_use_has_its_own_key() {
        let root = RootKeys::parse(TWO).unwrap();
        let mut seen = BTreeSet::new();
        let mut made = 0;
        for version in [1, 2] {
            for (app, device) in
                [("a", "b"), ("a", "a"), ("a", "1/a"), ("a/1", "a"), ("a", "a/1"), ("a/1/a", "1"), ("", "a/b")]
            {
                for generation in [0, 1, 11] {
                    let keys =
                        DeviceKeys::derive(&root, &root, app, &KeyId::content(device, version, generation)).unwrap();
                    seen.insert(keys.content.as_bytes()[..32].to_vec());
                    seen.insert(keys.content.as_bytes()[32..].to_vec());
                    seen.insert(keys.token.as_bytes().to_vec());
                    made += 3;
                }
            }
            for app in ["a", "b", "a/1"] {
                seen.insert(root.link_key(version, app).unwrap().to_vec());
                made += 1;
            }
        }
        assert_eq!(seen.len(), made);
    }

    /// Keys are never stored, so a changed derivation would lock every registered device out. If this fails, the
    /// derivation changed; it must not. The values were computed by another implementation (Python's hmac and hashlib).
    #[test]
    fn the_derivation_is_pinned() {
        let root = RootKeys::parse(TWO).unwrap();
        let keys = DeviceKeys::derive(&root, &root, "demo", &KeyId::content("device-1", 1, 0)).unwrap();
        assert_eq!(hex(&keys.content.as_bytes()[..16]), "6ad5137800ed0503ed320d7b4706d3f8");
        assert_eq!(hex(&keys.token.as_bytes()[..16]), "e710efaf978b750a5561598fbc474528");
        assert_eq!(hex(&root.link_key(2, "demo").unwrap()[..16]), "37c97a6aef25601109db99e31f1e50ca");
    }

    #[test]
    fn key_ids_have_one_spelling() {
        for text in ["device-1.1.0.enc", "d.4294967295.12.sig", "with.dots.1.0.enc"] {
            assert_eq!(text.parse::<KeyId>().unwrap().to_string(), text);
        }
        for text in ["", "d.1.0", "d.1.0.", "d.1.0.mac", ".1.0.enc", "d.01.0.enc", "d.1.+0.enc", "d.1.x.enc", "1.0.enc"]
        {
            assert_eq!(text.parse::<KeyId>(), Err(KeyIdError), "{text}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let root = RootKeys::parse(TWO).unwrap();
        let keys = DeviceKeys::derive(&root, &root, "demo", &KeyId::content("d", 1, 0)).unwrap();
        assert_eq!(format!("{keys:?}"), "DeviceKeys { content: ***, token: *** }");
        assert_eq!(format!("{root:?}"), r#"RootKeys { versions: [1, 2], keys: "***" }"#);
    }
}
