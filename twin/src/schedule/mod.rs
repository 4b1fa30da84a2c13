//! Schedules: `rate(…)` and `cron(…)` rules that invoke a function with an EventBridge event.

mod control;
mod expression;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use time::OffsetDateTime;
use tokio::task::JoinSet;

pub(crate) use self::control::control;
pub use self::expression::{Cron, Expression, ExpressionError};
use crate::functions::{Functions, InvokeError};
use crate::ids::{ACCOUNT_ID, uuid};
use crate::ledger::Ledger;
use crate::template::Schedule;

/// The schedules of a template, running. They end when this is dropped.
#[derive(Debug)]
pub struct Schedules {
    rules: Rules,
    _timers: JoinSet<()>,
}

/// The schedules of a template, to be fired by hand. A clone has the same ones.
#[derive(Debug, Clone, Default)]
pub struct Rules(Arc<[Rule]>);

#[derive(Debug)]
struct Rule {
    schedule: Schedule,
    region: String,
    functions: Functions,
    ledger: Ledger,
}

impl Schedules {
    /// Starts the timers of the enabled schedules. An invalid expression only causes a warning.
    #[must_use]
    pub fn start(schedules: Vec<Schedule>, region: &str, functions: &Functions, ledger: &Ledger) -> Self {
        let rule = |schedule| Rule {
            schedule,
            region: region.to_owned(),
            functions: functions.clone(),
            ledger: ledger.clone(),
        };
        let rules = Rules(schedules.into_iter().map(rule).collect());
        let mut timers = JoinSet::new();
        for (place, rule) in rules.0.iter().enumerate() {
            match Expression::parse(&rule.schedule.expression) {
                Ok(expression) if rule.schedule.enabled => {
                    timers.spawn(tick(rules.clone(), place, expression));
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(schedule = %rule.schedule.name, %error, "the schedule has no timer"),
            }
        }
        Self { rules, _timers: timers }
    }

    /// The schedules, to be fired by hand, even after the timers have ended.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The schedules, by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.0.iter().map(|rule| rule.schedule.name.as_str())
    }

    /// Fires a schedule now, whether or not it is enabled, and waits for its function. Returns none if it is unknown.
    pub async fn fire(&self, name: &str) -> Option<Result<(), InvokeError>> {
        let rule = self.rules.0.iter().find(|rule| rule.schedule.name == name)?;
        Some(rule.fire(OffsetDateTime::now_utc()).await)
    }
}

impl Rules {
    /// The schedules.
    pub fn list(&self) -> impl Iterator<Item = &Schedule> {
        self.0.iter().map(|rule| &rule.schedule)
    }

    /// Fires every schedule now, whether or not it is enabled, and waits for their functions. Returns each with its
    /// name.
    pub async fn fire_all(&self) -> Vec<(&str, Result<(), InvokeError>)> {
        let now = OffsetDateTime::now_utc();
        let fired = self.0.iter().map(|rule| async move { (rule.schedule.name.as_str(), rule.fire(now).await) });
        join_all(fired).await
    }
}

impl Rule {
    async fn fire(&self, at: OffsetDateTime) -> Result<(), InvokeError> {
        let Schedule { name, function, input, .. } = &self.schedule;
        let trace = self.ledger.begin(&format!("schedule {name}"));
        let event = input.clone().unwrap_or_else(|| self.event(at));
        let _hold = self.ledger.hold(std::slice::from_ref(&trace));
        let invoked = self.functions.invoke(function, event.into(), std::slice::from_ref(&trace)).await;
        self.ledger.outcome(&trace, if invoked.is_ok() { "done" } else { "failed" });
        invoked.map(|_| ())
    }

    fn event(&self, at: OffsetDateTime) -> String {
        let form = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
        json!({
            "version": "0",
            "id": uuid(),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": ACCOUNT_ID,
            "time": at.format(form).unwrap_or_default(),
            "region": self.region,
            "resources": [format!("arn:aws:events:{}:{ACCOUNT_ID}:rule/{}", self.region, self.schedule.name)],
            "detail": {},
        })
        .to_string()
    }
}

async fn tick(rules: Rules, place: usize, expression: Expression) {
    let mut at = OffsetDateTime::now_utc();
    loop {
        let now = OffsetDateTime::now_utc();
        // If the machine slept, missed times are skipped, as in EventBridge.
        let Some(next) = expression.next_after(at).filter(|next| *next > now).or_else(|| expression.next_after(now))
        else {
            return;
        };
        at = next;
        tokio::time::sleep(Duration::try_from(at - now).unwrap_or_default()).await;
        let rules = rules.clone();
        // In a task, so that a slow function does not delay the next tick. The invocation logs its failures.
        tokio::spawn(async move { rules.0[place].fire(at).await });
    }
}
