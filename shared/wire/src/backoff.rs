//! How long to wait before the next attempt: full jitter over a window that doubles
//! (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
//!
//! Part of the protocol, because a client reconnects by it; the service asks push providers again by the same rule.

use std::time::Duration;

/// Full jitter: each pause is drawn evenly from zero to a window that doubles from `first` to `longest`. After a
/// deployment or an outage thousands of devices come back; even draws keep them from coming back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first window.
    pub first: Duration,
    /// The window never grows beyond this.
    pub longest: Duration,
}

/// The pauses of a client that reconnects.
impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(300) }
    }
}

impl Backoff {
    /// How many attempts count for the next pause, after a connection that lasted for `lasted`: none if that is a tenth
    /// of the longest window, 30 seconds by default. One that is closed soon after it was opened is one attempt more.
    #[must_use]
    pub fn attempts_after(&self, lasted: Duration, attempts: u32) -> u32 {
        if lasted >= self.longest / 10 { 0 } else { attempts }
    }

    /// The window of an attempt, counted from 0.
    #[must_use]
    pub fn window(&self, attempt: u32) -> Duration {
        self.first.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX)).min(self.longest)
    }

    /// The pause before an attempt, counted from 0; `random` is drawn by the caller.
    #[must_use]
    pub fn pause(&self, attempt: u32, random: u64) -> Duration {
        spread(self.window(attempt), random)
    }
}

/// A share of `window` in proportion to `random`, evenly from nothing to all of it.
#[must_use]
pub fn spread(window: Duration, random: u64) -> Duration {
    // 53 bits are what a double holds exactly.
    #[expect(clippy::cast_precision_loss, reason = "both values stay below 2^53")]
    let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
    window.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_starts_gently_and_ends_at_five_minutes() {
        let backoff = Backoff::default();
        let seconds: Vec<u64> = (0..11).map(|attempt| backoff.window(attempt).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff.window(u32::MAX).as_secs(), 300);
    }

    #[test]
    fn only_a_connection_that_lasted_begins_the_windows_anew() {
        let backoff = Backoff::default();
        let after = |millis| backoff.attempts_after(Duration::from_millis(millis), 7);
        assert_eq!([after(0), after(29_999), after(30_000), after(7_200_000)], [7, 7, 0, 0]);
    }

    #[test]
    fn pauses_cover_the_whole_window_and_nothing_else() {
        let backoff = Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(60) };
        let cases = [
            (0, u64::MAX, 2_000),
            (1, u64::MAX, 4_000),
            (4, u64::MAX, 32_000),
            (5, u64::MAX, 60_000),
            (u32::MAX, u64::MAX, 60_000),
            (2, 0, 0),
            (2, u64::MAX / 4 + 1, 2_000),
            (2, u64::MAX / 2 + 1, 4_000),
        ];
        for (attempt, random, millis) in cases {
            assert_eq!(backoff.pause(attempt, random).as_millis(), millis, "{attempt} {random}");
        }
    }
}
