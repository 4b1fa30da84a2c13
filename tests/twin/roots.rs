//! Root keys: read from their secrets, read again without a deployment, and never shown.

use sam_twin::faults::{Fault, Rule};
use serde_json::json;
use tidings_client::Identity;
use tidings_crypto::{frame, keys::KeyId, token::Token};
use tidings_wire::Frame;

use crate::world::{Socket, World, eventually, seconds};

/// The functions' variables that name the secrets of a device's keys.
const DEVICE_KEYS: [&str; 2] = ["TIDINGS_CONTENT_ROOT_KEYS", "TIDINGS_TOKEN_ROOT_KEYS"];

/// A set of root keys of these versions, in which no two secrets are the same.
fn set(versions: &[u32], letter: char) -> String {
    let secret = |version: &u32| format!(r#""{version}":"{}{version}""#, String::from(letter).repeat(63));
    format!("{{{}}}", versions.iter().map(secret).collect::<Vec<_>>().join(","))
}

/// A twin whose functions read their root keys again when these are so old.
async fn refreshing(seconds: u64) -> World {
    World::with(|options| {
        options.parameters.insert("RootKeysRefreshSeconds".to_owned(), seconds.to_string());
    })
    .await
}

/// Gives both keys of devices these versions; those of version 1 stay the same in the tests that keep it.
async fn put(world: &World, versions: &[u32]) {
    for (variable, letter) in DEVICE_KEYS.into_iter().zip(['c', 't']) {
        world.put_root_keys(variable, &set(versions, letter)).await;
    }
}

/// The version of the root key under which a frame is sealed.
fn version(frame: &str) -> u32 {
    frame::key_id(frame).unwrap().parse::<KeyId>().unwrap().version
}

/// The status with which the device's token is refused; `None` if it is accepted.
async fn refusal(world: &World, identity: &Identity) -> Option<u16> {
    world.connect(identity.id(), &identity.connect_token(seconds()).unwrap()).await.err()
}

/// The version of the root key under which a device signs.
fn signed_under(identity: &Identity) -> u32 {
    Token::parse(&identity.connect_token(seconds()).unwrap()).unwrap().key_id().version
}

/// Sends the device a message, and returns the version of the root key under which it comes.
async fn hears(world: &World, socket: &mut Socket, alias: &str) -> u32 {
    let id = world.send(&[alias], "Hello").await;
    let raw = socket.raw().await;
    let plain = socket.identity.open(&raw).unwrap();
    assert!(String::from_utf8(plain).unwrap().contains(&id), "another message");
    version(&raw)
}

/// Kills the function's process at its next request; the request after that meets a new one.
async fn restart_register(world: &World) {
    let rule = Rule::new(Fault::KillBefore).function("RegisterFunction").operation("GetItem").times(1);
    let killed = world.twin.faults().add(rule);
    assert!(world.backend().register(&World::registration("nobody", "killed")).await.is_err());
    assert_eq!(world.twin.faults().hits(killed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_added_serves_and_one_that_was_withdrawn_is_refused_without_a_deployment() {
    let world = refreshing(1).await;
    put(&world, &[1]).await;
    let mut old = world.online("alice", "a").await;
    assert_eq!(hears(&world, &mut old, "alice").await, 1);
    put(&world, &[1, 2]).await;
    eventually("devices are registered under the new version", async || {
        signed_under(&world.device("bob", "b").await) == 2
    })
    .await;
    let mut new = world.online("bob", "b").await;
    assert_eq!(hears(&world, &mut new, "bob").await, 2);
    assert_eq!(hears(&world, &mut old, "alice").await, 1, "a device keeps the keys that it has");
    assert_eq!(refusal(&world, &old.identity).await, None);
    put(&world, &[2]).await;
    eventually("the old version is refused", async || refusal(&world, &old.identity).await == Some(401)).await;
    // On its open socket a device is answered in clear: it connects again, is refused, and registers.
    for action in ["ping", "sync"] {
        old.send(json!({"action": action})).await;
        let answer: Frame = serde_json::from_str(&old.raw().await).unwrap();
        assert!(matches!(&answer, Frame::Reconnect(asked) if asked.code == "unknown_connection"), "{answer:?}");
    }
    let again = world.online("alice", "a").await;
    assert_eq!((again.identity.id(), signed_under(&again.identity)), (old.identity.id(), 2));
    assert_eq!(refusal(&world, &new.identity).await, None);
    assert_eq!(hears(&world, &mut new, "bob").await, 2);
    world.end().await;
}

/// Only `register` has read the new version: every other function reads its keys for the sake of the device that names
/// it, an hour before they are aged.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_another_function_has_read_first_is_looked_up() {
    let world = refreshing(3_600).await;
    let mut old = world.online("alice", "a").await;
    hears(&world, &mut old, "alice").await;
    old.ping().await;
    for (variable, letter) in DEVICE_KEYS.into_iter().zip(['c', 't']) {
        let first = world.root_key_texts(variable).await;
        let second = set(&[2], letter);
        world.put_root_keys(variable, &format!("{},{}", first.trim_end_matches('}'), &second[1..])).await;
    }
    restart_register(&world).await;
    let mut new = world.online("bob", "b").await;
    assert_eq!(signed_under(&new.identity), 2);
    assert_eq!(hears(&world, &mut new, "bob").await, 2);
    new.ping().await;
    assert_eq!(hears(&world, &mut old, "alice").await, 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_read_again_stay_as_they_are() {
    let world = refreshing(1).await;
    world.expect_errors("root keys were not refreshed");
    let mut alice = world.online("alice", "a").await;
    assert_eq!(hears(&world, &mut alice, "alice").await, 1);
    let rule = Rule::new(Fault::ServerError).operation("GetSecretValue").times(9);
    let struck = world.twin.faults().add(rule);
    eventually("the keys are aged", async || {
        assert_eq!(hears(&world, &mut alice, "alice").await, 1);
        // As often as it is tried: the SDK tries three times.
        world.twin.faults().hits(struck) == 9
    })
    .await;
    assert_eq!(hears(&world, &mut alice, "alice").await, 1);
    assert_eq!(refusal(&world, &alice.identity).await, None);
    world.end().await;
}

/// A function without its keys does not start: its log names purpose, secret and fault, and nothing of a value.
#[tokio::test(flavor = "multi_thread")]
async fn root_keys_that_cannot_be_used_stop_the_start_by_name() {
    let canary = "canary".repeat(10);
    for (text, fault) in [
        (canary.clone(), "the root keys are not a JSON object of version to secret"),
        ("{}".to_owned(), "there is no root key"),
        (format!(r#"{{"{canary}":"1"}}"#), "the name of member 1 is not a version of a root key"),
        (format!(r#"{{"2":"{}"}}"#, &canary[..31]), "root key 2 is shorter than 32 characters"),
        (format!(r#"{{"2":"{canary}","2":"{canary}"}}"#), "root key 2 occurs twice"),
    ] {
        let world = World::start().await;
        world.put_root_keys("TIDINGS_TOKEN_ROOT_KEYS", &text).await;
        world.expect_errors(fault);
        world.tolerate_errors("cannot be read from the secret");
        let mut lines = world.twin.functions().logs();
        let refused = world.backend().register(&World::registration("alice", "a")).await;
        assert!(refused.is_err(), "{fault}: {refused:?}");
        let mut log = String::new();
        while let Ok(line) = lines.try_recv() {
            log.push_str(&line.text);
        }
        assert!(log.contains("the root keys for tokens cannot be read from the secret"), "{fault}: {log}");
        assert!(log.contains("TokenRootKeys"), "{fault}: {log}");
        assert!(!log.contains(&canary[..31]), "{fault}: {log}");
        world.end().await;
    }
}
