//! The call that a step makes, or why it makes none.

use tidings_wire::{
    Platform, Timestamp, limits,
    send::{Channel, Content, Destination, PushMsgType},
    trail::SkipReason,
};

use crate::{
    Device, Entry, PushRegistration, UserView,
    chain::StepDue,
    condition,
    preferences::{self, Unsubscribe},
};

/// How a step reaches the person.
#[derive(Clone, PartialEq)]
pub enum Call {
    /// A text message.
    Sms {
        /// Phone number, E.164.
        to: String,
        /// The text.
        text: String,
    },
    /// An e-mail.
    Email {
        /// Address.
        to: String,
        /// Subject line.
        subject: String,
        /// Text.
        text: String,
        /// What its unsubscribe link does.
        unsubscribe: Unsubscribe,
    },
    /// A push to devices.
    Push {
        /// By which channel.
        channel: Channel,
        /// The devices that are registered for it, at least one.
        to: Vec<PushTarget>,
        /// What is shown.
        notice: Notice,
    },
    /// A call of the app's own server.
    Webhook {
        /// What is shown.
        notice: Notice,
    },
}

/// A device that a push goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushTarget {
    /// The device.
    pub device: Device,
    /// How it is reached.
    pub push: PushRegistration,
}

/// What a push shows beside the sealed frame.
#[derive(Clone, PartialEq)]
pub struct Notice {
    /// The message's content. Without an `alert` the app is woken, and nothing is shown by itself.
    pub content: Content,
    /// Seconds that it is worth delivering.
    pub ttl: u64,
    /// Of pushes with the same key only the last is shown.
    pub collapse: Option<String>,
}

/// The call that a step makes, or why it makes none.
pub(super) fn call(
    channel: Channel,
    due: &StepDue,
    entry: &Entry,
    view: &UserView,
    item_closed: bool,
    now: Timestamp,
) -> Result<Call, SkipReason> {
    let letter = &entry.letter;
    let meant = || view.devices.iter().filter(|it| letter.platform == Platform::All || letter.platform == it.platform);
    let condition = letter.condition.as_ref();
    if let Some(reason) = condition.and_then(|condition| condition::is_done(condition, meant(), item_closed)) {
        return Err(reason);
    }
    let profile = view.profile.as_ref();
    let category = &letter.content.category;
    let held_back = profile.and_then(|profile| preferences::held_back(profile, channel, category.as_deref(), now));
    if let Some(reason) = held_back {
        return Err(reason);
    }
    let alert = letter.content.alert.as_deref();
    match channel.destination() {
        Destination::Phone => {
            let to = profile.and_then(|profile| profile.mobile.clone()).ok_or(SkipReason::NoMobile)?;
            let text = letter.sms.as_deref().or(alert).ok_or(SkipReason::NoText)?;
            Ok(Call::Sms { to, text: cut(text, limits::SMS_CHARS) })
        }
        Destination::Mailbox => {
            let to = profile.and_then(|profile| profile.email.clone()).ok_or(SkipReason::NoEmail)?;
            let text = alert.or(letter.sms.as_deref()).ok_or(SkipReason::NoText)?;
            let subject = subject(letter.content.sender.as_deref(), text);
            let unsubscribe = Unsubscribe { user: due.user.clone(), channel, category: category.clone() };
            Ok(Call::Email { to, subject, text: text.to_owned(), unsubscribe })
        }
        destination @ (Destination::EachDevice | Destination::AllDevices) => {
            let mut to: Vec<PushTarget> = meant()
                .filter(|device| condition.is_none_or(|condition| condition::is_below(condition, device)))
                .filter_map(|device| registered(device, channel))
                .collect();
            if destination == Destination::AllDevices {
                // One call reaches them all.
                to.truncate(1);
            }
            if to.is_empty() {
                Err(SkipReason::NoDevice)
            } else {
                Ok(Call::Push { channel, to, notice: notice(entry, now) })
            }
        }
        Destination::Server => Ok(Call::Webhook { notice: notice(entry, now) }),
    }
}

/// The device as a target, if it is registered for the channel.
fn registered(device: &Device, channel: Channel) -> Option<PushTarget> {
    let push = device.push.as_ref().filter(|push| push.address.channel() == channel)?;
    Some(PushTarget { device: device.clone(), push: push.clone() })
}

/// What a push shows. A message that is only for the app wakes it, and shows nothing.
pub(super) fn notice(entry: &Entry, now: Timestamp) -> Notice {
    let mut content = entry.letter.content.clone();
    if content.push_msg_type == Some(PushMsgType::Cmd) {
        content = Content { sender: None, alert: None, ..content };
    }
    Notice { content, ttl: now.seconds_until(entry.letter.deadline), collapse: entry.letter.collapse.clone() }
}

/// The first line of the text, at most 78 characters (RFC 5322 §2.1.1), behind the sender's name.
pub(super) fn subject(sender: Option<&str>, text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let whole = sender.map_or_else(|| line.to_owned(), |sender| format!("{sender}: {line}"));
    let clean: String = whole.chars().filter(|c| !c.is_control()).collect();
    cut(&clean, 78)
}

/// The text, or its beginning and an ellipsis, in at most `max` characters.
fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max { text.to_owned() } else { text.chars().take(max - 1).chain(['…']).collect() }
}
