//! The checks can fail: a history in which every promise was kept, and for each promise at least one way to break it,
//! which that promise and no other must find.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tidings_wire::action::Position;
use tidings_wire::send::Channel;
use tidings_wire::trail::{Event, RecipientTrail, State, Transition};
use tidings_wire::{Platform, SendAnswer, Timestamp, Trail};

use super::*;
use crate::history::{Accepted, Cancelled, DeviceLog, Entry, Item, Repeat, Sent, Shown, ShownAnnouncement};
use crate::plan::{AnnouncementPlan, DevicePlan, Kind, MessagePlan, Plan, User};

const EPOCH: u64 = 7;
const HOUR: u64 = 3_600;
const ENDED: Timestamp = Timestamp(100_000);

// The messages of the story, in the order in which they are sent.
const PLAIN: usize = 0;
const SEVERAL: usize = 1;
const SMS: usize = 2;
const FLEETING: usize = 3;
const SHORT: usize = 4;
const WEB_ONLY: usize = 5;
const REPEATED: usize = 6;
const OTHER_BODY: usize = 7;
const AHEAD: usize = 8;
const CANCELLED: usize = 9;
const LAST: usize = 10;

/// Alice has a browser and a telephone, Bob a browser.
const ALICE: usize = 0;
const BOB: usize = 1;
const BROWSER: usize = 0;
const TELEPHONE: usize = 1;

fn plan() -> Plan {
    let user = |alias: &str, devices: &[usize]| User {
        alias: alias.to_owned(),
        mobile: Some(format!("+861380000000{}", devices.len())),
        email: Some(format!("{alias}@example.com")),
        sender: 0,
        devices: devices.to_vec(),
    };
    let device = |user, platform| DevicePlan { user, platform, acks_after: None };
    let message =
        |recipients: &[usize], kind| MessagePlan { sender: 0, recipients: recipients.to_vec(), kind, priority: None };
    Plan {
        seed: 1,
        users: vec![user("alice", &[0, 1]), user("bob", &[2])],
        devices: vec![device(ALICE, Platform::Web), device(ALICE, Platform::Android), device(BOB, Platform::Web)],
        messages: vec![
            message(&[ALICE], Kind::Plain),
            message(&[ALICE, BOB], Kind::Several),
            message(&[ALICE], Kind::Fallback(vec![(Channel::Sms, 1), (Channel::Email, 1)])),
            message(&[ALICE], Kind::Fleeting { ttl: 2 }),
            message(&[ALICE], Kind::Short { ttl: 5 }),
            message(&[ALICE], Kind::OnePlatform(Platform::Web)),
            message(&[BOB], Kind::Repeated { later_ms: 1 }),
            message(&[BOB], Kind::OtherBody),
            message(&[ALICE], Kind::Scheduled { after: 3 }),
            message(&[BOB], Kind::Cancelled { after_ms: 1, scheduled: Some(5), sms_after: None }),
            message(&[ALICE], Kind::Plain),
        ],
        moves: Vec::new(),
        chains: false,
        announcements: vec![
            AnnouncementPlan { at: 0, platform: Platform::All },
            AnnouncementPlan { at: 1, platform: Platform::Android },
            AnnouncementPlan { at: 2, platform: Platform::All },
        ],
    }
}

fn id(message: usize) -> String {
    format!("id-{message}")
}

fn accepted_at(message: usize) -> Timestamp {
    Timestamp(1_000 * (i64::try_from(message).unwrap() + 1))
}

fn answer(message: usize) -> SendAnswer {
    serde_json::from_value(serde_json::json!({"requestId": id(message), "recipients": 1, "ttl": HOUR,
        "priority": "high"}))
    .unwrap()
}

fn transition(at: Timestamp, event: Event) -> Transition {
    Transition { at, event, device_id: None, step: None, channel: None, code: None, detail: None }
}

/// A history in which every promise was kept.
fn kept() -> History {
    let plan = plan();
    let mut history = History {
        sends: vec![Sent::default(); plan.messages.len()],
        devices: (0..3).map(|at| DeviceLog { id: format!("device-{at}"), ..DeviceLog::default() }).collect(),
        announced: vec![Some(100), Some(205), Some(206)],
        trails: BTreeMap::new(),
        begun_when_confirmed: BTreeMap::new(),
        mailboxes: vec![Vec::new(); 2],
        outbox: Vec::new(),
        calm: true,
        ended: ENDED,
        plan: Arc::new(plan),
    };
    for (device, log) in history.devices.iter_mut().enumerate() {
        log.online.push((Timestamp(0), ENDED));
        for (announcement, number) in history.announced.iter().enumerate() {
            if history.plan.is_announced_to(announcement, device) {
                log.announcements
                    .push(ShownAnnouncement { number: number.unwrap(), alert: history.plan.news(announcement) });
            }
        }
    }
    // A message that is sent ahead is stored when its time has come: after all others.
    for message in (0..=LAST).filter(|message| *message != AHEAD).chain([AHEAD]) {
        deliver(&mut history, message);
    }
    history.sends[REPEATED].repeats = vec![Repeat { other_body: false, answer: Ok(answer(REPEATED)) }; 3];
    history.sends[OTHER_BODY].repeats =
        vec![Repeat { other_body: true, answer: Err((422, "idempotency_key_reused".to_owned())) }];
    history.sends[CANCELLED].cancelled = Some(Cancelled::Yes(accepted_at(CANCELLED).plus_seconds(1)));
    let token = history.plan.token(SMS);
    history.outbox.push(Item {
        number: 1,
        message_id: "sms-1".to_owned(),
        channel: "sms".to_owned(),
        to: vec!["+8613800000002".to_owned()],
        subject: None,
        text: Some(format!("{token} by SMS")),
    });
    let trail = &mut alice(&mut history, SMS).transitions;
    let of_step = |event, code: &str| Transition {
        step: Some(0),
        channel: Some("sms".to_owned()),
        code: (!code.is_empty()).then(|| code.to_owned()),
        ..transition(accepted_at(SMS), event)
    };
    trail.push(of_step(Event::StepStarted, ""));
    trail.push(of_step(Event::StepAccepted, "sms-1"));
    history.begun_when_confirmed.insert((SMS, "alice".to_owned()), BTreeSet::from([0]));
    history
}

/// Records that the message is accepted, stored, shown and confirmed for each recipient.
fn deliver(history: &mut History, message: usize) {
    let kind = history.plan.messages[message].kind.clone();
    let at = accepted_at(message);
    history.sends[message].accepted = Some(Accepted { at, answer: answer(message) });
    history.sends[message].send_at = kind.ahead().map(|seconds| at.plus_seconds(seconds));
    let stored = history.sends[message].send_at.unwrap_or(at);
    let is_cancelled = matches!(kind, Kind::Cancelled { .. });
    let ttl = match kind {
        Kind::Short { ttl } | Kind::Fleeting { ttl } => ttl,
        _ => HOUR,
    };
    let mut recipients = Vec::new();
    for user in history.plan.messages[message].recipients.clone() {
        let mut transitions = vec![transition(at, Event::Accepted)];
        let mut position = None;
        if is_cancelled {
            transitions.push(transition(at, Event::Cancelled));
        } else if kind.is_kept() {
            let seq = u64::try_from(history.mailboxes[user].len()).unwrap() + 1;
            let place = Position { epoch: EPOCH, seq };
            history.mailboxes[user].push(Entry { position: place, id: id(message) });
            position = Some(place);
            transitions.push(transition(stored, Event::Stored));
        }
        for device in history.plan.users[user].devices.clone() {
            if is_cancelled || !history.plan.is_for(message, device) {
                continue;
            }
            let alert = history.plan.token(message);
            history.devices[device].shown.push(Shown { id: id(message), position, alert, run: 0, at: stored });
            if kind.is_kept() {
                let device_id = Some(history.devices[device].id.clone());
                transitions.push(Transition { device_id, ..transition(stored.plus_seconds(1), Event::Confirmed) });
            }
        }
        let state = match kind {
            Kind::Fleeting { .. } => State::Expired,
            Kind::Cancelled { .. } => State::Suppressed,
            _ => State::Confirmed,
        };
        recipients.push(RecipientTrail {
            alias: history.plan.users[user].alias.clone(),
            state,
            position,
            steps: None,
            devices: Vec::new(),
            transitions,
        });
    }
    let trail = Trail {
        request_id: id(message),
        accepted_at: at,
        send_at: history.sends[message].send_at,
        cancelled_at: None,
        expires_at: stored.plus_seconds(ttl),
        downgrades: Vec::new(),
        recipients,
    };
    history.trails.insert(message, Arc::new(trail));
}

fn alice(history: &mut History, message: usize) -> &mut RecipientTrail {
    let trail = Arc::make_mut(history.trails.get_mut(&message).unwrap());
    trail.recipients.iter_mut().find(|recipient| recipient.alias == "alice").unwrap()
}

fn forget(history: &mut History, device: usize, message: usize) {
    history.devices[device].shown.retain(|shown| shown.id != id(message));
    for recipient in &mut Arc::make_mut(history.trails.get_mut(&message).unwrap()).recipients {
        let name = format!("device-{device}");
        recipient.transitions.retain(|transition| transition.device_id.as_deref() != Some(&name));
    }
}

/// The promises that are broken.
fn broken(history: &History) -> Vec<&'static str> {
    check(history).into_iter().filter(|row| !row.broken.is_empty()).map(|row| row.promise).collect()
}

/// Changes the history in which every promise was kept, and returns the broken promises.
fn found(change: impl FnOnce(&mut History)) -> Vec<&'static str> {
    let mut history = kept();
    change(&mut history);
    broken(&history)
}

#[test]
fn where_every_promise_was_kept_nothing_is_found_and_everything_is_looked_at() {
    let rows = check(&kept());
    for row in &rows {
        assert!(row.broken.is_empty(), "{}: {:?}", row.promise, row.broken);
        assert!(row.checked > 0, "{} checks nothing", row.promise);
    }
}

#[test]
fn a_message_that_is_not_shown_is_lost() {
    assert_eq!(found(|history| forget(history, TELEPHONE, PLAIN)), ["nothing lost"]);
    assert_eq!(found(|history| forget(history, BROWSER, WEB_ONLY)), ["nothing lost"]);
    // Another device's acknowledgement, a provider's acceptance and a failed chain are no exceptions.
    assert_eq!(found(|history| forget(history, TELEPHONE, SMS)), ["nothing lost"]);
    let failed = found(|history| {
        forget(history, TELEPHONE, PLAIN);
        alice(history, PLAIN).state = State::Failed;
    });
    assert_eq!(failed, ["nothing lost"]);
}

#[test]
fn what_is_excused_is_not_called_lost() {
    assert!(found(|history| forget(history, TELEPHONE, FLEETING)).is_empty());
    let replaced = found(|history| {
        forget(history, TELEPHONE, PLAIN);
        alice(history, PLAIN).transitions.push(transition(accepted_at(PLAIN), Event::Replaced));
    });
    assert!(replaced.is_empty(), "{replaced:?}");
    let away = found(|history| {
        forget(history, TELEPHONE, SHORT);
        history.devices[TELEPHONE].online = vec![(Timestamp(0), accepted_at(SHORT).plus_seconds(1))];
    });
    assert!(away.is_empty(), "{away:?}");
}

#[test]
fn a_short_life_excuses_only_a_device_that_was_away_or_a_service_with_faults() {
    assert_eq!(found(|history| forget(history, TELEPHONE, SHORT)), ["nothing lost"]);
    let faulty = found(|history| {
        forget(history, TELEPHONE, SHORT);
        history.calm = false;
    });
    assert!(faulty.is_empty(), "{faulty:?}");
}

#[test]
fn what_does_not_belong_is_found() {
    let foreign = found(|history| history.devices[TELEPHONE].shown.push(shown(WEB_ONLY, None)));
    assert_eq!(foreign, ["nothing astray"]);
    let unknown = found(|history| {
        history.devices[BROWSER].shown.push(Shown { id: "whose".to_owned(), ..shown(PLAIN, None) });
    });
    assert_eq!(unknown, ["nothing astray"]);
    assert_eq!(found(|history| history.devices[BROWSER].shown[0].alert = "changed".to_owned()), ["nothing astray"]);
    assert_eq!(found(|history| history.devices[BROWSER].ended = Some("401".to_owned())), ["nothing astray"]);
}

fn shown(message: usize, position: Option<Position>) -> Shown {
    Shown { id: id(message), position, alert: plan().token(message), run: 0, at: ENDED }
}

#[test]
fn what_is_shown_twice_is_found_also_after_a_restart() {
    let again = |run| {
        found(move |history| {
            let last = history.devices[BROWSER].shown.last().unwrap().clone();
            history.devices[BROWSER].shown.push(Shown { run, ..last });
        })
    };
    // The position does not grow either.
    assert_eq!(again(0), ["nothing shown twice", "in order on every device"]);
    assert_eq!(again(3), ["nothing shown twice", "in order on every device"]);
    let fleeting =
        |run| found(move |history| history.devices[BROWSER].shown.push(Shown { run, ..shown(FLEETING, None) }));
    assert_eq!(fleeting(0), ["nothing shown twice"]);
    assert!(fleeting(1).is_empty());
}

#[test]
fn a_wrong_order_on_a_device_is_found() {
    assert_eq!(found(|history| history.devices[BROWSER].shown.swap(0, 1)), ["in order on every device"]);
}

#[test]
fn a_confirmation_of_what_was_never_shown_is_found() {
    let never_shown = found(|history| history.devices[TELEPHONE].shown.retain(|shown| shown.id != id(PLAIN)));
    assert_eq!(never_shown, ["nothing lost", "confirmed only what was shown"]);
}

#[test]
fn a_doubled_entry_a_hole_and_a_stranger_are_found() {
    let doubled = found(|history| {
        let position = Position { epoch: EPOCH, seq: history.mailboxes[BOB].len() as u64 + 1 };
        history.mailboxes[BOB].push(Entry { position, id: id(SEVERAL) });
    });
    assert_eq!(doubled, ["nothing doubled in a mailbox"]);
    let hole = found(|history| history.mailboxes[BOB].last_mut().unwrap().position.seq += 1);
    assert_eq!(hole, ["nothing doubled in a mailbox"]);
    let epoch = found(|history| history.mailboxes[BOB].last_mut().unwrap().position.epoch += 1);
    assert_eq!(epoch, ["nothing doubled in a mailbox"]);
    let stranger = found(|history| history.mailboxes[BOB].last_mut().unwrap().id = "whose".to_owned());
    assert_eq!(stranger, ["nothing doubled in a mailbox"]);
    let gone = found(|history| history.mailboxes[BOB].truncate(1));
    assert_eq!(gone, ["nothing doubled in a mailbox"]);
}

#[test]
fn an_entry_before_one_that_was_accepted_earlier_is_found() {
    let swapped = found(|history| swap_places(history, PLAIN, SEVERAL));
    assert_eq!(swapped, ["in order of acceptance"]);
    // A message that is sent ahead comes after all that were accepted before its time.
    let ahead = found(|history| swap_places(history, LAST, AHEAD));
    assert_eq!(ahead, ["in order of acceptance"]);
}

/// Alice's mailbox in another order, which the trails and the devices follow.
fn swap_places(history: &mut History, one: usize, other: usize) {
    let (first, second) = (alice(history, one).position, alice(history, other).position);
    (alice(history, one).position, alice(history, other).position) = (second, first);
    for entry in &mut history.mailboxes[ALICE] {
        let to = if entry.id == id(one) {
            second
        } else if entry.id == id(other) {
            first
        } else {
            continue;
        };
        entry.position = to.unwrap();
    }
    history.mailboxes[ALICE].sort_by_key(|entry| entry.position);
    for device in [BROWSER, TELEPHONE] {
        for shown in &mut history.devices[device].shown {
            let to = if shown.id == id(one) {
                second
            } else if shown.id == id(other) {
                first
            } else {
                continue;
            };
            shown.position = to;
        }
        history.devices[device].shown.sort_by_key(|shown| shown.position);
    }
}

#[test]
fn an_announcement_that_is_missed_doubled_astray_or_out_of_order_is_found() {
    let missed = found(|history| drop(history.devices[TELEPHONE].announcements.remove(1)));
    assert_eq!(missed, ["no announcement missed"]);
    assert_eq!(
        found(|history| history.announced[1] = None),
        ["no announcement missed", "announcements once and in order"]
    );
    let twice = found(|history| {
        let one = history.devices[BROWSER].announcements[0].clone();
        history.devices[BROWSER].announcements.push(one);
    });
    assert_eq!(twice, ["announcements once and in order"]);
    assert_eq!(found(|history| history.devices[BROWSER].announcements.swap(0, 1)), ["announcements once and in order"]);
    let astray = found(|history| {
        let one = history.devices[TELEPHONE].announcements[1].clone();
        history.devices[BROWSER].announcements.insert(1, one);
    });
    assert_eq!(astray, ["announcements once and in order"]);
}

#[test]
fn what_is_stored_before_its_time_is_found() {
    let early = found(|history| {
        let stored = alice(history, AHEAD).transitions.iter_mut().find(|transition| transition.event == Event::Stored);
        stored.unwrap().at = accepted_at(AHEAD);
    });
    assert_eq!(early, ["nothing before its time"]);
}

#[test]
fn what_follows_a_cancelling_is_found() {
    assert_eq!(
        found(|history| history.sends[CANCELLED].cancelled = Some(Cancelled::Refused(404, "no_route".to_owned()))),
        ["cancelled in time: nothing follows"]
    );
    let shown_anyway = found(|history| history.devices[2].shown.push(shown(CANCELLED, None)));
    assert_eq!(shown_anyway, ["cancelled in time: nothing follows"]);
    let stored_anyway = found(|history| {
        let seq = history.mailboxes[BOB].len() as u64 + 1;
        history.mailboxes[BOB].push(Entry { position: Position { epoch: EPOCH, seq }, id: id(CANCELLED) });
    });
    assert_eq!(stored_anyway, ["nothing doubled in a mailbox", "cancelled in time: nothing follows"]);
    assert!(found(|history| history.sends[CANCELLED].cancelled = Some(Cancelled::TooLate)).is_empty());
}

#[test]
fn what_is_not_settled_or_not_told_is_found() {
    assert_eq!(found(|history| alice(history, PLAIN).state = State::Pending), ["every recipient settled"]);
    let no_trail = found(|history| drop(history.trails.remove(&FLEETING)));
    assert_eq!(no_trail, ["every recipient settled"]);
    let wrong = found(|history| alice(history, FLEETING).alias = "eve".to_owned());
    assert_eq!(wrong, ["every recipient settled"]);
}

#[test]
fn a_refusal_and_an_unequal_answer_are_found() {
    let refused = found(|history| {
        history.sends[FLEETING].refused = Some("400".to_owned());
    });
    assert_eq!(refused, ["every message accepted"]);
    let unequal =
        found(|history| history.sends[REPEATED].repeats[1].answer = Ok(SendAnswer { ttl: 1, ..answer(REPEATED) }));
    assert_eq!(unequal, ["a key repeated: one answer"]);
    let taken = found(|history| history.sends[OTHER_BODY].repeats[0].answer = Ok(answer(OTHER_BODY)));
    assert_eq!(taken, ["a key repeated: one answer"]);
}

#[test]
fn a_second_sms_and_one_that_nobody_asked_for_are_found() {
    let second = found(|history| {
        let one = history.outbox[0].clone();
        history.outbox.push(Item { number: 2, ..one });
    });
    assert_eq!(second, ["one push, SMS, email per step", "trail and outbox agree"]);
    let unasked = found(|history| {
        let one = history.outbox[0].clone();
        let text = Some(history.plan.token(PLAIN));
        history.outbox.push(Item { number: 2, text, ..one });
    });
    assert_eq!(unasked, ["trail and outbox agree"]);
}

#[test]
fn a_trail_that_does_not_fit_the_outbox_is_found() {
    assert_eq!(found(|history| history.outbox.clear()), ["trail and outbox agree"]);
    assert_eq!(found(|history| history.outbox[0].message_id = "another".to_owned()), ["trail and outbox agree"]);
    let ended = |event| {
        found(move |history| {
            let of_step = alice(history, SMS).transitions.iter_mut();
            for transition in of_step.filter(|transition| transition.event == Event::StepAccepted) {
                transition.event = event;
            }
        })
    };
    assert_eq!(ended(Event::StepRefused), ["trail and outbox agree"]);
    assert_eq!(ended(Event::StepSkipped), ["trail and outbox agree"]);
    // An unknown outcome: the step may have been sent.
    assert!(ended(Event::StepUnknown).is_empty());
}

#[test]
fn a_step_that_a_throttle_has_ended_is_found() {
    let refused = |put_off: usize| {
        found(move |history| {
            history.outbox.clear();
            let trail = alice(history, SMS);
            let of_step = trail.transitions.iter_mut().find(|transition| transition.event == Event::StepAccepted);
            let ended = of_step.unwrap();
            (ended.event, ended.code) = (Event::StepRefused, Some("Throttling".to_owned()));
            let line = Transition { event: Event::StepPutOff, ..ended.clone() };
            trail.transitions.extend(std::iter::repeat_n(line, put_off));
        })
    };
    assert_eq!(refused(0), ["no step refused for a throttle"]);
    assert!(refused(1).is_empty(), "it was asked again, and the chain went on");
    assert_eq!(refused(2), ["no step refused for a throttle"]);
}

#[test]
fn a_chain_that_stops_or_jumps_though_nobody_confirmed_is_found() {
    let stopped = found(|history| {
        let trail = alice(history, SMS);
        trail.transitions.retain(|transition| transition.event != Event::Confirmed);
        trail.state = State::FallbackDelivered;
    });
    assert_eq!(stopped, ["chains whole and in order"]);
    let twice = found(|history| {
        let of_step = alice(history, SMS).transitions.iter().find(|transition| transition.event == Event::StepAccepted);
        let again = of_step.unwrap().clone();
        alice(history, SMS).transitions.push(again);
    });
    assert_eq!(twice, ["chains whole and in order"]);
}

#[test]
fn a_step_after_the_acknowledgement_is_found() {
    let second = Transition {
        step: Some(1),
        channel: Some("email".to_owned()),
        ..transition(accepted_at(SMS).plus_seconds(2), Event::StepStarted)
    };
    let late = second.clone();
    let unseen = found(|history| alice(history, SMS).transitions.push(late));
    assert_eq!(
        unseen,
        ["no step after an acknowledgement"],
        "it had not begun when the trail was seen to be confirmed"
    );
    let much_later = found(|history| {
        history.begun_when_confirmed.clear();
        let at = accepted_at(SMS).plus_seconds(60);
        alice(history, SMS).transitions.push(Transition { at, ..second });
    });
    assert_eq!(much_later, ["no step after an acknowledgement"]);
}

#[test]
fn claims_that_died_are_counted_and_what_was_sent_all_the_same() {
    let mut history = kept();
    let on_its_way = BTreeMap::from([("chains confirmed on their way", 1), ("steps begun", 1)]);
    assert_eq!(chains(&history), on_its_way);
    let ended = alice(&mut history, SMS).transitions.iter_mut().find(|it| it.event == Event::StepAccepted);
    ended.unwrap().event = Event::StepUnknown;
    let died = chains(&history);
    assert_eq!((died["steps whose claim died"], died["steps whose claim died, sent"]), (1, 1));
    history.outbox.clear();
    assert_eq!(chains(&history).get("steps whose claim died, sent"), None);
}
