//! Messages: sent, delivered, cancelled, replaced, each once and in order.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tidings_domain::{
    Entry, More, Open, Timer, Timestamp, UserKey,
    delivery::{Delivery, Job, Redelivery},
    digest,
    mailbox::{Closed, Window},
    timer::SendDue,
};
use tidings_store::Appended;
use tidings_wire::{MessageFrame, Trail, send::Priority, trail::State};

use crate::matrix::{
    cell::{Cell, RETRY_AFTER},
    phone::Phone,
};

async fn online_phone(cell: &Cell) -> Phone {
    let identity = cell.register(&cell.user()).await;
    Phone::open(cell, &identity).await
}

/// A message as the device has it in the end; the device asks for lost ones.
async fn received(cell: &Cell, phone: &mut Phone, key: &str) -> MessageFrame {
    let entry = cell.settled(key, |_| true).await;
    let shown = |phone: &Phone| phone.seen(|seen| seen.message(&entry.letter.id));
    for _ in 0..50 {
        if let Some(message) = shown(phone) {
            return message;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    phone.send(cell, json!({"action": "sync", "epoch": 0, "seq": 0}), async |phone| shown(phone).is_some()).await;
    shown(phone).unwrap()
}

pub(super) async fn online(cell: &Cell, before: usize) {
    let mut phone = online_phone(cell).await;
    for n in 0..before {
        cell.seed(&n.to_string(), |_| {}).await;
    }
    cell.arm().await;
    cell.send(json!({})).await;
    let message = received(cell, &mut phone, "k").await;
    let place = message.position.unwrap();
    let ack = json!({"action": "ack", "id": message.id, "epoch": place.epoch, "seq": place.seq});
    phone.send(cell, ack, async |_| cell.entry("k").await.unwrap().is_confirmed()).await;
    cell.idle().await;
    let entries = cell.entries().await;
    let entry = &entries[before];
    assert_eq!((entries.len(), entry.position, entry.acks.len()), (before + 1, place, 1));
    assert!(phone.seen(|seen| seen.message(&entry.letter.id)).is_some(), "shown in one way only");
    // A ping restores a connection that was pruned by mistake.
    phone.send(cell, json!({"action": "ping"}), async |_| cell.view().await.connections.len() == 1).await;
}

/// More devices than a view reads with its first pages: the presence and the tail are read by themselves.
pub(super) async fn online_among_many(cell: &Cell) {
    cell.registered_before(30).await;
    online(cell, 1).await;
}

/// Two lanes and a third worker write to one mailbox; the third does so while the fault delays the first.
pub(super) async fn two_lanes(cell: &Cell, before: usize) {
    for n in 0..before {
        cell.seed(&n.to_string(), |_| {}).await;
    }
    let now = Timestamp::now();
    let one = cell.record(&cell.accepted("k", now, |_| {}), None).await;
    let two = cell.record(&cell.accepted("l", now, |request| request.priority = Some(Priority::Normal)), None).await;
    let three = cell.record(&cell.accepted("m", now, |_| {}), None).await;
    let mut entry = cell.planned(&three).await;
    let (one, two) = (Job::Deliver(Box::new(one)), Job::Deliver(Box::new(two)));
    cell.arm().await;
    let bulk = async {
        cell.struck().await;
        cell.put("SendFunction", "TIDINGS_BULK_QUEUE_URL", &two).await;
    };
    let third = async {
        cell.struck().await;
        while cell.lane.stores.mailboxes.append(&cell.user(), &entry).await.unwrap() == Appended::Conflict {
            entry = cell.planned(&three).await;
        }
    };
    tokio::join!(cell.put_job(&one), bulk, third);
    cell.settled("k", |_| true).await;
    cell.settled("l", |_| true).await;
    cell.idle().await;
    let ids: Vec<_> = cell.entries().await.into_iter().map(|entry| entry.letter.id).collect();
    assert_eq!(ids.len(), before + 3, "{ids:?}");
    assert!(ids.contains(&three.letter.id));
}

/// Messages of one lane are in the mailbox in their order, even if the first of them fails.
pub(super) async fn in_order(cell: &Cell) {
    cell.seed("0", |_| {}).await;
    let now = Timestamp::now();
    let mut jobs = Vec::new();
    for key in ["k", "l", "m"] {
        let delivery = cell.record(&cell.accepted(key, now, |_| {}), None).await;
        jobs.push(Job::Deliver(Box::new(delivery)));
    }
    cell.arm().await;
    for job in &jobs {
        cell.put_job(job).await;
    }
    cell.settled("m", |_| true).await;
    cell.idle().await;
    let ids: Vec<_> = cell.entries().await.into_iter().map(|entry| entry.letter.id).collect();
    assert_eq!(ids, ["0", "k", "l", "m"].map(|key| cell.message_id(key)));
}

pub(super) async fn many(cell: &Cell) {
    let aliases: Vec<String> = (0..12).map(|n| format!("user{n}")).collect();
    cell.arm().await;
    cell.send(json!({"audiences": aliases, "priority": "normal"})).await;
    for alias in aliases {
        let user = UserKey { alias, ..cell.user() };
        let mailbox =
            async || cell.lane.stores.mailboxes.after(&user, None, None, 10, Timestamp::now()).await.unwrap().0;
        cell.until("it stands in each mailbox", async || mailbox().await.len() == 1).await;
    }
}

pub(super) async fn send_again(cell: &Cell) {
    let first = cell.send(json!({})).await;
    cell.settled("k", |_| true).await;
    cell.arm().await;
    let second = cell.send(json!({})).await;
    assert_eq!(second.json(), first.json());
    assert!(second.headers.contains_key("idempotency-replay"));
    cell.idle().await;
    assert_eq!(cell.entries().await.len(), 1);
}

pub(super) async fn send_to_device(cell: &Cell) {
    cell.register(&cell.user()).await;
    cell.arm().await;
    cell.send(json!({"audienceType": "DEVICE", "audiences": [cell.device_id()]})).await;
    cell.settled("k", |_| true).await;
    cell.idle().await;
    assert_eq!(cell.entries().await.len(), 1);
}

pub(super) async fn send_later(cell: &Cell) {
    cell.purge_later().await;
    cell.arm().await;
    cell.send(json!({"sendAt": Timestamp::now().plus_seconds(600)})).await;
    cell.waits().await;
    assert!(cell.entries().await.is_empty());
}

pub(super) async fn send_far_later(cell: &Cell) {
    cell.arm().await;
    let at = Timestamp::now().plus_seconds(3_600);
    cell.send(json!({"sendAt": at})).await;
    cell.kept(at).await;
}

pub(super) async fn send_now(cell: &Cell) {
    let now = Timestamp::now();
    let message = cell.accepted("k", now, |request| request.send_at = Some(now.plus_seconds(3_600)));
    cell.record(&message, None).await;
    cell.arm().await;
    cell.put_later(&Timer::Send(SendDue { id: message.letter.id, due: now, more: More::default() })).await;
    cell.settled("k", |_| true).await;
    cell.idle().await;
    assert_eq!(cell.entries().await.len(), 1);
}

pub(super) async fn repeat_after_its_time(cell: &Cell) {
    let at = Timestamp(Timestamp::now().0 - 5_000);
    let before = Timestamp(at.0 - 5_000);
    let body = json!({"audiences": ["alice"], "alert": "k", "sendAt": at});
    let message = cell.accepted("k", before, |request| request.send_at = Some(at));
    cell.record(&message, Some(digest(body.to_string().as_bytes()))).await;
    cell.arm().await;
    let answer = cell.ask(Method::POST, "/v1/messages", Some("k"), Some(body)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    cell.settled("k", |_| true).await;
    cell.idle().await;
    assert_eq!(cell.entries().await.len(), 1);
}

/// A message of five minutes ago; the newest entry of the mailbox does not remember the entries before it.
async fn minutes_ago(cell: &Cell, stands: bool) -> Delivery {
    let before = Timestamp(Timestamp::now().0 - 300_000);
    let delivery = cell.record(&cell.accepted("k", before, |_| {}), None).await;
    if stands {
        cell.append(&delivery, |_| {}).await;
        let next = cell.record(&cell.accepted("l", Timestamp::now(), |_| {}), None).await;
        cell.append(&next, |entry| entry.links.window = Window::default()).await;
    }
    delivery
}

pub(super) async fn late(cell: &Cell, stands: bool) {
    let delivery = minutes_ago(cell, stands).await;
    cell.arm().await;
    cell.put_job(&Job::Deliver(Box::new(delivery))).await;
    cell.settled("k", |_| cell.hits() > 0).await;
    cell.idle().await;
    assert_eq!(cell.entries().await.len(), if stands { 2 } else { 1 });
}

/// A message that was stored by a worker that died is posted by the next one.
pub(super) async fn repeated(cell: &Cell) {
    let mut phone = online_phone(cell).await;
    let (delivery, entry) = cell.seed("k", |_| {}).await;
    cell.arm().await;
    cell.put_job(&Job::Deliver(Box::new(delivery))).await;
    let message = received(cell, &mut phone, "k").await;
    assert_eq!(message.position, Some(entry.position));
    cell.idle().await;
    assert_eq!(cell.entries().await.len(), 1);
}

pub(super) async fn cancel(cell: &Cell) {
    cell.seed("k", |_| {}).await;
    cell.arm().await;
    let answer = cell.ask(Method::DELETE, &format!("/v1/messages/{}", cell.message_id("k")), None, None).await;
    // A client whose first answer was lost gets 409 for the repeat.
    let is_answered =
        if cell.is_hidden() { answer.status == 200 } else { [200, 409].contains(&answer.status.as_u16()) };
    assert!(is_answered, "{answer:?}");
    cell.settled("k", |entry| matches!(entry.closed, Some((Open::Known(Closed::Cancelled), _)))).await;
    cell.idle().await;
}

pub(super) async fn cancel_again(cell: &Cell) {
    let (delivery, _) = cell.seed("k", |_| {}).await;
    cell.lane.messages.cancel(&delivery.letter.id, Timestamp::now()).await.unwrap().unwrap();
    cell.arm().await;
    let answer = cell.ask(Method::DELETE, &format!("/v1/messages/{}", delivery.letter.id), None, None).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (409, &Value::from("already_cancelled")));
    cell.settled("k", |entry| matches!(entry.closed, Some((Open::Known(Closed::Cancelled), _)))).await;
}

pub(super) async fn withdraw(cell: &Cell, forgotten: bool) {
    let delivery = if forgotten { minutes_ago(cell, true).await } else { cell.seed("k", |_| {}).await.0 };
    cell.arm().await;
    let at = Timestamp::now();
    let withdraw = tidings_domain::delivery::Withdraw { user: cell.user(), id: delivery.letter.id, at };
    cell.put_job(&Job::Withdraw(withdraw)).await;
    cell.settled("k", |entry| entry.closed == Some((Closed::Cancelled.into(), at))).await;
    cell.idle().await;
}

pub(super) async fn collapse(cell: &Cell) {
    let key = |request: &mut tidings_wire::SendRequest| request.collapse_key = Some("c".to_owned());
    let (_, old) = cell.seed("old", key).await;
    cell.arm().await;
    cell.send(json!({"collapseKey": "c"})).await;
    let new = cell.settled("k", |_| true).await;
    assert_eq!((new.links.replaces, new.closed), (Some(old.position), None));
    cell.settled("old", |entry| matches!(entry.closed, Some((Open::Known(Closed::Replaced), _)))).await;
    cell.idle().await;
    assert_eq!(cell.entries().await.len(), 2);
}

pub(super) async fn need_confirm(cell: &Cell) {
    cell.purge_later().await;
    cell.arm().await;
    cell.send(json!({"needConfirm": true})).await;
    cell.settled("k", |_| true).await;
    cell.waits().await;
    assert_eq!(cell.entries().await.len(), 1);
}

async fn to_be_confirmed(cell: &Cell, attempt: u32) -> (Entry, Redelivery) {
    let (_, entry) = cell.seed("k", |request| request.content.need_confirm = Some(true)).await;
    let (user, position, id) = (cell.user(), entry.position, entry.letter.id.clone());
    let (due, unanswered, more) = (Timestamp::now(), Vec::new(), More::default());
    (entry, Redelivery { user, position, id, attempt, due, unanswered, more })
}

pub(super) async fn redelivery(cell: &Cell) {
    let phone = online_phone(cell).await;
    let (entry, again) = to_be_confirmed(cell, 0).await;
    cell.purge_later().await;
    cell.arm().await;
    cell.put_later(&Timer::Redeliver(again)).await;
    cell.waits().await;
    let redelivered = cell.entry("k").await.unwrap().redelivered.len();
    let shown = phone.seen(|seen| seen.message(&entry.letter.id));
    // A post without an answer is not counted, or not shown; nothing is counted twice.
    let unsure = cell.call.operation() == "PostToConnection" && !cell.is_hidden();
    assert!(redelivered == 1 || unsure && redelivered == 0, "{redelivered} redeliveries");
    assert!(shown.is_some_and(|shown| shown.position == Some(entry.position)) || unsure);
}

pub(super) async fn far_redelivery(cell: &Cell) {
    let (_, again) = to_be_confirmed(cell, 4).await;
    cell.arm().await;
    cell.put_job(&Job::Redeliver(again)).await;
    cell.kept(Timestamp::now().plus_seconds(960)).await;
    tokio::time::sleep(RETRY_AFTER).await;
    cell.idle().await;
}

pub(super) async fn trail(cell: &Cell) {
    let (delivery, _) = cell.seed("k", |_| {}).await;
    cell.arm().await;
    let answer = cell.ask(Method::GET, &format!("/v1/messages/{}", delivery.letter.id), None, None).await;
    let trail: Trail = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((trail.recipients.len(), trail.recipients[0].state), (1, State::Pending));
}
