//! Values sealed at rest: one attribute of one item, or the body of one queue message, under a data key of an app.
//!
//! A sealed value is `1 | version (4, big endian) | IV (16) | ciphertext | tag (32)`, by A256CBC-HS512. What it is
//! authenticated with names the place where it stands ([`Place`]), so that a value that was moved is refused like one
//! that was changed. The IV is synthetic: a keyed hash of place and plaintext. So one value at one place has one sealed
//! form under one key, which conditional writes compare, and no failure of a random source can repeat an IV for
//! another value.

use zeroize::Zeroizing;

use crate::cbc_hmac::{A256CbcHs512, Sealed};
use crate::keys::expand;
use crate::mac::hmac_sha256;

/// Bytes of a data key.
pub const KEY_BYTES: usize = 64;

const FORMAT: u8 = 1;
const HEADER: usize = 5;
const IV: usize = 16;
const TAG: usize = 32;

/// The value was changed, cut, moved, or sealed under a key that is not there. Nothing distinguishes these cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed value is refused")]
pub struct Refused;

/// Where a sealed value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The app whose key seals it.
    pub app: &'a str,
    /// The family of items, or the purpose of the queue.
    pub family: &'a str,
    /// The partition key of the item, as it is stored; empty for a queue.
    pub partition: &'a str,
    /// The sort key of the item; empty if the table has none.
    pub sort: &'a str,
    /// The attribute; empty for a queue.
    pub attribute: &'a str,
    /// The id of the message in the item, if the item is about one.
    pub id: &'a str,
}

impl Place<'_> {
    /// The header of the value, then every part behind its length: no two places share their bytes.
    fn authenticated(&self, header: &[u8; HEADER]) -> Vec<u8> {
        let parts = [self.app, self.family, self.partition, self.sort, self.attribute, self.id];
        let mut bytes = header.to_vec();
        bytes.extend(joined(&parts));
        bytes
    }
}

/// Texts, each behind its length in four bytes.
pub(crate) fn joined(parts: &[&str]) -> Vec<u8> {
    let length = |part: &str| u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes();
    parts.iter().flat_map(|part| length(part).into_iter().chain(part.bytes())).collect()
}

/// A key that seals values.
#[derive(Clone)]
pub(crate) struct DataKey {
    sealing: Zeroizing<[u8; KEY_BYTES]>,
    iv: Zeroizing<[u8; 32]>,
}

impl DataKey {
    pub(crate) fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self { sealing: Zeroizing::new(*key), iv: Zeroizing::new(expand(key, "tidings/1/sealed/iv")) }
    }

    /// Seals a value for its place.
    pub(crate) fn seal(&self, version: u32, place: &Place<'_>, plain: &[u8]) -> Vec<u8> {
        let header = header(version);
        let authenticated = place.authenticated(&header);
        let iv = self.synthetic_iv(&authenticated, plain);
        let Some(sealed) = A256CbcHs512::seal(&*self.sealing, &iv, &authenticated, plain) else {
            unreachable!("the key has the length of this cipher")
        };
        [header.as_slice(), &iv, &sealed.ciphertext, &sealed.tag].concat()
    }

    /// Opens what [`Self::seal`] has made for this place.
    pub(crate) fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Refused> {
        let version = version(sealed).ok_or(Refused)?;
        let (iv, rest) = sealed.get(HEADER..).and_then(|rest| rest.split_first_chunk::<IV>()).ok_or(Refused)?;
        let (ciphertext, tag) = rest.split_last_chunk::<TAG>().ok_or(Refused)?;
        let sealed = Sealed { ciphertext: ciphertext.to_vec(), tag: tag.to_vec() };
        let authenticated = place.authenticated(&header(version));
        A256CbcHs512::open(&*self.sealing, iv, &authenticated, &sealed).map(Zeroizing::new).ok_or(Refused)
    }

    fn synthetic_iv(&self, authenticated: &[u8], plain: &[u8]) -> [u8; IV] {
        let length = u64::try_from(authenticated.len()).unwrap_or(u64::MAX).to_be_bytes();
        let input = Zeroizing::new([length.as_slice(), authenticated, plain].concat());
        let code = hmac_sha256(&*self.iv, &input);
        let mut iv = [0; IV];
        iv.copy_from_slice(&code[..IV]);
        iv
    }
}

fn header(version: u32) -> [u8; HEADER] {
    let [a, b, c, d] = version.to_be_bytes();
    [FORMAT, a, b, c, d]
}

/// The version of the key under which a value is sealed, or `None` if it does not begin like one.
pub(crate) fn version(sealed: &[u8]) -> Option<u32> {
    let (header, _) = sealed.split_first_chunk::<HEADER>()?;
    let [FORMAT, version @ ..] = *header else { return None };
    Some(u32::from_be_bytes(version))
}
