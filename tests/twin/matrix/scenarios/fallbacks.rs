//! Steps and timers: no SMS and no email too many, and none missing.

use http::Method;
use sam_twin::faults::{Fault, Rule};
use serde_json::json;
use tidings::providers::rules;
use tidings_domain::{
    Entry, More, Timer, Timestamp,
    chain::{Outcome, Step, StepDue},
    delivery::Job,
};
use tidings_providers::Provider;
use tidings_store::{Confirmation, Confirmed, minute_of};
use tidings_wire::{
    send::{Channel, FallbackStep},
    trail::SkipReason,
};

use crate::matrix::cell::Cell;

/// Age of a dead worker's claim, as after a minute.
const LONG_AGO_MILLIS: i64 = 61_000;

/// The entry after every step has ended; checks that each has sent as many messages as its outcome states.
async fn ended(cell: &Cell, steps: usize) -> Entry {
    // A claim that takes over another one meets the fault only when that one is old.
    let takes_over = cell.call.way.contains("claims.claim > again");
    let mut dead_since: Option<tokio::time::Instant> = None;
    let mut found = None;
    cell.until("every step has ended", async || {
        let Some(entry) = cell.entry("k").await else { return false };
        assert_eq!(entry.steps.len(), steps);
        let begun = entry.steps.iter().position(|step| step.claimed.is_some() && step.outcome.is_none());
        match begun.filter(|_| cell.is_over() || takes_over) {
            // The test does not wait for a minute: the claim is backdated, and the step is received again.
            Some(step) if dead_since.is_some_and(|since| since.elapsed().as_millis() > 700) => {
                let (user, place) = (cell.user().encode(), entry.position);
                let sort_key = format!("m#{:020}#{:020}", place.epoch, place.seq);
                let users = cell.table("TIDINGS_USERS_TABLE");
                let ago = Timestamp::now().0 - LONG_AGO_MILLIS;
                let last = match entry.steps[step].repeats.len() {
                    0 => format!("progress[{step}].claimed"),
                    repeats => format!("progress[{step}].repeats[{}]", repeats - 1),
                };
                cell.overwrite(&users, [("pk", &user), ("sk", &sort_key)], &last, ago).await;
                let (id, due) = (entry.letter.id.clone(), Timestamp::now());
                cell.put_step(&StepDue {
                    user: cell.user(),
                    position: place,
                    id,
                    step,
                    due,
                    waited: false,
                    attempts: 0,
                    more: More::default(),
                })
                .await;
                dead_since = None;
            }
            Some(_) => dead_since = dead_since.or_else(|| Some(tokio::time::Instant::now())),
            None => dead_since = None,
        }
        let all = entry.steps.iter().all(|step| step.outcome.is_some());
        found = Some(entry);
        all
    })
    .await;
    cell.idle().await;
    let entry = found.unwrap();
    let at_provider = ["Publish", "SendEmail"].contains(&cell.call.operation());
    // A worker that dies between the claim and the outcome leaves the step unknown.
    let claimed = ["claims.claim", "claims.end", "claims.release", "channels.call", "called_off"];
    let on_step = at_provider || claimed.iter().any(|call| cell.call.way.contains(call));
    for (Step { channel, .. }, record) in entry.chain() {
        let sent = cell.sent(channel.known().unwrap());
        match &record.outcome.as_ref().unwrap().0 {
            Outcome::Accepted(_) => assert_eq!(sent, 1, "{channel}"),
            Outcome::Unknown => {
                let is_known = *channel == Channel::Webhook;
                assert!(sent <= 1 && on_step && !cell.is_hidden() && !is_known, "{sent} {channel}");
            }
            // A request that was throttled, or met a failing server, was certainly not sent, and is sent later.
            Outcome::Refused(code) => assert!(sent == 0 && code == "410 Unregistered", "{sent} {channel} {code}"),
            Outcome::Skipped(reason) => panic!("skipped: {reason}"),
            Outcome::Newer(kind) => panic!("ended by a newer version: {kind}"),
        }
    }
    assert_eq!(cell.entries().await.len(), 1);
    entry
}

pub(super) async fn gone(cell: &Cell) {
    cell.register(&cell.user()).await;
    cell.believe(&cell.user()).await;
    cell.arm().await;
    cell.send(json!({"smsMessage": "Hi"})).await;
    let entry = ended(cell, 1).await;
    assert!(cell.view().await.connections.is_empty(), "pruned");
    let gone: Vec<_> = entry.gone.iter().map(|(device, _)| device).collect();
    assert_eq!((entry.offline.is_some(), gone), (true, vec![&cell.device_id()]), "the trail shows it");
}

/// A delivery is received again, and finds that all connections of its first attempt are gone.
pub(super) async fn gone_meanwhile(cell: &Cell) {
    cell.register(&cell.user()).await;
    let id = cell.believe(&cell.user()).await;
    let (delivery, entry) = cell.seed("k", |request| request.sms_message = Some("Hi".to_owned())).await;
    assert_eq!((entry.posted.len(), entry.offline), (1, None));
    cell.lane.stores.connections.prune(&cell.user(), &id).await.unwrap();
    cell.arm().await;
    cell.put_job(&Job::Deliver(Box::new(delivery))).await;
    let entry = ended(cell, 1).await;
    assert_eq!((entry.offline.is_some(), entry.gone.len()), (true, 1));
}

/// A message to Alice with an SMS at once and an email some time after.
async fn send_sms_then_email(cell: &Cell, after: u64) {
    cell.register(&cell.user()).await;
    cell.arm().await;
    let (sms, email) = (json!({"channel": "sms", "after": 0}), json!({"channel": "email", "after": after}));
    cell.send(json!({"fallback": [sms, email]})).await;
}

pub(super) async fn chain(cell: &Cell) {
    send_sms_then_email(cell, 0).await;
    ended(cell, 2).await;
}

pub(super) async fn slow_chain(cell: &Cell) {
    cell.purge_later().await;
    send_sms_then_email(cell, 600).await;
    cell.waits().await;
    assert_eq!((cell.sent(Channel::Sms), cell.sent(Channel::Email)), (1, 0));
}

pub(super) async fn far_chain(cell: &Cell) {
    send_sms_then_email(cell, 1_000).await;
    let entry = cell.settled("k", |entry| entry.steps[0].outcome.is_some()).await;
    let at = entry.steps[0].outcome.as_ref().unwrap().1;
    cell.kept(at.plus_seconds(1_000)).await;
    cell.idle().await;
    assert_eq!((cell.sent(Channel::Sms), cell.sent(Channel::Email)), (1, 0));
}

pub(super) async fn later_step(cell: &Cell) {
    cell.register(&cell.user()).await;
    cell.purge_later().await;
    cell.arm().await;
    cell.send(json!({"fallback": [{"channel": "sms", "after": 600}]})).await;
    cell.waits().await;
    assert_eq!((cell.entries().await.len(), cell.sent(Channel::Sms)), (1, 0));
}

pub(super) async fn far_step(cell: &Cell) {
    cell.register(&cell.user()).await;
    cell.arm().await;
    cell.send(json!({"fallback": [{"channel": "sms", "after": 1_000}]})).await;
    let entry = cell.settled("k", |_| true).await;
    cell.kept(entry.letter.accepted.plus_seconds(1_000)).await;
    cell.idle().await;
    assert_eq!(cell.entries().await.len(), 1);
}

/// A message to Alice with an SMS as its only step, and that step.
async fn step(cell: &Cell, due: Timestamp) -> StepDue {
    cell.register(&cell.user()).await;
    let sms = |request: &mut tidings_wire::SendRequest| {
        request.fallback = Some(vec![FallbackStep { channel: Channel::Sms, after: Some(0) }]);
    };
    let (_, entry) = cell.seed("k", sms).await;
    StepDue {
        user: cell.user(),
        position: entry.position,
        id: entry.letter.id,
        step: 0,
        due,
        waited: false,
        attempts: 0,
        more: More::default(),
    }
}

pub(super) async fn two_workers(cell: &Cell) {
    let step = step(cell, Timestamp::now()).await;
    cell.arm().await;
    tokio::join!(cell.put_step(&step), cell.put_step(&step));
    ended(cell, 1).await;
}

/// A recipient who has confirmed gets no SMS, however late the worker reads it.
pub(super) async fn confirmed_meanwhile(cell: &Cell) {
    let step = step(cell, Timestamp::now()).await;
    let (stores, device, acked) = (&cell.lane.stores, cell.device_id(), Confirmation::Acknowledged);
    cell.arm().await;
    let confirm = async {
        cell.struck().await;
        stores
            .mailboxes
            .confirm(&step.user, step.position, &step.id, &device, acked, Confirmed::Alive(Timestamp::now()))
            .await
            .unwrap()
    };
    assert!(tokio::join!(cell.put_step(&step), confirm).1);
    cell.until("the fault is over", async || cell.is_over()).await;
    cell.idle().await;
    let entry = cell.entry("k").await.unwrap();
    // If the claim was written anyway, or repeated at once, the SMS was first.
    let first = cell.is_hidden() || [Fault::LoseAnswer, Fault::KillAfter].contains(&cell.fault);
    assert!(entry.is_confirmed() && cell.sent(Channel::Sms) <= usize::from(first));
    assert!(first || entry.steps[0].claimed.is_none());
}

pub(super) async fn comeback(cell: &Cell) {
    let step = step(cell, Timestamp::now()).await;
    cell.believe_since(&cell.user(), Timestamp::now()).await;
    cell.purge_later().await;
    cell.arm().await;
    cell.put_step(&step).await;
    cell.waits().await;
    let entry = cell.entry("k").await.unwrap();
    assert!(entry.steps[0].claimed.is_none() && cell.sent(Channel::Sms) == 0);
}

pub(super) async fn due_step(cell: &Cell) {
    let step = step(cell, Timestamp::now()).await;
    cell.arm().await;
    cell.put_later(&Timer::Step(step)).await;
    ended(cell, 1).await;
}

/// A message to Alice with a push at once and an SMS after it.
async fn send_push_then_sms(cell: &Cell) {
    cell.register_for_push().await;
    let (push, sms) = (json!({"channel": "apns", "after": 0}), json!({"channel": "sms", "after": 0}));
    cell.arm().await;
    cell.send(json!({"fallback": [push, sms]})).await;
}

/// Sets Apple's answer to the cell's token, for a number of requests.
fn apple_answers(cell: &Cell, status: u16, code: &str, retry_after: Option<&str>, times: u32) {
    let (code, reason, retry_after) = (code.to_owned(), String::new(), retry_after.map(str::to_owned));
    let fault = rules::Fault::Refuse { status, code, reason, retry_after };
    let rules = cell.lane.world.providers().rules();
    // The previous cell of this lane has ended, and has left no rule.
    rules.set(vec![rules::Rule { service: Provider::Apns.into(), to: cell.token(), fault, times: Some(times) }]);
}

pub(super) async fn push_chain(cell: &Cell) {
    send_push_then_sms(cell).await;
    ended(cell, 2).await;
}

/// A message to Alice with a call of the app's server at once, and an SMS after it.
async fn send_hook_then_sms(cell: &Cell) {
    cell.register(&cell.user()).await;
    cell.arm().await;
    let (hook, sms) = (json!({"channel": "webhook", "after": 0}), json!({"channel": "sms", "after": 0}));
    cell.send(json!({"fallback": [hook, sms]})).await;
}

/// The server recognises a repeated call: it is called until it answers, and acts once.
pub(super) async fn hook_chain(cell: &Cell) {
    send_hook_then_sms(cell).await;
    let entry = ended(cell, 2).await;
    let called = entry.steps[0].outcome.as_ref().map(|(outcome, _)| outcome);
    assert!(matches!(called, Some(Outcome::Accepted(_))) && cell.sent(Channel::Webhook) == 1, "{called:?}");
}

/// The same if its answer is cut off, and if it is busy when it is called again: it has the call already.
pub(super) async fn hook_cut(cell: &Cell, busy: bool) {
    let rule = |fault, times| rules::Rule { service: Provider::Webhook.into(), to: String::new(), fault, times };
    let (code, reason, retry_after) = (String::new(), String::new(), None);
    let away = rules::Fault::Refuse { status: 503, code, reason, retry_after };
    let rules = [rule(rules::Fault::Cut { taken: true }, Some(1)), rule(away, Some(1))];
    cell.lane.world.providers().rules().set(rules.into_iter().take(1 + usize::from(busy)).collect());
    hook_chain(cell).await;
    let entry = cell.entry("k").await.unwrap();
    assert!(entry.steps[0].claimed.is_some() && !entry.steps[0].repeats.is_empty(), "{:?}", entry.steps[0]);
}

/// A message about an item, which is open or closed.
async fn send_about_item(cell: &Cell, open: bool) {
    cell.register(&cell.user()).await;
    if !open {
        cell.lane.items.close(&cell.user().tenant(), ITEM, Timestamp::now()).await.unwrap();
    }
    cell.arm().await;
    let (sms, email) = (json!({"channel": "sms", "after": 0}), json!({"channel": "email", "after": 0}));
    cell.send(json!({"fallback": [sms, email], "condition": {"itemOpen": ITEM}})).await;
}

/// The item of a message.
const ITEM: &str = "order:4711";

pub(super) async fn open_item(cell: &Cell) {
    send_about_item(cell, true).await;
    ended(cell, 2).await;
}

pub(super) async fn closed_item(cell: &Cell) {
    send_about_item(cell, false).await;
    let is_ended = |entry: &Entry| entry.steps.iter().all(|step| step.outcome.is_some());
    let entry = cell.settled("k", is_ended).await;
    cell.idle().await;
    let skipped = Outcome::Skipped(SkipReason::ItemClosed.into());
    assert!(entry.steps.iter().all(|step| step.outcome.as_ref().is_some_and(|(outcome, _)| *outcome == skipped)));
    assert_eq!((cell.sent(Channel::Sms), cell.sent(Channel::Email)), (0, 0));
}

/// A backend closes or reopens an item, and reads it.
pub(super) async fn set_item(cell: &Cell, open: bool) {
    let path = format!("/v1/items/{ITEM}");
    if open {
        cell.lane.items.close(&cell.user().tenant(), ITEM, Timestamp::now()).await.unwrap();
    }
    cell.arm().await;
    let answer = cell.ask(Method::PUT, &path, None, Some(json!({"open": open}))).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["open"]), (200, &json!(open)), "{answer:?}");
    assert_eq!(cell.ask(Method::GET, &path, None, None).await.json(), answer.json());
    let closed = cell.lane.items.closed(&cell.user().tenant(), ITEM, Timestamp::now()).await.unwrap();
    assert_eq!(closed.is_none(), open);
}

/// A backend reads a closed item.
pub(super) async fn read_item(cell: &Cell) {
    let closed = cell.lane.items.close(&cell.user().tenant(), ITEM, Timestamp::now()).await.unwrap();
    cell.arm().await;
    let answer = cell.ask(Method::GET, &format!("/v1/items/{ITEM}"), None, None).await;
    assert_eq!(answer.json(), json!({"item": ITEM, "open": false, "closedAt": closed}), "{answer:?}");
}

pub(super) async fn push_later(cell: &Cell) {
    apple_answers(cell, 429, "TooManyRequests", None, 1);
    send_push_then_sms(cell).await;
    ended(cell, 2).await;
}

pub(super) async fn push_much_later(cell: &Cell) {
    apple_answers(cell, 503, "Shutdown", Some("3600"), u32::MAX);
    cell.register_for_push().await;
    cell.arm().await;
    cell.send(json!({"fallback": [{"channel": "apns", "after": 0}]})).await;
    let entry = cell.settled("k", |entry| entry.steps[0].put_off.is_some()).await;
    // If its note was lost with a worker, the step is put off once more, and the newest note stays.
    cell.until("it is kept", async || cell.is_over()).await;
    cell.idle().await;
    let note = cell.entry("k").await.unwrap().steps[0].put_off.clone().unwrap();
    assert_eq!((note.code.as_str(), note.since), ("503 Shutdown", entry.steps[0].put_off.as_ref().unwrap().since));
    cell.kept(note.until).await;
    assert!(entry.steps[0].outcome.is_none() && cell.sent(Channel::Apns) == 0);
}

pub(super) async fn push_without_secret(cell: &Cell) {
    // As often as it is tried before the worker releases the step.
    let away = Rule::new(Fault::ServerError).function("FallbackFunction").operation("GetSecretValue");
    cell.lane.world.twin.faults().add(away.contains(cell.app().as_str()).times(3));
    send_push_then_sms(cell).await;
    ended(cell, 2).await;
}

pub(super) async fn push_to_the_dead(cell: &Cell) {
    apple_answers(cell, 410, "Unregistered", None, 1);
    send_push_then_sms(cell).await;
    let entry = ended(cell, 2).await;
    assert_eq!((cell.sent(Channel::Apns), cell.sent(Channel::Sms)), (0, 1));
    let refused = entry.steps[0].outcome.as_ref().is_some_and(|(outcome, _)| matches!(outcome, Outcome::Refused(_)));
    // If the address was not deleted, the next push finds it dead again.
    let unanswered = [Fault::LoseAnswer, Fault::KillAfter].contains(&cell.fault);
    let forgotten = cell.view().await.devices[0].push.is_none();
    assert!(refused && (forgotten || !(cell.is_hidden() || unanswered)), "{:?}", entry.steps);
}

pub(super) async fn too_early(cell: &Cell) {
    let step = step(cell, Timestamp::now().plus_seconds(600)).await;
    cell.purge_later().await;
    cell.arm().await;
    cell.put_later(&Timer::Step(step)).await;
    cell.waits().await;
    assert_eq!(cell.sent(Channel::Sms), 0);
}

pub(super) async fn too_early_by_far(cell: &Cell) {
    let step = step(cell, Timestamp::now().plus_seconds(1_000)).await;
    let due = step.due;
    cell.arm().await;
    cell.put_later(&Timer::Step(step)).await;
    cell.kept(due).await;
    cell.idle().await;
    assert_eq!(cell.sent(Channel::Sms), 0);
}

pub(super) async fn tick(cell: &Cell) {
    // The last minute that a tick hands on, thirteen to fourteen minutes ahead.
    let reach = (Timestamp::now().seconds() + 840).div_euclid(60) - 1;
    let step = step(cell, Timestamp((reach - 1) * 60_000 + 1)).await;
    let (timer, due) = (Timer::Step(step), &cell.lane.due);
    due.keep(&timer).await.unwrap();
    let table = cell.lane.world.environment("TimerFunction")["TIDINGS_DUE_TABLE"].clone();
    cell.overwrite(&table, [("pk", "cursor"), ("sk", "cursor")], "done_minute", reach - 2).await;
    cell.purge_later().await;
    cell.arm().await;
    let schedules = cell.lane.world.twin.schedules();
    let tick = async || {
        let mut ticked = true;
        for name in schedules.names() {
            ticked &= schedules.fire(name).await.unwrap().is_ok();
        }
        ticked
    };
    cell.until("the clock ticks", tick).await;
    cell.until("it waits on the queue", async || cell.delayed() > 0).await;
    let left = due.minute(minute_of(timer.due())).await.unwrap();
    let body = serde_json::to_string(&timer).unwrap();
    assert!(!left.timers.iter().any(|kept| kept.body == body), "handed on");
    assert!(due.done_until(Timestamp::now()).await.unwrap().unwrap() >= reach);
}
