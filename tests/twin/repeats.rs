//! Repeats, half-finished work and redriven dead letters: the message is still delivered once.

use std::{collections::BTreeSet, time::Duration};

use http::Method;
use sam_twin::{
    faults::{Fault, Rule},
    services::{connections, dynamodb, sqs},
};
use serde_json::{Value, json};
use tidings_domain::{
    Timestamp, UserView,
    chain::Chains,
    delivery::{Draft, Job},
    digest, message,
};
use tidings_store::{Appended, Stored};
use tidings_wire::{MessageFrame, SendRequest, trail::State};

use crate::world::{APP, Answer, Socket, World, eventually};

/// Receives the next message; repeats of `known` before it must have the same position.
async fn next_after(socket: &mut Socket, known: &MessageFrame) -> MessageFrame {
    loop {
        let message = socket.message().await;
        if message.id != known.id {
            return message;
        }
        assert_eq!(message, *known, "an identical repeat");
    }
}

/// Checks that a message stands once at the head: the next one has the position after it.
async fn stands_once(world: &World, socket: &mut Socket, known: &MessageFrame) {
    world.idle().await;
    let id = world.send(&["alice"], "next").await;
    let next = next_after(socket, known).await;
    assert_eq!((&next.id, next.position.unwrap().seq), (&id, known.position.unwrap().seq + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_and_not_queued_is_queued_by_the_senders_repeat() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let body = json!({"audiences": ["alice"], "alert": "half done"});
    // The state that a worker leaves if it dies between its two writes.
    let request = SendRequest::parse(body.as_object().unwrap().clone()).unwrap();
    let app: tidings_domain::AppId = APP.parse().unwrap();
    let id = World::keyed(&app, "order-7");
    let message =
        message::accept(request, app, &Chains::default(), &BTreeSet::new(), id.clone(), Timestamp::now()).unwrap();
    let stored = Stored::new(&message, vec!["alice".to_owned()], Some(digest(body.to_string().as_bytes())));
    assert_eq!(world.messages().store(&stored).await.unwrap(), None);
    assert_eq!(world.until(id.as_str(), State::Accepted).await.position, None);

    let mut bodies = Vec::new();
    for _ in 0..2 {
        let answer = world.post(&body, "order-7").await;
        assert_eq!((answer.status.as_u16(), &answer.headers["idempotency-replay"]), (202, &"true".parse().unwrap()));
        bodies.push(answer.body.clone());
    }
    assert_eq!(bodies[0], bodies[1]);
    let shown = alice.message().await;
    assert_eq!(shown.id, id.as_str());
    stands_once(&world, &mut alice, &shown).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_answered_as_before_although_its_device_is_gone() {
    let world = World::start().await;
    let device = world.device("alice", "a").await;
    let body = json!({"audienceType": "DEVICE", "audiences": [device.id()], "alert": "once"});
    let first = world.post(&body, "order-7").await;
    assert_eq!(first.status, 202);
    let id = first.json()["requestId"].as_str().unwrap().to_owned();
    world.until(&id, State::Pending).await;
    world.backend().unregister(device.id()).await.unwrap();
    let repeat = world.post(&body, "order-7").await;
    assert_eq!((repeat.status.as_u16(), &repeat.body), (202, &first.body), "{repeat:?}");
    assert_eq!(repeat.headers["idempotency-replay"], "true");
    // Under another key, or with another body, the device is the fault.
    for (body, key) in [(&body, "order-8"), (&with_alert(&body, "twice"), "order-7")] {
        let refused = world.post(body, key).await;
        assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (400, Some("invalid_fields")));
    }
    world.end().await;
}

fn with_alert(body: &Value, alert: &str) -> Value {
    let mut body = body.clone();
    body["alert"] = alert.into();
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_job_is_recognised_within_the_deduplication_window_and_beyond_it() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let now = Timestamp::now();
    let five_minutes_ago = Timestamp(now.0 - 300_000);
    let (late, young) = (World::text(&["alice"], "late"), World::text(&["alice"], "young"));
    let messages = [World::accepted(late, five_minutes_ago), World::accepted(young, now)];
    let [late, young] = messages.each_ref().map(|message| World::job(message, "alice"));
    let mut shown = Vec::new();
    for (job, message) in [(&late, &messages[0]), (&young, &messages[1])] {
        // In both lanes, each time as a job that is new to the queue.
        for (queue, deduplication_id) in [("DeliverQueue", "1"), ("DeliverQueue", "2"), ("BulkQueue", "3")] {
            world.enqueue(queue, job, &format!("{}-{deduplication_id}", message.letter.id)).await;
        }
        let first = match shown.last() {
            None => alice.message().await,
            Some(before) => next_after(&mut alice, before).await,
        };
        assert_eq!(
            (first.id.as_str(), first.position.unwrap().seq),
            (message.letter.id.as_str(), shown.len() as u64 + 1)
        );
        world.idle().await;
        shown.push(first);
    }
    stands_once(&world, &mut alice, &shown[1]).await;

    // Beyond the deduplication window of the newest entry: recognised by its age, and by the number of its receives.
    world.fill("alice", 40).await;
    world.enqueue("DeliverQueue", &late, "4").await;
    assert_eq!(alice.message().await, shown[0], "at its old position");
    world.set_event_source("DeliverFunction", false).await;
    world.idle().await;
    world.enqueue("DeliverQueue", &young, "5").await;
    let queue = &world.environment("SendFunction")["TIDINGS_DELIVER_QUEUE_URL"];
    let received = world.sqs().receive_message().queue_url(queue).visibility_timeout(0).send().await.unwrap();
    assert_eq!(received.messages().len(), 1, "a worker died while holding it");
    world.set_event_source("DeliverFunction", true).await;
    assert_eq!(alice.message().await, shown[1], "at its old position");
    world.idle().await;
    assert_eq!(alice.ping().await.position.seq, 43);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_dead_letter_is_delivered_late_unless_it_was_cancelled_meanwhile() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let long_ago = Timestamp(Timestamp::now().0 - 3_600_000);
    let mut messages = Vec::new();
    for alert in ["cancelled", "kept"] {
        let message = World::accepted(World::text(&["alice"], alert), long_ago);
        let stored = Stored::new(&message, vec!["alice".to_owned()], None);
        assert_eq!(world.messages().store(&stored).await.unwrap(), None);
        world.enqueue("DeliverDeadLetters", &World::job(&message, "alice"), alert).await;
        messages.push(message.letter.id.to_string());
    }
    assert_eq!(world.cancel(&messages[0]).await.status, 200);
    let name = |logical: &str| {
        let queues = &world.twin.template().queues;
        queues.iter().find(|queue| queue.logical_id == logical).unwrap().name.clone()
    };
    eventually("its withdrawal has passed", async || world.waiting("DeliverQueue").await == [0, 0, 0]).await;
    let path = format!("/_twin/queues/{}/redrive", name("DeliverDeadLetters"));
    let (from, to) = (name("DeliverDeadLetters"), name("DeliverQueue"));
    let redriven = json!({"moved": 2, "from": from, "to": {to: 2}});
    assert_eq!(world.control(Method::POST, &path, None).await, redriven);

    assert_eq!(alice.message().await.id, messages[1]);
    world.stored().await;
    assert_eq!(alice.ping().await.position.seq, 1);
    let trail = world.trail(&messages[0]).await;
    assert!(trail.cancelled_at.is_some() && trail.recipients[0].position.is_none(), "{trail:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_a_worker_that_died_after_its_post_is_posted_at_the_same_position() {
    let world = World::with(|options| options.event_sources.retry_after = Some(Duration::from_secs(1))).await;
    let mut alice = world.online("alice", "a").await;
    let died = Rule::new(Fault::KillAfter).function("DeliverFunction").service(connections::SERVICE);
    let died = world.twin.faults().add(died.operation("PostToConnection"));
    let first = world.send(&["alice"], "first").await;
    let second = world.send(&["alice"], "second").await;
    let shown = alice.message().await;
    assert_eq!((&shown.id, world.twin.faults().hits(died)), (&first, 1));
    assert_eq!(alice.message().await, shown, "repeated, and before anything else");
    let next = alice.message().await;
    assert_eq!((&next.id, next.position.unwrap().seq), (&second, shown.position.unwrap().seq + 1));
    // The same if it dies after it has stored, and before it posts.
    let died = Rule::new(Fault::KillAfter).function("DeliverFunction").service(dynamodb::SERVICE);
    let died = world.twin.faults().add(died.operation("PutItem"));
    let third = world.send(&["alice"], "third").await;
    let shown = alice.message().await;
    assert_eq!((&shown.id, world.twin.faults().hits(died)), (&third, 1));
    stands_once(&world, &mut alice, &shown).await;
    world.end().await;
}

/// Repeats a request until it is answered, as a backend does.
async fn persist(world: &World, body: &Value, key: &str) -> (Answer, usize) {
    for attempt in 0..20 {
        let answer = world.post(body, key).await;
        if answer.status.as_u16() < 500 && answer.status != 409 {
            return (answer, attempt);
        }
    }
    panic!("no answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_without_a_key_is_queued_although_the_answer_to_its_record_was_lost() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let lost = Rule::new(Fault::LoseAnswer).function("SendFunction").service(dynamodb::SERVICE);
    let lost = world.twin.faults().add(lost.operation("PutItem"));
    let id = world.send(&["alice"], "without a key").await;
    let shown = alice.message().await;
    assert_eq!((&shown.id, world.twin.faults().hits(lost)), (&id, 1));
    stands_once(&world, &mut alice, &shown).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_of_the_record_makes_no_replay_of_a_first_request() {
    let world = World::start().await;
    let lost = Rule::new(Fault::LoseAnswer).function("SendFunction").service(dynamodb::SERVICE);
    let lost = world.twin.faults().add(lost.operation("PutItem").times(2));
    let body = json!({"audiences": ["alice"], "alert": "once"});
    let keyed = world.post(&body, "order-7").await;
    let keyless = world.post_as(&body, &[]).await;
    for answer in [keyed, keyless] {
        assert_eq!((answer.status.as_u16(), answer.headers.get("idempotency-replay")), (202, None), "{answer:?}");
    }
    assert_eq!(world.twin.faults().hits(lost), 2);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_a_key_holds_nothing_of_the_message_content() {
    let world = World::start().await;
    let body = |persist| json!({"audiences": ["alice"], "alert": "overheard", "persist": persist});
    for (persist, key) in [(false, "order-7"), (true, "order-8")] {
        assert_eq!(world.post(&body(persist), key).await.status, 202);
    }
    world.idle().await;
    let items = world.items().await;
    let holding: Vec<_> = items.iter().filter(|(_, item)| format!("{item:?}").contains("overheard")).collect();
    assert_eq!(holding.len(), 1, "the mailbox's entry of the message that is kept: {holding:?}");
    let records = world.table("TIDINGS_MESSAGES_TABLE");
    assert!(items.keys().filter(|key| key.starts_with(&records)).count() == 2 && !holding[0].0.starts_with(&records));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_a_hundred_times_in_parallel_is_one_message_although_workers_die() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let body = json!({"audiences": ["alice"], "alert": "once"});
    // One worker dies after it has written the record, another after it has fed the queue.
    let dies = |service, operation: &str| {
        let rule = Rule::new(Fault::KillAfter).function("SendFunction").service(service);
        world.twin.faults().add(rule.operation(operation))
    };
    let rules = [dies(dynamodb::SERVICE, "PutItem"), dies(sqs::SERVICE, "SendMessageBatch")];
    let sends = (0..100).map(|_| persist(&world, &body, "order-7"));
    let answers = futures_util::future::join_all(sends).await;
    assert_eq!(rules.map(|rule| world.twin.faults().hits(rule)), [1, 1]);
    assert!(answers.iter().map(|(_, attempts)| attempts).sum::<usize>() >= 2, "the senders whose worker died repeat");
    let (one, _) = &answers[0];
    assert!(answers.iter().all(|(answer, _)| answer.status == 202 && answer.body == one.body));
    let first = answers.iter().filter(|(answer, _)| !answer.headers.contains_key("idempotency-replay")).count();
    assert!(first <= 1, "{first} of the answers were the first");

    let other = world.post(&json!({"audiences": ["alice"], "alert": "twice"}), "order-7").await;
    assert_eq!((other.status.as_u16(), other.json()["code"].as_str()), (422, Some("idempotency_key_reused")));
    let shown = alice.message().await;
    assert_eq!(one.json()["requestId"], shown.id);
    stands_once(&world, &mut alice, &shown).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_that_begin_a_log_at_the_same_moment_begin_one() {
    let world = World::start().await;
    let (stores, user) = (world.stores(), World::user("alice"));
    let unseen = UserView::default();
    let entry = |n: i64| {
        let now = Timestamp(Timestamp::now().0 + n);
        let message = World::accepted(World::text(&["alice"], "first"), now);
        let Job::Deliver(delivery) = World::job(&message, "alice") else { panic!("a delivery") };
        Draft::new(&delivery.letter, &unseen, now).entry
    };
    // Two lanes; the worker of each has found the mailbox empty.
    let (one, two) = (entry(0), entry(7));
    assert_ne!(one.position, two.position);
    assert_eq!(stores.mailboxes.append(&user, &one).await.unwrap(), Appended::Stored);
    assert_eq!(stores.mailboxes.append(&user, &two).await.unwrap(), Appended::Conflict);
    assert_eq!(stores.mailboxes.append(&user, &one).await.unwrap(), Appended::Conflict);
    let view = stores.users.view(&user, Timestamp::now()).await.unwrap();
    assert_eq!(view.tail.map(|tail| tail.position), Some(one.position));
    world.end().await;
}
