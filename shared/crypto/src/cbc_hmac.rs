//! `AES_CBC_HMAC_SHA2` of RFC 7518 §5.2: AES-CBC with PKCS#7, then HMAC over AAD, IV, ciphertext and the AAD's length.
//!
//! Tidings seals with the 256/512 member only ([`A256CbcHs512`]). The code is generic over cipher and hash because that
//! lets the RFC's vectors for the other two members test the same lines.

use std::marker::PhantomData;

use aes::Aes256;
use cbc::cipher::array::ArraySize;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit};
use hmac::{Hmac, Mac};
use sha2::Sha512;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The one that frames use.
pub(crate) type A256CbcHs512 = CbcHmac<Aes256, Hmac<Sha512>>;

/// One member of the family: a block cipher and a keyed hash.
pub(crate) struct CbcHmac<C, M>(PhantomData<(C, M)>);

/// Ciphertext and authentication tag.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) tag: Vec<u8>,
}

impl<C, M> CbcHmac<C, M>
where
    C: BlockCipherEncrypt + BlockCipherDecrypt + KeyInit,
    C::BlockSize: ArraySize,
    M: Mac + KeyInit,
{
    /// `None` if the key does not have the length of this member. The first half of the key authenticates, the
    /// second half encrypts (RFC 7518 §5.2.2.1).
    pub(crate) fn seal(key: &[u8], iv: &[u8; 16], aad: &[u8], plaintext: &[u8]) -> Option<Sealed> {
        let (mac_key, cipher_key) = key.split_at(key.len() / 2);
        let cipher = cbc::Encryptor::<C>::new_from_slices(cipher_key, iv).ok()?;
        let ciphertext = cipher.encrypt_padded_vec::<Pkcs7>(plaintext);
        let tag = Self::tag(mac_key, iv, aad, &ciphertext)?;
        Some(Sealed { ciphertext, tag })
    }

    /// The plaintext, or `None` for any fault. The tag is compared first, in constant time, and nothing is decrypted
    /// before, so the padding cannot serve as an oracle.
    /// constant time, so the padding cannot serve as an oracle.
    pub(crate) fn open(key: &[u8], iv: &[u8; 16], aad: &[u8], sealed: &Sealed) -> Option<Vec<u8>> {
        let (mac_key, cipher_key) = key.split_at(key.len() / 2);
        let expected = Self::tag(mac_key, iv, aad, &sealed.ciphertext)?;
        if !bool::from(expected.as_slice().ct_eq(&sealed.tag)) {
            return None;
        }
        let cipher = cbc::Decryptor::<C>::new_from_slices(cipher_key, iv).ok()?;
        cipher.decrypt_padded_vec::<Pkcs7>(&sealed.ciphertext).ok()
    }

    fn tag(mac_key: &[u8], iv: &[u8; 16], aad: &[u8], ciphertext: &[u8]) -> Option<Vec<u8>> {
        // A hash accepts a key of any length, so the length is checked here: in all three members it is half the hash.
        if mac_key.len() * 2 != M::output_size() {
            return None;
        }
        let aad_bits = u64::try_from(aad.len()).ok()?.checked_mul(8)?;
        let mut mac = <M as KeyInit>::new_from_slice(mac_key).ok()?;
        mac.update(aad);
        mac.update(iv);
        mac.update(ciphertext);
        mac.update(&aad_bits.to_be_bytes());
        let full = Zeroizing::new(mac.finalize().into_bytes().to_vec());
        // The tag is the first half of the hash; the other half stays unseen (RFC 7518 §5.2.2.1 step 5).
        Some(full[..mac_key.len()].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes::{Aes128, Aes192};
    use sha2::{Sha256, Sha384};

    // RFC 7518, appendix B: the three cases share plaintext, IV and AAD, and their keys are 00 01 02 … of each length.
    const PLAINTEXT: &[u8] = b"A cipher system must not be required to be secret, and it must be able to fall into \
the hands of the enemy without inconvenience";
    const AAD: &[u8] = b"The second principle of Auguste Kerckhoffs";
    const IV: &str = "1af38c2dc2b96ffdd86694092341bc04";

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn holds<C, M>(key_length: u8, ciphertext: &str, tag: &str)
    where
        C: BlockCipherEncrypt + BlockCipherDecrypt + KeyInit,
        C::BlockSize: ArraySize,
        M: Mac + KeyInit,
    {
        let key: Vec<u8> = (0..key_length).collect();
        let iv: [u8; 16] = hex(IV).try_into().unwrap();
        let sealed = CbcHmac::<C, M>::seal(&key, &iv, AAD, PLAINTEXT).unwrap();
        assert_eq!(sealed.ciphertext, hex(ciphertext));
        assert_eq!(sealed.tag, hex(tag));
        assert_eq!(CbcHmac::<C, M>::open(&key, &iv, AAD, &sealed).unwrap(), PLAINTEXT);
        assert!(CbcHmac::<C, M>::open(&key, &iv, b"other data", &sealed).is_none());
        assert!(CbcHmac::<C, M>::seal(&key[1..], &iv, AAD, PLAINTEXT).is_none(), "a short key is refused");
    }

    #[test]
    fn rfc_7518_appendix_b_1() {
        holds::<Aes128, Hmac<Sha256>>(
            32,
            "c80edfa32ddf39d5ef00c0b468834279 a2e46a1b8049f792f76bfe54b903a9c9 a94ac9b47ad2655c5f10f9aef71427e2 \
             fc6f9b3f399a221489f16362c7032336 09d45ac69864e3321cf82935ac4096c8 6e133314c54019e8ca7980dfa4b9cf1b \
             384c486f3a54c51078158ee5d79de59f bd34d848b3d69550a67646344427ade5 4b8851ffb598f7f80074b9473c82e2db",
            "652c3fa36b0a7c5b3219fab3a30bc1c4",
        );
    }

    #[test]
    fn rfc_7518_appendix_b_2() {
        holds::<Aes192, Hmac<Sha384>>(
            48,
            "ea65da6b59e61edb419be62d19712ae5 d303eeb50052d0dfd6697f77224c8edb 000d279bdc14c1072654bd30944230c6 \
             57bed4ca0c9f4a8466f22b226d174621 4bf8cfc2400add9f5126e479663fc90b 3bed787a2f0ffcbf3904be2a641d5c21 \
             05bfe591bae23b1d7449e532eef60a9a c8bb6c6b01d35d49787bcd57ef484927 f280adc91ac0c4e79c7b11efc60054e3",
            "8490ac0e58949bfe51875d733f93ac2075168039ccc733d7",
        );
    }

    #[test]
    fn rfc_7518_appendix_b_3() {
        holds::<Aes256, Hmac<Sha512>>(
            64,
            "4affaaadb78c31c5da4b1b590d10ffbd 3dd8d5d302423526912da037ecbcc7bd 822c301dd67c373bccb584ad3e9279c2 \
             e6d12a1374b77f077553df829410446b 36ebd97066296ae6427ea75c2e0846a1 1a09ccf5370dc80bfecbad28c73f09b3 \
             a3b75e662a2594410ae496b2e2e6609e 31e6e02cc837f053d21f37ff4f51950b be2638d09dd7a4930930806d0703b1f6",
            "4dd3b4c088a7f45c216839645b2012bf2e6269a8c56a816dbc1b267761955bc5",
        );
    }
}
