use tidings_wire::{Platform, Timestamp, action::Position};

use super::{links::WINDOW_CHARS, *};
use crate::{
    DeviceId, Letter, MessageId,
    delivery::tests::{entry, id, letter},
    letter::collapse_digest,
};

fn append(tail: Option<&Entry>, letter: &Letter, now: Timestamp) -> Entry {
    super::append(tail.map(Tail::from).as_ref(), letter, now)
}

fn recent_position(tail: &Entry, id: &MessageId) -> Option<Position> {
    super::recent_position(&Tail::from(tail), id)
}

#[test]
fn appends_densely_within_an_epoch() {
    let now = Timestamp(5_000);
    let first = append(None, &letter(1), now);
    assert_eq!((first.position, first.links.window.as_str()), (Position { epoch: 5_000, seq: 1 }, ""));
    let second = append(Some(&first), &letter(2), Timestamp(9_000));
    assert_eq!(second.position, Position { epoch: 5_000, seq: 2 });
    assert_eq!(second.links.window.distance(&id(1)), Some(1));
    assert_eq!((second.stored, second.letter), (Timestamp(9_000), letter(2)));
}

#[test]
fn the_window_gives_the_positions_of_the_last_messages_and_of_no_others() {
    let mut tail = entry(0, Position { epoch: 7, seq: 1 });
    for n in 1..100 {
        assert_eq!(recent_position(&tail, &id(n)), None, "{n} is new");
        tail = append(Some(&tail), &letter(n), Timestamp(0));
        assert!(tail.links.window.as_str().len() <= WINDOW * WINDOW_CHARS);
    }
    assert_eq!(recent_position(&tail, &id(99)), Some(Position { epoch: 7, seq: 100 }));
    assert_eq!(recent_position(&tail, &id(67)), Some(Position { epoch: 7, seq: 68 }));
    assert_eq!(recent_position(&tail, &id(66)), None);
}

#[test]
fn an_entry_is_kept_as_long_as_those_before_it() {
    let mut tail = entry(1, Position { epoch: 7, seq: 1 });
    tail.keep_until = Timestamp(i64::MAX);
    assert_eq!(append(Some(&tail), &letter(2), Timestamp(0)).keep_until, Timestamp(i64::MAX));
}

fn keyed(n: u8, key: &str) -> Letter {
    let collapse = Some(collapse_digest(Platform::All, key));
    Letter { collapse, accepted: Timestamp(n.into()), ..letter(n) }
}

#[test]
fn a_collapse_key_replaces_the_newest_under_it_and_is_remembered_a_while() {
    let place = |tail: Option<&Entry>, letter: Letter| {
        let entry = append(tail, &letter, Timestamp(7));
        assert_eq!(entry.closed, None);
        let replaces = entry.links.replaces.map(|at| at.seq);
        (entry, replaces)
    };
    let (first, replaces) = place(None, keyed(2, "a"));
    assert_eq!(replaces, None);
    let (other, _) = place(Some(&first), letter(3));
    let (second, replaces) = place(Some(&other), keyed(4, "a"));
    assert_eq!(replaces, Some(1));
    let (mut tail, replaces) = place(Some(&second), keyed(5, "b"));
    assert_eq!(replaces, None);
    for n in 6..20 {
        tail = place(Some(&tail), keyed(n, &n.to_string())).0;
    }
    assert_eq!(place(Some(&tail), keyed(20, "a")).1, Some(3), "the sixteenth key is still known");
    tail = place(Some(&tail), keyed(21, "one more")).0;
    assert_eq!(place(Some(&tail), keyed(22, "a")).1, None);
}

#[test]
fn a_message_never_replaces_one_that_was_accepted_after_it() {
    let tail = append(None, &keyed(9, "k"), Timestamp(10));
    let late = append(Some(&tail), &keyed(8, "k"), Timestamp(11));
    assert_eq!(late.closed, Some((Closed::Replaced.into(), Timestamp(11))));
    assert_eq!((late.links.replaces, late.links.collapsed), (None, tail.links.collapsed));
}

#[test]
fn a_device_wants_what_it_has_not_confirmed_itself() {
    let (device, other): (DeviceId, DeviceId) = ("d".parse().unwrap(), "e".parse().unwrap());
    let base = entry(1, Position { epoch: 7, seq: 1 });
    let wanted = |entry: &Entry| entry.is_wanted(&device, Some(Platform::Web.into()), Timestamp(2_000));
    assert!(wanted(&base) && base.is_open(Timestamp(2_000)));
    let acked_by = |by: &DeviceId| Entry { acks: vec![(by.clone(), Timestamp(1))], ..base.clone() };
    assert!(wanted(&acked_by(&other)) && !wanted(&acked_by(&device)));
    assert!(!acked_by(&other).is_open(Timestamp(2_000)));
    for closed in [Closed::Cancelled, Closed::Replaced] {
        let entry = Entry { closed: Some((closed.into(), Timestamp(1))), ..base.clone() };
        assert!(!wanted(&entry) && !entry.is_open(Timestamp(2_000)));
    }
    let with = |letter: Letter| Entry { letter, ..base.clone() };
    assert!(!wanted(&with(Letter { platform: Platform::Ios.into(), ..letter(1) })));
    assert!(!wanted(&with(Letter { deadline: Timestamp(1_999), ..letter(1) })));
}

#[test]
fn a_device_passes_the_entries_that_it_does_not_want() {
    let device: DeviceId = "d".parse().unwrap();
    let at = |seq| Position { epoch: 7, seq };
    let acked = |seq| Entry { acks: vec![(device.clone(), Timestamp(1))], ..entry(1, at(seq)) };
    let run = |entries: &[Entry]| {
        let slots: Vec<_> = entries.iter().cloned().map(Slot::Read).collect();
        unwanted_run(&slots, &device, Some(Platform::Web.into()), Timestamp(2_000))
    };
    assert_eq!(run(&[acked(1), acked(2), entry(1, at(3)), acked(4)]), Some(at(2)));
    assert_eq!(run(&[entry(1, at(1)), acked(2)]), None);
    assert_eq!(run(&[]), None);
}

#[test]
fn the_rule_for_a_device_is_that_of_the_socket() {
    const NOW: Timestamp = Timestamp(1_000_000);
    let place = Position { epoch: 7, seq: 2 };
    for platform in [Platform::All, Platform::Web, Platform::Ios] {
        for closed in [None, Some((Closed::Cancelled.into(), NOW)), Some((Closed::Replaced.into(), NOW))] {
            for deadline in [Timestamp(NOW.0 - 1), NOW, Timestamp(NOW.0 + 1)] {
                let letter = Letter { platform: platform.into(), deadline, ..letter(1) };
                let it = Entry { letter, closed, ..entry(1, place) };
                let there = platform != Platform::Ios && closed.is_none() && deadline >= NOW;
                assert_eq!(Header::from(&it).is_meant_for(Some(Platform::Web.into()), NOW), there, "{it:?}");
                assert_eq!(it.is_meant_for(Some(Platform::Web.into()), NOW), there, "{it:?}");
            }
        }
    }
}

#[test]
fn names_why_a_position_is_invalid() {
    let at = |epoch, seq| Position { epoch, seq };
    assert_eq!(misplaced(at(7, 10), Some(at(7, 9))), Misplaced::FutureSeq);
    assert_eq!(misplaced(at(7, 9), Some(at(7, 9))), Misplaced::UnknownMessage);
    assert_eq!(misplaced(at(6, 1), Some(at(7, 9))), Misplaced::UnknownEpoch);
    assert_eq!(misplaced(at(7, 1), None), Misplaced::UnknownEpoch);
}

#[test]
fn reports_a_log_that_does_not_reach_back() {
    let at = |epoch, seq| Some(Position { epoch, seq });
    assert!(recovered(None, at(7, 5), at(7, 9)));
    assert!(recovered(at(7, 4), at(7, 5), at(7, 9)));
    assert!(!recovered(at(7, 3), at(7, 5), at(7, 9)));
    assert!(!recovered(at(6, 4), at(7, 5), at(7, 9)));
    assert!(recovered(at(7, 9), None, at(7, 9)));
    assert!(!recovered(at(7, 10), None, at(7, 9)));
    assert!(!recovered(at(7, 9), None, None));
    assert!(recovered(at(0, 0), None, None));
    assert!(recovered(at(0, 0), at(7, 1), at(7, 9)));
    assert!(!recovered(at(0, 0), at(7, 2), at(7, 9)));
}

#[test]
fn a_log_goes_on_behind_an_entry_that_cannot_be_read() {
    let mut log = vec![append(None, &letter(1), Timestamp(5_000))];
    log.push(append(log.last(), &letter(2), Timestamp(0)));
    let tail = Tail::from(log.last().unwrap());
    assert!(tail.knows_the_newest());
    for (unreadable, known) in
        [(Tail { id: None, ..tail.clone() }, Some(1)), (Tail { window: Window::default(), ..tail.clone() }, None)]
    {
        assert!(!unreadable.knows_the_newest());
        let next = super::append(Some(&unreadable), &letter(3), Timestamp(0));
        assert_eq!(next.position, Position { seq: 3, ..tail.position });
        let at = super::recent_position(&Tail::from(&next), &id(1)).map(|at| at.seq);
        assert_eq!((at, Tail::from(&next).knows_the_newest()), (known, false));
    }
}
