//! The parameters of a query. A route reads each by its name and bounds. All others are refused, so that a misspelt or
//! misplaced parameter is noticed.

use std::ops::RangeInclusive;
use std::time::Duration;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::{no_such, refuse};

/// The most entries in an answer, unless the request names a limit.
const USUAL_LIMIT: usize = 50;

/// The longest time that a request waits for an event, in seconds.
const LONGEST_WAIT: u64 = 60;

/// The parameters of a route, read from a query.
pub trait FromQuery: Sized {
    /// Reads the parameters, and records their faults.
    fn from_query(asked: &mut Asked) -> Self;
}

/// The parameters of a request, read; a request with others is refused.
#[derive(Debug, Clone, Copy)]
pub struct Parameters<Q>(pub Q);

/// The parameters of a route that has none.
pub type NoParameters = Parameters<()>;

impl FromQuery for () {
    fn from_query(_: &mut Asked) -> Self {}
}

impl<S: Sync, Q: FromQuery> FromRequestParts<S> for Parameters<Q> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        read(&parts.uri).map(Self).map_err(|message| refuse(StatusCode::BAD_REQUEST, &message))
    }
}

/// Reads the parameters of a URL.
///
/// # Errors
/// A sentence that names every fault.
pub fn read<Q: FromQuery>(uri: &Uri) -> Result<Q, String> {
    let Query(given) = Query::try_from_uri(uri).map_err(|error| error.to_string())?;
    let mut asked = Asked { given, ..Asked::default() };
    let query = Q::from_query(&mut asked);
    match asked.wrong(uri.path()) {
        None => Ok(query),
        Some(message) => Err(message),
    }
}

/// The parameters of a query while they are read.
#[derive(Debug, Default)]
pub struct Asked {
    /// The parameters that the route has not read yet.
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    refused: Vec<String>,
}

impl Asked {
    /// A parameter as it is given.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let (found, left) = std::mem::take(&mut self.given).into_iter().partition(|(given, _)| given == name);
        self.given = left;
        let found: Vec<(String, String)> = found;
        if found.len() > 1 {
            self.refused.push(format!("`{name}` is given twice"));
        }
        found.into_iter().next().map(|(_, value)| value)
    }

    /// A whole number.
    pub fn whole(&mut self, name: &'static str, bounds: RangeInclusive<u64>) -> Option<u64> {
        let text = self.text(name)?;
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            let to = if *bounds.end() == u64::MAX { String::new() } else { format!(" to {}", bounds.end()) };
            self.refused.push(format!("`{name}` is {text:?}; it takes a whole number from {}{to}", bounds.start()));
        }
        number
    }

    /// The most entries in the answer: `limit`, up to `most`.
    pub fn limit(&mut self, most: usize) -> usize {
        self.limit_if_given(most).unwrap_or(USUAL_LIMIT)
    }

    /// `limit` of a route that returns everything if there is none.
    pub fn limit_if_given(&mut self, most: usize) -> Option<usize> {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        self.whole("limit", 1..=most).and_then(|limit| usize::try_from(limit).ok())
    }

    /// How many seconds to wait for an event: `wait`.
    pub(crate) fn wait(&mut self) -> Duration {
        Duration::from_secs(self.whole("wait", 0..=LONGEST_WAIT).unwrap_or_default())
    }

    /// Refuses the request for this reason.
    pub fn refuse(&mut self, message: impl Into<String>) {
        self.refused.push(message.into());
    }

    /// The faults in the parameters of this path, if there are any.
    fn wrong(mut self, path: &str) -> Option<String> {
        for (name, value) in self.given {
            self.refused.push(match &self.known[..] {
                [] => format!("{path} takes no parameters, and this request has {:?}", format!("{name}={value}")),
                known => no_such("parameter", &name, known),
            });
        }
        (!self.refused.is_empty()).then(|| self.refused.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<Q: FromQuery>(query: &str) -> Option<String> {
        read::<Q>(&format!("/_twin/things?{query}").parse().unwrap()).err()
    }

    struct Page;

    impl FromQuery for Page {
        fn from_query(asked: &mut Asked) -> Self {
            asked.limit(100);
            asked.whole("after", 0..=u64::MAX);
            asked.wait();
            asked.text("alias");
            Self
        }
    }

    #[test]
    fn what_a_route_does_not_take_is_refused_by_name() {
        let known = "there are limit, after, wait, alias";
        for (query, message) in [
            ("x=1", format!("there is no parameter \"x\"; {known}")),
            ("limt=1&limit=2", format!("there is no parameter \"limt\"; {known}")),
            ("Limit=1", format!("there is no parameter \"Limit\"; {known}")),
            ("limit=0", "`limit` is \"0\"; it takes a whole number from 1 to 100".to_owned()),
            ("limit=101", "`limit` is \"101\"; it takes a whole number from 1 to 100".to_owned()),
            ("limit=+1", "`limit` is \" 1\"; it takes a whole number from 1 to 100".to_owned()),
            ("limit=%2B1", "`limit` is \"+1\"; it takes a whole number from 1 to 100".to_owned()),
            ("limit=", "`limit` is \"\"; it takes a whole number from 1 to 100".to_owned()),
            ("limit=1&limit=1", "`limit` is given twice".to_owned()),
            ("alias=a&alias=b", "`alias` is given twice".to_owned()),
            ("after=-1", "`after` is \"-1\"; it takes a whole number from 0".to_owned()),
            (
                "after=18446744073709551616",
                "`after` is \"18446744073709551616\"; it takes a whole number from 0".to_owned(),
            ),
            ("wait=61", "`wait` is \"61\"; it takes a whole number from 0 to 60".to_owned()),
        ] {
            assert_eq!(refused::<Page>(query), Some(message), "{query}");
        }
        assert_eq!(refused::<Page>("limit=100&after=0&wait=60&alias=%E4%BD%A0"), None);
        assert_eq!(refused::<Page>(""), None);
        let none = "/_twin/things takes no parameters, and this request has \"x=1\"".to_owned();
        assert_eq!((refused::<()>("x=1"), refused::<()>("")), (Some(none), None));
    }
}
