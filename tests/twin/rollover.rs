//! A device moves to a new connection at the end of the old one's life, without a missed or doubled message.

use std::time::Duration;

use tidings_client::{Device, Event, Options};

use crate::world::{DEADLINE, World};

/// Number of moves to wait for.
const MOVES: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_device_moves_to_a_new_connection_when_the_service_asks_for_it() {
    let world = World::with(|options| {
        options.parameters.insert("ConnectionLifeSeconds".to_owned(), "10".to_owned());
    })
    .await;
    let identity = world.device("alice", "a").await;
    let (_device, mut events) = Device::open(identity, Options::new(world.twin.socket_url()));
    while !matches!(events.next().await, Some(Event::Synced(_))) {}

    let (mut sent, mut shown, mut moves) = (Vec::new(), Vec::new(), 0);
    let mut pause = tokio::time::interval(Duration::from_millis(200));
    let started = tokio::time::Instant::now();
    while moves < MOVES || shown.len() < sent.len() {
        assert!(started.elapsed() < 2 * DEADLINE, "{moves} moves, {} of {} messages", shown.len(), sent.len());
        tokio::select! {
            _ = pause.tick(), if moves < MOVES => sent.push(world.send(&["alice"], &sent.len().to_string()).await),
            event = events.next() => match event.expect("the device is not closed") {
                Event::Message(received) => shown.push(received.message.id.clone()),
                Event::RolledOver => moves += 1,
                event @ (Event::Disconnected { .. } | Event::Closed(_) | Event::Unreadable(_) | Event::Refused(_)) => {
                    panic!("{event:?}")
                }
                Event::Announcement(_) | Event::Connected | Event::Synced(_) | Event::Pong(_) => {}
            },
        }
    }
    assert_eq!(shown, sent, "each once, in order");
    println!("{} messages over {moves} moves", sent.len());
    world.end().await;
}
