//! Bytes and text in standard alphabets: base64url without padding (RFC 4648 §5), as JOSE and Web Push write it,
//! hexadecimal, and percent-encoding (RFC 3986 §2.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
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

/// [`from_base64url`] for text that people and browsers write: it may end in its padding.
#[must_use]
pub fn from_base64url_or_padded(text: &str) -> Option<Vec<u8>> {
    from_base64url(without_padding(text))
}

/// A text without the padding that fills it up to a multiple of four characters (RFC 4648 §3.2). Any other `=` stays.
#[must_use]
pub fn without_padding(text: &str) -> &str {
    let bare = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    if text.len().is_multiple_of(4) { bare } else { text }
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// Characters that a path segment or a query value cannot hold as they are: all but the unreserved ones.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One segment of a path, or one value of a query, percent-encoded.
#[must_use]
pub fn percent(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A JOSE header or claims set: base64url of a JSON object. The first byte is checked, because serde would also read a
/// struct from an array, which no other JOSE library does.
/// struct from an array, which no other JOSE library does.
pub(crate) fn decode_object<T: DeserializeOwned>(text: &str) -> Option<T> {
    let json = from_base64url(text).filter(|json| json.first() == Some(&b'{'))?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_has_one_spelling_and_is_read_with_padding_if_asked_for() {
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
        assert_eq!(from_base64url("-_8"), Some(vec![0xfb, 0xff]));
        for other in ["-_8=", "+/8", "-_9", "-_8 "] {
            assert_eq!(from_base64url(other), None, "{other}");
        }
        assert_eq!(from_base64url_or_padded("-_8="), Some(vec![0xfb, 0xff]));
        for other in ["-_8==", "-_8===", "=", "====", "-_8=="] {
            assert_eq!(from_base64url_or_padded(other), None, "{other}");
        }
    }

    #[test]
    fn hexadecimal_has_two_lower_case_digits_a_byte() {
        assert_eq!(hex(&[0x00, 0x0f, 0xa0, 0xff]), "000fa0ff");
    }

    #[test]
    fn a_segment_stays_one_segment() {
        assert_eq!(percent("a/b?c=d é"), "a%2Fb%3Fc%3Dd%20%C3%A9");
        assert_eq!(percent("A-z.0_9~"), "A-z.0_9~");
    }
}
