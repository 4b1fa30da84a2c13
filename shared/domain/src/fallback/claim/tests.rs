use tidings_wire::{Platform, send::Channel};

use super::{
    super::retry::{ATTEMPTS, CLAIM_SECONDS},
    *,
};
use crate::{
    Position,
    chain::{Step, StepRecord},
    delivery::tests,
};

const AT: Timestamp = Timestamp(2_000);
const NOW: Timestamp = Timestamp(3_000);

/// A step by this channel, as the only one of a message that is worth delivering for ten minutes.
fn step(channel: Channel) -> (StepDue, Entry) {
    let position = Position { epoch: 7, seq: 1 };
    let mut entry = tests::entry(1, position);
    entry.letter.deadline = Timestamp(600_000);
    entry.letter.steps.push(Step { channel, after: None });
    entry.steps.push(StepRecord::default());
    let (user, id) = (tests::delivery(1).user, tests::id(1));
    (StepDue { user, position, id, step: 0, due: Timestamp(0), waited: false, attempts: 0 }, entry)
}

/// The same, claimed before by a worker that died.
fn repetition(channel: Channel) -> (StepDue, Entry) {
    let (due, mut entry) = step(channel);
    entry.steps[0].claimed = Some(Timestamp(1_000));
    entry.steps[0].claimed_by = Some("worker".to_owned());
    (due, entry)
}

fn device() -> Device {
    let device = tests::view(&[Platform::Ios]).devices.remove(0);
    Device { registered: Timestamp(1_000), ..device }
}

fn called(answer: Answer) -> Called {
    Called { device: Some(device()), answer, downgrades: Vec::new() }
}

fn refused(code: &str, address: AddressState) -> Answer {
    Answer::Refused { code: code.to_owned(), address }
}

fn busy(code: &str, seconds: Option<u64>) -> Answer {
    Answer::Busy { code: code.to_owned(), retry_after: seconds.map(Duration::from_secs) }
}

fn accepted(id: &str) -> Answer {
    Answer::Accepted(Some(id.to_owned()))
}

/// Settles with the shortest pause.
fn settle((due, entry): &(StepDue, Entry), answers: &[Answer]) -> End {
    let called: Vec<Called> = answers.iter().cloned().map(called).collect();
    Claim::new(due, entry, AT).settle(&called, 0, NOW)
}

fn outcome(end: End) -> (bool, Option<Outcome>) {
    match end.then {
        Then::Record { outcome, .. } => (end.is_released, Some(outcome)),
        Then::Stop | Then::PutOff { .. } | Then::Repeat(_) => (end.is_released, None),
    }
}

fn kept(outcome: Outcome) -> (bool, Option<Outcome>) {
    (false, Some(outcome))
}

#[test]
fn the_best_answer_of_several_decides() {
    let keep = |code| refused(code, AddressState::Alive);
    let table = [
        (
            vec![keep("410"), Answer::Unanswered, busy("503", None), accepted("a"), accepted("b")],
            Outcome::Accepted("a, b".into()),
        ),
        (vec![Answer::Accepted(None)], Outcome::Accepted(String::new())),
        (vec![keep("410"), busy("503", None), Answer::Unanswered], Outcome::Unknown),
        (vec![keep("b"), keep("a"), keep("b")], Outcome::Refused("a, b".into())),
        (vec![keep("410"), Answer::Unsendable("too large".into())], Outcome::Refused("410, too large".into())),
        (vec![Answer::ProviderDown], Outcome::Refused("provider_down".into())),
        (vec![Answer::NotConfigured], Outcome::Skipped(SkipReason::NotConfigured)),
    ];
    for (answers, expected) in table {
        assert_eq!(outcome(settle(&step(Channel::Apns), &answers)), kept(expected), "{answers:?}");
    }
}

#[test]
fn a_step_that_no_provider_could_take_is_released_and_put_off() {
    for (answers, seconds, code) in [
        (vec![busy("429", None)], 1, "429"),
        (vec![busy("429", Some(0))], 1, "429"),
        (vec![busy("503", Some(7)), refused("410", AddressState::Alive), busy("429", Some(30))], 30, "410, 429, 503"),
        (vec![Answer::Unreachable], 1, "unreachable"),
    ] {
        let (due, entry) = step(Channel::Fcm);
        let end = settle(&(due.clone(), entry), &answers);
        let later = StepDue { due: NOW.plus_seconds(seconds), attempts: 1, ..due };
        assert!(end.is_released && end.then == Then::PutOff { later, code: code.to_owned() }, "{end:?}");
    }
}

#[test]
fn pauses_grow_with_the_attempts_and_come_on_top_of_what_the_provider_asks_for() {
    for (attempts, asked, seconds) in [(0, None, 2), (1, None, 4), (3, None, 16), (0, Some(30), 32), (3, Some(30), 46)]
    {
        let (due, entry) = step(Channel::Fcm);
        let due = StepDue { attempts, ..due };
        let end = Claim::new(&due, &entry, AT).settle(&[called(busy("429", asked))], u64::MAX, NOW);
        let later = StepDue { due: NOW.plus_seconds(seconds), attempts: attempts + 1, ..due.clone() };
        assert_eq!(end.then, Then::PutOff { later, code: "429".to_owned() });
    }
}

#[test]
fn a_step_that_was_put_off_enough_is_refused() {
    let (due, entry) = step(Channel::Fcm);
    let tired = (StepDue { attempts: ATTEMPTS, ..due }, entry);
    assert_eq!(outcome(settle(&tired, &[Answer::Unreachable])), kept(Outcome::Refused("unreachable".into())));
}

#[test]
fn a_webhook_whose_end_is_not_known_is_called_again_under_its_claim_and_nothing_else_is() {
    let (due, entry) = step(Channel::Webhook);
    let end = settle(&(due.clone(), entry), &[Answer::Unanswered]);
    let again = StepDue { due: AT.plus_seconds(CLAIM_SECONDS), ..due };
    assert!(!end.is_released && end.then == Then::Repeat(again));
    for channel in [Channel::Sms, Channel::Email, Channel::Apns, Channel::Fcm, Channel::Webpush, Channel::Mipush] {
        assert_eq!(outcome(settle(&step(channel), &[Answer::Unanswered])), kept(Outcome::Unknown), "{channel}");
    }
}

#[test]
fn of_a_repetition_only_its_acceptance_says_how_the_step_ended() {
    let step = repetition(Channel::Webhook);
    assert_eq!(outcome(settle(&step, &[accepted("a")])), kept(Outcome::Accepted("a".into())));
    for answer in [refused("410", AddressState::Alive), Answer::NotConfigured, Answer::ProviderDown] {
        assert_eq!(outcome(settle(&step, std::slice::from_ref(&answer))), kept(Outcome::Unknown), "{answer:?}");
    }
    for answer in [busy("429", Some(5)), Answer::Unreachable, Answer::Unanswered] {
        let end = settle(&step, std::slice::from_ref(&answer));
        assert!(!end.is_released && matches!(end.then, Then::Repeat(_)), "{answer:?}: {end:?}");
    }
}

#[test]
fn a_claim_is_released_if_nothing_was_called_and_nothing_was_before() {
    let (due, entry) = step(Channel::Sms);
    let claim = Claim::new(&due, &entry, AT);
    assert_eq!(claim.abandoned(), End { is_released: true, then: Then::Stop, dead: Vec::new() });
    assert_eq!(outcome(claim.called_off(CalledOff::Cancelled)), (true, None));
    let closed = Outcome::Skipped(SkipReason::ItemClosed);
    assert_eq!(outcome(claim.called_off(CalledOff::ItemClosed)), (true, Some(closed)));
    assert_eq!(Claim::before(&due, &entry), None);

    let (due, entry) = repetition(Channel::Webhook);
    let claim = Claim::new(&due, &entry, AT);
    assert_eq!(claim.abandoned(), End { is_released: false, then: Then::Stop, dead: Vec::new() });
    for why in [CalledOff::Cancelled, CalledOff::ItemClosed] {
        assert_eq!(outcome(claim.called_off(why)), kept(Outcome::Unknown));
    }
    assert_eq!(Claim::before(&due, &entry), Some("worker"));
}

#[test]
fn an_address_is_forgotten_unless_it_was_registered_after_the_provider_saw_it_die() {
    let died = |since| refused("410", AddressState::Dead { since });
    for (answer, is_forgotten) in [
        (refused("400", AddressState::Alive), false),
        (died(None), true),
        (died(Some(Timestamp(1_000))), true),
        (died(Some(Timestamp(999))), false),
    ] {
        let end = settle(&step(Channel::Apns), &[answer, busy("503", None)]);
        assert_eq!(end.dead, if is_forgotten { vec![device()] } else { Vec::new() });
        assert!(end.is_released, "the other device may still be reached");
    }
}

#[test]
fn the_detail_names_each_downgrade_once() {
    let (due, entry) = step(Channel::Mipush);
    let called = |downgrades: &[&str]| Called {
        device: None,
        answer: Answer::Accepted(None),
        downgrades: downgrades.iter().map(|text| (*text).to_owned()).collect(),
    };
    let detail = |called: &[Called]| match Claim::new(&due, &entry, AT).settle(called, 0, NOW).then {
        Then::Record { detail, .. } => detail,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        detail(&[called(&["ttl 60 s", "badge ignored"]), called(&["ttl 60 s"])]).as_deref(),
        Some("badge ignored, ttl 60 s")
    );
    assert_eq!(detail(&[called(&[])]), None);
}
