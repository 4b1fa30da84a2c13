//! API Gateway v2: the HTTP API and the WebSocket API, with the events, limits and errors of AWS.

pub mod http;
mod route_answer;
mod routes;
mod socket_events;
pub mod websocket;

use std::borrow::Cow;

use axum::http::{HeaderMap, Uri, Version, header};
use percent_encoding::percent_decode_str;
use time::OffsetDateTime;
use time::macros::format_description;

/// A moment in the two forms that events carry.
#[derive(Debug, Clone, Copy)]
struct Moment(OffsetDateTime);

impl Moment {
    fn now() -> Self {
        Self(OffsetDateTime::now_utc())
    }

    fn from_epoch_millis(millis: i64) -> Self {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
        Self(moment.unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    /// Milliseconds since 1970.
    fn epoch_millis(self) -> i64 {
        i64::try_from(self.0.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
    }

    /// `09/Feb/2024:18:11:43 +0000`.
    fn common_log(self) -> String {
        let form = format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
        self.0.format(form).unwrap_or_default()
    }

    /// `2024-02-09T18:11:43.419Z`.
    fn iso(self) -> String {
        let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        self.0.format(form).unwrap_or_default()
    }
}

/// Decodes `%20`; an invalid escape stays as it is. In a query, `+` is a space.
pub(crate) fn percent_decode(text: &str, plus_is_space: bool) -> String {
    let spaced = if plus_is_space { Cow::from(text.replace('+', " ")) } else { Cow::from(text) };
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

/// The path of a request as API Gateway matches it: decoded, and cut at an encoded `?`.
fn decoded_path(path: &str) -> String {
    let mut path = percent_decode(path, false);
    path.truncate(path.find('?').unwrap_or(path.len()));
    path
}

/// Whether a request of HTTP/1.1 lacks its mandatory host.
fn lacks_host(version: Version, headers: &HeaderMap) -> bool {
    version == Version::HTTP_11 && !headers.contains_key(header::HOST)
}

/// The size of the headers of a request together with its path.
fn head_bytes(uri: &Uri, headers: &HeaderMap) -> usize {
    let headers: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    headers + uri.path().len()
}

/// The pairs of a query, decoded, in their order.
fn query_pairs(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decode(name, true), percent_decode(value, true))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_in_events() {
        let moment = Moment(OffsetDateTime::from_unix_timestamp_nanos(1_707_502_303_419_000_000).unwrap());
        assert_eq!(moment.common_log(), "09/Feb/2024:18:11:43 +0000");
        assert_eq!(moment.iso(), "2024-02-09T18:11:43.419Z");
        assert_eq!(moment.epoch_millis(), 1_707_502_303_419);
    }

    #[test]
    fn a_path_is_decoded_once_and_ends_at_an_encoded_question_mark() {
        for (sent, seen) in [("/a%2Fb", "/a/b"), ("/a%3Fb%2F", "/a"), ("/a%2525", "/a%25"), ("/%C3%A9+", "/é+")] {
            assert_eq!(decoded_path(sent), seen);
        }
    }

    #[test]
    fn escapes_are_decoded_and_broken_ones_kept() {
        assert_eq!(percent_decode("L0SM%3D+%2", false), "L0SM=+%2");
        assert_eq!(
            query_pairs("a=1&a=b+c&flag&=x&"),
            [("a", "1"), ("a", "b c"), ("flag", ""), ("", "x")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
