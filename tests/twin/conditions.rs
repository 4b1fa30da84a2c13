//! Conditions: a step goes out only while its condition holds, by the newest data.

use http::Method;
use sam_twin::faults::{Fault, Rule};
use serde_json::{Value, json};
use tidings_crypto::encoding::percent;
use tidings_wire::{
    ItemAnswer, Platform, PushAddress,
    send::{Channel, Condition, FallbackStep},
    trail::{Event, RecipientTrail, State},
};

use crate::world::{DEADLINE, NAMES, World};

const ITEM: &str = "order:4711";

fn item_open() -> Condition {
    Condition { item_open: Some(ITEM.to_owned()), ..Condition::default() }
}

fn below(version: &str) -> Condition {
    Condition { client_version_below: Some(version.to_owned()), ..Condition::default() }
}

/// Sends Alice a message on this condition, with steps over these channels, each due at once; returns its trail at the
/// end.
async fn outcome(world: &World, condition: &Condition, channels: &[Channel]) -> RecipientTrail {
    let steps = channels.iter().map(|channel| FallbackStep { channel: *channel, after: Some(0) }).collect();
    let id = world
        .send_with(&["alice"], "There is something for you", |request| {
            request.fallback = Some(steps);
            request.condition = Some(condition.clone());
        })
        .await;
    let mut found = None;
    crate::world::eventually(&format!("the chain of {id} has ended"), async || {
        let trail = world.trail(&id).await.recipients.remove(0);
        let last = |event| trail.transitions.iter().any(|it| it.event == event && it.step == Some(channels.len() - 1));
        let is_over = last(Event::StepSkipped) || last(Event::StepAccepted);
        found = Some(trail);
        is_over
    })
    .await;
    found.unwrap()
}

/// The reasons of the skipped steps, in order.
fn skipped(trail: &RecipientTrail) -> Vec<&str> {
    let skipped = trail.transitions.iter().filter(|it| it.event == Event::StepSkipped);
    skipped.filter_map(|it| it.code.as_deref()).collect()
}

async fn sent(world: &World) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    world.outbox().await.iter().map(|item| (text(&item["channel"]), text(&item["to"][0]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_item_skips_every_step() {
    let world = World::start().await;
    let backend = world.backend();
    world.reachable("alice").await;
    assert!(backend.item(ITEM, None).await.unwrap().open, "an unknown item is open");

    let closed = backend.set_item(ITEM, None, false).await.unwrap();
    assert_eq!((closed.item.as_str(), closed.open), (ITEM, false));
    assert_eq!(backend.set_item(ITEM, None, false).await.unwrap(), closed, "twice is once");
    assert_eq!(backend.item(ITEM, None).await.unwrap(), closed);
    assert!(backend.item(ITEM, Some("north")).await.unwrap().open, "a tenant's item of that name is another one");
    assert!(world.other_backend().await.item(ITEM, None).await.unwrap().open, "so is another app's");

    let both = [Channel::Sms, Channel::Email];
    let trail = outcome(&world, &item_open(), &both).await;
    assert_eq!((trail.state, skipped(&trail)), (State::Suppressed, vec!["item_closed"; 2]));
    assert!(sent(&world).await.is_empty());

    let opened = backend.set_item(ITEM, None, true).await.unwrap();
    assert_eq!((opened.open, opened.closed_at), (true, None));
    let trail = outcome(&world, &item_open(), &both).await;
    assert_eq!((trail.state, skipped(&trail).len()), (State::FallbackDelivered, 0));
    assert_eq!(sent(&world).await.len(), 2);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_begins_after_the_answer_to_the_closing() {
    let world = World::start().await;
    world.reachable("alice").await;
    let faults = world.twin.faults();
    // If the closing comes too late, which is rare, the next round tries with another item.
    for round in 0..60 {
        let item = format!("order:{round}");
        // The worker has read that the item is open, and cannot claim its step yet.
        let claim = Rule::new(Fault::Throttle).function("FallbackFunction").operation("UpdateItem");
        let rule = faults.add(claim.contains("progress[0].claimed = ").times(2));
        let sent_before = sent(&world).await.len();
        let condition = Condition { item_open: Some(item.clone()), ..Condition::default() };
        let close = async {
            let struck = async {
                while faults.hits(rule) == 0 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(DEADLINE, struck).await.expect("a claim is refused");
            world.backend().set_item(&item, None, false).await.unwrap();
            // Its second attempt is refused too: the step is not claimed yet.
            faults.hits(rule) == 1
        };
        let (trail, is_held) = tokio::join!(outcome(&world, &condition, &[Channel::Sms]), close);
        if is_held {
            assert_eq!((trail.state, skipped(&trail)), (State::Suppressed, vec!["item_closed"]));
            assert!(!trail.transitions.iter().any(|it| it.event == Event::StepStarted), "{trail:?}");
            assert_eq!(sent(&world).await.len(), sent_before);
            return world.end().await;
        }
    }
    panic!("the closing was never answered before the claim was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_is_a_separate_item() {
    let world = World::start().await;
    // By raw requests: the client refuses names that API Gateway may decode twice.
    let ask = async |method, name: &str, tenant: Option<&str>, body: &Value| -> ItemAnswer {
        let query = tenant.map(|tenant| format!("?tenantCode={}", percent(tenant))).unwrap_or_default();
        let answer = world.ask(method, &format!("/v1/items/{}{query}", percent(name)), world.key.expose(), body).await;
        serde_json::from_value(answer.json()).unwrap()
    };
    for tenant in [None, Some("north"), Some("#?&%2B é")] {
        for (at, name) in NAMES.iter().enumerate() {
            let closed = ask(Method::PUT, name, tenant, &json!({"open": false})).await;
            assert_eq!((closed.item.as_str(), closed.open), (*name, false), "{tenant:?}");
            for (other, it) in NAMES.iter().enumerate() {
                let item = ask(Method::GET, it, tenant, &Value::Null).await;
                assert_eq!((item.item.as_str(), item.open), (*it, other > at), "{name} is closed, {tenant:?}");
            }
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_goes_to_the_devices_that_lack_it() {
    let world = World::start().await;
    let register = async |token: &str, version: &str| {
        let mut registration = World::registration("alice", token);
        registration.platform = Platform::Android;
        registration.client_version = Some(version.to_owned());
        registration.push = Some(PushAddress::Fcm { token: token.to_owned() });
        world.backend().register(&registration).await.unwrap();
    };
    register("phone", "1.9.4").await;
    register("tablet", "2.0").await;
    let both = [Channel::Fcm, Channel::Webhook];
    let trail = outcome(&world, &below("2.0.0"), &both).await;
    assert_eq!((trail.state, skipped(&trail).len()), (State::FallbackDelivered, 0));
    let to = |channel: &str, to: &str| (channel.to_owned(), to.to_owned());
    let first = [to("fcm", "phone"), to("webhook", "/webhook")];
    assert_eq!(sent(&world).await, first);

    // By now, the phone has it too.
    register("phone", "2.0.1").await;
    let trail = outcome(&world, &below("2.0.0"), &both).await;
    assert_eq!((trail.state, skipped(&trail)), (State::Suppressed, vec!["up_to_date"; 2]));
    assert_eq!(sent(&world).await, first);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_without_steps_is_reported_as_without_effect() {
    let world = World::start().await;
    let request = serde_json::from_value(json!({
        "audiences": ["alice"], "alert": "Hello", "condition": {"itemOpen": ITEM},
    }));
    let answer = world.backend().send(&request.unwrap(), None).await.unwrap();
    let fields: Vec<_> = answer.downgrades.iter().map(|downgrade| downgrade.field.as_str()).collect();
    assert_eq!(fields, ["condition"]);
    world.end().await;
}
