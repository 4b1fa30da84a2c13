use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::*;
use crate::outcome::Load;
use crate::providers::tests::credentials;
use crate::push::{Downgrade, Kind, Priority, tests::push};

const NOW: u64 = 1_700_000_000;

fn prepared(push: &Push) -> (Prepared, Value) {
    let to = RegistrationToken::parse("device:APA91").unwrap();
    let prepared = request(push, &to, "example", "T", BASE, NOW).unwrap();
    let body = serde_json::from_slice(prepared.request.body()).unwrap();
    (prepared, body)
}

#[test]
fn an_alert() {
    let (prepared, body) = prepared(&push());
    assert_eq!(prepared.request.uri(), "https://fcm.googleapis.com/v1/projects/example/messages:send");
    assert_eq!(prepared.request.headers()["authorization"], "Bearer T");
    let expected = json!({"message": {
        "token": "device:APA91",
        "notification": {"title": "Gate change", "body": "Now B 12"},
        "data": {"id": "01JD4Z0000000000000000MSGE"},
        "android": {
            "priority": "HIGH", "ttl": "3600s", "collapse_key": "flight-7",
            "notification": {"sound": "chime.caf", "notification_count": 3, "tag": "flight-7"},
        },
        "apns": {
            "headers": {
                "apns-push-type": "alert", "apns-priority": "10", "apns-expiration": "1700003600",
                "apns-collapse-id": "flight-7",
            },
            "payload": {"aps": {"badge": 3, "sound": "chime.caf", "mutable-content": 1}},
        },
        "webpush": {
            "headers": {"TTL": "3600", "Urgency": "high", "Topic": "flight-7"},
            "notification": {"tag": "flight-7"},
        },
    }});
    assert_eq!(body, expected);
    assert_eq!(prepared.effective.downgrades, []);
}

#[test]
fn a_background_push_is_data_alone() {
    let quiet =
        Push { kind: Kind::Background, priority: Priority::Normal, ttl: u64::MAX, collapse_key: None, ..push() };
    let (prepared, body) = prepared(&quiet);
    let expected = json!({"message": {
        "token": "device:APA91",
        "data": {"id": "01JD4Z0000000000000000MSGE"},
        "android": {"priority": "NORMAL", "ttl": "2419200s"},
        "apns": {
            "headers": {"apns-push-type": "background", "apns-priority": "5", "apns-expiration": "1702419200"},
            "payload": {"aps": {"content-available": 1}},
        },
        "webpush": {"headers": {"TTL": "2419200", "Urgency": "normal"}},
    }});
    assert_eq!(body, expected);
    assert_eq!(prepared.effective.downgrades, [Downgrade::TtlCut { asked: u64::MAX, given: TTL_SECONDS }]);
}

/// Limits of Apple and of push services apply to their own parts, and nothing else of the message changes.
#[test]
fn each_platform_is_told_in_its_own_terms() {
    let (_, body) = prepared(&Push { ttl: 0, badge: Some(0), sound: None, mutable: false, ..push() });
    assert_eq!(body["message"]["apns"]["headers"]["apns-expiration"], "0", "now or never");
    assert_eq!(body["message"]["apns"]["payload"], json!({"aps": {"badge": 0}}), "which removes it");
    let (prepared, body) = prepared(&Push { collapse_key: Some("航班 7".to_owned()), ..push() });
    let message = &body["message"];
    assert_eq!(message["android"]["collapse_key"], "航班 7");
    for (part, name) in [("apns", "apns-collapse-id"), ("webpush", "Topic")] {
        assert!(message[part]["headers"][name].as_str().unwrap().is_ascii(), "{part}: {message}");
    }
    assert_eq!(message["webpush"]["notification"]["tag"], "航班 7");
    assert_eq!(prepared.effective.downgrades, []);
    let urgent = Push { kind: Kind::Background, priority: Priority::High, ..push() };
    assert_eq!(self::prepared(&urgent).1["message"]["apns"]["headers"]["apns-priority"], "5", "10 would be an error");
}

#[test]
fn a_payload_has_at_most_4096_bytes() {
    let mut large = push();
    large.data.insert("sealed".to_owned(), "x".repeat(5000));
    large.body = Some("\"".repeat(5000));
    let (prepared, body) = prepared(&large);
    let content = json!({"notification": body["message"]["notification"], "data": {}}).to_string();
    assert!(content.len() <= PAYLOAD_BYTES + r#","data":{}"#.len(), "{}", content.len());
    assert_eq!(prepared.effective.downgrades.last(), Some(&Downgrade::TextCut { field: "body" }));
}

#[test]
fn an_assertion_asks_for_a_token() {
    let credentials = credentials().fcm.unwrap();
    let request = token_request(&credentials, NOW).unwrap();
    assert_eq!(request.uri(), "https://oauth2.googleapis.com/token");
    let form: Vec<(String, String)> = form_urlencoded::parse(request.body()).into_owned().collect();
    assert_eq!(form[0], ("grant_type".to_owned(), "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()));
    let (header, claims): (_, Value) = jws::verify(&form[1].1, &credentials.private_key.public()).unwrap();
    assert_eq!(json!(header), json!({"alg": "RS256", "typ": "JWT"}));
    let expected = json!({
        "iss": "push@example.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": NOW,
        "exp": NOW + 3600,
    });
    assert_eq!(claims, expected);
}

fn answer(status: u16, body: &str) -> Answer {
    let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("30"))]);
    let status = StatusCode::from_u16(status).unwrap();
    Answer { status, headers, body: Bytes::from(body.to_owned()) }
}

#[test]
fn an_access_token_serves_until_a_minute_before_its_end() {
    let granted = answer(200, r#"{"access_token":"ya29.secret","expires_in":3599,"token_type":"Bearer"}"#);
    let token = access_token(&granted, NOW).unwrap();
    assert!(token.serves(NOW + 3538) && !token.serves(NOW + 3539));
    assert!(!format!("{token:?}").contains("ya29"));
    let denied = answer(400, r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#);
    let expected = Outcome::Refused {
        code: "400 invalid_grant".to_owned(),
        detail: Some("Invalid JWT Signature.".to_owned()),
        fate: Fate::Keep,
    };
    assert_eq!(access_token(&denied, NOW), Err(expected));
    assert!(matches!(access_token(&answer(200, "{}"), NOW), Err(Outcome::Unreachable { .. })));
    assert!(matches!(access_token(&answer(503, ""), NOW), Err(Outcome::Busy { .. })));
}

#[test]
fn every_answer_has_a_meaning() {
    let error = |code: u16, status: &str, own: Option<&str>, more: Value| {
        let own = own.map(|own| json!({"@type": FCM_ERROR, "errorCode": own}));
        let details: Vec<Value> = own.into_iter().chain((!more.is_null()).then_some(more)).collect();
        json!({"error": {"code": code, "message": "M", "status": status, "details": details}}).to_string()
    };
    let refused = |code: &str, fate| Outcome::Refused { code: code.to_owned(), detail: Some("M".to_owned()), fate };
    let busy = |code: &str, load| {
        let retry_after = Some(Duration::from_secs(30));
        Outcome::Busy { code: code.to_owned(), detail: Some("M".to_owned()), load, retry_after }
    };
    let gone = Fate::Remove { since: None };
    let bad_request = "type.googleapis.com/google.rpc.BadRequest";
    let violation = |field| json!({"@type": bad_request, "fieldViolations": [{"field": field, "description": "D"}]});
    let cases = [
        (
            200,
            r#"{"name":"projects/example/messages/0:1"}"#.to_owned(),
            Outcome::Accepted { id: Some("projects/example/messages/0:1".to_owned()) },
        ),
        (404, error(404, "NOT_FOUND", Some("UNREGISTERED"), Value::Null), refused("404 UNREGISTERED", gone)),
        (
            403,
            error(403, "PERMISSION_DENIED", Some("SENDER_ID_MISMATCH"), Value::Null),
            refused("403 SENDER_ID_MISMATCH", Fate::Keep),
        ),
        (
            400,
            error(400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), violation("message.token")),
            refused("400 INVALID_ARGUMENT", gone),
        ),
        (
            400,
            error(400, "INVALID_ARGUMENT", Some("INVALID_ARGUMENT"), violation("message.android.ttl")),
            refused("400 INVALID_ARGUMENT", Fate::Keep),
        ),
        (400, error(400, "INVALID_ARGUMENT", None, Value::Null), refused("400 INVALID_ARGUMENT", Fate::Keep)),
        (
            401,
            error(401, "UNAUTHENTICATED", Some(THIRD_PARTY), Value::Null),
            refused("401 THIRD_PARTY_AUTH_ERROR", Fate::Keep),
        ),
        (404, error(404, "NOT_FOUND", None, Value::Null), refused("404 NOT_FOUND", Fate::Keep)),
        (
            429,
            error(429, "RESOURCE_EXHAUSTED", Some("QUOTA_EXCEEDED"), Value::Null),
            busy("429 QUOTA_EXCEEDED", Load::Throttled),
        ),
        (503, error(503, "UNAVAILABLE", Some("UNAVAILABLE"), Value::Null), busy("503 UNAVAILABLE", Load::Failing)),
        (500, error(500, "INTERNAL", Some("INTERNAL"), Value::Null), busy("500 INTERNAL", Load::Failing)),
    ];
    for (status, body, expected) in cases {
        assert_eq!(outcome(&answer(status, &body), NOW), expected, "{body}");
    }
}

#[test]
fn a_registration_token_has_no_odd_characters() {
    for text in ["", "a b", "a/b", "ü", &"x".repeat(4097)] {
        assert_eq!(RegistrationToken::parse(text), Err(RegistrationTokenError));
    }
}
