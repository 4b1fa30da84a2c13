//! One value of every stored shape with all its fields, and one with as few as possible.

use std::collections::BTreeSet;

use serde_json::json;
use tidings_domain::{
    Connection, Device, DeviceId, Entry, IdSecret, Letter, Message, MessageId, More, Open, Position, Profile,
    PushRegistration, TenantKey, Timer, Timestamp, UserKey,
    announcement::{Draft, Fanout, Part, Target},
    chain::{Chains, Outcome, PutOff, Step, StepDue, StepRecord},
    delivery::{Delivery, Job, Redelivery, Withdraw},
    mailbox::{Closed, Collapsed, Links, Window},
    message::Audience,
    timer::SendDue,
};
use tidings_store::{App, Stored};
use tidings_wire::{
    Content, Platform, Preferences, PushAddress,
    send::{Channel, Condition, Downgrade, Priority},
    trail::SkipReason,
};

/// Far ahead, so that nothing expires while a test runs.
const EPOCH: i64 = 4_000_000_000_000;

/// A number of seconds after the beginning.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp(EPOCH + seconds * 1_000)
}

pub(super) fn id(n: u8) -> MessageId {
    MessageId::new(at(0), [n; 10])
}

/// The tenant of the full samples.
pub(super) fn shop() -> TenantKey {
    TenantKey { app: "golden".parse().unwrap(), tenant: "shop".into() }
}

/// The tenant of the least samples.
pub(super) fn plain() -> TenantKey {
    TenantKey { app: "plain".parse().unwrap(), tenant: String::new() }
}

pub(super) fn alice() -> UserKey {
    let TenantKey { app, tenant } = shop();
    UserKey { app, tenant, alias: "alice|50%".into() }
}

pub(super) fn bob() -> UserKey {
    let TenantKey { app, tenant } = plain();
    UserKey { app, tenant, alias: "bob".into() }
}

pub(super) fn place(seq: u64) -> Position {
    Position { epoch: u64::try_from(EPOCH).unwrap(), seq }
}

fn content() -> Content {
    let all = json!({
        "pushMsgType": "MSG", "msgType": "event", "alert": "Hello 世界", "extra": {"deep": [[1.50, null]]},
        "event": "paid",
        "sound": "bell", "badge": 7, "sender": "Shop", "sendDevice": "till",
        "source": {"platform": "web", "product": "p"},
        "category": "orders", "tag": "t", "needConfirm": true,
    });
    serde_json::from_value(all).unwrap()
}

pub(super) fn letter() -> Letter {
    let channels = [Channel::Fcm, Channel::Sms, Channel::Email, Channel::Webhook];
    Letter {
        id: id(1),
        platform: Platform::Ios.into(),
        content: content().into(),
        sms: Some("Your order".into()),
        steps: channels.map(|channel| Step { channel: channel.into(), after: Some(60) }).to_vec(),
        condition: Some(Condition { item_open: Some("order:1".into()), client_version_below: Some("2.10".into()) }),
        accepted: at(0),
        deadline: at(3_600),
        redeliver_until: Some(at(600)),
        collapse: Some("0123456789ab".into()),
        more: More::default(),
    }
}

pub(super) fn least_letter() -> Letter {
    Letter {
        id: id(2),
        platform: Platform::All.into(),
        content: Content { alert: Some("Hello".into()), ..Content::default() }.into(),
        sms: None,
        steps: Vec::new(),
        condition: None,
        accepted: at(0),
        deadline: at(3_600),
        redeliver_until: None,
        collapse: None,
        more: More::default(),
    }
}

pub(super) fn entry() -> Entry {
    let links = Links {
        window: Window::default().then(Some(&id(9))),
        collapsed: Collapsed::default().with("0123456789ab", 2, at(0)),
        replaces: Some(place(1)),
    };
    let entry = Entry::new(letter(), place(2), at(1), at(700_000), links);
    Entry { posted: vec![device_id()], offline: Some(at(1)), ..entry }
}

/// Its final state.
pub(super) fn entry_in_the_end() -> Entry {
    let end = |outcome, seconds| Some((outcome, at(seconds)));
    let steps = vec![
        StepRecord {
            claimed: Some(at(2)),
            claimed_by: Some("worker-1".into()),
            outcome: end(Outcome::Accepted("message-1".into()), 3),
            detail: Some("ttl 60 s".into()),
            ..StepRecord::default()
        },
        StepRecord {
            put_off: Some(put_off()),
            outcome: end(Outcome::Refused("OptedOut".into()), 5),
            ..StepRecord::default()
        },
        StepRecord { outcome: end(Outcome::Skipped(SkipReason::NoEmail.into()), 6), ..StepRecord::default() },
        StepRecord {
            claimed: Some(at(7)),
            repeats: vec![at(8)],
            claimed_by: Some("worker-4".into()),
            outcome: end(Outcome::Unknown, 9),
            ..StepRecord::default()
        },
    ];
    Entry {
        steps,
        gone: vec![(device_id(), at(10))],
        unanswered: vec![(device_id(), at(10))],
        redelivered: vec![(at(11), vec![device_id()]), (at(12), vec![device_id()])],
        acks: vec![(device_id(), at(12))],
        reads: vec![(device_id(), at(13))],
        closed: Some((Closed::Cancelled.into(), at(14))),
        ..entry()
    }
}

pub(super) fn put_off() -> PutOff {
    PutOff { since: at(4), times: 3, code: "503".into(), until: at(5) }
}

pub(super) fn least_entry() -> Entry {
    Entry::new(least_letter(), place(1), at(1), at(700_000), Links::default())
}

pub(super) fn device_id() -> DeviceId {
    "device-1".parse().unwrap()
}

pub(super) fn device() -> Device {
    let address = PushAddress::Fcm { token: "token".into() };
    Device {
        id: device_id(),
        user: alice(),
        generation: 1,
        platform: Platform::Ios.into(),
        client_version: Some("2.9".into()),
        registered: at(0),
        used: at(0),
        cursor: None,
        push: Some(PushRegistration { address, key_version: 1 }.into()),
    }
}

pub(super) fn least_device() -> Device {
    let id = "device-2".parse().unwrap();
    Device { id, user: bob(), platform: Platform::Web.into(), client_version: None, push: None, ..device() }
}

pub(super) fn profile() -> Profile {
    Profile {
        mobile: Some("+8613800138000".into()),
        email: Some("alice@example.com".into()),
        tag: Some("vip".into()),
        locale: Some("zh-CN".into()),
        time_zone: Some("Asia/Shanghai".into()),
        preferences: preferences().into(),
    }
}

pub(super) fn preferences() -> Preferences {
    let all = json!({
        "muted": true, "channels": {"sms": false}, "categories": {"news": {"muted": true, "channels": {"email": true}}},
        "quietHours": {"from": "22:00", "to": "07:30", "except": ["alerts"]}, "timeZone": "Asia/Shanghai",
        "language": "zh-CN",
    });
    serde_json::from_value(all).unwrap()
}

pub(super) fn least_profile() -> Profile {
    Profile { tag: Some("t".into()), ..Profile::default() }
}

pub(super) fn connection(device: &Device, id: &str) -> Connection {
    Connection {
        id: id.parse().unwrap(),
        device: device.id.clone(),
        generation: 1,
        key_version: 1,
        platform: device.platform,
        connected: at(0),
        lease: at(720),
    }
}

pub(super) fn message() -> Message {
    let TenantKey { app, tenant } = shop();
    Message {
        letter: Letter { id: id(3), ..letter() },
        app,
        tenant,
        audience: Audience::Aliases(Vec::new()),
        accepted: at(-60),
        send_at: Some(at(0)),
        ttl: 3_600,
        persist: true,
        priority: Priority::Normal.into(),
        duration: Some(600),
        downgrades: vec![Downgrade { field: "duration".into(), detail: "600: the longest is 600".into() }],
    }
}

pub(super) fn least_message() -> Message {
    let TenantKey { app, tenant } = plain();
    Message {
        letter: Letter { id: id(4), ..least_letter() },
        app,
        tenant,
        accepted: at(0),
        send_at: None,
        priority: Priority::High.into(),
        duration: None,
        downgrades: Vec::new(),
        ..message()
    }
}

/// The record of the message in the end.
pub(super) fn stored() -> Stored {
    let stored = Stored::new(&message(), vec!["alice|50%".into()], Some("hash".into()));
    Stored { begun: Some(at(1)), cancelled: Some(at(2)), ..stored }
}

pub(super) fn least_stored() -> Stored {
    Stored::new(&least_message(), vec!["bob".into()], None)
}

pub(super) fn chains() -> Chains {
    let step = |channel: Channel, after| Step { channel: channel.into(), after };
    Chains {
        general: vec![step(Channel::Fcm, None), step(Channel::Sms, Some(60))],
        categories: [("news".to_owned(), Vec::new())].into(),
    }
}

pub(super) fn app() -> App {
    let secret = IdSecret::new([7; 32]);
    let app = App::new(shop().app, "Shop".into(), "hash".into(), secret, vec!["https://shop.example".into()], at(0));
    App { chains: chains(), categories: BTreeSet::from(["news".to_owned(), "orders".to_owned()]), ..app }
}

pub(super) fn least_app() -> App {
    App::new(plain().app, "Plain".into(), "hash".into(), IdSecret::new([7; 32]), Vec::new(), at(0))
}

pub(super) fn draft() -> Draft {
    Draft { id: id(5), tenant: shop(), platform: Platform::Ios, content: content(), accepted: at(0), ttl: 3_600 }
}

pub(super) fn least_draft() -> Draft {
    let content = Content { alert: Some("Hello".into()), ..Content::default() };
    Draft { id: id(6), tenant: plain(), platform: Platform::All, content, accepted: at(0), ttl: 3_600 }
}

pub(super) fn step_due() -> StepDue {
    StepDue {
        user: alice(),
        position: place(2),
        id: id(1),
        step: 1,
        due: at(60),
        waited: true,
        attempts: 2,
        more: More::default(),
    }
}

pub(super) fn least_step_due() -> StepDue {
    StepDue {
        user: bob(),
        position: place(1),
        id: id(2),
        step: 0,
        due: at(60),
        waited: false,
        attempts: 0,
        more: More::default(),
    }
}

pub(super) fn redelivery() -> Redelivery {
    let (unanswered, more) = (Vec::new(), More::default());
    Redelivery { user: alice(), position: place(2), id: id(1), attempt: 1, due: at(30), unanswered, more }
}

/// Posts that had no answer, to be repeated.
pub(super) fn repeat() -> Redelivery {
    Redelivery { attempt: 0, unanswered: vec!["connection-1".parse().unwrap()], ..redelivery() }
}

pub(super) fn jobs() -> Vec<(&'static str, Job)> {
    let deliver =
        |letter, user, persist, scheduled| Job::Deliver(Box::new(Delivery { letter, user, persist, scheduled }));
    vec![
        ("deliver", deliver(letter(), alice(), true, true)),
        ("deliver, least", deliver(least_letter(), bob(), false, false)),
        ("again", Job::Redeliver(redelivery())),
        ("again, repeat", Job::Redeliver(repeat())),
        ("withdraw", Job::Withdraw(Withdraw { user: alice(), id: id(1), at: at(14) })),
    ]
}

pub(super) fn timers() -> Vec<(&'static str, Timer)> {
    vec![
        ("step", Timer::Step(step_due())),
        ("step, least", Timer::Step(least_step_due())),
        ("again", Timer::Redeliver(redelivery())),
        ("again, repeat", Timer::Redeliver(repeat())),
        ("send", Timer::Send(SendDue { id: id(3), due: at(0), more: More::default() })),
    ]
}

pub(super) fn steps() -> Vec<(&'static str, StepDue)> {
    vec![("step", step_due()), ("step, least", least_step_due())]
}

pub(super) fn pieces() -> Vec<(&'static str, Fanout)> {
    let target = Target {
        user: alice(),
        connection: "connection-1".parse().unwrap(),
        device: device_id(),
        generation: 1,
        key_version: 1,
        platform: Open::Known(Platform::Ios),
    };
    let piece = |part| Fanout { tenant: shop(), number: 7, part, more: More::default() };
    let after = Some((alice(), "connection-1".parse().unwrap()));
    vec![
        ("page", piece(Part::Page { shard: 3, after })),
        ("page, least", piece(Part::Page { shard: 0, after: None })),
        ("again", piece(Part::Again { targets: vec![target], attempt: 2 })),
    ]
}
