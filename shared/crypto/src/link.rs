//! Links that do one thing for a person who has not logged in, such as those in an email. The link itself carries what
//! it does, signed: nothing is stored for it, and only the deployment can make one.

use crate::keys::{RootKeys, number};
use crate::{encoding, mac};

/// No link is longer than this, in characters; mail programs cut longer ones.
pub const MAX_CHARS: usize = 1_800;

/// Signs the content of an app's link under the current root key: `{version}.{app}.{content}.{HMAC-SHA-256}`, the
/// latter two in base64url (RFC 4648 §5). The link is valid as long as the root key is in the set.
#[must_use]
pub fn sign(root: &RootKeys, app: &str, content: &[u8]) -> String {
    let input = format!("{}.{app}.{}", root.current(), encoding::base64url(content));
    let Some(key) = root.link_key(root.current(), app) else { unreachable!("the current root key is in the set") };
    format!("{input}.{}", encoding::base64url(&mac::hmac_sha256(key.as_slice(), input.as_bytes())))
}

/// What a link carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The app that it is for.
    pub app: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// The version of the root key that a text names as its own. Unverified.
#[must_use]
pub fn version(link: &str) -> Option<u32> {
    number(link.split_once('.')?.0)
}

/// The content of a link. `None` for a text that [`sign`] has not made, or under a root key that was withdrawn.
#[must_use]
pub fn open(root: &RootKeys, link: &str) -> Option<Opened> {
    if link.len() > MAX_CHARS {
        return None;
    }
    let (input, signature) = link.rsplit_once('.')?;
    let (version, rest) = input.split_once('.')?;
    let (app, content) = rest.rsplit_once('.')?;
    let key = root.link_key(number(version)?, app)?;
    let signature = encoding::from_base64url(signature)?;
    if !mac::is_hmac_sha256(key.as_slice(), input.as_bytes(), &signature) {
        return None;
    }
    Some(Opened { app: app.to_owned(), content: encoding::from_base64url(content)? })
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
        let link = sign(&old, "demo", b"unsubscribe alice");
        let opened = Opened { app: "demo".to_owned(), content: b"unsubscribe alice".to_vec() };
        assert_eq!(open(&old, &link).as_ref(), Some(&opened));
        assert_eq!(open(&both, &link), Some(opened));
        assert_eq!((open(&new, &link), version(&link)), (None, Some(1)));
        assert!(sign(&both, "demo", b"x").starts_with("2.demo."));
    }

    /// A reader may follow a link in an email years later, so the derivation must not change. The value was computed by
    /// another implementation (Python's hmac and hashlib).
    #[test]
    fn links_are_pinned() {
        let root = RootKeys::parse(OLD).unwrap();
        assert_eq!(sign(&root, "demo", b"a"), "1.demo.YQ.L2zIA01TRSKinbKbaswmfHTvUcQRoxfpeq4c76bkFGE");
    }

    #[test]
    fn every_character_counts() {
        let root = RootKeys::parse(OLD).unwrap();
        let link = sign(&root, "demo", br#"{"user":"alice"}"#);
        for index in 0..link.len() {
            for other in ["A", "b", "-", "_", ".", "=", ""] {
                let changed = format!("{}{other}{}", &link[..index], &link[index + 1..]);
                assert!(changed == link || open(&root, &changed).is_none(), "{changed}");
            }
        }
        for none in ["", ".", "...", "1...", "1.YQ", "1.demo.YQ", "1.demo.YQ.", "01.demo.YQ.AA", &"1.".repeat(2_000)] {
            assert_eq!(open(&root, none), None, "{none}");
        }
    }
}
