//! The ids of traces.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{chance, hexadecimal};

/// An X-Ray root id: `1-`, 8 hexadecimal digits of Unix time, `-`, 24 random ones.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(Arc<str>);

impl TraceId {
    /// A new id, of now.
    #[must_use]
    pub fn new() -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self(format!("1-{seconds:08x}-{}", hexadecimal(&chance::<12>())).into())
    }

    /// Reads an id as it is written: `1-68f0a1b2-0123456789abcdef01234567`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, time, chance) = (parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let valid = parts.next().is_none() && version == "1" && hex(time, 8) && hex(chance, 24);
        valid.then(|| Self(text.to_ascii_lowercase().into()))
    }

    /// Reads the `Root` of a trace header: `Root=1-…;Parent=…;Sampled=0`.
    #[must_use]
    pub fn from_header(header: &str) -> Option<Self> {
        header.split(';').find_map(|part| part.trim().strip_prefix("Root=")).and_then(Self::parse)
    }

    /// The trace header that carries this id, for `Lambda-Runtime-Trace-Id` and `AWSTraceHeader`.
    #[must_use]
    pub fn header(&self) -> String {
        format!("Root={};Sampled=0", self.0)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TraceId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TraceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a trace id"))
    }
}
