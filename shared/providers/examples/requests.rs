//! Prints the requests of a push as JSON, for a test that compares them with independent libraries:
//! `{"credentials": {…}, "subscription": {…}, "now": 1700000000}` on standard input becomes
//! `{"apns": {"url": …, "headers": {…}, "body": base64}, "fcmToken": …, "webpush": …, "webhook": …}`.

use std::{collections::BTreeMap, error::Error, io};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};
use tidings_providers::push::{Kind, Priority, Push};
use tidings_providers::webpush::Subscription;
use tidings_providers::{Credentials, Reach, apns, fcm, webhook, webpush};

fn main() -> Result<(), Box<dyn Error>> {
    let given: Value = serde_json::from_reader(io::stdin())?;
    let now = given["now"].as_u64().ok_or("now is missing")?;
    let credentials = Credentials::parse(&given["credentials"].to_string(), Reach::Public)?;
    let subscription = Subscription::parse(&given["subscription"].to_string(), Reach::Public)?;
    let push = Push {
        message_id: "01JD4Z0000000000000000MSGE".to_owned(),
        step: 0,
        kind: Kind::Alert,
        title: Some("Gate change".to_owned()),
        body: Some("Now B 12 · 登机口".to_owned()),
        badge: Some(1),
        sound: None,
        mutable: false,
        data: BTreeMap::from([("id".to_owned(), "01JD4Z0000000000000000MSGE".to_owned())]),
        priority: Priority::High,
        ttl: 3600,
        collapse_key: Some("flight-7".to_owned()),
    };
    let (Some(apple), Some(google)) = (&credentials.apns, &credentials.fcm) else { return Err("credentials".into()) };
    let (Some(vapid), Some(hook)) = (&credentials.webpush, &credentials.webhook) else {
        return Err("credentials".into());
    };
    let token = apns::ProviderToken::default().get(apple, now)?;
    let device = apns::DeviceToken::parse(&"00fc13ad".repeat(8))?;
    let requests = json!({
        "apns": shown(&apns::request(&push, &device, &apple.topic, &token, apns::PRODUCTION, now)?.request),
        "fcmToken": shown(&fcm::token_request(google, now)?),
        "webpush": shown(&webpush::request(&push, &subscription, vapid, now)?.request),
        "webhook": shown(&webhook::request(&push, hook, now)?.request),
    });
    println!("{requests}");
    Ok(())
}

fn shown(request: &http::Request<Bytes>) -> Value {
    let headers = request.headers().iter();
    let headers: BTreeMap<&str, &str> =
        headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    json!({"url": request.uri().to_string(), "headers": headers, "body": STANDARD.encode(request.body())})
}
