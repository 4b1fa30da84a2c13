//! Encryption, signatures and key derivation of Tidings.
//!
//! | module | holds |
//! | --- | --- |
//! | [`frame`] | one sealed frame: JWE compact, `dir` + `A256CBC-HS512` |
//! | [`keys`] | the root keys of a deployment and the two keys of every device |
//! | [`keyring`], [`sealed`] | the keys of an app for what is sealed at rest: values, names in keys, hashes |
//! | [`jws`] | signed tokens of every kind: HS256, ES256, RS256; those of the push providers too |
//! | [`token`] | the connect token that a device signs for itself |
//! | [`app_key`] | the key with which a backend sends |
//! | [`link`] | links that a person may follow without logging in |
//! | [`jwk`] | a device's key as it travels once, in the answer to registration |
//! | [`mac`] | HMAC-SHA-256, under which tokens and links are signed |
//! | [`encoding`] | base64url, hexadecimal, percent-encoding |
//! | [`random`] | the only source of randomness; everything else takes it as an argument |
//!
//! Nothing here reads a clock, the environment or the network. Secrets are wiped when dropped and print as `***`.
//!
//! ```
//! use tidings_crypto::{frame, keys::{KeyId, RootKeys}};
//!
//! let root = RootKeys::parse(r#"{"1":"a secret of at least thirty-two characters"}"#)?;
//! let id = KeyId::content("device-1", root.current(), 0);
//! let (key, kid) = (root.content_key("demo", &id)?, id.to_string());
//!
//! let sealed = frame::seal(&key, &kid, br#"{"type":"pong"}"#, [7; 16]);
//! assert_eq!(frame::open(&key, &kid, &sealed)?, br#"{"type":"pong"}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod app_key;
mod cbc_hmac;
pub mod encoding;
pub mod frame;
pub mod jwk;
pub mod jws;
pub mod keyring;
pub mod keys;
pub mod link;
pub mod mac;
pub mod random;
pub mod sealed;
pub mod token;
