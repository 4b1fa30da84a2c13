//! The operations that use a key.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::blob;
use super::checks::{ALGORITHM, ciphertext, data_key_bytes, plaintext};
use super::protocol::{Code, Refusal, Request, refused, required};
use super::stored::{Key, Material, Stored, arn, random};
use super::{Kms, grants};

impl Kms {
    pub(super) fn encrypt(&self, request: &Request) -> Result<Value, Refusal> {
        let plaintext = plaintext(request)?;
        let stored = self.stored();
        grants::check_tokens(&stored, request)?;
        let (id, material) = usable(&stored, required(request.key_id.as_deref(), "keyId")?)?;
        let blob = blob::seal(&id, material, &request.encryption_context, &plaintext)?;
        Ok(json!({"CiphertextBlob": STANDARD.encode(blob), "KeyId": arn(&id), "EncryptionAlgorithm": ALGORITHM}))
    }

    pub(super) fn decrypt(&self, request: &Request) -> Result<Value, Refusal> {
        let blob = ciphertext(request)?;
        let stored = self.stored();
        grants::check_tokens(&stored, request)?;
        let (id, plaintext) = opened(&stored, &blob, request.key_id.as_deref(), &request.encryption_context)?;
        Ok(json!({"Plaintext": STANDARD.encode(plaintext), "KeyId": arn(&id), "EncryptionAlgorithm": ALGORITHM}))
    }

    pub(super) fn re_encrypt(&self, request: &Request) -> Result<Value, Refusal> {
        let blob = ciphertext(request)?;
        let stored = self.stored();
        grants::check_tokens(&stored, request)?;
        let (source, plaintext) =
            opened(&stored, &blob, request.source_key_id.as_deref(), &request.source_encryption_context)?;
        let destination = required(request.destination_key_id.as_deref(), "destinationKeyId")?;
        let (id, material) = usable(&stored, destination)?;
        let blob = blob::seal(&id, material, &request.destination_encryption_context, &plaintext)?;
        Ok(json!({
            "CiphertextBlob": STANDARD.encode(blob),
            "SourceKeyId": arn(&source),
            "KeyId": arn(&id),
            "SourceEncryptionAlgorithm": ALGORITHM,
            "DestinationEncryptionAlgorithm": ALGORITHM,
        }))
    }

    pub(super) fn generate_data_key(&self, request: &Request) -> Result<Value, Refusal> {
        let (plaintext, mut answer) = self.data_key(request)?;
        answer["Plaintext"] = STANDARD.encode(plaintext).into();
        Ok(answer)
    }

    pub(super) fn generate_data_key_without_plaintext(&self, request: &Request) -> Result<Value, Refusal> {
        self.data_key(request).map(|(_, answer)| answer)
    }

    /// A data key, and the answer with its ciphertext.
    fn data_key(&self, request: &Request) -> Result<(Vec<u8>, Value), Refusal> {
        let key_id = required(request.key_id.as_deref(), "keyId")?;
        let length = data_key_bytes(request)?;
        let stored = self.stored();
        grants::check_tokens(&stored, request)?;
        let (id, material) = usable(&stored, key_id)?;
        let mut plaintext = vec![0; length];
        for part in plaintext.chunks_mut(DRAWN) {
            part.copy_from_slice(&random::<DRAWN>()?[..part.len()]);
        }
        let blob = blob::seal(&id, material, &request.encryption_context, &plaintext)?;
        let answer = json!({"CiphertextBlob": STANDARD.encode(blob), "KeyId": arn(&id)});
        Ok((plaintext, answer))
    }
}

/// How many bytes of a data key are drawn at once.
const DRAWN: usize = 32;

/// A key that is enabled.
fn usable<'s>(stored: &'s Stored, reference: &str) -> Result<(String, &'s Material), Refusal> {
    let (id, key) = stored.find(reference)?;
    Ok((id.clone(), material(&id, key)?))
}

fn material<'s>(id: &str, key: &'s Key) -> Result<&'s Material, Refusal> {
    key.check_enabled(id)?;
    match &key.material {
        Some(material) => Ok(material),
        None => refused(Code::NotFound, format!("Key '{}' does not exist", arn(id))),
    }
}

/// The plaintext of a ciphertext, with the id of its key. `expected` is the key that the request names.
fn opened(
    stored: &Stored,
    blob: &[u8],
    expected: Option<&str>,
    context: &BTreeMap<String, String>,
) -> Result<(String, Vec<u8>), Refusal> {
    let expected = expected.map(|reference| stored.find(reference)).transpose()?;
    let Some(id) = blob::key_of(blob) else { return refused(Code::InvalidCiphertext, "") };
    if let Some((expected, key)) = expected
        && expected != id
    {
        key.check_enabled(&expected)?;
        let message = "The key ID in the request does not identify a CMK that can perform this operation.";
        return refused(Code::IncorrectKey, message);
    }
    let Some(key) = stored.keys.get(id).filter(|key| !key.is_gone()) else {
        return refused(
            Code::AccessDenied,
            "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or \
             you are not allowed to access.",
        );
    };
    match blob::open(material(id, key)?, context, blob) {
        Some(plaintext) => Ok((id.to_owned(), plaintext)),
        None => refused(Code::InvalidCiphertext, ""),
    }
}
