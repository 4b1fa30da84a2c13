//! Faults by chance: a seed and the rate of each kind.
//!
//! Nothing here is random: whether a fault strikes is computed from the seed, the kind, the site and the number of
//! calls that the site has seen. The same seed makes the same decisions.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::kind::{Fault, UnknownFault};

/// The rate of each kind of fault.
pub type Rates = BTreeMap<Fault, f64>;

/// Faults by chance, the same ones for the same seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The seed of the chances.
    #[serde(default)]
    pub seed: u64,
    /// The rate of each kind, from 0 to 1; a kind without a rate never strikes.
    #[serde(deserialize_with = "distinct")]
    pub rates: Rates,
}

/// The reason for which a plan is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// An unknown name of a fault.
    #[error(transparent)]
    Unknown(#[from] UnknownFault),
    /// Neither `all` nor `KIND=RATE`.
    #[error("{0:?} is neither `all` nor KIND=RATE, such as throttle=0.02")]
    Malformed(String),
    /// A rate that is not a probability.
    #[error("{fault}={rate}: a rate is a number from 0 to 1")]
    Rate {
        /// The kind of fault.
        fault: String,
        /// The given rate.
        rate: String,
    },
}

/// Reads rates. A kind that has two is refused.
fn distinct<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Rates, D::Error> {
    struct Distinct;

    impl<'de> Visitor<'de> for Distinct {
        type Value = Rates;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the rate of each kind of fault")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rates, A::Error> {
            let mut rates = Rates::new();
            while let Some((fault, rate)) = map.next_entry::<Fault, f64>()? {
                if rates.insert(fault, rate).is_some() {
                    return Err(de::Error::custom(format!("the fault {fault} has two rates")));
                }
            }
            Ok(rates)
        }
    }

    deserializer.deserialize_map(Distinct)
}

impl Plan {
    /// A plan from its seed and a specification as on the command line: `all`, or `throttle=0.02,lose-answer=0.01`.
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn parse(seed: u64, spec: &str) -> Result<Self, PlanError> {
        Ok(Self { seed, rates: spec.parse::<Spec>()?.0 })
    }

    /// Refuses rates that are not probabilities.
    ///
    /// # Errors
    /// [`PlanError::Rate`].
    pub fn check(&self) -> Result<(), PlanError> {
        match self.rates.iter().find(|(_, rate)| !is_probability(**rate)) {
            Some((fault, rate)) => Err(PlanError::Rate { fault: fault.to_string(), rate: rate.to_string() }),
            None => Ok(()),
        }
    }

    /// Whether a fault strikes at the `n`th call of a site.
    #[must_use]
    pub fn strikes(&self, fault: Fault, site: &str, n: u64) -> bool {
        let rate = self.rates.get(&fault).copied().unwrap_or_default();
        rate > 0.0 && unit(draw(self.seed, fault, site, n)) < rate
    }
}

/// The rates of a specification.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec(pub Rates);

impl FromStr for Spec {
    type Err = PlanError;

    /// Reads `all`, `all=0.01` and `KIND=RATE`, separated by commas; a later entry overrides an earlier one.
    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut rates = Rates::new();
        for part in text.split(',').map(str::trim) {
            match part.split_once('=') {
                None if part == "all" => rates.extend(Fault::ALL.map(|fault| (fault, fault.usual_rate()))),
                None => {
                    // A known name only lacks its rate; an unknown one is reported first.
                    if !part.is_empty() {
                        part.parse::<Fault>()?;
                    }
                    return Err(PlanError::Malformed(part.to_owned()));
                }
                Some(("all", rate)) => {
                    let rate = probability("all", rate)?;
                    rates.extend(Fault::ALL.map(|fault| (fault, rate)));
                }
                Some((name, rate)) => {
                    let fault: Fault = name.trim().parse()?;
                    rates.insert(fault, probability(name, rate)?);
                }
            }
        }
        Ok(Self(rates))
    }
}

fn probability(fault: &str, text: &str) -> Result<f64, PlanError> {
    let rate = text.trim().parse().ok().filter(|rate| is_probability(*rate));
    rate.ok_or_else(|| PlanError::Rate { fault: fault.to_owned(), rate: text.to_owned() })
}

fn is_probability(rate: f64) -> bool {
    (0.0..=1.0).contains(&rate)
}

/// The random number of a decision: every bit depends on every argument.
pub(super) fn draw(seed: u64, fault: Fault, site: &str, n: u64) -> u64 {
    // FNV-1a over the names, then the finisher of SplitMix64 for each number. It need not be secret, but it has to be
    // the same under the next version of the compiler, which the standard library's hasher does not promise.
    let names = fault.name().bytes().chain([0]).chain(site.bytes());
    let hash =
        names.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    mix(mix(mix(seed) ^ hash) ^ n)
}

/// The finisher of SplitMix64.
pub(super) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A number from 0 to 1, 1 excluded.
fn unit(bits: u64) -> f64 {
    // The 53 bits that an f64 can hold exactly.
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_another_does_not() {
        let decisions = |seed| {
            let plan = Plan::parse(seed, "throttle=0.3,lose-answer=0.3").unwrap();
            let strikes =
                move |n| (plan.strikes(Fault::Throttle, "F sqs Send", n), plan.strikes(Fault::LoseAnswer, "x", n));
            (0..1000).map(strikes).collect::<Vec<_>>()
        };
        assert_eq!(decisions(7), decisions(7));
        assert_ne!(decisions(7), decisions(8));
        // Pinned, so that a recorded seed still gives the same faults after a change here.
        assert_eq!(draw(7, Fault::Throttle, "DeliverFunction dynamodb PutItem", 1), 13_225_628_324_799_880_922);
    }

    #[test]
    fn rates_hold() {
        let plan = Plan::parse(1, "all=0.02,partial=0,kill-after=1").unwrap();
        let struck = |fault, site| (0..100_000).filter(|n| plan.strikes(fault, site, *n)).count();
        // Two percent of 100,000, counted: each kind and each site has an independent chance.
        let counts = [(Fault::Throttle, "a"), (Fault::Throttle, "b"), (Fault::LoseAnswer, "a")];
        assert_eq!(counts.map(|(fault, site)| struck(fault, site)), [1996, 1945, 2026]);
        assert_eq!((struck(Fault::Partial, "a"), struck(Fault::KillAfter, "a")), (0, 100_000));
    }

    #[test]
    fn specifications_are_read_and_refused_by_name() {
        let rates = |spec: &str| spec.parse::<Spec>().map(|spec| spec.0);
        assert_eq!(rates("throttle=0.02, lose-answer=1").unwrap().len(), 2);
        assert_eq!(rates("all").unwrap().len(), Fault::ALL.len());
        assert_eq!(rates("all,throttle=0").unwrap()[&Fault::Throttle], 0.0);
        let refused = |spec: &str| rates(spec).unwrap_err().to_string();
        assert!(refused("throtle=0.02").starts_with("there is no fault \"throtle\"; there are kill-before, "));
        assert!(refused("throtle").starts_with("there is no fault \"throtle\""));
        assert_eq!(refused("throttle"), "\"throttle\" is neither `all` nor KIND=RATE, such as throttle=0.02");
        assert_eq!(refused(""), "\"\" is neither `all` nor KIND=RATE, such as throttle=0.02");
        assert_eq!(refused("throttle=2"), "throttle=2: a rate is a number from 0 to 1");
        assert_eq!(refused("throttle=NaN"), "throttle=NaN: a rate is a number from 0 to 1");
    }

    #[test]
    fn plans_are_json() {
        let plan: Plan = serde_json::from_str(r#"{"seed": 7, "rates": {"throttle": 0.5}}"#).unwrap();
        assert_eq!(plan, Plan::parse(7, "throttle=0.5").unwrap());
        assert_eq!(serde_json::to_string(&plan).unwrap(), r#"{"seed":7,"rates":{"throttle":0.5}}"#);
        let unknown = serde_json::from_str::<Plan>(r#"{"rates": {"throtle": 0.5}}"#).unwrap_err();
        assert!(unknown.to_string().starts_with("there is no fault \"throtle\""), "{unknown}");
        let twice = serde_json::from_str::<Plan>(r#"{"rates": {"throttle": 0.1, "throttle": 0}}"#).unwrap_err();
        assert!(twice.to_string().starts_with("the fault throttle has two rates"), "{twice}");
        let plan: Plan = serde_json::from_str(r#"{"rates": {"throttle": 5}}"#).unwrap();
        assert_eq!(plan.check().unwrap_err().to_string(), "throttle=5: a rate is a number from 0 to 1");
    }
}
