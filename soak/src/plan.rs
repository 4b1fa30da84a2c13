//! The plan of a soak, decided by its seed before anything runs: the users, the messages, and the times at which
//! devices leave.
//!
//! The plan contains no durations, which differ from run to run.

use std::collections::BTreeSet;

use tidings_wire::Platform;
use tidings_wire::send::{Channel, Priority};

use super::random::Random;

/// How many users share one sender that can send to an audience of the bulk lane.
const CROWD: usize = 32;

/// The plan of a soak.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) users: Vec<User>,
    pub(crate) devices: Vec<DevicePlan>,
    pub(crate) messages: Vec<MessagePlan>,
    /// In the order of `at`.
    pub(crate) moves: Vec<Move>,
    /// In the order of `at`; the last one comes after the faults have ended.
    pub(crate) announcements: Vec<AnnouncementPlan>,
    /// Every message has a chain of three steps, and every device takes pushes.
    pub(crate) chains: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) alias: String,
    pub(crate) mobile: Option<String>,
    pub(crate) email: Option<String>,
    /// The one sender that sends to this user, one message at a time: so that the order of acceptance is known.
    pub(crate) sender: usize,
    pub(crate) devices: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DevicePlan {
    pub(crate) user: usize,
    pub(crate) platform: Platform,
    /// Milliseconds until the app acknowledges; if absent, the client acknowledges at once.
    pub(crate) acks_after: Option<(u64, u64)>,
}

/// The kind of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// To several users of one sender.
    Several,
    /// To an audience that takes the bulk lane, if the sender has so many users.
    Bulk,
    /// With a chain: channel and seconds after the step before.
    Fallback(Vec<(Channel, u64)>),
    NeedConfirm,
    /// Not kept (`persist: false`).
    Fleeting {
        ttl: u64,
    },
    /// Kept for seconds only.
    Short {
        ttl: u64,
    },
    Collapse {
        key: String,
    },
    /// Sent this many seconds ahead.
    Scheduled {
        after: u64,
    },
    /// Cancelled this many milliseconds after its acceptance, either sent ahead or with a step that must not fire.
    Cancelled {
        after_ms: u64,
        scheduled: Option<u64>,
        sms_after: Option<u64>,
    },
    OnePlatform(Platform),
    /// The same request under the same key: three times at once, and once more later.
    Repeated {
        later_ms: u64,
    },
    /// Another body under the same key.
    OtherBody,
}

/// The shares of the kinds, of a hundred messages; the help prints them.
pub(crate) const SHARES: &[(usize, &str)] = &[
    (34, "plain"),
    (8, "to 2 to 5 users"),
    (1, "to 26 to 32 users, if a sender has so many"),
    (12, "with SMS, email or both after 1 to 3 s"),
    (8, "needConfirm"),
    (6, "not kept (persist: false)"),
    (5, "kept for 2 to 5 s"),
    (8, "with one of two collapse keys per user"),
    (6, "sendAt 2 to 6 s ahead"),
    (4, "cancelled within a second"),
    (4, "for one platform only"),
    (3, "sent 4 times under one key"),
    (1, "followed by another body under its key"),
];

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MessagePlan {
    pub(crate) sender: usize,
    pub(crate) recipients: Vec<usize>,
    pub(crate) kind: Kind,
    pub(crate) priority: Option<Priority>,
}

/// An announcement that is made when this many messages have been accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AnnouncementPlan {
    pub(crate) at: usize,
    pub(crate) platform: Platform,
}

/// Messages for one announcement; the help prints it.
pub(crate) const ANNOUNCED_EVERY: usize = 50;

/// An action of a device when this many messages have been accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) at: usize,
    pub(crate) device: usize,
    pub(crate) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The app is closed.
    Leave,
    /// It is opened again, with the cursor that it kept.
    Return,
    /// The app is killed, and opened again at once.
    Restart,
}

impl Plan {
    pub(crate) fn new(seed: u64, users: usize, messages: usize, senders: usize, chains: bool) -> Self {
        let (mut users, mut devices) = people(seed, users.max(1), senders.max(1));
        if chains {
            reluctant(seed, &mut users, &mut devices);
        }
        let messages = if chains { chained(seed, &users, messages) } else { mail(seed, &users, &devices, messages) };
        let moves = moves(seed, devices.len(), messages.len());
        let announcements = announcements(seed, messages.len());
        Self { seed, users, devices, messages, moves, announcements, chains }
    }

    /// The push token of a device.
    pub(crate) fn push_token(&self, device: usize) -> String {
        format!("soak-device-{}-{device}", self.seed)
    }

    /// The text that identifies an announcement.
    pub(crate) fn news(&self, index: usize) -> String {
        format!("news-{}-{index:04}.", self.seed)
    }

    /// The idempotency key of an announcement.
    pub(crate) fn news_key(&self, index: usize) -> String {
        format!("soak-{}-{index}", self.seed)
    }

    /// Whether an announcement is for a device.
    pub(crate) fn is_announced_to(&self, announcement: usize, device: usize) -> bool {
        let platform = self.announcements[announcement].platform;
        platform == Platform::All || platform == self.devices[device].platform
    }

    /// The text that identifies a message in every form: a frame, an SMS, an email.
    pub(crate) fn token(&self, index: usize) -> String {
        format!("soak-{}-{index:06}.", self.seed)
    }

    /// The message that a text identifies.
    pub(crate) fn named_in(&self, text: &str) -> Option<usize> {
        let (_, rest) = text.split_once(&format!("soak-{}-", self.seed))?;
        rest.split_once('.')?.0.parse().ok().filter(|index| *index < self.messages.len())
    }

    pub(crate) fn key(&self, index: usize) -> String {
        format!("soak-{}-{index}", self.seed)
    }

    /// Whether a message is meant for a device.
    pub(crate) fn is_for(&self, index: usize, device: usize) -> bool {
        let (message, device) = (&self.messages[index], &self.devices[device]);
        let platform = match message.kind {
            Kind::OnePlatform(platform) => platform == device.platform,
            _ => true,
        };
        platform && message.recipients.contains(&device.user)
    }
}

impl Kind {
    pub(crate) fn is_kept(&self) -> bool {
        !matches!(self, Self::Fleeting { .. })
    }

    /// Seconds ahead, if it is sent later.
    pub(crate) fn ahead(&self) -> Option<u64> {
        match self {
            Self::Scheduled { after } => Some(*after),
            Self::Cancelled { scheduled, .. } => *scheduled,
            _ => None,
        }
    }

    /// Whether its trail may still change after its confirmation.
    pub(crate) fn changes_when_settled(&self) -> bool {
        self.has_chain() || matches!(self, Self::Collapse { .. } | Self::Cancelled { .. })
    }

    pub(crate) fn has_chain(&self) -> bool {
        matches!(self, Self::Fallback(_) | Self::Cancelled { sms_after: Some(_), .. })
    }
}

impl MessagePlan {
    /// The channels of its chain, in order.
    pub(crate) fn chain(&self) -> Vec<&'static str> {
        match &self.kind {
            Kind::Fallback(steps) => steps.iter().map(|(channel, _)| channel.as_str()).collect(),
            Kind::Cancelled { sms_after: Some(_), .. } => vec![Channel::Sms.as_str()],
            _ => Vec::new(),
        }
    }

    /// Seconds after acceptance at which the step of a cancelled message would be due.
    pub(crate) fn step_due_after(&self) -> Option<u64> {
        match self.kind {
            Kind::Cancelled { sms_after, .. } => sms_after,
            _ => None,
        }
    }
}

fn people(seed: u64, count: usize, senders: usize) -> (Vec<User>, Vec<DevicePlan>) {
    let mut random = Random::new(seed, "people");
    // With enough users, the first sender has enough recipients for the bulk lane.
    let crowd = if senders > 1 && count >= 2 * CROWD { CROWD } else { 0 };
    let mut devices = Vec::new();
    let users = (0..count).map(|user| {
        let sender = if user < crowd { 0 } else { usize::from(crowd > 0) + user % (senders - usize::from(crowd > 0)) };
        let first = devices.len();
        for _ in 0..=random.below(2) {
            let platform = if random.percent(50) { Platform::Web } else { Platform::Android };
            let acks_after = random.percent(20).then(|| (random.within(0..=1_500), random.within(1_500..=4_000)));
            devices.push(DevicePlan { user, platform, acks_after });
        }
        User {
            alias: format!("u{user}"),
            mobile: (!random.percent(10)).then(|| format!("+86138{user:08}")),
            email: (!random.percent(10)).then(|| format!("u{user}@example.com")),
            sender,
            devices: (first..devices.len()).collect(),
        }
    });
    let users = users.collect();
    (users, devices)
}

/// Every user can be reached by every channel, and devices acknowledge at once, after some seconds or never.
fn reluctant(seed: u64, users: &mut [User], devices: &mut [DevicePlan]) {
    let mut random = Random::new(seed, "reluctance");
    for (index, user) in users.iter_mut().enumerate() {
        user.mobile = Some(format!("+86138{index:08}"));
        user.email = Some(format!("u{index}@example.com"));
        // All devices of a user act alike: one acknowledgement settles the message for all of them.
        let acks_after = match random.below(3) {
            0 => None,
            1 => Some((0, 8_000)),
            _ => Some((NEVER_MS, NEVER_MS)),
        };
        for device in &user.devices {
            devices[*device].acks_after = acks_after;
        }
    }
}

/// Longer than any soak.
const NEVER_MS: u64 = 86_400_000;

/// Messages to one user each, with a chain of three steps.
fn chained(seed: u64, users: &[User], count: usize) -> Vec<MessagePlan> {
    let mut random = Random::new(seed, "chains");
    let one = |_| {
        let user = random.below(users.len());
        let steps = [Channel::Fcm, Channel::Sms, Channel::Email].map(|channel| (channel, random.within(1..=3)));
        MessagePlan {
            sender: users[user].sender,
            recipients: vec![user],
            kind: Kind::Fallback(steps.to_vec()),
            priority: None,
        }
    };
    (0..count).map(one).collect()
}

fn mail(seed: u64, users: &[User], devices: &[DevicePlan], count: usize) -> Vec<MessagePlan> {
    let mut random = Random::new(seed, "mail");
    let senders: BTreeSet<usize> = users.iter().map(|user| user.sender).collect();
    let senders: Vec<usize> = senders.into_iter().collect();
    let of_sender = |sender| (0..users.len()).filter(|user| users[*user].sender == sender).collect::<Vec<_>>();
    let audiences: Vec<Vec<usize>> = senders.iter().map(|sender| of_sender(*sender)).collect();
    let largest = (0..senders.len()).max_by_key(|at| audiences[*at].len()).unwrap_or(0);
    (0..count)
        .map(|_| {
            let mut drawn = random.below(100);
            let share = SHARES.iter().position(|(share, _)| {
                let is_it = drawn < *share;
                drawn = drawn.saturating_sub(*share);
                is_it
            });
            let share = share.unwrap_or(0);
            let at = if share == 2 { largest } else { random.below(senders.len()) };
            let all = &audiences[at];
            let recipients = match share {
                1 => {
                    let count = random.within(2..=5);
                    random.some(all, usize::try_from(count).unwrap_or(2))
                }
                2 => {
                    let count = random.within(26..=32);
                    random.some(all, usize::try_from(count).unwrap_or(26))
                }
                _ => random.some(all, 1),
            };
            let kind = kind(&mut random, share, &recipients, users, devices);
            let priority = match random.below(4) {
                0 => Some(Priority::Normal),
                1 => Some(Priority::High),
                _ => None,
            };
            MessagePlan { sender: senders[at], recipients, kind, priority }
        })
        .collect()
}

fn kind(random: &mut Random, share: usize, recipients: &[usize], users: &[User], devices: &[DevicePlan]) -> Kind {
    match share {
        0 => Kind::Plain,
        1 => Kind::Several,
        2 => Kind::Bulk,
        3 => {
            let mut after = || random.within(1..=3);
            let (first, second) = (after(), after());
            match random.below(3) {
                0 => Kind::Fallback(vec![(Channel::Sms, first)]),
                1 => Kind::Fallback(vec![(Channel::Email, first)]),
                _ => Kind::Fallback(vec![(Channel::Sms, first), (Channel::Email, second)]),
            }
        }
        4 => Kind::NeedConfirm,
        5 => Kind::Fleeting { ttl: random.within(2..=5) },
        6 => Kind::Short { ttl: random.within(2..=5) },
        7 => Kind::Collapse { key: format!("key-{}", random.below(2)) },
        8 => Kind::Scheduled { after: random.within(2..=6) },
        9 => {
            let scheduled = random.percent(50).then(|| random.within(2..=6));
            let sms_after = scheduled.is_none().then_some(3);
            Kind::Cancelled { after_ms: random.within(0..=1_000), scheduled, sms_after }
        }
        10 => {
            // A platform that the recipient has: otherwise the message would wait for a device until it expires.
            let of_user = recipients.first().map(|user| users[*user].devices.as_slice()).unwrap_or_default();
            let device = of_user.get(random.below(of_user.len()));
            device.map_or(Kind::Plain, |device| Kind::OnePlatform(devices[*device].platform))
        }
        11 => Kind::Repeated { later_ms: random.within(200..=3_000) },
        _ => Kind::OtherBody,
    }
}

/// Announcements to everyone or to one platform, and a last one to everyone, whose number reveals any gap before it.
fn announcements(seed: u64, messages: usize) -> Vec<AnnouncementPlan> {
    let mut random = Random::new(seed, "announcements");
    let platforms = [Platform::All, Platform::All, Platform::Web, Platform::Android];
    let count = messages / ANNOUNCED_EVERY;
    let mut planned: Vec<_> = (0..count)
        .map(|_| AnnouncementPlan { at: random.below(messages), platform: platforms[random.below(platforms.len())] })
        .collect();
    planned.sort_by_key(|announcement| announcement.at);
    planned.push(AnnouncementPlan { at: messages, platform: Platform::All });
    planned
}

/// A third of the devices is away for a part of the run; each of the others is restarted at times.
fn moves(seed: u64, devices: usize, messages: usize) -> Vec<Move> {
    let mut random = Random::new(seed, "moves");
    let mut moves = Vec::new();
    for device in 0..devices {
        if random.percent(33) {
            let from = random.below(messages * 3 / 4 + 1);
            let until = from + messages / 20 + random.below(messages / 4 + 1);
            moves.push(Move { at: from, device, what: What::Leave });
            moves.push(Move { at: until, device, what: What::Return });
        } else {
            for _ in 0..random.below(3) {
                moves.push(Move { at: random.below(messages + 1), device, what: What::Restart });
            }
        }
    }
    moves.sort_by_key(|next| next.at);
    moves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_another_differs() {
        assert_eq!(Plan::new(7, 100, 2_000, 8, false), Plan::new(7, 100, 2_000, 8, false));
        assert_ne!(Plan::new(7, 100, 2_000, 8, false).messages, Plan::new(8, 100, 2_000, 8, false).messages);
    }

    #[test]
    fn the_shares_are_of_a_hundred_and_every_kind_comes() {
        assert_eq!(SHARES.iter().map(|(share, _)| share).sum::<usize>(), 100);
        let plan = Plan::new(7, 100, 2_000, 8, false);
        let kinds: BTreeSet<_> =
            plan.messages.iter().map(|message| format!("{:?}", std::mem::discriminant(&message.kind))).collect();
        assert_eq!(kinds.len(), SHARES.len());
        assert!(plan.messages.iter().any(|message| message.recipients.len() > 25));
        assert!(plan.moves.is_sorted_by_key(|next| next.at));
    }

    #[test]
    fn every_message_stays_with_one_sender() {
        for (users, senders) in [(100, 8), (3, 8), (1, 1), (64, 2)] {
            let plan = Plan::new(3, users, 500, senders, false);
            for message in &plan.messages {
                assert!(!message.recipients.is_empty());
                assert!(message.recipients.iter().all(|user| plan.users[*user].sender == message.sender));
            }
        }
    }

    #[test]
    fn a_message_for_one_platform_has_a_device_there() {
        let plan = Plan::new(5, 50, 2_000, 8, false);
        for (index, message) in plan.messages.iter().enumerate() {
            assert!((0..plan.devices.len()).any(|device| plan.is_for(index, device)), "{message:?}");
        }
    }

    #[test]
    fn a_text_names_its_message() {
        let plan = Plan::new(5, 5, 20, 2, false);
        assert_eq!(plan.named_in(&format!("Shop: {} by SMS", plan.token(12))), Some(12));
        assert_eq!(plan.named_in("soak-6-000012."), None);
        assert_eq!(plan.named_in("soak-5-000020."), None);
    }
}
