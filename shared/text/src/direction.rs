//! The characters by which a text changes its direction (Unicode's `Bidi_Control`, UAX #9).
//!
//! Text from right to left needs some of them: a name in Latin letters within a Hebrew sentence is isolated from it. If
//! another program shows the text, such as the subject of an email, an unclosed one also turns the text after it. An
//! override makes `gpj.exe` of `exe.jpg`.

/// An open direction, and the offset of its character.
struct Begun {
    at: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Until U+202C.
    Embedding,
    /// Until U+202C, against the direction of the letters themselves.
    Override,
    /// Until U+2069.
    Isolate,
}

/// Whether the character only turns the direction of others, or marks it.
pub(crate) fn is_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text without overrides, and without embeddings and isolates that do not begin and end on one line, because each
/// ends with its line anyway. Marks, which turn nothing but themselves (U+200E, U+200F, U+061C), stay.
#[must_use]
pub fn contained(text: &str) -> String {
    let mut is_kept = vec![true; text.len()];
    let mut begun: Vec<Begun> = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            '\u{202a}' | '\u{202b}' => begun.push(Begun { at, kind: Kind::Embedding }),
            '\u{202d}' | '\u{202e}' => begun.push(Begun { at, kind: Kind::Override }),
            '\u{2066}'..='\u{2068}' => begun.push(Begun { at, kind: Kind::Isolate }),
            '\u{202c}' => match begun.pop_if(|last| last.kind != Kind::Isolate) {
                Some(Begun { kind: Kind::Embedding, .. }) => {}
                Some(Begun { at: start, .. }) => (is_kept[start], is_kept[at]) = (false, false),
                None => is_kept[at] = false,
            },
            '\u{2069}' => match begun.iter().rposition(|it| it.kind == Kind::Isolate) {
                // It also ends the directions within it.
                Some(isolate) => begun.drain(isolate..).skip(1).for_each(|inner| is_kept[inner.at] = false),
                None => is_kept[at] = false,
            },
            _ if super::is_line_end(c) => begun.drain(..).for_each(|open| is_kept[open.at] = false),
            _ => {}
        }
    }
    begun.iter().for_each(|open| is_kept[open.at] = false);
    text.char_indices().filter(|(at, _)| is_kept[*at]).map(|(_, c)| c).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_go() {
        for (text, expected) in [
            ("photo\u{202e}gpj.exe", "photogpj.exe"),
            ("\u{202d}12\u{202c}3", "123"),
            ("a\u{202e}b\u{202c}c\u{202c}", "abc"),
            ("\u{2067}a\u{202e}b\u{202c}c\u{2069}", "\u{2067}abc\u{2069}"),
            ("\u{2067}a\u{202e}b\u{2069}", "\u{2067}ab\u{2069}"),
            ("\u{202b}a\u{202e}b\u{202c}c\u{202c}", "\u{202b}abc\u{202c}"),
        ] {
            assert_eq!(contained(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_begins_and_ends_on_one_line_stays() {
        for text in [
            "",
            "plain, עברית, العربية",
            "הזמנה \u{2066}Order 4711\u{2069} מוכנה",
            "\u{2067}a\u{2068}b\u{2069}c\u{2069} \u{2066}d\u{2069}",
            "\u{200f}שלום\u{200e}!\u{61c}",
            "\u{200f}\u{202b}שלום\u{202c}\u{200f}",
            "\u{202a}a\u{2067}b\u{2069}\u{202c}",
            "می\u{200c}خواهم 👩\u{200d}👧",
        ] {
            assert_eq!(contained(text), text, "{text:?}");
        }
    }

    #[test]
    fn what_ends_nowhere_or_on_another_line_goes() {
        for (text, expected) in [
            ("\u{2067}abc", "abc"),
            ("abc\u{2069}\u{202c}", "abc"),
            ("\u{202b}abc", "abc"),
            ("\u{2067}a\nb\u{2069}", "a\nb"),
            ("\u{2066}a\u{2029}b\u{2069}", "a\u{2029}b"),
            ("\u{2067}a\u{1c}b\u{2069}", "a\u{1c}b"),
            ("\u{2066}a\u{2066}b\u{2069}c", "a\u{2066}b\u{2069}c"),
            // An isolate ends an embedding within it, and is not ended by the end of one.
            ("\u{2066}a\u{202b}b\u{2069}c\u{202c}", "\u{2066}ab\u{2069}c"),
            ("\u{202b}a\u{2066}b\u{202c}c\u{2069}", "a\u{2066}bc\u{2069}"),
            ("\u{2069}a\u{2066}", "a"),
        ] {
            assert_eq!(contained(text), expected, "{text:?}");
            assert_eq!(contained(expected), expected, "a second time changes nothing: {text:?}");
        }
    }
}
