//! Base64url without padding (RFC 4648 §5), and digests that stand for longer text.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};

pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    // Browsers and tools write padding at times.
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// SHA-256 of a text as 43 characters of base64url: the same text always has the same one.
pub(crate) fn hashed(text: &str) -> String {
    base64url(digest(&SHA256, text.as_bytes()).as_ref())
}
