//! The fallback chain: which step is due, and whether it still applies.

use tidings_wire::{
    Platform, Timestamp, limits,
    send::{Channel, PushMsgType},
    trail::SkipReason,
};

use crate::{
    Device, Entry, UserView,
    chain::{Outcome, Step, StepDue, StepRecord},
    condition,
    mailbox::Closed,
    preferences,
    preferences::Unsubscribe,
};

/// A step that was claimed this long ago and has no outcome died with its worker, in seconds; the function's own timeout is
/// shorter.
pub const CLAIM_SECONDS: u64 = 60;

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
        /// What its reader may do about emails like it.
        unsubscribe: Unsubscribe,
    },
    /// A push to devices.
    Push(Box<PushCall>),
}

/// A push to a user's devices.
#[derive(Clone, PartialEq)]
pub struct PushCall {
    /// By which channel.
    pub channel: Channel,
    /// The devices that are registered for it; none where it goes to the app's own server.
    pub to: Vec<Device>,
    /// What they are told.
    pub notice: Notice,
    /// The message, for the sealed frame.
    pub entry: Entry,
}

/// What a push tells beside the sealed frame.
#[derive(Clone, PartialEq, Eq)]
pub struct Notice {
    /// Who sends.
    pub title: Option<String>,
    /// The text; without one the app is woken, and nothing is shown by itself.
    pub text: Option<String>,
    /// Number on the app's icon.
    pub badge: Option<u64>,
    /// Sound to play.
    pub sound: Option<String>,
    /// Seconds that it is worth delivering.
    pub ttl: u64,
    /// Of those with the same key only the last is shown.
    pub collapse: Option<String>,
}

/// What is done about a step that is due.
#[derive(Clone, PartialEq)]
pub enum Decision {
    /// Nothing more: the message is confirmed, closed, expired, or gone.
    Stop(&'static str),
    /// Looked at again later, for this reason: another worker may be calling the provider just now, or a device has come back
    /// since nobody was reached and is given a little time to confirm.
    Postpone(StepDue, &'static str),
    /// The step began and its worker died: recorded as unknown, then on to the next.
    RecordUnknown,
    /// The step has ended: on to the next.
    Next,
    /// The step does not apply: recorded with this reason, then on to the next.
    Skip(SkipReason),
    /// The step is claimed, then its provider called.
    Claim(Call),
}

/// How long a step waits for a device that has come back, in seconds: it asks for what it missed when it connects, and learns of
/// what came in between from its first pong.
pub const COMEBACK_SECONDS: u64 = 10;

/// Decides what is done about a step that is due, given the newest data; `item_closed` tells whether what the message is about
/// ([`Entry::item`]) is closed.
#[must_use]
pub fn decide(due: &StepDue, entry: Option<&Entry>, view: &UserView, item_closed: bool, now: Timestamp) -> Decision {
    let Some(entry) = entry.filter(|entry| entry.letter.id == due.id) else {
        return Decision::Stop("the message is gone");
    };
    let Some((step, record)) = entry.step(due.step) else {
        return Decision::Stop("the chain is at its end");
    };
    match (&record.outcome, record.last_claimed()) {
        (Some(_), _) => Decision::Next,
        (None, Some(claimed)) if claimed.plus_seconds(CLAIM_SECONDS) > now => {
            let later = StepDue { due: claimed.plus_seconds(CLAIM_SECONDS), ..due.clone() };
            Decision::Postpone(later, "another worker may be calling the provider")
        }
        // It may have gone out: what would hold it back now comes too late to say that it did not.
        (None, Some(_)) if is_repeatable(step.channel) && record.repeats.len() < REPEATS && entry.is_open(now) => {
            call(step.channel, due, entry, view, item_closed, now).map_or(Decision::RecordUnknown, Decision::Claim)
        }
        (None, Some(_)) => Decision::RecordUnknown,
        (None, None) if entry.is_confirmed() => Decision::Stop("confirmed"),
        (None, None) => match entry.closed {
            Some((Closed::Cancelled, _)) => Decision::Stop("cancelled"),
            Some((Closed::Replaced, _)) => Decision::Stop("replaced"),
            None if now > entry.letter.deadline => Decision::Stop("expired"),
            None if is_back(due, entry, view, now) => {
                let later = StepDue { due: now.plus_seconds(COMEBACK_SECONDS), waited: true, ..due.clone() };
                Decision::Postpone(later, "a device is back")
            }
            None => call(step.channel, due, entry, view, item_closed, now).map_or_else(Decision::Skip, Decision::Claim),
        },
    }
}

/// Whether a device has connected since nobody was reached, and there is time to wait for it once.
fn is_back(due: &StepDue, entry: &Entry, view: &UserView, now: Timestamp) -> bool {
    let in_time = !due.waited && now.plus_seconds(COMEBACK_SECONDS) <= entry.letter.deadline;
    let back = |offline| view.reachable(entry.letter.platform).any(|connection| connection.connected >= offline);
    in_time && entry.offline.is_some_and(back)
}

/// Whether what a step calls knows a repetition by its id, as Standard Webhooks asks of a receiver. Then a call that nobody knows
/// the end of is made once more. No other provider promises that.
fn is_repeatable(channel: Channel) -> bool {
    channel == Channel::Webhook
}

/// The call that a step makes, or why it makes none.
fn call(
    channel: Channel,
    due: &StepDue,
    entry: &Entry,
    view: &UserView,
    item_closed: bool,
    now: Timestamp,
) -> Result<Call, SkipReason> {
    let meant = || {
        view.devices.iter().filter(|it| entry.letter.platform == Platform::All || entry.letter.platform == it.platform)
    };
    let condition = entry.letter.condition.as_ref();
    if let Some(reason) = condition.and_then(|condition| condition::is_done(condition, meant(), item_closed)) {
        return Err(reason);
    }
    let profile = view.profile.as_ref();
    let category = &entry.letter.content.category;
    let held_back = profile.and_then(|profile| preferences::held_back(profile, channel, category.as_deref(), now));
    if let Some(reason) = held_back {
        return Err(reason);
    }
    let alert = entry.letter.content.alert.as_deref();
    let sender = entry.letter.content.sender.as_deref();
    match channel {
        Channel::Sms => {
            let to = profile.and_then(|profile| profile.mobile.clone()).ok_or(SkipReason::NoMobile)?;
            let text = entry.letter.sms.as_deref().or(alert).ok_or(SkipReason::NoText)?;
            Ok(Call::Sms { to, text: cut(text, limits::SMS_CHARS) })
        }
        Channel::Email => {
            let to = profile.and_then(|profile| profile.email.clone()).ok_or(SkipReason::NoEmail)?;
            let text = alert.or(entry.letter.sms.as_deref()).ok_or(SkipReason::NoText)?;
            let subject = subject(sender, text);
            let unsubscribe = Unsubscribe { user: due.user.clone(), channel, category: category.clone() };
            Ok(Call::Email { to, subject, text: text.to_owned(), unsubscribe })
        }
        Channel::Apns | Channel::Fcm | Channel::Webpush | Channel::Mipush => {
            let reaches = |device: &&Device| {
                let channels = device.push.as_ref().map(|push| push.address.channel());
                channels == Some(channel) && condition.is_none_or(|condition| condition::is_below(condition, device))
            };
            let mut to: Vec<Device> = meant().filter(reaches).cloned().collect();
            if channel == Channel::Mipush {
                // It reaches all of the user's by one name.
                to.truncate(1);
            }
            if to.is_empty() { Err(SkipReason::NoDevice) } else { Ok(push(channel, to, entry, now)) }
        }
        Channel::Webhook => Ok(push(channel, Vec::new(), entry, now)),
    }
}

fn push(channel: Channel, to: Vec<Device>, entry: &Entry, now: Timestamp) -> Call {
    Call::Push(Box::new(PushCall { channel, to, notice: notice(entry, now), entry: entry.clone() }))
}

/// What a push tells. What is only for the app wakes it, and shows nothing.
fn notice(entry: &Entry, now: Timestamp) -> Notice {
    let content = &entry.letter.content;
    let is_shown = content.push_msg_type != Some(PushMsgType::Cmd);
    Notice {
        title: content.sender.clone().filter(|_| is_shown),
        text: content.alert.clone().filter(|_| is_shown),
        badge: content.badge,
        sound: content.sound.clone(),
        ttl: now.seconds_until(entry.letter.deadline),
        collapse: entry.letter.collapse.clone(),
    }
}

/// How often a call is repeated that nobody knows the end of, where what is called knows a repetition.
pub const REPEATS: usize = 4;

/// How often a step is put off whose provider cannot take it; then the chain goes on.
pub const ATTEMPTS: u32 = 4;

/// How long a step is put off at most, in seconds. Where a provider wants to be left alone for longer, the chain goes on: what
/// comes next is there for that.
const PUT_OFF_SECONDS: u64 = 900;

/// A step whose provider could not take it, in so many milliseconds; `None` where it has been put off enough, or its message's
/// time is over by then.
#[must_use]
pub fn put_off(due: &StepDue, entry: &Entry, pause_millis: u64, now: Timestamp) -> Option<StepDue> {
    let seconds = pause_millis.div_ceil(1_000).max(1);
    let at = now.plus_seconds(seconds);
    let again = due.attempts < ATTEMPTS && seconds <= PUT_OFF_SECONDS && at < entry.letter.deadline;
    again.then(|| StepDue { due: at, attempts: due.attempts + 1, ..due.clone() })
}

/// Whether a step that is claimed now was claimed before, so that its provider may have been called.
#[must_use]
pub fn is_repeat(due: &StepDue, entry: &Entry) -> bool {
    entry.steps.get(due.step).is_some_and(|record| record.claimed.is_some())
}

/// A step that was claimed then and whose end nobody knows, made once more; `None` where what it calls would not know the
/// repetition, or it was repeated enough, or its message's time is over by then. `entry` is from before the claim.
#[must_use]
pub fn repeat(due: &StepDue, entry: &Entry, claimed: Timestamp) -> Option<StepDue> {
    let at = claimed.plus_seconds(CLAIM_SECONDS);
    let (_, record) = entry.step(due.step).filter(|(step, _)| is_repeatable(step.channel))?;
    let repeated = record.repeats.len() + usize::from(record.claimed.is_some());
    (repeated < REPEATS && at < entry.letter.deadline).then(|| StepDue { due: at, ..due.clone() })
}

/// Whether there is something to do about a step whose time has come: it may begin, or it has begun and nobody has said how it
/// ended.
#[must_use]
pub fn is_needed(due: &StepDue, entry: &Entry, now: Timestamp) -> bool {
    let is_open_ended = entry.steps.get(due.step).is_some_and(StepRecord::is_open_ended);
    entry.letter.id == due.id && (entry.is_open(now) || is_open_ended)
}

/// The first line of the text, at most 78 characters (RFC 5322 §2.1.1), behind the sender's name.
fn subject(sender: Option<&str>, text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let whole = sender.map_or_else(|| line.to_owned(), |sender| format!("{sender}: {line}"));
    let clean: String = whole.chars().filter(|c| !c.is_control()).collect();
    cut(&clean, 78)
}

/// The text, or its beginning and an ellipsis, in at most `max` characters.
fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max { text.to_owned() } else { text.chars().take(max - 1).chain(['…']).collect() }
}

/// The step after one that has ended, and when it is due: after its pause where somebody may have been reached, at once
/// where nobody was.
#[must_use]
pub fn next(due: &StepDue, entry: &Entry, outcome: &Outcome, now: Timestamp) -> Option<StepDue> {
    let number = due.step + 1;
    let step = entry.letter.steps.get(number)?;
    let due_at = match outcome {
        Outcome::Accepted(_) | Outcome::Unknown => now.plus_seconds(step.after.unwrap_or(Step::DEFAULT_AFTER_SECONDS)),
        Outcome::Refused(_) | Outcome::Skipped(_) => now,
    };
    Some(StepDue { step: number, due: due_at, waited: false, attempts: 0, ..due.clone() })
}

#[cfg(test)]
mod tests;
