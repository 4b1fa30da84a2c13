//! What follows from the posts of a delivery.

use std::collections::BTreeSet;

use tidings_wire::{Timestamp, action::Position};

use super::job::Delivery;
use crate::{
    Connection, DeviceId, More,
    chain::{Step, StepDue},
};

/// The devices behind connections, each once.
#[must_use]
pub fn devices_of(connections: &[Connection]) -> Vec<DeviceId> {
    let mut devices: Vec<_> = connections.iter().map(|connection| connection.device.clone()).collect();
    devices.sort();
    devices.dedup();
    devices
}

/// What became of one post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostOutcome {
    /// API Gateway accepted it. No proof that it arrived.
    Accepted,
    /// 410: the connection is gone, as far as API Gateway knows.
    Gone,
    /// 429, a server error or a lost answer: it may have arrived, and is worth another try.
    Retry,
    /// 403 or 413: a fault of the service that no retry corrects.
    Fault,
}

/// What follows from the posts of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Connections to prune.
    pub gone: Vec<Connection>,
    /// The devices for which a post was accepted.
    pub accepted: Vec<DeviceId>,
    /// Connections whose post may yet succeed, and may have arrived.
    pub unanswered: Vec<Connection>,
}

impl Settled {
    /// Whether a post was accepted.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        !self.accepted.is_empty()
    }

    /// Whether a post was accepted, or may have arrived.
    #[must_use]
    pub fn may_have_reached(&self) -> bool {
        self.is_reached() || !self.unanswered.is_empty()
    }

    /// The devices with a post that had no answer, and none that was accepted.
    #[must_use]
    pub fn unanswered_devices(&self) -> Vec<DeviceId> {
        let accepted: BTreeSet<&DeviceId> = self.accepted.iter().collect();
        let mut devices = devices_of(&self.unanswered);
        devices.retain(|device| !accepted.contains(device));
        devices
    }
}

/// What follows from these posts.
#[must_use]
pub fn settle(outcomes: &[(Connection, PostOutcome)]) -> Settled {
    let with = |wanted| -> Vec<Connection> {
        let these = outcomes.iter().filter(|(_, outcome)| *outcome == wanted);
        these.map(|(connection, _)| connection.clone()).collect()
    };
    Settled {
        gone: with(PostOutcome::Gone),
        accepted: devices_of(&with(PostOutcome::Accepted)),
        unanswered: with(PostOutcome::Retry),
    }
}

/// The first fallback step of a delivery and when it is due; `None` if there is no chain.
#[must_use]
pub fn first_step(delivery: &Delivery, position: Position, reached: bool, now: Timestamp) -> Option<StepDue> {
    let Delivery { letter, user, .. } = delivery;
    let due = match letter.steps.first()?.after {
        Some(after) => letter.accepted.plus_seconds(after),
        None if reached => now.plus_seconds(Step::DEFAULT_AFTER_SECONDS),
        None => now,
    };
    let (user, id) = (user.clone(), letter.id.clone());
    Some(StepDue { user, position, id, step: 0, due, waited: false, attempts: 0, more: More::default() })
}
