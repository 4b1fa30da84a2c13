//! Circuit breakers: a provider that fails is skipped for a while.
//!
//! A closed breaker lets calls through. A number of failures in a row within a window opens it: calls are then skipped,
//! and the chain goes on with its next step at once. After a pause one call is let through as a probe, whose outcome
//! closes or reopens the breaker. Times are an argument, in milliseconds of any clock that does not go back.

use std::collections::BTreeMap;

use crate::outcome::Health;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Failures in a row.
    pub failures: u32,
    /// The window in which they must occur, from the first of them.
    pub window_ms: u64,
    /// How long it stays open before a probe.
    pub pause_ms: u64,
}

impl Default for Rule {
    fn default() -> Self {
        Self { failures: 5, window_ms: 60_000, pause_ms: 30_000 }
    }
}

/// The breaker before one server that is called for one app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Breaker {
    /// Calls go through.
    #[default]
    Closed,
    /// Calls go through, but the last ones failed.
    Failing {
        /// How many in a row.
        failures: u32,
        /// When the first of them failed.
        since: u64,
    },
    /// Calls are skipped.
    Open {
        /// When a probe may be sent.
        until: u64,
    },
    /// One call is on its way as a probe.
    Probing {
        /// When another probe may be sent: the outcome of the first may never arrive.
        until: u64,
    },
}

impl Breaker {
    /// Whether a call may be made now. The outcome of a call that is allowed must be recorded.
    pub fn allows(&mut self, rule: &Rule, now: u64) -> bool {
        match *self {
            Self::Closed | Self::Failing { .. } => true,
            Self::Open { until } | Self::Probing { until } if now < until => false,
            Self::Open { .. } | Self::Probing { .. } => {
                *self = Self::Probing { until: now + rule.pause_ms };
                true
            }
        }
    }

    /// Records how a call ended.
    pub fn record(&mut self, rule: &Rule, health: Health, now: u64) {
        *self = match (health, *self) {
            // This includes a call that began before the breaker opened: the provider works.
            (Health::Up, _) => Self::Closed,
            (Health::Down, Self::Closed) => Self::failing(rule, 1, now, now),
            (Health::Down, Self::Failing { since, .. }) if now > since + rule.window_ms => {
                Self::failing(rule, 1, now, now)
            }
            (Health::Down, Self::Failing { failures, since }) => Self::failing(rule, failures + 1, since, now),
            (Health::Down, Self::Probing { .. }) => Self::Open { until: now + rule.pause_ms },
            // The call began before the breaker opened.
            (Health::Down, Self::Open { until }) => Self::Open { until },
        }
    }

    /// Whether it differs from a closed breaker.
    fn matters(self, rule: &Rule, now: u64) -> bool {
        match self {
            Self::Closed => false,
            Self::Failing { since, .. } => now <= since + rule.window_ms,
            // After that a probe is due, and one more failure opens it at once.
            Self::Open { until } | Self::Probing { until } => now <= until + rule.window_ms,
        }
    }

    fn failing(rule: &Rule, failures: u32, since: u64, now: u64) -> Self {
        if failures >= rule.failures {
            Self::Open { until: now + rule.pause_ms }
        } else {
            Self::Failing { failures, since }
        }
    }
}

/// Most breakers of a process that are not closed. Devices choose the servers of their subscriptions, so a user may
/// register very many that fail.
const MOST: usize = 1_000;

/// The breakers of a process by key, for example by app and server: a wrong endpoint of one app does not affect another
/// app, nor one person's dead push service another person.
#[derive(Clone, Debug)]
pub struct Breakers<K> {
    rule: Rule,
    breakers: BTreeMap<K, Breaker>,
}

impl<K: Ord> Breakers<K> {
    /// Closed breakers that follow this rule.
    #[must_use]
    pub fn new(rule: Rule) -> Self {
        Self { rule, breakers: BTreeMap::new() }
    }

    /// Whether a call may be made now. The outcome of a call that is allowed must be recorded.
    pub fn allows(&mut self, key: &K, now: u64) -> bool {
        let breaker = self.breakers.get_mut(key);
        breaker.is_none_or(|breaker| breaker.allows(&self.rule, now))
    }

    /// Records how a call ended.
    pub fn record(&mut self, key: K, health: Health, now: u64) {
        let mut breaker = self.breakers.remove(&key).unwrap_or_default();
        breaker.record(&self.rule, health, now);
        // Closed breakers are not kept: a process may see very many apps.
        if breaker == Breaker::Closed {
            return;
        }
        if self.breakers.len() >= MOST {
            let rule = self.rule;
            self.breakers.retain(|_, breaker| breaker.matters(&rule, now));
        }
        // If the map is full, calls to one more server are never skipped.
        if self.breakers.len() < MOST {
            self.breakers.insert(key, breaker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call at a breaker, at a time in ms.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Up(u64),
        Down(u64),
        Allowed(u64),
        Spared(u64),
    }

    #[test]
    fn a_table_of_lives() {
        use Event::{Allowed, Down, Spared, Up};
        let rule = Rule { failures: 3, window_ms: 1000, pause_ms: 500 };
        let lives: [(&str, &[Event]); 10] = [
            ("it begins closed", &[Allowed(0)]),
            ("failures short of the rule", &[Down(0), Down(1), Allowed(2)]),
            ("so many in a row open it", &[Down(0), Down(1), Down(2), Spared(3), Spared(501)]),
            ("a success in between", &[Down(0), Down(1), Up(2), Down(3), Down(4), Allowed(5)]),
            (
                "failures far apart",
                &[Down(0), Down(600), Down(1001), Allowed(1002), Down(1003), Down(1004), Spared(1005)],
            ),
            ("the last moment of the window", &[Down(0), Down(1), Down(1000), Spared(1001)]),
            ("one probe after the pause", &[Down(0), Down(0), Down(0), Allowed(500), Spared(501), Spared(999)]),
            ("a probe that succeeds", &[Down(0), Down(0), Down(0), Allowed(500), Up(510), Allowed(511), Allowed(512)]),
            ("a probe that fails", &[Down(0), Down(0), Down(0), Allowed(500), Down(600), Spared(1099), Allowed(1100)]),
            ("a probe without an outcome", &[Down(0), Down(0), Down(0), Allowed(500), Spared(999), Allowed(1000)]),
        ];
        for (name, life) in lives {
            let mut breaker = Breaker::default();
            for event in life {
                match *event {
                    Up(now) => breaker.record(&rule, Health::Up, now),
                    Down(now) => breaker.record(&rule, Health::Down, now),
                    Allowed(now) => assert!(breaker.allows(&rule, now), "{name}: {event:?}"),
                    Spared(now) => assert!(!breaker.allows(&rule, now), "{name}: {event:?}"),
                }
            }
        }
    }

    #[test]
    fn stragglers_do_not_prolong_the_pause() {
        let rule = Rule { failures: 1, window_ms: 1000, pause_ms: 500 };
        let mut breaker = Breaker::default();
        breaker.record(&rule, Health::Down, 0);
        breaker.record(&rule, Health::Down, 400);
        assert_eq!(breaker, Breaker::Open { until: 500 });
    }

    #[test]
    fn each_app_has_its_own() {
        let mut breakers = Breakers::new(Rule { failures: 1, window_ms: 1000, pause_ms: 500 });
        breakers.record(("webhook", "a"), Health::Down, 0);
        assert!(!breakers.allows(&("webhook", "a"), 1));
        assert!(breakers.allows(&("webhook", "b"), 1));
        assert!(breakers.allows(&("apns", "a"), 1));
        breakers.record(("webhook", "a"), Health::Up, 2);
        assert!(breakers.allows(&("webhook", "a"), 3));
        assert!(breakers.breakers.is_empty());
    }

    #[test]
    fn very_many_that_fail_take_no_more_room_than_some() {
        let mut breakers = Breakers::new(Rule { failures: 1, window_ms: 1000, pause_ms: 500 });
        for server in 0..3 * MOST {
            breakers.record(server, Health::Down, 0);
        }
        assert_eq!(breakers.breakers.len(), MOST);
        assert!(!breakers.allows(&0, 1) && breakers.allows(&(2 * MOST), 1), "those that were first are spared");
        breakers.record(2 * MOST, Health::Down, 10_000);
        assert!(!breakers.allows(&(2 * MOST), 10_001), "and make room when they are old");
        assert_eq!(breakers.breakers.len(), 1);
    }
}
