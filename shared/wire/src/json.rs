//! Reading a request body: size, nesting, syntax, and that it is an object.

use serde_json::{Map, Value};

use crate::limits;

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
    /// Not JSON (RFC 8259).
    Syntax {
        /// Line of the error, from 1.
        line: usize,
        /// Column of the error, from 1.
        column: usize,
    },
    /// JSON, but not an object.
    NotAnObject,
}

impl std::fmt::Display for JsonError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLarge { bytes } => {
                write!(f, "the body has {bytes} bytes; the limit is {}", limits::HTTP_BODY_BYTES)
            }
            Self::TooDeep => write!(f, "the body is nested deeper than {} levels", limits::JSON_DEPTH),
            Self::Syntax { line, column } => write!(f, "the body is not JSON: line {line}, column {column}"),
            Self::NotAnObject => write!(f, "the body is JSON, but not an object"),
        }
    }
}

/// Reads a body as one JSON object.
///
/// # Errors
/// See [`JsonError`]. Size and nesting are checked before anything is allocated for the document.
pub fn object(body: &[u8]) -> Result<Map<String, Value>, JsonError> {
    if body.len() > limits::HTTP_BODY_BYTES {
        return Err(JsonError::TooLarge { bytes: body.len() });
    }
    if depth(body) > limits::JSON_DEPTH {
        return Err(JsonError::TooDeep);
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(JsonError::NotAnObject),
        Err(error) => Err(JsonError::Syntax { line: error.line(), column: error.column() }),
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
mod tests {
    use super::*;

    fn nested(levels: usize) -> String {
        // The outer object is the first level.
        format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1))
    }

    #[test]
    fn reads_64_levels_and_refuses_65() {
        assert!(object(nested(64).as_bytes()).is_ok());
        assert_eq!(object(nested(65).as_bytes()), Err(JsonError::TooDeep));
    }

    #[test]
    fn does_not_count_brackets_in_strings() {
        let body = format!("{{\"a\":\"{}\\\"{}\"}}", "[".repeat(100), "{".repeat(100));
        assert!(object(body.as_bytes()).is_ok());
    }

    #[test]
    fn names_the_place_of_a_syntax_error() {
        assert_eq!(object(b"{\n  nope}"), Err(JsonError::Syntax { line: 2, column: 3 }));
        assert_eq!(object(b"[]"), Err(JsonError::NotAnObject));
    }

    #[test]
    fn refuses_one_byte_more_than_the_limit() {
        let fill = limits::HTTP_BODY_BYTES - "{\"a\":\"\"}".len();
        assert!(object(format!("{{\"a\":\"{}\"}}", "x".repeat(fill)).as_bytes()).is_ok());
        let body = format!("{{\"a\":\"{}\"}}", "x".repeat(fill + 1));
        assert_eq!(object(body.as_bytes()), Err(JsonError::TooLarge { bytes: limits::HTTP_BODY_BYTES + 1 }));
    }
}
