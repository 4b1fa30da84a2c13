//! The limits of one user, and what is evicted beyond them: devices, sockets, records; and which messages of a removed
//! device still count.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tidings_client::{ApiError, DeviceApi, Identity};
use tidings_domain::{ConnectionId, Device, MessageId, Timestamp, UserKey, delivery::Job, digest, message};
use tidings_store::{Confirmation, Confirmed, Connected, Stored};
use tidings_wire::{
    Frame, Platform, RegisterRequest,
    frame::Reconnect,
    limits,
    send::{Channel, FallbackStep},
    trail::State,
};

use crate::world::{APP, Socket, World, eventually, happened};

const DAY: i64 = 86_400_000;

async fn is_unknown(world: &World, device: &str) -> bool {
    matches!(world.backend().device(device).await, Err(ApiError::Problem(problem)) if problem.status == 404)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hundred_and_first_device_takes_the_place_of_the_least_recently_used() {
    let world = World::start().await;
    let alice = World::user("alice");
    let oldest = world.register_many(&alice, limits::USER_DEVICES).await;
    let registered = world.backend().register(&World::registration("alice", "new")).await.unwrap();
    assert_eq!(registered.evicted, [oldest.to_string()]);
    let view = world.stores().users.view(&alice, Timestamp::now()).await.unwrap();
    assert_eq!(view.devices.len(), limits::USER_DEVICES);
    assert!(view.devices.iter().all(|device| device.id != oldest));
    assert!(is_unknown(&world, oldest.as_str()).await);
    // Again, and for another user: no other device is evicted.
    for alias in ["alice", "bob"] {
        let again = world.backend().register(&World::registration(alias, "new")).await.unwrap();
        assert_eq!(again.evicted, Vec::<String>::new());
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registrations_at_the_same_moment_leave_the_limit_of_devices() {
    let world = World::start().await;
    let alice = World::user("alice");
    world.register_many(&alice, limits::USER_DEVICES).await;
    let backend = world.backend();
    let new = (0..6).map(|n| World::registration("alice", &format!("new{n}")));
    let answers = join_all(new.map(|request| {
        let backend = &backend;
        async move { backend.register(&request).await.unwrap() }
    }))
    .await;
    let listed = world.stores().users.presence(&alice, Timestamp::now()).await.unwrap().devices;
    assert_eq!(listed.len(), limits::USER_DEVICES);
    let evicted: BTreeSet<_> = answers.iter().flat_map(|answer| answer.evicted.clone()).collect();
    assert_eq!(evicted.len(), 6, "each went once: {evicted:?}");
    assert!(answers.iter().all(|answer| listed.iter().any(|device| device.id.as_str() == answer.id)));
    world.end().await;
}

/// Moves the opening of a user's connections to a minute before now, in their order.
async fn opened_a_minute_ago(world: &World, user: &UserKey) {
    let table = world.table("TIDINGS_USERS_TABLE");
    for id in world.connections(&[&user.alias]).await {
        let sk = format!("x#{id}");
        let mut item = world.item(&table, &world.partition(user).await, Some(&sk)).await;
        let connected: i64 = item["connected"].as_n().unwrap().parse().unwrap();
        item.insert("connected".to_owned(), AttributeValue::N((connected - 60_000).to_string()));
        world.put_all(&table, vec![item]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ninth_socket_of_a_device_closes_the_first_and_loses_no_message() {
    let world = World::start().await;
    let mut sockets = vec![world.online("alice", "a").await];
    let identity = sockets[0].identity.clone();
    for _ in 1..limits::DEVICE_SOCKETS {
        sockets.push(world.socket(&identity).await);
    }
    opened_a_minute_ago(&world, &World::user("alice")).await;
    sockets.push(world.socket(&identity).await);
    assert_eq!(world.connections(&["alice"]).await.len(), limits::DEVICE_SOCKETS);
    let mut first = sockets.remove(0);
    let reason: Frame = serde_json::from_str(&first.raw().await).unwrap();
    let evicted = Reconnect { device_id: String::new(), code: "evicted".to_owned(), after: limits::EVICTED_SECONDS };
    assert_eq!(reason, Frame::Reconnect(evicted), "the reason, in clear");
    first.end().await;
    // Its `$disconnect` finds the connection removed already, and changes nothing.
    let id = world.send(&["alice"], "Hello").await;
    for socket in &mut sockets {
        assert_eq!(socket.message().await.id, id);
    }
    let mut back = world.socket(&identity).await;
    back.send(json!({"action": "sync"})).await;
    assert_eq!(back.message().await.id, id);
    assert_eq!(world.connections(&["alice"]).await.len(), limits::DEVICE_SOCKETS);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_seventy_sockets_at_once_each_is_recorded_or_refused() {
    let world = World::start().await;
    let identity = world.device("alice", "a").await;
    let tokens: Vec<_> = (0..70).map(|_| identity.connect_token(crate::world::seconds()).unwrap()).collect();
    let answers = join_all(tokens.iter().map(|token| world.connect(identity.id(), token))).await;
    let mut open = Vec::new();
    for answer in answers {
        match answer {
            Ok(socket) => open.push(Socket { socket, identity: identity.clone() }),
            Err(status) => assert_eq!(status, 429),
        }
    }
    // Connections that were counted before others were recorded may exceed the limit.
    let recorded = world.connections(&["alice"]).await.len();
    assert_eq!(open.len(), recorded, "a socket without a record is open, or the other way round");
    assert!((limits::DEVICE_SOCKETS..3 * limits::DEVICE_SOCKETS).contains(&recorded), "{recorded}");
    let id = world.send(&["alice"], "Hello").await;
    for socket in &mut open {
        assert_eq!(socket.message().await.id, id, "each receives it");
    }
    // The next one brings them back within the limit.
    opened_a_minute_ago(&world, &World::user("alice")).await;
    let _next = world.socket(&identity).await;
    assert_eq!(world.connections(&["alice"]).await.len(), limits::DEVICE_SOCKETS);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_several_others_evict_is_evicted_once() {
    let world = World::start().await;
    let (stores, alice, now) = (world.stores(), World::user("alice"), Timestamp::now());
    let device = world.device("alice", "a").await.id().parse().unwrap();
    let connection = World::believed(&device, "one");
    assert_eq!(stores.connections.connect(&alice, &connection, "1", now).await.unwrap(), Connected::Recorded);
    let buried = join_all((0..6).map(|_| stores.connections.bury(&alice, &connection.id, now))).await;
    assert_eq!(buried.into_iter().filter(|it| matches!(it, Ok(true))).count(), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_holds_sixty_four_sockets_however_many_come_at_the_same_moment() {
    let world = World::start().await;
    let (stores, alice, now) = (world.stores(), World::user("alice"), Timestamp::now());
    // Eight devices with eight sockets each, which API Gateway does not know.
    for d in 0..limits::USER_SOCKETS / limits::DEVICE_SOCKETS {
        let device = world.device("alice", &format!("d{d}")).await.id().parse().unwrap();
        for c in 0..limits::DEVICE_SOCKETS {
            let id = format!("believed-{d}-{c}");
            let connection = World::believed(&device, &id);
            assert_eq!(stores.connections.connect(&alice, &connection, &id, now).await.unwrap(), Connected::Recorded);
        }
    }
    let known = async || world.connections(&["alice"]).await;
    assert_eq!(known().await.len(), limits::USER_SOCKETS);
    let mut identities = Vec::new();
    for n in 0..6 {
        identities.push(world.device("alice", &format!("new{n}")).await);
    }
    let mut new = join_all(identities.iter().map(|identity| world.socket(identity))).await;
    let left = known().await;
    assert_eq!(left.len(), limits::USER_SOCKETS);
    assert_eq!(left.iter().filter(|id| id.as_str().starts_with("believed")).count(), limits::USER_SOCKETS - 6);
    // An evicted connection stays dead: neither a late ping nor a late `$disconnect` restores it.
    let gone: Vec<ConnectionId> = (0..8)
        .flat_map(|d| (0..8).map(move |c| format!("believed-{d}-{c}").parse().unwrap()))
        .filter(|id| !left.contains(id))
        .collect();
    for id in &gone {
        assert_eq!(stores.connections.get(id, Timestamp::now()).await.unwrap(), None);
        stores.connections.disconnect(id, Timestamp::now()).await.unwrap();
    }
    // Fifty-eight dead sockets are pruned in parallel, and the message reaches the live ones.
    let id = world.send(&["alice"], "Hello").await;
    for socket in &mut new {
        assert_eq!(socket.message().await.id, id);
    }
    eventually("the dead ones are pruned", async || known().await.len() == 6).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_not_used_for_four_hundred_days_is_unregistered_by_itself() {
    let world = World::start().await;
    let (stores, alice, now) = (world.stores(), World::user("alice"), Timestamp::now());
    let identity = world.device("alice", "a").await;
    let used = async |used: Timestamp| {
        let device = stores.devices.last_known(&identity.id().parse().unwrap()).await.unwrap().unwrap();
        assert!(stores.devices.note_use(&device, used).await.unwrap());
    };
    let table = world.table("TIDINGS_USERS_TABLE");
    let noted = async || {
        let item = world.item(&table, &world.partition(&alice).await, Some(&format!("y#{}", identity.id()))).await;
        let number = |name: &str| item[name].as_n().unwrap().parse::<i64>().unwrap();
        (number("last_used"), number("expires_at"))
    };
    // Used yesterday: connecting records it, once a day.
    used(Timestamp(now.0 - DAY)).await;
    drop(world.socket(&identity).await);
    let first = noted().await;
    assert!(first.0 >= now.0, "{first:?}");
    assert_eq!(first.1, (first.0 + 999).div_euclid(1_000) + i64::try_from(limits::DEVICE_UNUSED_SECONDS).unwrap());
    drop(world.socket(&identity).await);
    assert_eq!(noted().await, first);
    // So does a request over HTTP.
    used(Timestamp(now.0 - 2 * DAY)).await;
    let api = DeviceApi::new(&world.twin.api_url(), identity.clone()).unwrap();
    api.unread().await.unwrap();
    assert!(noted().await.0 >= now.0);

    // Unused for 400 days, whether or not DynamoDB has deleted it by now.
    used(Timestamp(now.0 - 400 * DAY)).await;
    assert!(stores.users.view(&alice, Timestamp::now()).await.unwrap().devices.is_empty());
    assert!(is_unknown(&world, identity.id()).await);
    let token = identity.connect_token(crate::world::seconds()).unwrap();
    assert_eq!(world.connect(identity.id(), &token).await.err(), Some(401));
    let id = world.send_with(&["alice"], "Hello", |request| request.platform = Some(Platform::Web)).await;
    world.until(&id, State::Pending).await;
    // Under another user's name the device gets other keys.
    let bob = world.device("bob", "a").await;
    assert_eq!(bob.id(), identity.id());
    let mut bob = world.socket(&bob).await;
    world.send(&["bob"], "for Bob").await;
    assert!(identity.open(&bob.raw().await).is_err());
    world.end().await;
}

fn sms_soon(request: &mut tidings_wire::SendRequest) {
    request.fallback = Some(vec![FallbackStep { channel: Channel::Sms, after: Some(2) }]);
    request.sms_message = Some("your phone was removed".to_owned());
}

/// A registered phone, and its socket.
async fn phone(world: &World) -> Socket {
    let registration =
        RegisterRequest { mobile: Some("+8613800138000".to_owned()), ..World::registration("alice", "stolen") };
    let answer = world.backend().register(&registration).await.unwrap();
    world.socket(&Identity::from_answer(&answer).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unregistered_device_confirms_no_message_that_was_sent_after_that() {
    let world = World::start().await;
    let mut stolen = phone(&world).await;
    let before = world.send(&["alice"], "before").await;
    let place = stolen.message().await.position.unwrap();
    let connection = world.connections(&["alice"]).await.remove(0);
    world.backend().unregister(stolen.identity.id()).await.unwrap();
    let after = world.send_with(&["alice"], "after", sms_soon).await;
    world.until(&after, State::Pending).await;

    // A message on the socket just before it was closed arrives now.
    let send = async |action: &str, id: &str, seq: u64| {
        let mut event: Value = serde_json::from_slice(
            &std::fs::read(crate::world::repository().join("events").join("ws-ack.json")).unwrap(),
        )
        .unwrap();
        event["requestContext"]["connectionId"] = json!(connection);
        event["body"] = json!(json!({"action": action, "id": id, "epoch": place.epoch, "seq": seq}).to_string());
        let answer = world.twin.functions().invoke("SyncFunction", event.to_string().into(), &[]).await.unwrap();
        serde_json::from_slice::<Value>(&answer).unwrap()["body"].as_str().map(str::to_owned)
    };
    for action in ["ack", "read"] {
        let answer = send(action, &after, place.seq + 1).await.expect("an answer");
        let frame: Frame = serde_json::from_str(&answer).unwrap();
        assert!(matches!(frame, Frame::Reconnect(Reconnect { code, .. }) if code == "unknown_connection"));
    }
    // Its confirmations of messages that were stored by then count.
    assert_eq!(send("ack", &before, place.seq).await, None);
    world.until(&before, State::Confirmed).await;
    let trail = world.until(&after, State::FallbackDelivered).await;
    assert!(!happened(&trail).contains(&tidings_wire::trail::Event::Confirmed), "{trail:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sockets_of_a_device_that_leaves_are_closed() {
    let world = World::start().await;
    let mut stolen = phone(&world).await;
    let mut second = world.socket(&stolen.identity).await;
    world.backend().unregister(stolen.identity.id()).await.unwrap();
    stolen.end().await;
    second.end().await;
    assert!(world.connections(&["alice"]).await.is_empty());
    // So are those of a device that moves to another user.
    let mut moved = world.online("bob", "shared").await;
    world.device("zoe", "shared").await;
    moved.end().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_comes_while_its_device_leaves_is_not_recorded_or_is_buried() {
    let world = World::start().await;
    let (stores, alice, now) = (world.stores(), World::user("alice"), Timestamp::now());
    let id = world.device("alice", "a").await.id().parse().unwrap();
    let device: Device = stores.devices.get(&id, now).await.unwrap().unwrap();
    let view = stores.users.presence(&alice, now).await.unwrap();
    // Between the view and the transaction.
    let early = World::believed(&id, "early");
    assert_eq!(stores.connections.connect(&alice, &early, "1", now).await.unwrap(), Connected::Recorded);
    assert!(stores.devices.unregister(&device, &view, now).await.unwrap());
    // After it: the token was verified before.
    let late = World::believed(&id, "late");
    assert_eq!(stores.connections.connect(&alice, &late, "2", now).await.unwrap(), Connected::DeviceLeft);
    assert_eq!(stores.connections.of_user(&alice, now).await.unwrap().len(), 1, "the function buries it");
    assert!(stores.connections.bury(&alice, &early.id, now).await.unwrap());
    assert!(!stores.connections.bury(&alice, &early.id, now).await.unwrap(), "once");
    assert!(stores.connections.of_user(&alice, now).await.unwrap().is_empty());
    assert_eq!(stores.connections.get(&early.id, now).await.unwrap(), None);
    assert!(!stores.connections.renew(&alice, &early).await.unwrap());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn last_confirmations_hold_for_entries_stored_before_the_end_to_the_millisecond() {
    let world = World::start().await;
    let (stores, alice) = (world.stores(), World::user("alice"));
    let ids = world.fill("alice", 1).await;
    let id: MessageId = ids[0].parse().unwrap();
    let tail = stores.users.view(&alice, Timestamp::now()).await.unwrap().tail.unwrap();
    let entry = stores.mailboxes.entry(&alice, tail.position).await.unwrap().unwrap().into_read().unwrap();
    let device = "d".parse().unwrap();
    for (end, counts) in [(-1, false), (0, true), (1, true)] {
        for what in [Confirmation::Acknowledged, Confirmation::Read] {
            let when = Confirmed::Ended { end: Timestamp(entry.stored.0 + end), now: entry.stored.plus_seconds(5) };
            let known = stores.mailboxes.confirm(&alice, entry.position, &id, &device, what, when).await.unwrap();
            assert_eq!(known, counts, "{end} {what:?}");
        }
    }
    // Dated when it was recorded: a step may have begun since the end, and the trail must show it before.
    let found = stores.mailboxes.entry(&alice, tail.position).await.unwrap().unwrap().into_read().unwrap();
    assert_eq!(found.acks, [("d".parse().unwrap(), entry.stored.plus_seconds(5))]);
    let later = Confirmed::Alive(Timestamp(entry.stored.0 - 1));
    let what = Confirmation::Read;
    assert!(stores.mailboxes.confirm(&alice, entry.position, &id, &device, what, later).await.unwrap());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_keyed_message_cannot_be_computed_and_is_the_same_for_every_repeat() {
    let world = World::start().await;
    let body = json!({"audiences": ["alice"], "alert": "x"});
    let key = "login-code:owner:17";
    let answers = join_all((0..4).map(|_| world.post(&body, key))).await;
    let ids: BTreeSet<_> =
        answers.iter().map(|answer| answer.json()["requestId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(world.post(&body, key).await.json()["requestId"], json!(ids.first().unwrap()));
    // As an outsider could compute it from public data.
    let public = digest(format!("{APP}\0{key}").as_bytes());
    let id = ids.first().unwrap().replace('-', "");
    assert_ne!(&id[..8], &public[..8]);
    // Another app's is different, although its backend uses the same key.
    let other = world.other_backend().await;
    let request = World::text(&["alice"], "x");
    assert_ne!(&other.send(&request, Some(key)).await.unwrap().request_id, ids.first().unwrap());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_that_do_not_fit_a_record_are_refused_by_name() {
    let world = World::start().await;
    let lookups = world.table("TIDINGS_LOOKUPS_TABLE");
    // Aliases longer than can be registered, so that a hundred devices suffice for a thousand.
    const DEVICES: usize = 100;
    const EACH: usize = 4_000;
    let now = Timestamp::now();
    let item = |n: usize| -> HashMap<String, AttributeValue> {
        let text = |text: String| AttributeValue::S(text);
        let number = |n: i64| AttributeValue::N(n.to_string());
        let alias = format!("{n:04}{}", "\u{1f600}".repeat(EACH / 4 - 1));
        [
            ("pk".to_owned(), text(format!("d#device-{n}"))),
            ("device".to_owned(), text(format!("device-{n}"))),
            ("user_key".to_owned(), text(format!("{APP}||{alias}"))),
            ("generation".to_owned(), number(1)),
            ("platform".to_owned(), text("WEB".to_owned())),
            ("registered".to_owned(), number(now.0)),
            ("last_used".to_owned(), number(now.0)),
        ]
        .into()
    };
    world.put_all(&lookups, (0..DEVICES).map(item).collect()).await;
    let to = |count: usize| {
        let devices: Vec<_> = (0..count).map(|n| format!("device-{n}")).collect();
        json!({"audienceType": "DEVICE", "audiences": devices, "alert": "x"})
    };
    let answer = world.post(&to(DEVICES), "all").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let problem = answer.json();
    assert_eq!((&problem["code"], &problem["errors"][0]["field"]), (&json!("invalid_fields"), &json!("audiences")));
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains(&limits::RECIPIENTS_BYTES.to_string()), "{detail}");
    // The largest recipients that fit have a record, beside the largest message.
    let message = World::accepted(World::text(&["x"], "x"), now);
    let aliases = vec!["\u{1f600}".repeat(limits::ALIAS_CHARS); limits::RECIPIENTS_BYTES / 4 / limits::ALIAS_CHARS];
    assert_eq!(message::check_recipients(&aliases), Ok(()));
    assert!(world.messages().store(&Stored::new(&message, aliases, None)).await.unwrap().is_none());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_entry_of_the_largest_user_fits_its_item() {
    let world = World::start().await;
    let (stores, alice, now) = (world.stores(), World::user("alice"), Timestamp::now());
    world.register_many(&alice, limits::USER_DEVICES).await;
    let view = stores.users.view(&alice, now).await.unwrap();
    assert_eq!(view.devices.len(), limits::USER_DEVICES);
    for (n, device) in view.devices.iter().take(limits::USER_SOCKETS).enumerate() {
        let connection = World::believed(&device.id, &format!("c{n}"));
        stores.connections.connect(&alice, &connection, &format!("{n}"), now).await.unwrap();
    }
    let mut request = World::text(&["alice"], "x");
    request.content.extra = Some(json!("e".repeat(limits::CONTENT_BYTES - 200)));
    request.sms_message = Some("\u{1f600}".repeat(limits::SMS_CHARS));
    let message = World::accepted(request, now);
    let view = stores.users.view(&alice, now).await.unwrap();
    let Job::Deliver(delivery) = World::job(&message, "alice") else { panic!("a delivery") };
    let mut entry = *tidings_domain::delivery::Draft::new(&delivery.letter, &view, now).entry;
    assert_eq!(entry.posted.len(), limits::USER_SOCKETS);
    // Everything that can be added to it: every device confirms and reads, all sockets are gone, and it is redelivered
    // for three days.
    let all = || view.devices.iter().map(|device| (device.id.clone(), now)).collect::<Vec<_>>();
    (entry.acks, entry.reads, entry.gone, entry.unanswered) = (all(), all(), all(), all());
    entry.redelivered = (0..20).map(|_| (now, entry.posted.clone())).collect();
    assert_eq!(stores.mailboxes.append(&alice, &entry).await.unwrap(), tidings_store::Appended::Stored);
    world.end().await;
}
