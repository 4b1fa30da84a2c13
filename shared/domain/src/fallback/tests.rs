//! The decision about a step, case by case.

use std::time::Duration;

use tidings_wire::{
    Open, Platform, Preferences, PushAddress, Timestamp, Word,
    send::{Channel, Condition, PushMsgType},
    trail::SkipReason,
};

use super::{
    ATTEMPTS, Call, Decision, REPEATS,
    call::{notice, subject},
    is_needed, next,
    retry::{Patience, patience, put_off, repeat},
};
use crate::{
    Device, DeviceId, Entry, More, Position, Profile, PushRegistration, UserView,
    chain::{Outcome, Step, StepDue, StepRecord},
    delivery::tests,
    mailbox::Closed,
    presence::Wishes,
};

/// Decides without a closed item.
fn decide(due: &StepDue, entry: &Entry, view: &UserView, now: Timestamp) -> Decision {
    super::decide(due, entry, view, false, now)
}

fn muted(muted: bool) -> Wishes {
    Preferences { muted, ..Preferences::default() }.into()
}

const POSITION: Position = Position { epoch: 7, seq: 1 };

fn chained() -> (StepDue, Entry, UserView) {
    let mut entry = tests::entry(1, POSITION);
    entry.letter.content.alert = Some("Your parcel is here\nCome and get it".into());
    for channel in [Channel::Sms, Channel::Email] {
        entry.letter.steps.push(Step { channel: channel.into(), after: Some(30) });
        entry.steps.push(StepRecord::default());
    }
    let (user, id) = (tests::delivery(1).user, tests::id(1));
    let due = StepDue {
        user,
        position: POSITION,
        id,
        step: 0,
        due: Timestamp(0),
        waited: false,
        attempts: 0,
        more: More::default(),
    };
    let profile = Profile { mobile: Some("+8613800138000".into()), email: Some("a@b.cn".into()), ..Profile::default() };
    (due, entry, UserView { profile: Some(profile), ..UserView::default() })
}

#[test]
fn a_step_calls_its_provider_with_the_newest_address() {
    let (due, entry, view) = chained();
    let Decision::Claim(Call::Sms { to, text, is_cut }) = decide(&due, &entry, &view, Timestamp(2_000)) else {
        panic!("claim")
    };
    assert_eq!((to.as_str(), text.lines().count(), is_cut), ("+8613800138000", 2, false));
    let due = StepDue { step: 1, ..due };
    let Decision::Claim(Call::Email { subject, .. }) = decide(&due, &entry, &view, Timestamp(2_000)) else {
        panic!("claim")
    };
    assert_eq!(subject, "Your parcel is here");
    assert!(decide(&due, &entry, &UserView::default(), Timestamp(2_000)) == Decision::Skip(SkipReason::NoEmail));
}

#[test]
fn an_acknowledgement_ends_the_chain_whatever_is_claimed() {
    let (due, mut entry, view) = chained();
    let device: DeviceId = "d".parse().unwrap();
    entry.acks.push((device, Timestamp(1_500)));
    assert!(decide(&due, &entry, &view, Timestamp(2_000)) == Decision::Stop("confirmed"));
}

#[test]
fn a_claim_without_an_outcome_is_waited_for_and_then_unknown_never_repeated() {
    let (due, mut entry, view) = chained();
    entry.steps[0].claimed = Some(Timestamp(2_000));
    let at = |now| decide(&due, &entry, &view, now);
    let Decision::Postpone(later, _) = at(Timestamp(2_000 + 59_000)) else { panic!("postpone") };
    assert!(later == StepDue { due: Timestamp(2_000 + 60_000), ..due.clone() });
    assert!(at(Timestamp(2_000 + 60_000)) == Decision::RecordUnknown);
}

#[test]
fn an_ended_step_leads_to_the_next_one_at_its_time() {
    let (due, mut entry, view) = chained();
    let accepted = Outcome::Accepted("x".into());
    entry.steps[0].outcome = Some((accepted.clone(), Timestamp(2_000)));
    assert!(decide(&due, &entry, &view, Timestamp(2_000)) == Decision::Next(accepted.clone()));
    let now = Timestamp(3_000);
    assert_eq!(next(&due, &entry, &accepted, now).map(|n| (n.step, n.due)), Some((1, now.plus_seconds(30))));
    assert_eq!(next(&due, &entry, &Outcome::Skipped(SkipReason::NoMobile.into()), now).map(|n| n.due), Some(now));
    assert_eq!(next(&StepDue { step: 1, ..due }, &entry, &accepted, now), None);
}

#[test]
fn nothing_begins_after_the_deadline_or_for_another_message() {
    let (due, mut entry, view) = chained();
    assert!(decide(&due, &entry, &view, Timestamp(61_001)) == Decision::Stop("expired"));
    entry.letter.id = tests::id(2);
    assert!(decide(&due, &entry, &view, Timestamp(2_000)) == Decision::Stop("the message is gone"));
}

#[test]
fn nothing_begins_if_the_message_is_closed() {
    let (due, mut entry, view) = chained();
    for (closed, reason) in [(Closed::Cancelled, "cancelled"), (Closed::Replaced, "replaced")] {
        entry.closed = Some((closed.into(), Timestamp(1_500)));
        assert!(decide(&due, &entry, &view, Timestamp(2_000)) == Decision::Stop(reason));
    }
}

#[test]
fn a_device_that_came_back_is_waited_for_once() {
    let (due, mut entry, mut view) = chained();
    let claims = |due: &StepDue, entry: &Entry, view: &UserView, now| {
        matches!(decide(due, entry, view, Timestamp(now)), Decision::Claim(_))
    };
    let UserView { devices, mut connections, .. } = tests::view(&[Platform::Web]);
    view.devices = devices;
    connections[0].connected = Timestamp(1_900);
    view.connections = connections;
    assert!(claims(&due, &entry, &view, 2_000), "it was connected when the message came");
    entry.offline = Some(Timestamp(1_800));
    let Decision::Postpone(later, _) = decide(&due, &entry, &view, Timestamp(2_000)) else { panic!("postpone") };
    assert_eq!((later.due, later.waited), (Timestamp(12_000), true));
    assert!(claims(&later, &entry, &view, 12_000));
    assert!(claims(&due, &entry, &view, 51_001), "no time is left to wait");
    view.connections[0].connected = Timestamp(1_700);
    assert!(claims(&due, &entry, &view, 2_000), "that connection is older than the note that no device was reached");
}

#[test]
fn a_step_by_a_channel_of_a_newer_version_is_passed_over_and_the_chain_goes_on() {
    let (due, mut entry, mut view) = chained();
    let pigeon = Word::new("pigeon").unwrap();
    entry.letter.steps[0].channel = Open::Unknown(pigeon);
    assert!(decide(&due, &entry, &view, Timestamp(2_000)) == Decision::PassOver(pigeon));
    // A newer worker may have called its provider.
    entry.steps[0].claimed = Some(Timestamp(2_000));
    assert!(decide(&due, &entry, &view, Timestamp(99_000)) == Decision::RecordUnknown);
    let newer = Outcome::Newer(pigeon);
    entry.steps[0].outcome = Some((newer.clone(), Timestamp(2_000)));
    assert!(decide(&due, &entry, &view, Timestamp(3_000)) == Decision::Next(newer.clone()));
    let following = next(&due, &entry, &newer, Timestamp(3_000)).unwrap();
    assert_eq!((following.step, following.due), (1, Timestamp(33_000)), "the person may have been reached");
    entry.closed = Some((Open::Unknown(Word::new("quota").unwrap()), Timestamp(2_500)));
    let email = StepDue { step: 1, ..due };
    assert!(decide(&email, &entry, &view, Timestamp(3_000)) == Decision::Stop("closed by a newer version"));
    entry.closed = None;
    view.profile.get_or_insert_default().preferences = Wishes::Unreadable;
    assert!(decide(&email, &entry, &view, Timestamp(3_000)) == Decision::Skip(SkipReason::Muted));
}

#[test]
fn an_unwanted_step_is_held_back_just_before_it_would_be_sent() {
    let (due, mut entry, mut view) = chained();
    entry.letter.content.category = Some("news".into());
    let preferences = serde_json::json!({"categories": {"news": {"channels": {"sms": false}}}});
    let profile = view.profile.get_or_insert_default();
    profile.preferences = serde_json::from_value::<Preferences>(preferences).unwrap().into();
    assert!(decide(&due, &entry, &view, Timestamp(2_000)) == Decision::Skip(SkipReason::ChannelOff));
    let email = StepDue { step: 1, ..due };
    assert!(matches!(decide(&email, &entry, &view, Timestamp(2_000)), Decision::Claim(Call::Email { .. })));
}

#[test]
fn a_step_goes_out_only_while_its_condition_holds() {
    let (due, mut entry, mut view) = chained();
    entry.letter.condition =
        Some(Condition { client_version_below: Some("2.0".into()), item_open: Some("order:4711".into()) });
    registered(&mut view, &[(Platform::Ios, None), (Platform::Web, None)]);
    let at =
        |entry: &Entry, view: &UserView, item_closed| super::decide(&due, entry, view, item_closed, Timestamp(2_000));
    assert!(matches!(at(&entry, &view, false), Decision::Claim(_)));
    assert!(at(&entry, &view, true) == Decision::Skip(SkipReason::ItemClosed));
    view.devices[0].client_version = Some("2.0.1".into());
    assert!(matches!(at(&entry, &view, false), Decision::Claim(_)), "the other one may be older");
    entry.letter.platform = Platform::Ios.into();
    assert!(at(&entry, &view, false) == Decision::Skip(SkipReason::UpToDate), "the other one is not meant");
    assert_eq!(entry.item(Timestamp(2_000)), Some("order:4711"));
    assert_eq!(entry.item(entry.letter.deadline.plus_seconds(1)), None, "the message is over");
}

#[test]
fn a_started_step_is_recorded_to_its_end_whatever_becomes_of_its_message() {
    let (due, open, view) = chained();
    let mut begun = open.clone();
    begun.steps[0].claimed = Some(Timestamp(2_000));
    type Change = fn(&mut Entry);
    let cases: [(&str, Change); 3] = [
        ("confirmed", |entry| entry.acks.push(("d".parse().unwrap(), Timestamp(2_500)))),
        ("cancelled", |entry| entry.closed = Some((Closed::Cancelled.into(), Timestamp(2_500)))),
        ("expired", |entry| entry.letter.deadline = Timestamp(2_500)),
    ];
    for (reason, change) in cases {
        let (mut begun, mut waiting) = (begun.clone(), open.clone());
        change(&mut begun);
        change(&mut waiting);
        assert!(is_needed(&due, &begun, Timestamp(62_000)) && !is_needed(&due, &waiting, Timestamp(62_000)));
        assert!(decide(&due, &begun, &view, Timestamp(62_000)) == Decision::RecordUnknown, "{reason}");
        begun.letter.steps[0].channel = Channel::Webhook.into();
        assert!(decide(&due, &begun, &view, Timestamp(62_000)) == Decision::RecordUnknown, "{reason}");
        assert!(decide(&due, &waiting, &view, Timestamp(62_000)) == Decision::Stop(reason));
    }
}

#[test]
fn a_push_goes_to_the_devices_that_the_condition_holds_for() {
    let (due, mut entry, mut view) = chained();
    let fcm = |token: &str| Some(PushAddress::Fcm { token: token.to_owned() });
    registered(&mut view, &[(Platform::Android, fcm("old")), (Platform::Android, fcm("new"))]);
    view.devices[0].client_version = Some("1.9".into());
    view.devices[1].client_version = Some("2.0".into());
    entry.letter.steps[0].channel = Channel::Fcm.into();
    entry.letter.condition = Some(Condition { client_version_below: Some("2.0".into()), item_open: None });
    let Decision::Claim(Call::Push { to, .. }) = decide(&due, &entry, &view, Timestamp(2_000)) else {
        panic!("a push")
    };
    assert!(to.len() == 1 && to[0].device == view.devices[0]);
}

#[test]
fn a_receiver_that_recognises_repetitions_is_called_again_if_the_end_is_unknown() {
    let (due, mut entry, view) = chained();
    entry.letter.steps[0].channel = Channel::Webhook.into();
    entry.steps[0].claimed = Some(Timestamp(2_000));
    assert_eq!(repeat(&due, &entry, Timestamp(2_000)), None, "its message's time is over by then");
    entry.letter.deadline = Timestamp(600_000);
    let later = repeat(&due, &entry, Timestamp(2_000)).unwrap();
    assert_eq!(later, StepDue { due: Timestamp(62_000), ..due.clone() });
    // The same for a step whose worker died.
    let again = decide(&due, &entry, &view, Timestamp(3_000));
    assert!(matches!(again, Decision::Postpone(found, _) if found == later));
    assert!(matches!(decide(&later, &entry, &view, Timestamp(62_000)), Decision::Claim(Call::Webhook { .. })));
    let mut silenced = view.clone();
    silenced.profile.get_or_insert_default().preferences = muted(true);
    assert!(decide(&later, &entry, &silenced, Timestamp(62_000)) == Decision::RecordUnknown, "it may have gone out");
    // A later worker finds the number of claims beside the entry.
    entry.steps[0].repeats = vec![Timestamp(62_000)];
    assert!(matches!(decide(&due, &entry, &view, Timestamp(121_000)), Decision::Postpone(..)));
    assert!(matches!(decide(&due, &entry, &view, Timestamp(122_000)), Decision::Claim(_)));
    entry.steps[0].repeats = vec![Timestamp(62_000); REPEATS - 1];
    assert_eq!(repeat(&due, &entry, Timestamp(62_000)), None, "that was the last one");
    entry.steps[0].repeats = vec![Timestamp(62_000); REPEATS];
    assert!(decide(&due, &entry, &view, Timestamp(122_000)) == Decision::RecordUnknown);
    entry.steps[0].repeats = Vec::new();
    entry.letter.steps[0].channel = Channel::Fcm.into();
    assert_eq!(repeat(&due, &entry, Timestamp(2_000)), None);
}

fn registered(view: &mut UserView, platforms: &[(Platform, Option<PushAddress>)]) {
    let UserView { devices, .. } = tests::view(&platforms.iter().map(|(platform, _)| *platform).collect::<Vec<_>>());
    let with = |(device, (_, address)): (Device, &(Platform, Option<PushAddress>))| {
        let push = address.clone().map(|address| PushRegistration { address, key_version: 1 });
        Device { push: push.map(Into::into), ..device }
    };
    view.devices = devices.into_iter().zip(platforms).map(with).collect();
}

#[test]
fn a_push_goes_to_every_device_that_is_registered_for_its_channel_and_meant() {
    let (due, mut entry, mut view) = chained();
    let apns = |token: &str| Some(PushAddress::Apns { token: token.to_owned() });
    registered(
        &mut view,
        &[
            (Platform::Ios, apns("a1")),
            (Platform::Pc, apns("a2")),
            (Platform::Ios, None),
            (Platform::Android, Some(PushAddress::Mipush)),
            (Platform::Android, Some(PushAddress::Mipush)),
        ],
    );
    let mut reached = |channel, platform| {
        entry.letter.steps[0].channel = Open::Known(channel);
        entry.letter.platform = Open::Known(platform);
        match decide(&due, &entry, &view, Timestamp(2_000)) {
            Decision::Claim(Call::Push { to, .. }) => Ok(to.len()),
            Decision::Claim(Call::Webhook { .. }) => Ok(0),
            Decision::Skip(reason) => Err(reason),
            _ => panic!("a push, or a reason why none"),
        }
    };
    assert_eq!(reached(Channel::Apns, Platform::All), Ok(2));
    assert_eq!(reached(Channel::Apns, Platform::Ios), Ok(1));
    assert_eq!(reached(Channel::Fcm, Platform::All), Err(SkipReason::NoDevice));
    assert_eq!(reached(Channel::Mipush, Platform::All), Ok(1), "one name reaches them all");
    assert_eq!(reached(Channel::Webhook, Platform::All), Ok(0), "the app's own server is called once");
}

#[test]
fn a_push_has_the_shown_content_and_its_lifetime() {
    let (_, mut entry, _) = chained();
    entry.letter.content.sender = Some("Shop".into());
    let shown = notice(&entry, Timestamp(2_000));
    assert_eq!(
        (shown.content.sender.as_deref(), shown.ttl),
        (Some("Shop"), Timestamp(2_000).seconds_until(entry.letter.deadline))
    );
    assert!(shown.content.alert.is_some());
    entry.letter.content.push_msg_type = Some(PushMsgType::Cmd);
    let silent = notice(&entry, Timestamp(2_000));
    assert_eq!((silent.content.sender, silent.content.alert), (None, None), "the app is woken, and nothing shown");
}

#[test]
fn a_provider_that_cannot_take_it_is_asked_again_a_few_times_and_not_beyond_the_deadline() {
    let (due, mut entry, _) = chained();
    entry.letter.deadline = Timestamp(1_000_000);
    let now = Timestamp(2_000);
    let short = |due: &StepDue, entry: &Entry, asked: u64| {
        put_off(due, entry, Duration::from_millis(asked), 0, Patience::Short, now)
    };
    let mut at = due.clone();
    for attempts in 1..=ATTEMPTS {
        at = short(&at, &entry, 1_500).unwrap();
        assert_eq!((at.attempts, at.due), (attempts, now.plus_seconds(2)));
    }
    assert_eq!(short(&at, &entry, 1_500), None);
    assert_eq!(short(&due, &entry, 999_000), None, "beyond the deadline");
    entry.letter.deadline = Timestamp(9_000_000);
    assert!(short(&due, &entry, 900_000).is_some());
    assert_eq!(short(&due, &entry, 900_001), None, "the chain does not wait so long");
    let accepted = Outcome::Accepted("x".into());
    assert_eq!(next(&at, &entry, &accepted, now).map(|next| next.attempts), Some(0));
}

#[test]
fn a_chain_is_short_of_patience_only_if_a_later_step_would_reach_the_person_by_another_channel() {
    let (due, mut entry, mut view) = chained();
    let now = Timestamp(2_000);
    let at = |due: &StepDue, entry: &Entry, view: &UserView| patience(due, entry, view, false, now);
    assert_eq!(at(&due, &entry, &view), Patience::Short, "an email would go out");
    assert_eq!(at(&StepDue { step: 1, ..due.clone() }, &entry, &view), Patience::Long, "nothing follows");
    view.profile.get_or_insert_default().email = None;
    assert_eq!(at(&due, &entry, &view), Patience::Long, "the email would be skipped");
    view.profile.get_or_insert_default().email = Some("a@b.cn".into());
    view.profile.get_or_insert_default().preferences = muted(true);
    assert_eq!(at(&due, &entry, &view), Patience::Long, "the person wants none");
    view.profile.get_or_insert_default().preferences = muted(false);
    entry.letter.steps[1].channel = Channel::Sms.into();
    assert_eq!(at(&due, &entry, &view), Patience::Long, "by the same provider");
    entry.letter.steps.push(Step { channel: Channel::Webhook.into(), after: None });
    entry.steps.push(StepRecord::default());
    assert_eq!(at(&due, &entry, &view), Patience::Short, "the one after that");
    assert_eq!(patience(&StepDue { step: 9, ..due }, &entry, &view, true, now), Patience::Long);
}

#[test]
fn a_text_that_is_too_long_for_an_sms_is_cut_between_characters_and_says_so() {
    let (due, mut entry, view) = chained();
    let family = "👨\u{200d}👩\u{200d}👧\u{200d}👦";
    for (text, expected) in [
        ("x".repeat(1_600), ("x".repeat(1_600), false)),
        ("x".repeat(1_601), (format!("{}…", "x".repeat(1_599)), true)),
        (family.repeat(300), (format!("{}…", family.repeat(228)), true)),
        ("e\u{301}".repeat(801), (format!("{}…", "e\u{301}".repeat(799)), true)),
    ] {
        entry.letter.content.alert = Some(text);
        let Decision::Claim(Call::Sms { text, is_cut, .. }) = decide(&due, &entry, &view, Timestamp(2_000)) else {
            panic!("claim")
        };
        assert_eq!((text, is_cut), expected);
    }
}

#[test]
fn a_text_does_not_change_the_direction_of_words_beside_it() {
    let (due, mut entry, mut view) = chained();
    entry.letter.content.sender = Some("\u{202e}knaB\nShop".into());
    entry.letter.content.alert = Some("photo\u{202e}gpj.exe\n\u{2067}שלום\u{2069} \u{2066}4711\u{200e}".into());
    let body = "photogpj.exe\n\u{2067}שלום\u{2069} 4711\u{200e}";
    let Decision::Claim(Call::Sms { text, .. }) = decide(&due, &entry, &view, Timestamp(2_000)) else {
        panic!("claim")
    };
    assert_eq!(text, body);
    let email = StepDue { step: 1, ..due.clone() };
    let Decision::Claim(Call::Email { subject, text, .. }) = decide(&email, &entry, &view, Timestamp(2_000)) else {
        panic!("claim")
    };
    assert_eq!((subject.as_str(), text.as_str()), ("knaB Shop: photogpj.exe", body));
    registered(&mut view, &[(Platform::Android, Some(PushAddress::Mipush))]);
    entry.letter.steps[0].channel = Channel::Mipush.into();
    let Decision::Claim(Call::Push { notice, .. }) = decide(&due, &entry, &view, Timestamp(2_000)) else {
        panic!("claim")
    };
    assert_eq!((notice.content.sender.as_deref(), notice.content.alert.as_deref()), (Some("knaB Shop"), Some(body)));
    entry.letter.steps[0].channel = Channel::Webhook.into();
    let Decision::Claim(Call::Webhook { notice }) = decide(&due, &entry, &view, Timestamp(2_000)) else {
        panic!("claim")
    };
    assert_eq!(notice.content, *entry.letter.content, "the app's own server gets what was sent");
}

#[test]
fn a_text_without_visible_characters_is_none() {
    let (due, mut entry, view) = chained();
    for text in ["\u{202e} \u{2069}", "\u{2066}\u{2069}", "\u{200f}", "\u{202b}\u{a0}\u{202c}"] {
        entry.letter.content.alert = Some(text.into());
        assert!(decide(&due, &entry, &view, Timestamp(2_000)) == Decision::Skip(SkipReason::NoText), "{text:?}");
    }
    entry.letter.sms = Some("Hello".into());
    let due = StepDue { step: 1, ..due };
    let Decision::Claim(Call::Email { subject, text, .. }) = decide(&due, &entry, &view, Timestamp(2_000)) else {
        panic!("claim")
    };
    assert_eq!((subject.as_str(), text.as_str()), ("Hello", "Hello"));
}

#[test]
fn a_letter_under_hundreds_of_accents_empties_no_text() {
    let (due, mut entry, view) = chained();
    for lead in ["e", "Order 4711: e"] {
        let text = format!("{lead}{}", "\u{301}".repeat(3_000));
        let short = subject(Some("Shop"), &text);
        assert!(short.starts_with(&format!("Shop: {lead}\u{301}")) && short.chars().count() == 78, "{short:?}");
        entry.letter.content.alert = Some(text);
        let Decision::Claim(Call::Sms { text, is_cut, .. }) = decide(&due, &entry, &view, Timestamp(2_000)) else {
            panic!("claim")
        };
        assert!(is_cut && text.starts_with(lead) && text.chars().count() == 1_600);
    }
}

#[test]
fn a_subject_is_one_short_line() {
    assert_eq!(subject(Some("Shop"), "\n  Hello\r\nthere"), "Shop: Hello");
    assert_eq!(subject(None, &"长".repeat(100)).chars().count(), 78);
    let (flag, family) = ("🇨🇳", "👨\u{200d}👩\u{200d}👧\u{200d}👦");
    assert_eq!(subject(None, &flag.repeat(60)), format!("{}…", flag.repeat(38)));
    assert_eq!(subject(None, &format!("x{}", family.repeat(20))), format!("x{}…", family.repeat(10)));
    assert_eq!(subject(Some(&flag.repeat(64)), "Hi"), format!("{}…", flag.repeat(38)));
}

#[test]
fn words_of_a_subject_stay_apart() {
    for (sender, text, expected) in [
        (None, "Order\t4711", "Order 4711"),
        (None, "Line1\rLine2", "Line1"),
        (None, "Line1\u{2028}Line2", "Line1"),
        (None, "a\u{1b}b\u{7f}c", "a b c"),
        (None, "\t\r\n \u{85} Order", "Order"),
        (Some("Shop\tNorth"), "Hi", "Shop North: Hi"),
        (Some("Shop\r\nNorth"), "Hi\r\nthere", "Shop North: Hi"),
        (Some("\t"), "Hi", "Hi"),
        (None, "\t", ""),
    ] {
        assert_eq!(subject(sender, text), expected, "{sender:?} {text:?}");
    }
}
