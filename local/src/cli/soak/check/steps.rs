//! SMS and email: what the outbox holds, against what the trails say.

use std::collections::BTreeMap;

use tidings_wire::trail::{Event, RecipientTrail};

use super::{Broken, Row, begun, first, millis};
use crate::cli::soak::history::{History, Item};

/// How much later than the first confirmation a step's beginning may be dated where nobody saw the trail in between.
/// The two are dated by different workers before they write, and a worker that is throttled dates first and writes
/// late.
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

/// Never two of one step.
pub(super) fn twice(history: &History) -> Row {
    let mut row = Row::new("one SMS, one email per step");
    for ((message, to, channel), items) in by_step(history) {
        row.holds(items.len() == 1, || {
            let numbers: Vec<u64> = items.iter().map(|item| item.number).collect();
            Broken::of(format!("{} {channel} to {to}, numbers {numbers:?}", items.len())).message(message)
        });
    }
    row
}

/// No step begins after an acknowledgement: not one that had not begun when the trail was first seen to be confirmed,
/// and none that is dated long after.
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

/// A step that was accepted is in the outbox, under the provider's id; one whose end is unknown may be; all others
/// are not.
pub(super) fn agree(history: &History) -> Row {
    let mut row = Row::new("trail and outbox agree");
    let mut items = by_step(history);
    for (&message, trail) in &history.trails {
        let chain = history.plan.messages[message].chain();
        for recipient in &trail.recipients {
            let Some(user) = history.plan.users.iter().find(|user| user.alias == recipient.alias) else { continue };
            for (step, channel) in chain.iter().enumerate() {
                let to = if *channel == "sms" { &user.mobile } else { &user.email };
                let of_step = (message, to.clone().unwrap_or_default(), (*channel).to_owned());
                let sent = items.remove(&of_step).unwrap_or_default();
                let held = fits(recipient, step, &sent);
                row.holds(held, || {
                    let numbers: Vec<u64> = sent.iter().map(|item| item.number).collect();
                    let why = format!("step {step} ({channel}) of {}: outbox has {numbers:?}", recipient.alias);
                    Broken::of(why).message(message)
                });
            }
        }
    }
    for (message, to, channel) in items.into_keys() {
        row.holds(false, || Broken::of(format!("{channel} to {to} that no chain names")).message(message));
    }
    row
}

fn fits(recipient: &RecipientTrail, step: usize, sent: &[&Item]) -> bool {
    let of_step = || recipient.transitions.iter().filter(|transition| transition.step == Some(step));
    let ended = |event| of_step().find(|transition| transition.event == event);
    if let Some(accepted) = ended(Event::StepAccepted) {
        return sent.len() == 1 && sent.iter().all(|item| accepted.code.as_ref() == Some(&item.message_id));
    }
    let may_be_sent = ended(Event::StepStarted).is_some()
        && ended(Event::StepRefused).is_none()
        && ended(Event::StepSkipped).is_none();
    sent.is_empty() || (may_be_sent && sent.len() == 1)
}
