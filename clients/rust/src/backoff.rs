//! How long to wait before the next attempt: full jitter over a window that doubles.

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

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), longest: Duration::from_secs(300) }
    }
}

impl Backoff {
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
pub(crate) fn spread(window: Duration, random: u64) -> Duration {
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
    fn pauses_cover_the_whole_window_and_nothing_else() {
        let backoff = Backoff::default();
        assert_eq!(backoff.pause(3, 0), Duration::ZERO);
        assert_eq!(backoff.pause(3, u64::MAX).as_millis(), 8_000);
        assert_eq!(backoff.pause(3, u64::MAX / 2 + 1), Duration::from_secs(4));
    }
}
