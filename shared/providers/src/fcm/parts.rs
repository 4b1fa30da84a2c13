//! The parts of a message that FCM forwards to one platform each: Android, Apple by APNs, and browsers by Web Push
//! (<https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>). A registration token does not reveal
//! the platform behind it, so a message has all three parts; title and text stand above them, for all.

use serde_json::{Map, Value, json};

use crate::push::{Kind, Priority, Push};
use crate::{apns, webpush};

/// Values by name, as Google's JSON has the headers of other protocols: all of them texts.
type Headers = Map<String, Value>;

/// The part for Android; FCM keeps the message for `ttl` seconds.
pub(super) fn android(push: &Push, ttl: u64) -> Value {
    let mut android = json!({"priority": priority(push), "ttl": format!("{ttl}s")});
    if let Some(key) = &push.collapse_key {
        android["collapse_key"] = key.as_str().into();
    }
    match push.kind {
        Kind::Alert => {
            let sound = push.sound.as_deref().map(|sound| ("sound", sound.into()));
            let badge = push.badge.map(|badge| ("notification_count", badge.into()));
            // The tag replaces a notification that is shown; the collapse key works only while the device is offline.
            let tag = push.collapse_key.as_deref().map(|key| ("tag", key.into()));
            for (name, value) in [sound, badge, tag].into_iter().flatten() {
                let value: Value = value;
                android["notification"][name] = value;
            }
        }
        Kind::Background => {}
    }
    android
}

/// Android's word for the priority.
pub(super) fn priority(push: &Push) -> &'static str {
    match push.priority {
        Priority::High => "HIGH",
        Priority::Normal => "NORMAL",
    }
}

/// The headers that FCM sends to APNs; the payload is [`apns::aps`].
pub(super) fn apns_headers(push: &Push, ttl: u64, now: u64) -> Headers {
    let (push_type, priority) = apns::kind(push);
    let mut headers = Headers::from_iter([
        ("apns-push-type".to_owned(), push_type.into()),
        ("apns-priority".to_owned(), priority.into()),
        ("apns-expiration".to_owned(), apns::expiration(ttl, now).to_string().into()),
    ]);
    // A hash serves as well: only Apple reads it.
    if let Some(key) = apns::collapse(push, &mut Vec::new()) {
        headers.insert("apns-collapse-id".to_owned(), key.into());
    }
    headers
}

/// The part for browsers: headers for the push service, and the notification that the message replaces.
pub(super) fn webpush(push: &Push, ttl: u64) -> Value {
    let mut headers = Headers::from_iter([
        ("TTL".to_owned(), ttl.to_string().into()),
        ("Urgency".to_owned(), webpush::urgency(push).into()),
    ]);
    if let Some(topic) = webpush::topic(push, &mut Vec::new()) {
        headers.insert("Topic".to_owned(), topic.into());
    }
    let mut part = json!({"headers": headers});
    if let (Kind::Alert, Some(key)) = (push.kind, &push.collapse_key) {
        part["notification"] = json!({"tag": key});
    }
    part
}
