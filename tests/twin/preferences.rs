//! Preferences of a person: set by a backend or a device, and checked against every step when it is due.

use http::Method;
use serde_json::{Value, json};
use tidings_client::DeviceApi;
use tidings_crypto::{encoding::percent, link};
use tidings_domain::preferences::Unsubscribe;
use tidings_wire::{
    Preferences, RegisterRequest, Timestamp,
    preferences::{QuietHours, WallTime},
    send::{Channel, FallbackStep},
    trail::{Event, RecipientTrail, State},
};

use crate::world::{APP, NAMES, World};

fn preferences(value: Value) -> Preferences {
    Preferences::parse(value.as_object().unwrap().clone()).unwrap()
}

fn chain(channels: &[Channel]) -> Option<Vec<FallbackStep>> {
    Some(channels.iter().map(|channel| FallbackStep { channel: *channel, after: None }).collect())
}

/// The outcome of each step: channel and reason, or that it was accepted.
fn steps(trail: &RecipientTrail) -> Vec<(String, Option<String>)> {
    let ended = trail.transitions.iter().filter(|it| matches!(it.event, Event::StepSkipped | Event::StepAccepted));
    ended.map(|it| (it.channel.clone().unwrap(), it.code.clone().filter(|_| it.event == Event::StepSkipped))).collect()
}

impl World {
    async fn prefer(&self, alias: &str, value: Value) {
        self.backend().set_preferences(alias, None, &preferences(value)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_and_a_device_set_the_same_ones() {
    let world = World::start().await;
    let backend = world.backend();
    let identity = world.device("alice", "token").await;
    let device = DeviceApi::new(&world.twin.api_url(), identity).unwrap();
    assert_eq!(device.preferences().await.unwrap(), Preferences::default(), "everything is welcome");

    let first = preferences(json!({
        "channels": {"sms": false}, "categories": {"orders": {"channels": {"sms": true}}},
        "quietHours": {"from": "22:00", "to": "07:00", "except": ["alerts"]}, "timeZone": "Asia/Shanghai",
        "language": "zh-CN",
    }));
    assert_eq!(backend.set_preferences("alice", None, &first).await.unwrap(), first);
    assert_eq!(device.preferences().await.unwrap(), first);
    // It replaces everything that was set before.
    let second = preferences(json!({"muted": true}));
    assert_eq!(device.set_preferences(&second).await.unwrap(), second);
    assert_eq!(backend.preferences("alice", None).await.unwrap(), second);

    // Another registration leaves them alone, and alice of another tenant is another user.
    world.device("alice", "another token").await;
    assert_eq!(device.preferences().await.unwrap(), second);
    assert_eq!(backend.preferences("alice", Some("north")).await.unwrap(), Preferences::default());
    // A user without a device may have preferences too.
    backend.set_preferences("bob", Some("north"), &first).await.unwrap();
    assert_eq!(backend.preferences("bob", Some("north")).await.unwrap(), first);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_alias_has_separate_preferences() {
    let world = World::start().await;
    let of = |at: usize| preferences(json!({"language": format!("x-{at}")}));
    // By raw requests: the client refuses names that API Gateway may decode twice.
    let ask = async |method, alias: &str, tenant: Option<&str>, body: Value| {
        let query = tenant.map(|tenant| format!("?tenantCode={tenant}")).unwrap_or_default();
        let path = format!("/v1/users/{}/preferences{query}", percent(alias));
        preferences(world.ask(method, &path, world.key.expose(), &body).await.json())
    };
    for tenant in [None, Some("north")] {
        for (at, alias) in NAMES.iter().enumerate() {
            let before = ask(Method::GET, alias, tenant, Value::Null).await;
            assert_eq!(before, Preferences::default(), "{alias} {tenant:?}");
            let wanted = serde_json::to_value(of(at)).unwrap();
            assert_eq!(ask(Method::PUT, alias, tenant, wanted).await, of(at));
        }
        for (at, alias) in NAMES.iter().enumerate() {
            assert_eq!(ask(Method::GET, alias, tenant, Value::Null).await, of(at), "{alias} {tenant:?}");
        }
    }
    // They belong to the user who registers under the alias.
    let identity = world.device(NAMES[0], "token").await;
    let device = DeviceApi::new(&world.twin.api_url(), identity).unwrap();
    assert_eq!(device.preferences().await.unwrap(), of(0));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_field_is_named_and_nothing_is_changed() {
    let world = World::start().await;
    let identity = world.device("alice", "token").await;
    world.prefer("alice", json!({"muted": true})).await;
    let before = world.items().await;
    let key = world.key.expose().to_owned();
    let token = identity.connect_token(crate::world::seconds()).unwrap();
    let of_alice = "/v1/users/alice/preferences";
    let long = format!("/v1/users/{}/preferences", "a".repeat(129));
    let rows = [
        (of_alice, &key, json!({"muted": 1}), 400, "invalid_fields", "muted"),
        (of_alice, &key, json!({"channels": {"pigeon": true}}), 400, "invalid_fields", "channels.pigeon"),
        (of_alice, &key, json!({"categories": {"news": {"sms": false}}}), 400, "invalid_fields", "categories.news.sms"),
        (
            of_alice,
            &key,
            json!({"quietHours": {"from": "25:00", "to": "07:00"}}),
            400,
            "invalid_fields",
            "quietHours.from",
        ),
        (of_alice, &key, json!({"timeZone": "Mars/Olympus"}), 400, "invalid_fields", "timeZone"),
        ("/v1/preferences", &token, json!({"timeZone": "Berlin"}), 400, "invalid_fields", "timeZone"),
        (long.as_str(), &key, json!({}), 400, "invalid_fields", "alias"),
        ("/v1/users/alice/preferences?alias=bob", &key, json!({}), 400, "invalid_fields", "alias"),
        ("/v1/users/alice/preferences?tenant=x", &key, json!({}), 400, "invalid_fields", "tenant"),
        (of_alice, &key, json!([]), 400, "not_json", ""),
        (of_alice, &token, json!({}), 401, "wrong_app_key", ""),
        ("/v1/preferences", &key, json!({}), 401, "wrong_token", ""),
    ];
    for (path, bearer, body, status, code, field) in rows {
        let answer = world.ask(Method::PUT, path, bearer, &body).await;
        let problem = answer.json();
        assert_eq!(
            (answer.status.as_u16(), problem["code"].as_str()),
            (status, Some(code)),
            "{path} {body}: {problem}"
        );
        assert_eq!(problem["errors"][0]["field"].as_str().unwrap_or_default(), field, "{path} {body}: {problem}");
        assert!(answer.headers.contains_key("content-type") && problem["requestId"].is_string(), "{problem}");
    }
    let registration = RegisterRequest { time_zone: Some("Nowhere".into()), ..World::registration("alice", "token") };
    let refused = world.backend().register(&registration).await.unwrap_err();
    assert!(refused.to_string().contains("timeZone"), "{refused}");
    assert_eq!(world.items().await, before);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_muted_step_is_skipped_with_its_reason() {
    let world = World::start().await;
    world.reachable("alice").await;
    let send = async |category: &str| {
        world
            .send_with(&["alice"], "Hello", |request| {
                request.fallback = chain(&[Channel::Sms, Channel::Email]);
                request.content.category = Some(category.to_owned());
            })
            .await
    };
    let skipped = |channel: &str, reason: &str| (channel.to_owned(), Some(reason.to_owned()));
    let accepted = |channel: &str| (channel.to_owned(), None);

    world.prefer("alice", json!({"channels": {"sms": false}, "categories": {"news": {"muted": true}}})).await;
    let trail = world.until(&send("orders").await, State::FallbackDelivered).await;
    assert_eq!(steps(&trail), [skipped("sms", "channel_off"), accepted("email")]);
    let trail = world.until(&send("news").await, State::Suppressed).await;
    assert_eq!(steps(&trail), [skipped("sms", "category_muted"), skipped("email", "category_muted")]);

    world.prefer("alice", json!({"muted": true, "channels": {"sms": true}})).await;
    let trail = world.until(&send("orders").await, State::Suppressed).await;
    assert_eq!(steps(&trail), [skipped("sms", "muted"), skipped("email", "muted")]);

    // Around the current hour, in the zone that the phone was registered with.
    let hour = |offset: i64| {
        let hour = (Timestamp::now().seconds() / 3_600 + 8 + offset).rem_euclid(24);
        WallTime::new(u8::try_from(hour).unwrap(), 0).unwrap()
    };
    let quiet = Preferences {
        quiet_hours: Some(QuietHours { from: hour(-1), to: hour(2), except: vec!["alerts".to_owned()] }),
        ..Preferences::default()
    };
    world.backend().set_preferences("alice", None, &quiet).await.unwrap();
    let zone = Some("Asia/Shanghai".to_owned());
    world
        .backend()
        .register(&RegisterRequest { time_zone: zone, ..World::registration("alice", "alice") })
        .await
        .unwrap();
    let trail = world.until(&send("orders").await, State::Suppressed).await;
    assert_eq!(steps(&trail), [skipped("sms", "quiet_hours"), skipped("email", "quiet_hours")]);
    let trail = world.until(&send("alerts").await, State::FallbackDelivered).await;
    assert_eq!(steps(&trail)[0], accepted("sms"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preferences_at_the_moment_of_a_step_decide() {
    let world = World::start().await;
    world.reachable("alice").await;
    let id = world
        .send_with(&["alice"], "Hello", |request| {
            request.fallback = Some(vec![FallbackStep { channel: Channel::Sms, after: Some(2) }]);
        })
        .await;
    world.prefer("alice", json!({"channels": {"sms": false}})).await;
    let trail = world.until(&id, State::Suppressed).await;
    assert_eq!(steps(&trail), [("sms".to_owned(), Some("channel_off".to_owned()))]);
    assert!(world.outbox().await.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_post_to_the_link_of_an_email_stops_emails_like_it() {
    let world = World::start().await;
    world.reachable("alice").await;
    let send = async |category: Option<&str>| {
        world
            .send_with(&["alice"], "Hello", |request| {
                request.fallback = chain(&[Channel::Email]);
                request.content.category = category.map(str::to_owned);
            })
            .await
    };
    world.until(&send(Some("news")).await, State::FallbackDelivered).await;
    let outbox = world.outbox().await;
    let headers = &outbox[0]["headers"];
    assert_eq!(headers["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click");
    let url = headers["List-Unsubscribe"].as_str().unwrap().trim_matches(['<', '>']).to_owned();
    assert!(url.starts_with(&format!("{}/v1/unsubscribe/1.", world.twin.api_url())), "{url}");
    let page = outbox[0]["html"].as_str().unwrap();
    assert!(page.contains("<p>Hello</p>") && page.contains(&format!("<a href=\"{url}\">Unsubscribe</a>")), "{page}");
    assert_eq!(outbox[0]["text"], "Hello");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let ask = async |method: Method, url: &str| world.request(method, url, &form, "List-Unsubscribe=One-Click").await;

    // A GET changes nothing, and returns the form that does.
    let page = ask(Method::GET, &url).await;
    let text = String::from_utf8_lossy(&page.body);
    assert!(
        page.status == 200 && text.contains(r#"<form method="post"><button>Unsubscribe</button></form>"#),
        "{text}"
    );
    assert!(page.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    assert_eq!(world.backend().preferences("alice", None).await.unwrap(), Preferences::default());

    for _ in 0..2 {
        assert_eq!(ask(Method::POST, &url).await.status, 200);
    }
    let wanted = json!({"categories": {"news": {"channels": {"email": false}}}});
    assert_eq!(world.backend().preferences("alice", None).await.unwrap(), preferences(wanted));
    let trail = world.until(&send(Some("news")).await, State::Suppressed).await;
    assert_eq!(steps(&trail), [("email".to_owned(), Some("channel_off".to_owned()))]);
    world.until(&send(Some("orders")).await, State::FallbackDelivered).await;

    // A link cannot be forged, nor turned into another one.
    let (rest, last) = url.split_at(url.len() - 1);
    let other = if last == "A" { "B" } else { "A" };
    for wrong in
        [format!("{rest}{other}"), url.replace("/1.", "/2."), format!("{}/v1/unsubscribe/alice", world.twin.api_url())]
    {
        assert_eq!(ask(Method::POST, &wrong).await.json()["code"], "not_found", "{wrong}");
    }

    // A link without a category covers all of them.
    world.until(&send(None).await, State::FallbackDelivered).await;
    let url = world.outbox().await.last().unwrap()["headers"]["List-Unsubscribe"].as_str().unwrap().to_owned();
    assert_eq!(ask(Method::POST, url.trim_matches(['<', '>'])).await.status, 200);
    world.until(&send(Some("orders")).await, State::Suppressed).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_links_that_are_followed_at_once_both_hold() {
    let world = World::start().await;
    let roots = world.root_keys("TIDINGS_LINK_ROOT_KEYS").await;
    let follow = async |alias: &str, category: &str| {
        let claims =
            Unsubscribe { user: World::user(alias), channel: Channel::Email, category: Some(category.to_owned()) };
        let link = link::sign(&roots, APP, &serde_json::to_vec(&claims).unwrap());
        let url = format!("{}/v1/unsubscribe/{link}", world.twin.api_url());
        world.request(Method::POST, &url, &[], String::new()).await.status
    };
    let off = json!({"channels": {"email": false}});
    for round in 0..40 {
        // Without earlier preferences, and with some.
        let alias = format!("reader {round}");
        for (one, other) in [("news", "orders"), ("offers", "alerts")] {
            let (first, second) = tokio::join!(follow(&alias, one), follow(&alias, other));
            assert_eq!((first.as_u16(), second.as_u16()), (200, 200), "round {round}");
            let stored = serde_json::to_value(world.backend().preferences(&alias, None).await.unwrap()).unwrap();
            assert!(stored["categories"][one] == off && stored["categories"][other] == off, "round {round}: {stored}");
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_email_goes_out_without_a_link_rather_than_with_one_that_is_too_long() {
    let world = World::start().await;
    let (alias, category) = ("长".repeat(128), "类".repeat(64));
    world.reachable(&alias).await;
    let id = world
        .send_with(&[&alias], "Hello", |request| {
            request.fallback = chain(&[Channel::Email]);
            request.content.category = Some(category);
        })
        .await;
    world.until(&id, State::FallbackDelivered).await;
    assert_eq!(world.outbox().await[0]["headers"], Value::Null);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_muted_message_still_reaches_an_open_page() {
    let world = World::start().await;
    world.prefer("alice", json!({"muted": true})).await;
    let mut socket = world.online("alice", "token").await;
    socket.sync(None).await;
    let id = world.send(&["alice"], "Hello").await;
    assert_eq!(socket.message().await.id, id);
    world.end().await;
}
