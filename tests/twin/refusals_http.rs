//! Invalid input over HTTP: every row is answered with a problem that names the fault, and stores nothing.

use http::Method;
use serde_json::{Value, json};
use tidings_crypto::app_key::AppKey;
use tidings_domain::Timestamp;
use tidings_wire::{AnnounceRequest, limits};

use crate::world::{APP, World};

/// The credential of a request.
enum Authorization {
    /// The app's own key.
    Own,
    None,
    Other(String),
}

/// A refused request.
struct Row {
    name: &'static str,
    method: Method,
    path: &'static str,
    authorization: Authorization,
    headers: Vec<(&'static str, String)>,
    body: String,
    status: u16,
    code: &'static str,
    /// Every field that the answer names.
    fields: &'static [&'static str],
}

fn good_message() -> Value {
    json!({"appId": APP, "audiences": ["alice"], "alert": "Hello"})
}

fn good_device() -> Value {
    json!({"appId": APP, "alias": "alice", "platform": "WEB", "nativeToken": "token"})
}

fn good_announcement() -> Value {
    json!({"appId": APP, "alert": "Hello"})
}

fn with(mut base: Value, field: &str, value: Value) -> Value {
    base[field] = value;
    base
}

fn push(address: Value) -> Value {
    with(good_device(), "push", address)
}

/// The keys of RFC 8291, Appendix A.
const WEBPUSH_P256DH: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const WEBPUSH_AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

fn good_webpush(endpoint: &str) -> Value {
    json!({"channel": "webpush", "endpoint": endpoint, "keys": {"p256dh": WEBPUSH_P256DH, "auth": WEBPUSH_AUTH}})
}

/// A valid subscription, except for one part of it. Addresses and names of a local network are not among the rows: the
/// twin allows them, since its push service has one. `shared/providers/src/endpoint.rs` tests those that are refused on
/// AWS.
fn webpush(part: &str, value: Value) -> Value {
    let mut address = good_webpush("https://push.example.com/1");
    *address.pointer_mut(part).unwrap() = value;
    push(address)
}

fn without(mut base: Value, field: &str) -> Value {
    base.as_object_mut().unwrap().remove(field);
    base
}

fn nested(levels: usize) -> String {
    let extra = format!("{}{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    format!("{{\"audiences\":[\"alice\"],\"alert\":\"x\",\"extra\":{extra}}}")
}

/// A request with the app's own key.
fn row(
    name: &'static str,
    method: Method,
    path: &'static str,
    body: String,
    status: u16,
    code: &'static str,
    fields: &'static [&'static str],
) -> Row {
    Row { name, method, path, authorization: Authorization::Own, headers: Vec::new(), body, status, code, fields }
}

fn post(name: &'static str, path: &'static str, body: String, status: u16, code: &'static str) -> Row {
    row(name, Method::POST, path, body, status, code, &[])
}

fn send(name: &'static str, body: Value, fields: &'static [&'static str]) -> Row {
    row(name, Method::POST, "/v1/messages", body.to_string(), 400, "invalid_fields", fields)
}

fn register(name: &'static str, body: Value, fields: &'static [&'static str]) -> Row {
    row(name, Method::POST, "/v1/devices", body.to_string(), 400, "invalid_fields", fields)
}

fn announcement(name: &'static str, body: Value, fields: &'static [&'static str]) -> Row {
    row(name, Method::POST, "/v1/announcements", body.to_string(), 400, "invalid_fields", fields)
}

fn put_item(name: &'static str, path: &'static str, body: Value, fields: &'static [&'static str]) -> Row {
    row(name, Method::PUT, path, body.to_string(), 400, "invalid_fields", fields)
}

fn list(name: &'static str, path: &'static str, fields: &'static [&'static str]) -> Row {
    row(name, Method::GET, path, String::new(), 400, "invalid_fields", fields)
}

fn bearer(key: &str) -> Authorization {
    Authorization::Other(format!("Bearer {key}"))
}

/// A key of the app that it does not have.
fn wrong_secret() -> AppKey {
    AppKey::generate(APP, [7; 32]).unwrap()
}

/// The app key is missing, malformed or of another app.
fn wrong_keys() -> Vec<Row> {
    let as_key = |name, authorization, code| Row {
        authorization,
        ..row(name, Method::POST, "/v1/messages", good_message().to_string(), 401, code, &[])
    };
    let other_app = AppKey::generate("nobody", [7; 32]).unwrap();
    vec![
        as_key("no app key", Authorization::None, "no_app_key"),
        as_key("not a bearer token", Authorization::Other("Basic YTpi".to_owned()), "no_app_key"),
        as_key("malformed app key", bearer("nonsense"), "wrong_app_key"),
        as_key("app key that is cut short", bearer("td_demo..."), "wrong_app_key"),
        as_key("token in place of an app key", bearer("eyJhIjoxfQ.eyJhIjoxfQ.c2ln"), "wrong_app_key"),
        Row {
            authorization: bearer(wrong_secret().expose()),
            ..row(
                "app key in place of a token",
                Method::GET,
                "/v1/inbox/unread",
                String::new(),
                401,
                "wrong_token",
                &[],
            )
        },
        Row {
            authorization: Authorization::Other(format!("Bearer {0},Bearer {0}", wrong_secret().expose())),
            ..send("app key given twice", good_message(), &["Authorization"])
        },
        as_key("wrong app key", bearer(wrong_secret().expose()), "wrong_app_key"),
        as_key("key of an unknown app", bearer(other_app.expose()), "wrong_app_key"),
        post(
            "unknown app",
            "/v1/messages",
            with(good_message(), "appId", json!("other")).to_string(),
            403,
            "unknown_app",
        ),
        post(
            "unknown app",
            "/v1/devices",
            with(good_device(), "appId", json!("other")).to_string(),
            403,
            "unknown_app",
        ),
    ]
}

/// Recipients of a message, and its condition.
fn audiences() -> Vec<Row> {
    let many: Vec<String> = (0..1_001).map(|n| format!("user{n}")).collect();
    vec![
        send("no audience", without(good_message(), "audiences"), &["audiences"]),
        send("empty audience", with(good_message(), "audiences", json!([])), &["audiences"]),
        send("empty recipient", with(good_message(), "audiences", json!(["alice", ""])), &["audiences[1]"]),
        send(
            "recipient over 128 characters",
            with(good_message(), "audiences", json!(["x".repeat(129)])),
            &["audiences[0]"],
        ),
        send("audience of the wrong type", with(good_message(), "audiences", json!("alice")), &["audiences"]),
        send("everyone as a user", with(good_message(), "audiences", json!(["alice", "ALL"])), &["audiences[1]"]),
        send("everyone in place of a list", with(good_message(), "audiences", json!("all")), &["audiences"]),
        send("everyone as a kind", with(good_message(), "audienceType", json!("ALL")), &["audienceType"]),
        send("a kind of another service", with(good_message(), "audienceType", json!("ORG")), &["audienceType"]),
        send("alias turned round", with(good_message(), "audiences", json!(["a\u{202e}b"])), &["audiences[0]"]),
        send("alias that is decomposed", with(good_message(), "audiences", json!(["e\u{301}"])), &["audiences[0]"]),
        send("category with a tab", with(good_message(), "category", json!("a\tb")), &["category"]),
        send(
            "tenant with a blank of no width",
            with(good_message(), "tenantCode", json!("a\u{200b}")),
            &["tenantCode"],
        ),
        send("1,001 recipients", with(good_message(), "audiences", json!(many)), &["audiences"]),
        send(
            "unknown device",
            with(with(good_message(), "audienceType", json!("DEVICE")), "audiences", json!(["d"])),
            &["audiences[0]"],
        ),
        send(
            "condition on no version",
            with(good_message(), "condition", json!({"clientVersionBelow": "2.x"})),
            &["condition.clientVersionBelow"],
        ),
        send("condition on nothing", with(good_message(), "condition", json!({})), &["condition"]),
    ]
}

/// The items that conditions are about.
fn items() -> Vec<Row> {
    vec![
        put_item("item that is neither open nor closed", "/v1/items/a", json!({}), &["open"]),
        put_item("item that is half open", "/v1/items/a", json!({"open": "half"}), &["open"]),
        put_item(
            "item of more than is asked",
            "/v1/items/a",
            json!({"open": true, "tenantCode": "n"}),
            &["tenantCode"],
        ),
        list("item with a wrong query", "/v1/items/a?tenant=north", &["tenant"]),
        list("item without a name", "/v1/items/%20", &["item"]),
        list("item that is no text", "/v1/items/%FF", &["item"]),
        list("item of a tenant that is no text", "/v1/items/a?tenantCode=%FF", &["tenantCode"]),
        list("item with a line break", "/v1/items/a%0Ab", &["item"]),
        list("item of two tenants", "/v1/items/a?tenantCode=x&tenantCode=y", &["tenantCode"]),
        list("item of one tenant twice", "/v1/items/a?tenantCode=x&tenantCode=x", &["tenantCode"]),
        put_item(
            "closing an item of two tenants",
            "/v1/items/a?tenantCode=x&tenantCode=y",
            json!({"open": false}),
            &["tenantCode"],
        ),
    ]
}

/// The content of a message, and its channels.
fn contents() -> Vec<Row> {
    vec![
        send("no alert", without(good_message(), "alert"), &["alert"]),
        send("empty alert", with(good_message(), "alert", json!(" ")), &["alert"]),
        send("alert of the wrong type", with(good_message(), "alert", json!(7)), &["alert"]),
        send("alert that cannot fit a frame", with(good_message(), "alert", json!("x".repeat(24 * 1024))), &["alert"]),
        send(
            "alert and extra that cannot fit a frame",
            with(with(good_message(), "alert", json!("x".repeat(12_000))), "extra", json!("y".repeat(12_000))),
            &["extra"],
        ),
        send("over-long sender", with(good_message(), "sender", json!("x".repeat(129))), &["sender"]),
        send("unknown platform", with(good_message(), "platform", json!("TOASTER")), &["platform"]),
        send("unknown message type", with(good_message(), "msgType", json!("smell")), &["msgType"]),
        send(
            "unknown channel",
            with(good_message(), "fallback", json!([{"channel": "pigeon"}])),
            &["fallback[0].channel"],
        ),
        send(
            "negative delay",
            with(good_message(), "fallback", json!([{"channel": "sms", "after": -1}])),
            &["fallback[0].after"],
        ),
        send(
            "three SMS",
            with(good_message(), "fallback", Value::from(vec![json!({"channel": "sms"}); 3])),
            &["fallback[2].channel"],
        ),
        send(
            "a third email among others",
            with(
                good_message(),
                "fallback",
                json!([{"channel": "email"}, {"channel": "sms"}, {"channel": "email"}, {"channel": "email"}]),
            ),
            &["fallback[3].channel"],
        ),
        send(
            "nine steps",
            with(good_message(), "fallback", Value::from(vec![json!({"channel": "apns"}); 9])),
            &["fallback"],
        ),
    ]
}

/// How and when a message is sent.
fn options() -> Vec<Row> {
    let beyond_a_year = Timestamp::now().plus_seconds(limits::SEND_AT_AHEAD_SECONDS + 60);
    vec![
        send("ttl over 28 days", with(good_message(), "ttl", json!(2_419_201)), &["ttl"]),
        send("fractional badge", with(good_message(), "badge", json!(1.5)), &["badge"]),
        send("persist of the wrong type", with(good_message(), "persist", json!("yes")), &["persist"]),
        send("time in the past", with(good_message(), "sendAt", json!("2020-01-01T00:00:00Z")), &["sendAt"]),
        send("this moment", with(good_message(), "sendAt", json!(Timestamp::now())), &["sendAt"]),
        send("time beyond a year", with(good_message(), "sendAt", json!(beyond_a_year)), &["sendAt"]),
        send("time without a zone", with(good_message(), "sendAt", json!("2099-01-01T00:00:00")), &["sendAt"]),
        send("time of the wrong type", with(good_message(), "sendAt", json!(1_795_324_231)), &["sendAt"]),
        send("unknown priority", with(good_message(), "priority", json!("urgent")), &["priority"]),
        send("priority of the wrong type", with(good_message(), "priority", json!(1)), &["priority"]),
        send("need to confirm of the wrong type", with(good_message(), "needConfirm", json!("yes")), &["needConfirm"]),
        send("negative duration", with(good_message(), "duration", json!(-1)), &["duration"]),
        send("fractional duration", with(good_message(), "duration", json!(300.5)), &["duration"]),
        send("duration of the wrong type", with(good_message(), "duration", json!("300")), &["duration"]),
        send("empty collapse key", with(good_message(), "collapseKey", json!("")), &["collapseKey"]),
        send("over-long collapse key", with(good_message(), "collapseKey", json!("x".repeat(65))), &["collapseKey"]),
        send("collapse key of the wrong type", with(good_message(), "collapseKey", json!(["k"])), &["collapseKey"]),
        send(
            "time and lane of the wrong kind",
            with(with(good_message(), "sendAt", json!("2020-01-01T00:00:00Z")), "priority", json!("low")),
            &["priority"],
        ),
        send("malformed time", with(good_message(), "sendAt", json!("tomorrow")), &["sendAt"]),
        send("audience that is not served", with(good_message(), "audienceType", json!("TAG")), &["audienceType"]),
        send("unknown field", with(good_message(), "audience", json!([])), &["audience"]),
        send("three at once", json!({"audiences": [], "alert": 1, "ttl": "x"}), &["alert", "audiences", "ttl"]),
        Row {
            headers: vec![("idempotency-key", "x".repeat(256))],
            ..send("over-long idempotency key", good_message(), &["Idempotency-Key"])
        },
    ]
}

/// A request whose body no map of JSON can hold.
fn raw(name: &'static str, method: Method, path: &'static str, body: &str, fields: &'static [&'static str]) -> Row {
    row(name, method, path, body.to_owned(), 400, "invalid_fields", fields)
}

/// Fields that are given twice, in the body or in the query, and unknown query parameters.
fn twice() -> Vec<Row> {
    let user = "/v1/users/alice/preferences";
    vec![
        raw("two texts", Method::POST, "/v1/messages", r#"{"audiences":["a"],"alert":"x","alert":"y"}"#, &["alert"]),
        raw(
            "two audiences",
            Method::POST,
            "/v1/messages",
            r#"{"audiences":["a"],"audiences":["b"],"alert":"x"}"#,
            &["audiences"],
        ),
        raw(
            "two channels of a step",
            Method::POST,
            "/v1/messages",
            r#"{"audiences":["a"],"alert":"x","fallback":[{"channel":"sms","channel":"email"}]}"#,
            &["fallback[0].channel"],
        ),
        raw(
            "a name of the app's own twice",
            Method::POST,
            "/v1/announcements",
            r#"{"alert":"x","extra":{"a":[{"b":1,"b":2}]}}"#,
            &["extra.a[0].b"],
        ),
        raw(
            "two aliases",
            Method::POST,
            "/v1/devices",
            r#"{"appId":"demo","alias":"a","alias":"b","platform":"WEB","nativeToken":"t"}"#,
            &["alias"],
        ),
        raw("open and closed", Method::PUT, "/v1/items/a", r#"{"open":true,"open":false}"#, &["open"]),
        raw("muted and not", Method::PUT, user, r#"{"muted":true,"muted":false}"#, &["muted"]),
        raw(
            "two words on a channel",
            Method::PUT,
            user,
            r#"{"categories":{"news":{"channels":{"sms":true,"sms":false}}}}"#,
            &["categories.news.channels.sms"],
        ),
        list("preferences of two tenants", "/v1/users/alice/preferences?tenantCode=x&tenantCode=y", &["tenantCode"]),
        list("announcements of two tenants", "/v1/announcements?tenantCode=x&tenantCode=y", &["tenantCode"]),
        list("message with a query", "/v1/messages/3087bacc-b601-808f-950b-edbf79e06a73?a=b", &["a"]),
        list("announcement with a query", "/v1/announcements/3087bacc-b601-808f-950b-edbf79e06a73?a=b&c", &["a", "c"]),
        list("device with a query", "/v1/devices/d?a", &["a"]),
        raw(
            "sending with a query",
            Method::POST,
            "/v1/messages?tenantCode=x",
            r#"{"audiences":["a"],"alert":"x"}"#,
            &["tenantCode"],
        ),
        raw("cancelling with a query", Method::DELETE, "/v1/messages/1?force=true", "", &["force"]),
        raw("cancelling with a body", Method::DELETE, "/v1/messages/1", r#"{"force":true}"#, &["body"]),
        raw("an item read with a body", Method::GET, "/v1/items/a", r#"{"open":false}"#, &["body"]),
        raw("registering with a query", Method::POST, "/v1/devices?x=1", &good_device().to_string(), &["x"]),
        raw("announcing with a query", Method::POST, "/v1/announcements?x=1", r#"{"alert":"x"}"#, &["x"]),
    ]
}

/// Numbers, words and names that would be stored as something else.
fn changed() -> Vec<Row> {
    let user = "/v1/users/alice/preferences";
    let put = |name, field: &'static str, value: &str, fields| {
        row(name, Method::PUT, user, json!({field: value}).to_string(), 400, "invalid_fields", fields)
    };
    let extra = |name, number: &str| {
        let body = format!("{{\"audiences\":[\"a\"],\"alert\":\"x\",\"extra\":{{\"n\":{number}}}}}");
        row(name, Method::POST, "/v1/messages", body, 400, "invalid_fields", &["extra.n"])
    };
    vec![
        extra("whole number beyond a double", "9007199254740993"),
        extra("whole number beyond 64 bits", "18446744073709551616"),
        extra("more digits than a double holds", "0.12345678901234567890"),
        extra("greater than a double", "1e400"),
        extra("smaller than a double", "1e-400"),
        put("zone that is not known", "timeZone", "Etc/Unknown", &["timeZone"]),
        put("zone of a system without one", "timeZone", "Factory", &["timeZone"]),
        register(
            "device in a zone that is not known",
            with(good_device(), "timeZone", json!("etc/unknown")),
            &["timeZone"],
        ),
        put("language with an underscore", "language", "en_US", &["language"]),
        put("language of punctuation", "language", "!!", &["language"]),
        register("locale with an underscore", with(good_device(), "locale", json!("zh_CN")), &["locale"]),
        register("device of everyone", with(good_device(), "alias", json!("All")), &["alias"]),
        register("alias with a mark of direction", with(good_device(), "alias", json!("a\u{200f}")), &["alias"]),
        row(
            "preferences of everyone",
            Method::PUT,
            "/v1/users/ALL/preferences",
            "{}".to_owned(),
            400,
            "invalid_fields",
            &["alias"],
        ),
        list("preferences of everyone", "/v1/users/all/preferences", &["alias"]),
        row(
            "preference for a category with a line break",
            Method::PUT,
            user,
            json!({"categories": {"a\nb": {}}}).to_string(),
            400,
            "invalid_fields",
            &["categories.a\nb"],
        ),
        Row {
            headers: vec![("idempotency-key", "a\tb".to_owned())],
            ..send("idempotency key with a tab", good_message(), &["Idempotency-Key"])
        },
        Row {
            headers: vec![("idempotency-key", "a".to_owned()), ("idempotency-key", "a".to_owned())],
            ..announcement("idempotency key given twice", good_announcement(), &["Idempotency-Key"])
        },
    ]
}

/// Bodies that are not read as an object.
fn bodies() -> Vec<Row> {
    vec![
        post(
            "body over 256 KB",
            "/v1/messages",
            with(good_message(), "extra", json!("x".repeat(256 * 1024))).to_string(),
            413,
            "body_too_large",
        ),
        post(
            "body over 3 MB",
            "/v1/messages",
            with(good_message(), "extra", json!("x".repeat(3 * 1024 * 1024))).to_string(),
            413,
            "body_too_large",
        ),
        post("JSON 65 deep", "/v1/messages", nested(65), 400, "body_too_deep"),
        post("not JSON", "/v1/messages", "{\"audiences\":".to_owned(), 400, "not_json"),
        post("a byte order mark", "/v1/messages", format!("\u{feff}{}", good_message()), 400, "not_json"),
        post("not an object", "/v1/messages", "[]".to_owned(), 400, "not_json"),
        post("no body", "/v1/messages", String::new(), 400, "not_json"),
    ]
}

/// A registration.
fn devices() -> Vec<Row> {
    vec![
        register("no alias", without(good_device(), "alias"), &["alias"]),
        register("empty alias", with(good_device(), "alias", json!("")), &["alias"]),
        register(
            "over-long native token",
            with(good_device(), "nativeToken", json!("x".repeat(4_097))),
            &["nativeToken"],
        ),
        register("no platform", without(good_device(), "platform"), &["platform"]),
        register("every platform", with(good_device(), "platform", json!("ALL")), &["platform"]),
        register("malformed phone number", with(good_device(), "mobile", json!("13800138000")), &["mobile"]),
        register("malformed address", with(good_device(), "email", json!("alice")), &["email"]),
    ]
}

/// The push address in a registration.
fn push_addresses() -> Vec<Row> {
    vec![
        register("push of the wrong type", push(json!("apns")), &["push"]),
        register("push without a channel", push(json!({"token": "00fc"})), &["push.channel", "push.token"]),
        register("unknown push channel", push(json!({"channel": "pigeon"})), &["push.channel"]),
        register("push by a channel of no device", push(json!({"channel": "webhook"})), &["push.channel"]),
        register("push by SMS", push(json!({"channel": "sms"})), &["push.channel"]),
        register("APNs without a token", push(json!({"channel": "apns"})), &["push.token"]),
        register(
            "APNs token that is not hex",
            push(json!({"channel": "apns", "token": "zz".repeat(32)})),
            &["push.token"],
        ),
        register(
            "APNs token of odd length",
            push(json!({"channel": "apns", "token": "0".repeat(63)})),
            &["push.token"],
        ),
        register("APNs token that is too short", push(json!({"channel": "apns", "token": "00fc"})), &["push.token"]),
        register("empty FCM token", push(json!({"channel": "fcm", "token": " "})), &["push.token"]),
        register("FCM token with a blank", push(json!({"channel": "fcm", "token": "a b"})), &["push.token"]),
        register("over-long FCM token", push(json!({"channel": "fcm", "token": "x".repeat(4_097)})), &["push.token"]),
        register("Mi Push with a token", push(json!({"channel": "mipush", "token": "x"})), &["push.token"]),
        register("Web Push without anything", push(json!({"channel": "webpush"})), &["push.endpoint", "push.keys"]),
        register("endpoint that is no URL", webpush("/endpoint", json!("nonsense")), &["push.endpoint"]),
        register(
            "endpoint that is not of HTTP",
            webpush("/endpoint", json!("ftp://push.example.com/1")),
            &["push.endpoint"],
        ),
        register(
            "endpoint with a user",
            webpush("/endpoint", json!("https://me@push.example.com/1")),
            &["push.endpoint"],
        ),
        register(
            "over-long endpoint",
            webpush("/endpoint", json!(format!("https://push.example.com/{}", "x".repeat(2_048)))),
            &["push.endpoint"],
        ),
        register("keys of the wrong type", webpush("/keys", json!([])), &["push.keys"]),
        register("key that is not base64url", webpush("/keys/p256dh", json!("!")), &["push.keys.p256dh"]),
        register("key that is no point", webpush("/keys/p256dh", json!(WEBPUSH_AUTH)), &["push.keys.p256dh"]),
        register("over-long key", webpush("/keys/p256dh", json!("B".repeat(88))), &["push.keys.p256dh"]),
        register("secret of the wrong length", webpush("/keys/auth", json!("AAAA")), &["push.keys.auth"]),
        register("over-long secret", webpush("/keys/auth", json!("A".repeat(88))), &["push.keys.auth"]),
        register(
            "a whole subscription",
            push(with(good_webpush("https://push.example.com/1"), "expirationTime", json!(1))),
            &["push.expirationTime"],
        ),
    ]
}

/// The content of an announcement.
fn announcements() -> Vec<Row> {
    vec![
        announcement("no announcement", json!({}), &["alert"]),
        announcement("announcement of blanks", with(good_announcement(), "alert", json!(" \t")), &["alert"]),
        announcement(
            "announcement of the wrong type",
            with(good_announcement(), "alert", json!(["Hello"])),
            &["alert"],
        ),
        announcement(
            "announcement that cannot fit a frame",
            with(good_announcement(), "alert", json!("x".repeat(24 * 1024))),
            &["alert"],
        ),
        announcement(
            "announced extra that cannot fit a frame",
            with(good_announcement(), "extra", json!("y".repeat(24 * 1024))),
            &["extra"],
        ),
        announcement(
            "announcement to one user",
            with(good_announcement(), "audiences", json!(["alice"])),
            &["audiences"],
        ),
        announcement(
            "announcement to an audience",
            with(good_announcement(), "audienceType", json!("ALL")),
            &["audienceType"],
        ),
        announcement(
            "announcement to be confirmed",
            with(good_announcement(), "needConfirm", json!(true)),
            &["needConfirm"],
        ),
        announcement(
            "announcement not to be confirmed",
            with(good_announcement(), "needConfirm", json!(false)),
            &["needConfirm"],
        ),
        announcement(
            "announcement with a fallback",
            with(with(good_announcement(), "fallback", json!([{"channel": "sms"}])), "smsMessage", json!("Hi")),
            &["fallback", "smsMessage"],
        ),
        announcement(
            "announcement that is not kept",
            with(with(good_announcement(), "persist", json!(false)), "ttl", json!(0)),
            &["persist", "ttl"],
        ),
        announcement(
            "announcement for later",
            with(good_announcement(), "sendAt", json!("2099-01-01T00:00:00Z")),
            &["sendAt"],
        ),
        announcement("announcement kept for 59 seconds", with(good_announcement(), "ttl", json!(59)), &["ttl"]),
        announcement("announcement kept over 28 days", with(good_announcement(), "ttl", json!(2_419_201)), &["ttl"]),
        announcement("announcement kept for a text", with(good_announcement(), "ttl", json!("60")), &["ttl"]),
        announcement("announcement to no platform", with(good_announcement(), "platform", json!("web")), &["platform"]),
        announcement(
            "announcement to an empty tenant",
            with(good_announcement(), "tenantCode", json!("")),
            &["tenantCode"],
        ),
        announcement(
            "announcement to an over-long tenant",
            with(good_announcement(), "tenantCode", json!("x".repeat(65))),
            &["tenantCode"],
        ),
        announcement(
            "announcement with a misspelt field",
            with(good_announcement(), "tenant", json!("7")),
            &["tenant"],
        ),
        announcement(
            "announcement with three wrong fields",
            json!({"alert": 1, "ttl": 0, "badge": -1}),
            &["alert", "badge", "ttl"],
        ),
        Row {
            headers: vec![("idempotency-key", "x".repeat(256))],
            ..announcement("announcement under an over-long key", good_announcement(), &["Idempotency-Key"])
        },
        Row {
            headers: vec![("idempotency-key", String::new())],
            ..announcement("announcement under an empty key", good_announcement(), &["Idempotency-Key"])
        },
    ]
}

/// Requests to announce, and to list announcements.
fn announcement_routes() -> Vec<Row> {
    vec![
        post(
            "announcement of an unknown app",
            "/v1/announcements",
            with(good_announcement(), "appId", json!("other")).to_string(),
            403,
            "unknown_app",
        ),
        Row {
            authorization: Authorization::None,
            ..post("announcing without a key", "/v1/announcements", good_announcement().to_string(), 401, "no_app_key")
        },
        Row {
            authorization: bearer(wrong_secret().expose()),
            ..post(
                "announcing with a wrong key",
                "/v1/announcements",
                good_announcement().to_string(),
                401,
                "wrong_app_key",
            )
        },
        post("announcing 65 deep", "/v1/announcements", nested(65), 400, "body_too_deep"),
        post("announcing a text", "/v1/announcements", "\"Hello\"".to_owned(), 400, "not_json"),
        post(
            "announcing over 256 KB",
            "/v1/announcements",
            with(good_announcement(), "extra", json!("x".repeat(256 * 1024))).to_string(),
            413,
            "body_too_large",
        ),
        list("list of no announcements", "/v1/announcements?limit=0", &["limit"]),
        list("list of 51 announcements", "/v1/announcements?limit=51", &["limit"]),
        list("list of many announcements", "/v1/announcements?limit=many", &["limit"]),
        list("announcements before nothing", "/v1/announcements?before=0", &["before"]),
        list("announcements before a text", "/v1/announcements?before=7-1", &["before"]),
        list("announcements of an empty tenant", "/v1/announcements?tenantCode=", &["tenantCode"]),
        list("two lists at once", "/v1/announcements?limit=3&limit=3", &["limit"]),
        list("list with a misspelt field", "/v1/announcements?tenant=7&Limit=3", &["Limit", "tenant"]),
        Row {
            authorization: Authorization::None,
            ..row(
                "listing announcements without a key",
                Method::GET,
                "/v1/announcements",
                String::new(),
                401,
                "no_app_key",
                &[],
            )
        },
    ]
}

/// Unknown routes and records.
fn routes() -> Vec<Row> {
    vec![
        row(
            "unknown announcement",
            Method::GET,
            "/v1/announcements/3087bacc-b601-808f-950b-edbf79e06a73",
            String::new(),
            404,
            "not_found",
            &[],
        ),
        row(
            "withdrawing an unknown announcement",
            Method::DELETE,
            "/v1/announcements/3087bacc-b601-808f-950b-edbf79e06a73",
            String::new(),
            404,
            "not_found",
            &[],
        ),
        row("malformed announcement id", Method::GET, "/v1/announcements/1", String::new(), 404, "not_found", &[]),
        row(
            "an announcement id that is no text",
            Method::DELETE,
            "/v1/announcements/%FF",
            String::new(),
            404,
            "not_found",
            &[],
        ),
        row(
            "withdrawing everything",
            Method::DELETE,
            "/v1/announcements",
            String::new(),
            405,
            "method_not_allowed",
            &[],
        ),
        row(
            "unknown message",
            Method::GET,
            "/v1/messages/3087bacc-b601-808f-950b-edbf79e06a73",
            String::new(),
            404,
            "not_found",
            &[],
        ),
        row(
            "cancelling an unknown message",
            Method::DELETE,
            "/v1/messages/3087bacc-b601-808f-950b-edbf79e06a73",
            String::new(),
            404,
            "not_found",
            &[],
        ),
        row("cancelling no message's id", Method::DELETE, "/v1/messages/1", String::new(), 404, "not_found", &[]),
        row(
            "cancelling under an id in capitals",
            Method::DELETE,
            "/v1/messages/3087BACC-B601-808F-950B-EDBF79E06A73",
            String::new(),
            404,
            "not_found",
            &[],
        ),
        row("cancelling everything", Method::DELETE, "/v1/messages", String::new(), 405, "method_not_allowed", &[]),
        Row {
            authorization: Authorization::None,
            ..row("cancelling without a key", Method::DELETE, "/v1/messages/1", String::new(), 401, "no_app_key", &[])
        },
        row("malformed message id", Method::GET, "/v1/messages/1", String::new(), 404, "not_found", &[]),
        row("a message id that is no text", Method::GET, "/v1/messages/%FF", String::new(), 404, "not_found", &[]),
        row("a device id that is no text", Method::DELETE, "/v1/devices/%FF", String::new(), 404, "not_found", &[]),
        row("unknown device", Method::GET, "/v1/devices/nobody", String::new(), 404, "not_found", &[]),
        row("unknown device", Method::DELETE, "/v1/devices/nobody", String::new(), 404, "not_found", &[]),
        row("unknown route", Method::GET, "/v1/nowhere", String::new(), 404, "no_route", &[]),
        row("another method", Method::PUT, "/v1/messages", String::new(), 405, "method_not_allowed", &[]),
    ]
}

fn rows() -> Vec<Row> {
    [
        wrong_keys(),
        audiences(),
        items(),
        contents(),
        options(),
        twice(),
        changed(),
        bodies(),
        devices(),
        push_addresses(),
        announcements(),
        announcement_routes(),
        routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_request_is_a_problem_and_stores_nothing() {
    let world = World::start().await;
    let before = world.stored().await;
    let own = format!("Bearer {}", world.key.expose());
    let rows = rows();
    println!("{} rows", rows.len());
    for row in rows {
        let mut headers: Vec<(&str, &str)> = row.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        headers.extend(match &row.authorization {
            Authorization::Own => Some(("authorization", own.as_str())),
            Authorization::None => None,
            Authorization::Other(value) => Some(("authorization", value.as_str())),
        });
        let url = format!("{}{}", world.twin.api_url(), row.path);
        let answer = world.request(row.method, &url, &headers, row.body).await;
        let name = row.name;
        assert_eq!(answer.status.as_u16(), row.status, "{name}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{name}");
        let problem = answer.json();
        assert_eq!(problem["code"], row.code, "{name}: {problem}");
        assert_eq!(problem["status"], row.status, "{name}: {problem}");
        assert!(problem["requestId"].as_str().is_some_and(|id| !id.is_empty()), "{name}: {problem}");
        let mut fields: Vec<&str> =
            problem["errors"].as_array().into_iter().flatten().map(|error| error["field"].as_str().unwrap()).collect();
        fields.sort_unstable();
        assert_eq!(fields, row.fields, "{name}: {problem}");
        if let [field, ..] = row.fields {
            assert!(problem["detail"].as_str().unwrap().contains('`'), "{name} names {field}: {problem}");
        }
    }
    assert_eq!(world.stored().await, before, "nothing was stored");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_wrong_fields_twenty_are_named_and_the_rest_counted() {
    let world = World::start().await;
    let names: Vec<_> = (0..500).map(|_| json!(1)).collect();
    let url = format!("{}/v1/messages", world.twin.api_url());
    let authorization = format!("Bearer {}", world.key.expose());
    let body = json!({"audiences": names, "alert": "x"}).to_string();
    let answer = world.request(Method::POST, &url, &[("authorization", &authorization)], body).await;
    let problem = answer.json();
    assert_eq!(problem["errors"].as_array().unwrap().len(), limits::PROBLEMS_NAMED);
    assert_eq!(problem["detail"], "`audiences[0]` must be a text; and 499 more");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_apps_messages_announcements_and_devices_are_not_there() {
    let world = World::start().await;
    let id = world.send(&["alice"], "Hello").await;
    let announced = announce(&world).await;
    let device = world.device("alice", "token").await;
    let stranger = AppKey::generate("stranger", [9; 32]).unwrap();
    world.create_app(&stranger, Vec::new()).await;
    let authorization = format!("Bearer {}", stranger.expose());
    for (method, path) in [
        (Method::GET, format!("/v1/messages/{id}")),
        (Method::DELETE, format!("/v1/messages/{id}")),
        (Method::GET, format!("/v1/announcements/{announced}")),
        (Method::DELETE, format!("/v1/announcements/{announced}")),
        (Method::GET, format!("/v1/devices/{}", device.id())),
        (Method::DELETE, format!("/v1/devices/{}", device.id())),
    ] {
        let url = format!("{}{path}", world.twin.api_url());
        let answer = world.request(method, &url, &[("authorization", &authorization)], "").await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (404, Some("not_found")), "{path}");
    }
    assert_eq!(world.backend().device(device.id()).await.unwrap().alias, "alice");
    assert_eq!(world.trail(&id).await.cancelled_at, None);
    assert_eq!(world.backend().announcement(&announced).await.unwrap().withdrawn_at, None);
    let url = format!("{}/v1/announcements", world.twin.api_url());
    let answer = world.request(Method::GET, &url, &[("authorization", &authorization)], "").await;
    assert_eq!(answer.json(), json!({"announcements": []}), "its own tenant of no name");
    world.end().await;
}

async fn announce(world: &World) -> String {
    let request = AnnounceRequest::parse(good_announcement().as_object().unwrap().clone()).unwrap();
    world.backend().announce(&request, None).await.unwrap().request_id
}
