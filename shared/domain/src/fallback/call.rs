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

/// Longest subject of an email, in characters.
const SUBJECT_CHARS: usize = 78;

/// How a step reaches the person.
#[derive(Clone, PartialEq)]
pub enum Call {
    /// A text message.
    Sms {
        /// Phone number, E.164.
        to: String,
        /// The text.
        text: String,
        /// Whether the text is cut.
        is_cut: bool,
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
        /// The shown content.
        notice: Notice,
    },
    /// A call of the app's own server.
    Webhook {
        /// The shown content.
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
            let text = first_shown([letter.sms.as_deref(), alert]).ok_or(SkipReason::NoText)?;
            let (text, is_cut) = tidings_text::cut(&text, limits::SMS_CHARS);
            Ok(Call::Sms { to, text, is_cut })
        }
        Destination::Mailbox => {
            let to = profile.and_then(|profile| profile.email.clone()).ok_or(SkipReason::NoEmail)?;
            let text = first_shown([alert, letter.sms.as_deref()]).ok_or(SkipReason::NoText)?;
            let subject = subject(letter.content.sender.as_deref(), &text);
            let unsubscribe = Unsubscribe { user: due.user.clone(), channel, category: category.clone() };
            Ok(Call::Email { to, subject, text, unsubscribe })
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
                Ok(Call::Push { channel, to, notice: notice(entry, now).shown() })
            }
        }
        Destination::Server => Ok(Call::Webhook { notice: notice(entry, now) }),
    }
}

/// The device as a target, if it is registered for the channel.
fn registered(device: &Device, channel: Channel) -> Option<PushTarget> {
    let push = device.push.as_ref().filter(|push| push.address.channel() == channel)?;
    Some(PushTarget { device: device.clone(), push: PushRegistration::clone(push) })
}

/// The content of a push. A message that is only for the app wakes it, and shows nothing.
pub(super) fn notice(entry: &Entry, now: Timestamp) -> Notice {
    let mut content = Content::clone(&entry.letter.content);
    if content.push_msg_type == Some(PushMsgType::Cmd) {
        content = Content { sender: None, alert: None, ..content };
    }
    Notice { content, ttl: now.seconds_until(entry.letter.deadline), collapse: entry.letter.collapse.clone() }
}

impl Notice {
    /// The notice with title and text as a provider's app shows them. The app's own server receives the original.
    fn shown(mut self) -> Self {
        self.content.sender = self.content.sender.as_deref().map(title).filter(|title| !title.is_empty());
        self.content.alert = self.content.alert.as_deref().and_then(shown);
        self
    }
}

/// The first of the texts with something to show.
fn first_shown(texts: [Option<&str>; 2]) -> Option<String> {
    texts.into_iter().flatten().find_map(shown)
}

/// A text for a provider, whose app shows it among other words: its direction must not affect them. `None` if no
/// visible text is left.
fn shown(text: &str) -> Option<String> {
    Some(tidings_text::contained(text)).filter(|text| tidings_text::shows_something(text))
}

/// A name as the title of a push, and as the prefix of a subject.
fn title(sender: &str) -> String {
    tidings_text::contained(&tidings_text::one_line(sender)).trim().to_owned()
}

/// The first line of the text, at most 78 characters (RFC 5322 §2.1.1), behind the sender's name. The whole text is in
/// the email itself.
pub(super) fn subject(sender: Option<&str>, text: &str) -> String {
    let line = tidings_text::lines(text).map(title).find(|line| !line.is_empty()).unwrap_or_default();
    let sender = sender.map(title).filter(|sender| !sender.is_empty());
    let whole = sender.map_or_else(|| line.clone(), |sender| format!("{sender}: {line}"));
    tidings_text::cut(&whole, SUBJECT_CHARS).0
}
