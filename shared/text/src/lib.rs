//! Text that has to fit: cut between characters as people see them (UAX #29), brought onto one line, kept within its
//! direction, or read from a file.
//!
//! A character on the screen may be many in memory: a flag is two, a family seven, a letter with its accents two or
//! more. A cut within one shows another character, or a box.

mod direction;

use std::{error::Error, fmt};

use unicode_segmentation::UnicodeSegmentation;

pub use direction::contained;

/// The mark at the end of a text that was cut.
pub const ELLIPSIS: char = '…';

/// The longest character that is kept whole, in scalar values. No script has a longer one; a letter under a hundred
/// accents is longer, and would take the whole text with it.
const LONGEST_CHARACTER: usize = 32;

/// The byte offsets at which a text may be cut, in order: behind each of its characters but the last, and behind each
/// scalar value of a character that is longer than any script has.
#[must_use]
pub fn cuts(text: &str) -> Vec<usize> {
    let mut cuts = Vec::new();
    for (start, character) in text.grapheme_indices(true) {
        if character.chars().nth(LONGEST_CHARACTER).is_some() {
            cuts.extend(character.char_indices().skip(1).map(|(at, _)| start + at));
        }
        cuts.push(start + character.len());
    }
    // Behind the last character nothing is left to cut.
    cuts.pop();
    cuts
}

/// The text if it has at most `max` scalar values, which is how providers count. Otherwise as much of its beginning as
/// fits with an ellipsis behind it, and `true`.
#[must_use]
pub fn cut(text: &str, max: usize) -> (String, bool) {
    // The offset behind the last scalar value that leaves room for the ellipsis.
    let Some((room, _)) = text.char_indices().nth(max.saturating_sub(1)) else { return (text.to_owned(), false) };
    if text[room..].chars().count() <= 1 {
        return (text.to_owned(), false);
    }
    let cuts = cuts(text);
    let fitting = cuts.partition_point(|cut| *cut <= room);
    // A first character that is longer than everything that fits is cut within.
    let end = fitting.checked_sub(1).map_or(room, |last| cuts[last]);
    (cut_at(text, end), true)
}

/// The text up to one of its [`cuts`], with an ellipsis behind it. A direction that ends behind the cut is left out.
#[must_use]
pub fn cut_at(text: &str, end: usize) -> String {
    format!("{}{ELLIPSIS}", contained(&text[..end]))
}

/// Whether a line ends here: at a line feed, a carriage return, a tab to the next line or page, or one of Unicode's
/// separators (U+001C to U+001E end a paragraph for the direction of text, UAX #9).
fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether a text shows anything but blanks and the characters that only turn its direction.
#[must_use]
pub fn shows_something(text: &str) -> bool {
    text.chars().any(|c| !c.is_whitespace() && !direction::is_control(c))
}

/// The lines of a text.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_line_end)
}

/// The text on one line: each run of control characters and line ends becomes one blank, so that no two words run
/// together. It neither begins nor ends with a blank.
#[must_use]
pub fn one_line(text: &str) -> String {
    let is_break = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let words: Vec<&str> = text.split(is_break).map(str::trim).filter(|words| !words.is_empty()).collect();
    words.join(" ")
}

/// The mark that programs of Windows put at the beginning of a Unicode file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A text without the byte order mark at its beginning.
#[must_use]
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Bytes that are not text in UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUtf8 {
    /// They begin with the byte order mark of UTF-16, as some programs of Windows write it.
    Utf16,
    /// They are not UTF-8 for another reason.
    Other,
}

impl fmt::Display for NotUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf16 => "it has the byte order mark of UTF-16: save it as UTF-8",
            Self::Other => "it is not text in UTF-8",
        })
    }
}

impl Error for NotUtf8 {}

/// The text of a file, without its byte order mark.
///
/// # Errors
/// [`NotUtf8`] if the bytes are not UTF-8.
pub fn decode(bytes: Vec<u8>) -> Result<String, NotUtf8> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(NotUtf8::Utf16);
    }
    let text = String::from_utf8(bytes).map_err(|_| NotUtf8::Other)?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAG: &str = "🇨🇳";
    const FAMILY: &str = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
    const ACCENTED: &str = "e\u{301}\u{323}";
    const SKIN: &str = "👍🏽";
    const KEYCAP: &str = "1\u{fe0f}\u{20e3}";
    const HANGUL: &str = "\u{1112}\u{1161}\u{11ab}";
    const DEVANAGARI: &str = "क्षि";
    const ENGLAND: &str = "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";

    #[test]
    fn a_cut_keeps_whole_characters() {
        for cluster in [FLAG, FAMILY, ACCENTED, SKIN, KEYCAP, HANGUL, DEVANAGARI, ENGLAND, "\r\n", "x"] {
            let size = cluster.chars().count();
            for lead in ["", "a", "ab"] {
                let text = format!("{lead}{}", cluster.repeat(30));
                for max in [size + 3, 40] {
                    let (short, is_cut) = cut(&text, max);
                    if text.chars().count() <= max {
                        assert!(!is_cut && short == text);
                        continue;
                    }
                    let kept = short.strip_suffix(ELLIPSIS).unwrap();
                    let clusters = kept.strip_prefix(lead).unwrap();
                    assert_eq!(clusters, cluster.repeat(clusters.chars().count() / size), "{text:?} to {max}");
                    let left = max - short.chars().count();
                    assert!(is_cut && left < size, "{text:?} to {max}: {left} are left");
                }
            }
        }
    }

    #[test]
    fn a_text_that_fits_stays() {
        for (text, max) in [("", 0), ("", 5), ("abc", 3), ("abc", 4), (FLAG, 2)] {
            assert_eq!(cut(text, max), (text.to_owned(), false), "{text:?} {max}");
        }
        assert_eq!(cut("abcd", 3), ("ab…".to_owned(), true));
    }

    #[test]
    fn a_character_longer_than_everything_is_cut_all_the_same() {
        let zalgo = format!("a{}", "\u{301}".repeat(100));
        let (short, is_cut) = cut(&zalgo, 10);
        assert!(is_cut && short.chars().count() == 10 && short.starts_with("a\u{301}"));
        assert_eq!(cut(FAMILY, 3).0.chars().count(), 3);
    }

    #[test]
    fn a_character_longer_than_any_writing_has_takes_nothing_with_it() {
        let accents = "\u{301}".repeat(500);
        for (lead, marks) in [("Shop: e", &accents), ("e", &accents), ("🇨🇳 👍", &"\u{200d}👍".repeat(100))] {
            for (text, max) in [(format!("{lead}{marks}"), 78), (format!("{lead}{marks} and more"), 160)] {
                let (short, is_cut) = cut(&text, max);
                assert!(is_cut && short.starts_with(lead), "{short:?}");
                assert_eq!(short.chars().count(), max, "{short:?}");
                let ends = cuts(&text);
                assert!(ends.is_sorted() && ends.iter().all(|end| text.is_char_boundary(*end) && *end < text.len()));
            }
        }
        let longest = format!("e{}", &accents[..2 * (LONGEST_CHARACTER - 1)]);
        assert_eq!(
            cut(&longest.repeat(3), 78).0,
            format!("{}…", longest.repeat(2)),
            "one that is not longer is kept whole"
        );
        assert_eq!(cuts(&longest), []);
    }

    #[test]
    fn a_cut_begins_no_direction_that_ends_behind_it() {
        assert_eq!(cut("ab\u{2067}cdefghi\u{2069}", 6).0, "abcd…");
        assert_eq!(cut("\u{2067}ab\u{2069}cdefghi", 6).0, "\u{2067}ab\u{2069}c…");
    }

    #[test]
    fn words_stay_apart_on_one_line() {
        for (text, expected) in [
            ("Order\t4711", "Order 4711"),
            ("Line1\rLine2", "Line1 Line2"),
            ("a\r\nb", "a b"),
            ("a\u{b}b\u{c}c\u{85}d\u{2028}e\u{2029}f", "a b c d e f"),
            ("a\0b\u{1b}[1mc\u{7f}d", "a b [1mc d"),
            ("\t a \t\n b\t", "a b"),
            ("a  b", "a  b"),
            ("\n\t", ""),
        ] {
            assert_eq!(one_line(text), expected, "{text:?}");
        }
        let split: Vec<&str> = lines("a\rb\nc\r\nd\u{2028}e").collect();
        assert_eq!(split, ["a", "b", "c", "", "d", "e"]);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_file() {
        assert_eq!(decode(b"\xef\xbb\xbf{}".to_vec()).as_deref(), Ok("{}"));
        assert_eq!(decode(b"{}".to_vec()).as_deref(), Ok("{}"));
        assert_eq!(decode("{\u{feff}}".into()).as_deref(), Ok("{\u{feff}}"), "elsewhere it is a character");
        assert_eq!(decode(b"\xff\xfe{\0".to_vec()), Err(NotUtf8::Utf16));
        assert_eq!(decode(b"\xfe\xff\0{".to_vec()), Err(NotUtf8::Utf16));
        assert_eq!(decode(b"{\xe4}".to_vec()), Err(NotUtf8::Other));
        assert_eq!((without_mark("\u{feff}a"), without_mark("a")), ("a", "a"));
    }
}
