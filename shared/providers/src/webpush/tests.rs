use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey};
use ring::rand::SystemRandom;

use super::*;
use crate::outcome::Load;
use crate::providers::tests::{VAPID_PUBLIC, credentials};
use crate::push::tests::push;

const NOW: u64 = 1_700_000_000;
const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

fn browser() -> (EphemeralPrivateKey, Subscription) {
    let key = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
    let p256dh = base64url(key.compute_public_key().unwrap().as_ref());
    let endpoint = "https://push.example.net/p/1";
    let json = json!({"endpoint": endpoint, "expirationTime": null, "keys": {"p256dh": p256dh, "auth": AUTH}});
    (key, Subscription::parse(&json.to_string(), Reach::Public).unwrap())
}

#[test]
fn a_browser_opens_what_was_sent() {
    let (key, subscription) = browser();
    let prepared = request(&push(), &subscription, &credentials().webpush.unwrap(), NOW).unwrap();
    let headers = prepared.request.headers();
    let expected = [
        ("ttl", "3600"),
        ("urgency", "high"),
        ("topic", "flight-7"),
        ("content-encoding", "aes128gcm"),
        ("content-type", "application/octet-stream"),
    ];
    for (name, value) in expected {
        assert_eq!(headers[name], value, "{name}");
    }
    let plain = encryption::open(key, &subscription.auth, prepared.request.body()).unwrap();
    let plain: Value = serde_json::from_slice(&plain).unwrap();
    let expected = json!({
        "id": push().id().to_string(), "title": "Gate change", "body": "Now B 12", "badge": 3,
        "data": {"id": "01JD4Z0000000000000000MSGE"},
    });
    assert_eq!(plain, expected);
    assert_eq!(prepared.effective.downgrades, [Downgrade::Ignored(Feature::Sound)]);
}

#[test]
fn a_body_has_at_most_4096_bytes() {
    let (key, subscription) = browser();
    let large = Push { body: Some("x".repeat(10_000)), ..push() };
    let prepared = request(&large, &subscription, &credentials().webpush.unwrap(), NOW).unwrap();
    assert_eq!(prepared.request.body().len(), 4096);
    let plain = encryption::open(key, &subscription.auth, prepared.request.body()).unwrap();
    assert_eq!(plain.len(), PLAINTEXT_BYTES);
}

#[test]
fn vapid_says_who_sends() {
    let (_, subscription) = browser();
    let credentials = credentials().webpush.unwrap();
    let header = vapid(&credentials, &subscription.endpoint, NOW).unwrap();
    let (token, key) = header.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
    assert_eq!(key, VAPID_PUBLIC);
    let (header, claims): (_, Value) = jws::verify(token, &credentials.key.public()).unwrap();
    assert_eq!(json!(header), json!({"alg": "ES256", "typ": "JWT"}));
    let expected = json!({"aud": "https://push.example.net", "exp": NOW + 43_200, "sub": "mailto:push@example.com"});
    assert_eq!(claims, expected);
}

#[test]
fn a_topic_has_32_characters_of_base64url() {
    let (_, subscription) = browser();
    let credentials = credentials().webpush.unwrap();
    for (key, kept) in [("a".repeat(32), true), ("a".repeat(33), false), ("flight 7".to_owned(), false)] {
        let push = Push { collapse_key: Some(key.clone()), sound: None, ..push() };
        let prepared = request(&push, &subscription, &credentials, NOW).unwrap();
        let topic = prepared.request.headers()["topic"].to_str().unwrap();
        assert_eq!((topic == key, topic.len()), (kept, 32), "{key}");
        assert_eq!(prepared.effective.downgrades.is_empty(), kept, "{key}");
    }
}

#[test]
fn what_is_wrong_with_a_subscription_is_named() {
    let good = json!({"endpoint": "https://push.example.net/p/1", "keys": {"p256dh": VAPID_PUBLIC, "auth": AUTH}});
    assert!(Subscription::parse(&good.to_string(), Reach::Public).is_ok());
    let cases = [
        ("/endpoint", json!(1), SubscriptionError::Malformed),
        ("/endpoint", json!("https://10.0.0.1/p"), SubscriptionError::Endpoint(EndpointError::Address)),
        ("/endpoint", json!("http://push.example.net/p"), SubscriptionError::Endpoint(EndpointError::Scheme)),
        ("/keys/p256dh", json!("!"), SubscriptionError::P256dh),
        ("/keys/p256dh", json!(AUTH), SubscriptionError::P256dh),
        ("/keys/auth", json!("AAAA"), SubscriptionError::Auth),
        ("/keys", json!(null), SubscriptionError::Malformed),
    ];
    for (pointer, value, expected) in cases {
        let mut wrong = good.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        assert_eq!(Subscription::parse(&wrong.to_string(), Reach::Public), Err(expected), "{pointer}");
    }
}

fn keys(p256dh: &str, auth: &str) -> Result<Subscription, SubscriptionError> {
    Subscription::new("https://push.example.net/p/1", p256dh, auth, Reach::Public)
}

#[test]
fn a_point_beside_the_curve_is_no_key() {
    let good = from_base64url_or_padded(VAPID_PUBLIC).unwrap();
    let changed = |place: usize, value: u8| {
        let mut point = good.clone();
        point[place] = value;
        point
    };
    let (largest, mut infinity) = ([&[4][..], &[0xff; 64]].concat(), vec![0; 65]);
    infinity[0] = 4;
    for wrong in [
        changed(40, good[40] ^ 1),
        changed(1, good[1] ^ 0x80),
        changed(64, good[64].wrapping_add(1)),
        // Compressed, hybrid, and invalid.
        changed(0, 2),
        changed(0, 6),
        vec![4; 65],
        largest,
        infinity,
        good[..33].to_vec(),
    ] {
        assert_eq!(keys(&base64url(&wrong), AUTH), Err(SubscriptionError::P256dh), "{wrong:?}");
    }
}

#[test]
fn padding_is_no_part_of_a_key() {
    let bare = keys(VAPID_PUBLIC, AUTH).unwrap();
    assert_eq!(keys(&format!("{VAPID_PUBLIC}="), &format!("{AUTH}==")), Ok(bare.clone()));
    assert_eq!(keys(&format!("{VAPID_PUBLIC}="), AUTH), Ok(bare));
    for more in ["==", "===", "=A"] {
        assert_eq!(keys(&format!("{VAPID_PUBLIC}{more}"), AUTH), Err(SubscriptionError::P256dh), "{more}");
    }
    assert_eq!(keys(VAPID_PUBLIC, &format!("{AUTH}=")), Err(SubscriptionError::Auth));
}

#[test]
fn a_contact_is_an_address_or_a_page() {
    for good in [
        "mailto:push@example.com",
        "mailto:web.push+1@mail.example.co.uk",
        "https://example.com/contact",
        "https://example.com",
    ] {
        assert!(is_contact(good), "{good}");
    }
    for bad in [
        "",
        "mailto:",
        "mailto:push",
        "mailto:push@",
        "mailto:@example.com",
        "mailto:push@localhost",
        "mailto:push@example..com",
        "mailto:push@-example.com",
        "mailto:a b@example.com",
        "mailto: push@example.com",
        "mailto:push@example.com ",
        "mailto:<push@example.com>",
        "mailto:a@example.com,b@example.com",
        "mailto:push@example.com?subject=x",
        "mailto:a@b@example.com",
        "MAILTO:push@example.com",
        "mailto:pùsh@example.com",
        "https:",
        "https://",
        "https:example.com",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://example.com:99999/",
        "https://user@example.com/",
        "https://exa mple.com/",
        "http://example.com/",
    ] {
        assert!(!is_contact(bad), "{bad}");
    }
}

#[test]
fn every_answer_has_a_meaning() {
    let refused = |code: &str, detail: Option<&str>, fate| Outcome::Refused {
        code: code.to_owned(),
        detail: detail.map(str::to_owned),
        fate,
    };
    let busy = |code: &str, load| {
        let retry_after = Some(Duration::from_secs(7));
        Outcome::Busy { code: code.to_owned(), detail: None, load, retry_after }
    };
    let gone = Fate::Remove { since: None };
    let accepted = Outcome::Accepted { id: Some("https://push.example.net/m/1".to_owned()) };
    let cases = [
        (201, "", accepted.clone()),
        (200, "", accepted),
        (400, r#"{"reason":"BadJwtToken"}"#, refused("400", Some("BadJwtToken"), Fate::Keep)),
        (401, "<html>", refused("401", None, Fate::Keep)),
        (403, "expected the other key", refused("403", Some("expected the other key"), Fate::Keep)),
        (404, "", refused("404", None, gone)),
        (410, r#"{"errno":106,"message":"gone"}"#, refused("410", Some("gone"), gone)),
        (413, "", refused("413", None, Fate::Keep)),
        (429, "", busy("429", Load::Throttled)),
        (500, "", busy("500", Load::Failing)),
        (301, "", refused("301", None, Fate::Keep)),
    ];
    for (status, body, expected) in cases {
        let headers = HeaderMap::from_iter([
            (header::LOCATION, HeaderValue::from_static("https://push.example.net/m/1")),
            (header::RETRY_AFTER, HeaderValue::from_static("7")),
        ]);
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers, body: Bytes::from(body) };
        assert_eq!(outcome(&answer, NOW), expected, "{status}");
    }
}

#[test]
fn a_push_service_may_keep_it_for_less_long() {
    let mut effective = Effective { ttl: Some(3600), ..Effective::default() };
    let mut answer = Answer { status: StatusCode::CREATED, headers: HeaderMap::new(), body: Bytes::new() };
    shorten(&mut effective, &answer);
    assert_eq!(effective.ttl, Some(3600));
    answer.headers.insert("ttl", HeaderValue::from_static("60"));
    shorten(&mut effective, &answer);
    assert_eq!(effective.downgrades, [Downgrade::TtlCut { asked: 3600, given: 60 }]);
}
