//! A push, and its form in a provider's terms.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use ring::digest::{SHA256, digest};
use tidings_crypto::encoding::base64url;
use tidings_crypto::jws::NoRandomness;
use uuid::{Builder, Uuid};

/// Names that a provider reserves at the top of an app's data: APNs `aps`, FCM the rest
/// (<https://firebase.google.com/docs/cloud-messaging/customize-messages/set-message-type>).
const RESERVED: [&str; 4] = ["aps", "from", "message_type", "notification"];
const RESERVED_PREFIXES: [&str; 2] = ["google.", "gcm."];

/// Data of at most this many bytes, such as ids and names, is left out last.
const SMALL_BYTES: usize = 64;

/// One push, before it is translated for a provider.
#[derive(Clone, PartialEq, Eq)]
pub struct Push {
    /// The id of its message.
    pub message_id: String,
    /// The step of the message's chain.
    pub step: usize,
    /// Whether it is shown to the person or wakes the app.
    pub kind: Kind,
    /// Title.
    pub title: Option<String>,
    /// Text.
    pub body: Option<String>,
    /// The number at the app's icon; 0 removes it.
    pub badge: Option<u32>,
    /// Name of a sound that the app has, or `default`.
    pub sound: Option<String>,
    /// Whether the app may change it before it is shown, to open the sealed frame (iOS).
    pub mutable: bool,
    /// Data for the app. Texts by name, because FCM takes nothing else.
    pub data: BTreeMap<String, String>,
    /// Its priority.
    pub priority: Priority,
    /// How long the provider keeps it, in seconds; 0 is a single attempt.
    pub ttl: u64,
    /// Of pushes with the same key, only the last is shown.
    pub collapse_key: Option<String>,
}

/// The addressee of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The person: it is shown.
    Alert,
    /// The app: it is woken, and shows nothing by itself.
    Background,
}

/// The priority of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// At once, though the device sleeps.
    High,
    /// When it is convenient for the device's battery.
    Normal,
}

impl fmt::Debug for Push {
    /// Without the title, the text and the data, which are private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push")
            .field("message_id", &self.message_id)
            .field("step", &self.step)
            .field("kind", &self.kind)
            .field("priority", &self.priority)
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}

impl Push {
    /// The id of this push: always the same for the same message and step, so that a provider and the app can recognise
    /// a repetition.
    #[must_use]
    pub fn id(&self) -> Uuid {
        let named = digest(&SHA256, format!("tidings push {} {}", self.step, self.message_id).as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&named.as_ref()[..16]);
        Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// The check before every translation.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let reserved = |name: &&String| {
            RESERVED.contains(&name.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        };
        match self.data.keys().find(reserved) {
            Some(name) => Err(Invalid::ReservedName { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// The title and text as they are shown: none of a background push.
    pub(crate) fn shown(&self) -> (Option<&str>, Option<&str>) {
        match self.kind {
            Kind::Alert => (self.title.as_deref(), self.body.as_deref()),
            Kind::Background => (None, None),
        }
    }

    /// The collapse key, or a hash of it if it does not fit.
    pub(crate) fn collapse(
        &self,
        chars: usize,
        fits: impl FnOnce(&str) -> bool,
        downgrades: &mut Vec<Downgrade>,
    ) -> Option<String> {
        let key = self.collapse_key.as_deref()?;
        if fits(key) {
            return Some(key.to_owned());
        }
        downgrades.push(Downgrade::CollapseKeyHashed);
        let mut hash = base64url(digest(&SHA256, key.as_bytes()).as_ref());
        hash.truncate(chars);
        Some(hash)
    }

    /// The time to live, cut to the provider's maximum.
    pub(crate) fn ttl_within(&self, most: u64, downgrades: &mut Vec<Downgrade>) -> u64 {
        if self.ttl > most {
            downgrades.push(Downgrade::TtlCut { asked: self.ttl, given: most });
        }
        self.ttl.min(most)
    }
}

/// Why a push cannot be sent at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The app has no credentials of this provider.
    #[error("the app has no credentials for {0}")]
    NotConfigured(&'static str),
    /// A name in its data is reserved by a provider.
    #[error("{name:?} is a name that providers keep for themselves")]
    ReservedName {
        /// The name.
        name: String,
    },
    /// It does not fit though its data was left out and its text cut.
    #[error("the payload has {bytes} bytes, which is more than {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The provider's limit.
        limit: usize,
    },
    /// A header or the path cannot carry the target or a credential.
    #[error("the target or a credential has characters that HTTP cannot carry")]
    Unspeakable,
    /// Nothing can be signed or sealed without randomness.
    #[error("the operating system gave no randomness")]
    NoRandomness,
}

impl From<NoRandomness> for Invalid {
    fn from(_: NoRandomness) -> Self {
        Self::NoRandomness
    }
}

impl From<http::Error> for Invalid {
    fn from(_: http::Error) -> Self {
        Self::Unspeakable
    }
}

/// A push in a provider's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effective {
    /// Time to live in seconds; `None` if the provider has none.
    pub ttl: Option<u64>,
    /// The provider's name of the priority.
    pub priority: Option<&'static str>,
    /// The collapse key.
    pub collapse: Option<String>,
    /// The downgrades from the push as given.
    pub downgrades: Vec<Downgrade>,
}

/// A part of a push that a provider cannot serve as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Downgrade {
    /// The provider keeps the push for a shorter time.
    TtlCut {
        /// The time to live of the push, in seconds.
        asked: u64,
        /// The provider's time to live, in seconds.
        given: u64,
    },
    /// The provider delivers this kind with low priority only.
    PriorityLowered,
    /// The provider does not support this.
    Ignored(Feature),
    /// The collapse key is too long, or has characters that the provider does not take: its hash is used.
    CollapseKeyHashed,
    /// This item of the data was left out, because the payload was too large.
    LeftOut {
        /// Its name.
        name: String,
        /// Its size.
        bytes: usize,
    },
    /// A text was cut.
    TextCut {
        /// The text: `title` or `body`.
        field: &'static str,
    },
}

/// A feature that not every provider has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Priority.
    Priority,
    /// Time to live.
    Ttl,
    /// Collapse key.
    CollapseKey,
    /// The number at the icon.
    Badge,
    /// The sound.
    Sound,
}

impl fmt::Display for Downgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TtlCut { asked, given } => write!(f, "ttl cut from {asked} s to {given} s"),
            Self::PriorityLowered => f.write_str("priority lowered to normal"),
            Self::Ignored(feature) => write!(f, "{feature} ignored"),
            Self::CollapseKeyHashed => f.write_str("collapse key hashed"),
            Self::LeftOut { name, bytes } => write!(f, "{name} left out ({bytes} bytes)"),
            Self::TextCut { field } => write!(f, "{field} cut"),
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Priority => "priority",
            Self::Ttl => "ttl",
            Self::CollapseKey => "collapse key",
            Self::Badge => "badge",
            Self::Sound => "sound",
        })
    }
}

/// A request that is ready to send, and what it asks for.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The request.
    pub request: http::Request<bytes::Bytes>,
    /// The push in the provider's terms.
    pub effective: Effective,
}

/// Encodes a push in at most `limit` bytes. Large data is left out first, then the text is cut. Small data, which
/// identifies the message for the app, is left out last. The app fetches what is missing when it opens the message.
pub(crate) fn fit(
    push: &Push,
    limit: usize,
    downgrades: &mut Vec<Downgrade>,
    encode: impl Fn(&Push) -> Vec<u8>,
) -> Result<Vec<u8>, Invalid> {
    let mut push = Cow::Borrowed(push);
    loop {
        let bytes = encode(&push);
        if bytes.len() <= limit {
            return Ok(bytes);
        }
        let largest = push.data.iter().max_by_key(|(_, value)| value.len());
        let largest = largest.map(|(name, value)| (name.clone(), value.len()));
        if largest.as_ref().is_none_or(|(_, size)| *size <= SMALL_BYTES)
            && let Some(bytes) = with_less_text(&push, limit, &encode)
        {
            downgrades.push(Downgrade::TextCut { field: "body" });
            return Ok(bytes);
        }
        let Some((name, bytes)) = largest else { return Err(Invalid::TooLarge { bytes: bytes.len(), limit }) };
        push.to_mut().data.remove(&name);
        downgrades.push(Downgrade::LeftOut { name, bytes });
    }
}

/// The payload with as much of the text as fits, at least one character, and an ellipsis after it.
fn with_less_text(push: &Push, limit: usize, encode: impl Fn(&Push) -> Vec<u8>) -> Option<Vec<u8>> {
    let (_, body) = push.shown();
    let body = body?;
    let encoded = |end: usize| encode(&Push { body: Some(tidings_text::cut_at(body, end)), ..push.clone() });
    // A binary search, because the bytes of a character depend on its encoding.
    let ends = tidings_text::cuts(body);
    let fitting = ends.partition_point(|end| encoded(*end).len() <= limit);
    Some(encoded(ends[fitting.checked_sub(1)?]))
}

/// The text with at most `max` characters, the last of them an ellipsis if it was cut.
pub(crate) fn at_most(text: &str, chars: usize, field: &'static str, downgrades: &mut Vec<Downgrade>) -> String {
    let (text, is_cut) = tidings_text::cut(text, chars);
    if is_cut {
        downgrades.push(Downgrade::TextCut { field });
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A push that uses everything.
    pub(crate) fn push() -> Push {
        Push {
            message_id: "01JD4Z0000000000000000MSGE".to_owned(),
            step: 1,
            kind: Kind::Alert,
            title: Some("Gate change".to_owned()),
            body: Some("Now B 12".to_owned()),
            badge: Some(3),
            sound: Some("chime.caf".to_owned()),
            mutable: true,
            data: BTreeMap::from([("id".to_owned(), "01JD4Z0000000000000000MSGE".to_owned())]),
            priority: Priority::High,
            ttl: 3600,
            collapse_key: Some("flight-7".to_owned()),
        }
    }

    #[test]
    fn an_id_stays_with_its_message_and_step() {
        let first = push();
        let again = Push { title: None, ttl: 1, ..push() };
        assert_eq!(first.id(), again.id());
        assert_ne!(first.id(), Push { step: 2, ..push() }.id());
        assert_ne!(first.id(), Push { message_id: "other".to_owned(), ..push() }.id());
        assert_eq!(first.id().get_version_num(), 8);
    }

    #[test]
    fn names_of_the_providers_are_refused() {
        for name in ["aps", "from", "notification", "message_type", "google.c.a.e", "gcm.n.e"] {
            let push = Push { data: BTreeMap::from([(name.to_owned(), String::new())]), ..push() };
            assert_eq!(push.check(), Err(Invalid::ReservedName { name: name.to_owned() }));
        }
        assert_eq!(push().check(), Ok(()));
    }

    #[test]
    fn what_is_too_large_loses_data_first_and_then_text() {
        let encode = |push: &Push| {
            let text = push.body.clone().unwrap_or_default();
            (text + &push.data.values().cloned().collect::<String>()).into_bytes()
        };
        let data = BTreeMap::from([("id".to_owned(), "12345".to_owned()), ("extra".to_owned(), "x".repeat(100))]);
        let large = Push { data, body: Some("äöü".repeat(10)), ..push() };
        let cases: [(usize, Option<usize>, &[&str]); 6] = [
            (165, Some(165), &[]),
            (164, Some(65), &["extra left out (100 bytes)"]),
            (64, Some(64), &["extra left out (100 bytes)", "body cut"]),
            (30, Some(30), &["extra left out (100 bytes)", "body cut"]),
            (8, Some(7), &["extra left out (100 bytes)", "id left out (5 bytes)", "body cut"]),
            (4, None, &[]),
        ];
        for (limit, size, expected) in cases {
            let mut downgrades = Vec::new();
            let fitted = fit(&large, limit, &mut downgrades, encode);
            assert_eq!(fitted.as_ref().ok().map(Vec::len), size, "{limit}: {fitted:?}");
            if size.is_some() {
                let lines: Vec<String> = downgrades.iter().map(ToString::to_string).collect();
                assert_eq!(lines, expected, "{limit}");
            }
        }
    }

    #[test]
    fn a_text_that_is_cut_keeps_whole_characters() {
        for cluster in ["🇨🇳", "👨\u{200d}👩\u{200d}👧\u{200d}👦", "e\u{301}\u{323}", "क्षि"] {
            let push = Push { body: Some(cluster.repeat(40)), data: BTreeMap::new(), ..push() };
            for limit in 40..60 {
                let encode = |push: &Push| push.body.clone().unwrap_or_default().into_bytes();
                let fitted = fit(&push, limit, &mut Vec::new(), encode).unwrap();
                let kept = String::from_utf8(fitted).unwrap();
                let kept = kept.strip_suffix('…').unwrap();
                assert_eq!(kept, cluster.repeat(kept.len() / cluster.len()), "{limit}");
                let title = at_most(&cluster.repeat(40), limit, "title", &mut Vec::new());
                let kept = title.strip_suffix('…').unwrap();
                assert_eq!(kept, cluster.repeat(kept.len() / cluster.len()), "{limit}");
            }
        }
    }

    #[test]
    fn a_letter_under_hundreds_of_accents_is_cut_and_a_direction_ends_with_the_text() {
        let encode = |push: &Push| push.body.clone().unwrap_or_default().into_bytes();
        let fitted = |body: &str, limit| {
            let push = Push { body: Some(body.to_owned()), data: BTreeMap::new(), ..push() };
            fit(&push, limit, &mut Vec::new(), encode).map(|bytes| String::from_utf8(bytes).unwrap())
        };
        let accents = "\u{301}".repeat(3_000);
        for lead in ["e", "Order e"] {
            let kept = fitted(&format!("{lead}{accents}"), 4_096).unwrap();
            assert!(kept.starts_with(lead) && (4_090..=4_096).contains(&kept.len()), "{}", kept.len());
        }
        let isolated = format!("A \u{2067}{}\u{2069}", "\u{5d0}".repeat(100));
        for limit in 20..60 {
            let kept = fitted(&isolated, limit).unwrap();
            assert!(!kept.contains('\u{2067}') && kept.len() >= limit - 1, "{kept:?}");
        }
    }

    #[test]
    fn nothing_of_the_content_prints() {
        let printed = format!("{:?}", push());
        assert!(!printed.contains("Gate") && !printed.contains("B 12"), "{printed}");
    }
}
