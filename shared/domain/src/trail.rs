//! The trail of a mailbox entry: its history in order of time.

use std::collections::BTreeMap;

use serde_json::Value;
use tidings_wire::{
    Open, Timestamp, Word,
    trail::{DeviceState, DeviceTrail, Event, RecipientTrail, State, Transition},
};

use crate::{
    DeviceId, Entry,
    chain::{Outcome, PutOff},
    mailbox::{Closed, LATE_SECONDS, STORING_SECONDS, Slot},
};

/// The data of a message outside its recipients' mailboxes.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// When it was accepted.
    pub accepted: Timestamp,
    /// When it is sent, if that is later.
    pub send_at: Option<Timestamp>,
    /// When it expires for a recipient who has not confirmed it.
    pub deadline: Timestamp,
    /// When it was cancelled.
    pub cancelled: Option<Timestamp>,
    /// When the sending of a scheduled message started.
    pub begun: Option<Timestamp>,
}

impl About {
    /// Whether the message is cancelled and no delivery of it can be stored any more: its sending had not started, or
    /// every delivery that comes now is checked against its record. That check covers every delivery of a scheduled
    /// message, and late ones of others.
    fn is_withdrawn(&self, now: Timestamp) -> bool {
        let Some(at) = self.cancelled else { return false };
        match (self.send_at, self.begun) {
            (Some(_), None) => true,
            (Some(_), Some(_)) => now > at.plus_seconds(STORING_SECONDS),
            (None, _) => now > at.plus_seconds(LATE_SECONDS),
        }
    }
}

/// The name, in a trail, of an entry that this version cannot read.
const UNREADABLE: &str = "unreadable";

/// The trail of a message for one recipient; `slot` is `None` while it is not in the mailbox.
#[must_use]
pub fn recipient(alias: &str, slot: Option<&Slot<Entry>>, about: &About, now: Timestamp) -> RecipientTrail {
    let entry = slot.and_then(Slot::read);
    let mut transitions = vec![transition(about.accepted, Event::Accepted)];
    transitions.extend(about.send_at.map(|at| transition(at, Event::Scheduled)));
    let state = match entry {
        Some(entry) => {
            transitions.extend(story(entry));
            state(entry, now)
        }
        // It is in the mailbox, but only a newer version can read its state.
        None if slot.is_some() => {
            transitions.push(unknown(about.send_at.unwrap_or(about.accepted), UNREADABLE));
            if now > about.deadline { State::Expired } else { State::Pending }
        }
        None if about.is_withdrawn(now) => {
            transitions.extend(about.cancelled.map(|at| transition(at, Event::Cancelled)));
            State::Suppressed
        }
        None if now > about.deadline => State::Expired,
        None if about.send_at.is_some_and(|at| now < at) => State::Scheduled,
        None => State::Accepted,
    };
    if state == State::Expired {
        transitions.push(transition(about.deadline, Event::Expired));
    }
    // Stable: events of the same time keep their order.
    transitions.sort_by_key(|transition| transition.at);
    let devices = entry.map(devices).unwrap_or_default();
    RecipientTrail {
        alias: alias.to_owned(),
        state,
        position: slot.map(Slot::position),
        steps: entry.map(|entry| entry.steps.len()).filter(|steps| *steps > 0),
        devices,
        transitions,
    }
}

/// The best state reached so far; see [`State`].
#[must_use]
pub fn state(entry: &Entry, now: Timestamp) -> State {
    let outcomes = || entry.steps.iter().filter_map(|step| step.outcome.as_ref().map(|(outcome, _)| outcome));
    let chain_ended = !entry.steps.is_empty() && outcomes().count() == entry.steps.len();
    if entry.is_confirmed() {
        State::Confirmed
    } else if outcomes().any(|outcome| matches!(outcome, Outcome::Accepted(_))) {
        State::FallbackDelivered
    } else if entry.closed.is_some() || chain_ended && outcomes().all(|outcome| matches!(outcome, Outcome::Skipped(_)))
    {
        State::Suppressed
    } else if chain_ended {
        State::Failed
    } else if now > entry.letter.deadline {
        State::Expired
    } else {
        State::Pending
    }
}

/// The state on each device.
fn devices(entry: &Entry) -> Vec<DeviceTrail> {
    let mut states: BTreeMap<&DeviceId, DeviceState> = BTreeMap::new();
    // Each state overrides those before it.
    let redelivered = entry.redelivered.iter().flat_map(|(_, devices)| devices);
    states.extend(entry.posted.iter().map(|device| (device, DeviceState::Posted)));
    states.extend(entry.gone.iter().map(|(device, _)| (device, DeviceState::Gone)));
    states.extend(entry.unanswered.iter().map(|(device, _)| (device, DeviceState::Unanswered)));
    states.extend(redelivered.map(|device| (device, DeviceState::Posted)));
    states.extend(entry.acks.iter().map(|(device, _)| (device, DeviceState::Confirmed)));
    states.extend(entry.reads.iter().map(|(device, _)| (device, DeviceState::Read)));
    states.into_iter().map(|(device, state)| DeviceTrail { device_id: device.to_string(), state }).collect()
}

fn transition(at: Timestamp, event: Event) -> Transition {
    Transition { at, event, device_id: None, step: None, channel: None, code: None, detail: None }
}

fn of_device(device: &DeviceId, at: Timestamp, event: Event) -> Transition {
    Transition { device_id: Some(device.to_string()), ..transition(at, event) }
}

/// An event that a newer version has recorded.
fn unknown(at: Timestamp, name: &str) -> Transition {
    Transition { code: Some(name.to_owned()), ..transition(at, Event::Unknown) }
}

/// The time of a field's event: facts that have a time are named `…_at`. A field that a sender's newer option left came
/// with the message.
fn time_of(name: Word, value: &Value, entry: &Entry) -> Timestamp {
    value.as_i64().filter(|_| name.as_str().ends_with("_at")).map_or(entry.stored, Timestamp)
}

fn story(entry: &Entry) -> Vec<Transition> {
    let mut story = vec![transition(entry.stored, Event::Stored)];
    story.extend(entry.posted.iter().map(|device| of_device(device, entry.stored, Event::Posted)));
    story.extend(entry.gone.iter().map(|(device, at)| of_device(device, *at, Event::Gone)));
    story.extend(entry.unanswered.iter().map(|(device, at)| of_device(device, *at, Event::Unanswered)));
    story.extend(entry.offline.map(|at| transition(at, Event::Offline)));
    for (at, devices) in &entry.redelivered {
        story.extend(devices.iter().map(|device| of_device(device, *at, Event::Redelivered)));
    }
    story.extend(entry.closed.map(|(closed, at)| match closed {
        Open::Known(Closed::Cancelled) => transition(at, Event::Cancelled),
        Open::Known(Closed::Replaced) => transition(at, Event::Replaced),
        Open::Unknown(reason) => unknown(at, reason.as_str()),
    }));
    story.extend(entry.letter.more.fields().map(|(name, value)| unknown(time_of(name, value, entry), name.as_str())));
    for (number, (step, record)) in entry.chain().enumerate() {
        let of_step = |at, event, code| Transition {
            step: Some(number),
            channel: Some(step.channel.to_string()),
            code,
            ..transition(at, event)
        };
        story.extend(record.put_off.as_ref().map(|note| {
            let PutOff { since, times, code, until } = note;
            // The last pause is over once the step has ended.
            let next = if record.outcome.is_none() { format!(", next at {until}") } else { String::new() };
            let often = if *times == 1 { "once".to_owned() } else { format!("{times} times") };
            let detail = format!("asked {often}{next}");
            let put_off = of_step(*since, Event::StepPutOff, Some(code.clone()));
            Transition { detail: Some(detail), ..put_off }
        }));
        let begun = record.claimed.iter().chain(&record.repeats);
        story.extend(begun.map(|at| of_step(*at, Event::StepStarted, None)));
        story.extend(
            record
                .outcome
                .as_ref()
                .map(|(outcome, at)| match outcome {
                    Outcome::Accepted(id) => of_step(*at, Event::StepAccepted, Some(id.clone())),
                    Outcome::Refused(code) => of_step(*at, Event::StepRefused, Some(code.clone())),
                    Outcome::Skipped(reason) => of_step(*at, Event::StepSkipped, Some(reason.to_string())),
                    Outcome::Unknown => of_step(*at, Event::StepUnknown, None),
                    Outcome::Newer(kind) => of_step(*at, Event::Unknown, Some(kind.to_string())),
                })
                .map(|ended| Transition { detail: record.detail.clone(), ..ended }),
        );
    }
    story.extend(entry.acks.iter().map(|(device, at)| of_device(device, *at, Event::Confirmed)));
    story.extend(entry.reads.iter().map(|(device, at)| of_device(device, *at, Event::Read)));
    story
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Position,
        chain::{Step, StepRecord},
        delivery::tests,
    };
    use tidings_wire::{send::Channel, trail::SkipReason};

    #[test]
    fn the_state_only_ever_improves() {
        let mut entry = tests::entry(1, Position { epoch: 7, seq: 1 });
        let late = Timestamp(61_001);
        assert_eq!((state(&entry, Timestamp(2_000)), state(&entry, late)), (State::Pending, State::Expired));
        entry.letter.steps.push(Step { channel: Channel::Sms.into(), after: None });
        entry.steps.push(StepRecord::default());
        entry.steps[0].outcome = Some((Outcome::Skipped(SkipReason::NoMobile.into()), Timestamp(1_100)));
        assert_eq!((state(&entry, Timestamp(2_000)), state(&entry, late)), (State::Suppressed, State::Suppressed));
        entry.steps[0].outcome = Some((Outcome::Refused("OptedOut".into()), Timestamp(1_100)));
        assert_eq!(state(&entry, Timestamp(2_000)), State::Failed);
        entry.steps[0].outcome = Some((Outcome::Accepted("x".into()), Timestamp(1_100)));
        assert_eq!(state(&entry, late), State::FallbackDelivered);
        entry.acks.push(("d".parse().unwrap(), Timestamp(1_200)));
        assert_eq!(state(&entry, late), State::Confirmed);
    }

    #[test]
    fn the_trail_is_in_the_order_of_time() {
        let mut entry = tests::entry(1, Position { epoch: 7, seq: 1 });
        entry.posted.push("d".parse().unwrap());
        entry.acks.push(("d".parse().unwrap(), Timestamp(1_200)));
        entry.redelivered.push((Timestamp(1_100), vec!["d".parse().unwrap()]));
        let about = About {
            accepted: entry.letter.accepted,
            send_at: None,
            deadline: entry.letter.deadline,
            cancelled: None,
            begun: None,
        };
        let trail = recipient("alice", Some(&Slot::Read(entry)), &about, Timestamp(2_000));
        let events: Vec<_> = trail.transitions.iter().map(|transition| transition.event).collect();
        assert_eq!(events, [Event::Accepted, Event::Stored, Event::Posted, Event::Redelivered, Event::Confirmed]);
        assert_eq!(trail.devices, [DeviceTrail { device_id: "d".into(), state: DeviceState::Confirmed }]);
    }

    #[test]
    fn a_step_is_put_off_in_one_line_however_often_it_was() {
        let mut entry = tests::entry(1, Position { epoch: 7, seq: 1 });
        entry.letter.steps.push(Step { channel: Channel::Apns.into(), after: None });
        let lines = |record: StepRecord| {
            let entry = Entry { steps: vec![record], ..entry.clone() };
            let lines = story(&entry).into_iter().filter(|it| it.step.is_some());
            lines.map(|it| (it.event, it.code.unwrap_or_default(), it.detail.unwrap_or_default())).collect::<Vec<_>>()
        };
        let note = |times| {
            let (since, code, until) = (Timestamp(1_100), "503 Shutdown".to_owned(), Timestamp(1_500));
            Some(PutOff { since, times, code, until })
        };
        let put_off = |detail: &str| (Event::StepPutOff, "503 Shutdown".to_owned(), detail.to_owned());
        let waiting = StepRecord { put_off: note(1), ..StepRecord::default() };
        assert_eq!(lines(waiting), [put_off("asked once, next at 1970-01-01T00:00:01.500Z")]);
        let waiting = StepRecord { put_off: note(11), ..StepRecord::default() };
        assert_eq!(lines(waiting), [put_off("asked 11 times, next at 1970-01-01T00:00:01.500Z")]);
        let outcome = Some((Outcome::Accepted("x".into()), Timestamp(1_600)));
        let ended = StepRecord { put_off: note(2), claimed: Some(Timestamp(1_500)), outcome, ..StepRecord::default() };
        let events: Vec<_> = lines(ended.clone()).into_iter().map(|(event, ..)| event).collect();
        assert_eq!(events, [Event::StepPutOff, Event::StepStarted, Event::StepAccepted]);
        assert_eq!(lines(ended)[0], put_off("asked 2 times"));
    }

    #[test]
    fn a_message_outside_the_mailbox_has_a_trail_from_its_record() {
        let about =
            About { accepted: Timestamp(1), send_at: None, deadline: Timestamp(20), cancelled: None, begun: None };
        let outcome = |about: About, now| {
            let trail = recipient("alice", None, &about, Timestamp(now));
            (trail.state, trail.transitions.last().map(|last| last.event))
        };
        assert_eq!(outcome(about, 20), (State::Accepted, Some(Event::Accepted)));
        assert_eq!(outcome(about, 21), (State::Expired, Some(Event::Expired)));
        let later = About { send_at: Some(Timestamp(10)), ..about };
        assert_eq!(outcome(later, 9), (State::Scheduled, Some(Event::Scheduled)));
        assert_eq!(outcome(later, 10).0, State::Accepted);
        let cancelled = About { cancelled: Some(Timestamp(15)), ..later };
        assert_eq!(outcome(cancelled, 21), (State::Suppressed, Some(Event::Cancelled)));
        // A delivery may still be on its way, in front of its withdrawal.
        let begun = About { begun: Some(Timestamp(11)), deadline: Timestamp(999_999), ..cancelled };
        assert_eq!(outcome(begun, 21).0, State::Accepted);
        assert_eq!(outcome(begun, 60_016), (State::Suppressed, Some(Event::Cancelled)));
        let at_once = About { send_at: None, begun: None, ..begun };
        assert_eq!(outcome(at_once, 240_015).0, State::Accepted);
        assert_eq!(outcome(at_once, 240_016), (State::Suppressed, Some(Event::Cancelled)));
    }

    #[test]
    fn a_post_without_an_answer_differs_from_one_that_was_accepted() {
        let mut entry = tests::entry(1, Position { epoch: 7, seq: 1 });
        entry.posted = vec!["d".parse().unwrap(), "e".parse().unwrap()];
        entry.unanswered = vec![("e".parse().unwrap(), Timestamp(1_100))];
        let states = |entry: &Entry| devices(entry).iter().map(|it| it.state).collect::<Vec<_>>();
        assert_eq!(states(&entry), [DeviceState::Posted, DeviceState::Unanswered]);
        let events: Vec<_> = story(&entry).iter().map(|it| it.event).collect();
        assert_eq!(events, [Event::Stored, Event::Posted, Event::Posted, Event::Unanswered]);
        entry.redelivered = vec![(Timestamp(5_100), vec!["e".parse().unwrap()])];
        assert_eq!(states(&entry), [DeviceState::Posted; 2]);
    }

    #[test]
    fn a_closed_message_is_suppressed_unless_a_device_has_it() {
        let mut entry = tests::entry(1, Position { epoch: 7, seq: 1 });
        entry.closed = Some((Closed::Replaced.into(), Timestamp(1_100)));
        assert_eq!(state(&entry, Timestamp(99_000)), State::Suppressed);
        entry.acks.push(("d".parse().unwrap(), Timestamp(1_200)));
        assert_eq!(state(&entry, Timestamp(99_000)), State::Confirmed);
    }

    #[test]
    fn the_records_of_a_newer_version_are_shown_by_name_and_time() {
        let word = |text| Word::new(text).unwrap();
        let mut entry = tests::entry(1, Position { epoch: 7, seq: 1 });
        entry.letter.steps.push(Step { channel: Open::Unknown(word("pigeon")), after: None });
        let outcome = Some((Outcome::Newer(word("eaten")), Timestamp(1_300)));
        entry.steps = vec![StepRecord { claimed: Some(Timestamp(1_200)), outcome, ..StepRecord::default() }];
        entry.closed = Some((Open::Unknown(word("quota")), Timestamp(1_400)));
        entry.letter.more = serde_json::from_value(serde_json::json!({"colour": "red", "snoozed_at": 1_350})).unwrap();
        let lines: Vec<_> = story(&entry).into_iter().filter(|it| it.event == Event::Unknown).collect();
        let mut shown: Vec<_> = lines.iter().map(|it| (it.at.0, it.code.as_deref().unwrap(), it.step)).collect();
        shown.sort_unstable();
        let expected =
            [(1_000, "colour", None), (1_300, "eaten", Some(0)), (1_350, "snoozed_at", None), (1_400, "quota", None)];
        assert_eq!(shown, expected);
        assert_eq!(story(&entry).iter().find_map(|it| it.channel.as_deref()), Some("pigeon"));
        let named: Vec<_> = entry.unknown().map(|(kind, word)| format!("{kind} {word}")).collect();
        assert_eq!(
            named,
            ["closing_reason quota", "channel pigeon", "outcome eaten", "field colour", "field snoozed_at"]
        );
        assert_eq!(state(&entry, Timestamp(2_000)), State::Suppressed);
    }

    #[test]
    fn an_unreadable_entry_is_shown_as_such() {
        let about =
            About { accepted: Timestamp(1), send_at: None, deadline: Timestamp(20), cancelled: None, begun: None };
        let at = Position { epoch: 7, seq: 3 };
        let trail = |now| recipient("alice", Some(&Slot::Unreadable(at)), &about, Timestamp(now));
        assert_eq!((trail(20).state, trail(21).state, trail(20).position), (State::Pending, State::Expired, Some(at)));
        let last = trail(20).transitions.pop().unwrap();
        assert_eq!((last.event, last.code.as_deref()), (Event::Unknown, Some("unreadable")));
    }
}
