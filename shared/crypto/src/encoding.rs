//! base64url as JOSE wants it: no padding, and strict.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Refuses padding, other alphabets and stray trailing bits, so that every value has exactly one spelling: a frame or a
/// token with any character changed is another frame, never the same one written differently.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A JOSE header or claims set: base64url of a JSON object. Checked by its first byte, because serde would also read a
/// struct from an array, which no other JOSE library does.
pub(crate) fn decode_object<T: DeserializeOwned>(text: &str) -> Option<T> {
    let json = decode(text).filter(|json| json.first() == Some(&b'{'))?;
    serde_json::from_slice(&json).ok()
}
