//! Mi Push of Xiaomi (<https://dev.mi.com/xiaomihyperos/documentation/detail?pId=1559>).

use std::fmt;

use bytes::Bytes;
use form_urlencoded::Serializer;
use http::{Request, StatusCode, header};
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::Value;
use tidings_crypto::encoding::hex;

use crate::answer::Answer;
use crate::credentials::{CredentialsError, Part, Secret};
use crate::http::{Client, Protocol};
use crate::meaning::{self, Codes};
use crate::outcome::{Fate, Outcome, Sent, Unanswered, shortened};
use crate::push::{Downgrade, Effective, Feature, Invalid, Kind, Prepared, Priority, Push, at_most, fit};

/// The server of Xiaomi.
pub const BASE: &str = "https://api.xmpush.xiaomi.com";

/// The largest payload, in bytes.
pub const PAYLOAD_BYTES: usize = 4096;
/// The longest time to live that is asked of Xiaomi, in seconds: a day, though its page allows up to two weeks.
pub const TTL_SECONDS: u64 = 24 * 60 * 60;
/// A title is shorter than 50 characters, a description than 128.
const TITLE_CHARS: usize = 49;
const DESCRIPTION_CHARS: usize = 127;
/// The longest alias or topic that is accepted, in characters.
const NAME_CHARS: usize = 1000;

/// The devices that a push reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Their address.
    pub audience: Audience,
    /// The kind of device, because Xiaomi takes other fields for each.
    pub platform: Platform,
}

/// The address of a push.
#[derive(Clone, PartialEq, Eq)]
pub enum Audience {
    /// The devices that have set this alias: the MD5 of the user's alias, see [`Audience::user`].
    Alias(String),
    /// The devices that have subscribed to this topic.
    Topic(String),
}

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Android.
    Android,
    /// iOS.
    Ios,
}

/// The text is neither an alias nor a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a topic of Mi Push: expected 1 to {NAME_CHARS} characters without a comma")]
pub struct TopicError;

impl fmt::Debug for Audience {
    /// Anyone who knows an alias knows its MD5.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias(_) => f.write_str("Alias(***)"),
            Self::Topic(topic) => f.debug_tuple("Topic").field(topic).finish(),
        }
    }
}

impl Audience {
    /// A user, by the MD5 of the alias in hexadecimal. Clients set it as their alias at Xiaomi. The alias itself may be
    /// a phone number, and may contain a comma, by which Xiaomi separates aliases.
    #[must_use]
    pub fn user(alias: &str) -> Self {
        Self::Alias(hex(&Md5::digest(alias.as_bytes())))
    }

    /// A topic.
    ///
    /// # Errors
    /// If the text is not a topic.
    pub fn topic(name: &str) -> Result<Self, TopicError> {
        let fits = (1..=NAME_CHARS).contains(&name.chars().count()) && !name.contains(',');
        if fits { Ok(Self::Topic(name.to_owned())) } else { Err(TopicError) }
    }
}

/// An app that is registered with Xiaomi.
#[derive(Debug)]
pub struct Credentials {
    /// Its `AppSecret`.
    pub app_secret: Secret,
    /// Its package name, or its bundle id.
    pub package_name: String,
}

impl Credentials {
    pub(crate) fn read(part: &Part<'_>) -> Result<Self, CredentialsError> {
        part.only(&["appSecret", "packageName"])?;
        Ok(Self { app_secret: part.printable("appSecret")?.into(), package_name: part.printable("packageName")? })
    }
}

/// The client of one app.
#[derive(Debug)]
pub struct Mipush {
    credentials: Credentials,
    base: String,
}

impl Mipush {
    /// A client that calls `base`, or Xiaomi if it is `None`.
    #[must_use]
    pub fn new(credentials: Credentials, base: Option<String>) -> Self {
        Self { credentials, base: base.unwrap_or_else(|| BASE.to_owned()) }
    }

    /// Sends a push; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// If the provider cannot take the push, see [`Invalid`]; then nothing was sent.
    pub async fn send(&self, http: &Client, push: &Push, to: &Recipient, now: u64) -> Result<Sent, Invalid> {
        let Prepared { request, effective } = request(push, to, &self.credentials, &self.base)?;
        let answered = http.send(request, Protocol::Negotiated).await;
        let outcome = answered.map_or_else(Outcome::from, |answer| outcome(&answer, now));
        Ok(Sent { effective, outcome })
    }
}

/// The request for a push: a form for `/v3/message/alias` or `/v3/message/topic`.
///
/// On Android the data is the payload, as a JSON object. With an alert, the app receives it when the person taps the
/// notification; without one it is passed through. On iOS each item of the data is a separate field.
///
/// # Errors
/// If the provider cannot take the push, see [`Invalid`].
pub fn request(push: &Push, to: &Recipient, credentials: &Credentials, base: &str) -> Result<Prepared, Invalid> {
    push.check()?;
    let mut downgrades = Vec::new();
    let ttl = push.ttl_within(TTL_SECONDS, &mut downgrades);
    match push.priority {
        Priority::High => downgrades.push(Downgrade::Ignored(Feature::Priority)),
        Priority::Normal => {}
    }
    let (path, field, name) = match &to.audience {
        Audience::Alias(alias) => ("alias", "alias", alias),
        Audience::Topic(topic) => ("topic", "topic", topic),
    };
    let mut form = Serializer::new(String::new());
    form.append_pair(field, name)
        .append_pair("restricted_package_name", &credentials.package_name)
        .append_pair("time_to_live", &(ttl * 1000).to_string());
    let collapse = match to.platform {
        Platform::Android => android(push, &mut form, &mut downgrades)?,
        Platform::Ios => ios(push, &mut form, &mut downgrades)?,
    };
    let request = Request::post(format!("{base}/v3/message/{path}"))
        // In lower case, as Xiaomi documents it.
        .header(header::AUTHORIZATION, format!("key={}", credentials.app_secret.reveal()))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded;charset=UTF-8")
        .body(Bytes::from(form.finish()))?;
    Ok(Prepared { request, effective: Effective { ttl: Some(ttl), priority: None, collapse, downgrades } })
}

type Form = Serializer<'static, String>;

fn android(push: &Push, form: &mut Form, downgrades: &mut Vec<Downgrade>) -> Result<Option<String>, Invalid> {
    let payload = fit(push, PAYLOAD_BYTES, downgrades, |push| serde_json::json!(push.data).to_string().into_bytes())?;
    form.append_pair("payload", &String::from_utf8_lossy(&payload));
    if push.kind == Kind::Background {
        form.append_pair("pass_through", "1");
        return Ok(None);
    }
    let (title, body) = shown(push, downgrades);
    form.append_pair("pass_through", "0").append_pair("title", &title).append_pair("description", &body);
    // -1: sound, vibration and light as the person has set them; 2: no sound.
    form.append_pair("notify_type", if push.sound.is_some() { "-1" } else { "2" });
    if push.badge.is_some() {
        downgrades.push(Downgrade::Ignored(Feature::Badge));
    }
    let Some(key) = &push.collapse_key else { return Ok(None) };
    // A notification replaces the one with the same number.
    let hash = Md5::digest(key.as_bytes());
    let number = i32::from_be_bytes([hash[0] & 0x7f, hash[1], hash[2], hash[3]]).to_string();
    downgrades.push(Downgrade::CollapseKeyHashed);
    form.append_pair("notify_id", &number);
    Ok(Some(number))
}

fn ios(push: &Push, form: &mut Form, downgrades: &mut Vec<Downgrade>) -> Result<Option<String>, Invalid> {
    // Xiaomi makes an APNs payload of it, which has the same limit.
    let kept = fit(push, PAYLOAD_BYTES, downgrades, |push| serde_json::json!(push.data).to_string().into_bytes())?;
    let kept: Value = serde_json::from_slice(&kept).unwrap_or_default();
    for (name, value) in kept.as_object().into_iter().flatten() {
        form.append_pair(&format!("extra.{name}"), value.as_str().unwrap_or_default());
    }
    if push.collapse_key.is_some() {
        downgrades.push(Downgrade::Ignored(Feature::CollapseKey));
    }
    if push.kind == Kind::Background {
        form.append_pair("extra.content-available", "1");
        return Ok(None);
    }
    let (title, body) = shown(push, downgrades);
    form.append_pair("description", &body)
        .append_pair("aps_proper_fields.title", &title)
        .append_pair("aps_proper_fields.body", &body);
    if let Some(badge) = push.badge {
        form.append_pair("extra.badge", &badge.to_string());
    }
    if let Some(sound) = &push.sound {
        form.append_pair("extra.sound_url", sound);
    }
    if push.mutable {
        form.append_pair("aps_proper_fields.mutable-content", "1");
    }
    Ok(None)
}

/// Title and description. A notification requires both: if one is missing, the other replaces it.
fn shown(push: &Push, downgrades: &mut Vec<Downgrade>) -> (String, String) {
    let (title, body) = push.shown();
    let (title, body) = (title.or(body).unwrap_or("…"), body.or(title).unwrap_or("…"));
    (at_most(title, TITLE_CHARS, "title", downgrades), at_most(body, DESCRIPTION_CHARS, "body", downgrades))
}

#[derive(Deserialize)]
struct Reply {
    result: String,
    code: i64,
    data: Option<Data>,
    reason: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct Data {
    id: Option<String>,
}

/// Sending failed; with the reason `No valid targets!` if no device has the alias.
const NOT_SENT: i64 = 20_301;

/// The outcome of an answer. Xiaomi refuses with status 200.
#[must_use]
pub fn outcome(answer: &Answer, now: u64) -> Outcome {
    let reply = serde_json::from_slice(&answer.body).ok();
    let Some(Reply { result, code, data, reason, description }) = reply else {
        return if answer.status == StatusCode::OK {
            // A proxy's page, or half an answer: the fate of the push is unknown.
            Outcome::Unanswered(Unanswered::Cut)
        } else {
            answer.failure(None, None, Fate::Keep, now)
        };
    };
    if result == "ok" && code == 0 {
        return Outcome::Accepted { id: data.and_then(|data| data.id) };
    }
    let detail = reason.as_deref().or(description.as_deref()).map(shortened);
    let is_without_target =
        code == NOT_SENT && reason.is_some_and(|reason| reason.to_lowercase().contains("no valid targets"));
    let fate = if is_without_target { Fate::Remove { since: None } } else { Fate::Keep };
    answer.meant(meaning::of_number(Codes::Mipush, code), code.to_string(), detail, fate, now)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::HeaderMap;

    use super::*;
    use crate::outcome::Load;
    use crate::providers::tests::credentials;
    use crate::push::tests::push;

    fn prepared(push: &Push, audience: Audience, platform: Platform) -> (Prepared, BTreeMap<String, String>) {
        let to = Recipient { audience, platform };
        let prepared = request(push, &to, &credentials().mipush.unwrap(), BASE).unwrap();
        let form = form_urlencoded::parse(prepared.request.body()).into_owned().collect();
        (prepared, form)
    }

    fn fields(expected: &[(&str, &str)]) -> BTreeMap<String, String> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_notification_for_an_alias_on_android() {
        let (prepared, form) = prepared(&push(), Audience::user("alice"), Platform::Android);
        assert_eq!(prepared.request.uri(), "https://api.xmpush.xiaomi.com/v3/message/alias");
        assert_eq!(prepared.request.headers()["authorization"], "key=MiSecret==");
        let number = prepared.effective.collapse.clone().unwrap();
        let expected = [
            ("alias", "6384e2b2184bcbf58eccf10ca7a6563c"),
            ("restricted_package_name", "com.example.app"),
            ("time_to_live", "3600000"),
            ("payload", r#"{"id":"01JD4Z0000000000000000MSGE"}"#),
            ("pass_through", "0"),
            ("title", "Gate change"),
            ("description", "Now B 12"),
            ("notify_type", "-1"),
            ("notify_id", &number),
        ];
        assert_eq!(form, fields(&expected));
        let downgrades =
            [Downgrade::Ignored(Feature::Priority), Downgrade::Ignored(Feature::Badge), Downgrade::CollapseKeyHashed];
        assert_eq!(prepared.effective.downgrades, downgrades);
    }

    #[test]
    fn a_payload_passes_through_on_android() {
        let quiet = Push { kind: Kind::Background, priority: Priority::Normal, ttl: 0, ..push() };
        let (prepared, form) = prepared(&quiet, Audience::topic("news").unwrap(), Platform::Android);
        assert_eq!(prepared.request.uri().path(), "/v3/message/topic");
        let expected = [
            ("topic", "news"),
            ("restricted_package_name", "com.example.app"),
            ("time_to_live", "0"),
            ("payload", r#"{"id":"01JD4Z0000000000000000MSGE"}"#),
            ("pass_through", "1"),
        ];
        assert_eq!(form, fields(&expected));
        assert_eq!(prepared.effective.downgrades, []);
    }

    #[test]
    fn on_ios_data_is_extra() {
        let (_, form) = prepared(&push(), Audience::user("alice"), Platform::Ios);
        let expected = [
            ("alias", "6384e2b2184bcbf58eccf10ca7a6563c"),
            ("restricted_package_name", "com.example.app"),
            ("time_to_live", "3600000"),
            ("extra.id", "01JD4Z0000000000000000MSGE"),
            ("description", "Now B 12"),
            ("aps_proper_fields.title", "Gate change"),
            ("aps_proper_fields.body", "Now B 12"),
            ("aps_proper_fields.mutable-content", "1"),
            ("extra.badge", "3"),
            ("extra.sound_url", "chime.caf"),
        ];
        assert_eq!(form, fields(&expected));
        let quiet = Push { kind: Kind::Background, ..push() };
        let (_, form) = prepared(&quiet, Audience::user("alice"), Platform::Ios);
        assert_eq!(form["extra.content-available"], "1");
        assert!(!form.contains_key("description"));
    }

    #[test]
    fn nothing_is_kept_longer_than_a_day() {
        for (asked, given) in [(86_399, 86_399), (86_400, 86_400), (86_401, 86_400), (u64::MAX, 86_400)] {
            let push = Push { ttl: asked, priority: Priority::Normal, collapse_key: None, badge: None, ..push() };
            let (prepared, form) = prepared(&push, Audience::user("alice"), Platform::Android);
            assert_eq!(form["time_to_live"], (given * 1000).to_string());
            assert_eq!(prepared.effective.ttl, Some(given));
            let downgrades: Vec<String> = prepared.effective.downgrades.iter().map(ToString::to_string).collect();
            let cut = (asked > given).then(|| format!("ttl cut from {asked} s to 86400 s"));
            assert_eq!(downgrades, cut.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let long = Push { title: Some("字".repeat(50)), body: Some("x".repeat(128)), ..push() };
        let (prepared, form) = prepared(&long, Audience::user("alice"), Platform::Android);
        assert_eq!(form["title"].chars().count(), 49);
        assert_eq!(form["description"].chars().count(), 127);
        assert!(prepared.effective.downgrades.contains(&Downgrade::TextCut { field: "title" }));
        assert!(prepared.effective.downgrades.contains(&Downgrade::TextCut { field: "body" }));
    }

    #[test]
    fn every_answer_has_a_meaning() {
        let refused = |code: &str, detail: &str, fate| Outcome::Refused {
            code: code.to_owned(),
            detail: Some(detail.to_owned()),
            fate,
        };
        let busy = |code: &str, detail: Option<&str>, load| Outcome::Busy {
            code: code.to_owned(),
            detail: detail.map(str::to_owned),
            load,
            retry_after: None,
        };
        let cases = [
            (
                200,
                r#"{"result":"ok","trace_id":"X","code":0,"data":{"id":"slm1"},"description":"成功",
                    "info":"Received push messages for 1 ALIAS"}"#,
                Outcome::Accepted { id: Some("slm1".to_owned()) },
            ),
            (
                200,
                r#"{"result":"error","reason":"Invalid application credentials.","trace_id":"X","code":21301,
                    "description":"认证失败"}"#,
                refused("21301", "Invalid application credentials.", Fate::Keep),
            ),
            (
                200,
                r#"{"result":"error","reason":"No valid targets!","code":20301,"description":"发送消息失败"}"#,
                refused("20301", "No valid targets!", Fate::Remove { since: None }),
            ),
            (
                200,
                r#"{"result":"error","code":10017,"description":"参数值非法"}"#,
                refused("10017", "参数值非法", Fate::Keep),
            ),
            (200, r#"{"result":"error","code":10022,"description":"IP"}"#, busy("10022", Some("IP"), Load::Throttled)),
            (200, r#"{"result":"error","code":10001}"#, busy("10001", None, Load::Failing)),
            (200, "<html>", Outcome::Unanswered(Unanswered::Cut)),
            (429, "", busy("429", None, Load::Throttled)),
            (502, "<html>", busy("502", None, Load::Failing)),
            (404, "", Outcome::Refused { code: "404".to_owned(), detail: None, fate: Fate::Keep }),
        ];
        for (status, body, expected) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            let answer = Answer { status, headers: HeaderMap::new(), body: Bytes::from(body) };
            assert_eq!(outcome(&answer, 0), expected, "{body}");
        }
    }

    #[test]
    fn a_topic_has_no_comma() {
        for name in ["", "a,b", &"x".repeat(1001)] {
            assert_eq!(Audience::topic(name), Err(TopicError));
        }
    }
}
