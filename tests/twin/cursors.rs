//! Confirmations of single messages and up to a position; where the service begins when a device sends no cursor; and
//! which confirmations it refuses.

use serde_json::{Value, json};
use tidings_client::Identity;
use tidings_domain::{DeviceId, Position, Timestamp};
use tidings_wire::trail::{DeviceState, State};

use crate::world::{World, eventually};

const BEGINNING: Position = Position { epoch: 0, seq: 0 };

/// The stored cursor of a device.
async fn kept(world: &World, alias: &str, identity: &Identity) -> Option<Position> {
    let view = world.stores().users.view(&World::user(alias), Timestamp::now()).await.unwrap();
    let id: DeviceId = identity.id().parse().unwrap();
    view.devices.iter().find(|device| device.id == id).and_then(|device| device.cursor)
}

async fn send_some(world: &World, alias: &str, count: usize) -> (Vec<String>, Vec<Position>) {
    let (mut ids, mut places) = (Vec::new(), Vec::new());
    for n in 0..count {
        let id = world.send(&[alias], &n.to_string()).await;
        eventually("stored", async || world.trail(&id).await.recipients[0].position.is_some()).await;
        places.push(world.trail(&id).await.recipients[0].position.unwrap());
        ids.push(id);
    }
    (ids, places)
}

fn up_to(action: &str, place: Position) -> Value {
    json!({"action": action, "epoch": place.epoch, "seq": place.seq})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_confirms_everything_up_to_a_position_for_itself_alone() {
    let world = World::start().await;
    let (phone, tablet) = (world.device("alice", "phone").await, world.device("alice", "tablet").await);
    let (ids, places) = send_some(&world, "alice", 5).await;
    let mut on_phone = world.socket(&phone).await;
    assert_eq!(on_phone.sync(None).await.0, ids);
    assert_eq!(kept(&world, "alice", &phone).await, None, "what was posted is not confirmed");

    on_phone.send(up_to("ack", places[2])).await;
    eventually("the cursor", async || kept(&world, "alice", &phone).await == Some(places[2])).await;
    for (n, id) in ids.iter().enumerate() {
        let trail = world.until(id, if n < 3 { State::Confirmed } else { State::Pending }).await;
        let confirmed: Vec<_> = trail.devices.iter().map(|it| (it.device_id.as_str(), it.state)).collect();
        assert_eq!(confirmed, if n < 3 { vec![(phone.id(), DeviceState::Confirmed)] } else { vec![] });
    }
    // A cursor never goes back, and confirmations stay.
    on_phone.send(up_to("ack", places[0])).await;
    let (replayed, synced) = on_phone.sync(None).await;
    assert_eq!((replayed.as_slice(), synced.recovered), (&ids[3..], true));
    assert_eq!(kept(&world, "alice", &phone).await, Some(places[2]));
    // From the beginning: everything that this device has not confirmed.
    let (replayed, synced) = on_phone.sync(Some(BEGINNING)).await;
    assert_eq!((replayed.as_slice(), synced.position, synced.recovered), (&ids[3..], places[4], true));

    // The tablet has its own copies.
    let mut on_tablet = world.socket(&tablet).await;
    assert_eq!(on_tablet.sync(None).await.0, ids);
    on_tablet.send(up_to("read", places[3])).await;
    for id in &ids[..4] {
        let read = async || {
            let trail = world.trail(id).await.recipients.remove(0);
            trail.devices.iter().any(|it| it.device_id == tablet.id() && it.state == DeviceState::Read)
        };
        eventually("read on the tablet", read).await;
    }
    assert_eq!(on_tablet.sync(Some(BEGINNING)).await.0, ids[4..]);
    assert_eq!(on_tablet.sync(None).await.0, ids[4..]);
    eventually("past what was read", async || kept(&world, "alice", &tablet).await == Some(places[3])).await;
    // The phone reads one as well that it had acknowledged before.
    on_phone.send(up_to("read", places[0])).await;
    eventually("read on the phone", async || {
        let trail = world.trail(&ids[0]).await.recipients.remove(0);
        trail.devices.iter().all(|device| device.state == DeviceState::Read)
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_outlives_a_registration_and_stays_with_its_user() {
    let world = World::start().await;
    let first = world.device("alice", "shared").await;
    let (ids, places) = send_some(&world, "alice", 3).await;
    let mut alice = world.socket(&first).await;
    alice.send(up_to("ack", places[1])).await;
    eventually("the cursor", async || kept(&world, "alice", &first).await == Some(places[1])).await;

    let again = world.device("alice", "shared").await;
    assert_eq!((again.id(), kept(&world, "alice", &again).await), (first.id(), Some(places[1])));
    assert_eq!(world.socket(&again).await.sync(None).await.0, ids[2..]);

    // Bob takes the device over: he gets nothing of Alice's, not even her cursor.
    let bob = world.device("bob", "shared").await;
    assert_eq!((bob.id(), kept(&world, "bob", &bob).await), (first.id(), None));
    let (for_bob, bobs) = send_some(&world, "bob", 2).await;
    let mut on_bobs = world.socket(&bob).await;
    assert_eq!(on_bobs.sync(None).await.0, for_bob);
    // With the device's cursor from Alice's mailbox: all of Bob's messages, and his position.
    let (replayed, synced) = on_bobs.sync(Some(places[2])).await;
    assert_eq!((replayed, synced.recovered, synced.position), (for_bob.clone(), false, bobs[1]));
    for place in &places {
        assert_eq!(on_bobs.refused(up_to("ack", *place)).await, "unknown_epoch");
    }
    world.until(&ids[2], State::Pending).await;

    // And back: Alice's device starts from the beginning. Its own confirmations still hold.
    let back = world.device("alice", "shared").await;
    assert_eq!((back.id(), kept(&world, "alice", &back).await), (first.id(), None));
    assert_eq!(world.socket(&back).await.sync(None).await.0, ids[2..]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_longer_than_a_page_is_replayed_page_by_page() {
    let world = World::start().await;
    let identity = world.device("alice", "a").await;
    let ids = world.fill("alice", 250).await;
    let mut alice = world.socket(&identity).await;
    let head = alice.ping().await.position;
    assert_eq!(head.seq, 250);
    let at = |seq| Position { seq, ..head };
    let (mut cursor, mut pages) = (BEGINNING, Vec::new());
    loop {
        let (replayed, synced) = alice.sync(Some(cursor)).await;
        assert!(synced.recovered && synced.count == replayed.len() as u64);
        pages.push((replayed, synced.position));
        cursor = synced.position;
        if !synced.more {
            break;
        }
    }
    let page = |range: std::ops::Range<usize>, seq| (ids[range].to_vec(), at(seq));
    assert_eq!(pages, [page(0..100, 100), page(100..200, 200), page(200..250, 250)]);

    // With a cursor from an earlier epoch of the mailbox: from the beginning, and the current position.
    let (replayed, synced) = alice.sync(Some(Position { epoch: head.epoch - 1, seq: 240 })).await;
    assert_eq!((replayed, synced.recovered, synced.more), (ids[..100].to_vec(), false, true));

    // One confirmation for two and a half pages; then a client without a cursor continues in the right position.
    alice.send(up_to("ack", at(240))).await;
    eventually("the cursor", async || kept(&world, "alice", &identity).await == Some(at(240))).await;
    let (replayed, synced) = alice.sync(None).await;
    assert_eq!((replayed, synced.more), (ids[240..].to_vec(), false));
    assert!(alice.sync(Some(at(250))).await.0.is_empty());
    let (replayed, synced) = alice.sync(Some(BEGINNING)).await;
    assert_eq!((replayed.len(), synced.position, synced.more), (0, at(100), true), "a page of its messages");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_confirmation_is_a_named_error_and_changes_nothing() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let mut bob = world.online("bob", "b").await;
    let (ids, places) = send_some(&world, "alice", 3).await;
    let (bobs, bobs_places) = send_some(&world, "bob", 3).await;
    for (socket, ids) in [(&mut alice, &ids), (&mut bob, &bobs)] {
        for id in ids {
            assert_eq!(&socket.message().await.id, id);
        }
    }
    let (head, unknown) = (places[2], "3087bacc-b601-808f-950b-edbf79e06a73");
    let at = |epoch, seq| Position { epoch, seq };
    let one = |id: &str, place: Position| json!({"id": id, "epoch": place.epoch, "seq": place.seq});
    let all = |place: Position| json!({"epoch": place.epoch, "seq": place.seq});
    let rows = [
        ("another user's message at its own place", one(&bobs[0], bobs_places[0]), "unknown_epoch"),
        ("another user's message at a place of one's own", one(&bobs[0], places[0]), "unknown_message"),
        ("an unknown message", one(unknown, places[0]), "unknown_message"),
        ("what is no message's id", one("nonsense", places[0]), "unknown_message"),
        ("one's own message at another place", one(&ids[0], places[1]), "unknown_message"),
        ("one's own message before the first place", one(&ids[0], at(head.epoch, 0)), "unknown_message"),
        ("one's own message in the future", one(&ids[2], at(head.epoch, 4)), "future_seq"),
        ("the largest place there is", one(&ids[2], at(head.epoch, u64::MAX)), "future_seq"),
        ("one's own message in another epoch", one(&ids[0], at(head.epoch + 1, 1)), "unknown_epoch"),
        ("one's own message in no epoch", one(&ids[0], at(0, 1)), "unknown_epoch"),
        ("everything up to the future", all(at(head.epoch, 4)), "future_seq"),
        ("everything up to the largest place", all(at(head.epoch, u64::MAX)), "future_seq"),
        ("everything of a coming epoch", all(at(head.epoch + 1, 1)), "unknown_epoch"),
        ("everything of a former epoch", all(at(head.epoch - 1, 1)), "unknown_epoch"),
        ("everything of another user's epoch", all(bobs_places[2]), "unknown_epoch"),
        ("everything up to nothing", all(BEGINNING), "unknown_epoch"),
        ("no place", json!({"id": ids[0]}), "invalid_fields"),
        ("half a place", json!({"id": ids[0], "epoch": head.epoch}), "invalid_fields"),
        ("an empty id", json!({"id": "", "epoch": head.epoch, "seq": 3}), "invalid_fields"),
        ("an id of the wrong type", json!({"id": 7, "epoch": head.epoch, "seq": 1}), "invalid_fields"),
        ("a place of the wrong type", json!({"epoch": "x", "seq": -1}), "invalid_fields"),
        ("an unknown field", json!({"epoch": head.epoch, "seq": 1, "upTo": 3}), "invalid_fields"),
    ];
    let before = world.items().await;
    for (name, row, code) in &rows {
        for action in ["ack", "read"] {
            let mut request = row.clone();
            request["action"] = action.into();
            assert_eq!(alice.refused(request).await, *code, "{action}: {name}");
        }
    }
    assert_eq!(world.items().await, before, "nothing was stored");
    for id in ids.iter().chain(&bobs) {
        world.until(id, State::Pending).await;
    }
    // An empty mailbox has no position to confirm.
    let mut carol = world.online("carol", "c").await;
    assert_eq!(carol.refused(json!({"action": "ack", "epoch": 0, "seq": 0})).await, "unknown_epoch");
    assert_eq!(carol.refused(json!({"action": "ack", "id": ids[0], "epoch": 1, "seq": 1})).await, "unknown_epoch");
    world.end().await;
}
