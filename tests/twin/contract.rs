//! The machine-readable documents, `docs/openapi.yaml` and `docs/asyncapi.yaml`, agree with the code. Their schemas are
//! generated from the wire's types; these tests cover what the types do not express: which fields the readers of
//! requests require and refuse, the words and defaults that are served, codes, routes, and the parts that are written
//! by hand.
//!
//! That the service behaves as the documents state is tested by `tests/contract`.

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
use tidings_lambda::{
    http::{ApiError, KeyFault, TokenFault},
    socket::Refusal,
};
use tidings_wire::{
    AnnounceRequest, Choice, FieldProblem, Frame, InboxRequest, ItemRequest, Platform, Preferences, ProblemCode,
    PushAddress, RegisterRequest, SendRequest, Timestamp, WebpushKeys,
    announcement::AnnouncementsRequest,
    device::DeviceKeys,
    fields::Fields,
    frame::ErrorCode,
    json::JsonError,
    limits,
    send::{AudienceType, Channel},
    trail::{Event, RefusalCode, SkipReason, State},
};
use tokio_tungstenite::tungstenite::Message;

use crate::world::{World, repository};

// -- The documents ----------------------------------------------------------------------------------------------------

struct Document {
    content: Value,
    text: String,
}

/// The line of a document below which its schemas are generated.
const GENERATED: &str = "\n    # -- Generated from the types of shared/wire by\n";

fn openapi() -> Document {
    Document::read("openapi.yaml")
}

fn asyncapi() -> Document {
    Document::read("asyncapi.yaml")
}

impl Document {
    fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(repository().join("docs").join(name)).unwrap();
        let content = serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { content, text }
    }

    fn at(&self, pointer: &str) -> &Value {
        let found = self.content.pointer(pointer).unwrap_or_else(|| panic!("the document has no {pointer}"));
        self.follow(found)
    }

    /// Resolves a reference; descriptions may stand beside it.
    fn follow<'a>(&'a self, node: &'a Value) -> &'a Value {
        match node["$ref"].as_str() {
            Some(place) => self.at(place.trim_start_matches('#')),
            None => node,
        }
    }

    fn schemas(&self) -> &Map<String, Value> {
        self.content["components"]["schemas"].as_object().unwrap()
    }

    /// The names of the schemas that are not generated.
    fn by_hand(&self) -> Vec<&str> {
        let (by_hand, _) = self.text.split_once(GENERATED).unwrap();
        let (_, schemas) = by_hand.rsplit_once("\n  schemas:\n").unwrap();
        let names = schemas.lines().filter_map(|line| line.strip_prefix("    ").and_then(|it| it.strip_suffix(':')));
        names.filter(|name| !name.starts_with(' ')).collect()
    }
}

fn words(node: &Value) -> BTreeSet<&str> {
    node.as_array().into_iter().flatten().map(|word| word.as_str().unwrap()).collect()
}

fn keys(node: &Value) -> BTreeSet<&str> {
    node.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// Compares a value with every field set to a schema, and collects the differences.
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

/// A type of the code beside the schema that describes it.
struct Row {
    schema: &'static str,
    most: Value,
    required: BTreeSet<String>,
}

/// A row for a type that is read as it is written: a field is required if it cannot be left out.
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

/// The keys of a device, as registration answers with them.
fn key_rows() -> Vec<Row> {
    let DeviceKeys { content, token } = device_keys();
    vec![row("ContentKey", &content), row("TokenKey", &token)]
}

/// The connect token and the head of a sealed frame.
fn token_rows() -> Vec<Row> {
    let claims = Claims {
        sub: "device".to_owned(),
        aud: token::AUDIENCE.to_owned(),
        iat: 1,
        exp: 61,
        nbf: None,
        jti: "once".to_owned(),
    };
    let mut rows = vec![row("ConnectTokenClaims", &claims)];
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
        // A reader refuses a header that lacks one.
        required: ["alg", "enc", "kid"].map(str::to_owned).into(),
    });
    rows
}

/// The header of a JWT or a JWE.
fn head(text: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.split_once('.').unwrap().0).unwrap()).unwrap()
}

// -- The tests --------------------------------------------------------------------------------------------------------

fn hold(document: &Document, rows: &[Row]) {
    let mut found = Vec::new();
    for Row { schema, most, required } in rows {
        let described = document.at(&format!("/components/schemas/{schema}"));
        differences(document, described, most, schema, &mut found);
        let documented: BTreeSet<String> = words(&described["required"]).into_iter().map(str::to_owned).collect();
        if documented != *required {
            found.push(format!("{schema} requires {required:?}, in the document {documented:?}"));
        }
    }
    assert!(found.is_empty(), "the code and the document differ:\n{}", found.join("\n"));
}

#[test]
fn the_keys_of_a_device_are_as_documented() {
    hold(&openapi(), &key_rows());
    assert_eq!(openapi().by_hand(), ["GatewayAnswer"], "everything else is generated from the wire's types");
}

#[test]
fn connect_tokens_and_sealed_frames_are_as_documented() {
    let document = asyncapi();
    hold(&document, &token_rows());
    let mut held: Vec<&str> = token_rows().iter().map(|row| row.schema).collect();
    held.push("GatewayError");
    let mut by_hand = document.by_hand();
    held.sort_unstable();
    by_hand.sort_unstable();
    assert_eq!(by_hand, held, "everything else is generated from the wire's types");
}

/// Goes through a request with every field set. Without a field it is accepted only if the schema does not require that
/// field; with an unknown field it is refused. Returns the names of the schemas on its way.
fn hold_request(
    document: &Document,
    schema: &Value,
    whole: &Value,
    place: &str,
    is_read: IsRead<'_>,
) -> BTreeSet<String> {
    let mut met: BTreeSet<String> =
        schema["$ref"].as_str().and_then(|it| it.rsplit('/').next()).map(str::to_owned).into_iter().collect();
    let mut schema = document.follow(schema);
    let value = whole.pointer(place).unwrap();
    // Of several forms, the one that the value has.
    let is_form = |form: &&Value| document.follow(form)["properties"]["channel"]["const"] == value["channel"];
    if let Some(form) = schema["oneOf"].as_array().and_then(|forms| forms.iter().find(is_form)) {
        met.extend(form["$ref"].as_str().and_then(|it| it.rsplit('/').next()).map(str::to_owned));
        schema = document.follow(form);
    }
    let inner = |name: &str| format!("{place}/{}", name.replace('/', "~1"));
    match value {
        Value::Object(fields) if schema["properties"].is_object() => {
            assert_eq!(keys(value), keys(&schema["properties"]), "every field of {place} is set");
            let change = |change: &dyn Fn(&mut Map<String, Value>)| {
                let mut changed = whole.clone();
                change(changed.pointer_mut(place).unwrap().as_object_mut().unwrap());
                is_read(&changed)
            };
            for name in fields.keys() {
                let is_required = words(&schema["required"]).contains(name.as_str());
                assert_eq!(change(&|it| drop(it.remove(name))), !is_required, "{place} without {name}");
                met.extend(hold_request(document, &schema["properties"][name], whole, &inner(name), is_read));
            }
            assert_eq!(schema["additionalProperties"], false, "{place} is closed");
            assert!(!change(&|it| drop(it.insert("unheardOf".to_owned(), json!(1)))), "{place} is closed");
        }
        Value::Object(fields) if schema["additionalProperties"].is_object() => {
            for name in fields.keys() {
                met.extend(hold_request(document, &schema["additionalProperties"], whole, &inner(name), is_read));
            }
        }
        Value::Array(_) => met.extend(hold_request(document, &schema["items"], whole, &inner("0"), is_read)),
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    met
}

type IsRead<'a> = &'a dyn Fn(&Value) -> bool;

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// The fields that a message and an announcement share.
fn content() -> Value {
    json!({
        "appId": "demo", "tenantCode": "north", "platform": "ALL", "pushMsgType": "MSG", "msgType": "event",
        "alert": "Hello",
        "extra": "data", "event": "order.paid", "sound": "ping", "badge": 3, "sender": "Shop", "sendDevice": "till",
        "source": {"platform": "pc", "product": "shop"}, "category": "orders", "tag": "vip", "ttl": 3600,
    })
}

fn with(mut base: Value, more: Value) -> Value {
    base.as_object_mut().unwrap().extend(object(&more));
    base
}

fn registration() -> Value {
    json!({
        "alias": "alice", "appId": "demo", "platform": "WEB", "nativeToken": "token", "mobile": "+8613800138000",
        "email": "alice@example.com", "tag": "staff", "tenantCode": "north", "clientVersion": "2.4.1",
        "locale": "zh-CN",
        "timeZone": "Asia/Shanghai", "push": {"channel": "mipush"},
    })
}

/// Every form of a device's push address. A new one does not compile until it is added here.
fn push_addresses() -> Vec<Value> {
    let token = || "00fc00fc00fc00fc00fc00fc00fc00fc".to_owned();
    let keys = WebpushKeys { p256dh: "p".to_owned(), auth: "a".to_owned() };
    let all = [
        PushAddress::Apns { token: token() },
        PushAddress::Fcm { token: token() },
        PushAddress::Webpush { endpoint: "https://push.example.net/p/1".to_owned(), keys },
        PushAddress::Mipush,
    ];
    let number = |address: &PushAddress| match address {
        PushAddress::Apns { token: _ } => 0,
        PushAddress::Fcm { token: _ } => 1,
        PushAddress::Webpush { endpoint: _, keys: _ } => 2,
        PushAddress::Mipush => 3,
    };
    assert!(all.iter().map(number).eq(0..all.len()), "each of them once, and in order");
    all.iter().map(|address| serde_json::to_value(address).unwrap()).collect()
}

#[test]
fn requests_require_and_refuse_the_fields_that_the_document_states() {
    let document = openapi();
    let mut met = BTreeSet::new();
    let mut hold = |name: &str, whole: Value, is_read: IsRead<'_>| {
        assert!(is_read(&whole), "{whole}");
        let schema = json!({"$ref": format!("#/components/schemas/{name}")});
        met.extend(hold_request(&document, &schema, &whole, "", is_read));
    };
    let message = json!({
        "audiences": ["alice"], "audienceType": "ALIAS", "needConfirm": true, "smsMessage": "Hi", "duration": 600,
        "priority": "high", "collapseKey": "k", "sendAt": "2026-11-22T08:00:00Z", "persist": true,
        "fallback": [{"channel": "sms", "after": 60}],
        "condition": {"clientVersionBelow": "2.10.0", "itemOpen": "order:4711"},
    });
    hold("SendRequest", with(content(), message), &|it| SendRequest::parse(object(it)).is_ok());
    hold("AnnounceRequest", content(), &|it| AnnounceRequest::parse(object(it)).is_ok());
    for push in push_addresses() {
        let request = with(registration(), json!({"push": push}));
        hold("RegisterRequest", request, &|it| RegisterRequest::parse(object(it)).is_ok());
    }
    hold("ItemRequest", json!({"open": false}), &|it| ItemRequest::parse(object(it)).is_ok());
    let channels: Map<String, Value> =
        all::<Channel>().into_iter().map(|word| (word.to_owned(), json!(true))).collect();
    let preferences = json!({
        "muted": true, "channels": channels, "categories": {"news": {"muted": true, "channels": channels}},
        "quietHours": {"from": "22:00", "to": "07:00", "except": ["alerts"]}, "timeZone": "Asia/Shanghai",
        "language": "zh-CN",
    });
    hold("Preferences", preferences, &|it| Preferences::parse(object(it)).is_ok());
    let closed = document.schemas().iter().filter(|(_, schema)| schema["additionalProperties"] == false);
    let closed: BTreeSet<String> = closed.map(|(name, _)| name.clone()).collect();
    assert_eq!(
        closed.difference(&met).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "every closed schema is of a request"
    );
}

#[test]
fn frames_of_a_device_are_closed_and_frames_to_it_are_open() {
    let document = asyncapi();
    for (name, schema) in document.schemas() {
        let is_sent = !schema["properties"]["action"].is_null();
        let is_head = ["ConnectTokenHeader", "SealedHeader"].contains(&name.as_str());
        assert_eq!(schema["additionalProperties"] == false, is_sent || is_head, "{name}");
    }
}

fn all<T: Choice>() -> BTreeSet<&'static str> {
    T::ALL.iter().map(|(word, _)| *word).collect()
}

/// The words that the service accepts for a field of a request.
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
    let registers = |field: &str, value: Value| {
        RegisterRequest::parse(object(&with(registration(), json!({field: value})))).is_ok()
    };
    let devices: BTreeSet<&str> =
        all::<Platform>().into_iter().filter(|word| registers("platform", json!(word))).collect();
    let addresses = push_addresses();
    let pushes: BTreeSet<&str> = addresses.iter().map(|address| address["channel"].as_str().unwrap()).collect();
    assert!(addresses.iter().all(|address| registers("push", address.clone())));
    let http = [
        ("AudienceType", audience),
        ("Channel", channels),
        ("DevicePlatform", devices),
        ("PushChannel", pushes),
        ("ProblemCode", every_api_error().iter().map(|error| error.code().as_str()).collect()),
    ];
    let socket = [("ErrorCode", every_refusal().iter().map(|refusal| refusal.code().as_str()).collect())];
    for (document, expected) in [(openapi(), &http[..]), (asyncapi(), &socket[..])] {
        for (name, served) in expected {
            assert_eq!(words(&document.at(&format!("/components/schemas/{name}"))["enum"]), *served, "{name}");
        }
    }
}

#[test]
fn every_word_of_a_trail_and_every_code_has_a_row_in_the_protocol() {
    let text = std::fs::read_to_string(repository().join("docs/protocol.md")).unwrap();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.split('|').skip(1).take(2).collect())
        .collect();
    let words = [
        all::<Event>(),
        all::<State>(),
        all::<SkipReason>(),
        all::<RefusalCode>(),
        all::<ProblemCode>(),
        all::<ErrorCode>(),
    ];
    for word in words.into_iter().flatten() {
        let shown = format!("`{word}`");
        assert!(
            rows.iter().any(|row| row.iter().any(|cell| cell.contains(&shown))),
            "no table of protocol.md has {shown}"
        );
    }
    // And the protocol lists no code that the service does not know.
    let codes = |heading: &str| -> BTreeSet<&str> {
        let (_, rest) =
            text.split_once(&format!("| {heading} | |\n| --- | --- |\n")).unwrap_or_else(|| panic!("{heading}"));
        let rows = rest.lines().take_while(|line| line.starts_with('|'));
        rows.map(|row| row.split('`').nth(1).unwrap()).collect()
    };
    assert_eq!(codes("`code` of `step-skipped`"), all::<SkipReason>());
    assert_eq!(codes("`code` of `step-refused`"), all::<RefusalCode>());
}

/// Every way in which a request can fail. A new one does not compile until it is added here.
fn every_api_error() -> Vec<ApiError> {
    let number = |error: &ApiError| match error {
        ApiError::Fields(_) => 0,
        ApiError::Body(JsonError::TooLarge { bytes: _ }) => 1,
        ApiError::Body(JsonError::TooDeep) => 2,
        ApiError::Body(JsonError::Syntax { line: _, column: _ }) => 3,
        ApiError::Body(JsonError::NotAnObject) => 4,
        ApiError::NoAppKey => 5,
        ApiError::WrongAppKey(_) => 6,
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
        ApiError::WrongToken(_) => 18,
        ApiError::Body(JsonError::Fields(_)) => 19,
        ApiError::Body(JsonError::ByteOrderMark { utf16: _ }) => 20,
    };
    let all = vec![
        ApiError::Fields(Vec::new()),
        ApiError::Body(JsonError::TooLarge { bytes: 0 }),
        ApiError::Body(JsonError::TooDeep),
        ApiError::Body(JsonError::Syntax { line: 1, column: 1 }),
        ApiError::Body(JsonError::NotAnObject),
        ApiError::NoAppKey,
        ApiError::WrongAppKey(KeyFault::Unknown),
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
        ApiError::WrongToken(TokenFault::Invalid),
        ApiError::Body(JsonError::Fields(Vec::new())),
        ApiError::Body(JsonError::ByteOrderMark { utf16: false }),
    ];
    assert!(all.iter().map(number).eq(0..all.len()), "each of them once, and in order");
    all
}

/// Every way in which a device's message can fail.
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
        Refusal::Body(JsonError::Fields(_)) => 10,
        Refusal::Body(JsonError::ByteOrderMark { utf16: _ }) => 11,
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
        Refusal::Body(JsonError::Fields(Vec::new())),
        Refusal::Body(JsonError::ByteOrderMark { utf16: false }),
    ];
    assert!(all.iter().map(number).eq(0..all.len()), "each of them once, and in order");
    all
}

#[test]
fn every_code_has_its_status_in_the_document_and_in_the_code() {
    let document = openapi();
    let mut documented = BTreeSet::new();
    let responses = document.content["components"]["responses"].as_object().unwrap();
    for (name, response) in responses {
        let Some(problem) = response["content"].get("application/problem+json") else { continue };
        let fixed = &problem["schema"]["allOf"][1]["properties"];
        let status = fixed["status"]["const"].as_u64().unwrap();
        documented.extend(words(&fixed["code"]["enum"]).into_iter().map(|code| (status, code.to_owned())));
        // And every use of it stands under that status.
        let place = format!("#/components/responses/{name}");
        for (method, path, operation) in operations(&document) {
            for (key, used) in operation["responses"].as_object().unwrap() {
                let is_it = used["$ref"] == place.as_str();
                assert!(!is_it || *key == status.to_string(), "{method} {path} {key} is {name}");
            }
        }
    }
    let errors = every_api_error();
    let answered = errors.iter().map(|error| (u64::from(error.status().as_u16()), error.code().to_string()));
    assert_eq!(documented, answered.collect());
}

fn operations(document: &Document) -> Vec<(String, &str, &Value)> {
    let methods = |item: &'_ Value| -> Vec<String> {
        keys(item).into_iter().filter(|key| *key != "parameters").map(str::to_uppercase).collect()
    };
    let paths = document.content["paths"].as_object().unwrap();
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
    // Every path once, for all methods: its function decides which ones, and `every_path_names_its_methods` tests them.
    let documented: BTreeSet<String> =
        operations(&document).into_iter().map(|(_, path, _)| format!("ANY {path}")).collect();
    let routes = template.http_api.unwrap().routes;
    let served: Vec<String> = routes
        .iter()
        .filter(|route| route.path != "$default")
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert_eq!(documented.len(), served.len(), "each once");
    assert_eq!(documented, served.into_iter().collect());

    let documented: BTreeSet<String> = asyncapi()
        .schemas()
        .values()
        .filter_map(|schema| schema["properties"]["action"]["const"].as_str().map(str::to_owned))
        .collect();
    let routes = template.websocket_api.unwrap().routes;
    assert_eq!(documented, routes.into_keys().filter(|key| !key.starts_with('$')).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_names_its_methods_and_answers_head_where_it_answers_get() {
    let world = World::start().await;
    let document = openapi();
    let mut methods: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (method, path, _) in operations(&document) {
        let of_path = methods.entry(path).or_default();
        of_path.extend((method == "GET").then(|| "HEAD".to_owned()));
        of_path.insert(method);
    }
    let ask = async |method: &str, path: &str| {
        let url = format!("{}{}", world.twin.api_url(), path.replace(['{', '}'], ""));
        let authorization = format!("Bearer {}", world.key.expose());
        let method = http::Method::from_bytes(method.as_bytes()).unwrap();
        world.request(method, &url, &[("authorization", &authorization)], "").await
    };
    for (path, expected) in methods {
        for method in ["PATCH", "TRACE", "BREW"] {
            let answer = ask(method, path).await;
            assert_eq!(answer.status.as_u16(), 405, "{method} {path}: {answer:?}");
            let allowed = answer.headers["allow"].to_str().unwrap().split(',').map(|it| it.trim().to_owned());
            assert_eq!(allowed.collect::<BTreeSet<_>>(), expected, "{method} {path}");
        }
        if expected.contains("HEAD") {
            let (get, head) = (ask("GET", path).await, ask("HEAD", path).await);
            assert_eq!(get.status, head.status, "{path}");
            assert_eq!(get.headers["content-type"], head.headers["content-type"], "{path}");
            let length = head.headers.get("content-length");
            assert!(length.is_none_or(|length| *length == get.headers["content-length"]), "{path}: {length:?}");
            assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        }
    }
    world.end().await;
}

#[test]
fn every_default_and_every_limit_in_prose_is_the_codes() {
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
    let table = [
        ("SendRequest.audienceType", json!(AudienceType::Alias)),
        ("SendRequest.platform", json!(defaults.letter.platform)),
        ("SendRequest.pushMsgType", json!(defaults.letter.content.push_msg_type.unwrap())),
        ("SendRequest.needConfirm", json!(false)),
        ("SendRequest.persist", json!(defaults.persist)),
        ("SendRequest.ttl", json!(defaults.ttl)),
        ("AnnounceRequest.platform", json!(announced.platform)),
        ("AnnounceRequest.pushMsgType", json!(announced.content.push_msg_type.unwrap())),
        ("AnnounceRequest.ttl", json!(announced.ttl)),
    ];
    let document = openapi();
    let mut documented = BTreeMap::new();
    for (name, schema) in document.schemas() {
        for (field, inner) in schema["properties"].as_object().into_iter().flatten() {
            documented.extend(inner.get("default").map(|value| (format!("{name}.{field}"), value.clone())));
        }
    }
    assert_eq!(documented, table.map(|(place, value)| (place.to_owned(), value)).into());
    // The defaults of an empty query.
    let named = |path: &str| -> Vec<&str> {
        let parameters = document.content["paths"][path]["get"]["parameters"].as_array().unwrap().iter();
        parameters.map(|it| document.follow(it)["name"].as_str().unwrap()).collect()
    };
    let paged = |parameter: &str| {
        let schema = &document.at(&format!("/components/parameters/{parameter}"))["schema"];
        ["minimum", "maximum", "default"].map(|keyword| schema[keyword].as_u64().unwrap())
    };
    let InboxRequest { limit, before } = InboxRequest::read(&mut Fields::of_query([]));
    assert!(named("/v1/inbox") == ["limit", "before"] && before.is_none());
    assert_eq!(paged("limit"), [*limits::INBOX_PAGE.start(), *limits::INBOX_PAGE.end(), limit]);
    let AnnouncementsRequest { tenant_code, limit, before } = AnnouncementsRequest::read(&mut Fields::of_query([]));
    assert!(
        named("/v1/announcements") == ["tenantCode", "limit", "before"] && tenant_code.is_none() && before.is_none()
    );
    let list = [*limits::ANNOUNCEMENT_LIST.start(), *limits::ANNOUNCEMENT_LIST.end(), limit];
    assert_eq!(paged("announcementLimit"), list);
    // Those that no keyword of a schema can express.
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
    assert_eq!(document.content["x-limits"], others);
}

#[test]
fn the_limits_of_a_connect_token_are_in_the_document_and_in_the_code() {
    let document = asyncapi();
    let jti = document.at("/components/schemas/ConnectTokenClaims/properties/jti");
    assert_eq!(jti["maxLength"], longest_token_id());
    assert_eq!(document.at("/components/schemas/Pong/properties/nextPing")["maximum"], presence::PING_SECONDS);
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

/// The longest accepted `jti`, found by trying.
fn longest_token_id() -> usize {
    let is_read = |length: &usize| {
        let claims = Claims::new("device", 1, "j".repeat(*length));
        let token = token::sign(&TokenKey::from_bytes([4; 32]), &key_id(KeyUse::Token), &claims);
        token::Token::parse(&token).is_ok()
    };
    (1..1_000).take_while(is_read).last().unwrap()
}

/// Values at the limits of a field's schema, each with whether it is valid.
fn edges(name: &str, schema: &Value) -> Vec<(Value, bool)> {
    let number = |keyword: &str| schema[keyword].as_u64();
    let text = |length: u64| match name {
        "email" => {
            let domain: String = (6..=length).map(|n| if n % 60 == 0 && n < length { '.' } else { 'd' }).collect();
            format!("x@{domain}.cn").into()
        }
        "clientVersionBelow" => "0".repeat(length as usize).into(),
        // Private subtags of eight letters each.
        "locale" => format!("x{}", "-abcdefgh".repeat(8)).chars().take(length as usize).collect::<String>().into(),
        _ => Value::from("语".repeat(length as usize)),
    };
    let item = match name {
        "audiences" => json!("alice"),
        _ => json!({"channel": "apns"}),
    };
    let list = |length: u64| Value::from(vec![item.clone(); length as usize]);
    let mut edges = Vec::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        let Some(most) = part["maxContains"].as_u64() else { continue };
        let one = json!({"channel": part["contains"]["properties"]["channel"]["const"]});
        let several = |length: u64| Value::from(vec![one.clone(); length as usize]);
        edges.extend([(several(most), true), (several(most + 1), false)]);
    }
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
    let device = registration;
    probe("RegisterRequest", "", &|name, value| with(device(), name, value), register);
    probe("AnnounceRequest", "", &|name, value| with(json!({"alert": "x"}), name, value), announce);
    assert!(probed > 130, "{probed}");
}

#[test]
fn the_documents_are_of_this_version() {
    for document in [openapi(), asyncapi()] {
        assert_eq!(document.content["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_the_gateway_blocks_are_answered_as_documented() {
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
    let codes = words(&document.at("/components/schemas/ErrorCode")["enum"]);
    let large = json!({"action": "ping", "x": "x".repeat(tidings_wire::limits::HTTP_BODY_BYTES)});
    for (message, code) in
        [(Message::binary(vec![1, 2, 3]), "binary_frame"), (Message::text(large.to_string()), "body_too_large")]
    {
        alice.socket.send(message).await.unwrap();
        match alice.frame().await {
            Frame::Error(error) => assert_eq!(error.code, code),
            other => panic!("{code}: {other:?}"),
        }
        assert!(codes.contains(code), "{code}");
    }
    world.end().await;
}
