//! Checks of the backend's answers: acceptance, repetition, cancelling, and the final state.

use std::collections::BTreeSet;

use super::{Broken, Row};
use crate::history::{Cancelled, History};

/// Every message of the plan is valid, so it must be accepted before the end.
pub(super) fn accepted(history: &History) -> Row {
    let mut row = Row::new("every message accepted");
    for (message, sent) in history.sends.iter().enumerate() {
        row.holds(sent.accepted.is_some() && sent.refused.is_none(), || {
            let why = sent.refused.clone().unwrap_or_else(|| "not accepted before the end".to_owned());
            Broken::of(why).message(message)
        });
    }
    row
}

/// The same idempotency key has an equal answer; another body under it has 422.
pub(super) fn repeated(history: &History) -> Row {
    let mut row = Row::new("a key repeated: one answer");
    for (message, sent) in history.sends.iter().enumerate() {
        let Some(accepted) = &sent.accepted else { continue };
        for repeat in &sent.repeats {
            let held = match (&repeat.answer, repeat.other_body) {
                (Ok(answer), false) => *answer == accepted.answer,
                (Err((status, _)), true) => *status == 422,
                (Ok(_), true) | (Err(_), false) => false,
            };
            row.holds(held, || {
                let body = if repeat.other_body { "another" } else { "the same" };
                Broken::of(format!("{body} body under the same key: {:?}", repeat.answer)).message(message)
            });
        }
    }
    row
}

/// Every message is settled for every recipient, and the trail names exactly the recipients.
pub(super) fn settled(history: &History) -> Row {
    let mut row = Row::new("every recipient settled");
    for (message, _) in history.sends.iter().enumerate().filter(|(_, sent)| sent.accepted.is_some()) {
        let Some(trail) = history.trails.get(&message) else {
            row.holds(false, || Broken::of("accepted, but without a trail").message(message));
            continue;
        };
        let expected: BTreeSet<&str> = history.plan.messages[message]
            .recipients
            .iter()
            .map(|user| history.plan.users[*user].alias.as_str())
            .collect();
        let named: BTreeSet<&str> = trail.recipients.iter().map(|recipient| recipient.alias.as_str()).collect();
        row.holds(expected == named && named.len() == trail.recipients.len(), || {
            Broken::of(format!("sent to {expected:?}, and the trail names {named:?}")).message(message)
        });
        for recipient in &trail.recipients {
            row.holds(recipient.state.is_settled(), || {
                let user = history.plan.users.iter().position(|user| user.alias == recipient.alias);
                Broken { user, ..Broken::of(format!("still {}", recipient.state)).message(message) }
            });
        }
    }
    row
}

/// A cancel is answered with success or with "too late". After a success before its time, a message that was sent ahead
/// is never stored, shown or sent by another channel, and a step that was not due yet never begins.
pub(super) fn cancelled(history: &History) -> Row {
    let mut row = Row::new("cancelled in time: nothing follows");
    for (message, sent) in history.sends.iter().enumerate() {
        let Some(accepted) = &sent.accepted else { continue };
        let at = match &sent.cancelled {
            None => continue,
            Some(Cancelled::TooLate) => {
                row.holds(true, Broken::default);
                continue;
            }
            Some(Cancelled::Refused(status, code)) => {
                row.holds(false, || Broken::of(format!("cancelling answered {status} {code}")).message(message));
                continue;
            }
            Some(Cancelled::Yes(at)) => *at,
        };
        let id = &accepted.answer.request_id;
        let trail = history.trails.get(&message);
        let is_in_trail = trail.is_some_and(|trail| trail.recipients.iter().all(super::is_cancelled));
        row.holds(is_in_trail, || Broken::of("cancelled, but not in the trail").message(message));
        if sent.send_at.is_some_and(|send_at| at < send_at) {
            let shown = history.devices.iter().position(|device| device.shown.iter().any(|shown| shown.id == *id));
            row.holds(shown.is_none(), || {
                let broken = Broken::of("cancelled before its time, but shown").message(message);
                shown.map_or_else(|| broken.clone(), |device| broken.clone().device(device))
            });
            let stored = history.mailboxes.iter().position(|mailbox| mailbox.iter().any(|entry| entry.id == *id));
            row.holds(stored.is_none(), || Broken::of("cancelled before its time, but stored").message(message));
        }
        if let Some(due) = history.plan.messages[message].step_due_after().zip(trail)
            && at < due.1.accepted_at.plus_seconds(due.0)
        {
            let named = |text: &Option<String>| text.as_deref().and_then(|text| history.plan.named_in(text));
            let sent = history.outbox.iter().any(|item| named(&item.text) == Some(message));
            row.holds(!sent, || Broken::of("cancelled before its step was due, but sent").message(message));
        }
    }
    row
}
