//! The syntax of language tags (RFC 5646, section 2.1), which is that of BCP 47: whether a tag is well-formed, not
//! whether the language exists.

/// Tags from before the syntax that do not follow it: the `irregular` ones.
const IRREGULAR: [&str; 17] = [
    "en-GB-oed",
    "i-ami",
    "i-bnn",
    "i-default",
    "i-enochian",
    "i-hak",
    "i-klingon",
    "i-lux",
    "i-mingo",
    "i-navajo",
    "i-pwn",
    "i-tao",
    "i-tay",
    "i-tsu",
    "sgn-BE-FR",
    "sgn-BE-NL",
    "sgn-CH-DE",
];

/// The same syntax as a regular expression, for documents.
#[cfg(feature = "schema")]
pub(crate) const PATTERN: &str = "^(([A-Za-z]{2,3}(-[A-Za-z]{3}){0,3}|[A-Za-z]{4,8})(-[A-Za-z]{4})?\
    (-([A-Za-z]{2}|[0-9]{3}))?\
    (-([A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*(-[0-9A-WY-Za-wy-z](-[A-Za-z0-9]{2,8})+)*(-[Xx](-[A-Za-z0-9]{1,8})+)?\
    |[Xx](-[A-Za-z0-9]{1,8})+\
    |en-GB-oed|i-(ami|bnn|default|enochian|hak|klingon|lux|mingo|navajo|pwn|tao|tay|tsu)|sgn-(BE-FR|BE-NL|CH-DE))$";

/// Checks that a text is a language tag.
///
/// # Errors
/// What it must be, with an example.
pub(crate) fn check(text: &str) -> Result<(), String> {
    if is_well_formed(text) {
        return Ok(());
    }
    let dashed = text.replace('_', "-");
    let example = if is_well_formed(&dashed) { dashed } else { "zh-CN".to_owned() };
    Err(format!("must be a language tag as in BCP 47, for example {example}"))
}

fn is_well_formed(tag: &str) -> bool {
    if IRREGULAR.iter().any(|known| known.eq_ignore_ascii_case(tag)) {
        return true;
    }
    let subtags: Vec<&str> = tag.split('-').collect();
    let rest = subtags.as_slice();
    is_private(rest) || language(rest).is_some_and(|rest| ends(variants(option(option(rest, is_script), is_region))))
}

/// What follows the language and up to three extensions of it.
fn language<'a, 't>(subtags: &'a [&'t str]) -> Option<&'a [&'t str]> {
    let (first, mut rest) = subtags.split_first()?;
    if !is_alpha(first, 2..=8) {
        return None;
    }
    if first.len() <= 3 {
        for _ in 0..3 {
            rest = option(rest, |subtag| is_alpha(subtag, 3..=3));
        }
    }
    Some(rest)
}

/// What follows a subtag that may be there.
fn option<'a, 't>(subtags: &'a [&'t str], is_it: impl Fn(&str) -> bool) -> &'a [&'t str] {
    match subtags.split_first() {
        Some((first, rest)) if is_it(first) => rest,
        Some(_) | None => subtags,
    }
}

fn variants<'a, 't>(mut subtags: &'a [&'t str]) -> &'a [&'t str] {
    let is_variant = |subtag: &str| {
        is_alphanumeric(subtag, 5..=8)
            || is_alphanumeric(subtag, 4..=4) && subtag.starts_with(|first: char| first.is_ascii_digit())
    };
    while let Some((_, rest)) = subtags.split_first().filter(|(first, _)| is_variant(first)) {
        subtags = rest;
    }
    subtags
}

/// Whether nothing follows but extensions, each a single character and its subtags, and then what is private.
fn ends(mut subtags: &[&str]) -> bool {
    while let Some((singleton, rest)) = subtags.split_first() {
        if is_private(subtags) {
            return true;
        }
        let own = rest.iter().take_while(|subtag| is_alphanumeric(subtag, 2..=8)).count();
        if !is_alphanumeric(singleton, 1..=1) || singleton.eq_ignore_ascii_case("x") || own == 0 {
            return false;
        }
        subtags = &rest[own..];
    }
    true
}

fn is_private(subtags: &[&str]) -> bool {
    subtags.split_first().is_some_and(|(first, rest)| {
        first.eq_ignore_ascii_case("x") && !rest.is_empty() && rest.iter().all(|subtag| is_alphanumeric(subtag, 1..=8))
    })
}

fn is_script(subtag: &str) -> bool {
    is_alpha(subtag, 4..=4)
}

fn is_region(subtag: &str) -> bool {
    is_alpha(subtag, 2..=2) || subtag.len() == 3 && subtag.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_alpha(subtag: &str, length: std::ops::RangeInclusive<usize>) -> bool {
    length.contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn is_alphanumeric(subtag: &str, length: std::ops::RangeInclusive<usize>) -> bool {
    length.contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 5646, appendix A, and more.
    #[test]
    fn tags_of_the_rfc_are_taken() {
        for tag in [
            "de",
            "fr",
            "ja",
            "i-enochian",
            "zh-Hant",
            "zh-Hans",
            "sr-Cyrl",
            "sr-Latn",
            "zh-cmn-Hans-CN",
            "cmn-Hans-CN",
            "zh-yue-HK",
            "yue-HK",
            "zh-Hans-CN",
            "sr-Latn-RS",
            "sl-rozaj",
            "sl-rozaj-biske",
            "sl-nedis",
            "de-CH-1901",
            "sl-IT-nedis",
            "hy-Latn-IT-arevela",
            "de-DE",
            "en-US",
            "es-419",
            "de-CH-x-phonebk",
            "az-Arab-x-AZE-derbend",
            "x-whatever",
            "qaa-Qaaa-QM-x-southern",
            "de-Qaaa",
            "sr-Latn-QM",
            "sr-Qaaa-RS",
            "en-US-u-islamcal",
            "zh-CN-a-myext-x-private",
            "en-a-myext-b-another",
            "art-lojban",
            "zh-min-nan",
            "EN-gb-OED",
            "sgn-be-fr",
            "zh-CN",
            "zh-Hans-CN-u-nu-hanidec",
            "en-u-ca-gregory-hc-h23",
            "und",
            "mul",
            "x-1",
        ] {
            assert_eq!(check(tag), Ok(()), "{tag}");
        }
    }

    #[test]
    fn what_is_no_tag_is_refused_with_an_example() {
        let longest = "x".repeat(64);
        for text in [
            "!!",
            "a",
            "x",
            "x-",
            "-de",
            "de-",
            "de--DE",
            "de-419-DE",
            "a-DE",
            "deutschland",
            "de_DE",
            "de-DE-",
            "en-x",
            "en-u",
            "en-u-",
            "en-u-x",
            "zh-Hans-Hant",
            "de-DE-DE",
            "zh 中",
            "é",
            "1de",
            "en-a",
            "en-US.UTF-8",
            "C.UTF-8",
            "de-CH-190",
            "i-nothing",
            "en-toolongsubtag",
            &longest,
        ] {
            assert!(
                check(text).is_err_and(|detail| detail.ends_with("for example zh-CN") || text == "de_DE"),
                "{text}"
            );
        }
        assert_eq!(check("de_DE"), Err("must be a language tag as in BCP 47, for example de-DE".to_owned()));
        assert_eq!(check("zh_Hans_CN"), Err("must be a language tag as in BCP 47, for example zh-Hans-CN".to_owned()));
    }
}
