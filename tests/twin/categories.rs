//! The categories of an app: an undeclared one is refused at once, by name.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use tidings_crypto::link;
use tidings_domain::{AppId, Timestamp, announcement, chain::Chains, digest, message, preferences::Unsubscribe};
use tidings_store::{Announced, Announcements, Stored};
use tidings_wire::{AnnounceRequest, Preferences, SendRequest, send::Channel, trail::State};

use crate::world::{APP, Answer, World, seconds, tidings};

const ALLOWED: &str = "must be one of the app's categories: alerts, news, orders";

impl World {
    fn announcements(&self) -> Announcements {
        Announcements::new(self.dynamodb(), self.vault(), self.twin.outputs()["DirectoryTableName"].clone())
    }

    /// Declares categories as an operator does. A function that has cached the app uses the old ones for a minute.
    async fn declare(&self, categories: &str) {
        let (table, url) = (self.twin.outputs()["DirectoryTableName"].clone(), self.twin.aws_url());
        let arguments = ["app", "categories", "--id", APP, "--directory-table", &table, "--aws-endpoint", url];
        let (done, output) = tidings(&[&arguments[..], &["--set", categories]].concat()).await;
        assert!(done, "{output}");
    }

    async fn ask_as(&self, bearer: &str, method: Method, path: &str, key: Option<&str>, body: &Value) -> Answer {
        let (url, bearer) = (format!("{}{path}", self.twin.api_url()), format!("Bearer {bearer}"));
        let headers = [("authorization", bearer.as_str())].into_iter().chain(key.map(|key| ("idempotency-key", key)));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.request(method, &url, &headers.collect::<Vec<_>>(), body).await
    }
}

fn preferences(value: Value) -> Preferences {
    Preferences::parse(value.as_object().unwrap().clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undeclared_category_is_refused_wherever_it_stands() {
    let world = World::start().await;
    world.declare("orders,news,alerts").await;
    let device = world.device("alice", "token").await;
    let (key, token) = (world.key.expose().to_owned(), device.connect_token(seconds()).unwrap());
    let (messages, announcements) = ((Method::POST, "/v1/messages"), (Method::POST, "/v1/announcements"));
    let (of_alice, own) = ((Method::PUT, "/v1/users/alice/preferences"), (Method::PUT, "/v1/preferences"));
    let quiet = |except: &[&str]| json!({"quietHours": {"from": "22:00", "to": "07:00", "except": except}});
    let before = world.items().await;
    for ((method, path), bearer, idempotency_key, body, fields) in [
        (&messages, &key, None, json!({"audiences": ["alice"], "alert": "x", "category": "order"}), &["category"][..]),
        (&messages, &key, Some("k"), json!({"audiences": ["alice"], "alert": "x", "category": "News"}), &["category"]),
        (&announcements, &key, None, json!({"alert": "x", "category": "order"}), &["category"]),
        (&announcements, &key, Some("k"), json!({"alert": "x", "category": "order"}), &["category"]),
        (&of_alice, &key, None, json!({"categories": {"order": {"muted": true}}}), &["categories.order"]),
        (&of_alice, &key, None, quiet(&["alerts", "alarm"]), &["quietHours.except[1]"]),
        (&own, &token, None, json!({"categories": {"news": {}, "nwes": {}}}), &["categories.nwes"]),
        (&own, &token, None, quiet(&["alarm", "news", "x"]), &["quietHours.except[0]", "quietHours.except[2]"]),
    ] {
        let answer = world.ask_as(bearer, method.clone(), path, idempotency_key, &body).await;
        let problem = answer.json();
        assert_eq!(
            (answer.status.as_u16(), &problem["code"]),
            (400, &json!("invalid_fields")),
            "{path} {body}: {problem}"
        );
        let expected: Value = fields.iter().map(|field| json!({"field": field, "detail": ALLOWED})).collect();
        assert_eq!(problem["errors"], expected, "{path} {body}");
    }
    assert_eq!(world.items().await, before);
    // Declared categories are accepted, and so is none at all.
    for ((method, path), bearer, body, status) in [
        (&messages, &key, json!({"audiences": ["alice"], "alert": "x", "category": "orders"}), 202),
        (&messages, &key, json!({"audiences": ["alice"], "alert": "x"}), 202),
        (&announcements, &key, json!({"alert": "x", "category": "news"}), 202),
        (&of_alice, &key, json!({"categories": {"orders": {"muted": true}}}), 200),
        (&own, &token, quiet(&["alerts"]), 200),
    ] {
        let answer = world.ask_as(bearer, method.clone(), path, None, &body).await;
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_accepted_before_is_answered_as_before() {
    let world = World::start().await;
    let app: AppId = APP.parse().unwrap();
    let (now, any) = (Timestamp::now(), BTreeSet::new());
    // The state that workers leave if they die before they answer.
    let body = json!({"audiences": ["alice"], "alert": "x", "category": "promotions"});
    let request = SendRequest::parse(body.as_object().unwrap().clone()).unwrap();
    let id = World::keyed(&app, "k");
    let message = message::accept(request, app.clone(), &Chains::default(), &any, id.clone(), now).unwrap();
    let stored = Stored::new(&message, vec!["alice".to_owned()], Some(digest(body.to_string().as_bytes())));
    assert_eq!(world.messages().store(&stored).await.unwrap(), None);
    let announced = json!({"alert": "x", "category": "promotions"});
    let request = AnnounceRequest::parse(announced.as_object().unwrap().clone()).unwrap();
    let draft = announcement::accept(request, app.clone(), &any, World::keyed(&app, "announcement\nk"), now).unwrap();
    let hash = digest(announced.to_string().as_bytes());
    let Announced::Now(receipt) = world.announcements().announce(&draft, &hash).await.unwrap() else {
        panic!("the first")
    };
    world.declare("orders").await;

    let key = world.key.expose();
    for (path, body) in [("/v1/messages", &body), ("/v1/announcements", &announced)] {
        let ask =
            async |key_of_it: &str, body: &Value| world.ask_as(key, Method::POST, path, Some(key_of_it), body).await;
        for _ in 0..2 {
            let repeat = ask("k", body).await;
            assert_eq!(repeat.status, 202, "{path}: {repeat:?}");
            assert_eq!(repeat.headers["idempotency-replay"], "true", "{path}");
            let known = if path == "/v1/messages" { id.as_str() } else { receipt.id.as_str() };
            assert_eq!(repeat.json()["requestId"], known);
        }
        // Under another key, or with another body, the category is the fault.
        let mut other = body.clone();
        other["alert"] = "y".into();
        for refused in [ask("another", body).await, ask("k", &other).await] {
            assert_eq!((refused.status.as_u16(), &refused.json()["errors"][0]["field"]), (400, &json!("category")));
        }
    }
    // The repeat completed the unfinished work.
    world.until(id.as_str(), State::Pending).await;
    let kept = world.announcements().before(&receipt.tenant, None, 10).await.unwrap().announcements;
    assert_eq!(kept.iter().map(|it| it.number).collect::<Vec<_>>(), [receipt.number]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_preferences_can_still_be_read_and_unsubscribed_from() {
    let world = World::start().await;
    let set = preferences(json!({
        "categories": {"promotions": {"muted": true}},
        "quietHours": {"from": "22:00", "to": "07:00", "except": ["alarms"]},
    }));
    let alice = World::user("alice");
    world.stores().users.set_preferences(&alice, &set).await.unwrap();
    world.declare("orders").await;
    assert_eq!(world.backend().preferences("alice", None).await.unwrap(), set);

    let roots = world.root_keys("TIDINGS_LINK_ROOT_KEYS").await;
    let claims = Unsubscribe { user: alice, channel: Channel::Email, category: Some("promotions".to_owned()) };
    let link = link::sign(&roots, APP, &serde_json::to_vec(&claims).unwrap());
    let answer = world.ask_as("", Method::POST, &format!("/v1/unsubscribe/{link}"), None, &Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut expected = serde_json::to_value(&set).unwrap();
    expected["categories"]["promotions"]["channels"] = json!({"email": false});
    assert_eq!(world.backend().preferences("alice", None).await.unwrap(), preferences(expected.clone()));
    // A PUT replaces all preferences: undeclared categories in it are refused, even if they were set before.
    let key = world.key.expose();
    let answer = world.ask_as(key, Method::PUT, "/v1/users/alice/preferences", None, &expected).await;
    let errors: Vec<_> = answer.json()["errors"].as_array().unwrap().iter().map(|it| it["field"].clone()).collect();
    assert_eq!(errors, ["categories.promotions", "quietHours.except[0]"]);
    world.end().await;
}
