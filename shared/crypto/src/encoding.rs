//! base64url without padding (RFC 4648 §5), as JOSE and Web Push write it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;

/// Bytes as base64url.
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of a text, or `None` if the text is not their one spelling: padding, other alphabets and stray trailing
/// bits are refused. A frame or a token with any character changed is thus another one, never the same one spelt
/// differently.
#[must_use]
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// [`from_base64url`] for text that people and browsers write: it may end in padding.
#[must_use]
pub fn from_base64url_or_padded(text: &str) -> Option<Vec<u8>> {
    from_base64url(text.trim_end_matches('='))
}

/// A JOSE header or claims set: base64url of a JSON object. Checked by its first byte, because serde would also read a
/// struct from an array, which no other JOSE library does.
pub(crate) fn decode_object<T: DeserializeOwned>(text: &str) -> Option<T> {
    let json = from_base64url(text).filter(|json| json.first() == Some(&b'{'))?;
    serde_json::from_slice(&json).ok()
}
