//! A mailbox entry told as a story.

use tidings_wire::{
    Timestamp,
    trail::{Event, RecipientTrail, State, Transition},
};

use crate::{DeviceId, Entry, fallback::Outcome};

/// What has become of a message for one recipient; `entry` is `None` while it is not in the mailbox.
#[must_use]
pub fn recipient(
    alias: &str,
    entry: Option<&Entry>,
    accepted: Timestamp,
    deadline: Timestamp,
    now: Timestamp,
) -> RecipientTrail {
    let mut transitions = vec![transition(accepted, Event::Accepted)];
    let state = match entry {
        Some(entry) => {
            transitions.extend(story(entry));
            // Stable: what has the same time stays in the order in which it is told.
            transitions.sort_by_key(|transition| transition.at);
            state(entry, now)
        }
        None if now > deadline => State::Expired,
        None => State::Accepted,
    };
    RecipientTrail { alias: alias.to_owned(), state, position: entry.map(|entry| entry.position), transitions }
}

/// The best that has happened so far; see [`State`].
#[must_use]
pub fn state(entry: &Entry, now: Timestamp) -> State {
    let outcomes = || entry.steps.iter().filter_map(|step| step.outcome.as_ref().map(|(outcome, _)| outcome));
    let chain_ended = !entry.steps.is_empty() && outcomes().count() == entry.steps.len();
    if entry.is_confirmed() {
        State::Confirmed
    } else if outcomes().any(|outcome| matches!(outcome, Outcome::Accepted(_))) {
        State::FallbackDelivered
    } else if chain_ended && outcomes().all(|outcome| matches!(outcome, Outcome::Skipped(_))) {
        State::Suppressed
    } else if chain_ended {
        State::Failed
    } else if now > entry.deadline {
        State::Expired
    } else {
        State::Pending
    }
}

fn transition(at: Timestamp, event: Event) -> Transition {
    Transition { at, event, device_id: None, step: None, channel: None, code: None }
}

fn of_device(device: &DeviceId, at: Timestamp, event: Event) -> Transition {
    Transition { device_id: Some(device.to_string()), ..transition(at, event) }
}

fn story(entry: &Entry) -> Vec<Transition> {
    let mut story = vec![transition(entry.stored, Event::Stored)];
    story.extend(entry.posted.iter().map(|device| of_device(device, entry.stored, Event::Posted)));
    story.extend(entry.gone.iter().map(|(device, at)| of_device(device, *at, Event::Gone)));
    story.extend(entry.offline.map(|at| transition(at, Event::Offline)));
    for (step, record) in entry.steps.iter().enumerate() {
        let of_step = |at, event, code| Transition {
            step: Some(step),
            channel: Some(record.channel.to_string()),
            code,
            ..transition(at, event)
        };
        story.extend(record.claimed.map(|at| of_step(at, Event::StepStarted, None)));
        story.extend(record.outcome.as_ref().map(|(outcome, at)| match outcome {
            Outcome::Accepted(id) => of_step(*at, Event::StepAccepted, Some(id.clone())),
            Outcome::Refused(code) => of_step(*at, Event::StepRefused, Some(code.clone())),
            Outcome::Skipped(reason) => of_step(*at, Event::StepSkipped, Some(reason.clone())),
            Outcome::Unknown => of_step(*at, Event::StepUnknown, None),
        }));
    }
    story.extend(entry.acks.iter().map(|(device, at)| of_device(device, *at, Event::Confirmed)));
    story.extend(entry.reads.iter().map(|(device, at)| of_device(device, *at, Event::Read)));
    story
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Position, delivery::tests, fallback::Step, fallback::StepRecord};
    use tidings_wire::send::Channel;

    #[test]
    fn the_state_only_ever_improves() {
        let mut entry = tests::entry(1, Position { epoch: 7, seq: 1 });
        let late = Timestamp(61_001);
        assert_eq!((state(&entry, Timestamp(2_000)), state(&entry, late)), (State::Pending, State::Expired));
        entry.steps.push(StepRecord::waiting(&Step { channel: Channel::Sms, after: None }));
        entry.steps[0].outcome = Some((Outcome::Skipped("no_mobile".into()), Timestamp(1_100)));
        assert_eq!((state(&entry, Timestamp(2_000)), state(&entry, late)), (State::Suppressed, State::Suppressed));
        entry.steps[0].outcome = Some((Outcome::Refused("OptedOut".into()), Timestamp(1_100)));
        assert_eq!(state(&entry, Timestamp(2_000)), State::Failed);
        entry.steps[0].outcome = Some((Outcome::Accepted("x".into()), Timestamp(1_100)));
        assert_eq!(state(&entry, late), State::FallbackDelivered);
        entry.acks.push(("d".parse().unwrap(), Timestamp(1_200)));
        assert_eq!(state(&entry, late), State::Confirmed);
    }

    #[test]
    fn the_story_is_in_the_order_of_time() {
        let mut entry = tests::entry(1, Position { epoch: 7, seq: 1 });
        entry.posted.push("d".parse().unwrap());
        entry.acks.push(("d".parse().unwrap(), Timestamp(1_200)));
        let told = recipient("alice", Some(&entry), entry.accepted, entry.deadline, Timestamp(2_000));
        let events: Vec<_> = told.transitions.iter().map(|transition| transition.event).collect();
        assert_eq!(events, [Event::Accepted, Event::Stored, Event::Posted, Event::Confirmed]);
        let unknown = recipient("alice", None, Timestamp(1), Timestamp(2), Timestamp(3));
        assert_eq!((unknown.state, unknown.transitions.len()), (State::Expired, 1));
    }
}
