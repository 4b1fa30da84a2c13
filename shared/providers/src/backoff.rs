//! How long to wait before a provider is asked again: exponential, with full jitter
//! (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>), and never before it wants to be.

use std::time::Duration;

/// How waits grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the first repetition.
    pub base: Duration,
    /// The longest wait before any.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(2), cap: Duration::from_secs(15 * 60) }
    }
}

impl Backoff {
    /// The wait after so many attempts, from 1. `random` is from 0 to 1: `0.0` waits least.
    ///
    /// Where the provider has said how long it wants to be left alone, the wait is that and the jitter on top, so that those who
    /// were sent away together do not come back together.
    #[must_use]
    pub fn after(&self, attempts: u32, random: f64, retry_after: Option<Duration>) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        let longest = self.base.saturating_mul(1 << doublings).min(self.cap);
        let jitter = longest.mul_f64(if random.is_finite() { random.clamp(0.0, 1.0) } else { 1.0 });
        retry_after.unwrap_or_default().saturating_add(jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_are_spread() {
        let backoff = Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(60) };
        let cases = [
            (1, 1.0, None, 2.0),
            (2, 1.0, None, 4.0),
            (5, 1.0, None, 32.0),
            (6, 1.0, None, 60.0),
            (u32::MAX, 1.0, None, 60.0),
            (0, 1.0, None, 2.0),
            (3, 0.0, None, 0.0),
            (3, 0.25, None, 2.0),
            (1, 0.0, Some(30), 30.0),
            (1, 0.5, Some(30), 31.0),
            (1, 0.5, Some(0), 1.0),
            (1, f64::NAN, None, 2.0),
            (1, 7.0, None, 2.0),
        ];
        for (attempts, random, retry_after, expected) in cases {
            let wait = backoff.after(attempts, random, retry_after.map(Duration::from_secs));
            assert_eq!(wait.as_secs_f64(), expected, "{attempts} {random} {retry_after:?}");
        }
    }
}
