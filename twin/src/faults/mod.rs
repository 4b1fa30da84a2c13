//! Faults on demand: failures of the cloud, injected here.
//!
//! There are two ways. A [`Plan`] lets every kind of fault strike by chance, in the same way for the same seed. A
//! [`Rule`] lets one kind strike exactly the calls that a test selects. Faults strike only the calls of functions, and
//! the events that invoke them: a request that a test or the command line sends to the AWS endpoint is never struck.
//!
//! This module only decides. The place where a fault strikes carries it out: `services::injected`, [`event_source`],
//! the WebSocket API and [`functions`].
//!
//! [`event_source`]: crate::event_source
//! [`functions`]: crate::functions

mod check;
mod control;
mod kind;
mod plan;
mod rule;
mod site;

pub(crate) use check::{Called, Names};
pub(crate) use control::control;
pub use kind::{Fault, UnknownFault};
pub use plan::{Plan, PlanError, Rates, Spec};
pub use rule::Rule;
pub use site::Site;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use self::rule::Watch;

/// The id of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RuleId(u64);

/// A rule that is set, with the number of its hits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleState {
    /// Its id.
    pub id: RuleId,
    /// The rule.
    #[serde(flatten)]
    pub rule: Rule,
    /// How often it has struck.
    pub hits: u32,
}

/// The plan and the rules that are set, and how often they have struck.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultsState {
    /// The plan.
    pub plan: Option<Plan>,
    /// The rules, in the order in which they are tried.
    pub rules: Vec<RuleState>,
    /// How often each kind has struck since the twin started, or since everything was cleared.
    pub injected: BTreeMap<Fault, u64>,
}

/// The faults of a twin. A clone is the same set.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether a plan or a rule is set: without one, a call needs no lock.
    armed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    plan: Option<Plan>,
    rules: Vec<Watch>,
    next_rule: u64,
    /// How many calls each site has seen under this plan.
    calls: HashMap<String, u64>,
    injected: BTreeMap<Fault, u64>,
}

/// A fault that strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// Its kind.
    pub fault: Fault,
    /// A further random number, for a fault that has a measure: how late, in which order.
    pub chance: u64,
}

impl Faults {
    /// Faults by this plan, or none.
    #[must_use]
    pub fn new(plan: Option<Plan>) -> Self {
        let faults = Self::default();
        faults.set_plan(plan);
        faults
    }

    /// Replaces or removes the plan, and restarts its chances. Rules stay.
    pub fn set_plan(&self, plan: Option<Plan>) {
        let mut state = self.state();
        state.plan = plan;
        state.calls.clear();
        self.arm(&state);
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> Option<Plan> {
        self.state().plan.clone()
    }

    /// Adds a rule, which is tried after the existing rules, and before the plan.
    pub fn add(&self, rule: Rule) -> RuleId {
        let mut state = self.state();
        state.next_rule += 1;
        let id = state.next_rule;
        state.rules.push(Watch::new(id, rule));
        self.arm(&state);
        RuleId(id)
    }

    /// How often a rule has struck; 0 if it is gone.
    #[must_use]
    pub fn hits(&self, rule: RuleId) -> u32 {
        self.state().rules.iter().find(|watch| watch.id == rule.0).map_or(0, |watch| watch.hits)
    }

    /// Removes a rule, and returns whether it existed.
    pub fn remove(&self, rule: RuleId) -> bool {
        let mut state = self.state();
        let before = state.rules.len();
        state.rules.retain(|watch| watch.id != rule.0);
        self.arm(&state);
        state.rules.len() < before
    }

    /// Removes the plan and every rule, and resets the counts.
    pub fn clear(&self) {
        let mut state = self.state();
        let next_rule = state.next_rule;
        *state = State { next_rule, ..State::default() };
        self.arm(&state);
    }

    /// How often each kind has struck since the twin started, or since everything was cleared.
    #[must_use]
    pub fn injected(&self) -> BTreeMap<Fault, u64> {
        self.state().injected.clone()
    }

    /// The plan and the rules that are set, and how often they have struck.
    #[must_use]
    pub fn summary(&self) -> FaultsState {
        let state = self.state();
        let state_of = |watch: &Watch| RuleState { id: RuleId(watch.id), rule: watch.rule.clone(), hits: watch.hits };
        FaultsState {
            plan: state.plan.clone(),
            rules: state.rules.iter().map(state_of).collect(),
            injected: state.injected.clone(),
        }
    }

    /// Whether a plan or a rule is set. If not, the caller need not collect the text of the call.
    #[must_use]
    pub fn armed(&self) -> bool {
        self.0.armed.load(Ordering::Acquire)
    }

    /// Decides which of the possible faults strikes a call, if one does. Each decision counts as a call.
    #[must_use]
    pub fn strike(&self, site: &Site<'_>, possible: &[Fault]) -> Option<Strike> {
        if !self.armed() {
            return None;
        }
        let mut state = self.state();
        let State { plan, rules, calls, injected, .. } = &mut *state;
        // Every rule sees every call that it matches, so that the calls which one skips do not depend on another.
        let mut chosen = None;
        for watch in rules {
            if watch.wants(site, possible) && chosen.is_none() {
                watch.hits += 1;
                chosen = Some(watch.rule.fault);
            }
        }
        let name = site.name();
        let calls = calls.entry(name.clone()).or_default();
        *calls += 1;
        let plan = plan.as_ref();
        let by_plan = || {
            let mut tried = Fault::ALL.into_iter().filter(|fault| possible.contains(fault));
            tried.find(|fault| plan.is_some_and(|plan| plan.strikes(*fault, &name, *calls)))
        };
        let fault = chosen.or_else(by_plan)?;
        *injected.entry(fault).or_default() += 1;
        let seed = plan.map_or(0, |plan| plan.seed);
        let chance = plan::mix(plan::draw(seed, fault, &name, *calls));
        tracing::info!(target: "twin::faults", %fault, call = *calls, "a fault strikes {}", site.in_words());
        Some(Strike { fault, chance })
    }

    /// Whether a fault strikes a call that no other fault can strike.
    #[must_use]
    pub fn strikes(&self, fault: Fault, site: &Site<'_>) -> bool {
        self.strike(site, &[fault]).is_some()
    }

    fn arm(&self, state: &State) {
        let planned = state.plan.as_ref().is_some_and(|plan| plan.rates.values().any(|rate| *rate > 0.0));
        self.0.armed.store(planned || !state.rules.is_empty(), Ordering::Release);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put<'a>(function: &'a str, text: &'a str) -> Site<'a> {
        Site {
            function: Some(function),
            service: Some("dynamodb"),
            operation: "PutItem",
            text: vec!["/".into(), text.into()],
        }
    }

    /// The faults that a write to a table can meet.
    fn possible() -> Vec<Fault> {
        [&Fault::OF_REQUESTS[..], &[Fault::Conflict]].concat()
    }

    #[test]
    fn a_rule_strikes_the_stated_number_of_calls_after_those_that_it_skips() {
        let faults = Faults::default();
        let rule = Rule::new(Fault::KillAfter).function("F").operation("PutItem").contains("alice").contains("seq");
        let rule = faults.add(rule.times(2).skip(1));
        let possible = possible();
        let strike = |site| faults.strike(&site, &possible).map(|strike| strike.fault);
        let calls = [put("F", "alice seq"), put("G", "alice seq"), put("F", "bob seq"), put("F", "alice")];
        // Only the first of them matches, and that is skipped.
        assert_eq!(calls.map(strike), [None; 4]);
        let again = [(); 4].map(|()| strike(put("F", "seq alice")));
        assert_eq!(again, [Some(Fault::KillAfter), Some(Fault::KillAfter), None, None]);
        assert_eq!(faults.hits(rule), 2);
        assert_eq!(faults.injected(), BTreeMap::from([(Fault::KillAfter, 2)]));
        faults.clear();
        assert_eq!((faults.hits(rule), faults.armed()), (0, false));
        assert_eq!(faults.injected(), BTreeMap::new());
    }

    #[test]
    fn of_several_rules_the_first_strikes_and_all_count() {
        let faults = Faults::default();
        let first = faults.add(Rule::new(Fault::Throttle));
        let second = faults.add(Rule::new(Fault::Conflict).skip(1));
        let third = faults.add(Rule::new(Fault::Partial).always());
        let possible = possible();
        let strike = || faults.strike(&put("F", ""), &possible).map(|strike| strike.fault);
        assert_eq!([strike(), strike(), strike()], [Some(Fault::Throttle), Some(Fault::Conflict), None]);
        assert_eq!([first, second, third].map(|rule| faults.hits(rule)), [1, 1, 0], "no put is a batch");
        assert!(faults.remove(third) && !faults.remove(third));
    }

    #[test]
    fn a_plan_starts_over_when_it_is_set_again() {
        let plan = Plan::parse(42, "throttle=0.2,conflict=0.2,partial=1").unwrap();
        let faults = Faults::new(Some(plan.clone()));
        let possible = possible();
        let run = || (0..500).map(|_| faults.strike(&put("F", ""), &possible)).collect::<Vec<_>>();
        let first = run();
        assert!(first.iter().flatten().any(|strike| strike.fault == Fault::Conflict));
        assert_ne!(run(), first, "chances go on");
        faults.set_plan(Some(plan));
        assert_eq!(run(), first);
        faults.set_plan(None);
        assert!(run().iter().all(Option::is_none));
    }
}
