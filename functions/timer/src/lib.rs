//! The `later` queue and the schedule: fallback steps, redeliveries and scheduled messages, when they are due.
//!
//! A timer that is due within fifteen minutes waits on the `later` queue, a later one in the due table, by minute.
//! Every minute, a tick of the schedule hands on the minutes that have come within the queue's longest delay.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::stream::{self, TryStreamExt};
use serde_json::Value;
use tidings_domain::{Timer, Timestamp, fallback, mailbox::Slot, timer::SendDue};
use tidings_lambda::{
    Error,
    batch::{self, Batches, Record, Unreadable},
};
use tidings_queue::LONGEST_DELAY_SECONDS;
use tidings_service::{Lanes, Steps};
use tidings_store::{Mailboxes, Messages, minute_of};

/// Margin between the queue's longest delay and the minutes that a tick hands on, in seconds, for clock skew.
const CLOCK_ROOM_SECONDS: i64 = 60;

/// Limit of timers that are handed on in parallel.
const AT_ONCE: usize = 16;

/// Seconds that a minute may take: none begins later before the end of the invocation.
const LAST_SECONDS: u64 = 5;

/// The handler's dependencies.
#[derive(Debug)]
pub struct Deps {
    batches: Batches,
    mailboxes: Mailboxes,
    messages: Messages,
    lanes: Lanes,
    steps: Steps,
}

/// Runs the function until its process ends.
///
/// # Errors
/// If the environment lacks a variable, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    let sdk = tidings_lambda::start()?;
    let deps = Deps {
        batches: sdk.batches(),
        mailboxes: sdk.mailboxes()?,
        messages: sdk.messages()?,
        lanes: sdk.lanes()?,
        steps: sdk.steps()?,
    };
    batch::serve(|event, deadline| handle(&deps, event, deadline)).await
}

/// Processes a batch of the `later` queue, or one tick of the schedule.
///
/// # Errors
/// If a tick could not be completed: the next one continues from the same minute.
pub async fn handle(deps: &Deps, event: Value, deadline: Timestamp) -> Result<SqsBatchResponse, Error> {
    if event.get("Records").is_some() {
        let event: SqsEvent = serde_json::from_value(event)?;
        return deps.batches.each(event, deadline, |record: Record<Timer>| fire(deps, record)).await;
    }
    tick(deps, Timestamp::now(), deadline).await?;
    Ok(SqsBatchResponse::default())
}

/// Carries out a timer if it is due and still needed.
async fn fire(deps: &Deps, record: Record<Timer>) -> Result<(), Error> {
    let (timer, trace, now) = (record.payload, record.trace.as_deref(), Timestamp::now());
    if timer.due() > now {
        // It was further ahead than a queue's longest delay, or this clock is behind the one that set it.
        return Ok(deps.steps.timers().schedule(&timer, now, trace).await?);
    }
    match timer {
        Timer::Step(step) => {
            let entry = match deps.mailboxes.entry(&step.user, step.position).await? {
                // A newer version takes the step from the dead-letter queue.
                Some(Slot::Unreadable(_)) => return Err(Unreadable("the mailbox entry").into()),
                entry => entry.and_then(Slot::into_read),
            };
            if !entry.is_some_and(|entry| fallback::is_needed(&step, &entry, now)) {
                tracing::info!(message_id = %step.id, step = step.step, "step is not needed any more");
                return Ok(());
            }
            Ok(deps.steps.schedule(step, now, trace).await?)
        }
        Timer::Redeliver(redelivery) => Ok(deps.lanes.redeliver(redelivery, trace).await?),
        Timer::Send(send) => begin(deps, &send, now, trace).await,
    }
}

/// Sends a scheduled message when it is due, unless it was cancelled. Idempotent.
async fn begin(deps: &Deps, send: &SendDue, now: Timestamp, trace: Option<&str>) -> Result<(), Error> {
    let Some(stored) = deps.messages.begin(&send.id, now).await? else {
        tracing::info!(message_id = %send.id, "not sent: cancelled before its time");
        return Ok(());
    };
    let message = stored.message.as_ref().ok_or("the record of a scheduled message has no message")?;
    deps.lanes.deliver(message, &stored.aliases, trace).await?;
    tracing::info!(message_id = %send.id, recipients = stored.aliases.len(), "scheduled message sent");
    Ok(())
}

/// Hands on every minute that has come within the queue's delay since the last tick, or as many of them as fit into the
/// invocation: the next tick continues.
async fn tick(deps: &Deps, now: Timestamp, deadline: Timestamp) -> Result<(), Error> {
    let timers = deps.steps.timers();
    let due = timers.due();
    let reach = last_minute_within_reach(now);
    // A deployment that has never ticked has no timers due before the queue's delay.
    let from = due.done_until(now).await?.map_or_else(|| minute_of(now), |done| done + 1);
    let (mut handed_on, mut until) = (0_usize, from);
    for minute in from..=reach {
        if Timestamp::now().plus_seconds(LAST_SECONDS) > deadline {
            tracing::warn!(minute, behind = reach - minute, "the clock is behind: the next tick continues");
            break;
        }
        let kept = due.minute(minute).await?;
        if kept.unreadable > 0 {
            tracing::error!(minute, count = kept.unreadable, "items without a timer are left where they are");
        }
        handed_on += kept.timers.len();
        stream::iter(kept.timers.into_iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |timer| async move { timers.hand_on(&timer, now).await })
            .await?;
        due.set_done_until(minute).await?;
        until = minute;
    }
    tracing::info!(handed_on, from, until, "clock ticked");
    Ok(())
}

/// The last minute that lies entirely within the queue's delay, so that no further timer is stored in it.
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
