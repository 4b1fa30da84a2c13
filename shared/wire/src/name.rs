//! Names: aliases, tenants, categories, items and other texts by which something is found again. Two that look the same
//! must be the same, so what no person sees is refused by name, and nothing is normalised in silence.

use unicode_normalization::is_nfc;

/// The word that names everyone at other services. An alias of this name would receive what was meant for all.
const ALL: &str = "ALL";

/// Why an alias must not be `ALL`, and what reaches everyone.
pub const EVERYONE: &str = "must not be `ALL`: to reach everyone, announce it with `POST /v1/announcements`";

/// Whether a text is `ALL`, in any case, with or without blanks around it.
#[must_use]
pub fn is_everyone(text: &str) -> bool {
    // Full-width letters, as input methods write them, are the same word to a reader.
    let narrow = |c: char| match u32::from(c) {
        wide @ 0xff01..=0xff5e => char::from_u32(wide - 0xfee0).unwrap_or(c),
        _ => c,
    };
    text.trim().chars().map(narrow).collect::<String>().eq_ignore_ascii_case(ALL)
}

/// Checks the characters of a name.
///
/// # Errors
/// The character that is refused, or that the text is not in Unicode's normal form C.
pub fn check(text: &str) -> Result<(), String> {
    if let Some(invisible) = first_invisible(text) {
        let kind = match invisible {
            // What bytes that are no UTF-8 have become on their way: other bytes would have become the same.
            '\u{fffd}' => "replacement",
            control if control.is_control() => "control",
            _ => "invisible",
        };
        return Err(format!("must not contain the {kind} character U+{:04X}", u32::from(invisible)));
    }
    if is_nfc(text) { Ok(()) } else { Err("must be in Unicode normal form C (NFC)".to_owned()) }
}

/// Checks an alias: a name that is not `ALL`.
///
/// # Errors
/// As [`check`], or [`EVERYONE`].
pub fn check_alias(text: &str) -> Result<(), String> {
    if is_everyone(text) { Err(EVERYONE.to_owned()) } else { check(text) }
}

/// Checks a name that is to stand in a path. API Gateway decodes a path before it routes it, and clients take `.` and
/// `..` out of it: such a name would be that of another, or of none.
///
/// # Errors
/// What the name must not be.
pub fn check_segment(text: &str) -> Result<(), &'static str> {
    match text {
        "" => Err("must not be empty"),
        "." | ".." => Err(NO_SEGMENT),
        _ if text.contains(['/', '?', '%']) => Err(NO_SEGMENT),
        _ => Ok(()),
    }
}

const NO_SEGMENT: &str = "must not be `.` or `..`, nor have `/`, `?` or `%`: paths do not carry such a name";

/// Unicode's `Default_Ignorable_Code_Point` (DerivedCoreProperties.txt), separators of lines, annotations, the blank of
/// Braille, the controls of Egyptian hieroglyphs, and what bytes become that are no text. Joiners and selectors of
/// variants are not among them, because some writing needs them: see [`is_shown_behind`]. Nor are the code points to
/// which Unicode assigns no character yet: each year some of them become letters.
const INVISIBLE: [std::ops::RangeInclusive<char>; 21] = [
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180e}'..='\u{180e}',
    '\u{200b}'..='\u{200b}',
    '\u{200e}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{fffd}'..='\u{fffd}',
    '\u{13430}'..='\u{1343f}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e00ff}',
    '\u{e01f0}'..='\u{e0fff}',
];

/// The first character that no person sees where it stands.
fn first_invisible(text: &str) -> Option<char> {
    let mut before = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if is_invisible(c) || !is_shown_behind(before, c, rest.clone().next()) {
            return Some(c);
        }
        before = Some(c);
    }
    None
}

/// Whether a joiner (U+200C, U+200D) or a selector of a variant changes what is shown, as far as its neighbours show:
/// behind a letter of a script that joins its letters, or a character that has variants. `true` for all others.
fn is_shown_behind(before: Option<char>, c: char, after: Option<char>) -> bool {
    let before = before.map_or(0, u32::from);
    match c {
        // Scripts from Arabic to Myanmar, Khmer and Mongolian, others of Asia and Africa, and emoji.
        '\u{200c}' | '\u{200d}' => matches!(
            before,
            0x600..=0x109f | 0x1780..=0x18af | 0x1a20..=0x1cff | 0x2190..=0x2bff | 0xa800..=0xabff | 0xfe0f
                | 0x1_0a00..=0x1_1fff | 0x1_e900..=0x1_eeff | 0x1_f000..=0x1_faff | 0xe_007f
        ),
        // A keycap is a digit, this selector and U+20E3.
        '\u{fe0f}' if matches!(before, 0x23 | 0x2a | 0x30..=0x39) => after == Some('\u{20e3}'),
        // Symbols, letters of Myanmar and 'Phags-pa, Chinese characters, emoji.
        '\u{fe00}'..='\u{fe0f}' => matches!(
            before,
            0xa9 | 0xae | 0x1000..=0x109f | 0x203c..=0x9fff | 0xa840..=0xa877 | 0xf900..=0xfaff
                | 0x1_f000..=0x1_faff | 0x2_0000..=0x3_ffff
        ),
        '\u{180b}'..='\u{180d}' | '\u{180f}' => matches!(before, 0x1800..=0x18af),
        '\u{e0100}'..='\u{e01ef}' => matches!(before, 0x3400..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff),
        _ => true,
    }
}

fn is_invisible(c: char) -> bool {
    // The last two of each plane, and 32 more, are no characters at all (The Unicode Standard, section 23.7).
    let is_none = u32::from(c) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c);
    c.is_control() || is_none || INVISIBLE.iter().any(|range| range.contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_no_alias_in_any_case() {
        for all in ["ALL", "all", "All", "aLL", " all ", "\u{a0}ALL", "ＡＬＬ", "ａＬl"] {
            assert_eq!(check_alias(all), Err(EVERYONE.to_owned()), "{all}");
            assert!(check_alias(all).unwrap_err().contains("/v1/announcements"));
        }
        for ordinary in ["ALLY", "allen", "all@qun", "a@org", "b@tenant", "c@app", "d@user", "ALL@org", "@all", "al l"]
        {
            assert_eq!(check_alias(ordinary), Ok(()), "{ordinary}");
        }
    }

    #[test]
    fn a_name_that_no_path_carries_is_refused() {
        for name in [".", "..", "a/b", "/", "what?", "50%", "a%2Fb"] {
            assert_eq!(check_segment(name), Err(NO_SEGMENT), "{name}");
        }
        assert_eq!(check_segment(""), Err("must not be empty"));
        for name in ["...", "a.b", "order:4711", "a b", "张伟", "a\\b", "#1", "a&b;c"] {
            assert_eq!(check_segment(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_nobody_sees_is_refused_by_name() {
        for (text, named) in [
            ("a\tb", "the control character U+0009"),
            ("a\n", "the control character U+000A"),
            ("\u{7f}a", "the control character U+007F"),
            ("a\u{85}", "the control character U+0085"),
            ("\u{202e}ecila", "the invisible character U+202E"),
            ("a\u{2066}b", "the invisible character U+2066"),
            ("a\u{200f}", "the invisible character U+200F"),
            ("a\u{61c}", "the invisible character U+061C"),
            ("a\u{2028}b", "the invisible character U+2028"),
            ("a\u{200b}", "the invisible character U+200B"),
            ("\u{feff}alice", "the invisible character U+FEFF"),
            ("a\u{ad}", "the invisible character U+00AD"),
            ("a\u{34f}", "the invisible character U+034F"),
            ("\u{3164}", "the invisible character U+3164"),
            ("\u{ffa0}", "the invisible character U+FFA0"),
            ("a\u{180e}b", "the invisible character U+180E"),
            ("a\u{206a}", "the invisible character U+206A"),
            ("\u{2800}", "the invisible character U+2800"),
            ("a\u{fffb}", "the invisible character U+FFFB"),
            ("a\u{e0001}", "the invisible character U+E0001"),
            ("a\u{e0041}", "the invisible character U+E0041"),
            ("a\u{fdd0}", "the invisible character U+FDD0"),
            ("a\u{ffff}", "the invisible character U+FFFF"),
            ("a\u{13430}b", "the invisible character U+13430"),
            ("a\u{200d}b", "the invisible character U+200D"),
            ("\u{200c}a", "the invisible character U+200C"),
            ("я\u{200d}", "the invisible character U+200D"),
            ("م\u{200d}\u{200d}", "the invisible character U+200D"),
            ("a\u{fe0f}b", "the invisible character U+FE0F"),
            ("1\u{fe0f}", "the invisible character U+FE0F"),
            ("漢\u{fe00}\u{fe00}", "the invisible character U+FE00"),
            ("a\u{e0100}", "the invisible character U+E0100"),
            ("a\u{180b}", "the invisible character U+180B"),
            ("a\u{fffd}", "the replacement character U+FFFD"),
            ("e\u{301}", "normal form C"),
            ("\u{1100}\u{1161}", "normal form C"),
            ("\u{212b}", "normal form C"),
        ] {
            assert!(check(text).is_err_and(|detail| detail.contains(named)), "{text:?}: {:?}", check(text));
        }
        for text in [
            "é",
            "张伟",
            "가",
            "नमस्ते",
            "می\u{200c}خواهم",
            "👩\u{200d}👧",
            "❤\u{fe0f}",
            "葛\u{e0100}",
            "a b",
            "O'Hara, 50% | x/y",
            "עברית",
        ] {
            assert_eq!(check(text), Ok(()), "{text:?}");
        }
    }
}
