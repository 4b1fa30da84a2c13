//! Reading a request body: size, nesting, syntax, that it is an object, and that nothing of it is lost.

mod faithful;

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::{FieldProblem, limits};

/// Why a body is not a JSON object that we read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// More bytes than [`limits::HTTP_BODY_BYTES`].
    TooLarge {
        /// Size of the body, in bytes.
        bytes: usize,
    },
    /// Arrays and objects nested deeper than [`limits::JSON_DEPTH`].
    TooDeep,
    /// It begins with a byte order mark, which JSON on the wire may not have (RFC 8259 §8.1).
    ByteOrderMark {
        /// Whether it is that of UTF-16.
        utf16: bool,
    },
    /// Not JSON (RFC 8259).
    Syntax {
        /// Line of the error, from 1.
        line: usize,
        /// Column of the error, from 1.
        column: usize,
    },
    /// JSON, but not an object.
    NotAnObject,
    /// Names that are given twice, and numbers that would arrive changed.
    Fields(Vec<FieldProblem>),
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge { bytes } => {
                write!(f, "the body has {bytes} bytes; the limit is {}", limits::HTTP_BODY_BYTES)
            }
            Self::TooDeep => write!(f, "the body is nested deeper than {} levels", limits::JSON_DEPTH),
            Self::ByteOrderMark { utf16: false } => write!(f, "the body begins with a byte order mark (U+FEFF)"),
            Self::ByteOrderMark { utf16: true } => {
                write!(f, "the body begins with the byte order mark of UTF-16; it has to be UTF-8")
            }
            Self::Syntax { line, column } => write!(f, "the body is not JSON: line {line}, column {column}"),
            Self::NotAnObject => write!(f, "the body is JSON, but not an object"),
            Self::Fields(problems) => f.write_str(&FieldProblem::summary(problems)),
        }
    }
}

/// Reads a body as one JSON object.
///
/// # Errors
/// See [`JsonError`]. Size and nesting are checked before anything is allocated for the document, and every name and
/// number before the parser drops or rounds one.
pub fn object(body: &[u8]) -> Result<Map<String, Value>, JsonError> {
    if body.len() > limits::HTTP_BODY_BYTES {
        return Err(JsonError::TooLarge { bytes: body.len() });
    }
    if let Some(utf16) = byte_order_mark(body) {
        return Err(JsonError::ByteOrderMark { utf16 });
    }
    if depth(body) > limits::JSON_DEPTH {
        return Err(JsonError::TooDeep);
    }
    let syntax = |error: serde_json::Error| JsonError::Syntax { line: error.line(), column: error.column() };
    serde_json::from_slice::<IgnoredAny>(body).map_err(syntax)?;
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(JsonError::NotAnObject);
    }
    let problems = faithful::problems(body);
    if !problems.is_empty() {
        return Err(JsonError::Fields(problems));
    }
    serde_json::from_slice(body).map_err(syntax)
}

/// Whether a body begins with a byte order mark, and whether it is that of UTF-16.
fn byte_order_mark(body: &[u8]) -> Option<bool> {
    match body {
        [0xef, 0xbb, 0xbf, ..] => Some(false),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some(true),
        _ => None,
    }
}

/// Deepest nesting of brackets outside strings. Exact for JSON; for anything else the parser has the last word.
fn depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests;
