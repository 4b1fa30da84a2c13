//! How a call of a provider ended.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};

use crate::http::NoAnswer;

/// Longest text of a provider that is kept, in characters.
const DETAIL_CHARS: usize = 200;

/// What is known of a call after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider has taken it over.
    Accepted {
        /// Under this id of its own, where it told one.
        id: Option<String>,
    },
    /// The provider has refused it, and would again.
    Refused {
        /// Its own code, after the status where that says something: `400 BadDeviceToken`, `404 UNREGISTERED`, `410`, `20301`.
        code: String,
        /// Its own words, at most 200 characters. They may name the recipient: for the trail, not for logs.
        detail: Option<String>,
        /// What this means for the token or subscription.
        fate: Fate,
    },
    /// The provider could not take it now, and did not.
    Busy {
        /// Its own code, as in a refusal: `429 TooManyRequests`, `503`.
        code: String,
        /// Its own words, as in a refusal.
        detail: Option<String>,
        /// Which end is to blame.
        load: Load,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It was sent, or may have been, and nobody knows what became of it.
    Unanswered(Unanswered),
    /// It was certainly not sent, or not looked at: there was no connection, no token to send it with, or a server that went
    /// away.
    Unreachable {
        /// What failed.
        cause: String,
    },
}

/// What a refusal means for the token or subscription that was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays: the fault lies elsewhere.
    Keep,
    /// It is dead, and is to be forgotten.
    Remove {
        /// Since when, in milliseconds since 1970, where the provider says so: one that was registered later stays.
        since: Option<u64>,
    },
}

/// Why a provider is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// It was asked too often (429); it works.
    Throttled,
    /// It fails (5xx).
    Failing,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// It did not come in time.
    Timeout,
    /// The connection ended first.
    Cut,
}

/// What a call says of its provider, for the [breaker](crate::breaker).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answered for itself.
    Up,
    /// It could not be reached, did not answer, or failed.
    Down,
}

impl Outcome {
    /// What this says of the provider. One that throttles or refuses is up.
    #[must_use]
    pub fn health(&self) -> Health {
        match self {
            Self::Accepted { .. } | Self::Refused { .. } => Health::Up,
            Self::Busy { load, .. } => match load {
                Load::Throttled => Health::Up,
                Load::Failing => Health::Down,
            },
            Self::Unanswered(Unanswered::Timeout | Unanswered::Cut) | Self::Unreachable { .. } => Health::Down,
        }
    }
}

impl From<NoAnswer> for Outcome {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::Unreachable(cause) => Self::Unreachable { cause },
            NoAnswer::Timeout => Self::Unanswered(Unanswered::Timeout),
            NoAnswer::Cut => Self::Unanswered(Unanswered::Cut),
        }
    }
}

/// The answer of a server. Of a body beyond the client's limit, the beginning.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Answer {
    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `Retry-After` (RFC 9110 §10.2.3), in seconds or as a date; nothing where it is neither.
    ///
    /// `now` is in seconds since 1970.
    #[must_use]
    pub fn retry_after(&self, now: u64) -> Option<Duration> {
        let text = self.header(header::RETRY_AFTER.as_str())?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = httpdate::parse_http_date(text).ok()?;
        let now = UNIX_EPOCH + Duration::from_secs(now);
        // A date that is past asks for no wait.
        Some(date.duration_since(now).unwrap_or_default())
    }

    /// The status and a reason: `400 BadDeviceToken`; the status alone where there is none.
    pub(crate) fn code(&self, reason: Option<&str>) -> String {
        let status = self.status.as_u16();
        reason.map_or_else(|| status.to_string(), |reason| format!("{status} {reason}"))
    }

    /// What every provider means by a status that is no success.
    pub(crate) fn failure(&self, reason: Option<&str>, detail: Option<&str>, fate: Fate, now: u64) -> Outcome {
        let (code, detail) = (self.code(reason), detail.map(shortened));
        match self.load() {
            Some(load) => Outcome::Busy { code, detail, load, retry_after: self.retry_after(now) },
            None => Outcome::Refused { code, detail, fate },
        }
    }

    fn load(&self) -> Option<Load> {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS => Some(Load::Throttled),
            StatusCode::REQUEST_TIMEOUT => Some(Load::Failing),
            status if status.is_server_error() => Some(Load::Failing),
            _ => None,
        }
    }
}

/// The beginning of a text of the provider's.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(DETAIL_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(retry_after: &'static str) -> Answer {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, http::HeaderValue::from_static(retry_after))]);
        Answer { status: StatusCode::TOO_MANY_REQUESTS, headers, body: Bytes::new() }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // Sun, 06 Nov 1994 08:49:37 GMT is 784111777 (RFC 9110 §5.6.7).
        let cases = [
            ("0", 0, Some(0)),
            (" 120 ", 0, Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_770, Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777, Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_800, Some(0)),
            ("soon", 0, None),
            ("-1", 0, None),
            ("1.5", 0, None),
            ("", 0, None),
        ];
        for (text, now, expected) in cases {
            assert_eq!(answer(text).retry_after(now), expected.map(Duration::from_secs), "{text:?} at {now}");
        }
    }

    #[test]
    fn throttling_is_no_illness() {
        let throttled = answer("5").failure(Some("TooManyRequests"), None, Fate::Keep, 0);
        assert_eq!(throttled.health(), Health::Up);
        for status in [500, 502, 503, 504, 408] {
            let failing = Answer { status: StatusCode::from_u16(status).unwrap(), ..answer("5") };
            assert_eq!(failing.failure(None, None, Fate::Keep, 0).health(), Health::Down, "{status}");
        }
        assert_eq!(Outcome::from(NoAnswer::Timeout).health(), Health::Down);
        assert_eq!(Outcome::from(NoAnswer::Unreachable(String::new())).health(), Health::Down);
    }
}
