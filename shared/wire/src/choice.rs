//! Enumerations that stand as fixed words in the JSON.

/// An enumeration whose variants are fixed words on the wire.
pub trait Choice: Sized + Copy + 'static {
    /// Every variant with its word, in the order in which an error lists them.
    const ALL: &'static [(&'static str, Self)];

    /// The variant of a word, exactly as written.
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
    }

    /// The words of some variants, as an error lists them.
    fn listed(is_listed: impl Fn(Self) -> bool) -> String {
        let words: Vec<_> = Self::ALL.iter().filter(|(_, value)| is_listed(*value)).map(|(word, _)| *word).collect();
        words.join(", ")
    }
}

/// Declares an enumeration of words: serde, [`Choice`], `as_str` and the JSON Schema from one list. The doc comments
/// describe each word in the documents.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal),+ $(,)? }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $variant,)+
        }

        impl $crate::Choice for $name {
            const ALL: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];
        }

        impl $name {
            /// The word on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::schema::of_words(concat!($($about, "\n"),+), <Self as $crate::schema::Described>::WORDS)
            }
        }

        #[cfg(feature = "schema")]
        impl $crate::schema::Described for $name {
            const WORDS: &'static [(&'static str, &'static str)] = &[$(($word, concat!($($doc, "\n"),+))),+];
        }
    };
}

pub(crate) use choice;

/// Declares a type for the words of an enumeration but some: what a field takes that does not take all of them.
#[cfg(feature = "schema")]
macro_rules! part {
    ($(#[doc = $about:literal])+ $name:ident as $shown:literal = $whole:ty, but $is_left_out:expr) => {
        $(#[doc = $about])+
        pub(crate) enum $name {}

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $shown.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let is_left_out = $is_left_out;
                let words = <$whole as $crate::schema::Described>::WORDS.iter();
                let all = words.zip(<$whole as $crate::Choice>::ALL);
                let kept: Vec<_> = all.filter(|(_, (_, it))| !is_left_out(*it)).map(|(word, _)| *word).collect();
                $crate::schema::of_words(concat!($($about, "\n"),+), &kept)
            }
        }
    };
}

#[cfg(feature = "schema")]
pub(crate) use part;
