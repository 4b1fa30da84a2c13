//! Checks of the members that several operations have.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::protocol::{Code, Refusal, Request, invalid, refused, required};

/// The most bytes of a plaintext.
pub(super) const PLAINTEXT_BYTES: usize = 4_096;
/// The most bytes of a ciphertext.
const CIPHERTEXT_BYTES: usize = 6_144;
/// The most bytes of all names and values of an encryption context together.
pub(super) const CONTEXT_BYTES: usize = 8_192;
/// The most grant tokens of a request.
const GRANT_TOKENS: usize = 10;
/// The longest reference to a key.
const KEY_ID_CHARS: usize = 2_048;

/// The only algorithm of symmetric keys.
pub(super) const ALGORITHM: &str = "SYMMETRIC_DEFAULT";

/// Refuses what no operation takes.
pub(super) fn request(request: &Request) -> Result<(), Refusal> {
    if request.dry_run || request.recipient.is_some() {
        let member = if request.dry_run { "DryRun" } else { "Recipient" };
        return refused(Code::UnsupportedOperation, format!("the local twin has no {member}"));
    }
    for context in
        [&request.encryption_context, &request.source_encryption_context, &request.destination_encryption_context]
    {
        encryption_context(context)?;
    }
    let algorithms = [
        &request.encryption_algorithm,
        &request.source_encryption_algorithm,
        &request.destination_encryption_algorithm,
    ];
    if let Some(other) = algorithms.into_iter().flatten().find(|algorithm| *algorithm != ALGORITHM) {
        let message = format!("Algorithm {other} is incompatible with key spec {ALGORITHM}.");
        return refused(Code::InvalidKeyUsage, message);
    }
    if request.grant_tokens.len() > GRANT_TOKENS {
        return invalid(None, "grantTokens", &format!("have length less than or equal to {GRANT_TOKENS}"));
    }
    let references = [&request.key_id, &request.source_key_id, &request.destination_key_id, &request.target_key_id];
    match references.into_iter().flatten().find(|reference| reference.len() > KEY_ID_CHARS) {
        Some(_) => invalid(None, "keyId", &format!("have length less than or equal to {KEY_ID_CHARS}")),
        None => Ok(()),
    }
}

fn encryption_context(context: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if context.contains_key("") {
        return invalid(None, "encryptionContext", "have keys with length greater than or equal to 1");
    }
    match context.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() {
        ..=CONTEXT_BYTES => Ok(()),
        _ => invalid(None, "encryptionContext", &format!("have length less than or equal to {CONTEXT_BYTES}")),
    }
}

/// The bytes to encrypt.
pub(super) fn plaintext(request: &Request) -> Result<Vec<u8>, Refusal> {
    bytes(request.plaintext.as_deref(), "plaintext", PLAINTEXT_BYTES)
}

/// The bytes to decrypt.
pub(super) fn ciphertext(request: &Request) -> Result<Vec<u8>, Refusal> {
    bytes(request.ciphertext_blob.as_deref(), "ciphertextBlob", CIPHERTEXT_BYTES)
}

fn bytes(base64: Option<&str>, member: &str, most: usize) -> Result<Vec<u8>, Refusal> {
    let Ok(bytes) = STANDARD.decode(required(base64, member)?) else {
        return refused(Code::Serialization, format!("{member} is not base64"));
    };
    match bytes.len() {
        length if length > most => invalid(None, member, &format!("have length less than or equal to {most}")),
        _ => Ok(bytes),
    }
}

/// The length of a data key, in bytes.
pub(super) fn data_key_bytes(request: &Request) -> Result<usize, Refusal> {
    match (request.key_spec.as_deref(), request.number_of_bytes) {
        (Some("AES_256"), None) => Ok(32),
        (Some("AES_128"), None) => Ok(16),
        (Some(other), None) => invalid(Some(other), "keySpec", "satisfy enum value set: [AES_256, AES_128]"),
        (None, Some(number)) => match usize::try_from(number) {
            Ok(bytes @ 1..=1_024) => Ok(bytes),
            Ok(1_025..) => invalid(Some(&number.to_string()), "numberOfBytes", "have value less than or equal to 1024"),
            _ => invalid(Some(&number.to_string()), "numberOfBytes", "have value greater than or equal to 1"),
        },
        (Some(_), Some(_)) | (None, None) => {
            refused(Code::Validation, "Please specify either number of bytes or key spec.")
        }
    }
}
