//! One message for one recipient: what travels on the queue, where it goes, and what follows.
//!
//! Three kinds of [`Job`] travel on the delivery queues, in the order in which they were put there for one user: a message to
//! deliver, one to deliver once more because nobody has confirmed it, and one to withdraw.

use serde::{Deserialize, Serialize};
use tidings_wire::{
    Platform, Timestamp,
    send::{Condition, Content},
};

use crate::{
    Connection, DeviceId, Entry, MessageId, Position, UserKey, UserView,
    chain::{Step, StepDue, StepRecord},
    mailbox::{self, Append, Closed},
};

/// One message for one recipient, as it travels on the `deliver` queue: everything that the delivery needs but the
/// recipient's own state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The message.
    pub id: MessageId,
    /// The recipient.
    pub user: UserKey,
    /// Only devices of this platform.
    pub platform: Platform,
    /// What the devices are given.
    pub content: Content,
    /// Text of the SMS, where the sender gave one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sms: Option<String>,
    /// The fallback chain.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub steps: Vec<Step>,
    /// What must still hold when a step is due.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub condition: Option<Condition>,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// When it expires for whoever has not confirmed it.
    pub deadline: Timestamp,
    /// Whether it is kept for who is not connected.
    pub persist: bool,
    /// Until when it is redelivered, where it is to be confirmed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub redeliver_until: Option<Timestamp>,
    /// What it replaces: see [`mailbox::collapse_digest`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub collapse: Option<String>,
    /// Whether it was accepted long before it was put on the queue, so that its cancellation may have come in between.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub scheduled: bool,
}

/// A message that stands in a mailbox and is posted once more where it is not confirmed by then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Again {
    /// The recipient.
    pub user: UserKey,
    /// Where the message stands.
    #[serde(flatten)]
    pub position: Position,
    /// The message.
    pub id: MessageId,
    /// Which redelivery this is, from 0.
    pub attempt: u32,
    /// When.
    pub due: Timestamp,
}

/// A message whose sender has cancelled it. It travels behind its delivery, in the same group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Withdraw {
    /// The recipient.
    pub user: UserKey,
    /// The message.
    pub id: MessageId,
    /// When it was cancelled.
    pub at: Timestamp,
}

/// What travels on a delivery queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "lowercase")]
pub enum Job {
    /// A message for one recipient.
    Deliver(Box<Delivery>),
    /// One that nobody has confirmed.
    Again(Again),
    /// One that is cancelled.
    Withdraw(Withdraw),
}

impl Job {
    /// The user in whose order it stands.
    #[must_use]
    pub fn user(&self) -> &UserKey {
        match self {
            Self::Deliver(delivery) => &delivery.user,
            Self::Again(again) => &again.user,
            Self::Withdraw(withdraw) => &withdraw.user,
        }
    }

    /// What makes it one of a kind among its user's jobs, so that the queue drops a repeat.
    #[must_use]
    pub fn deduplication_id(&self) -> String {
        match self {
            Self::Deliver(delivery) => delivery.id.to_string(),
            Self::Again(again) => format!("{}.again{}", again.id, again.attempt),
            Self::Withdraw(withdraw) => format!("{}.withdraw", withdraw.id),
        }
    }
}

impl Delivery {
    /// Whether it comes so late that the window of the mailbox alone cannot tell a duplicate.
    #[must_use]
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.accepted.plus_seconds(mailbox::LATE_SECONDS) < now
    }
}

/// What is done with a delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Nothing: its time had run out before it was stored.
    Expired,
    /// It is posted to who is connected, and forgotten.
    Transient {
        /// Where it is posted.
        targets: Vec<Connection>,
    },
    /// It is appended to the mailbox, then posted.
    Append {
        /// The new entry.
        entry: Box<Entry>,
        /// Where it is posted.
        targets: Vec<Connection>,
    },
    /// It stands in the mailbox already, because a worker died after storing it: it is posted again, under the same place.
    Repost {
        /// Where it stands.
        position: Position,
    },
}

/// Decides what is done with a delivery, given what the store knows of the recipient.
#[must_use]
pub fn plan(delivery: &Delivery, view: &UserView, now: Timestamp) -> Plan {
    let targets: Vec<Connection> = view.reachable(delivery.platform).cloned().collect();
    if !delivery.persist {
        // What nobody keeps is for who is there now, not for who is there when a dead letter is redriven.
        return if now > delivery.deadline { Plan::Expired } else { Plan::Transient { targets } };
    }
    place(delivery, mailbox::append(view.tail.as_ref(), delivery, now), targets, now)
}

/// The plan for a delivery that seemed to be in the mailbox and is not: its id was used before, for a message that was forgotten
/// since.
#[must_use]
pub fn plan_anew(delivery: &Delivery, view: &UserView, now: Timestamp) -> Plan {
    let targets: Vec<Connection> = view.reachable(delivery.platform).cloned().collect();
    place(delivery, mailbox::anew(view.tail.as_ref(), delivery, now), targets, now)
}

fn place(delivery: &Delivery, append: Append, targets: Vec<Connection>, now: Timestamp) -> Plan {
    match append {
        Append::Duplicate(position) => Plan::Repost { position },
        Append::New { .. } if now > delivery.deadline => Plan::Expired,
        Append::New { position, window, collapsed, replaces, is_replaced, keep_until } => {
            let targets = if is_replaced { Vec::new() } else { targets };
            let posted = devices_of(&targets);
            let entry = Box::new(Entry {
                position,
                id: delivery.id.clone(),
                platform: delivery.platform,
                content: delivery.content.clone(),
                sms: delivery.sms.clone(),
                accepted: delivery.accepted,
                stored: now,
                deadline: delivery.deadline,
                keep_until,
                window,
                collapsed,
                replaces,
                redeliver_until: delivery.redeliver_until,
                redelivered: Vec::new(),
                closed: is_replaced.then_some((Closed::Replaced, now)),
                offline: (posted.is_empty() && !is_replaced).then_some(now),
                posted,
                gone: Vec::new(),
                acks: Vec::new(),
                reads: Vec::new(),
                steps: delivery.steps.iter().map(StepRecord::waiting).collect(),
                condition: delivery.condition.clone(),
            });
            Plan::Append { entry, targets }
        }
    }
}

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
    /// API Gateway took it. No proof that it arrived.
    Accepted,
    /// 410: the connection is gone, as far as API Gateway knows.
    Gone,
    /// 429, a server error or a lost answer: worth another try.
    Retry,
    /// 403 or 413: a fault of ours that no retry mends.
    Fault,
}

/// What follows from the posts of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Connections to prune.
    pub gone: Vec<Connection>,
    /// Whether a post was accepted.
    pub reached: bool,
    /// Whether the delivery should come again because nobody was reached and a post may yet succeed.
    pub retry: bool,
}

/// Says what follows from the posts.
#[must_use]
pub fn settle(outcomes: &[(Connection, PostOutcome)]) -> Settled {
    let any = |wanted| outcomes.iter().any(|(_, outcome)| *outcome == wanted);
    let reached = any(PostOutcome::Accepted);
    let gone = outcomes
        .iter()
        .filter(|(_, outcome)| *outcome == PostOutcome::Gone)
        .map(|(connection, _)| connection.clone())
        .collect();
    Settled { gone, reached, retry: any(PostOutcome::Retry) }
}

/// The first fallback step of a delivery and when it is due; `None` where there is no chain.
#[must_use]
pub fn first_step(delivery: &Delivery, position: Position, reached: bool, now: Timestamp) -> Option<StepDue> {
    let step = delivery.steps.first()?;
    let due = match step.after {
        Some(after) => delivery.accepted.plus_seconds(after),
        None if reached => now.plus_seconds(Step::DEFAULT_AFTER_SECONDS),
        None => now,
    };
    let (user, id) = (delivery.user.clone(), delivery.id.clone());
    Some(StepDue { user, position, id, step: 0, due, waited: false, attempts: 0 })
}

/// Pause before the first redelivery, in seconds; every further one is twice as long.
pub const REDELIVERY_SECONDS: u64 = 30;

/// The first redelivery of a message that is to be confirmed; `None` where it is not, or its time is over before.
#[must_use]
pub fn first_again(delivery: &Delivery, position: Position, now: Timestamp) -> Option<Again> {
    let (user, id) = (delivery.user.clone(), delivery.id.clone());
    let until = delivery.redeliver_until?.min(delivery.deadline);
    let due = now.plus_seconds(REDELIVERY_SECONDS);
    (due <= until).then_some(Again { user, position, id, attempt: 0, due })
}

/// The redelivery after one.
#[must_use]
pub fn next_again(again: &Again, entry: &Entry, now: Timestamp) -> Option<Again> {
    let until = entry.redeliver_until?.min(entry.deadline);
    let attempt = again.attempt + 1;
    let pause = REDELIVERY_SECONDS.saturating_mul(1_u64.checked_shl(attempt).unwrap_or(u64::MAX));
    let due = now.plus_seconds(pause);
    (due <= until).then(|| Again { attempt, due, ..again.clone() })
}

/// Where a redelivery is posted: to every connection of a device that still wants it, if anything of it may still begin.
#[must_use]
pub fn targets_again(again: &Again, entry: &Entry, view: &UserView, now: Timestamp) -> Vec<Connection> {
    if entry.id != again.id || !entry.is_open(now) {
        return Vec::new();
    }
    // Open: no device has confirmed it.
    view.reachable(entry.platform).cloned().collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        Device,
        mailbox::{Collapsed, Window},
        presence::LEASE_SECONDS,
    };
    use tidings_wire::send::Channel;

    pub(crate) fn id(n: u8) -> MessageId {
        MessageId::new(Timestamp(1), [n; 10])
    }

    pub(crate) fn delivery(n: u8) -> Delivery {
        Delivery {
            id: id(n),
            user: UserKey { app: "demo".parse().unwrap(), tenant: String::new(), alias: "alice".into() },
            platform: Platform::All,
            content: Content::default(),
            sms: None,
            steps: Vec::new(),
            condition: None,
            accepted: Timestamp(1_000),
            deadline: Timestamp(61_000),
            persist: true,
            redeliver_until: None,
            collapse: None,
            scheduled: false,
        }
    }

    pub(crate) fn entry(n: u8, position: Position) -> Entry {
        Entry {
            position,
            id: id(n),
            platform: Platform::All,
            content: Content::default(),
            sms: None,
            accepted: Timestamp(1_000),
            stored: Timestamp(1_000),
            deadline: Timestamp(61_000),
            keep_until: Timestamp(100_000),
            window: Window::default(),
            collapsed: Collapsed::default(),
            replaces: None,
            redeliver_until: None,
            redelivered: Vec::new(),
            closed: None,
            posted: Vec::new(),
            offline: None,
            gone: Vec::new(),
            acks: Vec::new(),
            reads: Vec::new(),
            steps: Vec::new(),
            condition: None,
        }
    }

    pub(crate) fn view(platforms: &[Platform]) -> UserView {
        let mut view = UserView::default();
        for (n, platform) in platforms.iter().enumerate() {
            let device: crate::DeviceId = format!("device{n}").parse().unwrap();
            view.devices.push(Device {
                id: device.clone(),
                user: delivery(0).user,
                generation: 1,
                platform: *platform,
                client_version: None,
                registered: Timestamp(0),
                cursor: None,
                push: None,
            });
            view.connections.push(Connection {
                id: format!("connection{n}").parse().unwrap(),
                device,
                generation: 1,
                key_version: 1,
                platform: *platform,
                connected: Timestamp(0),
                lease: Timestamp(0).plus_seconds(LEASE_SECONDS),
            });
        }
        view
    }

    #[test]
    fn posts_to_every_device_of_the_platform_and_stores_first() {
        let view = view(&[Platform::Web, Platform::Ios]);
        let Plan::Append { entry, targets } = plan(&delivery(1), &view, Timestamp(2_000)) else { panic!("append") };
        assert_eq!((targets.len(), entry.posted.len(), entry.offline), (2, 2, None));
        let only_ios = Delivery { platform: Platform::Ios, ..delivery(1) };
        let Plan::Append { targets, .. } = plan(&only_ios, &view, Timestamp(2_000)) else { panic!("append") };
        assert_eq!(targets, view.connections[1..]);
    }

    #[test]
    fn never_posts_to_a_device_that_changed_hands() {
        let mut view = view(&[Platform::Web, Platform::Web]);
        view.devices[0].generation = 2;
        view.devices.remove(1);
        let Plan::Append { entry, targets } = plan(&delivery(1), &view, Timestamp(2_000)) else { panic!("append") };
        assert_eq!((targets.len(), entry.offline), (0, Some(Timestamp(2_000))));
    }

    #[test]
    fn a_repeated_delivery_is_posted_under_its_old_place() {
        let mut view = view(&[Platform::Web]);
        let position = Position { epoch: 7, seq: 3 };
        view.tail = Some(entry(1, position));
        assert!(matches!(plan(&delivery(1), &view, Timestamp(2_000)), Plan::Repost { position: at } if at == position));
        // Even after its deadline: a step that was lost with the worker must still be scheduled.
        assert!(matches!(plan(&delivery(1), &view, Timestamp(99_000)), Plan::Repost { .. }));
    }

    #[test]
    fn what_comes_too_late_is_not_stored() {
        assert_eq!(plan(&delivery(1), &view(&[Platform::Web]), Timestamp(61_001)), Plan::Expired);
    }

    #[test]
    fn what_is_not_kept_is_posted_soon_or_never() {
        let transient = Delivery { persist: false, ..delivery(1) };
        let plan_at = |now| plan(&transient, &view(&[Platform::Web]), now);
        assert!(matches!(plan_at(Timestamp(61_000)), Plan::Transient { targets } if targets.len() == 1));
        assert_eq!(plan_at(Timestamp(61_001)), Plan::Expired);
    }

    #[test]
    fn a_message_is_redelivered_with_growing_pauses_until_its_time_is_over() {
        let position = Position { epoch: 7, seq: 1 };
        let until = Timestamp(1_000).plus_seconds(300);
        let delivery = Delivery { redeliver_until: Some(until), deadline: Timestamp(999_000), ..delivery(1) };
        let entry = Entry { redeliver_until: Some(until), deadline: Timestamp(999_000), ..entry(1, position) };
        let mut due = Vec::new();
        let mut again = first_again(&delivery, position, Timestamp(1_000));
        while let Some(one) = again {
            due.push(one.due.seconds());
            again = next_again(&one, &entry, one.due);
        }
        assert_eq!(due, [31, 91, 211]);
        let soon_over = Delivery { deadline: Timestamp(30_000), ..delivery };
        assert_eq!(first_again(&soon_over, position, Timestamp(1_000)), None);
    }

    #[test]
    fn a_redelivery_goes_to_who_is_there_while_it_is_open() {
        let view = view(&[Platform::Web, Platform::Ios]);
        let position = Position { epoch: 7, seq: 1 };
        let again = Again { user: delivery(1).user, position, id: id(1), attempt: 0, due: Timestamp(0) };
        let count = |entry: &Entry, now| targets_again(&again, entry, &view, Timestamp(now)).len();
        let open = entry(1, position);
        assert_eq!(count(&open, 2_000), 2);
        assert_eq!(count(&Entry { platform: Platform::Ios, ..open.clone() }, 2_000), 1);
        assert_eq!(count(&entry(2, position), 2_000), 0);
        assert_eq!(count(&open, 61_001), 0);
        let acked = Entry { acks: vec![(view.devices[0].id.clone(), Timestamp(1))], ..open };
        assert_eq!(count(&acked, 2_000), 0);
    }

    #[test]
    fn a_job_reads_what_it_writes_and_repeats_under_one_name() {
        let position = Position { epoch: 7, seq: 1 };
        let user = delivery(1).user;
        let jobs = [
            Job::Deliver(Box::new(Delivery { redeliver_until: Some(Timestamp(5)), ..delivery(1) })),
            Job::Again(Again { user: user.clone(), position, id: id(1), attempt: 2, due: Timestamp(9) }),
            Job::Withdraw(Withdraw { user, id: id(1), at: Timestamp(3) }),
        ];
        let mut names = Vec::new();
        for job in jobs {
            let json = serde_json::to_string(&job).unwrap();
            assert_eq!(serde_json::from_str::<Job>(&json).unwrap(), job);
            names.push(job.deduplication_id());
        }
        names.dedup();
        assert_eq!(names.len(), 3);
        assert!(names.iter().all(|name| name.len() <= 128), "the limit of SQS");
    }

    #[test]
    fn only_what_may_yet_succeed_is_tried_again() {
        let connection = view(&[Platform::Web]).connections.remove(0);
        let of =
            |outcomes: &[PostOutcome]| settle(&outcomes.iter().map(|o| (connection.clone(), *o)).collect::<Vec<_>>());
        use PostOutcome::{Accepted, Fault, Gone, Retry};
        assert_eq!(of(&[Accepted, Gone]), Settled { gone: vec![connection.clone()], reached: true, retry: false });
        assert_eq!(of(&[Accepted, Retry]), Settled { gone: vec![], reached: true, retry: true });
        assert_eq!(of(&[Gone]), Settled { gone: vec![connection.clone()], reached: false, retry: false });
        assert_eq!(of(&[Fault]), Settled { gone: vec![], reached: false, retry: false });
        assert_eq!(of(&[]), Settled { gone: vec![], reached: false, retry: false });
    }

    #[test]
    fn the_first_step_is_due_at_once_for_who_is_offline() {
        let position = Position { epoch: 7, seq: 1 };
        let now = Timestamp(2_000);
        let due = |after, reached| {
            let steps = vec![Step { channel: Channel::Sms, after }];
            first_step(&Delivery { steps, ..delivery(1) }, position, reached, now).map(|due| due.due)
        };
        assert_eq!(due(None, false), Some(now));
        assert_eq!(due(None, true), Some(now.plus_seconds(60)));
        assert_eq!(due(Some(5), false), Some(Timestamp(6_000)));
        assert_eq!(first_step(&delivery(1), position, false, now), None);
    }
}
