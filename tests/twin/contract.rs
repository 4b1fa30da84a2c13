//! The documents for machines, `docs/openapi.yaml` and `docs/asyncapi.yaml`, say what the code says: the same fields of the
//! same types, the same of them required, the same words, limits, codes and routes. Whatever is added to one of them fails
//! here until it is in the other.
//!
//! The code's types are written out in full, so that a new field does not compile until it has a value here. That the service
//! behaves as the documents say is seen by `tests/contract`.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::SinkExt;
use sam_twin::{
    gateway::websocket::{BinaryFrames, SocketLimits},
    template::{Secrets, Settings, Template},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tidings_crypto::{
    frame::ContentKey,
    jwk::{Jwk, SecretText},
    keys::{KeyId, KeyUse, TokenKey},
    token::{self, Claims},
};
use tidings_domain::{MessageId, announcement, chain::Chains, mailbox::Misplaced, message, presence};
use tidings_lambda::{http::ApiError, socket::Refusal};
use tidings_wire::{
    Action, AnnounceAnswer, AnnounceRequest, Choice, Content, DeviceAnswer, FieldProblem, Frame, InboxAnswer,
    InboxMessage, InboxRequest, ItemAnswer, ItemRequest, MessageFrame, Platform, Preferences, Problem, PushAddress,
    RegisterAnswer, RegisterRequest, SendAnswer, SendRequest, Timestamp, Trail, UnreadAnswer,
    action::{AppState, Position, Receipt},
    announcement::{AnnouncementAnswer, AnnouncementsAnswer, AnnouncementsRequest, WithdrawAnswer},
    device::{DeviceKeys, WebpushKeys},
    frame::{Announced, AnnouncementFrame, ErrorFrame, Pong, Reconnect, Synced},
    json::JsonError,
    limits,
    preferences::{CategoryPreferences, QuietHours, WallTime},
    send::{
        AudienceType, CancelAnswer, Channel, Condition, Downgrade, FallbackStep, MsgType, Priority, PushMsgType, Source,
    },
    trail::{DeviceState, DeviceTrail, Event, RecipientTrail, State, Transition},
};
use tokio_tungstenite::tungstenite::Message;

use crate::world::{World, repository};

// -- The documents -------------------------------------------------------------------------------------------------------

struct Document(Value);

fn openapi() -> Document {
    Document::read("openapi.yaml")
}

fn asyncapi() -> Document {
    Document::read("asyncapi.yaml")
}

impl Document {
    fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(repository().join("docs").join(name)).unwrap();
        Self(serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}")))
    }

    fn at(&self, pointer: &str) -> &Value {
        let found = self.0.pointer(pointer).unwrap_or_else(|| panic!("the document has no {pointer}"));
        self.follow(found)
    }

    /// What a reference leads to; descriptions may stand beside it.
    fn follow<'a>(&'a self, node: &'a Value) -> &'a Value {
        match node["$ref"].as_str() {
            Some(place) => self.at(place.trim_start_matches('#')),
            None => node,
        }
    }

    fn schemas(&self) -> &Map<String, Value> {
        self.0["components"]["schemas"].as_object().unwrap()
    }

    /// The names of the schemas that describe objects.
    fn objects(&self) -> BTreeSet<&str> {
        self.schemas().iter().filter(|(_, schema)| schema["type"] == "object").map(|(name, _)| name.as_str()).collect()
    }

    /// Every part of every schema with its place, `SendRequest.audiences[]`; references are not followed.
    fn parts(&self) -> Vec<(String, &Value)> {
        fn walk<'a>(place: String, schema: &'a Value, parts: &mut Vec<(String, &'a Value)>) {
            for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
                walk(format!("{place}.{name}"), inner, parts);
            }
            if schema["items"].is_object() {
                walk(format!("{place}[]"), &schema["items"], parts);
            }
            parts.push((place, schema));
        }
        let mut parts = Vec::new();
        for (name, schema) in self.schemas() {
            walk(name.clone(), schema, &mut parts);
        }
        parts
    }
}

fn words(node: &Value) -> BTreeSet<&str> {
    node.as_array().into_iter().flatten().map(|word| word.as_str().unwrap()).collect()
}

fn keys(node: &Value) -> BTreeSet<&str> {
    node.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// Where a value with every field set and a schema differ.
fn differences(document: &Document, schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    let schema = document.follow(schema);
    let type_of = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if schema["type"] != type_of && !words_of(&schema["type"]).contains(&type_of) {
        found.push(format!("{place} is of type {type_of}, in the document {}", schema["type"]));
    }
    if !schema["const"].is_null() && schema["const"] != *value {
        found.push(format!("{place} is {value}, in the document {}", schema["const"]));
    }
    if let Some(known) = schema["enum"].as_array().filter(|known| !known.contains(value)) {
        found.push(format!("{place} is {value}, in the document one of {known:?}"));
    }
    match value {
        Value::Object(fields) if schema["properties"].is_object() => {
            for name in keys(value).symmetric_difference(&keys(&schema["properties"])) {
                let only = if fields.contains_key(*name) { "the code" } else { "the document" };
                found.push(format!("{place}.{name} is in {only} alone"));
            }
            for (name, inner) in fields {
                if schema["properties"][name].is_object() {
                    differences(document, &schema["properties"][name], inner, &format!("{place}.{name}"), found);
                }
            }
        }
        Value::Array(items) => {
            assert!(!items.is_empty(), "{place} has something in it");
            for item in items {
                differences(document, &schema["items"], item, &format!("{place}[]"), found);
            }
        }
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn words_of(node: &Value) -> BTreeSet<&str> {
    if node.is_array() { words(node) } else { BTreeSet::new() }
}

// -- The code's types, with every field set ------------------------------------------------------------------------------

/// A type of the code beside the schema that describes it.
struct Row {
    schema: &'static str,
    most: Value,
    required: BTreeSet<String>,
}

/// A value that is read as it is written: required is what cannot be left out.
fn row<T: Serialize + DeserializeOwned>(schema: &'static str, value: &T) -> Row {
    let most = serde_json::to_value(value).unwrap();
    read_by(schema, most, |object| serde_json::from_value::<T>(Value::Object(object)).is_ok())
}

fn read_by(schema: &'static str, most: Value, is_read: impl Fn(Map<String, Value>) -> bool) -> Row {
    let object = most.as_object().unwrap().clone();
    assert!(is_read(object.clone()), "{schema}: {most}");
    let is_required = |name: &&String| {
        let mut without = object.clone();
        without.remove(*name);
        !is_read(without)
    };
    let required = object.keys().filter(is_required).cloned().collect();
    Row { schema, most, required }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn source() -> Source {
    Source { platform: some("pc"), product: some("shop") }
}

fn content() -> Content {
    Content {
        push_msg_type: Some(PushMsgType::Msg),
        msg_type: Some(MsgType::Event),
        alert: some("Hello"),
        extra: Some(json!("data")),
        event: some("order.paid"),
        sound: some("ping"),
        badge: Some(3),
        sender: some("Shop"),
        send_device: some("till"),
        source: Some(source()),
        category: some("orders"),
        tag: some("vip"),
        need_confirm: Some(true),
    }
}

/// Of what nobody confirms.
fn announced_content() -> Content {
    Content { need_confirm: None, ..content() }
}

fn fallback_step() -> FallbackStep {
    FallbackStep { channel: Channel::Sms, after: Some(60) }
}

fn condition() -> Condition {
    Condition { client_version_below: some("2.10.0"), item_open: some("order:4711") }
}

fn send_request() -> SendRequest {
    SendRequest {
        app_id: some("demo"),
        tenant_code: some("north"),
        platform: Some(Platform::All),
        audience_type: Some(AudienceType::Alias),
        audiences: vec!["alice".to_owned()],
        content: content(),
        sms_message: some("Hi"),
        duration: Some(600),
        ttl: Some(3_600),
        priority: Some(Priority::High),
        collapse_key: some("k"),
        send_at: Some(Timestamp(1_795_334_400_000)),
        persist: Some(true),
        fallback: Some(vec![fallback_step()]),
        condition: Some(condition()),
    }
}

fn announce_request() -> AnnounceRequest {
    AnnounceRequest {
        app_id: some("demo"),
        tenant_code: some("north"),
        platform: Some(Platform::All),
        content: announced_content(),
        ttl: Some(3_600),
    }
}

fn announcement_answer() -> AnnouncementAnswer {
    AnnouncementAnswer {
        request_id: "0193a2b4-6c7d-7e8f-9a0b-1c2d3e4f5062".to_owned(),
        number: NUMBER,
        platform: Platform::All,
        accepted_at: Timestamp(0),
        expires_at: Timestamp(0),
        withdrawn_at: Some(Timestamp(0)),
        posts: 1,
        content: announced_content(),
    }
}

fn register_request() -> RegisterRequest {
    RegisterRequest {
        alias: "alice".to_owned(),
        app_id: "demo".to_owned(),
        platform: Platform::Web,
        native_token: "token".to_owned(),
        mobile: some("+8613800138000"),
        email: some("alice@example.com"),
        tag: some("staff"),
        tenant_code: some("north"),
        client_version: some("2.4.1"),
        locale: some("zh-CN"),
        time_zone: some("Asia/Shanghai"),
        push: Some(PushAddress::Mipush),
    }
}

fn webpush_keys() -> WebpushKeys {
    WebpushKeys { p256dh: "p".to_owned(), auth: "a".to_owned() }
}

/// Every way in which a device is reached by push, and the schema of it. A new one does not compile until it is here.
fn push_addresses() -> Vec<(&'static str, PushAddress)> {
    let token = || "00fc".to_owned();
    let all = [
        PushAddress::Apns { token: token() },
        PushAddress::Fcm { token: token() },
        PushAddress::Webpush { endpoint: "https://push.example.net/p/1".to_owned(), keys: webpush_keys() },
        PushAddress::Mipush,
    ];
    let schema = |address: &PushAddress| match address {
        PushAddress::Apns { token: _ } => "ApnsAddress",
        PushAddress::Fcm { token: _ } => "FcmAddress",
        PushAddress::Webpush { endpoint: _, keys: _ } => "WebpushAddress",
        PushAddress::Mipush => "MipushAddress",
    };
    all.into_iter().map(|address| (schema(&address), address)).collect()
}

/// Whether a registration with this `push` is read.
fn is_push_read(push: Value) -> bool {
    let mut request = serde_json::to_value(register_request()).unwrap();
    request["push"] = push;
    RegisterRequest::parse(request.as_object().unwrap().clone()).is_ok()
}

fn push_rows() -> Vec<Row> {
    let mut rows: Vec<Row> = push_addresses()
        .iter()
        .map(|(schema, address)| {
            read_by(schema, serde_json::to_value(address).unwrap(), |push| is_push_read(Value::Object(push)))
        })
        .collect();
    // What all of them have.
    let least = serde_json::to_value(PushAddress::Mipush).unwrap();
    rows.push(read_by("PushAddress", least, |push| is_push_read(Value::Object(push))));
    let keys = serde_json::to_value(webpush_keys()).unwrap();
    rows.push(read_by("WebpushKeys", keys, |keys| {
        is_push_read(json!({"channel": "webpush", "endpoint": "https://push.example.net/p/1", "keys": keys}))
    }));
    rows
}

fn key_id(key_use: KeyUse) -> KeyId {
    KeyId { device: "device".to_owned(), version: 1, generation: 1, key_use }
}

/// A key as the service writes it, and every member of it.
fn jwk(written: Jwk) -> Jwk {
    let Jwk { kty, key_use, alg, kid, k } = written;
    Jwk { kty, key_use, alg, kid, k: SecretText::new(k.expose().to_owned()) }
}

fn device_keys() -> DeviceKeys {
    DeviceKeys {
        content: jwk(Jwk::of_content(&key_id(KeyUse::Content), &ContentKey::from_bytes([7; 64]))),
        token: jwk(Jwk::of_token(&key_id(KeyUse::Token), &TokenKey::from_bytes([8; 32]))),
    }
}

fn downgrade() -> Downgrade {
    Downgrade { field: "ttl".to_owned(), detail: "240".to_owned() }
}

fn transition() -> Transition {
    Transition {
        at: Timestamp(0),
        event: Event::StepSkipped,
        device_id: some("device"),
        step: Some(0),
        channel: some("sms"),
        code: some("no_mobile"),
        detail: some("ttl 60 s"),
    }
}

fn device_trail() -> DeviceTrail {
    DeviceTrail { device_id: "device".to_owned(), state: DeviceState::Read }
}

const PLACE: Position = Position { epoch: 7, seq: 3 };

const NUMBER: u64 = 1_795_334_400_000;

fn announced() -> Announced {
    Announced { after: NUMBER - 1, number: NUMBER, more: true }
}

fn recipient_trail() -> RecipientTrail {
    RecipientTrail {
        alias: "alice".to_owned(),
        state: State::Confirmed,
        position: Some(PLACE),
        steps: Some(2),
        devices: vec![device_trail()],
        transitions: vec![transition()],
    }
}

fn every_channel() -> BTreeMap<Channel, bool> {
    Channel::ALL.iter().map(|(_, channel)| (*channel, true)).collect()
}

fn category_preferences() -> CategoryPreferences {
    CategoryPreferences { muted: true, channels: every_channel() }
}

fn quiet_hours() -> QuietHours {
    let (from, to) = (WallTime::new(22, 0).unwrap(), WallTime::new(7, 0).unwrap());
    QuietHours { from, to, except: vec!["alerts".to_owned()] }
}

fn preferences() -> Preferences {
    Preferences {
        muted: true,
        channels: every_channel(),
        categories: BTreeMap::from([("news".to_owned(), category_preferences())]),
        quiet_hours: Some(quiet_hours()),
        time_zone: some("Asia/Shanghai"),
        language: some("zh-CN"),
    }
}

fn field_problem() -> FieldProblem {
    FieldProblem { field: "ttl".to_owned(), detail: "must be a whole number".to_owned() }
}

/// What travels over HTTP.
fn http_rows() -> Vec<Row> {
    let sent = serde_json::to_value(send_request()).unwrap();
    let registered = serde_json::to_value(register_request()).unwrap();
    let announced = serde_json::to_value(announce_request()).unwrap();
    let announcements = AnnouncementsAnswer { announcements: vec![announcement_answer()], next: Some(NUMBER) };
    let id = || "0193a2b4-6c7d-7e8f-9a0b-1c2d3e4f5061".to_owned();
    let trail = Trail {
        request_id: id(),
        accepted_at: Timestamp(0),
        send_at: Some(Timestamp(0)),
        expires_at: Timestamp(0),
        cancelled_at: Some(Timestamp(0)),
        downgrades: vec![downgrade()],
        recipients: vec![recipient_trail()],
    };
    let answer = SendAnswer {
        request_id: id(),
        recipients: 1,
        ttl: 60,
        priority: Priority::High,
        duration: Some(300),
        send_at: Some(Timestamp(0)),
        downgrades: vec![downgrade()],
    };
    let device = DeviceAnswer {
        id: "device".to_owned(),
        alias: "alice".to_owned(),
        tenant_code: some("north"),
        platform: Platform::Web,
        client_version: some("2.4.1"),
        registered_at: Timestamp(0),
        connections: 1,
        push: Some(Channel::Webpush),
    };
    let problem = Problem {
        status: 400,
        code: "invalid_fields".to_owned(),
        title: "Bad Request".to_owned(),
        detail: "`ttl` must be a whole number".to_owned(),
        request_id: some("8f5c"),
        errors: vec![field_problem()],
    };
    let preferences = serde_json::to_value(preferences()).unwrap();
    let message = || InboxMessage { id: id(), position: PLACE, read: true, frame: "a..b.c.d".to_owned() };
    let DeviceKeys { content, token } = device_keys();
    let mut rows = vec![
        // The service reads requests by hand, to name every field that is wrong.
        read_by("SendRequest", sent, |object| SendRequest::parse(object).is_ok()),
        read_by("RegisterRequest", registered, |object| RegisterRequest::parse(object).is_ok()),
        read_by("AnnounceRequest", announced, |object| AnnounceRequest::parse(object).is_ok()),
        row("Source", &source()),
        row("FallbackStep", &fallback_step()),
        row("RegisterAnswer", &RegisterAnswer { id: "device".to_owned(), keys: device_keys() }),
        row("DeviceKeys", &device_keys()),
        row("ContentKey", &content),
        row("TokenKey", &token),
        row("DeviceAnswer", &device),
        row("SendAnswer", &answer),
        row("Downgrade", &downgrade()),
        row("CancelAnswer", &CancelAnswer { request_id: id(), cancelled_at: Timestamp(0) }),
        row("AnnounceAnswer", &AnnounceAnswer { request_id: id(), number: NUMBER, ttl: 3_600 }),
        row("AnnouncementAnswer", &announcement_answer()),
        row("AnnouncementsAnswer", &announcements),
        row("WithdrawAnswer", &WithdrawAnswer { request_id: id(), withdrawn_at: Timestamp(0) }),
        row("Trail", &trail),
        row("RecipientTrail", &recipient_trail()),
        row("DeviceTrail", &device_trail()),
        row("Transition", &transition()),
        row("InboxAnswer", &InboxAnswer { messages: vec![message()], next: some("7-1") }),
        row("InboxMessage", &message()),
        row("ItemRequest", &ItemRequest { open: false }),
        row("ItemAnswer", &ItemAnswer { item: "order:4711".to_owned(), open: false, closed_at: Some(Timestamp(0)) }),
        row("Condition", &condition()),
        row("UnreadAnswer", &UnreadAnswer { count: 7, more: false }),
        read_by("Preferences", preferences, |object| Preferences::parse(object).is_ok()),
        row("WelcomeChannels", &every_channel()),
        row("CategoryPreferences", &category_preferences()),
        row("QuietHours", &quiet_hours()),
        row("Problem", &problem),
        row("FieldProblem", &field_problem()),
    ];
    rows.extend(push_rows());
    rows
}

/// Every action with all that it can say, and the schema of it. A new one does not compile until it is here.
fn actions() -> Vec<(&'static str, Action)> {
    let receipt = || Receipt { id: some("m"), position: PLACE };
    let all = [
        Action::Ping,
        Action::Sync { after: Some(PLACE), announced: Some(NUMBER) },
        Action::Ack(receipt()),
        Action::Read(receipt()),
        Action::State { state: AppState::Foreground },
    ];
    let schema = |action: &Action| match action {
        Action::Ping => "Ping",
        Action::Sync { after: _, announced: _ } => "Sync",
        Action::Ack(Receipt { id: _, position: _ }) => "Ack",
        Action::Read(Receipt { id: _, position: _ }) => "Read",
        Action::State { state: _ } => "StateChange",
    };
    all.into_iter().map(|action| (schema(&action), action)).collect()
}

/// Every frame with all that it can say, and the schema of it.
fn frames() -> Vec<(&'static str, Frame)> {
    let device_id = || "device".to_owned();
    let message = MessageFrame {
        id: "0193a2b4-6c7d-7e8f-9a0b-1c2d3e4f5061".to_owned(),
        position: Some(PLACE),
        device_id: device_id(),
        to_user_name: "alice".to_owned(),
        from_user_name: some("Shop"),
        create_time: 1_795_334_400,
        content: content(),
    };
    let synced = Synced {
        device_id: device_id(),
        position: PLACE,
        recovered: true,
        more: false,
        count: 1,
        posted: Some(vec![3]),
        announced: Some(announced()),
    };
    let announcement = AnnouncementFrame {
        id: "0193a2b4-6c7d-7e8f-9a0b-1c2d3e4f5062".to_owned(),
        number: NUMBER,
        after: NUMBER - 1,
        device_id: device_id(),
        to_user_name: "alice".to_owned(),
        from_user_name: some("Shop"),
        create_time: 1_795_334_400,
        content: announced_content(),
    };
    let unknown = Reconnect { device_id: String::new(), code: "unknown_connection".to_owned(), after: 1 };
    let all = [
        Frame::Message(Box::new(message)),
        Frame::Announcement(Box::new(announcement)),
        Frame::Synced(synced),
        Frame::Pong(Pong { device_id: device_id(), position: PLACE, server_time: 1_795_334_400, next_ping: 240 }),
        Frame::Error(ErrorFrame { device_id: device_id(), code: "not_json".to_owned(), detail: "…".to_owned() }),
        Frame::Reconnect(Reconnect { device_id: device_id(), code: "rollover".to_owned(), after: 450 }),
        Frame::Reconnect(unknown),
    ];
    let schema = |frame: &Frame| match frame {
        Frame::Message(_) => "Message",
        Frame::Announcement(_) => "Announcement",
        Frame::Synced(_) => "Synced",
        Frame::Pong(_) => "Pong",
        Frame::Error(_) => "Error",
        Frame::Reconnect(frame) if frame.code == "rollover" => "Reconnect",
        Frame::Reconnect(_) => "UnknownConnection",
    };
    all.into_iter().map(|frame| (schema(&frame), frame)).collect()
}

/// What travels on the socket, the connect token and the head of a sealed frame among it.
fn socket_rows() -> Vec<Row> {
    let claims =
        Claims { sub: "device".to_owned(), aud: token::AUDIENCE.to_owned(), iat: 1, exp: 61, jti: "once".to_owned() };
    let mut rows: Vec<Row> = actions().iter().map(|(schema, action)| row(schema, action)).collect();
    rows.extend(frames().iter().map(|(schema, frame)| row(schema, frame)));
    rows.push(row("Source", &source()));
    rows.push(row("Announced", &announced()));
    rows.push(row("ConnectTokenClaims", &claims));
    let signed = |header: &Map<String, Value>| {
        let header = URL_SAFE_NO_PAD.encode(Value::Object(header.clone()).to_string());
        let token = token::sign(&TokenKey::from_bytes([4; 32]), &key_id(KeyUse::Token), &claims);
        format!("{header}.{}", token.split_once('.').unwrap().1)
    };
    let token = token::sign(&TokenKey::from_bytes([4; 32]), &key_id(KeyUse::Token), &claims);
    let is_read = |header: Map<String, Value>| token::Token::parse(&signed(&header)).is_ok();
    rows.push(read_by("ConnectTokenHeader", head(&token), is_read));
    let kid = key_id(KeyUse::Content).to_string();
    let key = ContentKey::from_bytes([7; 64]);
    let sealed = tidings_crypto::frame::seal(&key, &kid, b"{}", [1; 16]);
    rows.push(Row {
        schema: "SealedHeader",
        most: head(&sealed),
        // Whoever reads it refuses a header that lacks one.
        required: ["alg", "enc", "kid"].map(str::to_owned).into(),
    });
    rows
}

/// The header of a JWT or a JWE.
fn head(text: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.split_once('.').unwrap().0).unwrap()).unwrap()
}

// -- The tests -----------------------------------------------------------------------------------------------------------

fn hold(document: &Document, rows: &[Row], of_the_gateway: &str) {
    let mut found = Vec::new();
    for Row { schema, most, required } in rows {
        let described = document.at(&format!("/components/schemas/{schema}"));
        differences(document, described, most, schema, &mut found);
        let said: BTreeSet<String> = words(&described["required"]).into_iter().map(str::to_owned).collect();
        if said != *required {
            found.push(format!("{schema} requires {required:?}, in the document {said:?}"));
        }
    }
    assert!(found.is_empty(), "the code and the document differ:\n{}", found.join("\n"));
    let mut described = document.objects();
    assert!(described.remove(of_the_gateway), "API Gateway's own words");
    let held: BTreeSet<&str> = rows.iter().map(|row| row.schema).collect();
    assert_eq!(described, held, "every schema of an object is held against a type");
}

#[test]
fn every_field_over_http_is_in_the_document_and_in_the_code() {
    hold(&openapi(), &http_rows(), "GatewayAnswer");
}

#[test]
fn every_field_on_the_socket_is_in_the_document_and_in_the_code() {
    hold(&asyncapi(), &socket_rows(), "GatewayError");
}

#[test]
fn what_refuses_unknown_fields_says_so() {
    let closed = |document: &Document| -> BTreeSet<String> {
        let schemas = document.schemas().iter().filter(|(_, schema)| schema["additionalProperties"] == false);
        schemas.map(|(name, _)| name.clone()).collect()
    };
    // Requests and actions, whose reader is `Fields`; and the heads of what is signed or sealed.
    assert_eq!(
        closed(&openapi()),
        [
            "AnnounceRequest",
            "ApnsAddress",
            "CategoryPreferences",
            "Condition",
            "FallbackStep",
            "FcmAddress",
            "ItemRequest",
            "MipushAddress",
            "Preferences",
            "QuietHours",
            "RegisterRequest",
            "SendRequest",
            "Source",
            "WebpushAddress",
            "WebpushKeys",
            "WelcomeChannels",
        ]
        .map(str::to_owned)
        .into()
    );
    let mut said: BTreeSet<String> = actions().into_iter().map(|(schema, _)| schema.to_owned()).collect();
    said.extend(["ConnectTokenHeader".to_owned(), "SealedHeader".to_owned()]);
    assert_eq!(closed(&asyncapi()), said);
}

fn all<T: Choice>() -> BTreeSet<&'static str> {
    T::ALL.iter().map(|(word, _)| *word).collect()
}

/// The words of these that a request may say for a field, by what the service makes of it.
fn served<T: Choice>(field: &str, request: impl Fn(&str) -> Value) -> BTreeSet<&'static str> {
    let accepted = |word: &&str| {
        let request = SendRequest::parse(request(word).as_object().unwrap().clone()).unwrap();
        let id = MessageId::new(Timestamp(0), [0; 10]);
        let problems =
            message::accept(request, "demo".parse().unwrap(), &Chains::default(), &BTreeSet::new(), id, Timestamp(0))
                .err()
                .unwrap_or_default();
        !problems.iter().any(|problem| problem.field.starts_with(field))
    };
    all::<T>().into_iter().filter(accepted).collect()
}

#[test]
fn every_word_is_in_the_document_and_in_the_code() {
    let audience =
        served::<AudienceType>("audienceType", |word| json!({"audiences": ["a"], "alert": "x", "audienceType": word}));
    let channels = served::<Channel>(
        "fallback",
        |word| json!({"audiences": ["a"], "alert": "x", "fallback": [{"channel": word}]}),
    );
    let addresses = push_addresses();
    let pushes: BTreeSet<&str> = addresses.iter().map(|(_, address)| address.channel().as_str()).collect();
    let devices: BTreeSet<&str> =
        all::<Platform>().into_iter().filter(|word| *word != Platform::All.as_str()).collect();
    let http: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::from([
        ("Platform", devices),
        ("DeviceAnswer.push", pushes),
        ("SendRequest.audienceType", audience),
        ("SendRequest.platform", all::<Platform>()),
        ("SendRequest.pushMsgType", all::<PushMsgType>()),
        ("SendRequest.msgType", all::<MsgType>()),
        ("SendRequest.priority", all::<Priority>()),
        ("AnnounceRequest.platform", all::<Platform>()),
        ("AnnounceRequest.pushMsgType", all::<PushMsgType>()),
        ("AnnounceRequest.msgType", all::<MsgType>()),
        ("AnnouncementAnswer.platform", all::<Platform>()),
        ("AnnouncementAnswer.pushMsgType", all::<PushMsgType>()),
        ("AnnouncementAnswer.msgType", all::<MsgType>()),
        ("Priority", all::<Priority>()),
        ("FallbackStep.channel", channels.clone()),
        ("Transition.channel", channels),
        ("State", all::<State>()),
        ("DeviceState", all::<DeviceState>()),
        ("Event", all::<Event>()),
        ("ProblemCode", every_api_error().iter().map(ApiError::code).collect()),
    ]);
    let socket = BTreeMap::from([
        ("StateChange.state", all::<AppState>()),
        ("Message.pushMsgType", all::<PushMsgType>()),
        ("Message.msgType", all::<MsgType>()),
        ("Announcement.pushMsgType", all::<PushMsgType>()),
        ("Announcement.msgType", all::<MsgType>()),
        ("Error.code", every_refusal().iter().map(Refusal::code).collect()),
    ]);
    for (document, expected) in [(openapi(), http), (asyncapi(), socket)] {
        let parts = document.parts();
        let said: BTreeMap<&str, BTreeSet<&str>> = parts
            .iter()
            .filter(|(_, schema)| schema["enum"].is_array())
            .map(|(place, schema)| (place.as_str(), words(&schema["enum"])))
            .collect();
        assert_eq!(said, expected);
    }
}

/// Every way in which a request can fail. A new one does not compile until it is here.
fn every_api_error() -> Vec<ApiError> {
    let number = |error: &ApiError| match error {
        ApiError::Fields(_) => 0,
        ApiError::Body(JsonError::TooLarge { bytes: _ }) => 1,
        ApiError::Body(JsonError::TooDeep) => 2,
        ApiError::Body(JsonError::Syntax { line: _, column: _ }) => 3,
        ApiError::Body(JsonError::NotAnObject) => 4,
        ApiError::NoAppKey => 5,
        ApiError::WrongAppKey => 6,
        ApiError::UnknownApp => 7,
        ApiError::NotFound(_) => 8,
        ApiError::NoRoute => 9,
        ApiError::MethodNotAllowed => 10,
        ApiError::KeyReused => 11,
        ApiError::AlreadyCancelled(_) => 12,
        ApiError::Settled(_) => 13,
        ApiError::Conflict => 14,
        ApiError::Unavailable(_) => 15,
        ApiError::Internal(_) => 16,
        ApiError::NoToken => 17,
        ApiError::WrongToken => 18,
    };
    let all = vec![
        ApiError::Fields(Vec::new()),
        ApiError::Body(JsonError::TooLarge { bytes: 0 }),
        ApiError::Body(JsonError::TooDeep),
        ApiError::Body(JsonError::Syntax { line: 1, column: 1 }),
        ApiError::Body(JsonError::NotAnObject),
        ApiError::NoAppKey,
        ApiError::WrongAppKey,
        ApiError::UnknownApp,
        ApiError::NotFound("none"),
        ApiError::NoRoute,
        ApiError::MethodNotAllowed,
        ApiError::KeyReused,
        ApiError::AlreadyCancelled(Timestamp(0)),
        ApiError::Settled(Timestamp(0)),
        ApiError::Conflict,
        ApiError::Unavailable("down".into()),
        ApiError::Internal("broken".into()),
        ApiError::NoToken,
        ApiError::WrongToken,
    ];
    assert!(all.iter().map(number).eq(0..all.len()), "each of them once, and in order");
    all
}

/// Every way in which what a device says can fail.
fn every_refusal() -> Vec<Refusal> {
    let number = |refusal: &Refusal| match refusal {
        Refusal::Binary => 0,
        Refusal::Body(JsonError::TooLarge { bytes: _ }) => 1,
        Refusal::Body(JsonError::TooDeep) => 2,
        Refusal::Body(JsonError::Syntax { line: _, column: _ }) => 3,
        Refusal::Body(JsonError::NotAnObject) => 4,
        Refusal::UnknownAction => 5,
        Refusal::Fields(_) => 6,
        Refusal::NotInMailbox(Misplaced::UnknownMessage) => 7,
        Refusal::NotInMailbox(Misplaced::UnknownEpoch) => 8,
        Refusal::NotInMailbox(Misplaced::FutureSeq) => 9,
    };
    let all = vec![
        Refusal::Binary,
        Refusal::Body(JsonError::TooLarge { bytes: 0 }),
        Refusal::Body(JsonError::TooDeep),
        Refusal::Body(JsonError::Syntax { line: 1, column: 1 }),
        Refusal::Body(JsonError::NotAnObject),
        Refusal::UnknownAction,
        Refusal::Fields(Vec::new()),
        Refusal::NotInMailbox(Misplaced::UnknownMessage),
        Refusal::NotInMailbox(Misplaced::UnknownEpoch),
        Refusal::NotInMailbox(Misplaced::FutureSeq),
    ];
    assert!(all.iter().map(number).eq(0..all.len()), "each of them once, and in order");
    all
}

#[test]
fn every_code_has_its_status_in_the_document_and_in_the_code() {
    let document = openapi();
    let mut said = BTreeSet::new();
    let responses = document.0["components"]["responses"].as_object().unwrap();
    for (name, response) in responses {
        let Some(problem) = response["content"].get("application/problem+json") else { continue };
        let fixed = &problem["schema"]["allOf"][1]["properties"];
        let status = fixed["status"]["const"].as_u64().unwrap();
        said.extend(words(&fixed["code"]["enum"]).into_iter().map(|code| (status, code.to_owned())));
        // And it stands under that status wherever it is used.
        let place = format!("#/components/responses/{name}");
        for (method, path, operation) in operations(&document) {
            for (key, used) in operation["responses"].as_object().unwrap() {
                let is_it = used["$ref"] == place.as_str();
                assert!(!is_it || *key == status.to_string(), "{method} {path} {key} is {name}");
            }
        }
    }
    let errors = every_api_error();
    let answered = errors.iter().map(|error| (u64::from(error.status().as_u16()), error.code().to_owned()));
    assert_eq!(said, answered.collect());
}

fn operations(document: &Document) -> Vec<(String, &str, &Value)> {
    let methods = |item: &'_ Value| -> Vec<String> {
        keys(item).into_iter().filter(|key| *key != "parameters").map(str::to_uppercase).collect()
    };
    let paths = document.0["paths"].as_object().unwrap();
    let of = |(path, item)| {
        let methods: Vec<String> = methods(item);
        methods.into_iter().map(move |method| {
            let operation = &item[method.to_lowercase()];
            (method, String::as_str(path), operation)
        })
    };
    paths.iter().flat_map(of).collect()
}

#[test]
fn every_route_is_in_the_document_and_in_the_template() {
    let settings = Settings::new("http://api", "ws://socket", "http://aws");
    let template = Template::read(&repository().join("template.yaml"), &settings, &mut Secrets::in_memory()).unwrap();
    let document = openapi();
    let said: BTreeSet<String> =
        operations(&document).into_iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let routes = template.http_api.unwrap().routes;
    let served = routes.iter().filter(|route| route.path != "$default");
    assert_eq!(said, served.map(|route| format!("{} {}", route.method, route.path)).collect());

    let said: BTreeSet<String> = asyncapi()
        .schemas()
        .values()
        .filter_map(|schema| schema["properties"]["action"]["const"].as_str().map(str::to_owned))
        .collect();
    let routes = template.websocket_api.unwrap().routes;
    assert_eq!(said, routes.into_keys().filter(|key| !key.starts_with('$')).collect());
}

/// What limits a value, but for what every text, number and list has: at least one character, none below zero.
const LIMITING: &[&str] =
    &["minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "maxProperties", "default"];

fn limits_of(document: &Document) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for (place, schema) in document.parts() {
        for keyword in LIMITING {
            let value = &schema[*keyword];
            let is_usual = keyword.starts_with("min") && (*value == 0 || *value == 1);
            if !value.is_null() && !is_usual {
                found.insert(format!("{place} {keyword}"), value.clone());
            }
        }
    }
    found
}

fn expected(table: &[(&str, Value, &[&str])]) -> BTreeMap<String, Value> {
    let each = |(keyword, value, places): &(&str, Value, &[&str])| -> Vec<(String, Value)> {
        places.iter().map(|place| (format!("{place} {keyword}"), value.clone())).collect()
    };
    table.iter().flat_map(each).collect()
}

#[test]
fn every_limit_over_http_is_in_the_document_and_in_the_code() {
    let identifiers: &[&str] = &[
        "RegisterRequest.appId",
        "RegisterRequest.tenantCode",
        "RegisterRequest.tag",
        "RegisterRequest.locale",
        "RegisterRequest.timeZone",
        "RegisterRequest.clientVersion",
        "SendRequest.appId",
        "SendRequest.tenantCode",
        "SendRequest.event",
        "SendRequest.category",
        "SendRequest.tag",
        "SendRequest.collapseKey",
        "Condition.clientVersionBelow",
        "AnnounceRequest.appId",
        "AnnounceRequest.tenantCode",
        "AnnounceRequest.event",
        "AnnounceRequest.category",
        "AnnounceRequest.tag",
        "Preferences.timeZone",
        "Preferences.language",
        "QuietHours.except[]",
    ];
    let names: &[&str] = &[
        "SendRequest.sound",
        "SendRequest.sender",
        "SendRequest.sendDevice",
        "AnnounceRequest.sound",
        "AnnounceRequest.sender",
        "AnnounceRequest.sendDevice",
        "Source.platform",
        "Source.product",
    ];
    let defaults = message::accept(
        SendRequest::parse(json!({"audiences": ["a"], "alert": "x"}).as_object().unwrap().clone()).unwrap(),
        "demo".parse().unwrap(),
        &Chains::default(),
        &BTreeSet::new(),
        MessageId::new(Timestamp(0), [0; 10]),
        Timestamp(0),
    )
    .unwrap();
    let is_of_aliases = matches!(defaults.audience, message::Audience::Aliases(_));
    assert!(is_of_aliases && defaults.duration.is_none(), "names of users, and no redelivery");
    let announced = announcement::accept(
        AnnounceRequest::parse(json!({"alert": "x"}).as_object().unwrap().clone()).unwrap(),
        "demo".parse().unwrap(),
        &BTreeSet::new(),
        MessageId::new(Timestamp(0), [0; 10]),
        Timestamp(0),
    )
    .unwrap();
    let announced_for = limits::ANNOUNCEMENT_TTL_SECONDS;
    let table: &[(&str, Value, &[&str])] = &[
        ("maxLength", limits::IDENTIFIER_CHARS.into(), identifiers),
        ("maxLength", limits::NAME_CHARS.into(), names),
        ("maxLength", limits::ALIAS_CHARS.into(), &["RegisterRequest.alias", "SendRequest.audiences[]"]),
        ("maxLength", limits::ITEM_CHARS.into(), &["Condition.itemOpen", "ItemAnswer.item"]),
        ("maxLength", limits::NATIVE_TOKEN_CHARS.into(), &["RegisterRequest.nativeToken", "FcmAddress.token"]),
        ("maxLength", limits::PUSH_ENDPOINT_CHARS.into(), &["WebpushAddress.endpoint"]),
        ("maxLength", limits::PUSH_KEY_CHARS.into(), &["WebpushKeys.p256dh", "WebpushKeys.auth"]),
        ("maxLength", limits::EMAIL_CHARS.into(), &["RegisterRequest.email"]),
        ("maxLength", limits::FRAME_PLAINTEXT_BYTES.into(), &["SendRequest.alert", "AnnounceRequest.alert"]),
        ("maxLength", limits::SMS_CHARS.into(), &["SendRequest.smsMessage"]),
        ("maxItems", limits::RECIPIENTS.into(), &["SendRequest.audiences"]),
        ("maxItems", limits::FALLBACK_STEPS.into(), &["SendRequest.fallback"]),
        (
            "maximum",
            (*limits::BADGE.end()).into(),
            &["SendRequest.badge", "AnnounceRequest.badge", "AnnouncementAnswer.badge"],
        ),
        ("minimum", (*announced_for.start()).into(), &["AnnounceRequest.ttl", "AnnounceAnswer.ttl"]),
        ("maximum", (*announced_for.end()).into(), &["AnnounceRequest.ttl", "AnnounceAnswer.ttl"]),
        ("maxItems", (*limits::ANNOUNCEMENT_LIST.end()).into(), &["AnnouncementsAnswer.announcements"]),
        ("maximum", (*limits::TTL_SECONDS.end()).into(), &["SendRequest.ttl", "SendAnswer.ttl"]),
        ("maximum", (*limits::FALLBACK_AFTER_SECONDS.end()).into(), &["FallbackStep.after"]),
        ("maximum", (*limits::DURATION_SECONDS.end()).into(), &["SendAnswer.duration"]),
        ("maximum", limits::RECIPIENTS.into(), &["SendAnswer.recipients"]),
        ("maximum", limits::FALLBACK_STEPS.into(), &["RecipientTrail.steps"]),
        ("maximum", (limits::FALLBACK_STEPS - 1).into(), &["Transition.step"]),
        ("maxItems", (*limits::INBOX_PAGE.end()).into(), &["InboxAnswer.messages"]),
        ("maximum", limits::UNREAD_COUNTED.into(), &["UnreadAnswer.count"]),
        ("maxProperties", limits::PREFERRED_CATEGORIES.into(), &["Preferences.categories"]),
        ("maxItems", limits::PREFERRED_CATEGORIES.into(), &["QuietHours.except"]),
        ("default", AudienceType::Alias.as_str().into(), &["SendRequest.audienceType"]),
        ("default", defaults.platform.as_str().into(), &["SendRequest.platform"]),
        ("default", defaults.content.push_msg_type.unwrap().as_str().into(), &["SendRequest.pushMsgType"]),
        ("default", false.into(), &["SendRequest.needConfirm"]),
        ("default", defaults.persist.into(), &["SendRequest.persist"]),
        ("default", defaults.ttl.into(), &["SendRequest.ttl"]),
        ("default", announced.platform.as_str().into(), &["AnnounceRequest.platform"]),
        ("default", announced.content.push_msg_type.unwrap().as_str().into(), &["AnnounceRequest.pushMsgType"]),
        ("default", announced.ttl.into(), &["AnnounceRequest.ttl"]),
    ];
    let document = openapi();
    assert_eq!(limits_of(&document), expected(table));
    // What a query may say, with nothing else in it.
    let named = |path: &str| -> Vec<&str> {
        let parameters = document.0["paths"][path]["get"]["parameters"].as_array().unwrap().iter();
        parameters.map(|it| document.follow(it)["name"].as_str().unwrap()).collect()
    };
    let paged = |parameter: &str| {
        let said = &document.at(&format!("/components/parameters/{parameter}"))["schema"];
        ["minimum", "maximum", "default"].map(|keyword| said[keyword].as_u64().unwrap())
    };
    let InboxRequest { limit, before } = InboxRequest::parse([]).unwrap();
    assert!(named("/v1/inbox") == ["limit", "before"] && before.is_none());
    assert_eq!(paged("limit"), [*limits::INBOX_PAGE.start(), *limits::INBOX_PAGE.end(), limit]);
    let AnnouncementsRequest { tenant_code, limit, before } = AnnouncementsRequest::parse([]).unwrap();
    assert!(
        named("/v1/announcements") == ["tenantCode", "limit", "before"] && tenant_code.is_none() && before.is_none()
    );
    let list = [*limits::ANNOUNCEMENT_LIST.start(), *limits::ANNOUNCEMENT_LIST.end(), limit];
    assert_eq!(paged("announcementLimit"), list);
    // Those that no keyword of a schema can say.
    let duration = [*limits::DURATION_SECONDS.start(), *limits::DURATION_SECONDS.end()];
    let others = json!({
        "HTTP_BODY_BYTES": limits::HTTP_BODY_BYTES,
        "JSON_DEPTH": limits::JSON_DEPTH,
        "FRAME_PLAINTEXT_BYTES": limits::FRAME_PLAINTEXT_BYTES,
        "FRAME_ENVELOPE_BYTES": limits::FRAME_ENVELOPE_BYTES,
        "TTL_DEFAULT_SECONDS": limits::TTL_DEFAULT_SECONDS,
        "TRANSIENT_SECONDS": limits::TRANSIENT_SECONDS,
        "DURATION_SECONDS": duration,
        "SEND_AT_AHEAD_SECONDS": limits::SEND_AT_AHEAD_SECONDS,
        "HIGH_PRIORITY_RECIPIENTS": limits::HIGH_PRIORITY_RECIPIENTS,
    });
    assert_eq!(document.0["x-limits"], others);
}

#[test]
fn every_limit_on_the_socket_is_in_the_document_and_in_the_code() {
    let identifiers: &[&str] = &[
        "Ack.id",
        "Read.id",
        "Message.event",
        "Message.category",
        "Message.tag",
        "Announcement.event",
        "Announcement.category",
        "Announcement.tag",
    ];
    let names: &[&str] = &[
        "Announcement.fromUserName",
        "Announcement.sound",
        "Announcement.sender",
        "Announcement.sendDevice",
        "Message.fromUserName",
        "Message.sound",
        "Message.sender",
        "Message.sendDevice",
        "Source.platform",
        "Source.product",
    ];
    let table: &[(&str, Value, &[&str])] = &[
        ("maxLength", limits::IDENTIFIER_CHARS.into(), identifiers),
        ("maxLength", limits::NAME_CHARS.into(), names),
        ("maxLength", limits::ALIAS_CHARS.into(), &["Message.toUserName", "Announcement.toUserName"]),
        ("maxLength", limits::FRAME_PLAINTEXT_BYTES.into(), &["Message.alert", "Announcement.alert"]),
        ("maxLength", longest_token_id().into(), &["ConnectTokenClaims.jti"]),
        ("maximum", (*limits::BADGE.end()).into(), &["Message.badge", "Announcement.badge"]),
        ("maximum", limits::SYNC_PAGE.into(), &["Synced.count"]),
        ("maxItems", limits::SYNC_PAGE.into(), &["Synced.posted"]),
        ("maximum", presence::PING_SECONDS.into(), &["Pong.nextPing"]),
    ];
    let document = asyncapi();
    assert_eq!(limits_of(&document), expected(table));
    let longest = document.at("/channels/socket/bindings/ws/query/properties/token")["maxLength"].as_u64().unwrap();
    let mut met = BTreeSet::new();
    for length in 2_500..3_500 {
        let claims = Claims::new(&"s".repeat(length), 1, "once".to_owned());
        let token = token::sign(&TokenKey::from_bytes([4; 32]), &key_id(KeyUse::Token), &claims);
        assert_eq!(token::Token::parse(&token).is_ok(), token.len() as u64 <= longest, "{}", token.len());
        met.insert(token.len() as u64 <= longest);
    }
    assert_eq!(met.len(), 2, "shorter ones and longer ones");
}

/// How long a `jti` may be, found by trying.
fn longest_token_id() -> usize {
    let is_read = |length: &usize| {
        let claims = Claims::new("device", 1, "j".repeat(*length));
        let token = token::sign(&TokenKey::from_bytes([4; 32]), &key_id(KeyUse::Token), &claims);
        token::Token::parse(&token).is_ok()
    };
    (1..1_000).take_while(is_read).last().unwrap()
}

/// Values at the edge of what a field's schema allows, each with whether it is within.
fn edges(name: &str, schema: &Value) -> Vec<(Value, bool)> {
    let number = |keyword: &str| schema[keyword].as_u64();
    let text = |length: u64| match name {
        "email" => {
            let domain: String = (6..=length).map(|n| if n % 60 == 0 && n < length { '.' } else { 'd' }).collect();
            format!("x@{domain}.cn").into()
        }
        "clientVersionBelow" => "0".repeat(length as usize).into(),
        _ => Value::from("语".repeat(length as usize)),
    };
    let item = match name {
        "audiences" => json!("alice"),
        _ => json!({"channel": "sms"}),
    };
    let list = |length: u64| Value::from(vec![item.clone(); length as usize]);
    let mut edges = Vec::new();
    edges.extend(number("minLength").into_iter().flat_map(|least| [(text(least), true), (text(least - 1), false)]));
    edges.extend(number("maxLength").into_iter().flat_map(|most| [(text(most), true), (text(most + 1), false)]));
    edges.extend(number("maxItems").into_iter().flat_map(|most| [(list(most), true), (list(most + 1), false)]));
    edges.extend(number("minItems").into_iter().flat_map(|least| [(list(least), true), (list(least - 1), false)]));
    edges.extend(number("maximum").into_iter().flat_map(|most| [(most.into(), true), ((most + 1).into(), false)]));
    edges.extend(
        schema["minimum"].as_i64().into_iter().flat_map(|least| [(least.into(), true), ((least - 1).into(), false)]),
    );
    edges
}

#[test]
fn the_service_reads_up_to_every_limit_and_no_further() {
    let document = openapi();
    type Reader = fn(Map<String, Value>) -> Vec<FieldProblem>;
    let send: Reader = |object| SendRequest::parse(object).err().unwrap_or_default();
    let register: Reader = |object| RegisterRequest::parse(object).err().unwrap_or_default();
    let announce: Reader = |object| AnnounceRequest::parse(object).err().unwrap_or_default();
    let mut probed = 0;
    let mut probe = |schema: &str, path: &str, request: &dyn Fn(&str, Value) -> Value, read: Reader| {
        for (name, described) in document.at(&format!("/components/schemas/{schema}/properties")).as_object().unwrap() {
            for (value, is_within) in edges(name, document.follow(described)) {
                let object = request(name, value.clone()).as_object().unwrap().clone();
                let problems = read(object);
                let field = format!("{path}{name}");
                let is_read = !problems.iter().any(|problem| problem.field.starts_with(&field));
                let shown: String = value.to_string().chars().take(40).collect();
                assert_eq!(is_read, is_within, "{schema}.{name} {shown}: {problems:?}");
                probed += 1;
            }
        }
    };
    let message = || json!({"audiences": ["alice"], "alert": "x"});
    let with = |mut base: Value, name: &str, value: Value| {
        base[name] = value;
        base
    };
    probe("SendRequest", "", &|name, value| with(message(), name, value), send);
    probe("Source", "source.", &|name, value| with(message(), "source", json!({name: value})), send);
    let step = |name: &str, value: Value| json!([with(json!({"channel": "sms"}), name, value)]);
    probe("FallbackStep", "fallback[0].", &|name, value| with(message(), "fallback", step(name, value)), send);
    probe("Condition", "condition.", &|name, value| with(message(), "condition", json!({name: value})), send);
    let device = || serde_json::to_value(register_request()).unwrap();
    probe("RegisterRequest", "", &|name, value| with(device(), name, value), register);
    probe("AnnounceRequest", "", &|name, value| with(json!({"alert": "x"}), name, value), announce);
    assert!(probed > 130, "{probed}");
}

#[test]
fn the_documents_are_of_this_version() {
    for document in [openapi(), asyncapi()] {
        assert_eq!(document.0["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_lets_nobody_say_is_answered_as_documented() {
    let most = 1024 * 1024;
    let limits = SocketLimits {
        binary_frames: BinaryFrames::Forward,
        frame_bytes: most,
        message_bytes: most,
        ..SocketLimits::default()
    };
    let world = World::limited(limits).await;
    let mut alice = world.online("alice", "a").await;
    let document = asyncapi();
    let codes = words(&document.at("/components/schemas/Error/properties/code")["enum"]);
    let large = json!({"action": "ping", "x": "x".repeat(tidings_wire::limits::HTTP_BODY_BYTES)});
    for (said, code) in
        [(Message::binary(vec![1, 2, 3]), "binary_frame"), (Message::text(large.to_string()), "body_too_large")]
    {
        alice.socket.send(said).await.unwrap();
        match alice.frame().await {
            Frame::Error(error) => assert_eq!(error.code, code),
            other => panic!("{code}: {other:?}"),
        }
        assert!(codes.contains(code), "{code}");
    }
    world.end().await;
}
