//! `needConfirm`: posted again, with growing pauses, until a device confirms it or its time is over.

use sam_twin::{
    faults::{Fault, Rule, RuleId},
    services::sqs,
};
use serde_json::json;
use tidings_domain::{More, Timer, Timestamp, delivery::Redelivery};
use tidings_wire::{
    MessageFrame, SendRequest,
    trail::{DeviceState, Event as Happened, RecipientTrail, State},
};

use crate::world::{World, eventually, happened};

fn confirm(request: &mut SendRequest) {
    request.content.need_confirm = Some(true);
}

/// Makes a redelivery due now, and waits until it has been processed.
async fn due_now(world: &World, message: &MessageFrame, attempt: u32) {
    let (id, position) = (message.id.parse().unwrap(), message.position.unwrap());
    let (user, due, more) = (World::user("alice"), Timestamp::now(), More::default());
    let redelivery = Redelivery { user, position, id, attempt, due, unanswered: Vec::new(), more };
    world.set_timer(&Timer::Redeliver(redelivery)).await;
    world.idle().await;
}

/// Observes a timer with this delay: it is refused once, so that the function repeats the request.
fn notice(world: &World, delay: u64) -> RuleId {
    let rule = Rule::new(Fault::Throttle).function("DeliverFunction").service(sqs::SERVICE).operation("SendMessage");
    world.twin.faults().add(rule.contains(format!("\"DelaySeconds\":{delay}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_again_with_growing_pauses_until_it_is_confirmed() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let after_30 = notice(&world, 30);
    let id = world.send_with(&["alice"], "please confirm", confirm).await;
    let message = alice.message().await;
    assert_eq!((&message.id, message.content.need_confirm), (&id, Some(true)));
    eventually("the first waits for 30 s", async || world.waiting("LaterQueue").await[2] == 1).await;
    assert_eq!(world.twin.faults().hits(after_30), 1);

    for (attempt, pause) in [(0, 60), (1, 120)] {
        let noticed = notice(&world, pause);
        due_now(&world, &message, attempt).await;
        assert_eq!(alice.message().await, message, "the same, at the same place");
        assert_eq!(world.twin.faults().hits(noticed), 1, "the next one waits for {pause} s");
        assert_eq!(world.waiting("LaterQueue").await[2], u64::from(attempt) + 2);
    }
    // The same redelivery once more, as from a repeated queue message: posted or not, the trail shows it once.
    let trail = world.until(&id, State::Pending).await;
    let posted = [Happened::Posted, Happened::Redelivered, Happened::Redelivered];
    assert_eq!(happened(&trail)[2..], posted);
    assert!(trail.transitions[2..].iter().all(|it| it.device_id.as_deref() == Some(alice.identity.id())));
    assert_eq!(trail.devices[0].state, DeviceState::Posted);

    alice.ack(&message).await;
    world.until(&id, State::Confirmed).await;
    due_now(&world, &message, 2).await;
    alice.ping().await;
    assert_eq!(world.waiting("LaterQueue").await[2], 3, "none follows");
    assert_eq!(happened(&world.until(&id, State::Confirmed).await).len(), 6);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_without_an_answer_is_repeated_to_its_connection_and_the_trail_names_both() {
    let world = World::start().await;
    let mut phone = world.online("alice", "phone").await;
    let waits = world.connections(&["alice"]).await.remove(0);
    let mut tablet = world.online("alice", "tablet").await;
    // As often as the SDK tries.
    let rule = Rule::new(Fault::ServerError).function("DeliverFunction").operation("PostToConnection");
    let failed = world.twin.faults().add(rule.contains(waits.as_str()).times(2));
    let id = world.send(&["alice"], "Hello").await;
    let message = tablet.message().await;
    assert_eq!(message.id, id);
    // A confirmation of another device leaves this one's copy.
    tablet.ack(&message).await;
    let ids = [&phone, &tablet].map(|socket| socket.identity.id().to_owned());
    let states = |trail: &RecipientTrail| {
        ids.each_ref().map(|id| trail.devices.iter().find(|it| it.device_id == *id).unwrap().state)
    };
    let trail = world.until(&id, State::Confirmed).await;
    assert_eq!(states(&trail), [DeviceState::Unanswered, DeviceState::Confirmed]);
    assert_eq!(world.twin.faults().hits(failed), 2);
    let of_phone = |trail: &RecipientTrail| -> Vec<_> {
        let its = trail.transitions.iter().filter(|it| it.device_id.as_ref() == Some(&ids[0]));
        its.map(|it| it.event).collect()
    };
    assert_eq!(of_phone(&trail), [Happened::Posted, Happened::Unanswered]);

    // The phone sends nothing meanwhile, and the tablet is not posted to again.
    assert_eq!(phone.message().await, MessageFrame { device_id: ids[0].clone(), ..message });
    eventually("the repeat is noted", async || {
        happened(&world.trail(&id).await.recipients[0]).contains(&Happened::Redelivered)
    })
    .await;
    let trail = world.until(&id, State::Confirmed).await;
    assert_eq!(states(&trail), [DeviceState::Posted, DeviceState::Confirmed]);
    assert_eq!(of_phone(&trail), [Happened::Posted, Happened::Unanswered, Happened::Redelivered]);
    assert_eq!(world.waiting("LaterQueue").await, [0, 0, 0], "there are no more");
    tablet.ping().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_comes_back_receives_it_and_an_ended_message_is_not_redelivered() {
    let world = World::start().await;
    let identity = world.device("alice", "a").await;
    let short = world
        .send_with(&["alice"], "short", |request| {
            confirm(request);
            request.ttl = Some(2);
        })
        .await;
    let cancelled = world.send_with(&["alice"], "cancelled", confirm).await;
    let open = world.send_with(&["alice"], "open", confirm).await;
    let mut places = Vec::new();
    for id in [&short, &cancelled, &open] {
        eventually("stored", async || world.trail(id).await.recipients[0].position.is_some()).await;
        places.push(world.trail(id).await.recipients[0].position.unwrap());
    }
    assert_eq!(world.cancel(&cancelled).await.status, 200);
    world.until(&cancelled, State::Suppressed).await;
    world.until(&short, State::Expired).await;

    // A redelivery without open connections is not in the trail, and the next one is scheduled.
    let frame = |id: &str, position| MessageFrame {
        id: id.to_owned(),
        position: Some(position),
        device_id: String::new(),
        to_user_name: String::new(),
        from_user_name: None,
        create_time: 0,
        content: tidings_wire::Content::default(),
    };
    let waiting = world.waiting("LaterQueue").await[2];
    due_now(&world, &frame(&open, places[2]), 0).await;
    assert_eq!(world.waiting("LaterQueue").await[2], waiting + 1);
    assert!(!happened(&world.until(&open, State::Pending).await).contains(&Happened::Redelivered));

    let mut alice = world.socket(&identity).await;
    assert_eq!(alice.sync(None).await.0, [open.as_str()]);
    for (id, place) in [(&short, places[0]), (&cancelled, places[1])] {
        due_now(&world, &frame(id, place), 0).await;
        // At another message's position, too.
        due_now(&world, &frame(id, places[2]), 1).await;
    }
    alice.ping().await;
    assert_eq!(world.waiting("LaterQueue").await[2], waiting + 1, "none follows");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_redelivery_is_brought_within_its_limits_and_reported() {
    let world = World::start().await;
    let rows: &[(serde_json::Value, Option<u64>, Option<&str>)] = &[
        (json!({"needConfirm": true}), Some(259_200), None),
        (json!({"needConfirm": true, "duration": 299}), Some(300), Some("300: the shortest is 300")),
        (json!({"needConfirm": true, "duration": 300}), Some(300), None),
        (json!({"needConfirm": true, "duration": 259_200}), Some(259_200), None),
        (json!({"needConfirm": true, "duration": 259_201}), Some(259_200), Some("259200: the longest is 259200")),
        (json!({"needConfirm": true, "duration": 600, "ttl": 400}), Some(400), Some("400: it ends with the `ttl`")),
        (json!({"duration": 600}), None, Some("no effect without `needConfirm`")),
        (json!({"needConfirm": false, "duration": 600}), None, Some("no effect without `needConfirm`")),
    ];
    for (n, (options, duration, downgrade)) in rows.iter().enumerate() {
        let mut body = json!({"audiences": ["nobody"], "alert": "x"});
        body.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let answer = world.post(&body, &format!("row-{n}")).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let answer = answer.json();
        assert_eq!(answer.get("duration").and_then(serde_json::Value::as_u64), *duration, "{options}: {answer}");
        let downgrades: Vec<_> = answer["downgrades"].as_array().into_iter().flatten().collect();
        let expected: Vec<_> = downgrade.iter().map(|detail| json!({"field": "duration", "detail": detail})).collect();
        assert_eq!(downgrades, expected.iter().collect::<Vec<_>>(), "{options}");
    }
    world.end().await;
}
