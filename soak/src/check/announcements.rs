//! What was announced, against who heard of it.

use std::collections::HashMap;

use super::{Broken, Row};
use crate::history::History;

/// Every announcement was accepted, and shown on every device that it is for.
pub(super) fn missed(history: &History) -> Row {
    let mut row = Row::new("no announcement missed");
    for (announcement, number) in history.announced.iter().enumerate() {
        row.holds(number.is_some(), || Broken::of(format!("{} was not accepted", history.plan.news(announcement))));
        let Some(number) = number else { continue };
        for (device, log) in history.devices.iter().enumerate() {
            if history.plan.tells(announcement, device) {
                row.holds(log.heard.iter().any(|heard| heard.number == *number), || {
                    Broken::of(format!("{} was not shown", history.plan.news(announcement))).device(device)
                });
            }
        }
    }
    row
}

/// Each device shows announcements once and in order, and none that is not for it.
pub(super) fn once(history: &History) -> Row {
    let mut row = Row::new("announcements once and in order");
    let known: HashMap<u64, usize> =
        history.announced.iter().enumerate().filter_map(|(at, number)| Some(((*number)?, at))).collect();
    for (device, log) in history.devices.iter().enumerate() {
        let mut last = 0;
        for heard in &log.heard {
            let announcement = known.get(&heard.number).copied();
            let belongs =
                announcement.is_some_and(|at| history.plan.tells(at, device) && history.plan.news(at) == heard.alert);
            row.holds(belongs && heard.number > last, || {
                Broken::of(format!("{} was shown after {last}: {:?}", heard.number, heard.alert)).device(device)
            });
            last = last.max(heard.number);
        }
    }
    row
}
