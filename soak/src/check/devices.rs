//! Checks of devices: the messages that were shown against those that were accepted.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tidings_wire::Timestamp;
use tidings_wire::action::Position;
use tidings_wire::trail::Event;

use super::{Broken, Row, first, is_withdrawn, millis, recipient};
use crate::history::{DeviceLog, History};

/// In ms: a message that expires sooner, while its device is connected, may expire on its way.
const TIME_ENOUGH: i64 = 1_500;

/// Every message that a device owes was shown on it.
pub(super) fn lost(history: &History) -> Row {
    let mut row = Row::new("nothing lost");
    let shown: Vec<HashSet<&str>> =
        history.devices.iter().map(|log| log.shown.iter().map(|shown| shown.id.as_str()).collect()).collect();
    for (message, sent) in history.sends.iter().enumerate() {
        let Some(accepted) = &sent.accepted else { continue };
        for &user in &history.plan.messages[message].recipients {
            for &device in &history.plan.users[user].devices {
                if history.plan.is_for(message, device) && is_owed(history, message, user, device) {
                    row.holds(shown[device].contains(accepted.answer.request_id.as_str()), || {
                        Broken::of("accepted and kept, but not shown").message(message).user(user).device(device)
                    });
                }
            }
        }
    }
    row
}

/// Whether a device must show a message; `check` lists the exceptions.
fn is_owed(history: &History, message: usize, user: usize, device: usize) -> bool {
    if !history.plan.messages[message].kind.is_kept() {
        return false;
    }
    let (Some(trail), Some(whole)) = (recipient(history, message, user), history.trails.get(&message)) else {
        // A missing trail is broken elsewhere, as not settled; without one there is no exception.
        return true;
    };
    if is_withdrawn(trail) {
        return false;
    }
    if whole.expires_at > history.ended {
        return true;
    }
    let stored = first(trail, Event::Stored).map(|transition| transition.at);
    history.calm
        && stored.is_some_and(|stored| {
            millis(stored, whole.expires_at) >= TIME_ENOUGH
                && was_online(&history.devices[device], stored, whole.expires_at)
        })
}

fn was_online(log: &DeviceLog, from: Timestamp, until: Timestamp) -> bool {
    log.online.iter().any(|(since, to)| *since <= from && until <= *to)
}

/// Each shown message was accepted, is for this device, and is as it was sent.
pub(super) fn astray(history: &History) -> Row {
    let mut row = Row::new("nothing astray");
    let ids = history.ids();
    for (device, log) in history.devices.iter().enumerate() {
        for shown in &log.shown {
            let known = ids.get(shown.id.as_str()).copied();
            let held = known.is_some_and(|message| {
                history.plan.is_for(message, device) && history.plan.named_in(&shown.alert) == Some(message)
            });
            row.holds(held, || {
                let why = format!("shown where it does not belong: {} {:?}", shown.id, shown.alert);
                Broken { message: known, ..Broken::of(why).user(history.plan.devices[device].user).device(device) }
            });
        }
        row.holds(log.ended.is_none(), || {
            Broken::of(format!("the client gave up: {}", log.ended.clone().unwrap_or_default())).device(device)
        });
    }
    row
}

/// No device shows an id twice, over all runs of its app. A message that is not kept has no position, so a new run
/// cannot recognise it.
pub(super) fn twice(history: &History) -> Row {
    let mut row = Row::new("nothing shown twice");
    let ids = history.ids();
    for (device, log) in history.devices.iter().enumerate() {
        let mut seen = BTreeSet::new();
        for shown in &log.shown {
            let run = if shown.position.is_some() { 0 } else { shown.run };
            row.holds(seen.insert((shown.id.as_str(), run)), || {
                let why = format!("shown a second time, in run {} of the app, as {:?}", shown.run, shown.position);
                let broken = Broken::of(why).user(history.plan.devices[device].user).device(device);
                Broken { message: ids.get(shown.id.as_str()).copied(), ..broken }
            });
        }
    }
    row
}

/// Positions only grow on one device.
pub(super) fn order(history: &History) -> Row {
    let mut row = Row::new("in order on every device");
    let ids = history.ids();
    for (device, log) in history.devices.iter().enumerate() {
        let mut last: Option<Position> = None;
        for shown in &log.shown {
            let Some(at) = shown.position else { continue };
            row.holds(last.is_none_or(|last| last < at), || {
                let why = format!("{at:?} shown after {last:?}");
                let broken = Broken::of(why).user(history.plan.devices[device].user).device(device);
                Broken { message: ids.get(shown.id.as_str()).copied(), ..broken }
            });
            last = last.max(Some(at));
        }
    }
    row
}

/// A device that confirmed a message according to the trail has shown it.
pub(super) fn confirmed(history: &History) -> Row {
    let mut row = Row::new("confirmed only what was shown");
    let devices: BTreeMap<&str, usize> =
        history.devices.iter().enumerate().map(|(at, log)| (log.id.as_str(), at)).collect();
    let shown: Vec<HashSet<&str>> =
        history.devices.iter().map(|log| log.shown.iter().map(|shown| shown.id.as_str()).collect()).collect();
    for (message, trail) in &history.trails {
        let confirmations = trail.recipients.iter().flat_map(|recipient| &recipient.transitions);
        for transition in confirmations.filter(|transition| transition.event == Event::Confirmed) {
            let device = transition.device_id.as_deref().and_then(|id| devices.get(id).copied());
            let held = device.is_some_and(|device| {
                history.plan.is_for(*message, device) && shown[device].contains(trail.request_id.as_str())
            });
            row.holds(held, || Broken { device, ..Broken::of("confirmed, but never shown").message(*message) });
        }
    }
    row
}
