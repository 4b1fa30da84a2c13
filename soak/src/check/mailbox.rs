//! Checks of the mailboxes against the accepted messages and the trails.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tidings_wire::action::Position;
use tidings_wire::trail::Event;

use super::{Broken, Row, first, recipient};
use crate::history::History;

/// One entry per message, positions without a gap from 1 in one epoch, no foreign message, and the trail's position.
pub(super) fn doubled(history: &History) -> Row {
    let mut row = Row::new("nothing doubled in a mailbox");
    let ids = history.ids();
    for (user, mailbox) in history.mailboxes.iter().enumerate() {
        let mut seen = BTreeSet::new();
        let epoch = mailbox.first().map(|entry| entry.position.epoch);
        for (expected, entry) in (1..).zip(mailbox) {
            let message = ids.get(entry.id.as_str()).copied();
            let broken = |why: String| Broken { message, ..Broken::of(why).user(user) };
            row.holds(seen.insert(entry.id.as_str()), || {
                broken(format!("is stored twice, the second time at {:?}", entry.position))
            });
            let is_dense = entry.position.seq == expected && Some(entry.position.epoch) == epoch;
            row.holds(is_dense, || broken(format!("{:?} instead of {expected} of {epoch:?}", entry.position)));
            let belongs = message.is_some_and(|message| history.plan.messages[message].recipients.contains(&user));
            row.holds(belongs, || broken(format!("{} does not belong there", entry.id)));
        }
        let places: HashMap<&str, Position> = mailbox.iter().map(|entry| (entry.id.as_str(), entry.position)).collect();
        for (id, message) in &ids {
            if !history.plan.messages[*message].recipients.contains(&user) {
                continue;
            }
            let position = recipient(history, *message, user).and_then(|trail| trail.position);
            row.holds(position == places.get(id).copied(), || {
                let why = format!("the trail has {position:?}, and the mailbox {:?}", places.get(id));
                Broken::of(why).message(*message).user(user)
            });
        }
    }
    row
}

/// One user's messages of one priority are stored in the order of their acceptance. A message that was sent ahead is
/// stored after every message that was accepted before its time.
pub(super) fn order(history: &History) -> Row {
    let mut row = Row::new("in order of acceptance");
    let mut of_user: Vec<BTreeMap<_, Vec<usize>>> = vec![BTreeMap::new(); history.plan.users.len()];
    for (message, sent) in history.sends.iter().enumerate() {
        let Some(accepted) = &sent.accepted else { continue };
        for &user in &history.plan.messages[message].recipients {
            of_user[user].entry(accepted.answer.priority).or_default().push(message);
        }
    }
    for (user, lanes) in of_user.iter().enumerate() {
        for messages in lanes.values() {
            let place = |message: usize| recipient(history, message, user).and_then(|trail| trail.position);
            // A user has one sender, which sends one message at a time: the order of the plan is that of acceptance.
            let mut last: Option<(usize, Position)> = None;
            let at_once = messages.iter().filter(|message| history.sends[**message].send_at.is_none());
            for (message, at) in at_once.filter_map(|message| place(*message).map(|at| (*message, at))) {
                row.holds(last.is_none_or(|(_, last)| last < at), || {
                    Broken::of(format!("{at:?}, accepted after message {last:?}")).message(message).user(user)
                });
                if last.is_none_or(|(_, last)| last < at) {
                    last = Some((message, at));
                }
            }
            ahead(history, user, messages, &mut row);
        }
    }
    row
}

fn ahead(history: &History, user: usize, messages: &[usize], row: &mut Row) {
    let place = |message: usize| recipient(history, message, user).and_then(|trail| trail.position);
    for &message in messages {
        let (Some(send_at), Some(at)) = (history.sends[message].send_at, place(message)) else { continue };
        let before = messages.iter().copied().filter(|other| {
            let sent = &history.sends[*other];
            sent.send_at.is_none() && sent.accepted.as_ref().is_some_and(|accepted| accepted.at < send_at)
        });
        let overtaken =
            before.filter_map(|other| place(other).map(|place| (other, place))).find(|(_, place)| *place > at);
        row.holds(overtaken.is_none(), || {
            Broken::of(format!("sent ahead, but stored at {at:?} before {overtaken:?}")).message(message).user(user)
        });
    }
}

/// A message that is sent ahead is not stored before its time.
pub(super) fn time(history: &History) -> Row {
    let mut row = Row::new("nothing before its time");
    for (message, sent) in history.sends.iter().enumerate() {
        let Some(send_at) = sent.send_at else { continue };
        for &user in &history.plan.messages[message].recipients {
            let Some(trail) = recipient(history, message, user) else { continue };
            if let Some(stored) = first(trail, Event::Stored) {
                row.holds(stored.at >= send_at, || {
                    let why = format!("stored at {}, to be sent at {send_at}", stored.at);
                    Broken::of(why).message(message).user(user)
                });
            }
        }
    }
    row
}
