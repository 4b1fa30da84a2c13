//! Data that is sealed at rest: KMS that does not answer, keys of another app, and what was changed in a table.

use aws_sdk_dynamodb::types::AttributeValue;
use http::Method;
use sam_twin::faults::{Fault, Rule};
use serde_json::json;
use tidings_crypto::app_key::AppKey;
use tidings_domain::{Timestamp, mailbox::Slot};
use tidings_wire::trail::State;

use crate::world::{Answer, World};

/// Sends a message as an app; returns the answer.
async fn send_as(world: &World, key: &AppKey) -> Answer {
    let url = format!("{}/v1/messages", world.twin.api_url());
    let authorization = format!("Bearer {}", key.expose());
    let body = json!({"audienceType": "ALIAS", "audiences": ["alice"], "alert": "Hello"}).to_string();
    world.request(Method::POST, &url, &[("authorization", &authorization)], body).await
}

async fn app(world: &World, id: &str) -> AppKey {
    let key = AppKey::generate(id, tidings_crypto::random::bytes().unwrap()).unwrap();
    world.create_app(&key, Vec::new()).await;
    key
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kms_a_known_keyring_goes_on_and_an_unknown_one_is_unavailable_and_nothing_is_stored() {
    for fault in [Fault::Throttle, Fault::FailBefore, Fault::ServerError] {
        let world = World::sealed().await;
        world.expect_errors("request failed");
        let mut alice = world.online("alice", "a").await;
        world.send(&["alice"], "before").await;
        alice.message().await;
        let cold = app(&world, "cold").await;
        let before = world.stored().await;

        let away = world.twin.faults().add(Rule::new(fault).operation("Decrypt").times(1_000));
        let refused = send_as(&world, &cold).await;
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
        assert_eq!(refused.json()["code"], "unavailable");
        assert_eq!(world.stored().await, before, "nothing is stored in clear instead");
        assert!(world.twin.faults().hits(away) > 0);
        let id = world.send(&["alice"], "meanwhile").await;
        assert_eq!(alice.message().await.id, id);

        world.twin.faults().remove(away);
        assert_eq!(send_as(&world, &cold).await.status, 202);
        world.idle().await;
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_wrapped_for_another_app_opens_nothing() {
    let world = World::sealed().await;
    world.expect_errors("request failed");
    let (one, two) = (app(&world, "one").await, app(&world, "two").await);
    let directory = world.table("TIDINGS_DIRECTORY_TABLE");
    let of_one = world.item(&directory, "app#one", Some("app")).await;
    for stolen in [&["wrapped_key", "keyring"][..], &["wrapped_key"], &["keyring"]] {
        let mut item = world.item(&directory, "app#two", Some("app")).await;
        let whole = item.clone();
        item.extend(stolen.iter().map(|name| ((*name).to_owned(), of_one[*name].clone())));
        world.put_all(&directory, vec![item]).await;
        let refused = send_as(&world, &two).await;
        assert_eq!(refused.status, 500, "{stolen:?}: {refused:?}");
        world.put_all(&directory, vec![whole]).await;
    }
    assert_eq!(send_as(&world, &one).await.status, 202);
    assert_eq!(send_as(&world, &two).await.status, 202);
    world.idle().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_moved_or_put_in_clear_is_unreadable_and_costs_its_own_entry_alone() {
    let world = World::sealed().await;
    world.fill("alice", 1).await;
    world.fill("bob", 2).await;
    let (stores, users) = (world.stores(), world.table("TIDINGS_USERS_TABLE"));
    let (alice, bob) = (World::user("alice"), World::user("bob"));
    let tail = stores.users.view(&alice, Timestamp::now()).await.unwrap().tail.unwrap().position;
    let key = format!("m#{:020}#{:020}", tail.epoch, tail.seq);
    let of_alice = world.item(&users, &world.partition(&alice).await, Some(&key)).await;
    let tail = stores.users.view(&bob, Timestamp::now()).await.unwrap().tail.unwrap().position;
    let key = format!("m#{:020}#{:020}", tail.epoch, tail.seq);
    let whole = world.item(&users, &world.partition(&bob).await, Some(&key)).await;
    assert!(matches!(stores.mailboxes.entry(&bob, tail).await.unwrap(), Some(Slot::Read(_))));
    let mut flipped = whole["content"].as_b().unwrap().clone().into_inner();
    *flipped.last_mut().unwrap() ^= 1;
    let flipped = AttributeValue::B(flipped.into());
    for content in [of_alice["content"].clone(), AttributeValue::S(r#"{"alert":"forged"}"#.to_owned()), flipped] {
        let mut item = whole.clone();
        item.insert("content".to_owned(), content);
        world.put_all(&users, vec![item]).await;
        let (entries, _) = stores.mailboxes.after(&bob, None, None, 10, Timestamp::now()).await.unwrap();
        assert!(matches!(entries[..], [Slot::Read(_), Slot::Unreadable(_)]), "{entries:?}");
    }
    // A body in clear was not written by the service either.
    world.expect_errors("record failed");
    world.expect_dead_letters("DeliverDeadLetters");
    let job = World::job(&World::accepted(World::text(&["carol"], "forged"), Timestamp::now()), "carol");
    let url = &world.twin.template().queues.iter().find(|queue| queue.logical_id == "DeliverQueue").unwrap().url;
    let body = serde_json::to_string(&job).unwrap();
    let request = world.sqs().send_message().queue_url(url).message_body(body).message_group_id("forged");
    request.message_deduplication_id("forged").send().await.unwrap();
    crate::world::eventually("it is a dead letter", async || world.waiting("DeliverDeadLetters").await[0] == 1).await;
    assert!(stores.users.view(&World::user("carol"), Timestamp::now()).await.unwrap().tail.is_none());
    world.end().await;
}

/// As without sealing: neither an error of the service nor a hint.
#[tokio::test(flavor = "multi_thread")]
async fn the_devices_of_an_app_that_is_gone_are_unknown() {
    let world = World::sealed().await;
    let gone = world.device("alice", "a").await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let deleted = world.dynamodb().delete_item().table_name(world.table("TIDINGS_DIRECTORY_TABLE"));
    deleted.key("pk", text(&format!("app#{}", crate::world::APP))).key("sk", text("app")).send().await.unwrap();
    let token = gone.connect_token(crate::world::seconds()).unwrap();
    assert_eq!(world.connect(gone.id(), &token).await.map(drop), Err(401));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pseudonym_of_the_log_is_computed_by_the_command_line() {
    let world = World::sealed().await;
    world.send(&["alice"], "Hello").await;
    let pseudonym = world.seal().await.pseudonym(&World::user("alice"));
    assert_ne!(pseudonym, World::user("alice").digest());
    let environment = world.environment("SendFunction");
    let arguments = ["user", "hash", "--app", crate::world::APP, "--alias", "alice"];
    let deployment = [
        ("--directory-table", environment["TIDINGS_DIRECTORY_TABLE"].as_str()),
        ("--seal-key", environment["TIDINGS_SEAL_KEY"].as_str()),
        ("--aws-endpoint", world.twin.aws_url()),
    ];
    let arguments: Vec<&str> = arguments.into_iter().chain(deployment.iter().flat_map(|it| [it.0, it.1])).collect();
    let (succeeded, output) = crate::world::tidings(&arguments).await;
    assert!(succeeded && output.trim() == pseudonym, "{output}");
    world.until(&world.send(&["alice"], "again").await, State::Pending).await;
    world.end().await;
}
