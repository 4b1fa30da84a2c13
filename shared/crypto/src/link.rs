//! Links that do one thing for a person who has not logged in, such as those in an email. The link itself carries what
//! it does, signed: nothing is stored for it, and only the deployment can make one.

use crate::keys::{RootKeys, number};
use crate::{encoding, mac};

/// No link is longer than this, in characters; mail programs cut longer ones.
pub const MAX_CHARS: usize = 1_800;

/// Signs the content of a link under the current root key: `{version}.{content}.{HMAC-SHA-256}`, the latter two in
/// base64url (RFC 4648 §5). The link is valid as long as the root key is in the set.
#[must_use]
pub fn sign(root: &RootKeys, content: &[u8]) -> String {
    let input = format!("{}.{}", root.current(), encoding::base64url(content));
    let Some(key) = root.link_key(root.current()) else { unreachable!("the current root key is in the set") };
    format!("{input}.{}", encoding::base64url(&mac::hmac_sha256(key.as_slice(), input.as_bytes())))
}

/// The content of a link. `None` for a text that [`sign`] has not made, or under a root key that was withdrawn.
#[must_use]
pub fn open(root: &RootKeys, link: &str) -> Option<Vec<u8>> {
    if link.len() > MAX_CHARS {
        return None;
    }
    let (input, signature) = link.rsplit_once('.')?;
    let (version, content) = input.split_once('.')?;
    let key = root.link_key(number(version)?)?;
    let signature = encoding::from_base64url(signature)?;
    let is_ours = mac::is_hmac_sha256(key.as_slice(), input.as_bytes(), &signature);
    if is_ours { encoding::from_base64url(content) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"{"1":"first-secret-of-at-least-thirty-two-chars"}"#;
    const BOTH: &str =
        r#"{"1":"first-secret-of-at-least-thirty-two-chars","2":"second-secret-of-at-least-thirty-two-chars"}"#;
    const NEW: &str = r#"{"2":"second-secret-of-at-least-thirty-two-chars"}"#;

    #[test]
    fn a_link_keeps_its_content_while_its_root_key_is_in_the_set() {
        let [old, both, new] = [OLD, BOTH, NEW].map(|keys| RootKeys::parse(keys).unwrap());
        let link = sign(&old, b"unsubscribe alice");
        assert_eq!(open(&old, &link).unwrap(), b"unsubscribe alice");
        assert_eq!(open(&both, &link).unwrap(), b"unsubscribe alice");
        assert_eq!(open(&new, &link), None);
        assert!(sign(&both, b"x").starts_with("2."));
    }

    /// A reader may follow a link in an email years later, so the derivation must not change. The value was computed by
    /// another implementation (Python's hmac and hashlib).
    #[test]
    fn links_are_pinned() {
        let root = RootKeys::parse(OLD).unwrap();
        assert_eq!(sign(&root, b"a"), "1.YQ.1Eez_QPsbXoFPn4PXAR83oOj4EmVwCSr8Sx5gmJtMgo");
    }

    #[test]
    fn every_character_counts() {
        let root = RootKeys::parse(OLD).unwrap();
        let link = sign(&root, br#"{"user":"alice"}"#);
        for index in 0..link.len() {
            for other in ["A", "b", "-", "_", ".", "=", ""] {
                let changed = format!("{}{other}{}", &link[..index], &link[index + 1..]);
                assert!(changed == link || open(&root, &changed).is_none(), "{changed}");
            }
        }
        for none in ["", ".", "..", "1..", "1.YQ", "1.YQ.", "01.YQ.AA", &"1.".repeat(2_000)] {
            assert_eq!(open(&root, none), None, "{none}");
        }
    }
}
