//! What a parser would drop from a JSON document silently: the first of two values under one name, and the digits of a
//! number that a double does not hold.

use std::collections::HashMap;

use crate::{FieldProblem, limits};

/// The field whose value is carried as it is, so that its numbers have to come out as they went in.
const CARRIED: &str = "extra";

/// Most characters of a name that a problem shows.
const SHOWN: usize = 64;

/// Names given twice at any depth, numbers of `extra` that would arrive changed, and numbers beyond those of a double.
/// The body is valid JSON.
pub(super) fn problems(body: &[u8]) -> Vec<FieldProblem> {
    let mut walk = Walk { body, at: 0, path: String::new(), problems: Vec::new() };
    walk.value(Place::Top);
    walk.problems
}

/// The part of the document in which a value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The document itself.
    Top,
    /// Among the fields that the service reads.
    Read,
    /// Within the field that it carries.
    Carried,
}

struct Walk<'a> {
    body: &'a [u8],
    at: usize,
    path: String,
    problems: Vec<FieldProblem>,
}

impl Walk<'_> {
    fn value(&mut self, place: Place) {
        self.skip(|byte| byte.is_ascii_whitespace());
        match self.peek() {
            Some(b'{') => self.object(place),
            Some(b'[') => self.list(place),
            Some(b'"') => drop(self.string()),
            Some(byte) if is_of_a_number(byte) => self.number(place),
            Some(_) | None => {
                self.at += 1;
                self.skip(|byte| byte.is_ascii_alphabetic());
            }
        }
    }

    fn object(&mut self, place: Place) {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let length = self.path.len();
        self.at += 1;
        while self.has_item(b'}') {
            let name = self.string();
            self.skip(|byte| byte.is_ascii_whitespace());
            self.at += 1;
            if !self.path.is_empty() {
                self.path.push('.');
            }
            self.path.extend(name.chars().take(SHOWN));
            let inner = match place {
                Place::Top if name == CARRIED => Place::Carried,
                Place::Top => Place::Read,
                Place::Read | Place::Carried => place,
            };
            let times = seen.entry(name).or_default();
            *times += 1;
            if *times == 2 {
                self.refuse("is given twice");
            }
            self.value(inner);
            self.path.truncate(length);
        }
    }

    fn list(&mut self, place: Place) {
        let length = self.path.len();
        self.at += 1;
        let mut index = 0_usize;
        while self.has_item(b']') {
            self.path.push_str(&format!("[{index}]"));
            self.value(place);
            self.path.truncate(length);
            index += 1;
        }
    }

    /// Whether another item follows, at which the walk then stands; else it stands behind the closing bracket.
    fn has_item(&mut self, close: u8) -> bool {
        self.skip(|byte| byte.is_ascii_whitespace() || byte == b',');
        let is_item = self.peek().is_some_and(|byte| byte != close);
        self.at += usize::from(!is_item);
        is_item
    }

    /// Reads a string, escapes and all. The parser refuses one that is not text.
    fn string(&mut self) -> String {
        let begin = self.at;
        self.at += 1;
        while let Some(byte) = self.peek().filter(|byte| *byte != b'"') {
            self.at += if byte == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        let text = self.body.get(begin..self.at).unwrap_or_default();
        serde_json::from_slice(text).unwrap_or_else(|_| String::from_utf8_lossy(text).into_owned())
    }

    fn number(&mut self, place: Place) {
        let begin = self.at;
        self.skip(is_of_a_number);
        let text = str::from_utf8(self.body.get(begin..self.at).unwrap_or_default()).unwrap_or_default();
        let number = text.parse::<f64>().unwrap_or(f64::INFINITY);
        if number.is_infinite() {
            self.refuse("is a number beyond 1.8e308, the greatest that a double holds (IEEE 754)");
        } else if place == Place::Carried {
            let arrives = format!("{number:e}");
            if Decimal::of(text) != Decimal::of(&arrives) {
                let exact = limits::EXACT_INTEGER;
                self.refuse(format!(
                    "is a number that would arrive as {arrives}: beyond whole numbers up to {exact} and 15 digits of \
                     others, give it as a text"
                ));
            }
        }
    }

    fn refuse(&mut self, detail: impl Into<String>) {
        self.problems.push(FieldProblem::new(self.path.as_str(), detail));
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn skip(&mut self, is_skipped: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&is_skipped) {
            self.at += 1;
        }
    }
}

/// Whether a number of JSON may have this byte; those of its words begin with none of them.
fn is_of_a_number(byte: u8) -> bool {
    byte.is_ascii_digit() || b"-+.eE".contains(&byte)
}

/// The value of a decimal number, however it is written: `0.` and the digits, times ten to the power.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    power: i64,
}

impl Decimal {
    fn of(text: &str) -> Self {
        let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let from_first = digits.trim_start_matches('0');
        let zeros = digits.len() - from_first.len();
        let digits = from_first.trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Self { is_negative, digits, power: 0 };
        }
        let places = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        let exponent: i64 = exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX });
        Self { is_negative, digits, power: exponent.saturating_add(places(whole.len())).saturating_sub(places(zeros)) }
    }
}
