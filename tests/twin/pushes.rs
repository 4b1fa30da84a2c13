//! Native push in the chain: each channel over its provider's real protocol, and the outcome of a step if the provider
//! fails.

use http::Method;
use sam_twin::{
    faults::{Fault as FaultOfAws, Rule as RuleOfAws},
    services::{ses, sns},
};
use serde_json::{Value, json};
use tidings::providers::rules::{Fault, Rule};
use tidings_client::Identity;
use tidings_providers::Provider;
use tidings_wire::{
    Frame, Platform, PushAddress,
    send::{Channel, FallbackStep},
    trail::{Event as Happened, RecipientTrail, State, Transition},
};

use crate::world::{World, happened};

const TOKEN: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";

fn address(push: Value) -> PushAddress {
    serde_json::from_value(push).unwrap()
}

fn apns() -> PushAddress {
    address(json!({"channel": "apns", "token": TOKEN}))
}

/// A device of a user with this push address.
async fn device(world: &World, alias: &str, platform: Platform, push: Option<PushAddress>) -> Identity {
    let token = format!("{alias} {platform} {:?}", push.as_ref().map(PushAddress::channel));
    let mut registration = World::registration(alias, &token);
    registration.platform = platform;
    registration.push = push;
    registration.mobile = Some("+8613800138000".to_owned());
    Identity::from_answer(&world.backend().register(&registration).await.unwrap()).unwrap()
}

/// Data of an app with characters that only JSON can express.
fn extra() -> Value {
    json!({"a\0b": ["\0", "x\0y\u{1f}\u{7f}\u{fffe}\u{ffff}\u{2028}"]})
}

/// A message to alice whose steps are all due at once.
async fn send(world: &World, channels: &[Channel]) -> String {
    let steps = channels.iter().map(|channel| FallbackStep { channel: *channel, after: Some(0) });
    let steps: Vec<_> = steps.collect();
    world
        .send_with(&["alice"], "Your parcel is here", |request| {
            request.fallback = Some(steps);
            request.content.sender = Some("Shop".to_owned());
            request.content.badge = Some(3);
            request.content.extra = Some(extra());
        })
        .await
}

fn refuse(provider: Provider, status: u16, code: &str, times: Option<u32>) -> Rule {
    let (code, reason, retry_after) = (code.to_owned(), String::new(), None);
    Rule {
        service: provider.into(),
        to: String::new(),
        fault: Fault::Refuse { status, code, reason, retry_after },
        times,
    }
}

/// The transition at the end of a step.
fn end(trail: &RecipientTrail, step: usize) -> &Transition {
    let ended = [Happened::StepAccepted, Happened::StepRefused, Happened::StepSkipped, Happened::StepUnknown];
    let of_step = trail.transitions.iter().filter(|it| it.step == Some(step) && ended.contains(&it.event));
    let all: Vec<_> = of_step.collect();
    assert_eq!(all.len(), 1, "step {step} has ended once: {:?}", trail.transitions);
    all[0]
}

/// The trail after its last step has ended.
async fn ended(world: &World, id: &str, steps: usize) -> RecipientTrail {
    let mut found = None;
    crate::world::eventually(&format!("the chain of {id} has ended"), async || {
        let trail = world.trail(id).await.recipients.remove(0);
        let ended = [Happened::StepAccepted, Happened::StepRefused, Happened::StepSkipped, Happened::StepUnknown];
        let over = trail.transitions.iter().any(|it| it.step == Some(steps - 1) && ended.contains(&it.event));
        found = Some(trail);
        over
    })
    .await;
    found.unwrap()
}

async fn channels(world: &World) -> Vec<String> {
    world.outbox().await.iter().map(|item| item["channel"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_channel_pushes_once_with_the_frame_that_a_socket_would_have_brought() {
    let world = World::start().await;
    let made =
        world.request(Method::POST, &format!("{}/_twin/subscriptions", world.providers().url()), &[], "").await.json();
    let webpush = address(json!({"channel": "webpush", "endpoint": made["endpoint"], "keys": made["keys"]}));
    let phone = device(&world, "alice", Platform::Ios, Some(apns())).await;
    device(&world, "alice", Platform::Android, Some(address(json!({"channel": "fcm", "token": "abc:def"})))).await;
    device(&world, "alice", Platform::Web, Some(webpush)).await;
    device(&world, "alice", Platform::Pc, None).await;
    let xiaomi = address(json!({"channel": "mipush"}));
    let mut registration = World::registration("alice", "xiaomi");
    (registration.platform, registration.push) = (Platform::Android, Some(xiaomi));
    let shown = world.backend().register(&registration).await.unwrap();
    assert_eq!(world.backend().device(&shown.id).await.unwrap().push, Some(Channel::Mipush));

    let all = [Channel::Apns, Channel::Fcm, Channel::Webpush, Channel::Mipush, Channel::Webhook];
    let id = send(&world, &all).await;
    let trail = ended(&world, &id, all.len()).await;
    assert_eq!(trail.state, State::FallbackDelivered);
    for (step, channel) in all.iter().enumerate() {
        let ended = end(&trail, step);
        assert_eq!(
            (ended.event, ended.channel.as_deref()),
            (Happened::StepAccepted, Some(channel.as_str())),
            "{ended:?}"
        );
        assert!(step == 4 || ended.code.as_ref().is_some_and(|id| !id.is_empty()), "the provider's id: {ended:?}");
    }
    assert!(
        end(&trail, 3).detail.as_deref().is_some_and(|detail| detail.contains("ttl 86400 s")),
        "Mi Push keeps a day"
    );
    let outbox = world.outbox().await;
    let sent: Vec<_> = outbox.iter().map(|item| item["channel"].as_str().unwrap()).collect();
    assert_eq!(sent, ["apns", "fcm", "webpush", "mipush", "webhook"]);

    // The payload for the phone contains the message, sealed under the phone's key.
    let payload = outbox[0].to_string();
    let frame = payload.split('"').flat_map(|part| part.split('\\')).find(|part| part.starts_with("eyJ")).unwrap();
    let opened: Frame = serde_json::from_slice(&phone.open(frame).unwrap()).unwrap();
    let Frame::Message(message) = opened else { panic!("{opened:?}") };
    assert_eq!((message.id.as_str(), message.to_user_name.as_str()), (id.as_str(), "alice"));
    assert_eq!(message.content.extra, Some(extra()), "{outbox:#?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_address_is_deleted_and_the_chain_goes_on() {
    let world = World::start().await;
    let phone = device(&world, "alice", Platform::Ios, Some(apns())).await;
    world.providers().rules().set(vec![refuse(Provider::Apns, 410, "Unregistered", None)]);
    let id = send(&world, &[Channel::Apns, Channel::Sms]).await;
    let trail = ended(&world, &id, 2).await;
    let first = end(&trail, 0);
    assert_eq!((first.event, first.code.as_deref()), (Happened::StepRefused, Some("410 Unregistered")));
    assert_eq!(end(&trail, 1).event, Happened::StepAccepted);
    crate::world::eventually("the address is deleted", async || {
        world.backend().device(phone.id()).await.unwrap().push.is_none()
    })
    .await;
    let id = send(&world, &[Channel::Apns, Channel::Sms]).await;
    let trail = ended(&world, &id, 2).await;
    assert_eq!((end(&trail, 0).event, end(&trail, 0).code.as_deref()), (Happened::StepSkipped, Some("no_device")));
    assert_eq!(channels(&world).await, ["sms", "sms"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_busy_is_asked_again_and_sends_once() {
    let world = World::start().await;
    device(&world, "alice", Platform::Ios, Some(apns())).await;
    world.providers().rules().set(vec![refuse(Provider::Apns, 429, "TooManyRequests", Some(1))]);
    let id = send(&world, &[Channel::Apns]).await;
    let trail = ended(&world, &id, 1).await;
    assert_eq!(end(&trail, 0).event, Happened::StepAccepted);
    assert_eq!(trail.state, State::FallbackDelivered);
    assert_eq!(channels(&world).await, ["apns"]);
    assert!(world.providers().rules().all().is_empty(), "it was refused first");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_does_not_wait_for_a_provider_that_asks_for_a_long_pause() {
    let world = World::start().await;
    device(&world, "alice", Platform::Ios, Some(apns())).await;
    let (code, reason, retry_after) = ("Shutdown".to_owned(), String::new(), Some("86400".to_owned()));
    let fault = Fault::Refuse { status: 503, code, reason, retry_after };
    world.providers().rules().set(vec![Rule { service: Provider::Apns.into(), to: String::new(), fault, times: None }]);
    let id = send(&world, &[Channel::Apns, Channel::Sms]).await;
    let trail = ended(&world, &id, 2).await;
    assert_eq!((end(&trail, 0).event, end(&trail, 0).code.as_deref()), (Happened::StepRefused, Some("503 Shutdown")));
    assert_eq!(channels(&world).await, ["sms"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_without_an_answer_is_unknown_and_never_repeated() {
    let world = World::start().await;
    device(&world, "alice", Platform::Ios, Some(apns())).await;
    let cut =
        Rule { service: Provider::Apns.into(), to: String::new(), fault: Fault::Cut { taken: true }, times: Some(1) };
    world.providers().rules().set(vec![cut]);
    let id = send(&world, &[Channel::Apns, Channel::Sms]).await;
    let trail = ended(&world, &id, 2).await;
    assert_eq!(end(&trail, 0).event, Happened::StepUnknown);
    assert_eq!(channels(&world).await, ["apns", "sms"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_is_passed_over() {
    let world = World::start().await;
    let mut registration = World::registration("alice", "a");
    registration.push = Some(apns());
    registration.mobile = Some("+8613800138000".to_owned());
    world.backend().register(&registration).await.unwrap();
    // The outcome of these is unknown, and so many in a row mean that the provider is down.
    let cut =
        Rule { service: Provider::Apns.into(), to: String::new(), fault: Fault::Cut { taken: false }, times: None };
    world.providers().rules().set(vec![cut]);
    for _ in 0..5 {
        let id = send(&world, &[Channel::Apns]).await;
        assert_eq!(end(&ended(&world, &id, 1).await, 0).event, Happened::StepUnknown);
    }
    let id = send(&world, &[Channel::Apns, Channel::Sms]).await;
    let trail = ended(&world, &id, 2).await;
    let first = end(&trail, 0);
    assert_eq!((first.event, first.code.as_deref()), (Happened::StepRefused, Some("provider_down")));
    assert_eq!(end(&trail, 1).event, Happened::StepAccepted);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_sns_or_ses_throttles_is_sent_once_and_later() {
    let world = World::start().await;
    world.reachable("alice").await;
    for (service, fault, code) in [
        (sns::SERVICE, FaultOfAws::Throttle, "Throttling"),
        (ses::SERVICE, FaultOfAws::Throttle, "TooManyRequestsException"),
        (sns::SERVICE, FaultOfAws::ServerError, "ServiceUnavailable"),
        (ses::SERVICE, FaultOfAws::ServerError, "ServiceUnavailable"),
    ] {
        let before = channels(&world).await.len();
        world.twin.faults().add(RuleOfAws::new(fault).service(service).times(2));
        let channel = if service == sns::SERVICE { Channel::Sms } else { Channel::Email };
        let id = send(&world, &[channel]).await;
        let trail = ended(&world, &id, 1).await;
        assert_eq!((end(&trail, 0).event, trail.state), (Happened::StepAccepted, State::FallbackDelivered));
        let put_off: Vec<_> = trail.transitions.iter().filter(|it| it.event == Happened::StepPutOff).collect();
        assert_eq!(put_off.len(), 1, "one line for both: {:?}", trail.transitions);
        let shown = (put_off[0].code.as_deref(), put_off[0].detail.as_deref());
        assert_eq!(shown, (Some(code), Some("asked 2 times")));
        assert_eq!(channels(&world).await.len(), before + 1, "{service:?} {fault}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_push_of_a_chain_outlives_an_outage_and_its_breaker() {
    let world = World::start().await;
    device(&world, "alice", Platform::Ios, Some(apns())).await;
    // So many failures open the circuit breaker, for half a minute.
    world.providers().rules().set(vec![refuse(Provider::Apns, 503, "ServiceUnavailable", None)]);
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(send(&world, &[Channel::Apns]).await);
    }
    let put_off = async |id: &str| {
        let trail = world.trail(id).await.recipients.remove(0);
        let lines: Vec<_> = trail.transitions.into_iter().filter(|it| it.event == Happened::StepPutOff).collect();
        assert!(lines.len() <= 1 && trail.state == State::Pending, "one line, and no end: {lines:?}");
        lines.into_iter().next()
    };
    crate::world::eventually("the breaker is open", async || {
        let mut is_open = false;
        for id in &ids {
            is_open |= put_off(id).await.is_some_and(|line| line.code.as_deref() == Some("provider_down"));
        }
        is_open
    })
    .await;
    assert!(channels(&world).await.is_empty());
    // With an SMS after it, the chain does not wait for Apple.
    let id = send(&world, &[Channel::Apns, Channel::Sms]).await;
    let trail = ended(&world, &id, 2).await;
    assert_eq!((end(&trail, 0).event, end(&trail, 0).code.as_deref()), (Happened::StepRefused, Some("provider_down")));
    assert_eq!(channels(&world).await, ["sms"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_s_dead_push_services_end_no_other_user_s_pushes() {
    let world = World::start().await;
    let made =
        world.request(Method::POST, &format!("{}/_twin/subscriptions", world.providers().url()), &[], "").await.json();
    let at = |endpoint: Value| address(json!({"channel": "webpush", "endpoint": endpoint, "keys": made["keys"]}));
    for dead in 0..5 {
        let mut registration = World::registration("bob", &format!("dead {dead}"));
        registration.push = Some(at(format!("http://127.0.0.1:9/p/{dead}").into()));
        world.backend().register(&registration).await.unwrap();
    }
    device(&world, "alice", Platform::Web, Some(at(made["endpoint"].clone()))).await;
    let push = || Some(vec![FallbackStep { channel: Channel::Webpush, after: Some(0) }]);
    let id = world.send_with(&["bob"], "Hello", |request| request.fallback = push()).await;
    crate::world::eventually("bob's push services are found dead", async || {
        happened(&world.trail(&id).await.recipients[0]).contains(&Happened::StepPutOff)
    })
    .await;
    let id = send(&world, &[Channel::Webpush]).await;
    assert_eq!(end(&ended(&world, &id, 1).await, 0).event, Happened::StepAccepted);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_sms_is_marked_and_a_stored_address_that_no_provider_takes_is_refused_by_code() {
    let world = World::start().await;
    let phone = device(&world, "alice", Platform::Web, Some(apns())).await;
    let sms = Some(vec![FallbackStep { channel: Channel::Sms, after: Some(0) }]);
    let long = "x".repeat(2_000);
    let id = world.send_with(&["alice"], &long, |request| request.fallback = sms).await;
    assert_eq!(end(&ended(&world, &id, 1).await, 0).detail.as_deref(), Some("text cut"));
    // As stored by an older version, which accepted points that are not on the curve.
    let user = tidings_domain::UserKey {
        app: crate::world::APP.parse().unwrap(),
        tenant: String::new(),
        alias: "alice".into(),
    };
    let stored = world.stores().devices.last_known(phone.id().parse().as_ref().unwrap()).await.unwrap().unwrap();
    let beside = tidings_crypto::encoding::base64url(&[4; 65]);
    let keys = json!({"p256dh": beside, "auth": "BTBZMqHH6r4Tts7J_aSIgg"});
    let push = address(json!({"channel": "webpush", "endpoint": "https://push.example.com/1", "keys": keys}));
    let push = Some(tidings_domain::PushRegistration { address: push, key_version: 1 }.into());
    let now = tidings_domain::Timestamp::now();
    let view = world.stores().users.view(&user, now).await.unwrap();
    let profile = view.profile.unwrap();
    let changed = tidings_domain::Device { push, ..stored.clone() };
    assert!(
        world.stores().devices.register(&changed, &profile, Some((&stored, &Default::default())), now).await.unwrap()
    );
    let id = send(&world, &[Channel::Webpush]).await;
    let trail = ended(&world, &id, 1).await;
    assert_eq!((end(&trail, 0).event, end(&trail, 0).code.as_deref()), (Happened::StepRefused, Some("address")));
    crate::world::eventually("the address is deleted", async || {
        world.backend().device(phone.id()).await.unwrap().push.is_none()
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_push_goes_to_a_user_who_has_confirmed_or_muted_it() {
    let world = World::start().await;
    let identity = device(&world, "alice", Platform::Web, Some(apns())).await;
    let mut socket = world.socket(&identity).await;
    let later = FallbackStep { channel: Channel::Apns, after: Some(2) };
    let id = world.send_with(&["alice"], "Hello", |request| request.fallback = Some(vec![later])).await;
    let message = socket.message().await;
    socket.ack(&message).await;
    world.until(&id, State::Confirmed).await;
    drop(socket);
    let wanted = json!({"channels": {"apns": false}});
    let wanted = serde_json::from_value(wanted).unwrap();
    world.backend().set_preferences("alice", None, &wanted).await.unwrap();
    let id = send(&world, &[Channel::Apns]).await;
    let trail = ended(&world, &id, 1).await;
    assert_eq!((trail.state, end(&trail, 0).code.as_deref()), (State::Suppressed, Some("channel_off")));
    // By now the first one's step has been due.
    world.stored().await;
    assert!(!happened(&world.trail(&id).await.recipients[0]).contains(&Happened::StepStarted));
    assert!(channels(&world).await.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_without_credentials_of_a_provider_skips_it() {
    let world = World::start().await;
    device(&world, "alice", Platform::Ios, Some(apns())).await;
    let secret = json!({"mipush": {"appSecret": "s", "packageName": "p"}}).to_string();
    let put = json!({"Name": "tidings/prod/providers/demo", "SecretString": secret});
    let target = [("x-amz-target", "secretsmanager.CreateSecret")];
    let answer = world.request(Method::POST, world.twin.aws_url(), &target, put.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let id = send(&world, &[Channel::Apns, Channel::Sms]).await;
    let trail = ended(&world, &id, 2).await;
    assert_eq!((end(&trail, 0).event, end(&trail, 0).code.as_deref()), (Happened::StepSkipped, Some("not_configured")));
    assert_eq!(channels(&world).await, ["sms"]);
    world.end().await;
}
