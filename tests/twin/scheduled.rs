//! Messages that are sent later than they were accepted.

use http::Method;
use serde_json::{Value, json};
use tidings_domain::{More, Timer, Timestamp, timer::SendDue};
use tidings_store::{Due, Stored, minute_of};
use tidings_wire::trail::{Event as Happened, State, Trail};

use crate::world::{World, eventually, happened};

/// The next whole second, `seconds` ahead.
fn ahead(seconds: i64) -> Timestamp {
    Timestamp((Timestamp::now().seconds() + seconds) * 1_000)
}

fn stored_at(trail: &Trail) -> Timestamp {
    let stored = trail.recipients[0].transitions.iter().find(|transition| transition.event == Happened::Stored);
    stored.unwrap().at
}

/// Fires the schedule once.
async fn tick(world: &World) {
    let fired = world.control(Method::POST, "/_twin/schedules/fire", None).await;
    assert!(fired.as_array().unwrap().iter().all(|schedule| schedule["error"].is_null()), "{fired}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_sent_at_its_time_and_takes_its_position_then() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let at = ahead(5);
    let body = json!({"audiences": ["alice"], "alert": "later", "sendAt": at});
    let first = world.post(&body, "later-1").await;
    assert_eq!((first.status.as_u16(), &first.json()["sendAt"]), (202, &json!(at)));
    let later = first.json()["requestId"].as_str().unwrap().to_owned();
    // A repeat before its time: the same answer, and still one timer.
    let early = world.post(&body, "later-1").await;
    assert_eq!((early.status.as_u16(), &early.body), (202, &first.body));
    let now = world.send(&["alice"], "now").await;

    let [one, two] = [alice.message().await, alice.message().await];
    assert_eq!([&one.id, &two.id], [&now, &later], "order counts when it is sent");
    assert_eq!(two.create_time, at.seconds());
    let trail = world.trail(&later).await;
    assert!(stored_at(&trail) >= at, "{trail:?}");
    assert!(trail.accepted_at < at && trail.send_at == Some(at));
    let events = happened(&trail.recipients[0]);
    assert_eq!(events, [Happened::Accepted, Happened::Scheduled, Happened::Stored, Happened::Posted]);

    // After its time: `sendAt` is in the past by now, and the answer is still the same.
    let repeat = world.post(&body, "later-1").await;
    assert_eq!((repeat.status.as_u16(), &repeat.body), (202, &first.body), "{repeat:?}");
    assert_eq!(repeat.headers["idempotency-replay"], "true");
    world.stored().await;
    let next = world.send(&["alice"], "next").await;
    let three = loop {
        let message = alice.message().await;
        // A repeat may be posted again, at its old position.
        if message.id != later {
            break message;
        }
        assert_eq!(message.position, two.position);
    };
    assert_eq!((&three.id, three.position.unwrap().seq), (&next, two.position.unwrap().seq + 1));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_beyond_a_queues_delay_waits_in_the_due_table_until_the_clock_hands_it_on() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let due =
        Due::new(world.dynamodb(), world.vault(), world.environment("TimerFunction")["TIDINGS_DUE_TABLE"].clone());
    let at = ahead(3_600);
    let id = world.send_with(&["alice"], "in an hour", |request| request.send_at = Some(at)).await;
    let timer = Timer::Send(SendDue { id: id.parse().unwrap(), due: at, more: More::default() });
    let kept = due.minute(minute_of(at)).await.unwrap().timers;
    let bodies: Vec<Timer> = kept.iter().map(|kept| serde_json::from_str(&kept.body).unwrap()).collect();
    assert_eq!(bodies, [timer]);
    let trail = world.until(&id, State::Scheduled).await;
    assert_eq!((trail.position, happened(&trail)), (None, vec![Happened::Accepted, Happened::Scheduled]));
    assert_eq!(world.stores().users.view(&World::user("alice"), Timestamp::now()).await.unwrap().tail, None);

    // A timer that has come within the queue's delay, as after an hour.
    let (now, at) = (Timestamp::now(), ahead(3));
    let mut request = World::text(&["alice"], "an hour ago");
    request.send_at = Some(at);
    let message = World::accepted(request, now);
    let stored = Stored::new(&message, vec!["alice".to_owned()], None);
    assert_eq!(world.messages().store(&stored).await.unwrap(), None);
    let timer = Timer::Send(SendDue { id: message.letter.id.clone(), due: at, more: More::default() });
    due.keep(&timer).await.unwrap();
    tick(&world).await;
    assert!(due.minute(minute_of(at)).await.unwrap().timers.is_empty(), "handed on");
    let arrived = alice.message().await;
    assert_eq!(arrived.id, message.letter.id.as_str());
    assert!(stored_at(&world.trail(&arrived.id).await) >= at);
    // The second tick finds no work.
    tick(&world).await;
    world.stored().await;
    assert_eq!(alice.ping().await.position, arrived.position.unwrap());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_cancelled_before_its_time_is_never_sent() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let at = ahead(4);
    let later = |request: &mut tidings_wire::SendRequest| request.send_at = Some(at);
    let gone = world.send_with(&["alice"], "cancelled", later).await;
    let control = world.send_with(&["alice"], "control", later).await;
    let answer = world.cancel(&gone).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["requestId"]), (200, &json!(gone)));
    let trail = world.trail(&gone).await;
    assert_eq!(json!(trail.cancelled_at), answer.json()["cancelledAt"]);
    assert!(trail.cancelled_at.unwrap() < at);

    let (items, before) = (world.items().await, trail);
    let again = world.cancel(&gone).await;
    assert_eq!((again.status.as_u16(), again.json()["code"].as_str()), (409, Some("already_cancelled")));
    assert_eq!(world.trail(&gone).await, before);
    // The other one may have come due meanwhile: the items of this one are unchanged.
    let of_gone = |items: &std::collections::HashMap<String, _>| {
        let of_it = items.iter().filter(|(key, _)| key.contains(&gone));
        of_it.map(|(key, item): (_, &std::collections::HashMap<_, _>)| (key.clone(), item.clone())).collect::<Vec<_>>()
    };
    assert_eq!(of_gone(&world.items().await), of_gone(&items));

    assert_eq!(alice.message().await.id, control);
    world.stored().await;
    alice.ping().await;
    let trail = world.until(&gone, State::Suppressed).await;
    assert_eq!(trail.position, None);
    let events = happened(&trail);
    assert!(events.contains(&Happened::Cancelled) && !events.contains(&Happened::Stored), "{events:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_cannot_be_cancelled_twice_or_after_its_end() {
    let world = World::start().await;
    let far = world.send_with(&["alice"], "far", |request| request.send_at = Some(ahead(86_400))).await;
    let short = world.send_with(&["alice"], "short", |request| request.ttl = Some(1)).await;
    world.until(&short, State::Expired).await;
    let sent = world.send(&["alice"], "sent").await;
    world.until(&sent, State::Pending).await;
    for id in [&far, &sent] {
        assert_eq!(world.cancel(id).await.status, 200);
        world.until(id, State::Suppressed).await;
    }
    world.idle().await;
    let (items, trails) = (world.items().await, [world.trail(&far).await, world.trail(&sent).await]);
    let refused = async |id: &str| -> (u16, Value) {
        let answer = world.cancel(id).await;
        (answer.status.as_u16(), answer.json()["code"].clone())
    };
    for id in [&far, &sent] {
        assert_eq!(refused(id).await, (409, json!("already_cancelled")));
    }
    assert_eq!(refused(&short).await, (409, json!("message_settled")));
    world.idle().await;
    assert_eq!(world.items().await, items, "nothing changed");
    assert_eq!([world.trail(&far).await, world.trail(&sent).await], trails);
    // When its timer is due, nothing happens: the timer finds it cancelled.
    let due = Timestamp::now();
    world.set_timer(&Timer::Send(SendDue { id: far.parse().unwrap(), due, more: More::default() })).await;
    eventually("the timer is gone", async || world.waiting("LaterQueue").await == [0, 0, 0]).await;
    world.idle().await;
    assert_eq!(world.items().await, items, "nothing changed");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_overtakes_the_delivery_takes_effect() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let at = ahead(3_600);
    let mut request = World::text(&["alice"], "cancelled at the last moment");
    request.send_at = Some(at);
    let message = World::accepted(request, Timestamp::now());
    let stored = Stored::new(&message, vec!["alice".to_owned()], None);
    assert_eq!(world.messages().store(&stored).await.unwrap(), None);
    // The timer has started, and stops before it feeds the queue; the withdrawal overtakes it.
    assert!(world.messages().begin(&message.letter.id, Timestamp::now()).await.unwrap().is_some());
    assert_eq!(world.cancel(message.letter.id.as_str()).await.status, 200);
    world.idle().await;
    world.enqueue("DeliverQueue", &World::job(&message, "alice"), message.letter.id.as_str()).await;
    world.idle().await;
    assert_eq!(alice.ping().await.position.seq, 0, "in no mailbox");
    let trail = world.trail(message.letter.id.as_str()).await;
    assert!(trail.cancelled_at.is_some() && trail.recipients[0].position.is_none(), "{trail:?}");
    world.end().await;
}
