//! The number of AWS requests of each operation, counted by the twin.

use sam_twin::{
    ledger::TraceSummary,
    services::{connections, dynamodb, sqs},
};
use serde_json::json;
use tidings_client::DeviceApi;
use tidings_domain::{More, Timer, Timestamp, delivery::Redelivery};
use tidings_store::Connected;
use tidings_wire::{
    Frame, Platform, SendRequest, limits,
    send::{Channel, Condition, FallbackStep},
};

use crate::{
    inbox::fill,
    world::{World, eventually},
};

const READS: &[&str] = &["GetItem", "Query", "BatchGetItem"];
const WRITES: &[&str] = &["PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"];
const SENDS: &[&str] = &["SendMessage", "SendMessageBatch"];
const CONSUMES: &[&str] = &["ReceiveMessage", "DeleteMessage", "DeleteMessageBatch"];

/// The cost of a message, after all its work is done.
async fn cost_of(world: &World, id: &str) -> TraceSummary {
    let ledger = world.twin.ledger();
    let known = ledger.find(id).unwrap_or_else(|| panic!("no trace of {id}"));
    ledger.settled(&known.trace_id).await.unwrap()
}

/// Reads, writes, sends to queues and posts to connections, in thousandths: shares of a batch do not add up in binary.
fn counts(cost: &TraceSummary) -> [i64; 4] {
    [
        cost.count(dynamodb::SERVICE, READS),
        cost.count(dynamodb::SERVICE, WRITES),
        cost.count(sqs::SERVICE, SENDS),
        cost.count(connections::SERVICE, &[]),
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
        assert_eq!(thousandths(cost.count(sqs::SERVICE, CONSUMES)), 200, "{}", cost.cost);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transient_message_needs_no_write() {
    let world = World::start().await;
    world.send(&["warm-up"], "x").await;
    let mut alice = world.online("alice", "a").await;
    let id = world.send_with(&["alice"], "Hello", |request| request.persist = Some(false)).await;
    alice.message().await;
    let cost = cost_of(&world, &id).await;
    assert_eq!(counts(&cost), [1_000, 0, 1_000, 1_000], "{}", cost.cost);
    world.end().await;
}

/// The newest trace that this route started, after it has started `times` traces and all their work is done.
async fn newest(world: &World, route: &str, times: usize) -> TraceSummary {
    let ledger = world.twin.ledger();
    let begun = || ledger.recent(100).into_iter().filter(|trace| trace.origin == route).collect::<Vec<_>>();
    eventually(&format!("{route} has begun"), async || begun().len() == times).await;
    ledger.settled(&begun()[0].trace_id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_and_a_heartbeat_stay_within_their_budgets() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let id = world.send(&["alice"], "Hello").await;
    let place = alice.message().await.position.unwrap();
    alice.send(json!({"action": "ack", "id": id, "epoch": place.epoch, "seq": place.seq})).await;
    world.until(&id, tidings_wire::trail::State::Confirmed).await;
    let ack = newest(&world, "ack", 1).await;
    assert_eq!(counts(&ack), [1_000, 1_000, 0, 0], "{}", ack.cost);

    alice.send(json!({"action": "ping"})).await;
    assert!(matches!(alice.frame().await, Frame::Pong(pong) if pong.position == place));
    let ping = newest(&world, "ping", 1).await;
    assert_eq!(counts(&ping), [2_000, 0, 0, 0], "{}", ping.cost);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_replaces_another_costs_one_write_more() {
    let world = World::start().await;
    world.send(&["warm-up"], "x").await;
    for (n, writes) in [2_000, 3_000, 3_000].into_iter().enumerate() {
        let keyed = |request: &mut SendRequest| request.collapse_key = Some("score".to_owned());
        let id = world.send_with(&["alice"], &n.to_string(), keyed).await;
        let cost = cost_of(&world, &id).await;
        assert_eq!(counts(&cost), [1_000, writes, 1_000, 0], "{}", cost.cost);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_sent_later_costs_its_timer_more() {
    let world = World::start().await;
    world.send(&["warm-up"], "x").await;
    let mut alice = world.online("alice", "a").await;
    let at = Timestamp::now().plus_seconds(1);
    let id = world.send_with(&["alice"], "later", |request| request.send_at = Some(at)).await;
    assert_eq!(alice.message().await.id, id);
    // One write records that it has begun, one send sets the timer, and one read checks whether it was cancelled
    // meanwhile.
    let cost = cost_of(&world, &id).await;
    assert_eq!(counts(&cost), [2_000, 3_000, 2_000, 1_000], "{}", cost.cost);

    // Beyond a queue's longest delay, the due table stores the timer.
    let at = Timestamp::now().plus_seconds(3_600);
    let id = world.send_with(&["alice"], "in an hour", |request| request.send_at = Some(at)).await;
    let cost = cost_of(&world, &id).await;
    assert_eq!(counts(&cost), [0, 2_000, 0, 0], "{}", cost.cost);
    assert_eq!(world.cancel(&id).await.status, 200);
    let cancel = newest(&world, &format!("DELETE /v1/messages/{id}"), 1).await;
    assert_eq!(counts(&cancel), [1_000, 1_000, 0, 0], "{}", cancel.cost);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_costs_three_reads_two_writes_and_a_send_and_its_item_two_reads_more() {
    let world = World::start().await;
    world.reachable("alice").await;
    world.send(&["warm-up"], "x").await;
    let sms = || Some(vec![FallbackStep { channel: Channel::Sms, after: Some(0) }]);
    let id = world.send_with(&["alice"], "Hello", |request| request.fallback = sms()).await;
    let cost = cost_of(&world, &id).await;
    assert_eq!(counts(&cost), [1_000 + 3_000, 2_000 + 2_000, 1_000 + 1_000, 0], "{}", cost.cost);

    let about = |request: &mut SendRequest| {
        request.fallback = sms();
        request.condition = Some(Condition { item_open: Some("order:4711".to_owned()), ..Condition::default() });
    };
    let id = world.send_with(&["alice"], "Order 4711", about).await;
    let cost = cost_of(&world, &id).await;
    assert_eq!(counts(&cost), [1_000 + 5_000, 2_000 + 2_000, 1_000 + 1_000, 0], "{}", cost.cost);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_costs_a_read_and_a_write_and_the_same_for_each_recipient() {
    let world = World::start().await;
    let id = world.send(&["alice", "bob"], "Hello").await;
    cost_of(&world, &id).await;
    assert_eq!(world.cancel(&id).await.status, 200);
    let cancel = newest(&world, &format!("DELETE /v1/messages/{id}"), 1).await;
    assert_eq!(counts(&cancel), [3_000, 3_000, 1_000, 0], "{}", cancel.cost);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cumulative_acknowledgement_costs_a_write_for_each_message_and_one_for_the_cursor() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let mut place = None;
    for n in 0..5 {
        world.send(&["alice"], &n.to_string()).await;
        place = alice.message().await.position;
    }
    let place = place.unwrap();
    // The connection, the user, and one page of the log. The second time, no entries are left to read.
    for (time, reads, writes) in [(1, 3_000, 6_000), (2, 2_000, 0)] {
        alice.send(json!({"action": "ack", "epoch": place.epoch, "seq": place.seq})).await;
        let ack = newest(&world, "ack", time).await;
        assert_eq!(counts(&ack), [reads, writes, 0, 0], "{}", ack.cost);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redelivery_costs_three_reads_a_write_and_two_sends() {
    let world = World::start().await;
    world.send(&["warm-up"], "x").await;
    let mut alice = world.online("alice", "a").await;
    let confirm = |request: &mut SendRequest| {
        request.content.need_confirm = Some(true);
        request.ttl = Some(100);
    };
    let id = world.send_with(&["alice"], "please confirm", confirm).await;
    let message = alice.message().await;
    world.idle().await;
    // The timer of the first redelivery more than an ordinary message; it keeps the trace from being quiet.
    let cost = world.twin.ledger().find(&id).unwrap();
    assert_eq!(counts(&cost), [1_000, 2_000, 2_000, 1_000], "{}", cost.cost);
    // Its entry, its record and its user are read. One send goes through the other lane, one to the next timer; the
    // last redelivery has none after it. The test's own send counts too.
    for (attempt, sends) in [(0, 3_000), (1, 2_000)] {
        let trace = world.twin.ledger().begin("redelivery");
        let position = message.position.unwrap();
        let due = Timestamp::now();
        let redelivery = Redelivery {
            user: World::user("alice"),
            position,
            id: id.parse().unwrap(),
            attempt,
            due,
            unanswered: Vec::new(),
            more: More::default(),
        };
        world.set_traced_timer(&Timer::Redeliver(redelivery), &trace.header()).await;
        assert_eq!(alice.message().await.id, id);
        world.idle().await;
        let cost = world.twin.ledger().find(trace.as_str()).unwrap();
        assert_eq!(counts(&cost), [3_000, 1_000, sends, 1_000], "{}", cost.cost);
    }
    world.end().await;
}

/// A first request reads the app, which is cached after that.
#[tokio::test(flavor = "multi_thread")]
async fn the_inbox_costs_two_reads_and_never_more_than_five() {
    let world = World::start().await;
    let ios = |request: &mut SendRequest| request.platform = Some(Platform::Ios);
    // One user has three messages above many that are kept only for their trails; the other's are for another platform.
    let days_ago = Timestamp(Timestamp::now().0 - 4 * 86_400_000);
    fill(&world, "alice", 150, days_ago, |_| {}).await;
    fill(&world, "alice", 3, Timestamp::now(), |_| {}).await;
    fill(&world, "bob", 450, Timestamp::now(), ios).await;
    let [alice, bob] = [world.device("alice", "a").await, world.device("bob", "b").await];
    let [alice, bob] = [alice, bob].map(|identity| DeviceApi::new(&world.twin.api_url(), identity).unwrap());
    assert_eq!(alice.page(None, None).await.unwrap().messages.len(), 3);
    bob.unread().await.unwrap();

    let (mut pages, mut counts_asked) = (1, 1);
    for (reader, reads, found) in [(&alice, 2_000, 3), (&bob, 5_000, 0)] {
        let page = reader.page(None, None).await.unwrap();
        assert_eq!((page.messages.len(), page.next.is_some()), (found, found == 0));
        pages += 1;
        let listing = newest(&world, "GET /v1/inbox", pages).await;
        assert_eq!(counts(&listing), [reads, 0, 0, 0], "{}", listing.cost);
        println!("a page of {found}: {}", listing.cost);

        assert_eq!(reader.unread().await.unwrap().count, found as u64);
        counts_asked += 1;
        let counting = newest(&world, "GET /v1/inbox/unread", counts_asked).await;
        assert_eq!(counts(&counting), [reads, 0, 0, 0], "{}", counting.cost);
        println!("{found} unread: {}", counting.cost);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_is_stored_once_however_many_devices_receive_it() {
    const SHARDS: i64 = tidings_domain::announcement::SHARDS as i64;
    let world = World::start().await;
    world.send(&["warm-up"], "x").await;
    let mut sockets = Vec::new();
    for k in 0..3 {
        let announced = world.announce("Hello", |_| {}).await;
        for socket in &mut sockets {
            let came: &mut crate::world::Socket = socket;
            assert_eq!(came.announcement().await.number, announced.number);
        }
        let cost = newest(&world, "POST /v1/announcements", k + 1).await;
        println!("{k} connections: {}", cost.cost);
        // The head of the log; for each shard, the announcement and its connections. The writes are one transaction,
        // and the number of posts for each page.
        let posts = i64::try_from(k).unwrap();
        let [reads, writes, sends, posted] = counts(&cost);
        assert_eq!((reads, sends, posted), (1_000 + 2_000 * SHARDS, 1_000, 1_000 * posts), "{}", cost.cost);
        let pages: std::collections::BTreeSet<_> =
            world.connections(&["alice"]).await.iter().map(tidings_domain::announcement::shard).collect();
        assert_eq!(writes, 1_000 + 1_000 * i64::try_from(pages.len()).unwrap(), "{}", cost.cost);
        sockets.push(world.online("alice", &format!("device{k}")).await);
    }
    // A device that syncs: its connection, its mailbox, and the log.
    let alice = &mut sockets[0];
    let number = alice.announcements(0).await.1.number;
    let sync = newest(&world, "sync", 1).await;
    assert_eq!(counts(&sync), [3_000, 0, 0, 3_000], "{}", sync.cost);
    alice.announcements(number).await;
    let sync = newest(&world, "sync", 2).await;
    assert_eq!(counts(&sync), [3_000, 0, 0, 0], "{}", sync.cost);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_all_that_is_allowed_costs_a_ping_three_reads_and_a_message_four() {
    let world = World::start().await;
    world.send(&["warm-up"], "x").await;
    let (stores, alice, now) = (world.stores(), World::user("alice"), Timestamp::now());
    world.register_many(&alice, limits::USER_DEVICES - 1).await;
    let mut socket = world.online("alice", "a").await;
    let devices = stores.users.presence(&alice, now).await.unwrap().devices;
    assert_eq!(devices.len(), limits::USER_DEVICES);
    // Below its own connection and above it.
    let others = devices.iter().filter(|device| device.id.as_str() != socket.identity.id());
    for (n, device) in others.take(limits::USER_SOCKETS - 1).enumerate() {
        let id = format!("{}{n}", if n % 2 == 0 { "!" } else { "~" });
        let connection = World::believed(&device.id, &id);
        assert_eq!(stores.connections.connect(&alice, &connection, &id, now).await.unwrap(), Connected::Recorded);
    }
    socket.ping().await;
    let ping = newest(&world, "ping", 1).await;
    assert_eq!(counts(&ping), [3_000, 0, 0, 0], "{}", ping.cost);

    // For a platform without devices: sixty-four posts in parallel may time out on a busy machine, and would be
    // repeated.
    let ios = |request: &mut SendRequest| request.platform = Some(Platform::Ios);
    let id = world.send_with(&["alice"], "Hello", ios).await;
    let cost = cost_of(&world, &id).await;
    assert_eq!(counts(&cost), [4_000, 2_000, 1_000, 0], "{}", cost.cost);
    world.end().await;
}
