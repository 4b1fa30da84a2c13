//! Ciphertexts: a format, the key's id, a nonce, and the plaintext encrypted with AES-256 in GCM. The encryption
//! context is authenticated with it, and not contained.

use std::collections::BTreeMap;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::protocol::{Code, Refusal};
use super::stored::{Material, random};

/// The first byte of every ciphertext.
const FORMAT: u8 = 1;

/// A ciphertext, taken apart.
struct Parts<'b> {
    key_id: &'b str,
    nonce: [u8; NONCE_LEN],
    sealed: &'b [u8],
}

impl<'b> Parts<'b> {
    fn of(blob: &'b [u8]) -> Option<Self> {
        let (&[format, length], rest) = blob.split_first_chunk()?;
        if format != FORMAT {
            return None;
        }
        let (key_id, rest) = rest.split_at_checked(usize::from(length))?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        Some(Self { key_id: std::str::from_utf8(key_id).ok()?, nonce: *nonce, sealed })
    }
}

/// The id of the key that has encrypted a ciphertext; none if it is not one of this service.
pub(super) fn key_of(blob: &[u8]) -> Option<&str> {
    Parts::of(blob).map(|parts| parts.key_id)
}

/// Encrypts under a key.
pub(super) fn seal(
    key_id: &str,
    material: &Material,
    context: &BTreeMap<String, String>,
    plaintext: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let failed = || Refusal { code: Code::Internal, message: "the plaintext cannot be encrypted".to_owned() };
    let nonce = random::<NONCE_LEN>()?;
    let mut sealed = plaintext.to_vec();
    cipher(material)
        .and_then(|cipher| {
            let aad = Aad::from(authenticated(key_id, context));
            cipher.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).ok()
        })
        .ok_or_else(failed)?;
    let length = u8::try_from(key_id.len()).map_err(|_| failed())?;
    Ok([&[FORMAT, length], key_id.as_bytes(), &nonce, &sealed].concat())
}

/// Decrypts; none if the ciphertext or the encryption context is another one.
pub(super) fn open(material: &Material, context: &BTreeMap<String, String>, blob: &[u8]) -> Option<Vec<u8>> {
    let Parts { key_id, nonce, sealed } = Parts::of(blob)?;
    let mut opened = sealed.to_vec();
    let aad = Aad::from(authenticated(key_id, context));
    let plaintext = cipher(material)?.open_in_place(Nonce::assume_unique_for_key(nonce), aad, &mut opened).ok()?;
    Some(plaintext.to_vec())
}

fn cipher(material: &Material) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, &material.0).ok().map(LessSafeKey::new)
}

/// What a ciphertext is bound to: each text with its length before it, so that no two contexts are alike.
fn authenticated(key_id: &str, context: &BTreeMap<String, String>) -> Vec<u8> {
    let texts = std::iter::once(key_id).chain(context.iter().flat_map(|(name, value)| [name.as_str(), value]));
    let mut bytes = vec![FORMAT];
    for text in texts {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}
