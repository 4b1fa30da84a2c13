use tidings_wire::{Platform, send::Channel};

use super::{
    super::retry::{ATTEMPTS, CLAIM_SECONDS, Patience},
    *,
};
use crate::{
    More, Position,
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
    entry.letter.steps.push(Step { channel: channel.into(), after: None });
    entry.steps.push(StepRecord::default());
    let (user, id) = (tests::delivery(1).user, tests::id(1));
    (
        StepDue { user, position, id, step: 0, due: Timestamp(0), waited: false, attempts: 0, more: More::default() },
        entry,
    )
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
    Claim::new(due, entry, Patience::Short, AT).settle(&called, 0, NOW)
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
        (vec![keep("410"), Answer::Unsendable(RefusalCode::TooLarge)], Outcome::Refused("410, too_large".into())),
        (vec![Answer::ProviderDown], Outcome::Refused("provider_down".into())),
        (vec![Answer::NotConfigured], Outcome::Skipped(SkipReason::NotConfigured.into())),
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
        let note = PutOff { since: NOW, times: 1, code: code.to_owned(), until: later.due };
        assert!(end.is_released && end.then == Then::PutOff { later, note }, "{end:?}");
    }
}

#[test]
fn pauses_grow_with_the_attempts_and_come_on_top_of_what_the_provider_asks_for() {
    for (attempts, asked, seconds) in [(0, None, 2), (1, None, 4), (3, None, 16), (0, Some(30), 32), (3, Some(30), 46)]
    {
        let (due, entry) = step(Channel::Fcm);
        let due = StepDue { attempts, ..due };
        let end = Claim::new(&due, &entry, Patience::Short, AT).settle(&[called(busy("429", asked))], u64::MAX, NOW);
        let later = StepDue { due: NOW.plus_seconds(seconds), attempts: attempts + 1, ..due.clone() };
        let note = PutOff { since: NOW, times: 1, code: "429".to_owned(), until: later.due };
        assert_eq!(end.then, Then::PutOff { later, note });
    }
}

#[test]
fn a_step_that_was_put_off_enough_is_refused() {
    let (due, entry) = step(Channel::Fcm);
    let tired = (StepDue { attempts: ATTEMPTS, ..due }, entry);
    assert_eq!(outcome(settle(&tired, &[Answer::Unreachable])), kept(Outcome::Refused("unreachable".into())));
}

#[test]
fn a_step_that_nothing_follows_is_put_off_for_as_long_as_its_message_lives_with_one_note() {
    const HOUR: u64 = 3_600;
    for (answer, code) in
        [(busy("503", None), "503"), (Answer::Unreachable, "unreachable"), (Answer::ProviderDown, "provider_down")]
    {
        for random in [0, u64::MAX / 3, u64::MAX] {
            let (mut due, mut entry) = step(Channel::Webpush);
            entry.letter.deadline = NOW.plus_seconds(24 * HOUR);
            let (mut now, mut pauses) = (NOW, Vec::new());
            while let Then::PutOff { later, note } =
                Claim::new(&due, &entry, Patience::Long, now).settle(&[called(answer.clone())], random, now).then
            {
                let times = u32::try_from(pauses.len()).unwrap() + 1;
                let expected = PutOff { since: NOW, times, code: code.to_owned(), until: later.due };
                assert_eq!(note, expected, "one note for all");
                assert_eq!((later.attempts, later.due < entry.letter.deadline), (times, true));
                pauses.push(now.seconds_until(later.due));
                (now, due) = (later.due, later);
                entry.steps[0].put_off = Some(note);
            }
            assert!(now.seconds_until(entry.letter.deadline) <= 2, "the last attempt is at the end: {pauses:?}");
            assert!(pauses[0] <= 2 && pauses.iter().all(|pause| *pause <= 900), "{pauses:?}");
            let first: Vec<_> = pauses.windows(2).take(8).collect();
            assert!(first.iter().all(|pair| pair[0] <= pair[1]), "they grow: {pauses:?}");
            assert!(pauses.len() < 230, "{}", pauses.len());
        }
    }
}

#[test]
fn the_pause_that_a_provider_asks_for_is_honoured_within_the_message_s_life() {
    let (due, mut entry) = step(Channel::Apns);
    entry.letter.deadline = NOW.plus_seconds(86_400);
    let at = |seconds, random| {
        let claim = Claim::new(&due, &entry, Patience::Long, AT);
        match claim.settle(&[called(busy("503", Some(seconds)))], random, NOW).then {
            Then::PutOff { later, .. } => Some(NOW.seconds_until(later.due)),
            Then::Record { .. } => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((at(3_600, 0), at(3_600, u64::MAX)), (Some(3_601), Some(3_602)));
    assert_eq!((at(86_400, 0), at(90_000, 0)), (None, None), "its message's time is over by then");
}

#[test]
fn a_provider_that_is_down_is_passed_over_if_a_next_step_profits() {
    let step = step(Channel::Apns);
    assert_eq!(outcome(settle(&step, &[Answer::ProviderDown])), kept(Outcome::Refused("provider_down".into())));
}

#[test]
fn an_address_that_no_provider_takes_is_refused_by_a_word_and_forgotten() {
    let end = settle(&step(Channel::Webpush), &[Answer::Unsendable(RefusalCode::Address)]);
    assert_eq!(end.dead, [device()]);
    assert_eq!(outcome(end), kept(Outcome::Refused("address".into())));
    for code in [RefusalCode::TooLarge, RefusalCode::Request] {
        assert!(settle(&step(Channel::Webpush), &[Answer::Unsendable(code)]).dead.is_empty(), "{code}");
    }
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
fn only_the_acceptance_of_a_repetition_decides_how_the_step_ended() {
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
    let claim = Claim::new(&due, &entry, Patience::Short, AT);
    assert_eq!(claim.abandoned(), End { is_released: true, then: Then::Stop, dead: Vec::new() });
    assert_eq!(outcome(claim.called_off(CalledOff::Cancelled)), (true, None));
    let closed = Outcome::Skipped(SkipReason::ItemClosed.into());
    assert_eq!(outcome(claim.called_off(CalledOff::ItemClosed)), (true, Some(closed)));
    assert_eq!(Claim::before(&due, &entry), None);

    let (due, entry) = repetition(Channel::Webhook);
    let claim = Claim::new(&due, &entry, Patience::Short, AT);
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
    let detail = |called: &[Called]| match Claim::new(&due, &entry, Patience::Short, AT).settle(called, 0, NOW).then {
        Then::Record { detail, .. } => detail,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        detail(&[called(&["ttl 60 s", "badge ignored"]), called(&["ttl 60 s"])]).as_deref(),
        Some("badge ignored, ttl 60 s")
    );
    assert_eq!(detail(&[called(&[])]), None);
}
