//! A device's requests over HTTP: its inbox, page by page, and the count of unread messages; and CORS for browsers.

use http::Method;
use sam_twin::faults::{Fault, Rule};
use serde_json::json;
use tidings_client::{ApiError, DeviceApi, Identity};
use tidings_crypto::{
    keys::KeyId,
    token::{self, Claims},
};
use tidings_domain::{
    Timestamp,
    delivery::{Draft, Job},
    mailbox::{Slot, Tail},
};
use tidings_store::{Appended, Confirmation, Confirmed};
use tidings_wire::{Frame, InboxAnswer, MessageFrame, Platform, RegisterAnswer, SendRequest, trail::State};

use crate::world::{Answer, World, eventually, seconds};

/// Appends messages to a mailbox as `deliver` would for a user without connections, each accepted now.
pub(crate) async fn fill(
    world: &World,
    alias: &str,
    count: usize,
    at: Timestamp,
    change: impl Fn(&mut SendRequest),
) -> Vec<String> {
    let (stores, user) = (world.stores(), World::user(alias));
    let mut view = stores.users.view(&user, Timestamp::now()).await.unwrap();
    view.connections.clear();
    let mut ids = Vec::new();
    for n in 0..count {
        let mut request = World::text(&[alias], &n.to_string());
        change(&mut request);
        let message = World::accepted(request, at);
        let Job::Deliver(delivery) = World::job(&message, alias) else { panic!("a delivery") };
        let entry = Draft::new(&delivery.letter, &view, at).entry;
        assert_eq!(stores.mailboxes.append(&user, &entry).await.unwrap(), Appended::Stored);
        view.tail = Some(Tail::from(&*entry));
        ids.push(message.letter.id.to_string());
    }
    ids
}

fn reader(world: &World, identity: &Identity) -> DeviceApi {
    DeviceApi::new(&world.twin.api_url(), identity.clone()).unwrap()
}

/// A device of this platform.
async fn device(world: &World, alias: &str, platform: Platform) -> Identity {
    let mut registration = World::registration(alias, &format!("{alias}'s {platform}"));
    registration.platform = platform;
    Identity::from_answer(&world.backend().register(&registration).await.unwrap()).unwrap()
}

/// The ids of a page, newest first; every frame is sealed for the device, and agrees with the page.
fn ids(page: &InboxAnswer, identity: &Identity) -> Vec<String> {
    page.messages.iter().for_each(|listed| {
        let frame = open(identity, &listed.frame);
        assert_eq!((&frame.id, frame.position), (&listed.id, Some(listed.position)));
        assert_eq!((frame.device_id.as_str(), frame.to_user_name.as_str()), (identity.id(), "alice"));
    });
    page.messages.iter().map(|message| message.id.clone()).collect()
}

fn open(identity: &Identity, sealed: &str) -> MessageFrame {
    match serde_json::from_slice(&identity.open(sealed).unwrap()).unwrap() {
        Frame::Message(message) => *message,
        other => panic!("{other:?}"),
    }
}

fn newest_first(ids: &[&String]) -> Vec<String> {
    ids.iter().rev().map(|id| (*id).clone()).collect()
}

async fn get(world: &World, path: &str, token: &str) -> Answer {
    let url = format!("{}{path}", world.twin.api_url());
    world.request(Method::GET, &url, &[("authorization", &format!("Bearer {token}"))], "").await
}

fn token_of(identity: &Identity) -> String {
    identity.connect_token(seconds()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inbox_is_listed_newest_first_page_by_page() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let mut sent = Vec::new();
    for n in 0..5 {
        sent.push(world.send(&["alice"], &format!("message {n}")).await);
        let message = alice.message().await;
        // A confirmed or read message stays in the list.
        if n == 1 {
            alice.ack(&message).await;
            world.until(&message.id, State::Confirmed).await;
        }
    }
    world.send(&["bob"], "not for alice").await;
    let inbox = reader(&world, &alice.identity);
    let (mut listed, mut next, mut sizes) = (Vec::new(), None, Vec::new());
    loop {
        let page = inbox.page(Some(2), next.as_deref()).await.unwrap();
        listed.extend(ids(&page, &alice.identity));
        sizes.push(page.messages.len());
        assert!(page.messages.iter().all(|message| !message.read));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(listed, newest_first(&sent.iter().collect::<Vec<_>>()));
    assert_eq!(sizes, [2, 2, 1]);
    // The same frame as on the socket, and all of them at once.
    let all = inbox.page(None, None).await.unwrap();
    assert_eq!(open(&alice.identity, &all.messages[0].frame).content.alert.as_deref(), Some("message 4"));
    assert_eq!((all.messages.len(), all.next), (5, None));
    // An answer is one person's.
    let answer = get(&world, "/v1/inbox", &token_of(&alice.identity)).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    // No message was sent to her.
    let carol = world.device("carol", "c").await;
    assert_eq!(get(&world, "/v1/inbox", &token_of(&carol)).await.json(), json!({"messages": []}));
    assert_eq!(get(&world, "/v1/inbox/unread", &token_of(&carol)).await.json(), json!({"count": 0, "more": false}));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_read_on_one_device_is_read_on_the_other() {
    let world = World::start().await;
    let (web, phone) = (device(&world, "alice", Platform::Web).await, device(&world, "alice", Platform::Ios).await);
    let mut ids_sent = Vec::new();
    for platform in [Platform::All, Platform::Web, Platform::Ios, Platform::All] {
        ids_sent.push(world.send_with(&["alice"], "x", |request| request.platform = Some(platform)).await);
    }
    world.idle().await;
    let [first, for_web, for_phone, last] = ids_sent.as_slice() else { panic!("four") };
    let (of_web, of_phone) = (reader(&world, &web), reader(&world, &phone));
    let listed = of_web.page(None, None).await.unwrap();
    assert_eq!(ids(&listed, &web), newest_first(&[first, for_web, last]));
    let page = of_phone.page(None, None).await.unwrap();
    assert_eq!(ids(&page, &phone), newest_first(&[first, for_phone, last]));
    // Each frame is for the requesting device, and for no other.
    assert!(phone.open(&listed.messages[0].frame).is_err() && web.open(&page.messages[0].frame).is_err());
    for inbox in [&of_web, &of_phone] {
        assert_eq!((inbox.unread().await.unwrap().count, inbox.unread().await.unwrap().more), (3, false));
    }

    // An acknowledgement does not mark a message as read.
    let mut socket = world.socket(&phone).await;
    let (_, synced) = socket.sync(None).await;
    let place = page.messages[2].position;
    socket.send(json!({"action": "ack", "epoch": synced.position.epoch, "seq": synced.position.seq})).await;
    for id in [first, for_phone, last] {
        world.until(id, State::Confirmed).await;
    }
    assert_eq!(of_phone.unread().await.unwrap().count, 3);
    socket.send(json!({"action": "read", "id": first, "epoch": place.epoch, "seq": place.seq})).await;
    eventually("it is read on the other device too", async || of_web.unread().await.unwrap().count == 2).await;
    assert_eq!(of_phone.unread().await.unwrap().count, 2);
    for (inbox, identity) in [(&of_web, &web), (&of_phone, &phone)] {
        let page = inbox.page(None, None).await.unwrap();
        let read: Vec<_> = page.messages.iter().map(|message| (message.id == *first, message.read)).collect();
        assert_eq!(read, [(false, false), (false, false), (true, true)], "{}", identity.id());
    }
    // Everything up to a position, also messages for another platform.
    socket.send(json!({"action": "read", "epoch": synced.position.epoch, "seq": synced.position.seq})).await;
    eventually("everything for the phone is read", async || of_phone.unread().await.unwrap().count == 0).await;
    assert_eq!(of_web.unread().await.unwrap().count, 1, "the message for the web only is still unread");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_cancelled_or_replaced_message_is_not_listed() {
    let world = World::start().await;
    let alice = world.device("alice", "a").await;
    let keyed = |request: &mut SendRequest| request.collapse_key = Some("score".to_owned());
    let kept = world.send(&["alice"], "kept").await;
    let replaced = world.send_with(&["alice"], "1:0", keyed).await;
    let cancelled = world.send(&["alice"], "a mistake").await;
    let newer = world.send_with(&["alice"], "1:1", keyed).await;
    let short = world.send_with(&["alice"], "now or never", |request| request.ttl = Some(2)).await;
    world.until(&replaced, State::Suppressed).await;
    assert_eq!(world.cancel(&cancelled).await.status, 200);
    world.idle().await;
    world.until(&short, State::Expired).await;

    let inbox = reader(&world, &alice);
    let page = inbox.page(None, None).await.unwrap();
    assert_eq!((ids(&page, &alice), page.next), (newest_first(&[&kept, &newer]), None));
    assert_eq!(inbox.unread().await.unwrap().count, 2);
    // A page has as many as requested, whatever lies between them.
    let page = inbox.page(Some(2), None).await.unwrap();
    assert_eq!(ids(&page, &alice), newest_first(&[&kept, &newer]));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_messages_are_counted_up_to_a_hundred() {
    let world = World::start().await;
    let alice = world.device("alice", "a").await;
    let inbox = reader(&world, &alice);
    let (stores, user, now) = (world.stores(), World::user("alice"), Timestamp::now());
    fill(&world, "alice", 101, now, |_| {}).await;
    let unread = inbox.unread().await.unwrap();
    assert_eq!((unread.count, unread.more), (100, true));
    let (entries, _) = stores.mailboxes.after(&user, None, None, 2, now).await.unwrap();
    for (entry, left) in entries.iter().filter_map(Slot::read).zip([100, 99]) {
        let (place, id) = (entry.position, &entry.letter.id);
        stores
            .mailboxes
            .confirm(&user, place, id, &alice.id().parse().unwrap(), Confirmation::Read, Confirmed::Alive(now))
            .await
            .unwrap();
        let unread = inbox.unread().await.unwrap();
        // Of a hundred, the walk ends with the hundredth, above the read ones: there may be more.
        assert_eq!((unread.count, unread.more), (left, left == 100));
    }
    let page = inbox.page(Some(100), None).await.unwrap();
    assert_eq!(page.messages.len(), 100);
    let rest = inbox.page(Some(100), page.next.as_deref()).await.unwrap();
    assert_eq!((rest.messages.len(), rest.next, rest.messages[0].read), (1, None, true));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_page_arrives() {
    let world = World::start().await;
    let alice = world.device("alice", "a").await;
    let large = |request: &mut SendRequest| request.content.alert = Some("x".repeat(22_000));
    fill(&world, "alice", 100, Timestamp::now(), large).await;
    // DynamoDB returns a megabyte at a time.
    let page = reader(&world, &alice).page(Some(100), None).await.unwrap();
    assert_eq!((ids(&page, &alice).len(), page.next), (100, None));
    assert_eq!(reader(&world, &alice).unread().await.unwrap().count, 100);
    world.end().await;
}

/// A mailbox full of messages for other platforms is read in parts; the cursor leads on.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_be_empty_and_still_lead_on() {
    let world = World::start().await;
    let web = device(&world, "alice", Platform::Web).await;
    let mine = fill(&world, "alice", 1, Timestamp::now(), |_| {}).await;
    let for_ios = |request: &mut SendRequest| request.platform = Some(Platform::Ios);
    fill(&world, "alice", 450, Timestamp::now(), for_ios).await;
    let inbox = reader(&world, &web);
    let page = inbox.page(None, None).await.unwrap();
    assert_eq!(page.messages.len(), 0);
    let page = inbox.page(None, Some(&page.next.unwrap())).await.unwrap();
    assert_eq!((ids(&page, &web), page.next), (mine, None));
    let unread = inbox.unread().await.unwrap();
    assert_eq!((unread.count, unread.more), (0, true), "there may be more, and there is");
    world.end().await;
}

/// A token with wrong claims, signed with the device's own key.
fn signed(answer: &RegisterAnswer, change: impl FnOnce(&mut Claims)) -> String {
    let kid: KeyId = answer.keys.token.kid.parse().unwrap();
    let mut claims = Claims::new(&answer.id, seconds(), "once".to_owned());
    change(&mut claims);
    token::sign(&answer.keys.token.token_key().unwrap(), &kid, &claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_invalid_token_gets_the_same_answer() {
    let world = World::start().await;
    let (alice, bob) = (World::registration("alice", "a"), World::registration("bob", "b"));
    let alice = world.backend().register(&alice).await.unwrap();
    let bob = world.backend().register(&bob).await.unwrap();
    let [alice_id, bob_id] = [&alice, &bob].map(|answer| Identity::from_answer(answer).unwrap());
    world.send(&["alice"], "hers").await;
    world.send(&["bob"], "his").await;
    world.idle().await;
    let before = world.stored().await;

    let now = seconds();
    let good = signed(&alice, |_| {});
    let kid: KeyId = alice.keys.token.kid.parse().unwrap();
    let claims = Claims::new(&alice.id, now, "once".to_owned());
    let bobs_key = bob.keys.token.token_key().unwrap();
    let root = |version| KeyId { version, ..kid.clone() };
    let generation = KeyId { generation: 2, ..kid.clone() };
    let unknown = KeyId { device: "f".repeat(32), ..kid.clone() };
    let own_key = alice.keys.token.token_key().unwrap();
    let unknowns = Claims { sub: unknown.device.clone(), ..claims.clone() };
    let last = if good.as_bytes().ends_with(b"A") { "E" } else { "A" };
    let wrong = [
        ("two words", "two words".to_owned()),
        ("garbage", "garbage".to_owned()),
        ("expired", signed(&alice, |claims| (claims.iat, claims.exp) = (now - 120, now - 60))),
        ("from the future", signed(&alice, |claims| (claims.iat, claims.exp) = (now + 60, now + 120))),
        ("too long-lived", signed(&alice, |claims| claims.exp = claims.iat + 61)),
        ("for another audience", signed(&alice, |claims| claims.aud = "elsewhere".to_owned())),
        ("of another subject", signed(&alice, |claims| claims.sub = bob.id.clone())),
        ("with another device's key", token::sign(&bobs_key, &kid, &claims)),
        ("under a root key that is gone", token::sign(&own_key, &root(7), &claims)),
        ("of a generation to come", token::sign(&own_key, &generation, &claims)),
        ("of an unknown device", token::sign(&own_key, &unknown, &unknowns)),
        ("with a changed end", format!("{}{last}", &good[..good.len() - 1])),
    ];
    for (name, token) in &wrong {
        for path in ["/v1/inbox", "/v1/inbox/unread", "/v1/inbox?limit=nonsense"] {
            let answer = get(&world, path, token).await;
            refused(&answer, 401, "wrong_token", name);
            assert_eq!(answer.headers["www-authenticate"], "Bearer", "{name}");
            let detail = "the token is not valid, or no longer: sign a new one, and check the clock";
            assert_eq!(answer.json()["detail"], detail, "{name}");
        }
    }
    // The sender of an app key knows it already: the answer may name it.
    let answer = get(&world, "/v1/inbox", world.key.expose()).await;
    refused(&answer, 401, "wrong_token", "the app key");
    assert!(answer.json()["detail"].as_str().unwrap().starts_with("this is an app key"));
    let url = format!("{}/v1/inbox", world.twin.api_url());
    let basic = format!("Basic {good}");
    let given = [good.as_str(), basic.as_str(), "Bearer", "Bearer "].map(|value| [("authorization", value)]);
    for headers in std::iter::once(&[][..]).chain(given.iter().map(|one| &one[..])) {
        refused(&world.request(Method::GET, &url, headers, "").await, 401, "no_token", "no token");
        let in_the_url = world.request(Method::GET, &format!("{url}?token={good}"), headers, "").await;
        refused(&in_the_url, 401, "no_token", "a token in the URL");
    }

    // Reading does not use a token up: it is valid again, also to connect; and one that has opened a socket still
    // reads.
    for _ in 0..2 {
        assert_eq!(get(&world, "/v1/inbox", &good).await.status, 200);
    }
    assert_eq!(world.stored().await, before, "nothing was stored");
    drop(world.connect(&alice.id, &good).await.unwrap());
    assert_eq!(world.connect(&alice.id, &good).await.map(drop), Err(401), "once for a socket");
    assert_eq!(get(&world, "/v1/inbox", &good).await.status, 200);

    // Each user reads their own inbox, and an unregistered device reads none.
    let [of_alice, of_bob] = [&alice_id, &bob_id].map(|identity| reader(&world, identity));
    let alert = async |inbox: &DeviceApi, identity: &Identity| {
        let page = inbox.page(None, None).await.unwrap();
        assert_eq!(page.messages.len(), 1);
        open(identity, &page.messages[0].frame).content.alert.unwrap()
    };
    assert_eq!(alert(&of_alice, &alice_id).await, "hers");
    assert_eq!(alert(&of_bob, &bob_id).await, "his");
    world.backend().unregister(&bob.id).await.unwrap();
    assert!(matches!(of_bob.unread().await, Err(ApiError::Problem(problem)) if problem.code == "wrong_token"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_changes_hands_reads_its_new_users_inbox() {
    let world = World::start().await;
    let old = world.device("alice", "shared").await;
    let of_alice = reader(&world, &old);
    fill(&world, "alice", 3, Timestamp::now(), |_| {}).await;
    let cursor = of_alice.page(Some(1), None).await.unwrap().next.unwrap();
    let new = world.device("bob", "shared").await;
    assert_eq!(old.id(), new.id());
    for answer in [of_alice.page(None, None).await.map(drop), of_alice.unread().await.map(drop)] {
        assert!(matches!(answer, Err(ApiError::Problem(problem)) if problem.code == "wrong_token"));
    }
    let of_bob = reader(&world, &new);
    assert_eq!(of_bob.page(None, None).await.unwrap(), InboxAnswer { messages: Vec::new(), next: None });
    // A cursor is a position, and gives access to no mailbox.
    assert_eq!(of_bob.page(None, Some(&cursor)).await.unwrap().messages.len(), 0);
    assert_eq!(of_bob.unread().await.unwrap().count, 0);
    world.end().await;
}

/// Checks a problem with this code, without any mailbox content.
fn refused(answer: &Answer, status: u16, code: &str, name: &str) {
    assert_eq!(answer.status.as_u16(), status, "{name}: {answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json", "{name}");
    assert_eq!(answer.json()["code"], code, "{name}: {answer:?}");
    assert!(answer.json()["requestId"].as_str().is_some_and(|id| !id.is_empty()), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_in_a_query_is_named() {
    let world = World::start().await;
    let alice = world.device("alice", "a").await;
    for (query, fields) in [
        ("limit=0", &["limit"][..]),
        ("limit=101", &["limit"]),
        ("limit=ten", &["limit"]),
        ("limit=", &["limit"]),
        ("limit=1&limit=2", &["limit"]),
        ("before=yesterday", &["before"]),
        ("before=", &["before"]),
        ("before=1-1&limit=-1", &["limit"]),
        ("before=x&limit=x", &["before", "limit"]),
        ("befor=1-1", &["befor"]),
        ("limit=5&unread=true", &["unread"]),
    ] {
        let answer = get(&world, &format!("/v1/inbox?{query}"), &token_of(&alice)).await;
        refused(&answer, 400, "invalid_fields", query);
        let problem = answer.json();
        let mut named: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|it| it["field"].as_str().unwrap()).collect();
        named.sort_unstable();
        assert_eq!(named, fields, "{query}: {problem}");
    }
    // A position of another epoch is before everything: the page is empty, without an error.
    let answer = get(&world, "/v1/inbox?before=1-1", &token_of(&alice)).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"messages": []})));
    for (method, path, status, code) in [
        (Method::POST, "/v1/inbox", 405, "method_not_allowed"),
        (Method::DELETE, "/v1/inbox/unread", 405, "method_not_allowed"),
        (Method::GET, "/v1/inbox/", 404, "no_route"),
        (Method::GET, "/v1/inbox/read", 404, "no_route"),
    ] {
        let url = format!("{}{path}", world.twin.api_url());
        let token = format!("Bearer {}", token_of(&alice));
        let answer = world.request(method, &url, &[("authorization", &token)], "").await;
        refused(&answer, status, code, path);
    }
    // The count takes no query at all.
    let answer = get(&world, "/v1/inbox/unread?limit=1", &token_of(&alice)).await;
    refused(&answer, 400, "invalid_fields", "a query of the count");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_answer_is_reported_as_unavailable() {
    let world = World::start().await;
    let alice = world.device("alice", "a").await;
    world.send(&["alice"], "x").await;
    world.idle().await;
    for call in ["list mailbox", "count mailbox", "look device up"] {
        world.expect_errors(&format!("try again: {call}"));
    }
    for (path, operation) in [("/v1/inbox", "Query"), ("/v1/inbox/unread", "Query"), ("/v1/inbox", "GetItem")] {
        // The SDK tries three times.
        let rule = Rule::new(Fault::Throttle).function("InboxFunction").operation(operation).times(3);
        let struck = world.twin.faults().add(rule);
        let answer = get(&world, path, &token_of(&alice)).await;
        refused(&answer, 503, "unavailable", path);
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(world.twin.faults().hits(struck), 3);
        assert_eq!(get(&world, path, &token_of(&alice)).await.status, 200);
    }
    world.end().await;
}

/// A token that opens no socket opens no inbox.
#[tokio::test(flavor = "multi_thread")]
async fn devices_of_an_app_that_is_gone_read_nothing() {
    let world = World::start().await;
    let alice = world.device("alice", "a").await;
    let table = world.twin.outputs()["DirectoryTableName"].clone();
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let clear = world.dynamodb().delete_item().table_name(table);
    clear.key("pk", text(&format!("app#{}", crate::world::APP))).key("sk", text("app")).send().await.unwrap();
    refused(&get(&world, "/v1/inbox", &token_of(&alice)).await, 401, "wrong_token", "no app");
    assert_eq!(world.connect(alice.id(), &token_of(&alice)).await.map(drop), Err(401));
    world.end().await;
}

const ORIGIN: (&str, &str) = ("origin", "https://shop.example");

/// The CORS headers of an answer.
fn rules(answer: &Answer) -> Vec<String> {
    let rules = answer.headers.iter().filter_map(|(name, value)| {
        Some(format!("{}: {}", name.as_str().strip_prefix("access-control-")?, value.to_str().unwrap()))
    });
    let mut rules: Vec<_> = rules.collect();
    rules.sort();
    rules
}

async fn ask(world: &World, method: Method, headers: &[(&str, &str)]) -> Answer {
    world.request(method, &format!("{}/v1/inbox", world.twin.api_url()), headers, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_may_read_the_inbox() {
    let world = World::start().await;
    let alice = world.device("alice", "a").await;
    let asked = ("access-control-request-method", "GET");
    let preflight = [ORIGIN, asked, ("access-control-request-headers", "authorization")];
    let traces = world.twin.ledger().recent(100).len();
    let answer = ask(&world, Method::OPTIONS, &preflight).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    let expected = [
        "allow-headers: authorization,content-type,idempotency-key",
        "allow-methods: DELETE,GET,OPTIONS,POST,PUT",
        "allow-origin: *",
        "max-age: 3600",
    ];
    assert_eq!(rules(&answer), expected);
    assert_eq!(world.twin.ledger().recent(100).len(), traces, "no function was invoked");

    let token = format!("Bearer {}", token_of(&alice));
    let allowed = ["allow-origin: *", "expose-headers: apigw-requestid,date,idempotency-replay,retry-after"];
    let answer = ask(&world, Method::GET, &[ORIGIN, ("authorization", &token)]).await;
    assert_eq!((answer.status.as_u16(), rules(&answer)), (200, allowed.map(str::to_owned).to_vec()));
    // A page may also read why it is refused, and the server's time.
    let answer = ask(&world, Method::GET, &[ORIGIN]).await;
    assert_eq!((answer.status.as_u16(), rules(&answer)), (401, allowed.map(str::to_owned).to_vec()));
    assert!(answer.headers.contains_key("date") && answer.headers.contains_key("apigw-requestid"));
    // A request without an origin gets no CORS headers.
    let answer = ask(&world, Method::GET, &[("authorization", &token)]).await;
    assert_eq!((answer.status.as_u16(), rules(&answer).len()), (200, 0));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn origins_that_are_not_listed_get_no_cors_headers() {
    let listed = |options: &mut sam_twin::stack::TwinOptions| {
        let origins = "https://app.example, https://shop.example".to_owned();
        options.parameters.insert("AllowedOrigins".to_owned(), origins);
    };
    let world = World::with(listed).await;
    let asked = ("access-control-request-method", "GET");
    let answer = ask(&world, Method::OPTIONS, &[ORIGIN, asked]).await;
    assert_eq!(answer.headers["access-control-allow-origin"], ORIGIN.1);
    for (method, status) in [(Method::OPTIONS, 204), (Method::GET, 401)] {
        let answer = ask(&world, method, &[("origin", "https://evil.example"), asked]).await;
        assert_eq!((answer.status.as_u16(), rules(&answer)), (status, vec![]));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_rules_in_the_template_no_page_is_let_in() {
    let template = std::fs::read_to_string(crate::world::repository().join("template.yaml")).unwrap();
    let begin = template.find("      CorsConfiguration:").unwrap();
    let end = begin + template[begin..].find("  ApiStage:").unwrap();
    let world = World::changed(&[(&template[begin..end], "")]).await;
    let preflight = [ORIGIN, ("access-control-request-method", "GET")];
    let answer = ask(&world, Method::OPTIONS, &preflight).await;
    // It is handled as any method that the path does not have.
    refused(&answer, 405, "method_not_allowed", "a preflight without an answer");
    assert_eq!(rules(&answer), [""; 0]);
    let answer = ask(&world, Method::GET, &[ORIGIN]).await;
    assert_eq!((answer.status.as_u16(), rules(&answer)), (401, vec![]));
    world.end().await;
}
