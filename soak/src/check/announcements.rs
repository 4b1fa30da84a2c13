//! Checks of announcements: those that were made against those that were shown.

use std::collections::HashMap;

use super::{Broken, Row};
use crate::history::History;

/// Every announcement was accepted and shown on every device that it is for.
pub(super) fn missed(history: &History) -> Row {
    let mut row = Row::new("no announcement missed");
    for (announcement, number) in history.announced.iter().enumerate() {
        row.holds(number.is_some(), || Broken::of(format!("{} was not accepted", history.plan.news(announcement))));
        let Some(number) = number else { continue };
        for (device, log) in history.devices.iter().enumerate() {
            if history.plan.is_announced_to(announcement, device) {
                row.holds(log.announcements.iter().any(|shown| shown.number == *number), || {
                    Broken::of(format!("{} was not shown", history.plan.news(announcement))).device(device)
                });
            }
        }
    }
    row
}

/// Each device shows its announcements once and in order, and no others.
pub(super) fn once(history: &History) -> Row {
    let mut row = Row::new("announcements once and in order");
    let known: HashMap<u64, usize> =
        history.announced.iter().enumerate().filter_map(|(at, number)| Some(((*number)?, at))).collect();
    for (device, log) in history.devices.iter().enumerate() {
        let mut last = 0;
        for shown in &log.announcements {
            let announcement = known.get(&shown.number).copied();
            let belongs = announcement
                .is_some_and(|at| history.plan.is_announced_to(at, device) && history.plan.news(at) == shown.alert);
            row.holds(belongs && shown.number > last, || {
                Broken::of(format!("{} was shown after {last}: {:?}", shown.number, shown.alert)).device(device)
            });
            last = last.max(shown.number);
        }
    }
    row
}
