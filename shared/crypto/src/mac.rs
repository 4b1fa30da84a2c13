//! HMAC-SHA-256 (RFC 2104), under which tokens and links are signed.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The code of `input` under `key`.
#[must_use]
pub fn hmac_sha256(key: &[u8], input: &[u8]) -> [u8; 32] {
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else { unreachable!("HMAC takes a key of any length") };
    mac.chain_update(input).finalize().into_bytes().into()
}

/// Whether `code` is that of `input` under `key`, in constant time.
pub(crate) fn is_hmac_sha256(key: &[u8], input: &[u8], code: &[u8]) -> bool {
    hmac_sha256(key, input).as_slice().ct_eq(code).into()
}
