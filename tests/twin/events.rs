//! One event for every route and trigger, as AWS sends it, fed to its function.

use bytes::Bytes;
use serde_json::Value;
use tidings_crypto::app_key::AppKey;
use tidings_domain::{Connection, Timestamp};

use crate::world::{World, repository};

/// Every file of `events/`, its function, and the function's answer: a status, or no failed record.
const EVENTS: &[(&str, &str, Answer)] = &[
    ("http-register", "RegisterFunction", Answer::Status(201)),
    ("http-device-get", "RegisterFunction", Answer::Status(200)),
    ("http-send", "SendFunction", Answer::Status(202)),
    ("http-trail", "SendFunction", Answer::Status(200)),
    ("http-cancel", "SendFunction", Answer::Status(200)),
    ("http-announce", "SendFunction", Answer::Status(202)),
    ("http-announcements", "SendFunction", Answer::Status(200)),
    ("http-announcement-get", "SendFunction", Answer::Status(200)),
    ("http-announcement-withdraw", "SendFunction", Answer::Status(200)),
    ("http-item-put", "SendFunction", Answer::Status(200)),
    ("http-item-get", "SendFunction", Answer::Status(200)),
    ("http-inbox", "InboxFunction", Answer::Signed(200)),
    ("http-inbox-unread", "InboxFunction", Answer::Signed(200)),
    ("http-user-preferences-put", "RegisterFunction", Answer::Status(200)),
    ("http-user-preferences-get", "RegisterFunction", Answer::Status(200)),
    ("http-preferences-put", "RegisterFunction", Answer::Signed(200)),
    ("http-preferences-get", "RegisterFunction", Answer::Signed(200)),
    // Signed by another deployment.
    ("http-unsubscribe", "RegisterFunction", Answer::Status(404)),
    ("http-unknown-route", "SendFunction", Answer::Status(404)),
    // Its token was good for one minute of one day.
    ("ws-connect", "ConnectFunction", Answer::Status(401)),
    ("ws-ping", "HeartbeatFunction", Answer::Frame("pong")),
    ("ws-default", "HeartbeatFunction", Answer::Frame("error")),
    ("ws-sync", "SyncFunction", Answer::Frame("synced")),
    ("ws-ack", "SyncFunction", Answer::Frame("error")),
    ("ws-read", "SyncFunction", Answer::Frame("error")),
    ("ws-state", "SyncFunction", Answer::Status(200)),
    ("ws-disconnect", "DisconnectFunction", Answer::Status(200)),
    ("sqs-deliver", "DeliverFunction", Answer::NoFailures),
    ("sqs-bulk", "DeliverFunction", Answer::NoFailures),
    ("sqs-later", "TimerFunction", Answer::NoFailures),
    ("schedule-timer", "TimerFunction", Answer::NoFailures),
    ("sqs-fallback", "FallbackFunction", Answer::NoFailures),
    // Of an announcement of another day: no device is pushed to.
    ("sqs-fanout", "FanoutFunction", Answer::NoFailures),
    ("http-device-delete", "RegisterFunction", Answer::Status(204)),
];

#[derive(Clone, Copy, Debug)]
enum Answer {
    Status(u64),
    /// This status with a token of today; 401 with its own, which was valid for one minute of one day.
    Signed(u64),
    /// A frame of this type, sealed for the device.
    Frame(&'static str),
    NoFailures,
}

fn read(name: &str) -> Value {
    let path = repository().join("events").join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_understood_by_its_function() {
    let mut files: Vec<String> = std::fs::read_dir(repository().join("events"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    let mut named: Vec<&str> = EVENTS.iter().map(|(name, ..)| *name).collect();
    named.sort_unstable();
    assert_eq!(files, named, "every file is fed, and every row has its file");

    // The events' app and key are in no world.
    let world = World::start().await;
    let table = world.twin.outputs()["DirectoryTableName"].clone();
    let clear = world.dynamodb().delete_item().table_name(table);
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    clear.key("pk", text("app#demo")).key("sk", text("app")).send().await.unwrap();
    let authorization = read("http-send")["headers"]["authorization"].as_str().unwrap().to_owned();
    let key = AppKey::parse(authorization.strip_prefix("Bearer ").unwrap()).unwrap();
    world.create_app(&key, Vec::new()).await;

    let mut identity = None;
    for (name, function, expected) in EVENTS {
        let mut event = read(name);
        let mut answer = invoke(&world, function, &event).await;
        match expected {
            Answer::Status(status) => assert_eq!(answer["statusCode"], *status, "{name}: {answer}"),
            Answer::Signed(status) => {
                assert_eq!(answer["statusCode"], 401, "{name}: {answer}");
                let identity: &tidings_client::Identity = identity.as_ref().unwrap();
                let token = identity.connect_token(crate::world::seconds()).unwrap();
                event["headers"]["authorization"] = format!("Bearer {token}").into();
                answer = invoke(&world, function, &event).await;
                assert_eq!(answer["statusCode"], *status, "{name}: {answer}");
            }
            Answer::NoFailures => assert_eq!(answer, serde_json::json!({"batchItemFailures": []}), "{name}"),
            Answer::Frame(kind) => {
                let identity: &tidings_client::Identity = identity.as_ref().unwrap();
                let opened =
                    identity.open(answer["body"].as_str().unwrap_or_else(|| panic!("{name}: {answer}"))).unwrap();
                let frame: Value = serde_json::from_slice(&opened).unwrap();
                assert_eq!(frame["type"], *kind, "{name}: {frame}");
            }
        }
        if *name == "http-register" {
            let registered = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
            identity = Some(tidings_client::Identity::from_answer(&registered).unwrap());
        }
        if *name == "ws-connect" {
            connect(&world, &event, identity.as_ref().unwrap().id()).await;
        }
    }
    world.end().await;
}

/// A path of each function of the HTTP API, and its event.
const HTTP_FUNCTIONS: [(&str, &str); 3] =
    [("RegisterFunction", "http-device-get"), ("SendFunction", "http-trail"), ("InboxFunction", "http-inbox")];

#[tokio::test(flavor = "multi_thread")]
async fn no_query_and_no_host_of_a_client_is_a_fault() {
    let world = World::start().await;
    for (function, name) in HTTP_FUNCTIONS {
        let plain = invoke(&world, function, &read(name)).await;
        assert_eq!(plain["statusCode"], 401, "the app is another one: {plain}");
        for query in ["a=<", "a=\"", "a= b", "a=\u{7f}", "a=\u{1}", "a=\\^`{|}", "a=é", "a=%", "#", "?", "&&=&"] {
            let mut event = read(name);
            event["rawQueryString"] = query.into();
            assert_eq!(invoke(&world, function, &event).await["statusCode"], 401, "{function}: {query:?}");
        }
        for host in ["", " ", "<", "a b", "[::1", "a@b:x", "http://", "é", "\u{7f}", "a/b?c#d"] {
            let mut event = read(name);
            event["headers"]["host"] = host.into();
            assert_eq!(invoke(&world, function, &event).await["statusCode"], 401, "{function}: {host:?}");
        }
        for path in ["", "/", "//", "/v1/<", "/v1/\u{7f}", "/v1/ ", "no slash", "*", "/v1/é?x#y"] {
            let mut event = read(name);
            (event["rawPath"], event["routeKey"], event["requestContext"]["routeKey"]) =
                (path.into(), "$default".into(), "$default".into());
            assert_eq!(invoke(&world, function, &event).await["statusCode"], 404, "{function}: {path:?}");
        }
    }
    world.end().await;
}

async fn invoke(world: &World, function: &str, event: &Value) -> Value {
    let answer = world.twin.functions().invoke(function, Bytes::from(event.to_string()), &[]).await;
    serde_json::from_slice(&answer.unwrap_or_else(|error| panic!("{function}: {error}"))).unwrap()
}

/// Records the connection as the connect event would have in its minute.
async fn connect(world: &World, event: &Value, device: &str) {
    let now = Timestamp::now();
    let connection = Connection {
        id: event["requestContext"]["connectionId"].as_str().unwrap().parse().unwrap(),
        device: device.parse().unwrap(),
        generation: 1,
        key_version: 1,
        platform: tidings_wire::Platform::Web.into(),
        connected: now,
        lease: now.plus_seconds(600),
    };
    world.stores().connections.connect(&World::user("alice"), &connection, "jti", now).await.unwrap();
}
