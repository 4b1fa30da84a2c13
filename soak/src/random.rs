//! Reproducible numbers from a seed: SplitMix64 (Steele, Lea and Flood, 2014), small and portable.

use std::ops::RangeInclusive;

/// A stream of numbers. Not for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of a seed for one purpose: streams of different purposes are independent.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let mixed = purpose.bytes().fold(seed, |state, byte| Self(state ^ u64::from(byte)).next());
        Self(mixed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // The bias of a remainder is 2^-50 for the small numbers that are drawn here.
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (start, end) = range.into_inner();
        start + self.next() % (end.saturating_sub(start) + 1)
    }

    /// `true` in this many cases of a hundred.
    pub(crate) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// `count` different ones of `all`, in the order of `all`; all of them if there are fewer.
    pub(crate) fn some(&mut self, all: &[usize], count: usize) -> Vec<usize> {
        let mut chosen = all.to_vec();
        while chosen.len() > count {
            let out = self.below(chosen.len());
            chosen.remove(out);
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_published_generator() {
        // The first three numbers of seed 1234567, as the reference implementation in C prints them.
        let mut random = Random(1_234_567);
        let first = [random.next(), random.next(), random.next()];
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn purposes_are_independent_and_ranges_hold() {
        assert_ne!(Random::new(1, "users").next(), Random::new(1, "messages").next());
        assert_ne!(Random::new(1, "users").next(), Random::new(2, "users").next());
        let mut random = Random::new(1, "x");
        for _ in 0..1_000 {
            assert!((2..=5).contains(&random.within(2..=5)));
            assert!(random.below(3) < 3);
        }
        assert_eq!(random.some(&[7, 8, 9], 5), [7, 8, 9]);
        assert_eq!(random.some(&[7, 8, 9], 2).len(), 2);
    }
}
