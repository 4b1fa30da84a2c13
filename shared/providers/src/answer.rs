//! The answer of a server, or why there is none.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// There was no connection, or the server reports that it has not processed the request: certainly nothing acted on
    /// it. With the reason.
    Unreachable(String),
    /// The request was sent, or begun, and the time limit passed.
    Timeout,
    /// The request was sent, or begun, and the connection ended before the answer did.
    Cut,
}

/// The answer of a server. A body beyond the client's limit is cut to its beginning.
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

    /// The pause that the server asks for in `Retry-After`; `now` is in seconds since 1970.
    #[must_use]
    pub fn retry_after(&self, now: u64) -> Option<Duration> {
        let text = self.header(header::RETRY_AFTER.as_str())?;
        retry_after(text, UNIX_EPOCH + Duration::from_secs(now))
    }
}

/// `Retry-After` (RFC 9110 §10.2.3), in seconds or as a date; `None` if it is neither.
#[must_use]
pub fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // A date in the past asks for no pause.
    Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default())
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
}
