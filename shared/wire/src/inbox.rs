//! `GET /v1/inbox`, `GET /v1/inbox/unread`: what a device's user has, newest first, and how much of it is unread.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{action::Position, fields::Fields, limits};

/// What a device asks for in the query of `GET /v1/inbox`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InboxRequest {
    /// Messages at most.
    pub limit: u64,
    /// Only what came before this position, at which the page before ended.
    pub before: Option<Cursor>,
}

impl InboxRequest {
    /// Reads the fields of a query, which record what is wrong.
    pub fn read(fields: &mut Fields) -> Self {
        let limit = fields.integer("limit", &limits::INBOX_PAGE).unwrap_or(limits::INBOX_PAGE_DEFAULT);
        let before = fields.text("before", CURSOR_CHARS).map(|text| text.parse::<Cursor>());
        if let Some(Err(error)) = before {
            fields.refuse("before", error.to_string());
        }
        Self { limit, before: before.and_then(Result::ok) }
    }
}

/// Longest cursor, in characters: two numbers of 16 digits, and what stands between them.
const CURSOR_CHARS: usize = 33;

/// The position at which a page of the inbox ended. A client returns it unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub Position);

/// A text that no page has ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorError;

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be the `next` of a page, as it came")
    }
}

impl std::error::Error for CursorError {}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.0.epoch, self.0.seq)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let number = |digits: &str| u64::from_str_radix(digits, 16).map_err(|_| CursorError);
        let (epoch, seq) = text.split_once('-').ok_or(CursorError)?;
        let cursor = Self(Position { epoch: number(epoch)?, seq: number(seq)? });
        // One spelling each, so that a client that builds cursors instead of keeping them fails at once.
        if cursor.to_string() == text { Ok(cursor) } else { Err(CursorError) }
    }
}

/// A page of the inbox, newest message first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InboxAnswer {
    /// The messages, newest first. A page may be shorter than its limit, and even empty, though there are more.
    #[cfg_attr(feature = "schema", schemars(length(max = *limits::INBOX_PAGE.end())))]
    pub messages: Vec<InboxMessage>,
    /// The `before` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub next: Option<String>,
}

/// One message of the inbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::kept))]
pub struct InboxMessage {
    /// The message's id.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::MessageId"))]
    pub id: String,
    /// Its position in the user's mailbox.
    #[serde(flatten)]
    pub position: Position,
    /// Whether the user has read it, on any device.
    pub read: bool,
    /// The `message` frame that the socket would bring, sealed for the device that asks: `SealedFrame` and `Message` in
    /// [asyncapi.yaml](asyncapi.yaml).
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::SealedFrame"))]
    pub frame: String,
}

/// How much of the inbox is unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnreadAnswer {
    /// Messages that the user has read on no device.
    #[cfg_attr(feature = "schema", schemars(range(max = limits::UNREAD_COUNTED)))]
    pub count: u64,
    /// Whether counting stopped before the end, at [`limits::UNREAD_COUNTED`] or after 400 messages; there may be more.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<InboxRequest, Vec<String>> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut fields = Fields::of_query(pairs);
        let request = InboxRequest::read(&mut fields);
        let problems = fields.into_problems();
        let wrong = problems.into_iter().map(|it| format!("{} {}", it.field, it.detail)).collect::<Vec<_>>();
        if wrong.is_empty() { Ok(request) } else { Err(wrong) }
    }

    fn cursor(epoch: u64, seq: u64) -> Cursor {
        Cursor(Position { epoch, seq })
    }

    #[test]
    fn a_query_has_defaults_and_limits() {
        assert_eq!(parse(&[]), Ok(InboxRequest { limit: 50, before: None }));
        assert_eq!(parse(&[("limit", "1")]).unwrap().limit, 1);
        assert_eq!(parse(&[("limit", "100")]).unwrap().limit, 100);
        let before = cursor(1_795_334_400_000, 7);
        assert_eq!(parse(&[("before", &before.to_string())]), Ok(InboxRequest { limit: 50, before: Some(before) }));
    }

    #[test]
    fn everything_that_is_wrong_is_named() {
        for limit in ["0", "101", "-1", "1.5", "many", "", "18446744073709551616", "+3", " 3", "3e0", "٣"] {
            let wrong = parse(&[("limit", limit)]).unwrap_err();
            assert_eq!(wrong, ["limit must be a whole number from 1 to 100"], "{limit:?}");
        }
        for before in ["7", "-", "7-", "07-1", "+7-1", "7-1-1", "G-1", "A-1", "10000000000000000-1"] {
            let wrong = parse(&[("before", before)]).unwrap_err();
            assert_eq!(wrong, ["before must be the `next` of a page, as it came"], "{before:?}");
        }
        assert_eq!(parse(&[("before", "")]).unwrap_err(), ["before must not be empty"]);
        assert_eq!(parse(&[("limit", "1"), ("limit", "1")]).unwrap_err(), ["limit is given twice"]);
        let unknown = "befor is not a field of this request; did you mean `before`?";
        assert_eq!(parse(&[("befor", "7-1"), ("limit", "x")]).unwrap_err().last().unwrap(), unknown);
    }

    #[test]
    fn a_cursor_reads_what_it_writes() {
        for cursor in [cursor(0, 0), cursor(7, 1), cursor(u64::MAX, u64::MAX)] {
            let text = cursor.to_string();
            assert!(text.len() <= CURSOR_CHARS);
            assert_eq!(text.parse(), Ok(cursor));
        }
    }

    #[test]
    fn the_largest_page_fits_an_answer_of_lambda() {
        const LAMBDA_ANSWER_BYTES: u64 = 6 * 1024 * 1024;
        // Base64 of the padded ciphertext; head, tag and what stands around the frame.
        let frame = limits::FRAME_PLAINTEXT_BYTES.div_ceil(16) * 16 + 16;
        let message = u64::try_from(frame.div_ceil(3) * 4 + 1_024).unwrap();
        assert!(limits::INBOX_PAGE.end() * message < LAMBDA_ANSWER_BYTES);
    }

    #[test]
    fn answers_are_flat() {
        let message =
            InboxMessage { id: "m".into(), position: Position { epoch: 7, seq: 3 }, read: true, frame: "f".into() };
        let answer = InboxAnswer { messages: vec![message], next: None };
        let json = serde_json::json!({"messages": [{"id": "m", "epoch": 7, "seq": 3, "read": true, "frame": "f"}]});
        assert_eq!(serde_json::to_value(&answer).unwrap(), json);
        assert_eq!(serde_json::from_value::<InboxAnswer>(json).unwrap(), answer);
    }
}
