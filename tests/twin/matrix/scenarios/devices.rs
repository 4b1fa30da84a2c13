//! Devices: registered, moved, unregistered, each exactly once.

use http::Method;
use serde_json::json;
use tidings_domain::Timestamp;

use crate::matrix::cell::Cell;

pub(super) async fn register(cell: &Cell) {
    cell.arm().await;
    post(cell).await;
    belongs_to_alice(cell, 1).await;
}

/// Bob's device becomes Alice's, and nothing of it stays with Bob.
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
    // Whoever heard nothing the first time hears that it is not there any more.
    assert!([204, 404].contains(&answer.status.as_u16()), "{answer:?}");
    let known = cell.lane.users.last_known(&cell.device_id()).await.unwrap().unwrap();
    assert!(known.user.is_nobody() && known.generation == 1, "{known:?}");
    nothing_of_bob(cell).await;
}

async fn held_by_bob(cell: &Cell, many: bool) {
    cell.register(&cell.other()).await;
    if many { cell.believe_many().await } else { drop(cell.believe(&cell.other()).await) }
}

async fn post(cell: &Cell) {
    let body = json!({"appId": cell.app(), "alias": "alice", "platform": "WEB", "nativeToken": "token"});
    let answer = cell.ask(Method::POST, "/v1/devices", None, Some(body)).await;
    assert!([200, 201].contains(&answer.status.as_u16()), "{answer:?}");
    assert_eq!(answer.json()["id"], cell.device_id().as_str());
}

async fn belongs_to_alice(cell: &Cell, generation: u32) {
    let device = cell.lane.users.device(&cell.device_id()).await.unwrap().unwrap();
    assert_eq!((device.user, device.generation), (cell.user(), generation));
    let view = cell.view().await;
    assert_eq!(view.devices.len(), 1);
    assert_eq!((&view.devices[0].id, view.devices[0].generation), (&cell.device_id(), generation));
}

async fn nothing_of_bob(cell: &Cell) {
    let now = Timestamp::now();
    let view = cell.lane.users.view(&cell.other(), now).await.unwrap();
    assert!(view.devices.is_empty() && view.connections.is_empty(), "{view:?}");
}
