//! The AWS requests that each thing costs, counted by the twin.

use serde_json::json;
use tidings_local::ledger::{Service, TraceSummary};
use tidings_wire::Frame;

use crate::world::{World, eventually};

const READS: &[&str] = &["GetItem", "Query", "BatchGetItem"];
const WRITES: &[&str] = &["PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"];
const SENDS: &[&str] = &["SendMessage", "SendMessageBatch"];
const CONSUMES: &[&str] = &["ReceiveMessage", "DeleteMessage", "DeleteMessageBatch"];

/// What a message cost, once nothing of it is running or waiting.
async fn cost_of(world: &World, id: &str) -> TraceSummary {
    let ledger = world.twin.ledger();
    let known = ledger.find(id).unwrap_or_else(|| panic!("no trace of {id}"));
    ledger.settled(&known.trace_id).await.unwrap()
}

/// Reads, writes, sends to queues and posts to connections, in thousandths: shares of a batch do not add up in binary.
fn counts(cost: &TraceSummary) -> [i64; 4] {
    [
        cost.count(Service::DynamoDb, READS),
        cost.count(Service::DynamoDb, WRITES),
        cost.count(Service::Sqs, SENDS),
        cost.count(Service::Connections, &[]),
    ]
    .map(thousandths)
}

#[expect(clippy::cast_possible_truncation, reason = "counts of a test are small")]
fn thousandths(count: f64) -> i64 {
    (count * 1_000.0).round() as i64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_costs_one_read_two_writes_one_send_and_a_post_for_each_connection() {
    let world = World::start().await;
    // The app is looked up once a minute and process, not once a message.
    world.send(&["warm-up"], "x").await;
    let mut sockets = Vec::new();
    for k in 0..4 {
        if k > 0 {
            sockets.push(world.online("alice", &format!("device{k}")).await);
        }
        let id = world.send(&["alice"], "Hello").await;
        for socket in &mut sockets {
            assert_eq!(socket.message().await.id, id);
        }
        let cost = cost_of(&world, &id).await;
        println!("{k} connections: {}", cost.cost);
        assert_eq!(counts(&cost), [1_000, 2_000, 1_000, 1_000 * k], "{}", cost.cost);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_batch_shares_its_receive_and_delete() {
    let world = World::start().await;
    world.send(&["warm-up"], "x").await;
    world.stored().await;
    world.set_event_source("DeliverFunction", false).await;
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(world.send(&[&format!("user{n}")], "Hello").await);
    }
    world.set_event_source("DeliverFunction", true).await;
    for id in ids {
        let cost = cost_of(&world, &id).await;
        assert_eq!(counts(&cost), [1_000, 2_000, 1_000, 0], "{}", cost.cost);
        assert_eq!(thousandths(cost.count(Service::Sqs, CONSUMES)), 200, "{}", cost.cost);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_not_kept_needs_no_write() {
    let world = World::start().await;
    world.send(&["warm-up"], "x").await;
    let mut alice = world.online("alice", "a").await;
    let id = world.send_with(&["alice"], "Hello", |request| request.persist = Some(false)).await;
    alice.message().await;
    let cost = cost_of(&world, &id).await;
    assert_eq!(counts(&cost), [1_000, 0, 1_000, 1_000], "{}", cost.cost);
    world.end().await;
}

/// The newest quiet trace that this route began.
async fn newest(world: &World, route: &str) -> TraceSummary {
    let mut found = None;
    eventually(&format!("{route} is quiet"), async || {
        found = world.twin.ledger().recent(100).into_iter().find(|trace| trace.origin == route && trace.quiet);
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_and_a_heartbeat_stay_within_their_budgets() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let id = world.send(&["alice"], "Hello").await;
    let place = alice.message().await.position.unwrap();
    alice.say(json!({"action": "ack", "id": id, "epoch": place.epoch, "seq": place.seq})).await;
    world.until(&id, tidings_wire::trail::State::Confirmed).await;
    let ack = newest(&world, "ack").await;
    assert_eq!(counts(&ack), [1_000, 1_000, 0, 0], "{}", ack.cost);

    alice.say(json!({"action": "ping"})).await;
    assert!(matches!(alice.frame().await, Frame::Pong(pong) if pong.position == place));
    let ping = newest(&world, "ping").await;
    assert_eq!(counts(&ping), [2_000, 0, 0, 0], "{}", ping.cost);
    world.end().await;
}
