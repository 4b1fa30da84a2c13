//! Identifiers in the forms of AWS. They have to be unique only within one twin.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use md5::{Digest, Md5};

/// The account id of the twin.
pub const ACCOUNT_ID: &str = "000000000000";

/// Random bytes for an identifier.
pub(crate) fn chance<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        // No two identifiers of the same kind are made in the same nanosecond.
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_le_bytes();
        for (byte, nano) in bytes.iter_mut().zip(nanos) {
            *byte = nano;
        }
    }
    bytes
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The suffix that Secrets Manager adds to the name of a secret in its ARN. AWS draws six random characters; here they
/// are derived from the name, so that they need not be stored.
pub(crate) fn secret_suffix(name: &str) -> String {
    hexadecimal(&Md5::digest(name)[..3])
}

/// A random UUID, as the request ids of Lambda and the message ids of SQS are.
#[must_use]
pub fn uuid() -> String {
    uuid_of(chance())
}

/// The UUID of these bytes.
pub(crate) fn uuid_of(mut bytes: [u8; 16]) -> String {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = hexadecimal(&bytes);
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

/// An id in the form of API Gateway's own for requests, messages and connections: `L0SM9cOFvHcCIhw=`.
pub(crate) fn gateway_id() -> String {
    URL_SAFE.encode(chance::<11>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_look_like_those_of_aws() {
        let id = gateway_id();
        assert_eq!(id.len(), 16);
        assert!(id.ends_with('='));
        assert_ne!(id, gateway_id());
        let uuid = uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(uuid.as_bytes()[14], b'4');
    }
}
