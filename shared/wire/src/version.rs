//! Versions of apps, compared.

/// Most numbers of a version.
const NUMBERS: usize = 4;

/// A version: one to four whole numbers with dots between them, `2.10` or `2.10.0.3`; missing ones count as 0. With a
/// `-` it is from before the release of these numbers, and a suffix after `+` does not affect the order (Semantic
/// Versioning 2.0.0 §9 to §11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    numbers: [u64; NUMBERS],
    is_release: bool,
}

impl Version {
    /// Parses a version; `None` if the text is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (text, _build) = text.split_once('+').unwrap_or((text, ""));
        let (text, is_release) = text.split_once('-').map_or((text, true), |(text, _)| (text, false));
        let mut numbers = [0; NUMBERS];
        for (index, number) in text.split('.').enumerate() {
            // `parse` alone would take a sign, too.
            let is_digits = number.bytes().all(|byte| byte.is_ascii_digit());
            *numbers.get_mut(index)? = Some(number).filter(|_| is_digits)?.parse().ok()?;
        }
        Some(Self { numbers, is_release })
    }

    /// Whether this is what was released, and not something before it.
    #[must_use]
    pub fn is_release(self) -> bool {
        self.is_release
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        let ordered = [
            "0.9",
            "1",
            "1.2.0-beta.1",
            "1.2",
            "1.2.0.1",
            "1.10-rc",
            "1.10.0",
            "1.10.1",
            "2.0",
            "9.0.202611221234",
            "9.0.202611221235",
            "10",
        ];
        let versions = ordered.map(|text| Version::parse(text).unwrap());
        assert!(versions.is_sorted_by(|one, next| one < next));
        for (one, other) in [("1", "1.0.0.0"), ("1.2+55", "1.2.0"), ("1.2-a", "1.2-b+7"), ("01.2", "1.2")] {
            assert_eq!(Version::parse(one), Version::parse(other), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_version_is_none() {
        for text in
            ["", ".", "1.", ".1", "v1", "1.2.3.4.5", "1,2", "-1", "+1", "1.+2", "18446744073709551616", "eins", "1 "]
        {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
    }
}
