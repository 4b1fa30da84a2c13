//! Pauses before the next attempt, and their jitter.

use std::time::Duration;

use tidings_crypto::random;
use tidings_wire::backoff::spread;

use super::Worker;
use crate::dial::ConnectError;
use crate::event::Loss;
use crate::options::TokenIn;

/// A clock that differs by more than this from the service's is corrected after a refusal, in seconds.
const CLOCK_TOLERANCE: i64 = 2;

impl Worker {
    /// How long to wait before the next attempt; `None` to make none.
    pub(super) fn pause_after(&mut self, loss: &Loss) -> Option<Duration> {
        let mut asked = Duration::ZERO;
        match loss {
            Loss::Connect(ConnectError::NoSubprotocol) if self.options.token_in == TokenIn::Subprotocol => {
                tracing::info!("the gateway does not answer with a subprotocol; the token goes into the URL");
                self.options.token_in = TokenIn::Query;
                return Some(Duration::ZERO);
            }
            Loss::Connect(error @ ConnectError::Refused { clock_ahead, .. }) if error.is_refusal() => {
                self.refusals += 1;
                if self.refusals == 1 {
                    // The service is up and answers, so the pauses for an outage no longer apply.
                    self.attempt = 0;
                }
                if let Some(ahead) = clock_ahead.filter(|ahead| (ahead - self.clock_ahead).abs() > CLOCK_TOLERANCE) {
                    tracing::info!(seconds = ahead, "this machine's clock differs from the service's; corrected");
                    self.clock_ahead = ahead;
                    return Some(Duration::ZERO);
                }
                if self.refusals >= self.options.give_up_after {
                    return None;
                }
            }
            Loss::Asked { after, .. } => {
                asked = *after;
            }
            Loss::Connect(ConnectError::BadUrl { .. }) => return None,
            Loss::Connect(_) | Loss::Closed { .. } | Loss::Broken(_) | Loss::Silent => self.refusals = 0,
        }
        let backoff = self.options.backoff;
        let window = backoff.window(self.attempt).max(asked.min(backoff.longest));
        let window = match loss {
            Loss::Connect(ConnectError::Unreachable { .. }) => window.min(self.options.longest_outage_pause),
            _ => window,
        };
        self.attempt = self.attempt.saturating_add(1);
        Some(jitter(window))
    }
}

/// A random share of a window.
pub(super) fn jitter(window: Duration) -> Duration {
    spread(window, draw())
}

/// A random number for a jittered pause. Without randomness it is the middle of the window, which is still a pause.
fn draw() -> u64 {
    random::bytes().map_or(u64::MAX / 2, u64::from_be_bytes)
}
