//! Each provider's client against a server with its real protocol, over real sockets: every outcome of a call.
//!
//! `cargo test -p tidings --test providers -- --nocapture` prints the table of outcomes.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod played;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use sam_twin::listener::BoundListener;
use sam_twin::outbox::{self, Item, Outbox};
use serde_json::{Value, json};
use tidings::providers::rules::{Fault, Rule, Rules, Service};
use tidings::providers::{PushProviders, document};
use tidings_providers::answer::NoAnswer;
use tidings_providers::http::Protocol;
use tidings_providers::mipush::{Audience, Platform, Recipient};
use tidings_providers::outcome::{Fate, Load, Unanswered};
use tidings_providers::push::{Kind, Priority};
use tidings_providers::webpush::Subscription;
use tidings_providers::{
    Bases, Client, Credentials, Limits, Outcome, Provider, Providers, Push, Reach, Sent, Target, apns, fcm,
};
use tidings_wire::send::Channel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const DEVICE: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
const APP: &str = "device:APA91bHun4MxP5egoKMwt2KZFBaFUH";

/// The providers, and an app that sends to all of them.
struct World {
    played: PushProviders,
    outbox: Outbox,
    providers: Providers,
    client: Client,
    document: Value,
    subscription: Value,
}

/// Short, so that tests do not wait; long enough for a busy machine.
fn limits() -> Limits {
    Limits { connect: Duration::from_secs(5), request: Duration::from_secs(10), ..Limits::default() }
}

fn impatient() -> Limits {
    Limits { request: Duration::from_secs(1), ..limits() }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl World {
    async fn start() -> Self {
        let listener = BoundListener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let document = document(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let outbox = Outbox::default();
        let played = PushProviders::start(listener, credentials(&document), outbox.clone(), Rules::default()).unwrap();
        let client = Client::new(limits(), Reach::Anywhere);
        let providers = Providers::new(credentials(&document), client.clone(), Bases::all_at(played.url()));
        let mut world = Self { played, outbox, providers, client, document, subscription: Value::Null };
        world.subscription = world.control("POST", "/_twin/subscriptions", &json!({})).await;
        world
    }

    /// The same app, in a process with shorter limits.
    fn with(&self, limits: Limits) -> Providers {
        let client = Client::new(limits, Reach::Anywhere);
        Providers::new(credentials(&self.document), client, Bases::all_at(self.played.url()))
    }

    async fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.played.url()));
        let request = request.header("content-type", "application/json").body(Bytes::from(body.to_string())).unwrap();
        let answer = self.client.send(request, Protocol::Negotiated).await.unwrap();
        assert!(answer.status.is_success(), "{method} {path}: {} {:?}", answer.status, answer.body);
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    fn target(&self, provider: Provider) -> Target {
        match provider {
            Provider::Apns => Target::Apns(apns::DeviceToken::parse(DEVICE).unwrap()),
            Provider::Fcm => Target::Fcm(fcm::RegistrationToken::parse(APP).unwrap()),
            Provider::Webpush => {
                Target::Webpush(Subscription::parse(&self.subscription.to_string(), Reach::Anywhere).unwrap())
            }
            Provider::Mipush => {
                Target::Mipush(Recipient { audience: Audience::user("alice"), platform: Platform::Android })
            }
            Provider::Webhook => Target::Webhook,
        }
    }

    async fn send(&self, provider: Provider) -> Sent {
        self.providers.send(&push(), &self.target(provider), now()).await.unwrap()
    }

    fn rule(&self, service: impl Into<Service>, fault: Fault) {
        self.played.rules().set(vec![Rule { service: service.into(), to: String::new(), fault, times: None }]);
    }

    fn arrivals(&self, channel: Channel) -> Vec<Item> {
        let channel = outbox::Channel::new(channel.as_str());
        self.outbox.after(0).into_iter().filter(|item| item.channel == channel).collect()
    }
}

fn credentials(document: &Value) -> Credentials {
    Credentials::parse(&document.to_string(), Reach::Anywhere).unwrap()
}

fn push() -> Push {
    Push {
        message_id: "01JD4Z0000000000000000MSGE".to_owned(),
        step: 0,
        kind: Kind::Alert,
        title: Some("Gate change".to_owned()),
        body: Some("Now B 12".to_owned()),
        badge: Some(3),
        sound: Some("default".to_owned()),
        mutable: true,
        data: BTreeMap::from([("id".to_owned(), "01JD4Z0000000000000000MSGE".to_owned())]),
        priority: Priority::High,
        ttl: 3600,
        collapse_key: Some("flight-7".to_owned()),
    }
}

fn channel(provider: Provider) -> Channel {
    match provider {
        Provider::Apns => Channel::Apns,
        Provider::Fcm => Channel::Fcm,
        Provider::Webpush => Channel::Webpush,
        Provider::Mipush => Channel::Mipush,
        Provider::Webhook => Channel::Webhook,
    }
}

fn refuse(status: u16, code: &str) -> Fault {
    Fault::Refuse { status, code: code.to_owned(), reason: String::new(), retry_after: None }
}

/// An outcome as a line of the table, without the ids, which differ each time.
fn line(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { id } => format!("accepted{}", if id.is_some() { "" } else { " without an id" }),
        Outcome::Refused { code, fate, .. } => {
            let fate = match fate {
                Fate::Keep => "keep",
                Fate::Remove { .. } => "remove",
            };
            format!("refused {code}, {fate}")
        }
        Outcome::Busy { code, load, retry_after, .. } => {
            let load = match load {
                Load::Throttled => "throttled",
                Load::Failing => "failing",
            };
            let wait = retry_after.map(|wait| format!(", again in {} s", wait.as_secs())).unwrap_or_default();
            format!("busy {code}, {load}{wait}")
        }
        Outcome::Unanswered(Unanswered::Timeout) => "unanswered: timeout".to_owned(),
        Outcome::Unanswered(Unanswered::Cut) => "unanswered: cut".to_owned(),
        Outcome::Unreachable { .. } => "unreachable".to_owned(),
    }
}

#[tokio::test]
async fn a_path_of_no_provider_is_answered_with_what_the_port_serves() {
    let world = World::start().await;
    let request = Request::post(format!("{}/v1/devices", world.played.url())).body(Bytes::new()).unwrap();
    let answer = world.client.send(request, Protocol::Negotiated).await.unwrap();
    assert_eq!(answer.status, 404);
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    let message = body["message"].as_str().unwrap();
    assert!(message.starts_with("POST /v1/devices: this port emulates the push providers"), "{message}");
}

#[tokio::test]
async fn apns_takes_tokens_of_every_length_that_a_registration_takes() {
    let world = World::start().await;
    for digits in [16, 64, 160, 200] {
        let target = Target::Apns(apns::DeviceToken::parse(&"0f".repeat(digits / 2)).unwrap());
        let sent = world.providers.send(&push(), &target, now()).await.unwrap();
        assert!(matches!(sent.outcome, Outcome::Accepted { .. }), "{digits}: {:?}", sent.outcome);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_every_provider() {
    let table: &[(Provider, u16, &str, &str)] = &[
        (Provider::Apns, 400, "BadDeviceToken", "refused 400 BadDeviceToken, remove"),
        (Provider::Apns, 400, "DeviceTokenNotForTopic", "refused 400 DeviceTokenNotForTopic, keep"),
        (Provider::Apns, 400, "BadCollapseId", "refused 400 BadCollapseId, keep"),
        (Provider::Apns, 400, "BadExpirationDate", "refused 400 BadExpirationDate, keep"),
        (Provider::Apns, 400, "BadMessageId", "refused 400 BadMessageId, keep"),
        (Provider::Apns, 400, "BadPriority", "refused 400 BadPriority, keep"),
        (Provider::Apns, 400, "BadTopic", "refused 400 BadTopic, keep"),
        (Provider::Apns, 400, "DuplicateHeaders", "refused 400 DuplicateHeaders, keep"),
        (Provider::Apns, 400, "IdleTimeout", "refused 400 IdleTimeout, keep"),
        (Provider::Apns, 400, "InvalidPushType", "refused 400 InvalidPushType, keep"),
        (Provider::Apns, 400, "MissingDeviceToken", "refused 400 MissingDeviceToken, keep"),
        (Provider::Apns, 400, "MissingTopic", "refused 400 MissingTopic, keep"),
        (Provider::Apns, 400, "PayloadEmpty", "refused 400 PayloadEmpty, keep"),
        (Provider::Apns, 400, "TopicDisallowed", "refused 400 TopicDisallowed, keep"),
        (Provider::Apns, 403, "BadCertificate", "refused 403 BadCertificate, keep"),
        (Provider::Apns, 403, "BadCertificateEnvironment", "refused 403 BadCertificateEnvironment, keep"),
        (Provider::Apns, 403, "ExpiredProviderToken", "refused 403 ExpiredProviderToken, keep"),
        (Provider::Apns, 403, "Forbidden", "refused 403 Forbidden, keep"),
        (Provider::Apns, 403, "InvalidProviderToken", "refused 403 InvalidProviderToken, keep"),
        (Provider::Apns, 403, "MissingProviderToken", "refused 403 MissingProviderToken, keep"),
        (Provider::Apns, 404, "BadPath", "refused 404 BadPath, keep"),
        (Provider::Apns, 405, "MethodNotAllowed", "refused 405 MethodNotAllowed, keep"),
        (Provider::Apns, 410, "ExpiredToken", "refused 410 ExpiredToken, remove"),
        (Provider::Apns, 410, "Unregistered", "refused 410 Unregistered, remove"),
        (Provider::Apns, 413, "PayloadTooLarge", "refused 413 PayloadTooLarge, keep"),
        (
            Provider::Apns,
            429,
            "TooManyProviderTokenUpdates",
            "busy 429 TooManyProviderTokenUpdates, throttled, again in 7 s",
        ),
        (Provider::Apns, 429, "TooManyRequests", "busy 429 TooManyRequests, throttled, again in 7 s"),
        (Provider::Apns, 500, "InternalServerError", "busy 500 InternalServerError, failing, again in 7 s"),
        (Provider::Apns, 503, "ServiceUnavailable", "busy 503 ServiceUnavailable, failing, again in 7 s"),
        (Provider::Apns, 503, "Shutdown", "busy 503 Shutdown, failing, again in 7 s"),
        (Provider::Fcm, 400, "INVALID_ARGUMENT", "refused 400 INVALID_ARGUMENT, keep"),
        (Provider::Fcm, 401, "THIRD_PARTY_AUTH_ERROR", "refused 401 THIRD_PARTY_AUTH_ERROR, keep"),
        (Provider::Fcm, 403, "SENDER_ID_MISMATCH", "refused 403 SENDER_ID_MISMATCH, keep"),
        (Provider::Fcm, 404, "UNREGISTERED", "refused 404 UNREGISTERED, remove"),
        (Provider::Fcm, 429, "QUOTA_EXCEEDED", "busy 429 QUOTA_EXCEEDED, throttled, again in 7 s"),
        (Provider::Fcm, 500, "INTERNAL", "busy 500 INTERNAL, failing, again in 7 s"),
        (Provider::Fcm, 503, "UNAVAILABLE", "busy 503 UNAVAILABLE, failing, again in 7 s"),
        (Provider::Webpush, 400, "", "refused 400, keep"),
        (Provider::Webpush, 401, "", "refused 401, keep"),
        (Provider::Webpush, 403, "", "refused 403, keep"),
        (Provider::Webpush, 404, "", "refused 404, remove"),
        (Provider::Webpush, 410, "", "refused 410, remove"),
        (Provider::Webpush, 413, "", "refused 413, keep"),
        (Provider::Webpush, 429, "", "busy 429, throttled, again in 7 s"),
        (Provider::Webpush, 500, "", "busy 500, failing, again in 7 s"),
        (Provider::Webpush, 503, "", "busy 503, failing, again in 7 s"),
        (Provider::Mipush, 200, "10001", "busy 10001, failing, again in 7 s"),
        (Provider::Mipush, 200, "10002", "busy 10002, failing, again in 7 s"),
        (Provider::Mipush, 200, "10016", "refused 10016, keep"),
        (Provider::Mipush, 200, "10017", "refused 10017, keep"),
        (Provider::Mipush, 200, "10022", "busy 10022, throttled, again in 7 s"),
        (Provider::Mipush, 200, "20301", "refused 20301, remove"),
        (Provider::Mipush, 200, "21301", "refused 21301, keep"),
        (Provider::Mipush, 429, "", "busy 429, throttled, again in 7 s"),
        (Provider::Mipush, 503, "", "busy 503, failing, again in 7 s"),
        (Provider::Webhook, 301, "", "refused 301, keep"),
        (Provider::Webhook, 400, "", "refused 400, keep"),
        (Provider::Webhook, 410, "", "refused 410, remove"),
        (Provider::Webhook, 429, "", "busy 429, throttled, again in 7 s"),
        (Provider::Webhook, 503, "", "busy 503, failing, again in 7 s"),
    ];
    let world = World::start().await;
    for (provider, status, code, expected) in table {
        let reason = if *code == "20301" { "No valid targets!" } else { "" };
        let fault = Fault::Refuse {
            status: *status,
            code: (*code).to_owned(),
            reason: reason.to_owned(),
            retry_after: Some("7".to_owned()),
        };
        world.rule(*provider, fault);
        let sent = world.send(*provider).await;
        println!("{provider:<8} {:<32} {}", format!("{status} {code}"), line(&sent.outcome));
        assert_eq!(line(&sent.outcome), *expected, "{provider} {status} {code}: {sent:?}");
    }
    assert_eq!(world.outbox.after(0), [], "what is refused does not arrive");
    world.played.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_arrives_once() {
    let world = World::start().await;
    for provider in Provider::ALL {
        let sent = world.send(provider).await;
        println!("{provider:<8} {:<32} {}", "success", line(&sent.outcome));
        let Outcome::Accepted { id: Some(id) } = sent.outcome else { panic!("{provider}: {sent:?}") };
        let arrived = world.arrivals(channel(provider));
        assert_eq!(arrived.len(), 1, "{provider}");
        assert_eq!(arrived[0].message_id, id, "{provider}");
    }
    let arrived = &world.arrivals(Channel::Apns)[0];
    assert_eq!((arrived.to.as_slice(), arrived.subject.as_deref()), (&[DEVICE.to_owned()][..], Some("Gate change")));
    assert_eq!(arrived.headers["apns-topic"], "com.example.tidings");
    assert_eq!(arrived.headers["apns-id"], push().id().to_string());
    assert_eq!(world.arrivals(Channel::Webpush)[0].headers["topic"], "flight-7");
    assert_eq!(world.arrivals(Channel::Webhook)[0].headers["webhook-id"], push().id().to_string());
    world.played.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_knows_what_became_of_what_is_not_answered() {
    let world = World::start().await;
    let (patient, impatient) = (world.with(limits()), world.with(impatient()));
    // Each with a new id: a webhook's receiver treats a known id as a repetition.
    let steps = AtomicUsize::new(0);
    let next = || Push { step: steps.fetch_add(1, Ordering::Relaxed), ..push() };
    for taken in [false, true] {
        // Tokens and connections first, so that the unanswered request is the push.
        world.played.rules().set(Vec::new());
        for provider in Provider::ALL {
            for providers in [&patient, &impatient] {
                let sent = providers.send(&next(), &world.target(provider), now()).await.unwrap();
                assert_eq!(line(&sent.outcome), "accepted", "{provider}");
            }
        }
        let before = Provider::ALL.map(|provider| world.arrivals(channel(provider)).len());
        let all = |fault: Fault| {
            let rule = |provider: Provider| Rule {
                service: provider.into(),
                to: String::new(),
                fault: fault.clone(),
                times: None,
            };
            world.played.rules().set(Provider::ALL.map(rule).into());
        };
        all(Fault::Cut { taken });
        for provider in Provider::ALL {
            let sent = patient.send(&next(), &world.target(provider), now()).await.unwrap();
            println!("{provider:<8} {:<32} {}", format!("cut, taken: {taken}"), line(&sent.outcome));
            assert_eq!(sent.outcome, Outcome::Unanswered(Unanswered::Cut), "{provider}");
        }
        all(Fault::Silence { taken });
        let push = next();
        let targets = Provider::ALL.map(|provider| world.target(provider));
        for sent in join_all(targets.iter().map(|target| impatient.send(&push, target, now()))).await {
            assert_eq!(sent.unwrap().outcome, Outcome::Unanswered(Unanswered::Timeout));
        }
        for (provider, before) in Provider::ALL.into_iter().zip(before) {
            println!("{provider:<8} {:<32} unanswered: timeout", format!("silence, taken: {taken}"));
            let after = world.arrivals(channel(provider)).len();
            assert_eq!(after - before, if taken { 2 } else { 0 }, "{provider}");
        }
    }
    world.played.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_where_there_is_no_connection() {
    // Bound, so that no other process gets the port, but not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let world = World::start().await;
    let mut subscription = world.subscription.clone();
    subscription["endpoint"] = format!("{url}/webpush/1").into();
    let nowhere = credentials(&document(&url).unwrap());
    let providers = Providers::new(nowhere, world.client.clone(), Bases::all_at(&url));
    for provider in Provider::ALL {
        let target = match provider {
            Provider::Webpush => {
                Target::Webpush(Subscription::parse(&subscription.to_string(), Reach::Anywhere).unwrap())
            }
            Provider::Apns | Provider::Fcm | Provider::Mipush | Provider::Webhook => world.target(provider),
        };
        let sent = providers.send(&push(), &target, now()).await.unwrap();
        println!("{provider:<8} {:<32} {}", "no listener", line(&sent.outcome));
        assert!(matches!(&sent.outcome, Outcome::Unreachable { cause } if cause.contains("refused")), "{sent:?}");
    }
    world.played.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_not_made_in_time_has_sent_nothing() {
    // A listener that speaks no TLS: the handshake never ends.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let client = Client::new(Limits { connect: Duration::from_millis(200), ..limits() }, Reach::Anywhere);
    for protocol in [Protocol::Negotiated, Protocol::Http2] {
        let request = Request::post(&url).body(Bytes::new()).unwrap();
        let none = client.send(request, protocol).await.unwrap_err();
        assert_eq!(Outcome::from(none), Outcome::Unreachable { cause: "no connection within 200 ms".to_owned() });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_client_goes_to_no_private_address() {
    let world = World::start().await;
    let client = Client::new(limits(), Reach::Public);
    let port = world.played.url().rsplit_once(':').unwrap().1;
    for host in ["127.0.0.1", "localhost", "[::1]", "10.0.0.1"] {
        let request = Request::post(format!("https://{host}:{port}/webhook")).body(Bytes::new()).unwrap();
        let none = client.send(request, Protocol::Negotiated).await.unwrap_err();
        assert!(matches!(none, NoAnswer::Unreachable(_)), "{host}: {none:?}");
    }
    world.played.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apns_gets_a_new_token_when_the_old_one_has_expired() {
    let world = World::start().await;
    let target = world.target(Provider::Apns);
    let half_an_hour_ago = now() - 1800;
    let first = world.providers.send(&push(), &target, half_an_hour_ago).await.unwrap();
    assert_eq!(line(&first.outcome), "accepted");
    let expired = |times| {
        let fault = refuse(403, "ExpiredProviderToken");
        world.played.rules().set(vec![Rule {
            service: Provider::Apns.into(),
            to: String::new(),
            fault,
            times: Some(times),
        }]);
    };
    expired(1);
    let second = world.providers.send(&push(), &target, now()).await.unwrap();
    assert_eq!(line(&second.outcome), "accepted");
    assert_eq!(world.arrivals(Channel::Apns).len(), 2);
    // The new one is too young to be replaced.
    expired(1);
    let third = world.providers.send(&push(), &target, now()).await.unwrap();
    assert_eq!(line(&third.outcome), "refused 403 ExpiredProviderToken, keep");
    assert_eq!(world.arrivals(Channel::Apns).len(), 2);
    world.played.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apns_refuses_what_is_not_signed_by_the_team() {
    let world = World::start().await;
    // Another key under the same id.
    let mut other = document(world.played.url()).unwrap();
    other["fcm"] = world.document["fcm"].clone();
    let providers = Providers::new(credentials(&other), world.client.clone(), Bases::all_at(world.played.url()));
    let sent = providers.send(&push(), &world.target(Provider::Apns), now()).await.unwrap();
    assert_eq!(line(&sent.outcome), "refused 403 InvalidProviderToken, keep");
    // An hour and more ago.
    let sent = world.providers.send(&push(), &world.target(Provider::Apns), now() - 3700).await.unwrap();
    assert_eq!(line(&sent.outcome), "refused 403 ExpiredProviderToken, keep");
    // A subscription that belongs to the first key.
    let key = json!({"applicationServerKey": world.document["webpush"]["publicKey"]});
    let subscription = world.control("POST", "/_twin/subscriptions", &key).await;
    let target = Target::Webpush(Subscription::parse(&subscription.to_string(), Reach::Anywhere).unwrap());
    let sent = providers.send(&push(), &target, now()).await.unwrap();
    assert_eq!(line(&sent.outcome), "refused 403, keep");
    let sent = world.providers.send(&push(), &target, now()).await.unwrap();
    assert_eq!(line(&sent.outcome), "accepted");
    world.played.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fcm_gets_a_token_once_and_again_when_it_is_refused() {
    let world = World::start().await;
    let once =
        |fault| world.played.rules().set(vec![Rule { service: Service::Oauth, to: String::new(), fault, times: None }]);
    assert_eq!(line(&world.send(Provider::Fcm).await.outcome), "accepted");
    // The token endpoint is not asked again.
    once(Fault::Cut { taken: false });
    assert_eq!(line(&world.send(Provider::Fcm).await.outcome), "accepted");
    // FCM forgets the token, and the push goes out with a new one.
    let fault = refuse(401, "");
    world.played.rules().set(vec![Rule { service: Provider::Fcm.into(), to: String::new(), fault, times: Some(1) }]);
    assert_eq!(line(&world.send(Provider::Fcm).await.outcome), "accepted");
    assert_eq!(world.arrivals(Channel::Fcm).len(), 3);
    world.played.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_fcm_is_sent_nothing() {
    let world = World::start().await;
    let cases = [
        (refuse(400, "invalid_grant"), "refused 400 invalid_grant, keep"),
        (refuse(503, "server_error"), "busy 503 server_error, failing"),
        (Fault::Cut { taken: true }, "unreachable"),
        (Fault::Silence { taken: true }, "unreachable"),
    ];
    for (fault, expected) in cases {
        world.rule(Service::Oauth, fault.clone());
        let providers = world.with(impatient());
        let sent = providers.send(&push(), &world.target(Provider::Fcm), now()).await.unwrap();
        println!("{:<8} {:<32} {}", "fcm", "token endpoint", line(&sent.outcome));
        assert_eq!(line(&sent.outcome), expected);
    }
    assert_eq!(world.arrivals(Channel::Fcm).len(), 0);
    world.played.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_has_ended_is_gone() {
    let world = World::start().await;
    let endpoint = world.subscription["endpoint"].as_str().unwrap();
    let path = endpoint.strip_prefix(world.played.url()).unwrap();
    world.control("DELETE", path, &Value::Null).await;
    assert_eq!(line(&world.send(Provider::Webpush).await.outcome), "refused 410, remove");
    let mut never = world.subscription.clone();
    never["endpoint"] = format!("{}/webpush/never", world.played.url()).into();
    let never = Target::Webpush(Subscription::parse(&never.to_string(), Reach::Anywhere).unwrap());
    let sent = world.providers.send(&push(), &never, now()).await.unwrap();
    assert_eq!(line(&sent.outcome), "refused 404, remove");
    world.played.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_pushes_fit_every_provider() {
    let world = World::start().await;
    let mut large = push();
    large.data.insert("sealed".to_owned(), "x".repeat(24_000));
    large.body = Some("\"ключ\" ".repeat(2_000));
    large.title = Some("字".repeat(60));
    large.collapse_key = Some("a key that is longer than most providers take, by a good many characters".to_owned());
    large.ttl = 60 * 24 * 60 * 60;
    for provider in Provider::ALL {
        let sent = world.providers.send(&large, &world.target(provider), now()).await.unwrap();
        let downgrades: Vec<String> = sent.effective.downgrades.iter().map(ToString::to_string).collect();
        println!("{provider:<8} {:<32} {}; {}", "too large", line(&sent.outcome), downgrades.join(", "));
        assert_eq!(line(&sent.outcome), "accepted", "{provider}");
        assert!(downgrades.contains(&"sealed left out (24000 bytes)".to_owned()), "{provider}: {downgrades:?}");
    }
    world.played.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_long_answer_the_beginning_is_read() {
    let world = World::start().await;
    let reason = "x".repeat(1_000_000);
    let fault = Fault::Refuse { status: 413, code: String::new(), reason, retry_after: None };
    world.rule(Provider::Webpush, fault);
    let providers = world.with(Limits { answer_bytes: 1_000, ..limits() });
    let sent = providers.send(&push(), &world.target(Provider::Webpush), now()).await.unwrap();
    let Outcome::Refused { detail: Some(detail), .. } = &sent.outcome else { panic!("{sent:?}") };
    assert_eq!((line(&sent.outcome).as_str(), detail.chars().count()), ("refused 413, keep", 200));
    let request = Request::post(format!("{}/webhook", world.played.url())).body(Bytes::new()).unwrap();
    world.rule(
        Provider::Webhook,
        Fault::Refuse { status: 400, code: String::new(), reason: "x".repeat(5_000), retry_after: None },
    );
    let client = Client::new(Limits { answer_bytes: 1_000, ..limits() }, Reach::Anywhere);
    assert_eq!(client.send(request, Protocol::Negotiated).await.unwrap().body.len(), 1_000);
    world.played.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(answer(stream));
        }
    });
    let client = Client::new(limits(), Reach::Anywhere);
    for _ in 0..100 {
        let request = Request::get(&url).body(Bytes::new()).unwrap();
        assert_eq!(client.send(request, Protocol::Negotiated).await.unwrap().status, StatusCode::NO_CONTENT);
    }
    // One connection, and at times another that was opened before the first was known to be free.
    let connections = connections.load(Ordering::SeqCst);
    assert!(connections <= 10, "{connections} connections for 100 requests");
}

/// Answers every request of a connection; they have no bodies.
async fn answer(mut stream: TcpStream) {
    let mut asked = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        asked.push(byte);
        if asked.ends_with(b"\r\n\r\n") {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            asked.clear();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_can_be_set_from_outside() {
    let world = World::start().await;
    let rules = json!([
        {"service": "apns", "to": "00fc", "fault": {"kind": "refuse", "status": 410, "code": "Unregistered"}},
    ]);
    world.control("PUT", "/_twin/rules", &rules).await;
    let ask = async |method: &str, path: &str, kind: Option<&str>, body: &str| {
        let url = format!("{}{path}", world.played.url());
        let kind: Vec<(&str, &str)> = kind.into_iter().map(|kind| ("content-type", kind)).collect();
        let client = sam_twin::client::Client::new(Duration::from_secs(30));
        let answer = client.request(method.parse().unwrap(), &url, &kind, body.to_owned()).await.unwrap();
        (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap())
    };
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/json")] {
        let (status, answer) = ask("PUT", "/_twin/rules", kind, &rules.to_string()).await;
        assert_eq!(status, 204, "{kind:?}: {answer}");
    }
    let cut = |times: u32| json!([{"service": "apns", "fault": {"kind": "cut"}, "times": times}]).to_string();
    let refuse = |status: u16, more: &str| {
        format!("[{{\"service\": \"apns\", \"fault\": {{\"kind\": \"refuse\", \"status\": {status}{more}}}}}]")
    };
    for (method, path, body, reason) in [
        ("PUT", "/_twin/rules?x=1", cut(1), "/_twin/rules takes no parameters"),
        ("GET", "/_twin/rules?x=1", String::new(), "/_twin/rules takes no parameters"),
        ("POST", "/_twin/subscriptions?x=1", String::new(), "/_twin/subscriptions takes no parameters"),
        ("POST", "/_twin/subscriptions", "{\"key\": 1}".to_owned(), "unknown field `key`"),
        ("PUT", "/_twin/rules", format!("\u{feff}{}", cut(1)), "begins with a byte order mark (U+FEFF)"),
        ("PUT", "/_twin/rules", String::new(), "EOF"),
        ("PUT", "/_twin/rules", cut(0), "[0]: `times` is 0"),
        ("PUT", "/_twin/rules", refuse(42, ""), "[0]: `status` is 42; it takes 200 to 599"),
        ("PUT", "/_twin/rules", refuse(600, ""), "[0]: `status` is 600; it takes 200 to 599"),
        ("PUT", "/_twin/rules", refuse(429, ", \"retryAfter\": \"1\\n2\""), "[0]: `retryAfter` is "),
    ] {
        let (status, answer) = ask(method, path, None, &body).await;
        let message = serde_json::from_str::<Value>(&answer).unwrap()["message"].clone();
        assert!(
            status == 400 && message.as_str().unwrap().contains(reason),
            "{method} {path} {body}: {status} {answer}"
        );
    }
    assert_eq!(line(&world.send(Provider::Apns).await.outcome), "refused 410 Unregistered, remove");
    let left = world.control("GET", "/_twin/rules", &Value::Null).await;
    assert_eq!(left[0]["fault"]["code"], "Unregistered");
    world.played.shutdown().await;
}
