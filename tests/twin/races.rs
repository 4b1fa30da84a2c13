//! Requests that overtake each other: ends before beginnings, posts during connects, acknowledgements beside fallback
//! steps.

use std::time::Duration;

use bytes::Bytes;
use sam_twin::{
    faults::{Fault, Rule},
    services::{dynamodb, sns},
};
use serde_json::{Value, json};
use tidings_client::{Device, Event, Identity, Options};
use tidings_domain::{Timestamp, chain::StepDue};
use tidings_store::{Confirmation, Confirmed};
use tidings_wire::{
    SendRequest,
    send::{Channel, FallbackStep},
    trail::{Event as Happened, State},
};

use crate::world::{World, eventually, happened, repository, seconds};

/// The event that API Gateway sends a function for a connection with this id.
fn event(name: &str, connection: &str) -> Value {
    let text = std::fs::read_to_string(repository().join("events").join(format!("{name}.json"))).unwrap();
    let mut event: Value = serde_json::from_str(&text).unwrap();
    event["requestContext"]["connectionId"] = connection.into();
    event
}

async fn invoke(world: &World, function: &str, event: &Value) -> Value {
    let answer = world.twin.functions().invoke(function, Bytes::from(event.to_string()), &[]).await.unwrap();
    serde_json::from_slice(&answer).unwrap()
}

/// Invokes `$connect`; returns the status of the upgrade's answer.
async fn connect(world: &World, identity: &Identity, connection: &str) -> u64 {
    let mut event = event("ws-connect", connection);
    let token = identity.connect_token(seconds()).unwrap();
    event["queryStringParameters"] = json!({"deviceId": identity.id(), "token": token});
    event["multiValueQueryStringParameters"] = json!({"deviceId": [identity.id()], "token": [token]});
    invoke(world, "ConnectFunction", &event).await["statusCode"].as_u64().unwrap()
}

async fn disconnect(world: &World, connection: &str) {
    let answer = invoke(world, "DisconnectFunction", &event("ws-disconnect", connection)).await;
    assert_eq!(answer["statusCode"], 200);
}

async fn connections(world: &World, alias: &str) -> Vec<String> {
    let view = world.stores().users.view(&World::user(alias), Timestamp::now()).await.unwrap();
    view.connections.iter().map(|connection| connection.id.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_handled_early_or_late_ends_only_its_connection() {
    let world = World::start().await;
    let identity = world.device("alice", "a").await;

    disconnect(&world, "Early=").await;
    assert_eq!(connect(&world, &identity, "Early=").await, 401);
    assert!(connections(&world, "alice").await.is_empty(), "an ended connection is not recorded");

    assert_eq!(connect(&world, &identity, "Old=").await, 200);
    assert_eq!(connections(&world, "alice").await, ["Old="]);
    let mut alice = world.socket(&identity).await;
    assert_eq!(connections(&world, "alice").await.len(), 2);
    for _ in 0..2 {
        disconnect(&world, "Old=").await;
        let left = connections(&world, "alice").await;
        assert!(left.len() == 1 && left[0] != "Old=", "{left:?}");
        assert_eq!(connect(&world, &identity, "Old=").await, 401, "`$connect` handled twice");
    }
    let id = world.send(&["alice"], "still there").await;
    assert_eq!(alice.message().await.id, id);
    let trail = world.until(&id, State::Pending).await;
    assert_eq!(happened(&trail), [Happened::Accepted, Happened::Stored, Happened::Posted]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_confirmations_of_a_connection_count() {
    let world = World::start().await;
    let identity = world.device("alice", "a").await;
    assert_eq!(connect(&world, &identity, "Last=").await, 200);
    let id = world.send(&["alice"], "Hello").await;
    // API Gateway does not know the connection: its posts are answered with 410.
    eventually("offline", async || happened(&world.trail(&id).await.recipients[0]).contains(&Happened::Offline)).await;
    let place = world.until(&id, State::Pending).await.position.unwrap();
    disconnect(&world, "Last=").await;

    let mut ack = event("ws-ack", "Last=");
    ack["body"] = json!({"action": "ack", "id": id, "epoch": place.epoch, "seq": place.seq}).to_string().into();
    assert_eq!(invoke(&world, "SyncFunction", &ack).await, json!({"statusCode": 200}));
    let trail = world.until(&id, State::Confirmed).await;
    assert_eq!(trail.devices[0].device_id, identity.id());
    // Only confirmations: an ended connection gets no answer, and leaves no record.
    for (function, name) in
        [("SyncFunction", "ws-sync"), ("SyncFunction", "ws-state"), ("HeartbeatFunction", "ws-ping")]
    {
        let answer = invoke(&world, function, &event(name, "Last=")).await;
        assert!(answer["body"].as_str().unwrap().contains("unknown_connection"), "{name}: {answer}");
    }
    assert!(connections(&world, "alice").await.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_arrives_although_the_gateway_answers_gone_is_no_end() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let gone = world.twin.faults().add(Rule::new(Fault::GoneThoughDelivered).function("DeliverFunction"));
    let first = world.send(&["alice"], "first").await;
    let message = alice.message().await;
    assert_eq!((&message.id, world.twin.faults().hits(gone)), (&first, 1));
    eventually("offline", async || happened(&world.trail(&first).await.recipients[0]).contains(&Happened::Offline))
        .await;
    assert!(connections(&world, "alice").await.is_empty(), "pruned");
    // The socket lives: its ping proves it, and the next message is posted to it again.
    assert_eq!(alice.ping().await.position, message.position.unwrap());
    assert_eq!(connections(&world, "alice").await.len(), 1);
    let second = world.send(&["alice"], "second").await;
    assert_eq!(alice.message().await.id, second);
    alice.ack(&message).await;
    world.until(&first, State::Confirmed).await;

    // An old connection beside a new one, as while a device reconnects: the old one's end does not make the user
    // offline.
    assert_eq!(connect(&world, &alice.identity, "Old=").await, 200);
    let third = world.send(&["alice"], "third").await;
    assert_eq!(alice.message().await.id, third);
    eventually("the old one is pruned", async || connections(&world, "alice").await.len() == 1).await;
    world.idle().await;
    assert!(!happened(&world.until(&third, State::Pending).await).contains(&Happened::Offline));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_does_not_restore_a_connection_that_ended_after_its_read() {
    let world = World::start().await;
    let identity = world.device("alice", "a").await;
    assert_eq!(connect(&world, &identity, "Ended=").await, 200);
    let (stores, id, now) = (world.stores(), "Ended=".parse().unwrap(), Timestamp::now());
    let seen = stores.connections.get(&id, now).await.unwrap().unwrap();
    disconnect(&world, "Ended=").await;
    assert!(!stores.connections.renew(&seen.user, &seen.connection).await.unwrap(), "the tombstone takes precedence");
    assert_eq!(connections(&world, "alice").await, [""; 0]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_connects_during_a_send_learns_of_it_from_its_first_pong() {
    let world = World::start().await;
    let identity = world.device("alice", "a").await;
    let (device, mut events) = Device::open(identity, Options::new(world.twin.socket_url()));
    while !matches!(events.next().await, Some(Event::Synced(_))) {}
    // Deliveries that read the connections before this one was recorded, and store after its sync.
    let sent = world.fill("alice", 3).await;
    device.ping().unwrap();
    let mut shown = Vec::new();
    while shown.len() < 3 {
        match events.next().await.unwrap() {
            Event::Message(received) => shown.push(received.message.id.clone()),
            event @ (Event::Disconnected { .. } | Event::Closed(_)) => panic!("{event:?}"),
            _ => {}
        }
    }
    assert_eq!(shown, sent);
    world.end().await;
}

fn with_chain(request: &mut SendRequest) {
    request.fallback = Some(vec![FallbackStep { channel: Channel::Sms, after: Some(3_600) }]);
}

/// A message with a chain in Alice's mailbox, and its first step, due now.
async fn stored_with_chain(world: &World) -> (String, StepDue) {
    let id = world.send_with(&["alice"], "Hello", with_chain).await;
    let position = world.until(&id, State::Pending).await.position.unwrap();
    let due = Timestamp::now();
    let step = StepDue {
        user: World::user("alice"),
        position,
        id: id.parse().unwrap(),
        step: 0,
        due,
        waited: false,
        attempts: 0,
        more: tidings_domain::More::default(),
    };
    (id, step)
}

async fn hand_to_fallback(world: &World, step: &StepDue) {
    let url = &world.environment("TimerFunction")["TIDINGS_FALLBACK_QUEUE_URL"];
    let body = serde_json::to_string(step).unwrap();
    world.sqs().send_message().queue_url(url).message_body(body).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_an_acknowledgement_and_a_fallback_step_takes_effect() {
    let world = World::with(|options| options.event_sources.retry_after = Some(Duration::from_secs(3))).await;
    let mut registration = World::registration("alice", "a");
    registration.mobile = Some("+8613800138000".to_owned());
    let identity = Identity::from_answer(&world.backend().register(&registration).await.unwrap()).unwrap();
    let device = identity.id().parse().unwrap();
    let stores = world.stores();
    let confirm = async |step: &StepDue| {
        let (now, ack) = (Timestamp::now(), Confirmation::Acknowledged);
        assert!(
            stores
                .mailboxes
                .confirm(&step.user, step.position, &step.id, &device, ack, Confirmed::Alive(now))
                .await
                .unwrap()
        );
    };

    // Acknowledged while the worker's claim is refused repeatedly: when the step is received again, it is not needed.
    let (first, step) = stored_with_chain(&world).await;
    let refused = Rule::new(Fault::Conflict).function("FallbackFunction").service(dynamodb::SERVICE).times(6);
    let refused = world.twin.faults().add(refused.operation("UpdateItem"));
    world.expect_errors("claim fallback step: TransactionConflictException");
    hand_to_fallback(&world, &step).await;
    eventually("every attempt is refused", async || world.twin.faults().hits(refused) == 6).await;
    confirm(&step).await;
    world.idle().await;
    let trail = world.until(&first, State::Confirmed).await;
    assert!(!happened(&trail).contains(&Happened::StepStarted), "{trail:?}");
    assert_eq!(world.outbox().await.len(), 0);

    // Acknowledged before the claim: no worker can claim it any more.
    let (_, step) = stored_with_chain(&world).await;
    confirm(&step).await;
    assert!(!stores.claims.claim(&step, None, "one", Timestamp::now()).await.unwrap());

    // Claimed first: only one worker may call the provider, and recognises its claim; the acknowledgement still counts.
    let (third, step) = stored_with_chain(&world).await;
    assert!(stores.claims.claim(&step, None, "one", Timestamp::now()).await.unwrap());
    assert!(!stores.claims.claim(&step, None, "two", Timestamp::now()).await.unwrap());
    confirm(&step).await;
    assert!(stores.claims.claim(&step, None, "one", Timestamp::now()).await.unwrap());
    hand_to_fallback(&world, &step).await;
    world.idle().await;
    assert_eq!(world.outbox().await.len(), 0, "the claim is another worker's");
    assert!(happened(&world.until(&third, State::Confirmed).await).contains(&Happened::StepStarted));
    world.end().await;
}

/// Faults of the requests by which a worker claims a step and ends its claim. A step that was certainly not sent is
/// sent later, and a known outcome is recorded. An abandoned claim would cost a minute, and the step would count as
/// unknown.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_released_or_ended_whatever_meets_its_requests() {
    let world = World::with(|options| options.event_sources.retry_after = Some(Duration::from_secs(1))).await;
    world.tolerate_errors("claim fallback step");
    world.reachable("alice").await;
    let of_fallback = |fault| Rule::new(fault).function("FallbackFunction");
    let update = |fault, text: &str| of_fallback(fault).operation("UpdateItem").contains(text);
    let cases = [
        // Each claim is written, but the answer to the worker is lost.
        vec![update(Fault::LoseAnswer, "progress[0].claimed = ").times(6)],
        vec![update(Fault::Throttle, "progress[0].claimed = ").times(6)],
        vec![update(Fault::Throttle, "progress[0].outcome = ").times(5)],
        vec![
            of_fallback(Fault::Throttle).service(sns::SERVICE).times(1),
            update(Fault::Throttle, "REMOVE progress[0].claimed").times(5),
        ],
    ];
    for (number, rules) in cases.into_iter().enumerate() {
        let (id, step) = stored_with_chain(&world).await;
        let rules: Vec<_> = rules.into_iter().map(|rule| (rule.times, world.twin.faults().add(rule))).collect();
        hand_to_fallback(&world, &step).await;
        let trail = world.until(&id, State::FallbackDelivered).await;
        let events = happened(&trail);
        assert_eq!(events.iter().filter(|it| **it == Happened::StepAccepted).count(), 1, "{number}: {trail:?}");
        assert!(!events.contains(&Happened::StepUnknown), "{number}: {trail:?}");
        for (times, rule) in rules {
            assert_eq!(world.twin.faults().hits(rule), times, "{number}");
        }
        assert_eq!(world.outbox().await.len(), number + 1);
    }
    world.end().await;
}
