use tidings_domain::{MessageId, More, chain::Step};
use tidings_wire::send::{Channel, Condition, Content};

use super::*;

fn letter() -> Letter {
    let deep = serde_json::from_str(&format!("{}1.50{}", "[".repeat(60), "]".repeat(60))).unwrap();
    Letter {
        id: MessageId::new(Timestamp(1), [7; 10]),
        platform: Platform::Ios.into(),
        content: Content { alert: Some("\"".into()), extra: Some(deep), ..Content::default() }.into(),
        sms: Some("text".into()),
        steps: vec![
            Step { channel: Channel::Sms.into(), after: Some(60) },
            Step { channel: Channel::Email.into(), after: None },
        ],
        condition: Some(Condition { item_open: Some("order:1".into()), client_version_below: None }),
        accepted: Timestamp(1_795_324_231_042),
        deadline: Timestamp(1_795_324_291_042),
        redeliver_until: Some(Timestamp(1_795_324_261_042)),
        collapse: Some("0123456789ab".into()),
        more: More::default(),
    }
}

#[test]
fn an_entry_is_read_as_it_was_written() {
    let user = UserKey { app: "demo".parse().unwrap(), tenant: String::new(), alias: "alice".into() };
    let (device, at): (DeviceId, _) = ("d".parse().unwrap(), Timestamp(9));
    let position = Position { epoch: 1_795_324_231_050, seq: 3 };
    let links = Links {
        window: Window::from_text("0123456789ab".into()),
        collapsed: Collapsed::default().with("0123456789ab", 3, at),
        replaces: Some(Position { seq: 1, ..position }),
    };
    let bare = Entry::new(
        Letter { steps: Vec::new(), redeliver_until: None, ..letter() },
        position,
        at,
        Timestamp(9_000),
        Links::default(),
    );
    let mut whole = Entry::new(letter(), position, at, Timestamp(9_000), links);
    whole.closed = Some((Closed::Cancelled.into(), at));
    whole.posted = vec![device.clone()];
    whole.offline = Some(at);
    whole.gone = vec![(device.clone(), at)];
    whole.unanswered = vec![(device.clone(), at)];
    whole.redelivered = vec![(at, vec![device.clone()])];
    whole.acks = vec![(device.clone(), at)];
    whole.reads = vec![(device, at)];
    whole.steps[1] = StepRecord {
        claimed: Some(at),
        repeats: vec![at],
        claimed_by: Some("worker".into()),
        put_off: Some(PutOff { since: at, times: 3, code: "503".into(), until: at }),
        outcome: Some((Outcome::Unknown, at)),
        detail: Some("detail".into()),
    };
    for entry in [bare, whole] {
        let (seal, family) = (Seal::Clear, &families::ENTRY);
        let item = write("test", family, &seal, EntryItem::new(&seal, &user, &entry)).unwrap();
        // The attributes that the table's index and the headers of entries read.
        assert!(item["id"].is_s() && item["platform"].is_s() && item["deadline"].is_n(), "{item:?}");
        assert!(item["content"].is_s(), "an app's `extra` may be deeper than DynamoDB's 32 levels");
        assert_eq!(open::<EntryItem>("test", family, &seal, item).unwrap().entry().unwrap(), entry);
    }
}
