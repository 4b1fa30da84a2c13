//! A moment, in milliseconds since 1970-01-01T00:00:00Z.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// A moment, in milliseconds since the Unix epoch. In JSON: an RFC 3339 string in UTC with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(
        description = "A moment in UTC, to the millisecond.",
        extend(
            "format" = "date-time",
            "pattern" = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
            "examples" = ["2026-11-22T08:00:00.000Z"]
        )
    )
)]
pub struct Timestamp(#[cfg_attr(feature = "schema", schemars(with = "String"))] pub i64);

/// The last millisecond of the year 9999.
const LAST_MILLIS: i64 = 253_402_300_799_999;

impl Timestamp {
    /// The clock of this machine. For `main` and adapters: decisions take the time as an argument.
    #[must_use]
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// Whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The moment `seconds` later.
    #[must_use]
    pub fn plus_seconds(self, seconds: u64) -> Self {
        let millis = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
        Self(self.0.saturating_add(millis))
    }

    /// Whole seconds from `self` until `later`, rounded up; 0 if `later` has passed.
    #[must_use]
    pub fn seconds_until(self, later: Self) -> u64 {
        let millis = u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0);
        millis.div_ceil(1_000)
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Beyond these years no date is one that RFC 3339 can write. Only a broken item holds such a time.
        let millis = self.0.clamp(0, LAST_MILLIS);
        let Ok(at) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000) else {
            return Err(std::fmt::Error);
        };
        let (date, clock) = (at.date(), at.time());
        let (hour, minute, second, milli) = clock.as_hms_milli();
        write!(
            f,
            "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z",
            date.year(),
            u8::from(date.month()),
            date.day()
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at = OffsetDateTime::parse(&text, &Rfc3339).map_err(D::Error::custom)?;
        let millis = at.to_offset(UtcOffset::UTC).unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(millis).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let at = Timestamp(1_795_324_231_042);
        let json = serde_json::to_string(&at).unwrap();
        assert_eq!(json, "\"2026-11-22T05:10:31.042Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), at);
    }

    #[test]
    fn a_time_beyond_every_date_is_written_as_a_date() {
        for (at, text) in [(i64::MIN, "1970-01-01T00:00:00.000Z"), (i64::MAX, "9999-12-31T23:59:59.999Z")] {
            let json = serde_json::to_string(&Timestamp(at)).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            serde_json::from_str::<Timestamp>(&json).unwrap();
        }
    }

    #[test]
    fn counts_seconds_until_a_moment_upwards() {
        assert_eq!(Timestamp(0).seconds_until(Timestamp(1)), 1);
        assert_eq!(Timestamp(0).seconds_until(Timestamp(1_000)), 1);
        assert_eq!(Timestamp(5).seconds_until(Timestamp(4)), 0);
    }
}
