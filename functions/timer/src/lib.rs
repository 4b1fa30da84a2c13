//! The `later` queue and the clock: fallback steps, redeliveries and scheduled messages, when they are due.
//!
//! What is due within fifteen minutes waits on the `later` queue. What is due later waits in the due table, by minute; every
//! minute, the clock hands on the minutes that have come within reach of the queue's delay.

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

/// Room between the queue's longest delay and what the clock hands on, in seconds, for clocks that differ.
const CLOCK_ROOM_SECONDS: i64 = 60;

/// Timers that are handed on at the same time.
const AT_ONCE: usize = 16;

/// What the handler needs.
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

/// Works on a batch of the `later` queue, or on one tick of the clock.
///
/// # Errors
/// Where a tick could not be worked off: the next one goes on from the same minute.
pub async fn handle(deps: &Deps, event: Value, deadline: Timestamp) -> Result<SqsBatchResponse, Error> {
    if event.get("Records").is_some() {
        let event: SqsEvent = serde_json::from_value(event)?;
        return deps.batches.each(event, deadline, |record: Record<Timer>| fire(deps, record)).await;
    }
    tick(deps, Timestamp::now()).await?;
    Ok(SqsBatchResponse::default())
}

/// Does what a timer is for, if its time has come and it is still needed.
async fn fire(deps: &Deps, record: Record<Timer>) -> Result<(), Error> {
    let (timer, trace, now) = (record.payload, record.trace.as_deref(), Timestamp::now());
    if timer.due() > now {
        // It was further off than a queue's delay, or this clock is behind the one that set it.
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

/// Sends a message whose time has come, unless it was cancelled. Doing it twice doubles nothing.
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

/// Hands on every minute that has come within reach since the last tick.
async fn tick(deps: &Deps, now: Timestamp) -> Result<(), Error> {
    let timers = deps.steps.timers();
    let due = timers.due();
    let reach = last_minute_within_reach(now);
    // A deployment that has never ticked has nothing due before the reach of the queue.
    let from = due.done_until().await?.map_or_else(|| minute_of(now), |done| done + 1);
    let mut handed_on = 0_usize;
    for minute in from..=reach {
        let kept = due.minute(minute).await?;
        if kept.unreadable > 0 {
            tracing::error!(minute, count = kept.unreadable, "items without a timer are left where they are");
        }
        handed_on += kept.timers.len();
        stream::iter(kept.timers.into_iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |timer| async move { timers.hand_on(&timer, now).await })
            .await?;
        due.set_done_until(minute).await?;
    }
    tracing::info!(handed_on, from, until = reach, "clock ticked");
    Ok(())
}

/// The last minute all of which lies within the queue's delay, so that no timer can come to it any more.
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
