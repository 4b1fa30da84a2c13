//! Words that may be of a newer version: kept as they are, and passed over where their meaning is needed.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::Choice;

/// Most characters of a word.
const WORD_CHARS: usize = 32;

/// A word that this version does not know: letters, digits, `-`, `_` and `.`, so that it may be logged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word {
    bytes: [u8; WORD_CHARS],
    length: u8,
}

impl Word {
    /// `None` for a text that is none: it is empty, has more than 32 characters, or others than a word has.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let is_of_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.is_empty() || !text.bytes().all(is_of_word) {
            return None;
        }
        let mut bytes = [0; WORD_CHARS];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { bytes, length: u8::try_from(text.len()).ok()? })
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.length)).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not a word"))
    }
}

/// A value of an enumeration as it is stored: one that this version knows, or the word of a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Open<T> {
    /// A value that this version knows.
    Known(T),
    /// A value of a newer version.
    Unknown(Word),
}

impl<T: Copy> Open<T> {
    /// The value, if this version knows it.
    #[must_use]
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// The word, if this version does not know it.
    #[must_use]
    pub fn unknown(self) -> Option<Word> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(word) => Some(word),
        }
    }
}

impl<T> From<T> for Open<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl<T: PartialEq> PartialEq<T> for Open<T> {
    fn eq(&self, other: &T) -> bool {
        matches!(self, Self::Known(value) if value == other)
    }
}

impl<T: fmt::Display> fmt::Display for Open<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(value) => value.fmt(f),
            Self::Unknown(word) => word.fmt(f),
        }
    }
}

impl<T: Choice> Serialize for Open<T>
where
    T: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(value) => value.serialize(serializer),
            Self::Unknown(word) => word.serialize(serializer),
        }
    }
}

impl<'de, T: Choice> Deserialize<'de> for Open<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match T::from_word(&text) {
            Some(value) => Ok(Self::Known(value)),
            None => Word::new(&text).map(Self::Unknown).ok_or_else(|| D::Error::custom("not a word")),
        }
    }
}

/// An optional field of which only the values of this version count: those of a newer one are as if absent.
pub(crate) mod known {
    use serde::{Deserialize, Deserializer};

    use super::Open;
    use crate::Choice;

    pub(crate) fn deserialize<'de, T: Choice, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        Ok(Option::<Open<T>>::deserialize(deserializer)?.and_then(Open::known))
    }
}

/// A map by words of which only those of this version count.
pub(crate) mod known_keys {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer};

    use crate::Choice;

    pub(crate) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Choice + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        let all = BTreeMap::<String, V>::deserialize(deserializer)?;
        Ok(all.into_iter().filter_map(|(word, value)| Some((K::from_word(&word)?, value))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Content, Platform, Preferences, send::MsgType};

    #[test]
    fn a_word_of_a_newer_version_is_kept() {
        let known: Open<Platform> = serde_json::from_str("\"IOS\"").unwrap();
        assert_eq!(
            (known, known.known(), known == Platform::Ios),
            (Open::Known(Platform::Ios), Some(Platform::Ios), true)
        );
        let newer: Open<Platform> = serde_json::from_str("\"WATCH\"").unwrap();
        assert_eq!((newer.known(), newer.to_string().as_str()), (None, "WATCH"));
        assert_eq!(serde_json::to_string(&newer).unwrap(), "\"WATCH\"");
        assert_ne!(newer, Open::Unknown(Word::new("TV").unwrap()));
    }

    #[test]
    fn what_is_no_word_is_refused() {
        for text in ["", "two words", "ä", "a\n", &"x".repeat(33)] {
            assert_eq!(Word::new(text), None, "{text:?}");
        }
        assert_eq!(Word::new(&"x".repeat(32)).unwrap().as_str(), "x".repeat(32));
        assert!(serde_json::from_str::<Open<Platform>>("7").is_err());
    }

    #[test]
    fn a_reader_passes_over_what_a_newer_version_has_added() {
        let content: Content =
            serde_json::from_str(r#"{"alert":"a","msgType":"video","pushMsgType":"LOUD","colour":"red"}"#).unwrap();
        assert_eq!(content, Content { alert: Some("a".into()), ..Content::default() });
        let content: Content = serde_json::from_str(r#"{"msgType":"link"}"#).unwrap();
        assert_eq!(content.msg_type, Some(MsgType::Link));
        let set = r#"{"channels":{"pigeon":true,"sms":false},"categories":{"news":{"channels":{"pigeon":false}}}}"#;
        let set: Preferences = serde_json::from_str(set).unwrap();
        assert_eq!((set.channels.len(), set.categories["news"].channels.len()), (1, 0));
    }
}
