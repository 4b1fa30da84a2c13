//! Wildcards of policies: `*` stands for any number of characters, including none, and `?` for one.

/// Whether a text matches a pattern as a whole. `*` matches `:` and `/`, too, as it does at the end of an ARN's segment
/// on AWS (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html>).
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    matches_by(pattern, text, |wanted, found| wanted == found)
}

/// Whether an action matches a pattern, without regard to case.
pub(super) fn matches_action(pattern: &str, action: &str) -> bool {
    matches_by(pattern, action, |wanted, found| wanted.eq_ignore_ascii_case(&found))
}

fn matches_by(pattern: &str, text: &str, is_same: impl Fn(u8, u8) -> bool) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // The last asterisk, and the position in the text after the part that it matches.
    let mut asterisk: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                asterisk = Some((at, seen));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || is_same(*wanted, text[seen]) => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((place, behind)) = asterisk else { return false };
                asterisk = Some((place, behind + 1));
                at = place + 1;
                seen = behind + 1;
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == b'*')
}
