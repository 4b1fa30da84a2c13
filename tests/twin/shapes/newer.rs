//! Data that a later version may have stored: unknown words and fields, and unreadable items. Each costs only what it
//! stands for, and neither its user nor its neighbours; the log and the trail name it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use http::Method;
use serde_json::{Value, json};
use tidings_client::DeviceApi;
use tidings_domain::{MessageId, More, Position, Timer, Timestamp, Written, timer::SendDue};
use tidings_store::{Due, minute_of};
use tidings_wire::{
    Preferences,
    send::{Channel, FallbackStep},
    trail::{Event, State},
};

use super::json::{self as dynamodb, Item};
use crate::world::{World, eventually};

/// The log lines in which the functions of a world name unknown data.
struct Named(Arc<Mutex<BTreeSet<String>>>);

impl Named {
    fn of(world: &World) -> Self {
        let found = Arc::new(Mutex::new(BTreeSet::new()));
        let (mut lines, named) = (world.twin.functions().logs(), found.clone());
        tokio::spawn(async move {
            while let Ok(line) = lines.recv().await {
                let Ok(fields) = serde_json::from_str::<Value>(&line.text) else { continue };
                for count in ["unknown", "unreadable"] {
                    if fields[count] == 1 {
                        let name = fields["name"].as_str().unwrap_or_default();
                        named.lock().unwrap().insert(format!("{count} {} {name}", fields["kind"].as_str().unwrap()));
                    }
                }
            }
        });
        Self(found)
    }

    async fn has(&self, line: &str) {
        eventually(&format!("the log names {line:?}"), async || self.0.lock().unwrap().contains(line)).await;
    }
}

/// Sends Alice a message with a chain that is not due; returns its item in her mailbox.
async fn stored(world: &World, alert: &str) -> (String, Position, Item) {
    let id = world.send_with(&["alice"], alert, |request| {
        let step = |channel| FallbackStep { channel, after: Some(3_600) };
        request.fallback = Some(vec![step(Channel::Webhook), step(Channel::Sms)]);
    });
    let id = id.await;
    let position = world.until(&id, State::Pending).await.position.unwrap();
    let sk = format!("m#{:020}#{:020}", position.epoch, position.seq);
    let item = world.item(&world.table("TIDINGS_USERS_TABLE"), &World::user("alice").encode(), Some(&sk)).await;
    (id, position, item)
}

async fn put(world: &World, item: Item) {
    world.put_all(&world.table("TIDINGS_USERS_TABLE"), vec![item]).await;
}

fn set(item: &mut Item, name: &str, value: Value) {
    item.insert(name.to_owned(), dynamodb::item(&json!({"it": value})).remove("it").unwrap());
}

fn steps_of(channels: [&str; 2]) -> Value {
    json!({"L": channels.map(|channel| json!({"M": {"channel": {"S": channel}, "after": {"N": "3600"}}}))})
}

/// Makes a step of Alice's due now.
async fn step_is_due(world: &World, id: &str, place: Position, step: usize) {
    let user = World::user("alice");
    let (epoch, seq, due) = (place.epoch, place.seq, Timestamp::now());
    let body = json!({"user": user, "epoch": epoch, "seq": seq, "id": id, "step": step, "due": due, "colour": "red"});
    let url = &world.environment("TimerFunction")["TIDINGS_FALLBACK_QUEUE_URL"];
    world.sqs().send_message().queue_url(url).message_body(body.to_string()).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_a_newer_version_costs_its_user_nothing() {
    let world = World::start().await;
    let named = Named::of(&world);
    world.reachable("alice").await;
    let alice = world.device("alice", "a").await;
    let now = Timestamp::now();

    let (chained, at_chained, mut item) = stored(&world, "chained").await;
    set(&mut item, "steps", steps_of(["pigeon", "sms"]));
    set(&mut item, "snoozed_at", json!({"N": now.0.to_string()}));
    item.insert("sealed".to_owned(), AttributeValue::B(Blob::new([1, 2, 3])));
    put(&world, item).await;
    let (closed, _, mut item) = stored(&world, "closed").await;
    set(&mut item, "closed", json!({"M": {"why": {"S": "over_quota"}, "at": {"N": now.0.to_string()}}}));
    put(&world, item).await;
    let (ended, _, mut item) = stored(&world, "ended").await;
    let outcome = json!({"M": {"outcome": {"M": {"kind": {"S": "eaten"}}}, "ended": {"N": now.0.to_string()}}});
    set(&mut item, "progress", json!({"L": [outcome, {"M": {}}]}));
    set(&mut item, "platform", json!({"S": "ALL"}));
    put(&world, item).await;
    let (unreadable, at_unreadable, mut item) = stored(&world, "unreadable").await;
    set(&mut item, "deadline", json!({"S": "tomorrow"}));
    put(&world, item).await;

    // The next message has the position after it, and comes at once.
    let mut socket = world.socket(&alice).await;
    let next = world.send(&["alice"], "next").await;
    let message = socket.message().await;
    assert_eq!((&message.id, message.position.unwrap().seq), (&next, at_unreadable.seq + 1));
    // Sync replays the readable entries, and skips the rest.
    let (ids, synced) = socket.sync(Some(Position { seq: 0, ..at_chained })).await;
    assert_eq!(ids, [&chained, &ended, &next].map(String::as_str));
    assert_eq!((synced.position, synced.recovered, synced.more), (message.position.unwrap(), true, false));
    socket.send(json!({"action": "ack", "epoch": synced.position.epoch, "seq": synced.position.seq})).await;
    world.until(&next, State::Confirmed).await;
    // The inbox goes on below it, one message at a time.
    let inbox = DeviceApi::new(&world.twin.api_url(), alice.clone()).unwrap();
    assert_eq!(inbox.unread().await.unwrap().count, 3);
    let listed = inbox.page(Some(10), None).await.unwrap();
    let listed: Vec<_> = listed.messages.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(listed, [&next, &ended, &chained].map(String::as_str));

    // The trails name the unknown data.
    let named_by = async |id: &str| {
        let trail = world.trail(id).await.recipients.remove(0);
        let unknown = trail.transitions.into_iter().filter(|it| it.event == Event::Unknown);
        unknown.map(|it| (it.code.unwrap(), it.at)).collect::<Vec<_>>()
    };
    let of_chained = named_by(&chained).await;
    assert!(of_chained.contains(&("snoozed_at".to_owned(), now)), "{of_chained:?}");
    assert!(of_chained.iter().any(|(name, _)| name == "sealed"), "{of_chained:?}");
    assert_eq!(named_by(&closed).await, [("over_quota".to_owned(), now)]);
    assert_eq!(named_by(&ended).await, [("eaten".to_owned(), now)]);
    assert_eq!(named_by(&unreadable).await[0].0, "unreadable");
    assert_eq!(world.trail(&unreadable).await.recipients[0].position, Some(at_unreadable));
    for line in [
        "unknown channel pigeon",
        "unknown closing_reason over_quota",
        "unknown outcome eaten",
        "unknown field snoozed_at",
        "unreadable mailbox_entry ",
    ] {
        named.has(line).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_by_a_channel_of_a_newer_version_is_passed_over_and_the_next_one_goes_out() {
    let world = World::start().await;
    let named = Named::of(&world);
    world.reachable("alice").await;
    let (id, place, mut item) = stored(&world, "Hello").await;
    set(&mut item, "steps", steps_of(["pigeon", "sms"]));
    put(&world, item).await;
    step_is_due(&world, &id, place, 0).await;
    world.until(&id, State::FallbackDelivered).await;
    let trail = world.trail(&id).await.recipients.remove(0);
    let skipped = trail.transitions.iter().find(|it| it.event == Event::StepSkipped).unwrap();
    let shown = (skipped.channel.as_deref(), skipped.code.as_deref(), skipped.detail.as_deref());
    assert_eq!(shown, (Some("pigeon"), Some("not_configured"), Some("pigeon is a channel of a newer version")));
    named.has("unknown channel pigeon").await;

    // A step of an unreadable entry becomes a dead letter, by name, for a version that can read it.
    let (id, place, mut item) = stored(&world, "unreadable").await;
    set(&mut item, "stored", json!({"BOOL": true}));
    put(&world, item).await;
    world.expect_errors("the mailbox entry cannot be read by this version");
    world.expect_dead_letters("FallbackDeadLetters");
    step_is_due(&world, &id, place, 1).await;
    eventually("it is a dead letter", async || world.waiting("FallbackDeadLetters").await[0] == 1).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_newer_kinds_become_dead_letters_by_name_and_hold_nothing_up() {
    let world = World::start().await;
    let named = Named::of(&world);
    let mut alice = world.online("alice", "a").await;
    let (user, now) = (World::user("alice"), Timestamp::now());
    let url = |logical: &str| {
        world.twin.template().queues.iter().find(|queue| queue.logical_id == logical).unwrap().url.clone()
    };
    let body = json!({"job": "reshuffle", "user": user, "id": "x"}).to_string();
    let job = world.sqs().send_message().queue_url(url("DeliverQueue")).message_body(body);
    job.message_group_id(user.digest()).message_deduplication_id("newer").send().await.unwrap();
    let part = json!({"tenant": {"app": "demo", "tenant": ""}, "number": 1, "part": {"Region": {}}}).to_string();
    world.sqs().send_message().queue_url(url("FanoutQueue")).message_body(part).send().await.unwrap();
    // In the due table, an hour ago: a tick hands it on unchanged.
    let due = Timestamp(now.0 + 30_000);
    let minute = minute_of(due);
    let timer = json!({"timer": "snooze", "id": "x", "due": due}).to_string();
    let kept = json!({
        "pk": {"S": format!("{minute:011}")}, "sk": {"S": format!("{:015}#x#snooze", due.0)}, "timer": {"S": timer},
        "expires_at": {"N": (due.seconds() + 600).to_string()},
    });
    world.put_all(&world.table("TIDINGS_DUE_TABLE"), vec![dynamodb::item(&kept)]).await;
    world.control(Method::POST, "/_twin/schedules/fire", None).await;
    assert_eq!(world.waiting("LaterQueue").await.iter().sum::<u64>(), 1, "handed on");
    let soon = json!({"timer": "snooze", "id": "x", "due": now}).to_string();
    world.sqs().send_message().queue_url(url("LaterQueue")).message_body(soon).send().await.unwrap();

    // Her next messages arrive, although the one before them in her group is unreadable.
    for alert in ["one", "two"] {
        let id = world.send(&["alice"], alert).await;
        assert_eq!(alice.message().await.id, id);
    }
    world.expect_errors("the body is not a payload of this queue");
    let letters = ["DeliverDeadLetters", "LaterDeadLetters", "FanoutDeadLetters"];
    for queue in letters {
        world.expect_dead_letters(queue);
        eventually(&format!("{queue} has it"), async || world.waiting(queue).await[0] >= 1).await;
    }
    for line in ["unreadable job reshuffle", "unreadable timer snooze", "unreadable fanout Region"] {
        named.has(line).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_is_passed_on_keeps_its_unknown_fields() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let users = world.table("TIDINGS_USERS_TABLE");
    // From the queue into the mailbox.
    let message = World::accepted(World::text(&["alice"], "Hello"), Timestamp::now());
    let mut job = serde_json::to_value(World::job(&message, "alice")).unwrap();
    let content = r#"{"pushMsgType":"MSG","msgType":"video","alert":"Hello","theme":{"hue":1.50}}"#;
    job["content"] = content.into();
    job["steps"] = json!([{"channel": "pigeon", "after": 3_600}]);
    job["importance"] = json!({"level": 3});
    let queue = &world.environment("SendFunction")["TIDINGS_DELIVER_QUEUE_URL"];
    let request = world.sqs().send_message().queue_url(queue).message_body(job.to_string());
    request.message_group_id("alice").message_deduplication_id("1").send().await.unwrap();
    let place = alice.message().await.position.unwrap();
    let sk = format!("m#{:020}#{:020}", place.epoch, place.seq);
    let item = dynamodb::of_item(&world.item(&users, &World::user("alice").encode(), Some(&sk)).await);
    assert_eq!(item["content"]["S"], content);
    assert_eq!(item["importance"], json!({"M": {"level": {"N": "3"}}}));
    assert_eq!(item["steps"]["L"][0]["M"]["channel"]["S"], "pigeon");

    // In a person's preferences: a change leaves the rest.
    let text = r#"{"channels":{"pigeon":true,"sms":false},"holidays":["2026-12-24"]}"#;
    let profile = json!({"pk": {"S": World::user("alice").encode()}, "sk": {"S": "z"}, "preferences": {"S": text}});
    put(&world, dynamodb::item(&profile)).await;
    let (stores, user) = (world.stores(), World::user("alice"));
    let before = stores.users.view(&user, Timestamp::now()).await.unwrap().profile.unwrap().preferences;
    let before: &Written<Preferences> = before.read().unwrap();
    let mut after = Preferences::clone(before);
    after.channels.insert(Channel::Email, false);
    assert!(stores.users.change_preferences(&user, before, &after).await.unwrap());
    let item = world.item(&users, &user.encode(), Some("z")).await;
    let kept: Value = serde_json::from_str(item["preferences"].as_s().unwrap()).unwrap();
    let expected = json!({"channels": {"email": false, "pigeon": true, "sms": false}, "holidays": ["2026-12-24"]});
    assert_eq!(kept, expected);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_device_connection_profile_or_announcement_costs_itself() {
    let world = World::start().await;
    let named = Named::of(&world);
    let mut alice = world.online("alice", "a").await;
    let user = World::user("alice").encode();
    let one = |sk: &str, more: Value| {
        let mut item = json!({"pk": {"S": user}, "sk": {"S": sk}});
        item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        dynamodb::item(&item)
    };
    let watch = json!({
        "device": {"S": "watch"}, "user_key": {"S": user}, "generation": {"N": "1"}, "platform": {"S": "WATCH"},
        "registered": {"N": "0"}, "last_used": {"N": Timestamp::now().0.to_string()},
        "push": {"S": r#"{"address":{"channel":"satellite","dish":7},"key_version":1}"#},
    });
    let items = vec![
        one("y#broken", json!({"generation": {"S": "first"}})),
        one("y#watch", watch),
        one("x#broken", json!({"lease": {"S": "long"}})),
        one("z", json!({"mobile": {"S": "+8613800138000"}, "preferences": {"S": r#"{"quietHours":"always"}"#}})),
    ];
    world.put_all(&world.table("TIDINGS_USERS_TABLE"), items).await;
    // Her messages arrive; an SMS that she may have forbidden does not go out.
    let id = world.send_with(&["alice"], "Hello", |request| {
        request.fallback = Some(vec![FallbackStep { channel: Channel::Sms, after: Some(0) }]);
    });
    let id = id.await;
    let message = alice.message().await;
    assert_eq!(message.id, id);
    let trail = world.until(&id, State::Suppressed).await;
    assert_eq!(trail.transitions.last().unwrap().code.as_deref(), Some("muted"));
    alice.ack(&message).await;
    world.until(&id, State::Confirmed).await;
    assert_eq!(alice.ping().await.position.seq, 1);

    let first = world.announce("first", |_| {}).await;
    alice.announcement().await;
    // Its other shards are pushed, too.
    eventually("it is pushed", async || world.waiting("FanoutQueue").await == [0, 0, 0]).await;
    let directory = world.twin.outputs()["DirectoryTableName"].clone();
    let item = world.item(&directory, "announcements#demo|", Some(&format!("n#{:020}", first.number))).await;
    let mut broken = item.clone();
    set(&mut broken, "content", json!({"N": "7"}));
    world.put_all(&directory, vec![broken]).await;
    let second = world.announce("second", |_| {}).await;
    assert_eq!(alice.announcement().await.number, second.number);
    let (found, announced) = alice.announcements(0).await;
    assert_eq!(found.iter().map(|it| it.number).collect::<Vec<_>>(), [second.number]);
    assert!(announced.number >= second.number && !announced.more);
    for line in ["device", "connection", "preferences", "push_address", "announcement"] {
        named.has(&format!("unreadable {line} ")).await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_of_a_kind_that_only_a_newer_version_stores_costs_its_user_nothing() {
    let world = World::start().await;
    let named = Named::of(&world);
    let identity = world.device("alice", "a").await;
    let mut alice = world.socket(&identity).await;
    let first = world.send(&["alice"], "first").await;
    assert_eq!(alice.message().await.id, first);
    let kinds = ["k", "l#1", "m!", "m#newest", "m#~", "m$1", "t#1", "w", "x!", "y$new", "y~", "zz#1"];
    for sk in kinds {
        let item = json!({"pk": {"S": World::user("alice").encode()}, "sk": {"S": sk}, "colour": {"S": "red"}});
        put(&world, dynamodb::item(&item)).await;
    }
    let second = world.send(&["alice"], "second").await;
    let message = alice.message().await;
    assert_eq!((&message.id, message.position.unwrap().seq), (&second, 2));
    assert_eq!(alice.ping().await.position, message.position.unwrap());
    let epoch = message.position.unwrap().epoch;
    let (ids, synced) = alice.sync(Some(Position { epoch, seq: 0 })).await;
    assert_eq!((ids, synced.recovered), (vec![first, second], true));
    let inbox = DeviceApi::new(&world.twin.api_url(), identity).unwrap();
    assert_eq!(inbox.unread().await.unwrap().count, 2);
    assert_eq!(inbox.page(Some(10), None).await.unwrap().messages.len(), 2);
    named.has("unknown item ").await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_newest_entry_has_an_absurd_expiry_goes_on() {
    let world = World::start().await;
    world.reachable("alice").await;
    let (_, place, item) = stored(&world, "newest").await;
    for (seq, expires) in [(1, "0"), (2, "-1"), (3, "9223372036854775807")] {
        let mut item = item.clone();
        set(&mut item, "expires_at", json!({"N": expires}));
        set(&mut item, "sk", json!({"S": format!("m#{:020}#{seq:020}", place.epoch)}));
        put(&world, item).await;
        let (_, next, item) = stored(&world, "next").await;
        assert_eq!(next, Position { seq: seq + 1, ..place });
        let expires: i64 = item["expires_at"].as_n().unwrap().parse().unwrap();
        let days = (expires - Timestamp::now().seconds()) / 86_400;
        assert!((7..=35).contains(&days), "{days}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_cursor_of_a_device_is_none() {
    let world = World::start().await;
    let identity = world.device("alice", "a").await;
    let users = world.table("TIDINGS_USERS_TABLE");
    let sk = format!("y#{}", identity.id());
    let mut item = world.item(&users, &World::user("alice").encode(), Some(&sk)).await;
    for (epoch, seq) in [(json!({"N": "1"}), json!({"S": "x"})), (json!({"N": "1e30"}), json!({"N": "1.5"}))] {
        set(&mut item, "cursor_epoch", epoch);
        set(&mut item, "cursor_seq", seq);
        put(&world, item.clone()).await;
        let mut alice = world.socket(&identity).await;
        let id = world.send(&["alice"], "Hello").await;
        assert_eq!(alice.message().await.id, id);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_cursor_of_the_clock_is_replaced_and_no_timer_is_left_behind() {
    let world = World::start().await;
    let named = Named::of(&world);
    let table = world.table("TIDINGS_DUE_TABLE");
    let (due, now) = (Due::new(world.dynamodb(), world.vault(), table.clone()), Timestamp::now());
    // It became due an hour ago, and no tick has handed it on; nor can any hand on those beside it.
    let due_at = Timestamp(now.0 - 3_600_000);
    let timer = Timer::Send(SendDue { id: MessageId::new(now, [7; 10]), due: due_at, more: More::default() });
    let minute = minute_of(due_at);
    let broken = ["", "\u{1}", "{}\u{ffff}"].map(|text| {
        let sk = format!("{:015}#{}", due_at.0, text.len());
        json!({"pk": {"S": format!("{minute:011}")}, "sk": {"S": sk}, "timer": {"S": text}})
    });
    world.expect_errors("items without a timer are left where they are");
    for done in [json!({"S": "newest"}), json!({"N": "1e30"}), json!({"N": "9000000000000000"})] {
        let cursor = json!({"pk": {"S": "cursor"}, "sk": {"S": "cursor"}, "done_minute": done});
        due.keep(&timer).await.unwrap();
        let items = broken.iter().chain([&cursor]).map(dynamodb::item).collect();
        world.put_all(&table, items).await;
        eventually("it is handed on", async || {
            world.control(Method::POST, "/_twin/schedules/fire", None).await;
            due.minute(minute).await.unwrap().timers.is_empty()
        })
        .await;
        let item = world.item(&table, "cursor", Some("cursor")).await;
        let done: i64 = item["done_minute"].as_n().unwrap().parse().unwrap();
        assert!((minute..minute_of(now) + 60).contains(&done), "{done}");
    }
    assert_eq!(due.minute(minute).await.unwrap().unreadable, 3);
    named.has("unreadable timer_cursor ").await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_record_fails_its_request_by_name() {
    let world = World::start().await;
    let named = Named::of(&world);
    let id = world.send(&["alice"], "Hello").await;
    world.until(&id, State::Pending).await;
    world.idle().await;
    let table = world.table("TIDINGS_MESSAGES_TABLE");
    let mut item = world.item(&table, &id, None).await;
    set(&mut item, "accepted", json!({"S": "today"}));
    world.put_all(&table, vec![item]).await;
    world.expect_errors(r#""request failed""#);
    assert!(world.backend().trail(&id).await.is_err());
    named.has("unreadable item ").await;
    world.end().await;
}
