//! The delivery of a message under many circumstances.

use aws_sdk_sqs::types::QueueAttributeName;
use http::Method;
use sam_twin::faults::{Fault, Rule};
use serde_json::json;
use tidings_client::{Device, Event, Options};
use tidings_domain::{Connection, Timestamp};
use tidings_store::Connected;
use tidings_wire::{
    Frame,
    send::{Channel, FallbackStep},
    trail::{Event as Happened, State},
};

use crate::world::{World, eventually, happened};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_is_acknowledged_and_is_confirmed() {
    let world = World::start().await;
    let identity = world.device("alice", "a").await;
    let (_device, mut events) = Device::open(identity.clone(), Options::new(world.twin.socket_url()));
    while !matches!(events.next().await, Some(Event::Synced(_))) {}
    let id = world.send(&["alice"], "Hello, 世界").await;
    let message = loop {
        if let Some(Event::Message(received)) = events.next().await {
            break received.message;
        }
    };
    assert_eq!((message.id.as_str(), message.content.alert.as_deref()), (id.as_str(), Some("Hello, 世界")));
    assert_eq!((message.device_id.as_str(), message.to_user_name.as_str()), (identity.id(), "alice"));
    let trail = world.until(&id, State::Confirmed).await;
    assert_eq!(happened(&trail), [Happened::Accepted, Happened::Stored, Happened::Posted, Happened::Confirmed]);
    assert!(trail.transitions[2..].iter().all(|t| t.device_id.as_deref() == Some(identity.id())));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_users_messages_arrive_in_the_order_of_acceptance() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let mut sent = Vec::new();
    for n in 0..50 {
        sent.push(world.send(&["alice"], &n.to_string()).await);
    }
    let mut received = Vec::new();
    let mut seqs = Vec::new();
    for _ in &sent {
        let message = alice.message().await;
        seqs.push(message.position.unwrap().seq);
        received.push(message.id);
    }
    assert_eq!(received, sent);
    assert_eq!(seqs, (1..=50).collect::<Vec<u64>>(), "dense");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_replays_missed_messages_and_states_whether_they_are_all() {
    let world = World::start().await;
    let identity = world.device("alice", "a").await;
    let mut sent = Vec::new();
    for n in 0..5 {
        sent.push(world.send(&["alice"], &n.to_string()).await);
    }
    for id in &sent {
        eventually("stored", async || world.trail(id).await.recipients[0].position.is_some()).await;
    }
    let mut alice = world.socket(&identity).await;
    alice.send(json!({"action": "sync"})).await;
    let mut places = Vec::new();
    for id in &sent {
        let message = alice.message().await;
        assert_eq!(&message.id, id);
        places.push(message.position.unwrap());
    }
    let Frame::Synced(synced) = alice.frame().await else { panic!("synced") };
    assert_eq!((synced.position, synced.recovered, synced.more, synced.count), (places[4], true, false, 5));

    // From a cursor: only messages after it.
    let cursor = places[2];
    alice.send(json!({"action": "sync", "epoch": cursor.epoch, "seq": cursor.seq})).await;
    assert_eq!([alice.message().await.id, alice.message().await.id], [sent[3].as_str(), sent[4].as_str()]);
    let Frame::Synced(synced) = alice.frame().await else { panic!("synced") };
    assert_eq!((synced.recovered, synced.count), (true, 2));

    // From another epoch of the mailbox, or from the future: all messages, reported as not recovered.
    for (epoch, seq) in [(cursor.epoch - 1, 3), (cursor.epoch + 1, 1), (cursor.epoch, 99)] {
        alice.send(json!({"action": "sync", "epoch": epoch, "seq": seq})).await;
        for id in &sent {
            assert_eq!(&alice.message().await.id, id);
        }
        let Frame::Synced(synced) = alice.frame().await else { panic!("synced") };
        assert_eq!((synced.recovered, synced.count), (false, 5), "{epoch} {seq}");
    }

    // A message that this device has acknowledged is not replayed.
    alice.send(json!({"action": "ack", "id": sent[0], "epoch": places[0].epoch, "seq": places[0].seq})).await;
    world.until(&sent[0], State::Confirmed).await;
    alice.send(json!({"action": "sync"})).await;
    assert_eq!(alice.message().await.id, sent[1]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_gone_is_pruned_and_the_fallback_takes_over() {
    let world = World::start().await;
    let mut registration = World::registration("alice", "a");
    registration.mobile = Some("+8613800138000".to_owned());
    let device = world.backend().register(&registration).await.unwrap().id.parse().unwrap();
    // A connection with a record that API Gateway does not know: its `$disconnect` got lost.
    let (stores, user, now) = (world.stores(), World::user("alice"), Timestamp::now());
    let dead = Connection {
        id: "Gone+/AAAAAAAAA=".parse().unwrap(),
        device,
        generation: 1,
        key_version: 1,
        platform: tidings_wire::Platform::Web.into(),
        connected: now,
        lease: now.plus_seconds(600),
    };
    assert_eq!(stores.connections.connect(&user, &dead, "jti", now).await.unwrap(), Connected::Recorded);

    let id = world.send_with(&["alice"], "Hello", |request| request.sms_message = Some("Hi".to_owned())).await;
    let trail = world.until(&id, State::FallbackDelivered).await;
    assert_eq!(
        happened(&trail),
        [
            Happened::Accepted,
            Happened::Stored,
            Happened::Posted,
            Happened::Gone,
            Happened::Offline,
            Happened::StepStarted,
            Happened::StepAccepted
        ]
    );
    assert!(stores.users.view(&user, Timestamp::now()).await.unwrap().connections.is_empty(), "pruned");
    let outbox = world.control(Method::GET, "/_twin/outbox", None).await;
    assert_eq!(outbox.as_array().unwrap().len(), 1, "one SMS: {outbox}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_before_its_time_stops_the_chain() {
    let world = World::start().await;
    let mut registration = World::registration("alice", "a");
    registration.mobile = Some("+8613800138000".to_owned());
    let answer = world.backend().register(&registration).await.unwrap();
    let mut alice = world.socket(&tidings_client::Identity::from_answer(&answer).unwrap()).await;
    let chain = |after| {
        move |request: &mut tidings_wire::SendRequest| {
            request.fallback = Some(vec![FallbackStep { channel: Channel::Sms, after: Some(after) }]);
        }
    };
    let id = world.send_with(&["alice"], "first", chain(8)).await;
    let message = alice.message().await;
    let place = message.position.unwrap();
    alice.send(json!({"action": "ack", "id": id, "epoch": place.epoch, "seq": place.seq})).await;
    world.until(&id, State::Confirmed).await;
    // A second message with the same delay, not acknowledged: when its SMS has gone out, the first one's time is over
    // too.
    let other = world.send_with(&["alice"], "second", chain(8)).await;
    world.until(&other, State::FallbackDelivered).await;
    world.stored().await;
    assert!(!happened(&world.until(&id, State::Confirmed).await).contains(&Happened::StepStarted));
    let outbox = world.control(Method::GET, "/_twin/outbox", None).await;
    assert_eq!(outbox.as_array().unwrap().len(), 1, "only the second one's: {outbox}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_without_an_address_is_skipped_with_its_reason() {
    let world = World::start().await;
    let id = world
        .send_with(&["nobody"], "Hello", |request| {
            let step = |channel| FallbackStep { channel, after: Some(0) };
            request.fallback = Some(vec![step(Channel::Sms), step(Channel::Email)]);
        })
        .await;
    let trail = world.until(&id, State::Suppressed).await;
    let codes: Vec<_> = trail.transitions.iter().filter_map(|transition| transition.code.as_deref()).collect();
    assert_eq!(codes, ["no_mobile", "no_email"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_further_off_than_a_queue_can_delay_waits_in_the_due_table() {
    let world = World::start().await;
    let due_table = world.environment("TimerFunction")["TIDINGS_DUE_TABLE"].clone();
    let before = world.stored().await[&due_table];
    let chain = |after| {
        move |request: &mut tidings_wire::SendRequest| {
            request.fallback = Some(vec![FallbackStep { channel: Channel::Sms, after: Some(after) }]);
        }
    };
    let id = world.send_with(&["alice"], "in an hour", chain(3_600)).await;
    let place = world.until(&id, State::Pending).await.position.unwrap();
    eventually("the step is kept", async || world.stored().await[&due_table] == before + 1).await;

    // A step that has come within the queue's delay, as after fifty minutes: a tick hands it on to the queue.
    let due = tidings_store::Due::new(world.dynamodb(), world.vault(), due_table.clone());
    let soon = tidings_domain::Timer::Step(tidings_domain::chain::StepDue {
        user: World::user("alice"),
        position: place,
        id: id.parse().unwrap(),
        step: 0,
        due: Timestamp::now().plus_seconds(300),
        waited: false,
        attempts: 0,
        more: tidings_domain::More::default(),
    });
    due.keep(&soon).await.unwrap();
    for name in world.twin.schedules().names() {
        world.twin.schedules().fire(name).await.unwrap().unwrap();
    }
    let waiting = async || world.control(Method::GET, "/_twin/queues", None).await;
    eventually("it waits in the queue, with a delay", async || {
        waiting().await.as_array().unwrap().iter().any(|queue| queue["delayed"] == 1)
    })
    .await;
    eventually("and no longer in the table", async || {
        due.minute(tidings_store::minute_of(soon.due())).await.unwrap().timers.is_empty()
    })
    .await;
    assert!(due.done_until(Timestamp::now()).await.unwrap().unwrap() >= tidings_store::minute_of(soon.due()));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transient_message_reaches_open_connections_and_leaves_no_record() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let before = world.stored().await;
    let id = world.send_with(&["alice", "bob"], "now or never", |request| request.persist = Some(false)).await;
    let message = alice.message().await;
    assert_eq!((message.id.as_str(), message.position), (id.as_str(), None));
    assert_eq!(world.stored().await, before);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_idempotency_key_makes_one_message_and_equal_answers() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let body = json!({"audiences": ["alice"], "alert": "once"}).to_string();
    let authorization = format!("Bearer {}", world.key.expose());
    let headers = [("authorization", authorization.as_str()), ("idempotency-key", "order-7")];
    let url = format!("{}/v1/messages", world.twin.api_url());
    let sends = (0..100).map(|_| world.request(Method::POST, &url, &headers, body.clone()));
    let answers = futures_util::future::join_all(sends).await;
    assert!(answers.iter().all(|answer| answer.status == 202 && answer.body == answers[0].body), "{answers:?}");
    let replays = answers.iter().filter(|answer| answer.headers.contains_key("idempotency-replay")).count();
    assert_eq!(replays, 99);
    let other = json!({"audiences": ["alice"], "alert": "twice"}).to_string();
    let answer = world.request(Method::POST, &url, &headers, other).await;
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (422, Some("idempotency_key_reused")));
    // One entry: the next message has the position after it.
    let first = alice.message().await;
    let next = world.send(&["alice"], "next").await;
    let second = alice.message().await;
    assert_eq!((second.id, second.position.unwrap().seq), (next, first.position.unwrap().seq + 1));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_changes_hands_leaves_everything_behind() {
    let world = World::start().await;
    let mut old = world.online("alice", "shared").await;
    // Its socket would be closed. If that fails, it stays open without being served.
    let fails = Rule::new(Fault::FailBefore).function("RegisterFunction").operation("DeleteConnection");
    world.twin.faults().add(fails.times(2));
    let new = world.device("bob", "shared").await;
    assert_eq!(new.id(), old.identity.id(), "the same app and token keep their id");
    let for_alice = world.send(&["alice"], "for Alice").await;
    let for_bob = world.send(&["bob"], "for Bob").await;
    for id in [&for_alice, &for_bob] {
        eventually("stored", async || world.trail(id).await.recipients[0].position.is_some()).await;
        assert!(!happened(&world.trail(id).await.recipients[0]).contains(&Happened::Posted), "posted to no device");
    }
    // The old socket is asked to reconnect, and its key is no longer valid.
    old.send(json!({"action": "ping"})).await;
    assert!(old.raw().await.contains("unknown_connection"));
    let token = old.identity.connect_token(crate::world::seconds()).unwrap();
    assert_eq!(world.connect(new.id(), &token).await.err(), Some(401));
    let mut bob = world.socket(&new).await;
    bob.send(json!({"action": "sync"})).await;
    assert_eq!(bob.message().await.id, for_bob);
    assert!(matches!(bob.frame().await, Frame::Synced(synced) if synced.count == 1));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_unregistered_comes_back_with_new_keys() {
    let world = World::start().await;
    let old = world.device("alice", "shared").await;
    world.backend().unregister(old.id()).await.unwrap();
    assert!(world.backend().device(old.id()).await.is_err());
    let token = old.connect_token(crate::world::seconds()).unwrap();
    assert_eq!(world.connect(old.id(), &token).await.err(), Some(401));
    let new = world.device("bob", "shared").await;
    assert_eq!(new.id(), old.id());
    let mut bob = world.socket(&new).await;
    world.send(&["bob"], "for Bob").await;
    assert!(old.open(&bob.raw().await).is_err(), "Alice's key does not open it");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ended_stays_ended_whatever_comes_late() {
    let world = World::start().await;
    let device = world.device("alice", "a").await.id().parse().unwrap();
    let (stores, user, now) = (world.stores(), World::user("alice"), Timestamp::now());
    let connection = |id: &str| Connection {
        id: id.parse().unwrap(),
        device: tidings_domain::DeviceId::clone(&device),
        generation: 1,
        key_version: 1,
        platform: tidings_wire::Platform::Web.into(),
        connected: now,
        lease: now.plus_seconds(600),
    };
    let known = async || stores.users.view(&user, now).await.unwrap().connections.len();

    // `$disconnect` handled before `$connect`.
    let early = connection("Early=");
    stores.connections.disconnect(&early.id, now).await.unwrap();
    assert_eq!(stores.connections.connect(&user, &early, "jti-1", now).await.unwrap(), Connected::Dead);
    assert_eq!(known().await, 0);

    // In order, with a repeated end; then a ping that was on its way.
    let late = connection("Late=");
    assert_eq!(stores.connections.connect(&user, &late, "jti-2", now).await.unwrap(), Connected::Recorded);
    assert_eq!(known().await, 1);
    for _ in 0..2 {
        stores.connections.disconnect(&late.id, now).await.unwrap();
        assert_eq!(stores.connections.get(&late.id, now).await.unwrap(), None);
    }
    assert!(!stores.connections.renew(&user, &late).await.unwrap());
    assert_eq!(known().await, 0);

    // A post that was answered with 410, and a ping that proves it wrong.
    let pruned = connection("Pruned=");
    assert_eq!(stores.connections.connect(&user, &pruned, "jti-3", now).await.unwrap(), Connected::Recorded);
    stores.connections.prune(&user, &pruned.id).await.unwrap();
    assert_eq!(known().await, 0);
    assert!(stores.connections.renew(&user, &pruned).await.unwrap());
    assert_eq!(known().await, 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_record_comes_to_the_dead_letter_queue_alone() {
    let world = World::changed(&[
        // AWS requires a queue's visibility timeout to be no shorter than its function's timeout.
        ("Timeout: 30", "Timeout: 6"),
        ("VisibilityTimeout: 180", "VisibilityTimeout: 6"),
        ("maxReceiveCount: 20", "maxReceiveCount: 2"),
    ])
    .await;
    world.expect_errors("the body is not a payload of this queue");
    world.expect_dead_letters("DeliverDeadLetters");
    let queue = world.environment("SendFunction")["TIDINGS_DELIVER_QUEUE_URL"].clone();
    let mut alice = world.online("alice", "a").await;
    // One batch: two good deliveries with a malformed one between them.
    world.set_event_source("DeliverFunction", false).await;
    let first = world.send(&["alice"], "first").await;
    let sqs = world.sqs();
    sqs.send_message()
        .queue_url(&queue)
        .message_body("{\"id\":\"not a delivery\"}")
        .message_group_id("poison")
        .message_deduplication_id("poison")
        .send()
        .await
        .unwrap();
    let second = world.send(&["alice", "bob"], "second").await;
    world.set_event_source("DeliverFunction", true).await;
    assert_eq!([alice.message().await.id, alice.message().await.id], [first, second.clone()]);
    eventually("Bob's is stored", async || world.trail(&second).await.recipients[1].position.is_some()).await;

    let dead = queue.replace("DeliverQueue", "DeliverDeadLetters");
    let dead_url = world
        .twin
        .template()
        .queues
        .iter()
        .find(|queue| queue.logical_id == "DeliverDeadLetters")
        .map(|queue| queue.url.clone())
        .unwrap_or(dead);
    eventually("the dead-letter queue has one message", async || {
        let answer = sqs
            .get_queue_attributes()
            .queue_url(&dead_url)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .send()
            .await
            .unwrap();
        let count = answer.attributes().unwrap()[&QueueAttributeName::ApproximateNumberOfMessages].clone();
        assert_ne!(count, "2");
        count == "1"
    })
    .await;
    world.end().await;
}

/// A store that is throttled for a moment costs seconds, not the three minutes of the queue's visibility timeout. The
/// queue is as in the template, and one user's messages stay in order.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_fails_returns_within_seconds_and_in_order() {
    let world = World::with(|options| options.event_sources.retry_after = None).await;
    world.tolerate_errors(r#""record failed""#);
    let identity = world.device("alice", "a").await;
    let mut socket = world.socket(&identity).await;
    // As often as the SDK tries one request.
    let throttled = sam_twin::faults::Rule::new(sam_twin::faults::Fault::Throttle);
    let throttled = throttled.function("DeliverFunction").service(sam_twin::services::dynamodb::SERVICE);
    world.twin.faults().add(throttled.operation("Query").times(3));
    let started = std::time::Instant::now();
    for number in 0..5 {
        world.send(&["alice"], &number.to_string()).await;
    }
    for number in 0..5 {
        let message = socket.message().await;
        assert_eq!(message.content.alert, Some(number.to_string()));
        socket.ack(&message).await;
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    world.end().await;
}

/// Without its right to post, the service removes no connection, repeats nothing and names the fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_the_role_forbids_is_a_fault_and_is_not_repeated() {
    let world = World::changed(&[("${Stage}/POST/@connections/*", "${Stage}/GET/@connections/*")]).await;
    world.expect_errors("post was refused for good: check endpoint and permission");
    world.expect_errors("is not authorized to perform: execute-api:ManageConnections");
    let identity = world.device("alice", "a").await;
    let socket = world.socket(&identity).await;
    let id = world.send(&["alice"], "Hello").await;
    world.until(&id, State::Pending).await;
    world.idle().await;
    assert_eq!(world.waiting("LaterQueue").await, [0, 0, 0], "no repeat is planned");
    let view = world.stores().users.view(&World::user("alice"), Timestamp::now()).await.unwrap();
    assert_eq!(view.connections.len(), 1, "it stays");
    drop(socket);
    world.end().await;
}

/// A function of the socket that fails says so in one sentence, with the reason behind it.
#[tokio::test(flavor = "multi_thread")]
async fn an_invocation_that_fails_is_logged_in_one_sentence() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let throttled = Rule::new(Fault::Throttle).function("HeartbeatFunction").operation("Query");
    world.twin.faults().add(throttled.times(3));
    world.expect_errors(r#""message":"invocation failed: read pulse: ThrottlingException"#);
    alice.send(json!({"action": "ping"})).await;
    let answer: serde_json::Value = serde_json::from_str(&alice.raw().await).unwrap();
    assert_eq!(answer["message"], "Internal server error");
    assert_eq!(alice.ping().await.position.seq, 0);
    world.end().await;
}
