//! A device against a real WebSocket server on port 0.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod service;

use std::time::Duration;

use serde_json::json;
use service::{DEVICE, Service};
use tidings_client::{Ack, Backoff, CloseReason, Device, Event, Events, Loss, Options, Unreadable};
use tidings_wire::action::Position;

/// The next event, without connections and losses, whose number depends on timing.
async fn next(events: &mut Events) -> Event {
    loop {
        match tokio::time::timeout(Duration::from_secs(10), events.next()).await.unwrap().unwrap() {
            Event::Connected | Event::Disconnected { .. } => {}
            event => return event,
        }
    }
}

async fn next_message(events: &mut Events) -> String {
    loop {
        match next(events).await {
            Event::Message(received) => return received.message.id,
            Event::Synced(_) | Event::Pong(_) | Event::RolledOver => {}
            other => panic!("a message was due, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn asks_for_what_it_missed_and_acknowledges_what_the_app_took() {
    let service = Service::start().await;
    let cursor = Some(Position { epoch: 7, seq: 2 });
    let (device, mut events) = Device::open(service.identity.clone(), Options { cursor, ..service.options() });
    let mut peer = service.accept().await;
    assert_eq!(peer.claims.sub, DEVICE);
    assert_eq!(peer.next_action().await, json!({"action": "sync", "announced": 0, "epoch": 7, "seq": 2}));
    peer.message(3).await;
    peer.message(4).await;
    peer.synced(4, 2).await;
    // The sum of the former run, whose acknowledgements may have been lost.
    assert_eq!(peer.next_action().await, json!({"action": "ack", "epoch": 7, "seq": 2}));
    assert_eq!(next_message(&mut events).await, "3");
    assert_eq!(peer.next_action().await, json!({"action": "ack", "id": "3", "epoch": 7, "seq": 3}));
    assert_eq!(next_message(&mut events).await, "4");
    // An acknowledgement that follows at once is summed up.
    let everything = json!({"action": "ack", "epoch": 7, "seq": 4});
    assert_eq!(peer.next_action().await, everything);
    assert!(matches!(next(&mut events).await, Event::Synced(synced) if synced.position.seq == 4));
    // A redelivery is confirmed again and not shown: the next event is the next message.
    peer.message(4).await;
    assert_eq!(peer.next_action().await, everything);
    peer.message(5).await;
    assert_eq!(next_message(&mut events).await, "5");
    assert_eq!(peer.next_action().await, json!({"action": "ack", "epoch": 7, "seq": 5}));

    let (closed, ()) = tokio::join!(peer.is_closed(), device.close());
    assert!(closed);
    assert!(matches!(next(&mut events).await, Event::Closed(CloseReason::Asked)));
    assert!(events.next().await.is_none());
    assert!(device.ping().is_err());
}

#[tokio::test]
async fn acknowledges_by_hand_and_says_read() {
    let service = Service::start().await;
    let (device, mut events) =
        Device::open(service.identity.clone(), Options { ack: Ack::Manual, ..service.options() });
    let mut peer = service.accept().await;
    assert_eq!(peer.next_action().await, json!({"action": "sync", "announced": 0}));
    peer.message(1).await;
    peer.synced(1, 1).await;
    let Event::Message(received) = next(&mut events).await else { panic!("a message was due") };
    assert_eq!(received.sealed.split('.').count(), 5);
    device.read(&received.message).unwrap();
    assert_eq!(peer.next_action().await["action"], "read", "nothing was acknowledged before");
    device.ack(&received.message).unwrap();
    assert_eq!(peer.next_action().await["action"], "ack");
}

#[tokio::test]
async fn what_is_not_sealed_for_it_is_never_a_message() {
    let service = Service::start().await;
    let (_device, mut events) = Device::open(service.identity.clone(), service.options());
    let mut peer = service.accept().await;
    peer.next_action().await;
    peer.send_in_clear(r#"{"message": "Internal server error", "connectionId": "x=", "requestId": "y"}"#).await;
    assert!(matches!(next(&mut events).await, Event::Unreadable(Unreadable::NotSealedForUs)));
    // It replaced the answer to the replay: the device asks again, long before the deadline.
    assert_eq!(peer.next_action().await, json!({"action": "sync", "announced": 0}));
    peer.synced(0, 0).await;
    assert!(matches!(next(&mut events).await, Event::Synced(_)));

    let message = json!({"type": "message", "id": "1", "epoch": 7, "seq": 1, "deviceId": DEVICE, "toUserName": "alice",
        "createTime": 1, "alert": "in clear"});
    peer.send_in_clear(&message.to_string()).await;
    assert!(matches!(next(&mut events).await, Event::Unreadable(Unreadable::NotSealedForUs)));
    peer.send_binary().await;
    assert!(matches!(next(&mut events).await, Event::Unreadable(Unreadable::NotSealedForUs)));
    peer.send(json!({"type": "dance", "deviceId": DEVICE})).await;
    assert!(matches!(next(&mut events).await, Event::Unreadable(Unreadable::UnknownKind)));
    peer.send(json!({"type": "error", "deviceId": "device-2", "code": "c", "detail": "d"})).await;
    assert!(matches!(next(&mut events).await, Event::Unreadable(Unreadable::NamesAnotherDevice)));
    peer.message(1).await;
    assert_eq!(next_message(&mut events).await, "1");
}

#[tokio::test]
async fn comes_back_after_a_loss_with_its_cursor_and_its_confirmations() {
    let service = Service::start().await;
    let (_device, mut events) = Device::open(service.identity.clone(), service.options());
    let mut peer = service.accept().await;
    peer.up_to_date(0).await;
    peer.message(1).await;
    assert_eq!(next_message(&mut events).await, "1");
    assert_eq!(peer.next_action().await["action"], "ack");
    // The connection is lost without a close: the acknowledgement may not have arrived.
    drop(peer);
    let mut peer = service.accept().await;
    assert_eq!(peer.next_action().await, json!({"action": "sync", "announced": 0, "epoch": 7, "seq": 1}));
    peer.synced(1, 0).await;
    assert_eq!(peer.next_action().await, json!({"action": "ack", "epoch": 7, "seq": 1}));
    peer.message(2).await;
    assert_eq!(next_message(&mut events).await, "2");
}

#[tokio::test]
async fn reconnects_when_it_is_asked_to() {
    let service = Service::start().await;
    let (_device, mut events) = Device::open(service.identity.clone(), service.options());
    let mut peer = service.accept().await;
    peer.up_to_date(0).await;
    let reconnect = json!({"type": "reconnect", "deviceId": DEVICE, "code": "going_away", "after": 0});
    peer.send(reconnect).await;
    service.accept().await.up_to_date(0).await;
    let mut codes = Vec::new();
    while codes.is_empty() {
        if let Some(Event::Disconnected { loss: Loss::Asked { code, .. }, .. }) = events.next().await {
            codes.push(code);
        }
    }
    assert_eq!(codes, ["going_away"]);
}

#[tokio::test]
async fn a_service_that_does_not_know_the_connection_says_so_in_clear() {
    let service = Service::start().await;
    let (_device, mut events) = Device::open(service.identity.clone(), service.options());
    let mut peer = service.accept().await;
    peer.next_action().await;
    peer.send_in_clear(r#"{"type": "reconnect", "deviceId": "", "code": "unknown_connection", "after": 0}"#).await;
    service.accept().await.up_to_date(0).await;
    let mut lost = None;
    while lost.is_none() {
        if let Some(Event::Disconnected { loss: Loss::Asked { code, .. }, .. }) = events.next().await {
            lost = Some(code);
        }
    }
    assert_eq!(lost.as_deref(), Some("unknown_connection"));
}

#[tokio::test]
async fn a_heartbeat_without_an_answer_is_a_loss() {
    let service = Service::start().await;
    let options = Options {
        ping_every: Some(Duration::from_millis(50)),
        answer_within: Duration::from_millis(300),
        ..service.options()
    };
    let (_device, mut events) = Device::open(service.identity.clone(), options);
    let mut peer = service.accept().await;
    peer.up_to_date(0).await;
    assert_eq!(peer.next_action().await, json!({"action": "ping"}));
    peer.send(json!({"type": "pong", "deviceId": DEVICE, "epoch": 7, "seq": 0, "serverTime": 1, "nextPing": 60})).await;
    assert!(matches!(next(&mut events).await, Event::Synced(_)));
    assert!(matches!(next(&mut events).await, Event::Pong(_)));
    assert_eq!(peer.next_action().await, json!({"action": "ping"}));
    loop {
        if let Some(Event::Disconnected { loss, .. }) = events.next().await {
            assert!(matches!(loss, Loss::Silent), "{loss:?}");
            break;
        }
    }
    service.accept().await.up_to_date(0).await;
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_by_the_refusal() {
    let service = Service::start().await;
    let (_device, _events) = Device::open(service.identity.clone(), service.options());
    // The service's clock is in another decade.
    let first = service.refuse("401 Unauthorized", Some("Sun, 06 Nov 1994 08:49:37 GMT")).await;
    assert!(first.iat > 1_600_000_000);
    let second = service.refuse("401 Unauthorized", None).await;
    assert!(second.iat.abs_diff(784_111_777) < 60, "{}", second.iat);
}

#[tokio::test]
async fn gives_up_after_three_refusals_and_not_for_other_reasons() {
    let service = Service::start().await;
    let (_device, mut events) = Device::open(service.identity.clone(), service.options());
    for status in ["401 Unauthorized", "403 Forbidden", "503 Service Unavailable", "429 Too Many Requests"] {
        service.refuse(status, None).await;
    }
    for _ in 0..3 {
        service.refuse("403 Forbidden", None).await;
    }
    let Event::Closed(CloseReason::CannotConnect(error)) = next(&mut events).await else { panic!("the end was due") };
    assert!(error.is_refusal());
    let text = CloseReason::CannotConnect(error).to_string();
    assert!(text.contains("refused with 403 Forbidden") && text.contains("the stage"), "{text}");
}

#[tokio::test]
async fn a_loss_names_the_address_and_the_reason() {
    let service = Service::start().await;
    let nowhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/local", nowhere.local_addr().unwrap());
    drop(nowhere);
    let options = Options { socket_url: url.clone(), ..service.options() };
    let (_device, mut events) = Device::open(service.identity.clone(), options);
    let event = tokio::time::timeout(Duration::from_secs(10), events.next()).await.unwrap();
    let Some(Event::Disconnected { loss, .. }) = event else { panic!("a loss was due") };
    let text = loss.to_string();
    assert!(text.starts_with(&format!("cannot reach {url}: ")) && text.contains("Connection refused"), "{text}");

    let options = Options { socket_url: "http://127.0.0.1:7401/prod".to_owned(), ..service.options() };
    let (_device, mut events) = Device::open(service.identity.clone(), options);
    let Event::Closed(reason) = next(&mut events).await else { panic!("the end was due") };
    assert_eq!(reason.to_string(), "\"http://127.0.0.1:7401/prod\" is not the URL of a WebSocket API");
}

/// The next pause before an attempt to connect.
async fn next_pause(events: &mut Events) -> Duration {
    match tokio::time::timeout(Duration::from_secs(10), events.next()).await.unwrap().unwrap() {
        Event::Disconnected { retry_in, .. } => retry_in,
        other => panic!("a loss was due, not {other:?}"),
    }
}

#[tokio::test]
async fn a_refusal_ends_the_long_pauses_of_an_outage() {
    let service = Service::start().await;
    // With these pauses an outage would soon outlast the test.
    let first = Duration::from_millis(1);
    let backoff = Backoff { first, longest: Duration::from_secs(3_600) };
    let options = Options { backoff, give_up_after: 4, ..service.options() };
    let (_device, mut events) = Device::open(service.identity.clone(), options);
    for attempt in 0..12 {
        service.refuse("503 Service Unavailable", None).await;
        assert!(next_pause(&mut events).await <= first * (1 << attempt));
    }
    // The service is back, and knows neither the device nor its keys: the device must notice that soon.
    for attempt in 0..3 {
        service.refuse("401 Unauthorized", None).await;
        assert!(next_pause(&mut events).await <= first * (1 << attempt), "attempt {attempt}");
    }
    // A loss that is not a refusal does not reset the pauses.
    service.refuse("503 Service Unavailable", None).await;
    assert!(next_pause(&mut events).await <= first * (1 << 3));
    for _ in 0..4 {
        service.refuse("403 Forbidden", None).await;
    }
    assert!(matches!(next(&mut events).await, Event::Closed(CloseReason::CannotConnect(_))));
}

#[tokio::test]
async fn the_longest_pause_of_an_outage_bounds_no_pause_after_an_answer() {
    let service = Service::start().await;
    let first = Duration::from_millis(1);
    let backoff = Backoff { first, longest: Duration::from_secs(3_600) };
    let options = Options { backoff, longest_outage_pause: first, ..service.options() };
    let (_device, mut events) = Device::open(service.identity.clone(), options);
    let mut longest = Duration::ZERO;
    for _ in 0..10 {
        service.refuse("429 Too Many Requests", None).await;
        longest = longest.max(next_pause(&mut events).await);
    }
    assert!(longest > first, "{longest:?}");
    // From here on, nothing listens there.
    drop(service);
    for _ in 0..4 {
        assert!(next_pause(&mut events).await <= first);
    }
}

/// The next pause after a connection that was opened, if no other event came before it.
async fn pause_after_opening(events: &mut Events) -> Duration {
    loop {
        match tokio::time::timeout(Duration::from_secs(10), events.next()).await.unwrap().unwrap() {
            Event::Connected | Event::Synced(_) => {}
            Event::Disconnected { retry_in, .. } => return retry_in,
            other => panic!("a loss was due, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_soon_after_it_has_synced_does_not_shorten_the_pauses() {
    let service = Service::start().await;
    let first = Duration::from_millis(1);
    let options = Options { backoff: Backoff { first, longest: Duration::from_secs(3_600) }, ..service.options() };
    let (_device, mut events) = Device::open(service.identity.clone(), options);
    let mut longest = Duration::ZERO;
    for attempt in 0..10 {
        let mut peer = service.accept().await;
        peer.up_to_date(0).await;
        assert!(matches!(next(&mut events).await, Event::Synced(_)));
        drop(peer);
        let pause = pause_after_opening(&mut events).await;
        assert!(pause <= first * (1 << attempt), "attempt {attempt}");
        longest = longest.max(pause);
    }
    // Ten draws from windows of up to half a second: one in 10^13 runs draws none beyond the first window.
    assert!(longest > first, "{longest:?}");
    // A new message does.
    let mut peer = service.accept().await;
    peer.up_to_date(0).await;
    peer.message(1).await;
    assert_eq!(next_message(&mut events).await, "1");
    drop(peer);
    assert!(pause_after_opening(&mut events).await <= first);
}

#[tokio::test]
async fn an_evicted_device_stays_away_within_the_window_that_it_is_asked_for() {
    let service = Service::start().await;
    let first = Duration::from_millis(1);
    let mut longest = Duration::ZERO;
    for _ in 0..8 {
        let options = Options { backoff: Backoff { first, longest: Duration::from_secs(3_600) }, ..service.options() };
        let (_device, mut events) = Device::open(service.identity.clone(), options);
        let mut peer = service.accept().await;
        peer.up_to_date(0).await;
        peer.send_in_clear(r#"{"type": "reconnect", "deviceId": "", "code": "evicted", "after": 60}"#).await;
        let pause = loop {
            match events.next().await.unwrap() {
                Event::Disconnected { loss: Loss::Asked { code, .. }, retry_in } if code == "evicted" => {
                    break retry_in;
                }
                Event::Connected | Event::Synced(_) => {}
                other => panic!("an eviction was due, not {other:?}"),
            }
        };
        assert!(pause <= Duration::from_secs(60));
        longest = longest.max(pause);
    }
    assert!(longest > Duration::from_secs(1), "{longest:?}");
}

#[tokio::test]
async fn a_gateway_that_drops_the_subprotocol_gets_the_token_in_the_url() {
    let service = Service::start().await;
    let (_device, mut events) = Device::open(service.identity.clone(), service.options());
    let _dropped = service.accept_choosing(false).await;
    let mut peer = service.accept_choosing(false).await.unwrap();
    peer.up_to_date(0).await;
    assert!(matches!(next(&mut events).await, Event::Synced(_)));
}

#[tokio::test]
async fn moves_to_a_new_socket_before_it_leaves_the_old_one() {
    let service = Service::start().await;
    let options = Options { rollover_after: Duration::from_millis(200), ..service.options() };
    let (_device, mut events) = Device::open(service.identity.clone(), options);
    let mut old = service.accept().await;
    old.up_to_date(0).await;
    let mut new = service.accept().await;
    // Both are open; the old one still carries messages, and a message on both is shown once.
    assert_eq!(new.next_action().await["action"], "sync");
    old.message(1).await;
    new.message(1).await;
    new.synced(1, 1).await;
    assert_eq!(next_message(&mut events).await, "1");
    assert!(old.is_closed().await);
    new.message(2).await;
    assert_eq!(next_message(&mut events).await, "2");
}

#[tokio::test]
async fn what_an_earlier_life_was_shown_is_acknowledged_again_by_the_client_only() {
    let service = Service::start().await;
    for ack in [Ack::Automatic, Ack::Manual] {
        let options = Options { ack, cursor: Some(Position { epoch: 7, seq: 2 }), ..service.options() };
        let (device, mut events) = Device::open(service.identity.clone(), options);
        let mut peer = service.accept().await;
        peer.up_to_date(2).await;
        peer.message(1).await;
        peer.message(3).await;
        assert_eq!(next_message(&mut events).await, "3");
        device.ping().unwrap();
        if ack == Ack::Automatic {
            assert_eq!(peer.next_action().await, json!({"action": "ack", "epoch": 7, "seq": 2}));
            assert_eq!(peer.next_action().await, json!({"action": "ack", "id": "1", "epoch": 7, "seq": 1}));
        }
        assert_eq!(peer.next_action().await["action"], "ping");
        if ack == Ack::Automatic {
            assert_eq!(peer.next_action().await, json!({"action": "ack", "epoch": 7, "seq": 3}));
        }
    }
}

#[tokio::test]
async fn an_acknowledgement_up_to_a_position_is_sent_again_on_every_connection() {
    let service = Service::start().await;
    let (device, mut events) =
        Device::open(service.identity.clone(), Options { ack: Ack::Manual, ..service.options() });
    let everything = json!({"action": "ack", "epoch": 7, "seq": 2});
    let mut peer = service.accept().await;
    assert_eq!(peer.next_action().await, json!({"action": "sync", "announced": 0}));
    peer.message(1).await;
    peer.message(2).await;
    peer.synced(2, 2).await;
    assert_eq!(next_message(&mut events).await, "1");
    device.ack_up_to(Position { epoch: 7, seq: 2 }).unwrap();
    assert_eq!(peer.next_action().await, everything);
    drop(peer);
    let mut peer = service.accept().await;
    assert_eq!(peer.next_action().await, json!({"action": "sync", "announced": 0, "epoch": 7, "seq": 2}));
    peer.synced(2, 0).await;
    assert_eq!(peer.next_action().await, everything);
}

#[tokio::test]
async fn what_was_sent_and_does_not_come_is_asked_for_on_another_connection() {
    let service = Service::start().await;
    let options = Options { answer_within: Duration::from_millis(100), ..service.options() };
    let (_device, mut events) = Device::open(service.identity.clone(), options);
    let mut peer = service.accept().await;
    for _ in 0..3 {
        assert_eq!(peer.next_action().await, json!({"action": "sync", "announced": 0}));
        peer.message(2).await;
        peer.synced(2, 2).await;
    }
    let mut peer = service.accept().await;
    assert_eq!(peer.next_action().await, json!({"action": "sync", "announced": 0}));
    peer.message(1).await;
    peer.message(2).await;
    peer.synced(2, 2).await;
    assert_eq!(next_message(&mut events).await, "1");
    assert_eq!(next_message(&mut events).await, "2");
}

#[tokio::test]
async fn ends_when_the_app_no_longer_listens() {
    let service = Service::start().await;
    let (_device, events) = Device::open(service.identity.clone(), service.options());
    let mut peer = service.accept().await;
    peer.up_to_date(0).await;
    drop(events);
    assert!(peer.is_closed().await);
}

#[tokio::test]
async fn what_the_app_took_is_acknowledged_before_the_end() {
    let service = Service::start().await;
    let (_device, mut events) = Device::open(service.identity.clone(), service.options());
    let mut peer = service.accept().await;
    peer.up_to_date(0).await;
    for seq in 1..=20 {
        peer.message(seq).await;
    }
    for seq in 1..=20 {
        assert_eq!(next_message(&mut events).await, seq.to_string());
    }
    drop(events);
    assert_eq!(peer.next_action().await["id"], "1");
    while peer.next_action().await != json!({"action": "ack", "epoch": 7, "seq": 20}) {}
    assert!(peer.is_closed().await);
}

#[tokio::test]
async fn a_replay_is_acknowledged_by_a_few_actions_however_often_it_comes() {
    let service = Service::start().await;
    let (device, mut events) = Device::open(service.identity.clone(), service.options());
    let mut peer = service.accept().await;
    assert_eq!(peer.next_action().await, json!({"action": "sync", "announced": 0}));
    for seq in 1..=100 {
        peer.message(seq).await;
    }
    peer.synced(100, 100).await;
    for seq in 1..=100 {
        assert_eq!(next_message(&mut events).await, seq.to_string());
    }
    let everything = json!({"action": "ack", "epoch": 7, "seq": 100});
    assert_eq!(peer.next_action().await, json!({"action": "ack", "id": "1", "epoch": 7, "seq": 1}));
    assert_eq!(peer.next_action().await, everything);
    // The service seems to have lost the sum.
    for seq in 1..=100 {
        peer.message(seq).await;
    }
    peer.message(101).await;
    assert!(matches!(next(&mut events).await, Event::Synced(_)));
    assert_eq!(next_message(&mut events).await, "101");
    let mut actions = 0;
    while peer.next_action().await != json!({"action": "ack", "epoch": 7, "seq": 101}) {
        actions += 1;
    }
    assert!(actions < 10, "one action for each moment, not for each message: {actions}");
    device.ping().unwrap();
    assert_eq!(peer.next_action().await["action"], "ping", "nothing else was sent");
}
