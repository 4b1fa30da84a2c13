//! A sealed frame: JWE in compact form (RFC 7516) with `alg: dir` and `enc: A256CBC-HS512` (RFC 7518 §5.2.5).
//!
//! Any JOSE library opens it with the device's content key. There is one algorithm and no negotiation: a header that
//! asks for anything else is refused.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cbc_hmac::{A256CbcHs512, Sealed};
use crate::encoding;
use crate::random::{self, RandomError};

/// The key management algorithm of every frame: the shared key is used directly.
pub const ALGORITHM: &str = "dir";
/// The content encryption algorithm of every frame.
pub const ENCRYPTION: &str = "A256CBC-HS512";

/// The key under which frames to one device are sealed: 32 bytes to authenticate, 32 to encrypt.
#[derive(Clone)]
pub struct ContentKey(Zeroizing<[u8; 64]>);

impl ContentKey {
    /// Takes the key's bytes.
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The frame was refused. The error gives no reason on purpose: an attacker must not learn whether the key, the header,
/// the encoding or the tag was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the frame cannot be opened")]
pub struct OpenError;

/// `deny_unknown_fields` refuses what this code does not implement and must not ignore: `zip`, `crit`, embedded keys.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    enc: String,
    kid: String,
}

/// Seals `plaintext` for the device that holds `key`. An IV must never be used twice under one key; use [`seal_random`]
/// unless the value has to be reproducible.
pub fn seal(key: &ContentKey, kid: &str, plaintext: &[u8], iv: [u8; 16]) -> String {
    // Written by hand: three members whose order and spelling are part of what is authenticated.
    let header = format!(r#"{{"alg":"{ALGORITHM}","enc":"{ENCRYPTION}","kid":{}}}"#, serde_json::Value::from(kid));
    let protected = encoding::base64url(header.as_bytes());
    let sealed = A256CbcHs512::seal(key.as_bytes(), &iv, protected.as_bytes(), plaintext);
    let Some(Sealed { ciphertext, tag }) = sealed else {
        unreachable!("a content key has 64 bytes by its type, the length of A256CBC-HS512")
    };
    // The second part is the encrypted key, which `dir` leaves empty.
    format!(
        "{protected}..{}.{}.{}",
        encoding::base64url(&iv),
        encoding::base64url(&ciphertext),
        encoding::base64url(&tag)
    )
}

/// [`seal`] with a fresh IV from the operating system.
///
/// # Errors
/// If the operating system has no randomness to give.
pub fn seal_random(key: &ContentKey, kid: &str, plaintext: &[u8]) -> Result<String, RandomError> {
    Ok(seal(key, kid, plaintext, random::bytes()?))
}

/// Opens a frame that was sealed under `key` and names `kid`.
///
/// # Errors
/// [`OpenError`] for everything: another key, another `kid`, another algorithm, an unknown header member, a changed,
/// missing or additional character.
pub fn open(key: &ContentKey, kid: &str, frame: &str) -> Result<Vec<u8>, OpenError> {
    parse(frame)
        .filter(|parts| parts.header.kid == kid)
        .and_then(|parts| A256CbcHs512::open(key.as_bytes(), &parts.iv, parts.protected.as_bytes(), &parts.sealed))
        .ok_or(OpenError)
}

/// The `kid` that a frame names, to choose the key with which to try it. Unauthenticated until [`open`] succeeds.
/// `None` if the text is not a frame, for example an error in clear from API Gateway itself.
pub fn key_id(frame: &str) -> Option<String> {
    parse(frame).map(|parts| parts.header.kid)
}

struct Parts<'a> {
    header: Header,
    protected: &'a str,
    iv: [u8; 16],
    sealed: Sealed,
}

fn parse(frame: &str) -> Option<Parts<'_>> {
    let mut parts = frame.split('.');
    let (protected, key, iv, ciphertext, tag) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !key.is_empty() {
        return None;
    }
    let header: Header = encoding::decode_object(protected)?;
    if header.alg != ALGORITHM || header.enc != ENCRYPTION {
        return None;
    }
    let sealed = Sealed { ciphertext: encoding::from_base64url(ciphertext)?, tag: encoding::from_base64url(tag)? };
    Some(Parts { header, protected, iv: encoding::from_base64url(iv)?.try_into().ok()?, sealed })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KID: &str = "device-1.1.0.enc";

    fn key(seed: u8) -> ContentKey {
        ContentKey::from_bytes(std::array::from_fn(|i| seed.wrapping_add(i as u8)))
    }

    fn with_header(header: &str) -> String {
        let protected = encoding::base64url(header.as_bytes());
        let Sealed { ciphertext, tag } =
            A256CbcHs512::seal(key(1).as_bytes(), &[9; 16], protected.as_bytes(), b"hello").unwrap();
        let encode = encoding::base64url;
        format!("{protected}..{}.{}.{}", encode(&[9; 16]), encode(&ciphertext), encode(&tag))
    }

    #[test]
    fn every_length_comes_back() {
        for length in 0..=200 {
            let plaintext: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let frame = seal(&key(1), KID, &plaintext, [length as u8; 16]);
            assert_eq!(open(&key(1), KID, &frame).unwrap(), plaintext);
            assert_eq!(key_id(&frame).as_deref(), Some(KID));
        }
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_refused() {
        let frame = seal(&key(1), KID, br#"{"type":"message","id":"m-1"}"#, [3; 16]);
        for position in 0..frame.len() {
            for bit in 0..7 {
                let mut bytes = frame.clone().into_bytes();
                bytes[position] ^= 1 << bit;
                let changed = String::from_utf8(bytes).unwrap();
                assert_eq!(open(&key(1), KID, &changed), Err(OpenError), "byte {position} bit {bit}");
            }
        }
    }

    #[test]
    fn every_other_character_at_every_place_is_refused() {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=";
        let frame = seal(&key(1), KID, b"x", [3; 16]);
        for position in 0..frame.len() {
            for &other in ALPHABET.iter().filter(|&&c| c != frame.as_bytes()[position]) {
                let mut bytes = frame.clone().into_bytes();
                bytes[position] = other;
                assert_eq!(open(&key(1), KID, std::str::from_utf8(&bytes).unwrap()), Err(OpenError));
            }
        }
    }

    #[test]
    fn shortened_and_lengthened_frames_are_refused() {
        let frame = seal(&key(1), KID, b"hello", [3; 16]);
        for end in 0..frame.len() {
            assert_eq!(open(&key(1), KID, &frame[..end]), Err(OpenError));
        }
        for tail in ["A", ".", "=", " ", "\n", "AAAA"] {
            assert_eq!(open(&key(1), KID, &format!("{frame}{tail}")), Err(OpenError));
        }
    }

    #[test]
    fn another_key_or_another_device_gets_the_same_refusal() {
        let frame = seal(&key(1), KID, b"hello", [3; 16]);
        assert_eq!(open(&key(2), KID, &frame), Err(OpenError));
        assert_eq!(open(&key(1), "device-2.1.0.enc", &frame), Err(OpenError));
        assert_eq!(open(&key(1), "", r#"{"message": "Internal server error"}"#), Err(OpenError));
    }

    #[test]
    fn headers_that_ask_for_anything_else_are_refused_though_authentic() {
        let plain = r#"{"alg":"dir","enc":"A256CBC-HS512","kid":"device-1.1.0.enc"}"#;
        assert_eq!(open(&key(1), KID, &with_header(plain)).unwrap(), b"hello");
        for header in [
            r#"{"alg":"none","enc":"A256CBC-HS512","kid":"device-1.1.0.enc"}"#,
            r#"{"alg":"dir","enc":"A128CBC-HS256","kid":"device-1.1.0.enc"}"#,
            r#"{"alg":"dir","enc":"A256CBC-HS512"}"#,
            r#"{"alg":"dir","enc":"A256CBC-HS512","kid":"device-1.1.0.enc","zip":"DEF"}"#,
            r#"{"alg":"dir","enc":"A256CBC-HS512","kid":"device-1.1.0.enc","crit":["exp"]}"#,
            r#"{"alg":"dir","alg":"dir","enc":"A256CBC-HS512","kid":"device-1.1.0.enc"}"#,
            r#"["dir","A256CBC-HS512","device-1.1.0.enc"]"#,
            "",
        ] {
            assert_eq!(open(&key(1), KID, &with_header(header)), Err(OpenError), "{header}");
        }
    }

    #[test]
    fn a_fresh_iv_each_time_and_no_key_in_debug() {
        let (one, two) = (seal_random(&key(1), KID, b"x").unwrap(), seal_random(&key(1), KID, b"x").unwrap());
        assert_ne!(one, two);
        assert_eq!(format!("{:?}", key(1)), "***");
    }
}
