//! The versions of the three sets of root keys, and what may be done to them.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
};

use tidings_crypto::{
    keys::{RootKeys, RootKeysError},
    random::RandomError,
};

/// The purposes of the sets, in the order of [`Sets`].
pub(super) const PURPOSES: [&str; 3] = ["content", "tokens", "links"];

/// The place of the set for links.
const LINKS: usize = 2;

/// The three sets: version to secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Sets([BTreeMap<u32, String>; 3]);

impl fmt::Debug for Sets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.versions()).finish()
    }
}

/// What was changed.
#[derive(Debug)]
pub(super) struct Change {
    /// Whether each set has to be stored.
    pub(super) changed: [bool; 3],
    /// The sentence for the operator.
    pub(super) note: String,
}

/// Why a change is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotPossible {
    /// No set has it.
    #[error("there is no root key of version {0}")]
    Unknown(u32),
    /// Devices would get no keys.
    #[error("version {0} is the newest: add the next one first (`tidings root-key add`), or give --leaked")]
    Newest(u32),
    /// There is no version above it.
    #[error("there is no version after {0}")]
    Last(u32),
    /// The operating system provided no randomness.
    #[error("draw a secret")]
    Random(#[from] RandomError),
}

type Secret<'a> = &'a dyn Fn() -> Result<String, RandomError>;

impl Sets {
    /// Reads the texts of the secrets; an error is that of the set of this purpose.
    pub(super) fn parse(texts: [&str; 3]) -> Result<Self, (&'static str, RootKeysError)> {
        let mut sets: [BTreeMap<u32, String>; 3] = Default::default();
        for (place, text) in texts.into_iter().enumerate() {
            RootKeys::parse(text).map_err(|error| (PURPOSES[place], error))?;
            sets[place] = serde_json::from_str(text).map_err(|_| (PURPOSES[place], RootKeysError::Malformed))?;
        }
        Ok(Self(sets))
    }

    /// The text of one secret.
    pub(super) fn text(&self, place: usize) -> String {
        let members: serde_json::Map<_, _> =
            self.0[place].iter().map(|(version, secret)| (version.to_string(), secret.as_str().into())).collect();
        serde_json::Value::Object(members).to_string()
    }

    /// The versions of each set.
    pub(super) fn versions(&self) -> impl Iterator<Item = (&'static str, Vec<u32>)> {
        PURPOSES.into_iter().zip(self.0.iter().map(|set| set.keys().copied().collect()))
    }

    fn newest(&self) -> u32 {
        self.0.iter().filter_map(|set| set.last_key_value()).map(|(version, _)| *version).max().unwrap_or(0)
    }

    /// Adds the next version to each set. If some sets lack the newest one of the others, because an earlier attempt
    /// broke off, they get that one instead.
    pub(super) fn add(&mut self, secret: Secret<'_>) -> Result<Change, NotPossible> {
        let newest = self.newest();
        let is_whole = self.0.iter().all(|set| set.contains_key(&newest));
        let version = if is_whole { newest.checked_add(1).ok_or(NotPossible::Last(newest))? } else { newest };
        let mut changed = [false; 3];
        for (set, changed) in self.0.iter_mut().zip(&mut changed) {
            if let Entry::Vacant(vacant) = set.entry(version) {
                vacant.insert(secret()?);
                *changed = true;
            }
        }
        Ok(Change { changed, note: format!("version {version} is added; functions know it within five minutes") })
    }

    /// Takes a version out of the sets for content and tokens, and out of that for links if wanted.
    pub(super) fn retire(&mut self, version: u32, links: bool) -> Result<Change, NotPossible> {
        let places = if links { 0..=LINKS } else { 0..=LINKS - 1 };
        let sets = &self.0[places.clone()];
        if !sets.iter().any(|set| set.contains_key(&version)) {
            return Err(NotPossible::Unknown(version));
        }
        // In each set, and in what content and tokens share: devices get their keys from there.
        let has_newer = |set: &BTreeMap<u32, String>| set.range(version + 1..).next().is_some();
        let newer_of_both = self.0[0].keys().any(|newer| *newer > version && self.0[1].contains_key(newer));
        if version == u32::MAX || !sets.iter().all(has_newer) || !newer_of_both {
            return Err(NotPossible::Newest(version));
        }
        Ok(self.take_out(version, places, "devices that still use it have to register again"))
    }

    /// Takes a version out of every set at once. If a set has no newer one, it gets a new one in the same write.
    pub(super) fn withdraw_leaked(&mut self, version: u32, secret: Secret<'_>) -> Result<Change, NotPossible> {
        if !self.0.iter().any(|set| set.contains_key(&version)) {
            return Err(NotPossible::Unknown(version));
        }
        let mut added = [false; 3];
        if self.retire_is_refused(version) {
            added = self.add(secret)?.changed;
            // An earlier attempt may have left the sets uneven at the leaked version itself.
            if self.retire_is_refused(version) {
                for (added, more) in added.iter_mut().zip(self.add(secret)?.changed) {
                    *added |= more;
                }
            }
        }
        let mut change = self.take_out(version, 0..=LINKS, "every device of it has to register again");
        for (changed, added) in change.changed.iter_mut().zip(added) {
            *changed |= added;
        }
        Ok(change)
    }

    fn retire_is_refused(&self, version: u32) -> bool {
        self.clone().retire(version, true).is_err()
    }

    fn take_out(&mut self, version: u32, places: std::ops::RangeInclusive<usize>, then: &str) -> Change {
        let mut changed = [false; 3];
        for place in places {
            changed[place] = self.0[place].remove(&version).is_some();
        }
        Change { changed, note: format!("version {version} is withdrawn, within five minutes everywhere: {then}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(versions: [&[u32]; 3]) -> Sets {
        Sets(versions.map(|set| set.iter().map(|version| (*version, format!("{version:0>64}"))).collect()))
    }

    fn versions(sets: &Sets) -> [Vec<u32>; 3] {
        sets.0.clone().map(|set| set.into_keys().collect())
    }

    fn why(changed: Result<Change, NotPossible>) -> String {
        changed.unwrap_err().to_string()
    }

    fn secret() -> Result<String, RandomError> {
        Ok("n".repeat(64))
    }

    #[test]
    fn a_version_is_added_to_every_set_or_completed() {
        let mut even = sets([&[1], &[1], &[1]]);
        assert_eq!(even.add(&secret).unwrap().changed, [true; 3]);
        assert_eq!(versions(&even), [[1, 2]; 3]);
        let mut broken_off = sets([&[1, 2], &[1], &[1]]);
        assert_eq!(broken_off.add(&secret).unwrap().changed, [false, true, true]);
        assert_eq!(versions(&broken_off), [[1, 2]; 3]);
        let mut after_retirement = sets([&[2], &[2], &[1, 2]]);
        after_retirement.add(&secret).unwrap();
        assert_eq!(versions(&after_retirement), [vec![2, 3], vec![2, 3], vec![1, 2, 3]]);
        assert_eq!(why(sets([&[u32::MAX]; 3]).add(&secret)), NotPossible::Last(u32::MAX).to_string());
    }

    #[test]
    fn the_newest_version_of_devices_is_not_retired() {
        for (before, version) in [
            (sets([&[1], &[1], &[1]]), 1),
            (sets([&[1, 2], &[1, 2], &[1, 2]]), 2),
            // The addition broke off: devices still get version 1.
            (sets([&[1, 2], &[1], &[1]]), 1),
            (sets([&[1, 2], &[1, 3], &[1]]), 1),
        ] {
            assert_eq!(
                why(before.clone().retire(version, false)),
                NotPossible::Newest(version).to_string(),
                "{before:?}"
            );
        }
        assert_eq!(why(sets([&[1, 2]; 3]).retire(7, true)), NotPossible::Unknown(7).to_string());
    }

    #[test]
    fn links_outlive_a_retired_version_unless_they_are_named() {
        let mut planned = sets([&[1, 2]; 3]);
        assert_eq!(planned.retire(1, false).unwrap().changed, [true, true, false]);
        assert_eq!(versions(&planned), [vec![2], vec![2], vec![1, 2]]);
        assert_eq!(planned.retire(1, true).unwrap().changed, [false, false, true]);
        assert_eq!(versions(&planned), [[2]; 3]);
    }

    #[test]
    fn a_leaked_version_goes_at_once_and_devices_have_another_one() {
        for before in [
            sets([&[1]; 3]),
            sets([&[1, 2]; 3]),
            sets([&[1, 2], &[1], &[1]]),
            sets([&[1], &[1, 2], &[2]]),
            sets([&[1, 3], &[1, 2], &[1]]),
        ] {
            let mut after = before.clone();
            let change = after.withdraw_leaked(1, &secret).unwrap();
            assert_eq!(change.changed, [0, 1, 2].map(|place| before.0[place] != after.0[place]), "{before:?}");
            assert!(after.0.iter().all(|set| !set.contains_key(&1) && !set.is_empty()), "{before:?} {after:?}");
            assert!(after.0[0].keys().any(|version| after.0[1].contains_key(version)), "{before:?} {after:?}");
        }
        assert_eq!(why(sets([&[2]; 3]).withdraw_leaked(1, &secret)), NotPossible::Unknown(1).to_string());
    }

    #[test]
    fn a_text_is_read_as_it_was_written() {
        let sets = sets([&[1, 2, 10], &[1], &[3]]);
        let texts = [0, 1, 2].map(|place| sets.text(place));
        assert_eq!(Sets::parse([&texts[0], &texts[1], &texts[2]]).unwrap(), sets);
        assert_eq!(Sets::parse([&texts[0], "{}", &texts[2]]).unwrap_err(), ("tokens", RootKeysError::Empty));
    }
}
