//! The console's listener: the page and its origin, and the users and messages that it lists. The page itself is tested
//! in a browser, in `tests/console`.

use http::{Method, header};
use serde_json::{Value, json};
use tidings_wire::{Timestamp, trail::State};

use crate::world::{Answer, World, eventually};

async fn world() -> World {
    World::with(|options| options.console_port = Some(0)).await
}

impl World {
    /// Requests a path of the console's listener.
    async fn page(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.request(method, &format!("{}{path}", self.twin.console_url().unwrap()), headers, body).await
    }

    async fn shown(&self, path: &str) -> Value {
        self.control(Method::GET, path, None).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_has_one_origin_and_knows_the_app_that_was_introduced() {
    let world = world().await;
    let get = async |path: &str| world.page(Method::GET, path, &[], &Value::Null).await;
    assert_eq!(get("/config.json").await.json()["appKey"], Value::Null);
    world.additions.console.introduce(world.key.app_id(), world.key.expose());
    let config = get("/config.json").await;
    let expected = json!({
        "apiUrl": "", "socketUrl": world.twin.socket_url(), "appId": "demo", "appKey": world.key.expose(), "twin": true,
    });
    assert_eq!((config.json(), &config.headers[header::CACHE_CONTROL]), (expected, &"no-store".parse().unwrap()));

    for (path, kind) in [
        ("/", "text/html"),
        ("/app.js", "text/javascript"),
        ("/panels/send.js", "text/javascript"),
        ("/openapi.yaml", "text/plain"),
    ] {
        let file = get(path).await;
        assert_eq!(file.status, 200, "{path}");
        assert!(file.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with(kind), "{path}");
        assert!(file.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'; "));
        assert_eq!(file.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
    // Everything else is answered by the two APIs.
    assert_eq!(get("/_twin/queues").await.json().as_array().unwrap().len(), 10);
    assert_eq!(get("/nothing").await.json()["code"], "no_route");
    let body = json!({"audiences": ["alice"]});
    assert_eq!(world.page(Method::POST, "/v1/messages", &[], &body).await.json()["code"], "no_app_key");
    let bearer = format!("Bearer {}", world.key.expose());
    let refused = world.page(Method::POST, "/v1/messages", &[("authorization", &bearer)], &body).await;
    assert_eq!(refused.json()["errors"][0]["field"], "alert");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_pages_get_no_answer() {
    let world = world().await;
    let own = world.twin.console_url().unwrap().to_owned();
    let port = own.rsplit(':').next().unwrap();
    let rebound = format!("evil.example:{port}");
    let fire = async |headers: &[(&str, &str)]| {
        world.page(Method::POST, "/_twin/schedules/fire", headers, &Value::Null).await.status.as_u16()
    };
    assert_eq!(fire(&[]).await, 200, "no page at all: curl");
    assert_eq!(fire(&[("origin", &own)]).await, 200);
    assert_eq!(fire(&[("origin", "http://evil.example")]).await, 403);
    assert_eq!(fire(&[("origin", "http://127.0.0.1:1")]).await, 403, "another server on this machine");
    assert_eq!(fire(&[("origin", "null")]).await, 403);
    assert_eq!(fire(&[("host", &rebound), ("origin", &format!("http://{rebound}"))]).await, 403);
    for path in ["/config.json", "/", "/_twin/outbox", "/v1/devices/x"] {
        assert_eq!(world.page(Method::GET, path, &[("host", &rebound)], &Value::Null).await.status, 403, "{path}");
        // Another origin's page may send the request, but its browser does not let it read the answer.
        let answer = world.page(Method::GET, path, &[("origin", "http://evil.example")], &Value::Null).await;
        assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{path}: {answer:?}");
        assert_eq!(answer.headers["cross-origin-resource-policy"], "same-origin", "{path}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_of_aws_serves_programs_and_no_page() {
    let world = world().await;
    let url = |path: &str| format!("{}{path}", world.twin.aws_url());
    let fire = async |headers: &[(&str, &str)]| {
        world.request(Method::POST, &url("/_twin/schedules/fire"), headers, "null").await.status.as_u16()
    };
    assert_eq!(fire(&[]).await, 200, "no page at all: curl");
    for origin in [world.twin.aws_url(), world.twin.console_url().unwrap(), "http://evil.example", "null"] {
        assert_eq!(fire(&[("origin", origin)]).await, 403, "{origin}");
    }
    let rebound = [("host", "evil.example:7402")];
    assert_eq!(world.request(Method::GET, &url("/_twin/outbox"), &rebound, "").await.status, 403);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_listed_newest_first_with_the_trail_of_the_service() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let first = world.send(&["alice"], "first").await;
    let message = alice.message().await;
    alice.ack(&message).await;
    world.until(&first, State::Confirmed).await;
    let many: Vec<String> = (0..30).map(|n| format!("user-{n}")).collect();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    let second = world.send(&names, "second").await;
    eventually("it is stored for all", async || {
        world.trail(&second).await.recipients.iter().all(|recipient| recipient.state == State::Pending)
    })
    .await;
    let third = world.send_with(&["bob"], "third", |request| request.send_at = Some(after(3_600))).await;

    let page = world.shown("/_twin/messages").await;
    let of = |page: &Value, what: &str| -> Vec<Value> {
        page["messages"].as_array().unwrap().iter().map(|message| message[what].clone()).collect()
    };
    assert_eq!(of(&page, "requestId"), [third.as_str(), second.as_str(), first.as_str()]);
    assert_eq!(of(&page, "alert"), ["third", "second", "first"]);
    assert_eq!(of(&page, "recipientCount"), [1, 30, 1]);
    assert_eq!(of(&page, "states"), [json!({"scheduled": 1}), json!({"pending": 30}), json!({"confirmed": 1})]);
    assert_eq!(of(&page, "priority"), ["high", "normal", "high"]);
    assert_eq!((page["total"].as_u64(), page.get("next")), (Some(3), None));
    let counts = page["perSecond"]["counts"].as_array().unwrap();
    assert_eq!((counts.len(), counts.iter().filter_map(Value::as_u64).sum::<u64>()), (120, 3));
    // A list shows some of the recipients, a single message all of them.
    assert_eq!(page["messages"][1]["recipients"].as_array().unwrap().len(), 20);
    for id in [&first, &second, &third] {
        let shown = world.shown(&format!("/_twin/messages/{id}")).await;
        let trail = serde_json::to_value(world.trail(id).await).unwrap();
        for (name, value) in trail.as_object().unwrap() {
            assert_eq!(&shown[name], value, "{name} of {id}");
        }
    }

    // Page by page, the result is the same.
    let mut place = String::new();
    let mut paged = Vec::new();
    loop {
        let page = world.shown(&format!("/_twin/messages?limit=1{place}")).await;
        paged.extend(of(&page, "requestId"));
        let Some(next) = page["next"].as_str() else { break };
        place = format!("&before={next}");
    }
    assert_eq!(paged, of(&page, "requestId"));
    for unknown in ["no-id", "0193a2b4-6c7d-7e8f-9a0b-1c2d3e4f5061"] {
        let url = format!("{}/_twin/messages/{unknown}", world.twin.aws_url());
        assert_eq!(world.request(Method::GET, &url, &[], "").await.status, 404, "{unknown}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_by_user_by_text_and_by_state_and_not_only_among_the_newest() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    let first = world.send(&["alice"], "Your Parcel is here").await;
    let message = alice.message().await;
    alice.ack(&message).await;
    world.until(&first, State::Confirmed).await;
    let many: Vec<String> = (0..30).map(|n| format!("user{n}")).chain(["alice".to_owned()]).collect();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    let bulk = world.send(&names, "News for all").await;
    let of_acme = world.send_with(&["alice"], "Hello", |request| request.tenant_code = Some("acme".to_owned())).await;
    let data = json!({"order": "AB-4711", "note": "a parcel, too"});
    let extra = world.send_with(&["user1"], "Hello", |request| request.content.extra = Some(data)).await;
    let later = world.send_with(&["user10"], "later", |request| request.send_at = Some(after(3_600))).await;
    eventually("all are stored", async || {
        let mut stored = true;
        for id in [&bulk, &extra] {
            stored &= world.trail(id).await.recipients.iter().all(|recipient| recipient.state == State::Pending);
        }
        stored
    })
    .await;
    world.until(&of_acme, State::Pending).await;

    for (query, expected) in [
        ("alias=alice", vec![&of_acme, &bulk, &first]),
        ("alias=alice&tenant=", vec![&bulk, &first]),
        ("alias=alice&tenant=acme", vec![&of_acme]),
        ("tenant=acme", vec![&of_acme]),
        ("tenant=other", vec![]),
        // Exactly this user, and none whose name only begins so.
        ("alias=user1", vec![&extra, &bulk]),
        ("alias=Alice", vec![]),
        // A text in any case, also within the app's own data.
        ("text=parcel", vec![&extra, &first]),
        ("text=ab-4711", vec![&extra]),
        ("text=PARCEL%20IS", vec![&first]),
        ("text=nothing", vec![]),
        ("state=confirmed", vec![&first]),
        ("state=scheduled", vec![&later]),
        ("state=pending", vec![&extra, &of_acme, &bulk]),
        // All parameters have to match; the state is that of the given user.
        ("alias=alice&state=pending&text=news", vec![&bulk]),
        ("alias=alice&state=confirmed", vec![&first]),
        ("alias=user1&state=confirmed", vec![]),
        ("alias=&text=&state=", vec![&later, &extra, &of_acme, &bulk, &first]),
    ] {
        let page = world.shown(&format!("/_twin/messages?{query}")).await;
        let found: Vec<&str> =
            page["messages"].as_array().unwrap().iter().map(|it| it["requestId"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{query}");
        assert_eq!((page["total"].as_u64(), page.get("next")), (Some(5), None), "{query}");
    }

    // The given user is among the recipients that a list shows, however many there are.
    let page = world.shown("/_twin/messages?alias=user29").await;
    assert_eq!(page["messages"][0]["recipients"][0]["alias"], "user29");
    assert_eq!(page["messages"][0]["recipients"].as_array().unwrap().len(), 20);

    // Pages hold only matches, and each begins after the one before it.
    let (mut place, mut paged) = (String::new(), Vec::new());
    loop {
        let page = world.shown(&format!("/_twin/messages?limit=1&state=pending{place}")).await;
        paged.extend(page["messages"].as_array().unwrap().iter().map(|it| it["requestId"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        place = format!("&before={next}");
    }
    assert_eq!(paged, [extra, of_acme, bulk]);

    for (query, reason) in [
        ("state=lost", "`state` must be one of scheduled, accepted"),
        ("x=1", "there is no parameter \"x\"; there are limit, before, alias, text, state, tenant"),
        ("before=zz", "`before` takes the `next` of the page before"),
        ("before=1.zz", "`before` takes the `next` of the page before"),
        ("before=", "`before` takes the `next` of the page before"),
        ("limit=0", "`limit` is \"0\"; it takes a whole number from 1 to 100"),
        ("limit=ten", "`limit` is \"ten\"; it takes"),
        ("state=pending&state=pending", "`state` is given twice"),
        ("Alias=alice", "there is no parameter \"Alias\""),
    ] {
        refused(&world, &format!("/_twin/messages?{query}"), reason).await;
    }
    refused(&world, &format!("/_twin/messages/{first}?limit=1"), "takes no parameters").await;
    world.end().await;
}

/// Checks that the control API refuses a request with this reason.
async fn refused(world: &World, path: &str, reason: &str) {
    let answer = world.request(Method::GET, &format!("{}{path}", world.twin.aws_url()), &[], "").await;
    let message = answer.json()["message"].as_str().unwrap_or_default().to_owned();
    assert!(answer.status == 400 && message.contains(reason), "{path}: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_listed_with_their_devices_and_connections() {
    let world = World::start().await;
    let mut registration = World::registration("alice", "a");
    registration.mobile = Some("+8613800138000".to_owned());
    world.backend().register(&registration).await.unwrap();
    let mut alice = world.online("alice", "a").await;
    let away = world.device("alice", "b").await;
    // Carol has a mailbox and no device; no other user comes between the two.
    let id = world.send(&["carol", "alice"], "hello").await;
    let message = alice.message().await;
    alice.ack(&message).await;
    eventually("it is in both mailboxes", async || {
        world.trail(&id).await.recipients.iter().all(|recipient| recipient.position.is_some())
    })
    .await;

    let page = world.shown("/_twin/devices").await;
    assert_eq!(page.get("next"), None);
    let [user, carol] = page["users"].as_array().unwrap().as_slice() else { panic!("{page}") };
    assert_eq!((&user["appId"], &user["alias"], &user["head"]["seq"]), (&json!("demo"), &json!("alice"), &json!(1)));
    assert_eq!(user["profile"], json!({"mobile": "+8613800138000"}));
    assert_eq!((&carol["alias"], &carol["devices"], &carol["head"]["seq"]), (&json!("carol"), &json!([]), &json!(1)));
    let devices = user["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 2);
    for device in devices {
        let connections = device["connections"].as_array().unwrap();
        let expected = usize::from(device["id"] == alice.identity.id());
        assert_eq!(connections.len(), expected, "{device}");
        assert!(expected == 1 || device["id"] == away.id());
    }

    // One user, if there are records of that user.
    let one = async |query: &str| world.shown(&format!("/_twin/devices?appId=demo&{query}")).await["users"].clone();
    assert_eq!((one("alias=alice").await, one("alias=carol").await), (json!([user]), json!([carol])));
    for unknown in ["alias=alic", "alias=Alice", "alias=alice&tenant=acme"] {
        assert_eq!(one(unknown).await, json!([]), "{unknown}");
    }
    let url = format!("{}/_twin/devices?alias=alice", world.twin.aws_url());
    assert_eq!(world.request(Method::GET, &url, &[], "").await.status, 400, "the app is missing");

    for (query, reason) in [
        ("x=1", "there is no parameter \"x\"; there are limit, after, appId, alias, tenant"),
        ("limit=0", "`limit` is \"0\"; it takes a whole number from 1 to 100"),
        ("limit=101", "`limit` is \"101\"; it takes"),
        ("after=zz", "`after` takes the `next` of the page before"),
        ("appId=demo", "`appId` and `tenant` need the `alias` of a user"),
        ("alias=alice", "`alias` needs the `appId` of an app"),
        ("appId=demo&alias=alice&alias=bob", "`alias` is given twice"),
        ("appId=demo&alias=alice&tenantCode=acme", "there is no parameter \"tenantCode\""),
    ] {
        refused(&world, &format!("/_twin/devices?{query}"), reason).await;
    }

    let first = world.shown("/_twin/devices?limit=1").await;
    assert_eq!(first["users"].as_array().unwrap(), std::slice::from_ref(user));
    let next = first["next"].as_str().unwrap().replace('|', "%7C");
    let second = world.shown(&format!("/_twin/devices?limit=1&after={next}")).await;
    assert_eq!(
        (second["users"].as_array().unwrap().as_slice(), second.get("next")),
        ([carol.clone()].as_slice(), None)
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_changes_nothing_and_runs_no_function() {
    let world = World::start().await;
    world.set_event_source("DeliverFunction", false).await;
    let id = world.send(&["alice"], "waits").await;
    eventually("it waits", async || world.waiting("DeliverQueue").await[0] == 1).await;
    let (items, traces) = (world.items().await, world.shown("/_twin/traces").await);
    let queue = &world.twin.template().queues.iter().find(|queue| queue.logical_id == "DeliverQueue").unwrap().name;
    let waiting = world.shown(&format!("/_twin/queues/{queue}/messages")).await;
    assert_eq!(waiting.as_array().unwrap().len(), 1);
    assert!(waiting[0]["body"].as_str().unwrap().contains(&id) && waiting[0]["receives"] == 0, "{waiting}");
    assert!(waiting[0]["sentAt"].as_i64().unwrap() > Timestamp::now().0 - 60_000, "{waiting}");
    for path in ["messages", "devices", "schedules", "faults/kinds", "outbox?limit=1", &format!("messages/{id}")] {
        world.shown(&format!("/_twin/{path}")).await;
    }
    assert_eq!(world.waiting("DeliverQueue").await, [1, 0, 0]);
    assert_eq!((world.items().await, world.shown("/_twin/traces").await), (items, traces));

    let dead_letters = world.shown("/_twin/queues").await;
    let of = |queue: &Value| Some((queue["name"].as_str()?.to_owned(), queue["deadLetterQueue"].as_str()?.to_owned()));
    let led: Vec<_> = dead_letters.as_array().unwrap().iter().filter_map(of).collect();
    assert_eq!(led.len(), 5, "every queue has dead letters, and no dead letters have");
    assert!(led.contains(&(queue.clone(), queue.replace("Queue", "DeadLetters"))), "{led:?}");
    let schedules = world.shown("/_twin/schedules").await;
    assert_eq!((&schedules[0]["function"], &schedules[0]["enabled"]), (&json!("TimerFunction"), &json!(true)));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_of_the_outbox_come_last() {
    let world = World::start().await;
    let mut registration = World::registration("alice", "a");
    registration.mobile = Some("+8613800138000".to_owned());
    world.backend().register(&registration).await.unwrap();
    for text in ["one", "two", "three"] {
        let id = world.send_with(&["alice"], text, |request| request.sms_message = Some(text.to_owned())).await;
        world.until(&id, State::FallbackDelivered).await;
    }
    let texts = async |query: &str| {
        let items = world.shown(&format!("/_twin/outbox{query}")).await;
        items.as_array().unwrap().iter().map(|item| item["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts("?limit=2").await, ["two", "three"]);
    assert_eq!(texts("?after=1&limit=1").await, ["three"]);
    assert_eq!(texts("?limit=9").await, ["one", "two", "three"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_an_email_may_do_nothing_and_is_all_that_may_be_framed() {
    let world = world().await;
    let email = |body: Value| {
        let content = json!({"Simple": {"Subject": {"Data": "Hello"}, "Body": body}});
        let to = json!({"ToAddresses": ["alice@example.org"]});
        json!({"FromEmailAddress": "shop@example.org", "Destination": to, "Content": content}).to_string()
    };
    let ses = format!("{}/v2/email/outbound-emails", world.twin.aws_url());
    for body in [json!({"Html": {"Data": "<p>你好</p>"}}), json!({"Text": {"Data": "text alone"}})] {
        assert_eq!(world.request(Method::POST, &ses, &[], email(body)).await.status, 200);
    }
    let get = async |path: &str| world.page(Method::GET, path, &[], &Value::Null).await;
    let policy = |answer: &Answer| answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    let page = get("/_twin/outbox/1/page").await;
    let text = std::str::from_utf8(&page.body).unwrap();
    assert_eq!((page.status.as_u16(), text), (200, "<!doctype html><base target=\"_blank\"><p>你好</p>"));
    assert_eq!(page.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    let directives = policy(&page);
    let directives: Vec<&str> = directives.split("; ").collect();
    for needed in ["default-src 'none'", "style-src 'unsafe-inline'", "form-action 'none'", "frame-ancestors 'self'"] {
        assert!(directives.contains(&needed), "{needed}: {directives:?}");
    }
    assert!(directives.contains(&"sandbox"), "the sandbox holds with or without a frame around it");
    for (path, status) in [
        ("/_twin/outbox/2/page", 404),
        ("/_twin/outbox/3/page", 404),
        ("/_twin/outbox", 200),
        ("/", 200),
        ("/v1/devices/x", 401),
    ] {
        let answer = get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(policy(&answer).contains("; frame-ancestors 'none'; "), "{path}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_without_tidings_tables_has_no_records() {
    let world = World::changed(&[("TIDINGS_LOOKUPS_TABLE:", "ANOTHER_TABLE:")]).await;
    for path in ["messages", "messages/0193a2b4-6c7d-7e8f-9a0b-1c2d3e4f5061", "devices"] {
        let answer = world.request(Method::GET, &format!("{}/_twin/{path}", world.twin.aws_url()), &[], "").await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["message"]),
            (404, &json!("the template has none of Tidings' tables"))
        );
    }
    assert!(!world.shown("/_twin/queues").await.as_array().unwrap().is_empty());
    world.end().await;
}

fn after(seconds: u64) -> Timestamp {
    Timestamp::now().plus_seconds(seconds)
}
