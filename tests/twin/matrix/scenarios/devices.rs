//! Devices: registered, moved, unregistered, each exactly once; and their requests over HTTP.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tidings_client::Identity;
use tidings_domain::Timestamp;
use tidings_store::{Confirmation, Confirmed};
use tidings_wire::limits;

use crate::matrix::cell::Cell;

pub(super) async fn register(cell: &Cell) {
    cell.arm().await;
    post(cell).await;
    belongs_to_alice(cell, 1).await;
}

/// Of the limit of devices of a user, the least recently used one is evicted.
pub(super) async fn register_many(cell: &Cell) {
    let oldest = cell.registered_before(limits::USER_DEVICES).await;
    cell.arm().await;
    post(cell).await;
    let view = cell.view().await;
    let is_listed = |id| view.devices.iter().any(|device| device.id == id);
    assert_eq!(view.devices.len(), limits::USER_DEVICES);
    assert!(is_listed(cell.device_id()) && !is_listed(oldest.clone()), "{:?}", view.devices);
    let known = cell.lane.stores.devices.last_known(&oldest).await.unwrap().unwrap();
    assert!(known.user.is_unowned(), "{known:?}");
}

/// Bob's device becomes Alice's, and no record of it stays with Bob.
pub(super) async fn change_hands(cell: &Cell, many: bool) {
    held_by_bob(cell, many).await;
    cell.arm().await;
    post(cell).await;
    belongs_to_alice(cell, 2).await;
    nothing_of_bob(cell).await;
}

pub(super) async fn unregister(cell: &Cell, many: bool) {
    held_by_bob(cell, many).await;
    cell.arm().await;
    let answer = cell.ask(Method::DELETE, &format!("/v1/devices/{}", cell.device_id()), None, None).await;
    // A client whose first answer was lost gets 404 for the repeat.
    assert!([204, 404].contains(&answer.status.as_u16()), "{answer:?}");
    let known = cell.lane.stores.devices.last_known(&cell.device_id()).await.unwrap().unwrap();
    assert!(known.user.is_unowned() && known.generation == 1, "{known:?}");
    nothing_of_bob(cell).await;
}

async fn held_by_bob(cell: &Cell, many: bool) {
    cell.register(&cell.other()).await;
    if many { cell.believe_many(&cell.other(), 51).await } else { drop(cell.believe(&cell.other()).await) }
}

async fn post(cell: &Cell) {
    let body = json!({"appId": cell.app(), "alias": "alice", "platform": "WEB", "nativeToken": "token"});
    let answer = cell.ask(Method::POST, "/v1/devices", None, Some(body)).await;
    assert!([200, 201].contains(&answer.status.as_u16()), "{answer:?}");
    assert_eq!(answer.json()["id"], cell.device_id().as_str());
}

async fn belongs_to_alice(cell: &Cell, generation: u32) {
    let device = cell.lane.stores.devices.get(&cell.device_id(), Timestamp::now()).await.unwrap().unwrap();
    assert_eq!((device.user, device.generation), (cell.user(), generation));
    let view = cell.view().await;
    assert_eq!(view.devices.len(), 1);
    assert_eq!((&view.devices[0].id, view.devices[0].generation), (&cell.device_id(), generation));
}

async fn nothing_of_bob(cell: &Cell) {
    let now = Timestamp::now();
    let view = cell.lane.stores.users.view(&cell.other(), now).await.unwrap();
    assert!(view.devices.is_empty() && view.connections.is_empty(), "{view:?}");
}

/// Sends three messages, of which the second is read.
async fn three_messages(cell: &Cell) -> Identity {
    let identity = cell.register(&cell.user()).await;
    for key in ["0", "1", "2"] {
        cell.seed(key, |_| {}).await;
    }
    let second = cell.entry("1").await.unwrap();
    let (stores, user, now) = (&cell.lane.stores, cell.user(), Timestamp::now());
    stores
        .mailboxes
        .confirm(
            &user,
            second.position,
            &second.letter.id,
            &cell.device_id(),
            Confirmation::Read,
            Confirmed::Alive(now),
        )
        .await
        .unwrap();
    identity
}

pub(super) async fn list(cell: &Cell) {
    let identity = three_messages(cell).await;
    cell.arm().await;
    let page = ask(cell, &identity, Method::GET, "/v1/inbox", &Value::Null).await;
    let listed: Vec<_> = page["messages"].as_array().unwrap().iter().map(|it| (&it["id"], &it["read"])).collect();
    let ids = ["2", "1", "0"].map(|key| json!(cell.message_id(key)));
    assert_eq!(listed, [(&ids[0], &json!(false)), (&ids[1], &json!(true)), (&ids[2], &json!(false))]);
    assert_eq!(page["next"], Value::Null);
    for message in page["messages"].as_array().unwrap() {
        identity.open(message["frame"].as_str().unwrap()).unwrap();
    }
}

pub(super) async fn count(cell: &Cell) {
    let identity = three_messages(cell).await;
    cell.arm().await;
    let counted = ask(cell, &identity, Method::GET, "/v1/inbox/unread", &Value::Null).await;
    assert_eq!(counted, json!({"count": 2, "more": false}));
}

pub(super) async fn prefer(cell: &Cell) {
    const PATH: &str = "/v1/preferences";
    let identity = cell.register(&cell.user()).await;
    cell.arm().await;
    let wanted = json!({"categories": {"news": {"muted": true}}, "channels": {"sms": false}});
    assert_eq!(ask(cell, &identity, Method::PUT, PATH, &wanted).await, wanted);
    assert_eq!(ask(cell, &identity, Method::GET, PATH, &Value::Null).await, wanted);
}

pub(super) async fn preferences(cell: &Cell) {
    let identity = cell.register(&cell.user()).await;
    let wanted = prefers_no_sms(cell).await;
    cell.arm().await;
    assert_eq!(ask(cell, &identity, Method::GET, "/v1/preferences", &Value::Null).await, wanted);
}

pub(super) async fn user_preferences(cell: &Cell) {
    let wanted = prefers_no_sms(cell).await;
    cell.arm().await;
    let answer = cell.ask(Method::GET, "/v1/users/alice/preferences", None, None).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, wanted), "{answer:?}");
}

pub(super) async fn set_user_preferences(cell: &Cell) {
    cell.arm().await;
    let wanted = json!({"channels": {"sms": false}});
    let answer = cell.ask(Method::PUT, "/v1/users/alice/preferences", None, Some(wanted.clone())).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, wanted.clone()), "{answer:?}");
    let profile = cell.view().await.profile.unwrap();
    assert_eq!(serde_json::to_value(&**profile.preferences.read().unwrap()).unwrap(), wanted);
}

/// Alice wants no SMS.
async fn prefers_no_sms(cell: &Cell) -> Value {
    let wanted = json!({"channels": {"sms": false}});
    let preferences = serde_json::from_value(wanted.clone()).unwrap();
    cell.lane.stores.users.set_preferences(&cell.user(), &preferences).await.unwrap();
    wanted
}

pub(super) async fn show(cell: &Cell) {
    cell.register(&cell.user()).await;
    cell.arm().await;
    let answer = cell.ask(Method::GET, &format!("/v1/devices/{}", cell.device_id()), None, None).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["alias"]), (200, &json!("alice")), "{answer:?}");
}

pub(super) async fn unsubscribe(cell: &Cell) {
    cell.register(&cell.user()).await;
    cell.arm().await;
    let answer = cell.ask(Method::POST, &format!("/v1/unsubscribe/{}", cell.link()), None, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let profile = cell.view().await.profile.unwrap();
    let wanted = json!({"categories": {"news": {"channels": {"email": false}}}});
    assert_eq!(serde_json::to_value(&**profile.preferences.read().unwrap()).unwrap(), wanted);
}

pub(super) async fn unsubscribe_more(cell: &Cell) {
    cell.register(&cell.user()).await;
    prefers_no_sms(cell).await;
    cell.arm().await;
    let answer = cell.ask(Method::POST, &format!("/v1/unsubscribe/{}", cell.link()), None, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let profile = cell.view().await.profile.unwrap();
    let wanted = json!({"channels": {"sms": false}, "categories": {"news": {"channels": {"email": false}}}});
    assert_eq!(serde_json::to_value(&**profile.preferences.read().unwrap()).unwrap(), wanted);
}

/// Sends a request as a device does: repeats it, with a new token, until the answer is not a server error.
async fn ask(cell: &Cell, identity: &Identity, method: Method, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let url = format!("{}{path}", cell.lane.world.twin.api_url());
    for _ in 0..10 {
        let token = format!("Bearer {}", identity.connect_token(crate::world::seconds()).unwrap());
        let answer = cell.lane.world.request(method.clone(), &url, &[("authorization", &token)], body.clone()).await;
        if !answer.status.is_server_error() {
            assert_eq!(answer.status, 200, "{answer:?}");
            return answer.json();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{path} fails for good");
}
