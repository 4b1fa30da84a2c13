use tidings_wire::{
    Platform, Timestamp,
    action::Position,
    send::{Channel, Content},
};

use super::*;
use crate::{
    Connection, Device, Entry, Letter, MessageId, More, UserKey, UserView,
    chain::Step,
    letter::collapse_digest,
    mailbox::{Closed, Links, Slot, Tail},
    presence::LEASE_SECONDS,
};

pub(crate) fn id(n: u8) -> MessageId {
    MessageId::new(Timestamp(1), [n; 10])
}

pub(crate) fn letter(n: u8) -> Letter {
    Letter {
        id: id(n),
        platform: Platform::All.into(),
        content: Content::default().into(),
        sms: None,
        steps: Vec::new(),
        condition: None,
        accepted: Timestamp(1_000),
        deadline: Timestamp(61_000),
        redeliver_until: None,
        collapse: None,
        more: More::default(),
    }
}

pub(crate) fn delivery(n: u8) -> Delivery {
    let user = UserKey { app: "demo".parse().unwrap(), tenant: String::new(), alias: "alice".into() };
    Delivery { letter: letter(n), user, persist: true, scheduled: false }
}

pub(crate) fn entry(n: u8, position: Position) -> Entry {
    Entry::new(letter(n), position, Timestamp(1_000), Timestamp(100_000), Links::default())
}

pub(crate) fn view(platforms: &[Platform]) -> UserView {
    let mut view = UserView::default();
    for (n, platform) in platforms.iter().enumerate() {
        let device: crate::DeviceId = format!("device{n}").parse().unwrap();
        view.devices.push(Device {
            id: device.clone(),
            user: delivery(0).user,
            generation: 1,
            platform: (*platform).into(),
            client_version: None,
            registered: Timestamp(0),
            used: Timestamp(0),
            cursor: None,
            push: None,
        });
        view.connections.push(Connection {
            id: format!("connection{n}").parse().unwrap(),
            device,
            generation: 1,
            key_version: 1,
            platform: (*platform).into(),
            connected: Timestamp(0),
            lease: Timestamp(0).plus_seconds(LEASE_SECONDS),
        });
    }
    view
}

const NOW: Timestamp = Timestamp(2_000);
const AT: Position = Position { epoch: 7, seq: 3 };

/// The request after the first look at the recipient.
fn viewed(delivery: &Delivery, view: &UserView, now: Timestamp) -> Next {
    Placing::new(delivery, 1).viewed(false, view, now)
}

fn with(delivery: Delivery, change: impl FnOnce(&mut Letter)) -> Delivery {
    let mut letter = delivery.letter;
    change(&mut letter);
    Delivery { letter, ..delivery }
}

#[test]
fn posts_to_every_device_of_the_platform_and_stores_first() {
    let view = view(&[Platform::Web, Platform::Ios]);
    let Next::Append(draft) = viewed(&delivery(1), &view, NOW) else { panic!("append") };
    assert_eq!((draft.targets.len(), draft.entry.posted.len(), draft.entry.offline), (2, 2, None));
    let only_ios = with(delivery(1), |letter| letter.platform = Platform::Ios.into());
    let Next::Append(draft) = viewed(&only_ios, &view, NOW) else { panic!("append") };
    assert_eq!(draft.targets, view.connections[1..]);
    let position = draft.entry.position;
    let placed = Placing::new(&only_ios, 1).appended(draft, true);
    assert_eq!(placed, Next::Done(Placement::At(position, view.connections[1..].to_vec())));
}

#[test]
fn never_posts_to_a_device_that_changed_hands() {
    let mut view = view(&[Platform::Web, Platform::Web]);
    view.devices[0].generation = 2;
    view.devices.remove(1);
    let Next::Append(draft) = viewed(&delivery(1), &view, NOW) else { panic!("append") };
    assert_eq!((draft.targets.len(), draft.entry.offline), (0, Some(NOW)));
}

#[test]
fn a_repeated_delivery_is_posted_at_its_old_position() {
    let mut view = view(&[Platform::Web]);
    view.tail = Some(Tail::from(&entry(1, AT)));
    let delivery = delivery(1);
    let again = Next::Entry { position: AT, targets: view.connections.clone() };
    assert_eq!(viewed(&delivery, &view, NOW), again);
    // Even after its deadline: a step that was lost with the worker must still be scheduled.
    assert_eq!(viewed(&delivery, &view, Timestamp(99_000)), again);
    let placing = Placing::new(&delivery, 2);
    let at = |entry: Option<Entry>, now| placing.looked_at(AT, view.connections.clone(), entry.map(Slot::Read), now);
    let posted = Next::Done(Placement::At(AT, view.connections.clone()));
    assert_eq!(at(Some(entry(1, AT)), NOW), posted);
    assert_eq!(at(Some(entry(1, AT)), Timestamp(99_000)), Next::Done(Placement::Settled));
    // The previous worker may have died before it closed the replaced entry.
    let replaced = Position { seq: 2, ..AT };
    let replacing = Entry { links: Links { replaces: Some(replaced), ..Links::default() }, ..entry(1, AT) };
    assert_eq!(at(Some(replacing), NOW), Next::Close { replaced, then: Box::new(posted) });
}

#[test]
fn a_worker_records_what_the_previous_one_could_not() {
    let delivery = delivery(1);
    let device: crate::DeviceId = "device0".parse().unwrap();
    let posted = Entry { posted: vec![device.clone()], ..entry(1, AT) };
    let placing = Placing::new(&delivery, 2);
    let at = |entry, now| placing.looked_at(AT, Vec::new(), Some(Slot::Read(entry)), now);
    let then = Box::new(Next::Done(Placement::At(AT, Vec::new())));
    let noted = Next::NoteOffline { position: AT, gone: vec![device], then: then.clone() };
    assert_eq!(at(posted.clone(), NOW), noted);
    assert_eq!(at(Entry { offline: Some(NOW), ..posted.clone() }, NOW), *then);
    let closed = Entry { closed: Some((Closed::Cancelled.into(), NOW)), ..posted };
    assert_eq!(at(closed, NOW), Next::Done(Placement::Settled));
}

#[test]
fn a_late_or_repeated_delivery_is_looked_up_by_id() {
    let (view, delivery) = (view(&[Platform::Web]), delivery(1));
    let again = Placing::new(&delivery, 2);
    let Next::Find(draft) = again.viewed(false, &view, NOW) else { panic!("find") };
    assert_eq!(again.found(draft.clone(), None, NOW), Next::Append(draft.clone()));
    let found = again.found(draft.clone(), Some(AT), NOW);
    assert_eq!(found, Next::Entry { position: AT, targets: draft.targets.clone() });
    let late = Timestamp(1_000).plus_seconds(crate::mailbox::LATE_SECONDS + 1);
    let alive = with(delivery.clone(), |letter| letter.deadline = late);
    let Next::Find(draft) = viewed(&alive, &view, late) else { panic!("find") };
    let record = Placing::new(&alive, 1).found(draft.clone(), None, late);
    assert_eq!(record, Next::Record { then: Box::new(Next::Append(draft)) });
}

#[test]
fn an_id_that_names_another_message_is_no_duplicate() {
    let mut view = view(&[Platform::Web]);
    view.tail = Some(Tail::from(&entry(1, AT)));
    let reused = with(delivery(1), |letter| letter.accepted = Timestamp(1_500));
    let mut placing = Placing::new(&reused, 2);
    let next = placing.looked_at(AT, Vec::new(), Some(Slot::Read(entry(1, AT))), NOW);
    assert_eq!(next, Next::View { is_reused: true });
    assert_eq!(placing.looked_at(AT, Vec::new(), None, NOW), next);
    let Next::Append(draft) = placing.viewed(true, &view, NOW) else { panic!("append") };
    assert_eq!(draft.entry.position, Position { seq: 4, ..AT });
    // Another worker may have appended this very message meanwhile.
    assert_eq!(placing.appended(draft, false), Next::View { is_reused: false });
}

#[test]
fn a_delivery_that_may_be_cancelled_is_checked_against_its_record() {
    let view = view(&[Platform::Web]);
    let scheduled = Delivery { scheduled: true, ..delivery(1) };
    let placing = Placing::new(&scheduled, 1);
    let Next::Record { then } = viewed(&scheduled, &view, NOW) else { panic!("record") };
    assert!(matches!(*then, Next::Append(_)));
    assert_eq!(placing.checked(*then.clone(), false), *then);
    assert_eq!(placing.checked(*then, true), Next::Done(Placement::Cancelled));
    let transient = Delivery { persist: false, ..scheduled };
    let then = Box::new(Next::Done(Placement::Transient(view.connections.clone())));
    assert_eq!(viewed(&transient, &view, NOW), Next::Record { then });
}

#[test]
fn gives_up_when_others_have_written_at_every_attempt() {
    let (view, delivery) = (view(&[]), delivery(1));
    let mut placing = Placing::new(&delivery, 1);
    for attempt in 1..=APPEND_ATTEMPTS {
        let Next::Append(draft) = placing.viewed(false, &view, NOW) else { panic!("append") };
        let next = placing.appended(draft, false);
        let is_last = attempt == APPEND_ATTEMPTS;
        assert_eq!(next, if is_last { Next::Done(Placement::Contended) } else { placing.begin() });
    }
}

#[test]
fn what_an_older_message_replaces_is_closed_and_the_older_one_is_not_shown() {
    let mut view = view(&[Platform::Web]);
    let keyed = |n: u8, accepted: i64| {
        with(delivery(n), |letter| {
            letter.collapse = Some(collapse_digest(Platform::All, "k"));
            letter.accepted = Timestamp(accepted);
        })
    };
    let first = Draft::new(&keyed(1, 1_500).letter, &view, NOW).entry;
    view.tail = Some(Tail::from(&*first));
    for (accepted, is_shown) in [(1_600, true), (1_400, false)] {
        let second = keyed(2, accepted);
        let Next::Append(draft) = viewed(&second, &view, NOW) else { panic!("append") };
        let position = draft.entry.position;
        let next = Placing::new(&second, 1).appended(draft, true);
        let shown = Next::Done(Placement::At(position, view.connections.clone()));
        let closing = Next::Close { replaced: first.position, then: Box::new(shown) };
        assert_eq!(next, if is_shown { closing } else { Next::Done(Placement::Settled) });
    }
}

#[test]
fn an_open_entry_is_posted_again_although_a_newer_one_replaces_what_would_be_appended() {
    let mut view = view(&[Platform::Web]);
    let keyed = |n: u8, accepted: i64| {
        with(delivery(n), |letter| {
            letter.collapse = Some(collapse_digest(Platform::All, "k"));
            letter.accepted = Timestamp(accepted);
        })
    };
    let old = keyed(1, 1_500);
    // The newer one has forgotten the old one, which stands beyond its window.
    view.tail = Some(Tail::from(&*Draft::new(&keyed(2, 1_600).letter, &view, NOW).entry));
    let again = Placing::new(&old, 2);
    let Next::Find(draft) = again.viewed(false, &view, NOW) else { panic!("find") };
    assert!(draft.entry.closed.is_some());
    let Next::Entry { position, targets } = again.found(draft, Some(AT), NOW) else { panic!("entry") };
    let stored = Entry::new(old.letter.clone(), AT, NOW, Timestamp(100_000), Links::default());
    let next = again.looked_at(position, targets, Some(Slot::Read(stored)), NOW);
    assert_eq!(next, Next::Done(Placement::At(AT, view.connections.clone())));
}

#[test]
fn a_delivery_after_the_deadline_is_not_stored() {
    assert_eq!(viewed(&delivery(1), &view(&[Platform::Web]), Timestamp(61_001)), Next::Done(Placement::Expired));
}

#[test]
fn a_transient_message_is_posted_soon_or_never() {
    let transient = Delivery { persist: false, ..delivery(1) };
    let mut view = view(&[Platform::Web]);
    view.tail = Some(Tail::from(&entry(1, AT)));
    let posted = Next::Done(Placement::Transient(view.connections.clone()));
    assert_eq!(viewed(&transient, &view, Timestamp(61_000)), posted);
    assert_eq!(viewed(&transient, &view, Timestamp(61_001)), Next::Done(Placement::Expired));
}

#[test]
fn a_message_is_redelivered_with_growing_pauses_until_its_time_is_over() {
    let user = delivery(1).user;
    let until = Timestamp(1_000).plus_seconds(300);
    let letter = Letter { redeliver_until: Some(until), deadline: Timestamp(999_000), ..letter(1) };
    let entry = Entry { letter: letter.clone(), ..entry(1, AT) };
    let mut due = Vec::new();
    let mut redelivery = Redelivery::first(&user, &letter, AT, Timestamp(1_000));
    while let Some(one) = redelivery {
        due.push(one.due.seconds());
        redelivery = one.following(&entry, &[], one.due).pop();
    }
    assert_eq!(due, [31, 91, 211]);
    let soon_over = Letter { deadline: Timestamp(30_000), ..letter };
    assert_eq!(Redelivery::first(&user, &soon_over, AT, Timestamp(1_000)), None);
}

#[test]
fn a_redelivery_goes_to_open_connections_while_the_message_is_open() {
    let view = view(&[Platform::Web, Platform::Ios]);
    let again = redelivery(0, &[]);
    let count = |entry: &Entry, now| again.targets(entry, &view, Timestamp(now)).len();
    let open = entry(1, AT);
    assert_eq!(count(&open, 2_000), 2);
    let only_ios = Letter { platform: Platform::Ios.into(), ..letter(1) };
    assert_eq!(count(&Entry { letter: only_ios, ..open.clone() }, 2_000), 1);
    assert_eq!(count(&entry(2, AT), 2_000), 0);
    assert_eq!(count(&open, 61_001), 0);
    let acked = Entry { acks: vec![(view.devices[0].id.clone(), Timestamp(1))], ..open };
    assert_eq!(count(&acked, 2_000), 0);
}

#[test]
fn a_job_reads_what_it_writes_and_repeats_under_one_name() {
    let user = delivery(1).user;
    let jobs = [
        Job::Deliver(Box::new(with(delivery(1), |letter| letter.redeliver_until = Some(Timestamp(5))))),
        Job::Redeliver(redelivery(2, &[])),
        Job::Redeliver(redelivery(2, &["connection0"])),
        Job::Redeliver(Redelivery { due: Timestamp(10), ..redelivery(2, &["connection0"]) }),
        Job::Withdraw(Withdraw { user, id: id(1), at: Timestamp(3) }),
    ];
    let mut names = Vec::new();
    for job in jobs {
        let json = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&json).unwrap(), job);
        names.push(job.deduplication_id());
    }
    names.dedup();
    assert_eq!(names.len(), 5);
    assert!(names.iter().all(|name| name.len() <= 128), "the limit of SQS");
}

#[test]
fn only_a_post_that_may_yet_succeed_is_repeated() {
    let connection = view(&[Platform::Web]).connections.remove(0);
    let of = |outcomes: &[PostOutcome]| settle(&outcomes.iter().map(|o| (connection.clone(), *o)).collect::<Vec<_>>());
    use PostOutcome::{Accepted, Fault, Gone, Retry};
    let (device, one) = (vec![connection.device.clone()], vec![connection.clone()]);
    let none = || Settled { gone: vec![], accepted: vec![], unanswered: vec![] };
    assert_eq!(of(&[Accepted, Gone]), Settled { gone: one.clone(), accepted: device.clone(), ..none() });
    assert_eq!(of(&[Accepted, Retry]), Settled { accepted: device.clone(), unanswered: one.clone(), ..none() });
    assert_eq!(of(&[Gone]), Settled { gone: one.clone(), ..none() });
    assert_eq!((of(&[Fault]), of(&[])), (none(), none()));
    // A device that was reached over another of its connections is not reported as unanswered; the post is repeated.
    assert_eq!(of(&[Accepted, Retry]).unanswered_devices(), []);
    assert_eq!(of(&[Gone, Retry]).unanswered_devices(), device);
    assert!(of(&[Gone, Retry]).may_have_reached() && !of(&[Gone, Retry]).is_reached() && of(&[Accepted]).is_reached());
    assert!(!of(&[Gone, Fault]).may_have_reached());
}

/// A redelivery of message 1, or the repeat of posts to these connections.
fn redelivery(attempt: u32, unanswered: &[&str]) -> Redelivery {
    let unanswered = unanswered.iter().map(|id| id.parse().unwrap()).collect();
    Redelivery {
        user: delivery(1).user,
        position: AT,
        id: id(1),
        attempt,
        due: Timestamp(9),
        unanswered,
        more: More::default(),
    }
}

#[test]
fn a_post_without_an_answer_is_repeated_a_few_times_within_the_message_s_time() {
    let (user, connections) = (delivery(1).user, view(&[Platform::Web]).connections);
    let letter = Letter { deadline: Timestamp(999_000), ..letter(1) };
    let entry = Entry { letter: letter.clone(), ..entry(1, AT) };
    let mut due = Vec::new();
    let mut repeat = Redelivery::repeat(&user, &letter, AT, 0, &connections, Timestamp(1_000));
    while let Some(one) = repeat {
        assert!(one.is_repeat());
        due.push(one.due.seconds());
        let mut following = one.following(&entry, &connections, one.due);
        assert!(following.len() <= 1, "no redelivery follows a repeat");
        assert_eq!(one.following(&entry, &[], one.due), [], "nothing follows an answer");
        repeat = following.pop();
    }
    assert_eq!(due, [5, 21, 85]);
    assert_eq!(Redelivery::repeat(&user, &letter, AT, 0, &[], NOW), None);
    let soon_over = Letter { deadline: Timestamp(4_000), ..letter.clone() };
    assert_eq!(Redelivery::repeat(&user, &soon_over, AT, 0, &connections, Timestamp(1_000)), None);
    // A redelivery is followed by the next one, and by the repeat of posts without an answer.
    let confirm = Letter { redeliver_until: Some(Timestamp(999_000)), ..letter };
    let following = redelivery(0, &[]).following(&Entry { letter: confirm, ..entry }, &connections, Timestamp(1_000));
    let attempts: Vec<_> = following.iter().map(|it| (it.is_repeat(), it.attempt, it.due.seconds())).collect();
    assert_eq!(attempts, [(false, 1, 61), (true, 0, 5)]);
}

#[test]
fn a_repeat_goes_to_connections_without_an_answer_whose_device_has_not_confirmed() {
    let view = view(&[Platform::Web, Platform::Ios, Platform::Web]);
    let repeat = redelivery(0, &["connection0", "connection1", "elsewhere"]);
    let to = |entry: &Entry, now| -> Vec<String> {
        repeat.targets(entry, &view, Timestamp(now)).iter().map(|it| it.id.to_string()).collect()
    };
    let posted: Vec<_> = view.devices.iter().map(|device| device.id.clone()).collect();
    let confirmed = |devices: &[usize]| Entry {
        posted: posted.clone(),
        acks: devices.iter().map(|n| (posted[*n].clone(), Timestamp(1))).collect(),
        ..entry(1, AT)
    };
    assert_eq!(to(&confirmed(&[]), 2_000), ["connection0", "connection1"]);
    // A confirmation of another device leaves the others' copies.
    assert_eq!(to(&confirmed(&[2]), 2_000), ["connection0", "connection1"]);
    assert_eq!(to(&confirmed(&[1]), 2_000), ["connection0"]);
    assert!(repeat.is_needed(&confirmed(&[0, 1]), Timestamp(2_000)), "the third has not");
    assert!(!repeat.is_needed(&confirmed(&[0, 1, 2]), Timestamp(2_000)));
    assert_eq!(to(&confirmed(&[]), 61_001), [""; 0], "expired");
    assert_eq!(to(&entry(2, AT), 2_000), [""; 0], "another message");
    let closed = Entry { closed: Some((Closed::Cancelled.into(), NOW)), ..confirmed(&[]) };
    assert_eq!(to(&closed, 2_000), [""; 0]);
}

#[test]
fn a_redelivery_of_an_older_version_is_read() {
    let older = r#"{"job":"again","user":"demo||alice","epoch":7,"seq":3,"id":"ID","attempt":2,"due":9}"#;
    let written = serde_json::to_value(Job::Redeliver(redelivery(2, &[]))).unwrap();
    let mut older: serde_json::Value = serde_json::from_str(&older.replace("ID", id(1).as_str())).unwrap();
    older["user"] = written["user"].clone();
    older["due"] = written["due"].clone();
    assert_eq!(written, older, "a redelivery is written as before");
    assert_eq!(serde_json::from_value::<Job>(older).unwrap(), Job::Redeliver(redelivery(2, &[])));
}

#[test]
fn the_first_step_of_an_offline_recipient_is_due_at_once() {
    let due = |after, reached| {
        let with_step = with(delivery(1), |letter| letter.steps = vec![Step { channel: Channel::Sms.into(), after }]);
        first_step(&with_step, AT, reached, NOW).map(|due| due.due)
    };
    assert_eq!(due(None, false), Some(NOW));
    assert_eq!(due(None, true), Some(NOW.plus_seconds(60)));
    assert_eq!(due(Some(5), false), Some(Timestamp(6_000)));
    assert_eq!(first_step(&delivery(1), AT, false, NOW), None);
}
