//! The keys of an app for what is sealed at rest: data keys by version, and keys for names, which never change.
//!
//! A keyring is kept beside the app, sealed under a key that the key-management service has wrapped ([`Keyring::seal`],
//! [`Keyring::open`]).
//!
//! - Values are sealed by [`Keyring::seal_value`]; see [`sealed`](crate::sealed).
//! - Names that stand in keys (an alias, the name of an item) are enciphered deterministically: equal names of one
//!   tenant are equal texts, so look-ups work, and a worker with the keyring reads the name back ([`Keyring::name`]).
//! - Names that only distinguish (groups of a queue, log lines) are keyed hashes ([`Keyring::hash`]).

use std::collections::BTreeMap;
use std::fmt;

use aes::Aes256;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::encoding::{base64url, from_base64url, hex};
use crate::keys::expand;
use crate::mac::hmac_sha256;
use crate::sealed::{DataKey, KEY_BYTES, Place, Refused, joined, version};

/// Bytes of the tag of a name, which is its IV too.
const NAME_TAG: usize = 16;

/// The version under which the keyring itself is sealed.
const WRAPPING: u32 = 0;

/// The keys of one app.
#[derive(Clone)]
pub struct Keyring {
    app: String,
    secrets: Secrets,
    name_tag: Zeroizing<[u8; 32]>,
    name_cipher: Zeroizing<[u8; 32]>,
    hash: Zeroizing<[u8; 32]>,
    data: BTreeMap<u32, DataKey>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions: Vec<u32> = self.data.keys().copied().collect();
        f.debug_struct("Keyring").field("app", &self.app).field("versions", &versions).finish_non_exhaustive()
    }
}

/// What is kept of a keyring.
#[derive(Clone, Serialize, Deserialize)]
struct Secrets {
    /// 64 bytes, from which the keys of names and hashes are derived.
    names: Key,
    data: Vec<Version>,
}

/// A data key.
#[derive(Clone, Serialize, Deserialize)]
struct Version {
    version: u32,
    /// The time from which on it seals, in milliseconds since the Unix epoch: by then every process knows it.
    from: i64,
    key: Key,
}

#[derive(Clone)]
struct Key(Zeroizing<[u8; KEY_BYTES]>);

impl Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Zeroizing::new(base64url(&*self.0)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = Zeroizing::new(from_base64url(&text).unwrap_or_default());
        let key = bytes.as_slice().try_into().map_err(|_| serde::de::Error::custom("not a key of 64 bytes"))?;
        Ok(Self(Zeroizing::new(key)))
    }
}

impl Keyring {
    /// A new keyring with one data key, which seals at once.
    #[must_use]
    pub fn new(app: &str, names: [u8; KEY_BYTES], data: [u8; KEY_BYTES]) -> Self {
        let key = |bytes| Key(Zeroizing::new(bytes));
        let data = vec![Version { version: 1, from: 0, key: key(data) }];
        Self::of(app, Secrets { names: key(names), data })
    }

    fn of(app: &str, secrets: Secrets) -> Self {
        let names = &secrets.names.0;
        let derive = |purpose| Zeroizing::new(expand(names, purpose));
        Self {
            app: app.to_owned(),
            name_tag: derive("tidings/1/names/tag"),
            name_cipher: derive("tidings/1/names/cipher"),
            hash: derive("tidings/1/names/hash"),
            data: secrets.data.iter().map(|it| (it.version, DataKey::new(&it.key.0))).collect(),
            secrets,
        }
    }

    /// The keyring with one more data key, which seals from a time on, in milliseconds since the Unix epoch. The others
    /// stay and open what they have sealed.
    #[must_use]
    pub fn with(&self, data: [u8; KEY_BYTES], from: i64) -> Self {
        let mut secrets = self.secrets.clone();
        let version = self.data.keys().next_back().map_or(1, |newest| newest.saturating_add(1));
        secrets.data.push(Version { version, from, key: Key(Zeroizing::new(data)) });
        Self::of(&self.app, secrets)
    }

    /// The keyring without the data keys before a version: what they have sealed is lost. The newest always stays.
    #[must_use]
    pub fn without_before(&self, version: u32) -> Self {
        let mut secrets = self.secrets.clone();
        let newest = self.data.keys().next_back().copied().unwrap_or_default();
        secrets.data.retain(|it| it.version >= version.min(newest));
        Self::of(&self.app, secrets)
    }

    /// The versions of the data keys, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = u32> + '_ {
        self.data.keys().copied()
    }

    /// The keyring, sealed under the key that is wrapped beside it.
    #[must_use]
    pub fn seal(&self, wrapping: &[u8; KEY_BYTES]) -> Vec<u8> {
        let Ok(plain) = serde_json::to_vec(&self.secrets) else { unreachable!("texts and numbers are JSON") };
        DataKey::new(wrapping).seal(WRAPPING, &self.own_place(), &Zeroizing::new(plain))
    }

    /// Opens the keyring of an app.
    ///
    /// # Errors
    /// If it is another app's, was changed, or is sealed under another key.
    pub fn open(app: &str, wrapping: &[u8; KEY_BYTES], sealed: &[u8]) -> Result<Self, Refused> {
        let plain = DataKey::new(wrapping).open(&own_place(app), sealed)?;
        let secrets: Secrets = serde_json::from_slice(&plain).map_err(|_| Refused)?;
        if secrets.data.is_empty() {
            return Err(Refused);
        }
        Ok(Self::of(app, secrets))
    }

    fn own_place(&self) -> Place<'_> {
        own_place(&self.app)
    }

    /// Seals a value for its place, under the newest data key whose time has come. The place names this app.
    #[must_use]
    pub fn seal_value(&self, place: &Place<'_>, plain: &[u8], now: i64) -> Vec<u8> {
        let usable = self.secrets.data.iter().filter(|it| it.from <= now).map(|it| it.version).max();
        let version = usable.or_else(|| self.versions().next()).unwrap_or_default();
        self.seal_under(version, place, plain).unwrap_or_default()
    }

    /// The value, sealed under each of the data keys: the forms in which it may be stored.
    #[must_use]
    pub fn forms(&self, place: &Place<'_>, plain: &[u8]) -> Vec<Vec<u8>> {
        self.versions().filter_map(|version| self.seal_under(version, place, plain)).collect()
    }

    fn seal_under(&self, version: u32, place: &Place<'_>, plain: &[u8]) -> Option<Vec<u8>> {
        let place = Place { app: &self.app, ..*place };
        Some(self.data.get(&version)?.seal(version, &place, plain))
    }

    /// Opens a value that was sealed for this place.
    ///
    /// # Errors
    /// [`Refused`], whatever is wrong.
    pub fn open_value(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refused> {
        let key = version(sealed).and_then(|version| self.data.get(&version)).ok_or(Refused)?;
        key.open(&Place { app: &self.app, ..*place }, sealed)
    }

    /// A name as it stands in keys: equal for equal names of one purpose and tenant, in base64url.
    #[must_use]
    pub fn name(&self, purpose: &str, tenant: &str, name: &str) -> String {
        let tag = self.tag(purpose, tenant, name);
        let Ok(cipher) = cbc::Encryptor::<Aes256>::new_from_slices(&*self.name_cipher, &tag) else {
            unreachable!("the key and the tag have the lengths of this cipher")
        };
        let ciphertext = cipher.encrypt_padded_vec::<Pkcs7>(name.as_bytes());
        base64url(&[tag.as_slice(), &ciphertext].concat())
    }

    /// The name that [`Self::name`] has enciphered.
    ///
    /// # Errors
    /// If it was changed, or is one of another purpose, tenant or app.
    pub fn open_name(&self, purpose: &str, tenant: &str, text: &str) -> Result<String, Refused> {
        let bytes = from_base64url(text).ok_or(Refused)?;
        let (tag, ciphertext) = bytes.split_first_chunk::<NAME_TAG>().ok_or(Refused)?;
        let cipher = cbc::Decryptor::<Aes256>::new_from_slices(&*self.name_cipher, tag).map_err(|_| Refused)?;
        let plain = cipher.decrypt_padded_vec::<Pkcs7>(ciphertext).map_err(|_| Refused)?;
        let name = String::from_utf8(plain).map_err(|_| Refused)?;
        if bool::from(self.tag(purpose, tenant, &name).ct_eq(tag)) { Ok(name) } else { Err(Refused) }
    }

    fn tag(&self, purpose: &str, tenant: &str, name: &str) -> [u8; NAME_TAG] {
        first(&hmac_sha256(&*self.name_tag, &joined(&[purpose, &self.app, tenant, name])))
    }

    /// A keyed hash of texts, for one purpose: 32 hexadecimal digits. The texts cannot be computed from it, nor found
    /// by guessing without the keyring.
    #[must_use]
    pub fn hash(&self, purpose: &str, parts: &[&str]) -> String {
        let all: Vec<&str> = [purpose, &self.app].into_iter().chain(parts.iter().copied()).collect();
        hex(&first::<16>(&hmac_sha256(&*self.hash, &joined(&all))))
    }
}

fn own_place(app: &str) -> Place<'_> {
    Place { app, family: "keyring", partition: "", sort: "", attribute: "", id: "" }
}

fn first<const N: usize>(code: &[u8; 32]) -> [u8; N] {
    let mut first = [0; N];
    first.copy_from_slice(&code[..N]);
    first
}

#[cfg(test)]
mod tests;
