//! Connections, and the messages of devices on them.

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use sam_twin::faults::Fault;
use serde_json::{Value, json};
use tidings_domain::{Connection, ConnectionId, Timestamp};
use tidings_wire::{Frame, limits};

use crate::{
    matrix::{cell::Cell, phone::Phone},
    world::repository,
};

async fn online(cell: &Cell) -> Phone {
    let identity = cell.register(&cell.user()).await;
    Phone::open(cell, &identity).await
}

pub(super) async fn connect(cell: &Cell) {
    let identity = cell.register(&cell.user()).await;
    cell.arm().await;
    let mut phone = Phone::open(cell, &identity).await;
    phone.send(cell, json!({"action": "ping"}), async |phone| pongs(phone) > 0).await;
    // An upgrade that was recorded and then refused leaves a connection behind, until its lease expires or a post meets
    // it.
    let left_behind = match cell.fault {
        Fault::KillAfter => 1,
        Fault::LoseAnswer if cell.times > 1 => 1,
        _ => 0,
    };
    let known = cell.view().await.connections.len();
    assert!((1..=1 + left_behind).contains(&known), "{known} connections");
}

/// Of the limit of a device's sockets, one is evicted; if that fails, the next connection does so. Sockets that have
/// ended are buried already, and only their records are left.
pub(super) async fn connect_many(cell: &Cell, are_buried: bool) {
    let identity = cell.register(&cell.user()).await;
    cell.believe_many(&cell.user(), limits::DEVICE_SOCKETS).await;
    if are_buried {
        let tombstone = |connection: &Connection| {
            let pk = AttributeValue::S(format!("c#{}", connection.id));
            [("pk".to_owned(), pk), ("tombstone".to_owned(), AttributeValue::Bool(true))].into()
        };
        let tombstones = cell.view().await.connections.iter().map(tombstone).collect();
        cell.lane.world.put_all(&cell.table("TIDINGS_LOOKUPS_TABLE"), tombstones).await;
    }
    cell.arm().await;
    let mut phones = Vec::new();
    cell.until("the bound holds", async || {
        let mut phone = Phone::open(cell, &identity).await;
        phone.send(cell, json!({"action": "ping"}), async |phone| pongs(phone) > 0).await;
        phones.push(phone);
        cell.is_over() && cell.view().await.connections.len() <= limits::DEVICE_SOCKETS
    })
    .await;
}

/// Beyond the limit of a device's sockets that were just opened, another one is refused and leaves no record.
pub(super) async fn connect_at_once(cell: &Cell) {
    let identity = cell.register(&cell.user()).await;
    let mut phones = Vec::new();
    for _ in 0..limits::DEVICE_SOCKETS {
        phones.push(Phone::open(cell, &identity).await);
    }
    cell.arm().await;
    cell.until("it is refused", async || {
        let token = identity.connect_token(crate::world::seconds()).unwrap();
        let refused = cell.lane.world.connect(identity.id(), &token).await.expect_err("no ninth socket is opened");
        let left = cell.view().await.connections.len();
        // One that was recorded and could not be buried stays until its lease expires or a post meets it.
        cell.is_over() && refused == 429 && (left == limits::DEVICE_SOCKETS || cell.fault != Fault::KillAfter)
    })
    .await;
    for phone in &mut phones {
        phone.send(cell, json!({"action": "ping"}), async |phone| pongs(phone) > 0).await;
    }
}

fn pongs(phone: &Phone) -> usize {
    phone.seen(|seen| seen.frames.iter().filter(|frame| matches!(frame, Frame::Pong(_))).count())
}

/// A connection whose end was handled first leaves no record.
pub(super) async fn ended_before(cell: &Cell) {
    let identity = cell.register(&cell.user()).await;
    let id: ConnectionId = format!("{}Early=", cell.app()).parse().unwrap();
    let event = |name: &str, token: &str| {
        let path = repository().join("events").join(name);
        let mut event: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        event["requestContext"]["connectionId"] = json!(id);
        event["queryStringParameters"] = json!({"deviceId": identity.id(), "token": token});
        event["multiValueQueryStringParameters"] = json!({"deviceId": [identity.id()], "token": [token]});
        event
    };
    cell.arm().await;
    let functions = cell.lane.world.twin.functions();
    let invoke = async |function: &str, event: &Value| {
        let answer = functions.invoke(function, Bytes::from(event.to_string()), &[]).await.ok()?;
        serde_json::from_slice::<Value>(&answer).unwrap()["statusCode"].as_u64()
    };
    let end = event("ws-disconnect.json", "");
    cell.until("the end is handled", async || invoke("DisconnectFunction", &end).await == Some(200)).await;
    cell.until("the beginning is refused", async || {
        let token = identity.connect_token(crate::world::seconds()).unwrap();
        let begin = event("ws-connect.json", &token);
        let status = invoke("ConnectFunction", &begin).await;
        assert_ne!(status, Some(200), "a dead connection is let in");
        status == Some(401)
    })
    .await;
    assert_eq!(cell.lane.stores.connections.get(&id, Timestamp::now()).await.unwrap(), None);
    assert!(cell.view().await.connections.is_empty());
}

/// API Gateway sends the end once. If that fails, the next message meets the dead connection.
pub(super) async fn disconnect(cell: &Cell) {
    let phone = online(cell).await;
    cell.arm().await;
    phone.close().await;
    cell.until("the fault has struck", async || cell.hits() > 0).await;
    let mut asked = 0;
    cell.until("the connection is removed", async || {
        asked += 1;
        if asked == 6 {
            cell.send(json!({})).await;
        }
        cell.view().await.connections.is_empty()
    })
    .await;
    if asked >= 6 {
        cell.settled("k", |entry| entry.offline.is_some()).await;
    }
}

pub(super) async fn ping(cell: &Cell) {
    let mut phone = online(cell).await;
    let (id, now) = (cell.view().await.connections[0].id.to_string(), Timestamp::now());
    let users = cell.table("TIDINGS_USERS_TABLE");
    let (user, sort_key) = (cell.user().encode(), format!("x#{id}"));
    cell.overwrite(&users, [("pk", &user), ("sk", &sort_key)], "expires_at", now.seconds() + 100).await;
    cell.arm().await;
    phone.send(cell, json!({"action": "ping"}), async |phone| pongs(phone) > 0).await;
    let connections = cell.view().await.connections;
    assert_eq!(connections.len(), 1);
    assert!(connections[0].lease > now.plus_seconds(600), "renewed");
}

/// The other connection stands between that of the ping and the mailbox, whose head is read separately.
pub(super) async fn ping_among_others(cell: &Cell) {
    let mut phone = online(cell).await;
    let (_, entry) = cell.seed("k", |_| {}).await;
    let (users, user) = (cell.table("TIDINGS_USERS_TABLE"), cell.user().encode());
    let own = cell.view().await.connections[0].id.clone();
    let mut other = cell.lane.world.item(&users, &user, Some(&format!("x#{own}"))).await;
    other.insert("sk".to_owned(), AttributeValue::S(format!("x#{BELOW_ALL}")));
    other.insert("connection_id".to_owned(), AttributeValue::S(BELOW_ALL.to_owned()));
    cell.lane.world.put_all(&users, vec![other]).await;
    cell.arm().await;
    phone.send(cell, json!({"action": "ping"}), async |phone| pongs(phone) > 0).await;
    let head = phone.seen(|seen| {
        let mut pongs = seen.frames.iter().rev();
        let last = pongs.find_map(|frame| if let Frame::Pong(pong) = frame { Some(pong) } else { None });
        last.map(|pong| (pong.position.epoch, pong.position.seq))
    });
    assert_eq!(head, Some((entry.position.epoch, entry.position.seq)));
}

/// An id of a connection that sorts before those of API Gateway.
const BELOW_ALL: &str = "--------Other=";

/// Of three messages, the first one is acknowledged: the other two arrive, in order, however often the device has to
/// ask.
pub(super) async fn sync(cell: &Cell) {
    let mut phone = online(cell).await;
    let mut ids = Vec::new();
    for key in ["0", "1", "2"] {
        ids.push(cell.seed(key, |_| {}).await.1.letter.id);
    }
    let first = cell.entry("0").await.unwrap();
    let (stores, user) = (&cell.lane.stores, cell.user());
    let acked = tidings_store::Confirmation::Acknowledged;
    stores
        .mailboxes
        .confirm(
            &user,
            first.position,
            &first.letter.id,
            &cell.device_id(),
            acked,
            tidings_store::Confirmed::Alive(Timestamp::now()),
        )
        .await
        .unwrap();
    cell.arm().await;
    phone.send(cell, json!({"action": "sync"}), async |phone| answers(phone) > 0).await;
    // A client that has received fewer than announced asks again, from the end of its run.
    for _ in 0..5 {
        let run = ids[1..].iter().take_while(|id| phone.seen(|seen| seen.message(id).is_some())).count();
        if run == 2 {
            break;
        }
        let (epoch, seq, before) = (first.position.epoch, 1 + run, answers(&phone));
        let again = json!({"action": "sync", "epoch": epoch, "seq": seq});
        phone.send(cell, again, async |phone| answers(phone) > before).await;
    }
    phone.seen(|seen| {
        let mut places: Vec<u64> = Vec::new();
        for message in seen.messages() {
            let seq = message.position.unwrap().seq;
            assert_eq!(message.id, ids[usize::try_from(seq).unwrap() - 1].as_str());
            if !places.contains(&seq) {
                places.push(seq);
            }
        }
        places.sort_unstable();
        assert_eq!(places, [2, 3], "{:?}", seen.frames);
    });
    assert_eq!(cell.view().await.devices[0].cursor, Some(first.position));
    assert_eq!(cell.entries().await.len(), 3);
}

fn answers(phone: &Phone) -> usize {
    phone.seen(|seen| seen.frames.iter().filter(|frame| matches!(frame, Frame::Synced(_))).count())
}

/// One message is confirmed, by this device and once.
pub(super) async fn confirm(cell: &Cell, action: &str) {
    let mut phone = online(cell).await;
    let (_, entry) = cell.seed("k", |_| {}).await;
    cell.arm().await;
    let request =
        json!({"action": action, "id": entry.letter.id, "epoch": entry.position.epoch, "seq": entry.position.seq});
    phone.send(cell, request, async |_| cell.entry("k").await.unwrap().is_confirmed() && cell.hits() > 0).await;
    let entry = cell.entry("k").await.unwrap();
    let by = if action == "ack" { &entry.acks } else { &entry.reads };
    assert_eq!((entry.acks.len() + entry.reads.len(), &by[0].0), (1, &cell.device_id()));
}

/// A confirmation that arrives just after the connection's end.
pub(super) async fn last_words(cell: &Cell, action: &str) {
    let mut phone = online(cell).await;
    let (_, entry) = cell.seed("k", |_| {}).await;
    let id = cell.view().await.connections[0].id.clone();
    cell.lane.stores.connections.disconnect(&id, Timestamp::now()).await.unwrap();
    cell.arm().await;
    let request =
        json!({"action": action, "id": entry.letter.id, "epoch": entry.position.epoch, "seq": entry.position.seq});
    phone.send(cell, request, async |_| cell.entry("k").await.unwrap().is_confirmed()).await;
    assert!(cell.view().await.connections.is_empty(), "it stays dead");
}

/// A message that is not in the mailbox is not confirmed, and the device gets an error.
pub(super) async fn confirm_nothing(cell: &Cell) {
    let mut phone = online(cell).await;
    let (_, entry) = cell.seed("k", |_| {}).await;
    cell.arm().await;
    let wrong = cell.message_id("another");
    let request = json!({"action": "ack", "id": wrong, "epoch": entry.position.epoch, "seq": entry.position.seq});
    let refused = |frame: &Frame| matches!(frame, Frame::Error(error) if error.code == "unknown_message");
    phone.send(cell, request, async |phone| phone.seen(|seen| seen.frames.iter().any(refused))).await;
    assert!(!cell.entry("k").await.unwrap().is_confirmed());
}

pub(super) async fn confirm_up_to(cell: &Cell) {
    let mut phone = online(cell).await;
    for key in ["0", "1", "2"] {
        cell.seed(key, |_| {}).await;
    }
    let entries = cell.entries().await;
    let (second, device) = (entries[1].position, cell.device_id());
    cell.arm().await;
    let request = json!({"action": "ack", "epoch": second.epoch, "seq": second.seq});
    let cursor = async || cell.view().await.devices[0].cursor;
    phone.send(cell, request, async |_| cursor().await == Some(second) && cell.hits() > 0).await;
    let acked: Vec<_> = cell.entries().await.iter().map(|entry| entry.is_confirmed_by(&device)).collect();
    assert_eq!(acked, [true, true, false]);
}

pub(super) async fn state(cell: &Cell) {
    let mut phone = online(cell).await;
    let (users, user) = (cell.table("TIDINGS_USERS_TABLE"), cell.user().encode());
    let sort_key = format!("x#{}", cell.view().await.connections[0].id);
    cell.arm().await;
    let recorded = async || cell.attribute(&users, [("pk", &user), ("sk", &sort_key)], "app_state").await;
    phone.send(cell, json!({"action": "state", "state": "foreground"}), async |_| recorded().await.is_some()).await;
    assert_eq!(recorded().await.unwrap().as_s().unwrap(), "foreground");
    assert_eq!(cell.view().await.connections.len(), 1);
}
