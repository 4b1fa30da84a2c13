//! The `later` queue and the clock: hands fallback steps on when they are due.
//!
//! A step that is due within fifteen minutes waits on the `later` queue. One that is due later waits in the due table, by
//! minute; every minute, the clock hands on the minutes that have come within reach of the queue's delay.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::stream::{self, TryStreamExt};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use tidings_domain::{Timestamp, fallback::StepDue};
use tidings_queue::LONGEST_DELAY_SECONDS;
use tidings_runtime::{
    Error, Sdk, Steps,
    batch::{self, Record},
    logs,
};
use tidings_store::{Users, minute_of};

/// Room between the queue's longest delay and what the clock hands on, in seconds, for clocks that differ.
const CLOCK_ROOM_SECONDS: i64 = 60;

/// Steps that are handed on at the same time.
const AT_ONCE: usize = 16;

/// What the handler needs.
#[derive(Debug)]
pub struct Deps {
    users: Users,
    steps: Steps,
}

/// Runs the function until its process ends.
///
/// # Errors
/// Where the environment lacks something, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    logs::init();
    let sdk = Sdk::from_env()?;
    let deps = Deps { users: sdk.users()?, steps: Steps::from_env(&sdk)? };
    lambda_runtime::run(service_fn(|event: LambdaEvent<_>| {
        handle(&deps, event.payload, batch::deadline(&event.context))
    }))
    .await
}

/// Works on a batch of the `later` queue, or on one tick of the clock.
///
/// # Errors
/// Where a tick could not be worked off: the next one goes on from the same minute.
pub async fn handle(deps: &Deps, event: Value, deadline: Timestamp) -> Result<SqsBatchResponse, Error> {
    if event.get("Records").is_some() {
        let event: SqsEvent = serde_json::from_value(event)?;
        return batch::each(event, deadline, |record: Record<StepDue>| hand_on(deps, record)).await;
    }
    tick(deps, Timestamp::now()).await?;
    Ok(SqsBatchResponse::default())
}

/// Hands a step on whose delay is over; not where the message is confirmed by now.
async fn hand_on(deps: &Deps, record: Record<StepDue>) -> Result<(), Error> {
    let step = record.payload;
    let entry = deps.users.entry(&step.user, step.position).await?;
    if entry.is_none_or(|entry| entry.id != step.id || entry.is_confirmed()) {
        tracing::info!(message_id = %step.id, step = step.step, "step is not needed any more");
        return Ok(());
    }
    deps.steps.schedule(&step, Timestamp::now(), record.trace.as_deref()).await
}

/// Hands on every minute that has come within reach since the last tick.
async fn tick(deps: &Deps, now: Timestamp) -> Result<(), Error> {
    let due = deps.steps.due();
    let reach = last_minute_within_reach(now);
    // A deployment that has never ticked has nothing due before the reach of the queue.
    let from = due.done_until().await?.map_or_else(|| minute_of(now), |done| done + 1);
    let mut handed_on = 0_usize;
    for minute in from..=reach {
        let kept = due.minute(minute).await?;
        if kept.unreadable > 0 {
            tracing::error!(minute, count = kept.unreadable, "timers of another shape are left where they are");
        }
        handed_on += kept.steps.len();
        stream::iter(kept.steps.into_iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |step| async move { deps.steps.hand_on(&step, now).await })
            .await?;
        due.set_done_until(minute).await?;
    }
    tracing::info!(handed_on, from, until = reach, "clock ticked");
    Ok(())
}

/// The last minute all of which lies within the queue's delay, so that no step can come to it any more.
fn last_minute_within_reach(now: Timestamp) -> i64 {
    let longest = i64::try_from(LONGEST_DELAY_SECONDS).unwrap_or(i64::MAX);
    (now.seconds() + longest - CLOCK_ROOM_SECONDS).div_euclid(60) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_handed_on_once_it_lies_within_the_delay() {
        for seconds in [0, 1, 59, 60, 1_795_324_231] {
            let minute = last_minute_within_reach(Timestamp(seconds * 1_000));
            let ends = (minute + 1) * 60;
            assert!(ends - seconds <= 840 && ends - seconds > 780, "{seconds}: {}", ends - seconds);
        }
    }
}
