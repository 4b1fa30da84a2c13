//! The outcome of a call of a provider.

use std::time::Duration;

use crate::answer::{Answer, NoAnswer};
use crate::meaning::{self, Codes, Meaning};
use crate::push::Effective;

/// Longest detail of a provider that is kept, in characters.
const DETAIL_CHARS: usize = 200;

/// The outcome of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider has accepted the push.
    Accepted {
        /// The provider's id for it, if the answer has one.
        id: Option<String>,
    },
    /// The provider has refused the push, and would refuse it again.
    Refused {
        /// The provider's code, after the status if that adds something: `400 BadDeviceToken`, `404 UNREGISTERED`,
        /// `410`, `20301`.
        code: String,
        /// The provider's explanation, at most 200 characters. It may name the recipient: for the trail, not for logs.
        detail: Option<String>,
        /// The consequence for the token or subscription.
        fate: Fate,
    },
    /// The provider could not accept the push now.
    Busy {
        /// The provider's code, as in a refusal: `429 TooManyRequests`, `503`.
        code: String,
        /// The provider's explanation, as in a refusal.
        detail: Option<String>,
        /// Whether the app or the provider is the cause.
        load: Load,
        /// The pause that the provider asks for.
        retry_after: Option<Duration>,
    },
    /// The push was sent, or may have been, and its fate is unknown.
    Unanswered(Unanswered),
    /// The push was certainly not sent or not processed: there was no connection, no token to send it with, or a server
    /// that went away.
    Unreachable {
        /// The failure.
        cause: String,
    },
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The request in the provider's terms.
    pub effective: Effective,
    /// Its outcome.
    pub outcome: Outcome,
}

/// The consequence of a refusal for the token or subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays: the fault lies elsewhere.
    Keep,
    /// It is dead, and must be removed.
    Remove {
        /// Since when, in milliseconds since 1970, if the provider reports it: one that was registered later stays.
        since: Option<u64>,
    },
}

/// Why a provider is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// It received too many requests (429), and works.
    Throttled,
    /// It fails (5xx).
    Failing,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// It did not come in time, or a gateway reports that the provider's did not.
    Timeout,
    /// The connection ended before the answer.
    Cut,
}

/// The health of a provider after a call, for the [breaker](crate::breaker).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answered.
    Up,
    /// It could not be reached, did not answer, or failed.
    Down,
}

impl Outcome {
    /// The provider's health. A provider that throttles or refuses is up.
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

impl Answer {
    /// The status and a reason: `400 BadDeviceToken`; the status alone if there is none.
    pub(crate) fn code(&self, reason: Option<&str>) -> String {
        let status = self.status.as_u16();
        reason.map_or_else(|| status.to_string(), |reason| format!("{status} {reason}"))
    }

    /// The outcome of a status that is not a success, the same for every provider.
    pub(crate) fn failure(&self, reason: Option<&str>, detail: Option<&str>, fate: Fate, now: u64) -> Outcome {
        let meaning = meaning::of_number(Codes::Http, self.status.as_u16().into());
        self.meant(meaning, self.code(reason), detail.map(shortened), fate, now)
    }

    /// The outcome of an answer with this meaning.
    pub(crate) fn meant(
        &self,
        meaning: Meaning,
        code: String,
        detail: Option<String>,
        fate: Fate,
        now: u64,
    ) -> Outcome {
        let busy = |code, detail, load| Outcome::Busy { code, detail, load, retry_after: self.retry_after(now) };
        match meaning {
            Meaning::Refused => Outcome::Refused { code, detail, fate },
            Meaning::Throttled => busy(code, detail, Load::Throttled),
            Meaning::Failing => busy(code, detail, Load::Failing),
            Meaning::Unknown => Outcome::Unanswered(Unanswered::Timeout),
        }
    }
}

/// The beginning of a provider's text.
pub(crate) fn shortened(text: &str) -> String {
    tidings_text::cut(text, DETAIL_CHARS).0
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn answer(status: u16) -> Answer {
        Answer { status: StatusCode::from_u16(status).unwrap(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    #[test]
    fn throttling_is_no_illness() {
        let throttled = answer(429).failure(Some("TooManyRequests"), None, Fate::Keep, 0);
        assert_eq!(throttled.health(), Health::Up);
        for status in [500, 502, 503, 504, 408] {
            assert_eq!(answer(status).failure(None, None, Fate::Keep, 0).health(), Health::Down, "{status}");
        }
        // The provider behind a gateway that gave up may have acted.
        let unanswered = answer(504).failure(None, None, Fate::Keep, 0);
        assert_eq!(unanswered, Outcome::Unanswered(Unanswered::Timeout));
        assert_eq!(Outcome::from(NoAnswer::Timeout).health(), Health::Down);
        assert_eq!(Outcome::from(NoAnswer::Unreachable(String::new())).health(), Health::Down);
    }
}
