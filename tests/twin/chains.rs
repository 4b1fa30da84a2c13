//! The chains of an app: the steps of a message that does not name its own.

use serde_json::json;
use tidings_wire::{
    send::{Channel, FallbackStep, PushMsgType},
    trail::State,
};

use crate::world::{APP, World, tidings};

/// Sets a chain with the command line, as an operator does.
async fn chain(world: &World, id: &str, more: &[&str]) -> (bool, String) {
    let (table, url) = (world.twin.outputs()["DirectoryTableName"].clone(), world.twin.aws_url());
    let mut arguments = vec!["app", "chain", "--id", id, "--directory-table", &table, "--aws-endpoint", url];
    arguments.extend(more);
    tidings(&arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_has_a_chain_and_categories_have_theirs() {
    let world = World::start().await;
    for more in
        [&["--steps", "sms"][..], &["--category", "orders", "--steps", "email:0"], &["--category", "news", "--none"]]
    {
        let (done, output) = chain(&world, APP, more).await;
        assert!(done, "{output}");
    }
    let (_, output) = chain(&world, APP, &[]).await;
    let expected = json!({"general": [{"channel": "sms"}],
        "categories": {"orders": [{"channel": "email", "after": 0}], "news": []}});
    assert_eq!(serde_json::from_str::<serde_json::Value>(&output).unwrap(), expected);

    world.reachable("alice").await;
    let of = async |category: &str| {
        world.send_with(&["alice"], category, |request| request.content.category = Some(category.to_owned())).await
    };
    let plain = world.send(&["alice"], "plain").await;
    world.until(&plain, State::FallbackDelivered).await;
    world.until(&of("orders").await, State::FallbackDelivered).await;
    let silent = [
        of("news").await,
        world.send_with(&["alice"], "command", |it| it.content.push_msg_type = Some(PushMsgType::Cmd)).await,
        world.send_with(&["alice"], "own", |request| request.fallback = Some(Vec::new())).await,
    ];
    let own = Some(vec![FallbackStep { channel: Channel::Email, after: None }]);
    world.until(&world.send_with(&["alice"], "its own", |it| it.fallback = own).await, State::FallbackDelivered).await;
    world.idle().await;
    for id in silent {
        assert_eq!(world.trail(&id).await.recipients[0].state, State::Pending);
    }
    let sent: Vec<_> = world.outbox().await.iter().map(|it| (it["channel"].clone(), it["text"].clone())).collect();
    assert_eq!(
        sent,
        [("sms", "plain"), ("email", "orders"), ("email", "its own")].map(|(by, text)| (by.into(), text.into()))
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_chain_is_refused_before_anything_is_written() {
    let world = World::start().await;
    let before = world.items().await;
    let nine = ["apns"; 9].join(",");
    let often = "step 3 of --steps must not be sms once more: a chain has at most 2 steps by it";
    for (id, more, reason) in [
        (APP, &["--steps", "pigeon"][..], "expected one of apns"),
        (APP, &["--steps", &nine], "--steps has 9 of them; the limit is 8"),
        (APP, &["--steps", "sms,sms,sms"], often),
        (APP, &["--category", "news", "--steps", "sms:0,sms,email,sms:9"], "step 4 of --steps must not be sms"),
        (APP, &["--steps", "sms:259201"], "a pause of more than 259200 seconds"),
        ("nobody", &["--steps", "sms"], "there is no app \"nobody\""),
    ] {
        let (done, output) = chain(&world, id, more).await;
        assert!(!done && output.contains(reason), "{id} {more:?}: {output}");
    }
    assert_eq!(world.items().await, before);
    world.end().await;
}
