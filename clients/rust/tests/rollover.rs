//! Rollovers that the service asks for: nothing is interrupted, lost or shown twice.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

#[expect(dead_code, reason = "not every test needs all of it")]
mod service;

use std::time::Duration;

use serde_json::json;
use service::{DEVICE, Peer, Service};
use tidings_client::{Device, Event, Events};
use tidings_wire::action::Position;

/// The next event. A device that is served without interruption loses no connection and opens none.
async fn next(events: &mut Events) -> Event {
    let event = tokio::time::timeout(Duration::from_secs(10), events.next()).await.unwrap().unwrap();
    assert!(!matches!(event, Event::Disconnected { .. } | Event::Connected | Event::Unreadable(_)), "{event:?}");
    event
}

async fn next_message(events: &mut Events) -> String {
    loop {
        if let Event::Message(received) = next(events).await {
            return received.message.id;
        }
    }
}

/// A device that is connected and up to date.
async fn connected(service: &Service) -> (Device, Events, Peer) {
    let cursor = Some(Position { epoch: 7, seq: 0 });
    let options = tidings_client::Options { cursor, ..service.options() };
    let (device, mut events) = Device::open(service.identity.clone(), options);
    let mut peer = service.accept().await;
    peer.up_to_date(0).await;
    assert!(matches!(events.next().await, Some(Event::Connected)));
    assert!(matches!(next(&mut events).await, Event::Synced(_)));
    (device, events, peer)
}

/// Replaces a pong, as the service does when most of the connection's life is over.
async fn ask_to_roll_over(peer: &mut Peer) {
    peer.send(json!({"type": "reconnect", "deviceId": DEVICE, "code": "rollover", "after": 0})).await;
}

#[tokio::test]
async fn the_old_socket_serves_until_the_new_one_has_synced() {
    let service = Service::start().await;
    let (_device, mut events, mut old) = connected(&service).await;
    old.message(1).await;
    assert_eq!(next_message(&mut events).await, "1");
    assert_eq!(old.next_action().await["action"], "ack");

    ask_to_roll_over(&mut old).await;
    let mut new = service.accept().await;
    assert_eq!(new.next_action().await, json!({"action": "sync", "announced": 0, "epoch": 7, "seq": 1}));
    old.message(2).await;
    assert_eq!(next_message(&mut events).await, "2");
    // The acknowledgements on the old connection may be lost: the device sums them up.
    let up_to = |seq: u64| json!({"action": "ack", "epoch": 7, "seq": seq});
    assert_eq!(new.next_action().await, up_to(2));
    // The replay has 2 as well, and 3, which the old connection brings too.
    new.message(2).await;
    assert_eq!(new.next_action().await, up_to(2));
    new.message(3).await;
    old.message(3).await;
    assert_eq!(next_message(&mut events).await, "3");
    assert_eq!(new.next_action().await, up_to(3));
    new.synced(3, 2).await;
    assert!(matches!(next(&mut events).await, Event::Synced(synced) if synced.position.seq == 3));
    assert!(matches!(next(&mut events).await, Event::RolledOver));
    // On its way when the device sent its close frame.
    old.message(4).await;
    assert_eq!(next_message(&mut events).await, "4");
    assert!(old.is_closed().await);
    new.message(5).await;
    assert_eq!(next_message(&mut events).await, "5");
}

#[tokio::test]
async fn a_successor_that_cannot_be_opened_is_tried_again_while_the_old_one_serves() {
    let service = Service::start().await;
    let (_device, mut events, mut old) = connected(&service).await;
    ask_to_roll_over(&mut old).await;
    for seq in 1..=3 {
        service.refuse("503 Service Unavailable", None).await;
        old.message(seq).await;
        assert_eq!(next_message(&mut events).await, seq.to_string());
        assert_eq!(old.next_action().await["seq"], seq);
    }
    let mut new = service.accept().await;
    assert_eq!(new.next_action().await["seq"], 3);
    new.synced(3, 0).await;
    assert!(matches!(next(&mut events).await, Event::Synced(_)));
    assert!(matches!(next(&mut events).await, Event::RolledOver));
    assert!(old.is_closed().await);
}

#[tokio::test]
async fn a_successor_that_breaks_before_it_has_synced_leaves_the_old_one_in_service() {
    let service = Service::start().await;
    let (_device, mut events, mut old) = connected(&service).await;
    ask_to_roll_over(&mut old).await;
    let mut broken = service.accept().await;
    assert_eq!(broken.next_action().await["action"], "sync");
    old.message(1).await;
    assert_eq!(next_message(&mut events).await, "1");
    assert_eq!(broken.next_action().await["action"], "ack");
    drop(broken);
    assert_eq!(old.next_action().await, json!({"action": "sync", "announced": 0, "epoch": 7, "seq": 1}));
    old.synced(1, 0).await;
    // It asks at once whether the old one is still there.
    let mut actions = [old.next_action().await, old.next_action().await];
    actions.sort_by_key(|action| action["action"].to_string());
    assert_eq!(actions, [json!({"action": "ack", "epoch": 7, "seq": 1}), json!({"action": "ping"})]);
    let mut new = service.accept().await;
    assert_eq!(new.next_action().await["action"], "sync");
    new.message(2).await;
    new.synced(2, 1).await;
    assert_eq!(next_message(&mut events).await, "2");
    assert!(matches!(next(&mut events).await, Event::Synced(_)));
    assert!(matches!(next(&mut events).await, Event::RolledOver));
    assert!(old.is_closed().await);
}

#[tokio::test]
async fn a_hundred_rollovers_with_traffic_lose_nothing_and_show_nothing_twice() {
    const ROLLOVERS: u64 = 100;
    let service = Service::start().await;
    let (device, mut events, mut old) = connected(&service).await;
    let traffic = async {
        for round in 1..=ROLLOVERS {
            let seq = 4 * round;
            old.message(seq - 3).await;
            ask_to_roll_over(&mut old).await;
            let mut new = service.accept().await;
            // Lost on the old connection, so that the replay brings it: seq - 2.
            old.message(seq - 1).await;
            loop {
                let action = new.next_action().await;
                if action["action"] != "sync" {
                    continue;
                }
                let after = action["seq"].as_u64().unwrap();
                for missed in after + 1..seq {
                    new.message(missed).await;
                }
                new.synced(seq - 1, seq - 1 - after).await;
                break;
            }
            new.message(seq).await;
            assert!(old.is_closed().await);
            old = new;
        }
        old
    };
    let shown = async {
        let (mut shown, mut rollovers) = (Vec::new(), 0);
        while shown.len() < 4 * usize::try_from(ROLLOVERS).unwrap() || rollovers < ROLLOVERS {
            match next(&mut events).await {
                Event::Message(received) => shown.push(received.message.position.unwrap().seq),
                Event::RolledOver => rollovers += 1,
                _ => {}
            }
        }
        (shown, rollovers)
    };
    let (mut last, (shown, rollovers)) = tokio::join!(traffic, shown);
    assert_eq!(shown, (1..=4 * ROLLOVERS).collect::<Vec<_>>());
    assert_eq!(rollovers, ROLLOVERS);
    let (closed, ()) = tokio::join!(last.is_closed(), device.close());
    assert!(closed);
}
