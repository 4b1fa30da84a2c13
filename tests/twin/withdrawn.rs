//! Messages that are cancelled after they were sent, or replaced by a newer one: no step of them starts any more.

use tidings_domain::{Position, Timer, Timestamp, chain::StepDue};
use tidings_wire::{
    Platform, SendRequest,
    send::{Channel, FallbackStep},
    trail::{DeviceState, Event as Happened, RecipientTrail, State},
};

use crate::world::{World, eventually, happened};

/// A chain of one SMS, due after the end of every test.
fn with_chain(request: &mut SendRequest) {
    request.fallback = Some(vec![FallbackStep { channel: Channel::Sms, after: Some(3_600) }]);
}

async fn reachable_by_sms(world: &World, alias: &str, token: &str) -> tidings_client::Identity {
    let mut registration = World::registration(alias, token);
    registration.mobile = Some("+8613800138000".to_owned());
    let answer = world.backend().register(&registration).await.unwrap();
    tidings_client::Identity::from_answer(&answer).unwrap()
}

/// Makes the first step of a chain due now: by its timer, and then as one that has passed its timer. One after the
/// other: in parallel, the second would be postponed beyond the end of this test.
async fn step_is_due(world: &World, alias: &str, id: &str, position: Position) {
    let due = Timestamp::now();
    let step = StepDue {
        user: World::user(alias),
        position,
        id: id.parse().unwrap(),
        step: 0,
        due,
        waited: false,
        attempts: 0,
        more: tidings_domain::More::default(),
    };
    let url = &world.environment("TimerFunction")["TIDINGS_FALLBACK_QUEUE_URL"];
    let body = serde_json::to_string(&step).unwrap();
    world.set_timer(&Timer::Step(step)).await;
    world.idle().await;
    world.sqs().send_message().queue_url(url).message_body(body).send().await.unwrap();
    world.idle().await;
}

async fn recipient(world: &World, id: &str, alias: &str) -> RecipientTrail {
    let trail = world.trail(id).await;
    trail.recipients.into_iter().find(|recipient| recipient.alias == alias).unwrap()
}

async fn ended(world: &World, id: &str, alias: &str, state: State) -> RecipientTrail {
    eventually(&format!("{state}"), async || recipient(world, id, alias).await.state == state).await;
    recipient(world, id, alias).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_of_a_cancelled_message_starts_any_more() {
    let world = World::start().await;
    let alice = reachable_by_sms(&world, "alice", "a").await;
    reachable_by_sms(&world, "carol", "c").await;
    let mut bob = world.online("bob", "b").await;
    let id = world.send_with(&["alice", "bob"], "cancelled", with_chain).await;
    let other = world.send_with(&["carol"], "not cancelled", with_chain).await;
    let shown = bob.message().await;
    bob.ack(&shown).await;
    ended(&world, &id, "bob", State::Confirmed).await;
    let place = ended(&world, &id, "alice", State::Pending).await.position.unwrap();
    let elsewhere = ended(&world, &other, "carol", State::Pending).await.position.unwrap();

    assert_eq!(world.cancel(&id).await.status, 200);
    let trail = ended(&world, &id, "alice", State::Suppressed).await;
    let expected = [Happened::Accepted, Happened::Stored, Happened::Offline, Happened::Cancelled];
    assert_eq!((happened(&trail), trail.position), (expected.to_vec(), Some(place)));

    // Its chain, and the chain of a message that was not cancelled, as proof that the chain would have fired.
    step_is_due(&world, "alice", &id, place).await;
    assert_eq!(world.outbox().await.len(), 0);
    assert_eq!(happened(&recipient(&world, &id, "alice").await), expected);
    step_is_due(&world, "carol", &other, elsewhere).await;
    ended(&world, &other, "carol", State::FallbackDelivered).await;
    assert_eq!(world.outbox().await.len(), 1);

    // A device that comes back does not receive it, and moves past it.
    let mut alice = world.socket(&alice).await;
    let (replayed, synced) = alice.sync(None).await;
    assert_eq!((replayed.len(), synced.position, synced.more), (0, place, false));
    // A device that has it keeps it.
    let bobs = ended(&world, &id, "bob", State::Confirmed).await;
    assert_eq!(bobs.devices[0].state, DeviceState::Confirmed);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_away_receives_only_the_newest_under_a_key() {
    let world = World::start().await;
    let carol = reachable_by_sms(&world, "carol", "c").await;
    let send = async |alert: &str, key: Option<&str>, platform: Platform| {
        let keyed = |request: &mut SendRequest| {
            request.collapse_key = key.map(str::to_owned);
            request.platform = Some(platform);
            with_chain(request);
        };
        let id = world.send_with(&["carol"], alert, keyed).await;
        world.until(&id, State::Pending).await;
        id
    };
    let first = send("1:0", Some("score"), Platform::All).await;
    let plain = send("half time", None, Platform::All).await;
    let other_key = send("rain", Some("weather"), Platform::All).await;
    let second = send("2:0", Some("score"), Platform::All).await;
    let other_platform = send("2:0 for phones", Some("score"), Platform::Ios).await;
    let third = send("3:0", Some("score"), Platform::All).await;

    for (n, id) in [&first, &second].into_iter().enumerate() {
        let trail = world.until(id, State::Suppressed).await;
        let expected = [Happened::Accepted, Happened::Stored, Happened::Offline, Happened::Replaced];
        assert_eq!(happened(&trail), expected, "{n}");
        step_is_due(&world, "carol", id, trail.position.unwrap()).await;
    }
    assert_eq!(world.outbox().await.len(), 0, "a replaced message is not sent by SMS either");
    for id in [&plain, &other_key, &other_platform, &third] {
        let trail = world.until(id, State::Pending).await;
        assert!(!happened(&trail).contains(&Happened::Replaced));
    }

    // A browser does not receive the one for phones.
    let mut carol = world.socket(&carol).await;
    let (replayed, synced) = carol.sync(None).await;
    assert_eq!(replayed, [plain, other_key, third]);
    assert_eq!((synced.position.seq, synced.recovered), (6, true));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_shown_before_stays_confirmed() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let other = world.device("alice", "b").await;
    let keyed = |request: &mut SendRequest| request.collapse_key = Some("score".to_owned());
    let first = world.send_with(&["alice"], "1:0", keyed).await;
    let shown = alice.message().await;
    alice.ack(&shown).await;
    world.until(&first, State::Confirmed).await;
    let second = world.send_with(&["alice"], "2:0", keyed).await;
    assert_eq!(alice.message().await.id, second);
    let trail = world.until(&first, State::Confirmed).await;
    assert_eq!(trail.devices[0].state, DeviceState::Confirmed);
    // The user's other device was not shown it: it receives the newest.
    let (replayed, _) = world.socket(&other).await.sync(None).await;
    assert_eq!(replayed, [second]);
    // Cancelled after it was shown: the same.
    assert_eq!(world.cancel(&first).await.status, 200);
    world.stored().await;
    world.until(&first, State::Confirmed).await;
    world.end().await;
}
