//! Encrypted payloads: RFC 8291 over `aes128gcm` of RFC 8188, as one record.

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom, SystemRandom};

use crate::push::Invalid;

/// The record size in the header, and the largest body: what every push service accepts (RFC 8291 §4).
pub const RECORD_BYTES: usize = 4096;
/// Salt, record size, length of the key id, and the key id, which is a public key.
const HEADER_BYTES: usize = 16 + 4 + 1 + 65;
/// The longest plaintext: a record less its header, its last delimiter and its tag.
pub const PLAINTEXT_BYTES: usize = RECORD_BYTES - HEADER_BYTES - 1 - 16;

/// The delimiter of the last record (RFC 8188 §2).
const LAST: u8 = 2;

/// The fresh values of each message: a key pair and a salt.
#[derive(Debug)]
pub struct Message {
    key: EphemeralPrivateKey,
    salt: [u8; 16],
}

impl Message {
    /// Fresh values from the system's randomness.
    ///
    /// # Errors
    /// [`Invalid::NoRandomness`] if the operating system has none to give.
    pub fn new() -> Result<Self, Invalid> {
        let random = SystemRandom::new();
        let mut salt = [0; 16];
        random.fill(&mut salt).map_err(|_| Invalid::NoRandomness)?;
        let key = EphemeralPrivateKey::generate(&ECDH_P256, &random).map_err(|_| Invalid::NoRandomness)?;
        Ok(Self { key, salt })
    }

    /// Encrypts at most [`PLAINTEXT_BYTES`] for a browser.
    ///
    /// # Errors
    /// [`Invalid::Unspeakable`] if `p256dh` is not a point on the curve, [`Invalid::TooLarge`] if the plaintext is too
    /// long.
    pub fn encrypt(self, p256dh: &[u8; 65], auth: &[u8; 16], plaintext: &[u8]) -> Result<Vec<u8>, Invalid> {
        let Self { key, salt } = self;
        let public = key.compute_public_key().map_err(|_| Invalid::NoRandomness)?;
        let browser = UnparsedPublicKey::new(&ECDH_P256, p256dh);
        let agreed = agree_ephemeral(key, &browser, |secret| {
            let parties = Parties { browser: p256dh, server: public.as_ref() };
            seal(secret, &parties, auth, &salt, plaintext)
        });
        agreed.map_err(|_| Invalid::Unspeakable)?
    }
}

/// Whether 65 bytes are an uncompressed point of P-256. `ring` checks a point only in a key agreement, so one is made.
pub(crate) fn is_point(bytes: &[u8; 65]) -> bool {
    let Ok(key) = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()) else { return false };
    agree_ephemeral(key, &UnparsedPublicKey::new(&ECDH_P256, bytes), |_| ()).is_ok()
}

/// The public keys of both parties.
struct Parties<'a> {
    browser: &'a [u8],
    server: &'a [u8],
}

/// The body for an agreed secret. A separate function, because the vector of the RFC gives that secret, and the rest of
/// the crate cannot import the private key behind it: `ring` makes keys for one use only.
fn seal(
    secret: &[u8],
    parties: &Parties<'_>,
    auth: &[u8; 16],
    salt: &[u8; 16],
    plaintext: &[u8],
) -> Result<Vec<u8>, Invalid> {
    if plaintext.len() > PLAINTEXT_BYTES {
        return Err(Invalid::TooLarge { bytes: plaintext.len(), limit: PLAINTEXT_BYTES });
    }
    let (key, nonce) = derive(secret, parties, auth, salt).ok_or(Invalid::Unspeakable)?;
    let mut record = [plaintext, &[LAST]].concat();
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record).map_err(|_| Invalid::Unspeakable)?;
    let mut body = Vec::with_capacity(HEADER_BYTES + record.len());
    body.extend_from_slice(salt);
    body.extend_from_slice(&(RECORD_BYTES as u32).to_be_bytes());
    body.push(65);
    body.extend_from_slice(parties.server);
    body.append(&mut record);
    Ok(body)
}

/// Content key and nonce (RFC 8291 §3.4).
fn derive(secret: &[u8], parties: &Parties<'_>, auth: &[u8; 16], salt: &[u8; 16]) -> Option<(LessSafeKey, Nonce)> {
    let info: [&[u8]; 3] = [b"WebPush: info\0", parties.browser, parties.server];
    let keying: [u8; 32] = expand(auth, secret, &info)?;
    let key: [u8; 16] = expand(salt, &keying, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; 12] = expand(salt, &keying, &[b"Content-Encoding: nonce\0"])?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?);
    Some((key, Nonce::assume_unique_for_key(nonce)))
}

/// HKDF-SHA-256 (RFC 5869).
fn expand<const N: usize>(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Option<[u8; N]> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = [0; N];
    let pseudo_random = Salt::new(HKDF_SHA256, salt).extract(secret);
    pseudo_random.expand(info, Length(N)).ok()?.fill(&mut out).ok()?;
    Some(out)
}

/// Opens a body, as a browser does.
#[cfg(test)]
pub(super) fn open(key: EphemeralPrivateKey, auth: &[u8; 16], body: &[u8]) -> Option<Vec<u8>> {
    let browser = key.compute_public_key().ok()?;
    let (salt, server): (&[u8; 16], _) = (body[..16].try_into().ok()?, &body[21..HEADER_BYTES]);
    let agreed = agree_ephemeral(key, &UnparsedPublicKey::new(&ECDH_P256, server), |secret| {
        derive(secret, &Parties { browser: browser.as_ref(), server }, auth, salt)
    });
    let (key, nonce) = agreed.ok()??;
    let mut record = body[HEADER_BYTES..].to_vec();
    let plain = key.open_in_place(nonce, Aad::empty(), &mut record).ok()?;
    plain.strip_suffix(&[LAST]).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use tidings_crypto::encoding::{base64url, from_base64url};

    use super::*;

    /// RFC 8291 Appendix A: everything from the agreed secret on.
    #[test]
    fn the_vector_of_rfc_8291() {
        let bytes = |text| from_base64url(text).unwrap();
        let secret = bytes("kyrL1jIIOHEzg3sM2ZWRHDRB62YACZhhSlknJ672kSs");
        let server = bytes("BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8");
        let browser = bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4");
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap();
        let auth = bytes("BTBZMqHH6r4Tts7J_aSIgg").try_into().unwrap();
        let plaintext = b"When I grow up, I want to be a watermelon";
        let parties = Parties { browser: &browser, server: &server };
        let body = seal(&secret, &parties, &auth, &salt, plaintext).unwrap();
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6T\
                        lzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4\
                        a-fN";
        assert_eq!(base64url(&body), expected);
    }

    #[test]
    fn the_longest_plaintext_fills_a_record() {
        let key = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
        let public: [u8; 65] = key.compute_public_key().unwrap().as_ref().try_into().unwrap();
        let long = vec![b'x'; PLAINTEXT_BYTES];
        let body = Message::new().unwrap().encrypt(&public, &[1; 16], &long).unwrap();
        assert_eq!(body.len(), RECORD_BYTES);
        assert_eq!(open(key, &[1; 16], &body).unwrap(), long);
        let longer = vec![b'x'; PLAINTEXT_BYTES + 1];
        let refused = Message::new().unwrap().encrypt(&public, &[1; 16], &longer);
        assert_eq!(refused, Err(Invalid::TooLarge { bytes: 3994, limit: 3993 }));
    }
}
