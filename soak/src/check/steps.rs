//! Checks of fallback steps: the outbox against the trails.

use std::collections::{BTreeMap, BTreeSet};

use tidings_wire::trail::{Event, RecipientTrail, State, Transition};

use super::{Broken, Row, begun, first, millis};
use crate::history::{History, Item};
use crate::plan::{Kind, User};

/// How much later than the first confirmation, in ms, a step's beginning may be dated if the trail was not read in
/// between. Different workers date the two before they write, and a throttled worker writes long after it dated.
const APART: i64 = 15_000;

/// The outbox by message, address and channel.
fn by_step(history: &History) -> BTreeMap<(usize, String, String), Vec<&Item>> {
    let mut items: BTreeMap<_, Vec<&Item>> = BTreeMap::new();
    for item in &history.outbox {
        let text = item.text.as_deref().or(item.subject.as_deref()).unwrap_or_default();
        if let Some(message) = history.plan.named_in(text) {
            let to = item.to.first().cloned().unwrap_or_default();
            items.entry((message, to, item.channel.clone())).or_default().push(item);
        }
    }
    items
}

/// Each step sends at most once.
pub(super) fn twice(history: &History) -> Row {
    let mut row = Row::new("one push, SMS, email per step");
    for ((message, to, channel), items) in by_step(history) {
        row.holds(items.len() == 1, || {
            let numbers: Vec<u64> = items.iter().map(|item| item.number).collect();
            Broken::of(format!("{} {channel} to {to}, numbers {numbers:?}", items.len())).message(message)
        });
    }
    row
}

/// No step begins after an acknowledgement: every step that began had begun when the trail was first seen confirmed,
/// and none is dated much later.
pub(super) fn after_acknowledgement(history: &History) -> Row {
    let mut row = Row::new("no step after an acknowledgement");
    for (&message, trail) in &history.trails {
        for recipient in trail.recipients.iter() {
            let Some(confirmed) = first(recipient, Event::Confirmed) else { continue };
            if !history.plan.messages[message].kind.has_chain() {
                continue;
            }
            let seen = history.begun_when_confirmed.get(&(message, recipient.alias.clone()));
            let late = seen.and_then(|seen| begun(recipient).into_iter().find(|step| !seen.contains(step)));
            row.holds(late.is_none(), || {
                let why = format!("step {late:?} of {} began after its confirmation was seen", recipient.alias);
                Broken::of(why).message(message)
            });
            let started = recipient.transitions.iter().filter(|transition| transition.event == Event::StepStarted);
            let apart = started.map(|started| millis(confirmed.at, started.at)).max();
            row.holds(apart.is_none_or(|apart| apart <= APART), || {
                let why = format!("a step of {} began {apart:?} ms after its confirmation", recipient.alias);
                Broken::of(why).message(message)
            });
        }
    }
    row
}

/// An accepted step is in the outbox, under the provider's id. A step with an unknown outcome may be. All others are
/// not.
pub(super) fn agree(history: &History) -> Row {
    let mut row = Row::new("trail and outbox agree");
    let mut items = by_step(history);
    for (&message, trail) in &history.trails {
        let chain = history.plan.messages[message].chain();
        for recipient in &trail.recipients {
            let Some(user) = history.plan.users.iter().find(|user| user.alias == recipient.alias) else { continue };
            for (step, channel) in chain.iter().enumerate() {
                let to = addresses(history, user, channel);
                let of_step = |to| items.remove(&(message, to, (*channel).to_owned())).unwrap_or_default();
                let by_address: Vec<Vec<&Item>> = to.into_iter().map(of_step).collect();
                let once = by_address.iter().all(|sent| sent.len() <= 1);
                let sent: Vec<&Item> = by_address.into_iter().flatten().collect();
                let held = once && fits(recipient, step, &sent);
                row.holds(held, || {
                    let numbers: Vec<u64> = sent.iter().map(|item| item.number).collect();
                    let why = format!("step {step} ({channel}) of {}: outbox has {numbers:?}", recipient.alias);
                    Broken::of(why).message(message)
                });
            }
        }
    }
    for (message, to, channel) in items.into_keys() {
        row.holds(false, || Broken::of(format!("{channel} to {to} that no chain contains")).message(message));
    }
    row
}

/// Codes with which SNS and SES refuse a message that they have certainly not sent, and would send later.
const BUSY: [&str; 3] = ["Throttling", "TooManyRequestsException", "ServiceUnavailable"];

/// A step that was throttled, or met a failing service, is sent later. It is refused only after it was put off, as its
/// trail must show.
pub(super) fn put_off(history: &History) -> Row {
    let mut row = Row::new("no step refused for a throttle");
    for (&message, trail) in &history.trails {
        for recipient in &trail.recipients {
            let of = |event| recipient.transitions.iter().filter(move |transition| transition.event == event);
            for ended in of(Event::StepRefused).chain(of(Event::StepAccepted)) {
                let is_busy = ended.code.as_deref().is_some_and(|code| BUSY.contains(&code));
                let was_put_off = of(Event::StepPutOff).any(|put_off| put_off.step == ended.step);
                row.holds(ended.event == Event::StepAccepted || !is_busy || was_put_off, || {
                    Broken::of(format!("step {:?} was refused with {:?}", ended.step, ended.code)).message(message)
                });
            }
            for put_off in of(Event::StepPutOff) {
                let once = of(Event::StepPutOff).filter(|other| other.step == put_off.step).count() == 1;
                let why = || Broken::of(format!("step {:?} has several lines", put_off.step)).message(message);
                row.holds(once && put_off.code.is_some(), why);
            }
        }
    }
    row
}

/// The addresses at which a step of this channel reaches a user.
fn addresses(history: &History, user: &User, channel: &str) -> Vec<String> {
    match channel {
        "sms" => vec![user.mobile.clone().unwrap_or_default()],
        "email" => vec![user.email.clone().unwrap_or_default()],
        // A push goes to every device of the user.
        _ => user.devices.iter().map(|device| history.plan.push_token(*device)).collect(),
    }
}

/// The progress of the chains, and the steps whose worker died between the claim and the outcome.
pub(super) fn counts(history: &History) -> BTreeMap<&'static str, u64> {
    let items = by_step(history);
    let mut counts = BTreeMap::new();
    let mut count = |what| *counts.entry(what).or_default() += 1;
    let with_chain = |message: &&usize| history.plan.messages[**message].kind.has_chain();
    for message in history.trails.keys().filter(with_chain) {
        for recipient in &history.trails[message].recipients {
            let Some(user) = history.plan.users.iter().find(|user| user.alias == recipient.alias) else { continue };
            let of = |event| recipient.transitions.iter().filter(move |transition| transition.event == event);
            let is_begun = of(Event::StepStarted).next().is_some();
            count(match (recipient.state == State::Confirmed, is_begun) {
                (true, false) => "chains confirmed before any step",
                (true, true) => "chains confirmed on their way",
                (false, _) => "chains without a confirmation",
            });
            of(Event::StepStarted).for_each(|_| count("steps begun"));
            of(Event::StepPutOff).for_each(|_| count("steps put off"));
            for died in of(Event::StepUnknown) {
                count("steps whose claim died");
                let channel = died.channel.clone().unwrap_or_default();
                let sent = |to| items.contains_key(&(*message, to, channel.clone()));
                if addresses(history, user, &channel).into_iter().any(sent) {
                    count("steps whose claim died, sent");
                }
            }
        }
    }
    counts
}

fn fits(recipient: &RecipientTrail, step: usize, sent: &[&Item]) -> bool {
    let of_step = || recipient.transitions.iter().filter(|transition| transition.step == Some(step));
    let ended = |event| of_step().find(|transition| transition.event == event);
    if let Some(accepted) = ended(Event::StepAccepted) {
        let code = accepted.code.as_deref().unwrap_or_default();
        let (reported, sent): (BTreeSet<&str>, BTreeSet<&str>) =
            (code.split(", ").collect(), sent.iter().map(|item| item.message_id.as_str()).collect());
        return reported == sent;
    }
    let may_be_sent = ended(Event::StepStarted).is_some()
        && ended(Event::StepRefused).is_none()
        && ended(Event::StepSkipped).is_none();
    sent.is_empty() || may_be_sent
}

/// If no device confirmed, every step of the chain has ended once, one after the other; no step ever ends twice.
pub(super) fn whole(history: &History) -> Row {
    let mut row = Row::new("chains whole and in order");
    for (&message, trail) in &history.trails {
        let chain = history.plan.messages[message].chain();
        let is_fallback = matches!(history.plan.messages[message].kind, Kind::Fallback(_));
        for recipient in trail.recipients.iter().filter(|_| is_fallback) {
            let ended = |transition: &&Transition| {
                let over = [Event::StepAccepted, Event::StepRefused, Event::StepSkipped, Event::StepUnknown];
                over.contains(&transition.event)
            };
            let steps: Vec<usize> = recipient.transitions.iter().filter(ended).filter_map(|it| it.step).collect();
            let in_order = steps.iter().copied().eq(0..steps.len());
            let is_over = first(recipient, Event::Confirmed).is_some() || steps.len() == chain.len();
            row.holds(in_order && is_over, || {
                Broken::of(format!("of {} steps these ended: {steps:?}", chain.len())).message(message)
            });
        }
    }
    row
}
