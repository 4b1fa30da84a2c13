//! The fallback chain: which step is due, and whether it still applies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidings_wire::{
    Platform, Timestamp, limits,
    send::{Channel, PushMsgType},
};

use crate::{
    Device, Entry, MessageId, Position, UserKey, UserView, condition, mailbox::Closed, preferences,
    preferences::Unsubscribe,
};

/// A step that was claimed this long ago and has no outcome died with its worker, in seconds; the function's own timeout is
/// shorter.
pub const CLAIM_SECONDS: u64 = 60;

/// One step of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Where it delivers.
    pub channel: Channel,
    /// Seconds after the step before it, or after acceptance for the first one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<u64>,
}

impl Step {
    /// Pause before a step where the sender does not say, in seconds.
    pub const DEFAULT_AFTER_SECONDS: u64 = 60;
}

/// The chains of an app: what happens while nobody confirms a message that says nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chains {
    /// Of messages whose category has none of its own.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub general: Vec<Step>,
    /// By category; one without steps ends the general chain there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub categories: BTreeMap<String, Vec<Step>>,
}

impl Chains {
    /// The chain of a message of this category.
    #[must_use]
    pub fn of(&self, category: Option<&str>) -> &[Step] {
        category.and_then(|category| self.categories.get(category)).unwrap_or(&self.general)
    }
}

/// A step of a stored chain, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRecord {
    /// Where it delivers.
    pub channel: Channel,
    /// Seconds after the step before it.
    pub after: Option<u64>,
    /// When it was claimed: from then on, its provider may have been called.
    pub claimed: Option<Timestamp>,
    /// When it was claimed again, to be repeated.
    pub repeats: Vec<Timestamp>,
    /// Who claimed it: a token of the worker's, by which it knows its own claim where the answer to it was lost.
    pub claimed_by: Option<String>,
    /// How it ended, and when.
    pub outcome: Option<(Outcome, Timestamp)>,
    /// What the provider was asked for in the end, where that is less or other than what was asked of us.
    pub detail: Option<String>,
}

impl StepRecord {
    /// A step that nothing has happened to.
    #[must_use]
    pub fn waiting(step: &Step) -> Self {
        Self {
            channel: step.channel,
            after: step.after,
            claimed: None,
            repeats: Vec::new(),
            claimed_by: None,
            outcome: None,
            detail: None,
        }
    }

    /// When it was claimed last.
    #[must_use]
    pub fn last_claimed(&self) -> Option<Timestamp> {
        self.repeats.last().copied().or(self.claimed)
    }

    /// Whether it has begun and has no end.
    fn is_open_ended(&self) -> bool {
        self.claimed.is_some() && self.outcome.is_none()
    }
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "code", rename_all = "lowercase")]
pub enum Outcome {
    /// The provider accepted it, under this id of its own.
    Accepted(String),
    /// The provider refused it, with this code of its own.
    Refused(String),
    /// It does not apply: why.
    Skipped(String),
    /// It began, and nobody knows how it ended. It is not repeated: an SMS less beats two.
    Unknown,
}

/// A step and when it is due, as it travels on the `later` and `fallback` queues and in the due table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepDue {
    /// The recipient.
    pub user: UserKey,
    /// Where the message stands in the recipient's mailbox.
    #[serde(flatten)]
    pub position: Position,
    /// The message.
    pub id: MessageId,
    /// Which step, from 0.
    pub step: usize,
    /// When.
    pub due: Timestamp,
    /// Whether it has waited already for a device that came back just before.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub waited: bool,
    /// How often its provider could not take it.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub attempts: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

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
    Skip(&'static str),
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
    let Some(entry) = entry.filter(|entry| entry.id == due.id) else {
        return Decision::Stop("the message is gone");
    };
    let Some(record) = entry.steps.get(due.step) else {
        return Decision::Stop("the chain is at its end");
    };
    match (&record.outcome, record.last_claimed()) {
        (Some(_), _) => Decision::Next,
        (None, Some(claimed)) if claimed.plus_seconds(CLAIM_SECONDS) > now => {
            let later = StepDue { due: claimed.plus_seconds(CLAIM_SECONDS), ..due.clone() };
            Decision::Postpone(later, "another worker may be calling the provider")
        }
        // It may have gone out: what would hold it back now comes too late to say that it did not.
        (None, Some(_)) if is_repeatable(record.channel) && record.repeats.len() < REPEATS && entry.is_open(now) => {
            call(record.channel, due, entry, view, item_closed, now).map_or(Decision::RecordUnknown, Decision::Claim)
        }
        (None, Some(_)) => Decision::RecordUnknown,
        (None, None) if entry.is_confirmed() => Decision::Stop("confirmed"),
        (None, None) => match entry.closed {
            Some((Closed::Cancelled, _)) => Decision::Stop("cancelled"),
            Some((Closed::Replaced, _)) => Decision::Stop("replaced"),
            None if now > entry.deadline => Decision::Stop("expired"),
            None if is_back(due, entry, view, now) => {
                let later = StepDue { due: now.plus_seconds(COMEBACK_SECONDS), waited: true, ..due.clone() };
                Decision::Postpone(later, "a device is back")
            }
            None => {
                call(record.channel, due, entry, view, item_closed, now).map_or_else(Decision::Skip, Decision::Claim)
            }
        },
    }
}

/// Whether a device has connected since nobody was reached, and there is time to wait for it once.
fn is_back(due: &StepDue, entry: &Entry, view: &UserView, now: Timestamp) -> bool {
    let in_time = !due.waited && now.plus_seconds(COMEBACK_SECONDS) <= entry.deadline;
    let back = |offline| view.reachable(entry.platform).any(|connection| connection.connected >= offline);
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
) -> Result<Call, &'static str> {
    let meant = || view.devices.iter().filter(|it| entry.platform == Platform::All || entry.platform == it.platform);
    let condition = entry.condition.as_ref();
    if let Some(reason) = condition.and_then(|condition| condition::is_done(condition, meant(), item_closed)) {
        return Err(reason);
    }
    let profile = view.profile.as_ref();
    let category = &entry.content.category;
    let held_back = profile.and_then(|profile| preferences::held_back(profile, channel, category.as_deref(), now));
    if let Some(reason) = held_back {
        return Err(reason);
    }
    let alert = entry.content.alert.as_deref();
    let sender = entry.content.sender.as_deref();
    match channel {
        Channel::Sms => {
            let to = profile.and_then(|profile| profile.mobile.clone()).ok_or("no_mobile")?;
            let text = entry.sms.as_deref().or(alert).ok_or("no_text")?;
            Ok(Call::Sms { to, text: cut(text, limits::SMS_CHARS) })
        }
        Channel::Email => {
            let to = profile.and_then(|profile| profile.email.clone()).ok_or("no_email")?;
            let text = alert.or(entry.sms.as_deref()).ok_or("no_text")?;
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
            if to.is_empty() { Err("no_device") } else { Ok(push(channel, to, entry, now)) }
        }
        Channel::Webhook => Ok(push(channel, Vec::new(), entry, now)),
    }
}

fn push(channel: Channel, to: Vec<Device>, entry: &Entry, now: Timestamp) -> Call {
    Call::Push(Box::new(PushCall { channel, to, notice: notice(entry, now), entry: entry.clone() }))
}

/// What a push tells. What is only for the app wakes it, and shows nothing.
fn notice(entry: &Entry, now: Timestamp) -> Notice {
    let content = &entry.content;
    let is_shown = content.push_msg_type != Some(PushMsgType::Cmd);
    Notice {
        title: content.sender.clone().filter(|_| is_shown),
        text: content.alert.clone().filter(|_| is_shown),
        badge: content.badge,
        sound: content.sound.clone(),
        ttl: now.seconds_until(entry.deadline),
        collapse: entry.collapsed.key_at(entry.position.seq).map(str::to_owned),
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
    let again = due.attempts < ATTEMPTS && seconds <= PUT_OFF_SECONDS && at < entry.deadline;
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
    let record = entry.steps.get(due.step).filter(|record| is_repeatable(record.channel))?;
    let repeated = record.repeats.len() + usize::from(record.claimed.is_some());
    (repeated < REPEATS && at < entry.deadline).then(|| StepDue { due: at, ..due.clone() })
}

/// Whether there is something to do about a step whose time has come: it may begin, or it has begun and nobody has said how it
/// ended.
#[must_use]
pub fn is_needed(due: &StepDue, entry: &Entry, now: Timestamp) -> bool {
    let is_open_ended = entry.steps.get(due.step).is_some_and(StepRecord::is_open_ended);
    entry.id == due.id && (entry.is_open(now) || is_open_ended)
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
    let step = due.step + 1;
    let record = entry.steps.get(step)?;
    let due_at = match outcome {
        Outcome::Accepted(_) | Outcome::Unknown => {
            now.plus_seconds(record.after.unwrap_or(Step::DEFAULT_AFTER_SECONDS))
        }
        Outcome::Refused(_) | Outcome::Skipped(_) => now,
    };
    Some(StepDue { step, due: due_at, waited: false, attempts: 0, ..due.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceId, delivery::tests};
    use tidings_wire::send::Condition;

    use crate::Profile;

    /// Without an item that is closed.
    fn decide(due: &StepDue, entry: Option<&Entry>, view: &UserView, now: Timestamp) -> Decision {
        super::decide(due, entry, view, false, now)
    }

    const POSITION: Position = Position { epoch: 7, seq: 1 };

    fn chained() -> (StepDue, Entry, UserView) {
        let mut entry = tests::entry(1, POSITION);
        entry.content.alert = Some("Your parcel is here\nCome and get it".into());
        for channel in [Channel::Sms, Channel::Email] {
            entry.steps.push(StepRecord::waiting(&Step { channel, after: Some(30) }));
        }
        let (user, id) = (tests::delivery(1).user, tests::id(1));
        let due = StepDue { user, position: POSITION, id, step: 0, due: Timestamp(0), waited: false, attempts: 0 };
        let profile =
            Profile { mobile: Some("+8613800138000".into()), email: Some("a@b.cn".into()), ..Profile::default() };
        (due, entry, UserView { profile: Some(profile), ..UserView::default() })
    }

    #[test]
    fn a_step_calls_its_provider_with_the_newest_address() {
        let (due, entry, view) = chained();
        let Decision::Claim(Call::Sms { to, text }) = decide(&due, Some(&entry), &view, Timestamp(2_000)) else {
            panic!("claim")
        };
        assert_eq!((to.as_str(), text.lines().count()), ("+8613800138000", 2));
        let due = StepDue { step: 1, ..due };
        let Decision::Claim(Call::Email { subject, .. }) = decide(&due, Some(&entry), &view, Timestamp(2_000)) else {
            panic!("claim")
        };
        assert_eq!(subject, "Your parcel is here");
        assert!(decide(&due, Some(&entry), &UserView::default(), Timestamp(2_000)) == Decision::Skip("no_email"));
    }

    #[test]
    fn an_acknowledgement_ends_the_chain_whatever_is_claimed() {
        let (due, mut entry, view) = chained();
        let device: DeviceId = "d".parse().unwrap();
        entry.acks.push((device, Timestamp(1_500)));
        assert!(decide(&due, Some(&entry), &view, Timestamp(2_000)) == Decision::Stop("confirmed"));
    }

    #[test]
    fn a_claim_without_an_outcome_is_waited_for_and_then_unknown_never_repeated() {
        let (due, mut entry, view) = chained();
        entry.steps[0].claimed = Some(Timestamp(2_000));
        let at = |now| decide(&due, Some(&entry), &view, now);
        let Decision::Postpone(later, _) = at(Timestamp(2_000 + 59_000)) else { panic!("postpone") };
        assert!(later == StepDue { due: Timestamp(2_000 + 60_000), ..due.clone() });
        assert!(at(Timestamp(2_000 + 60_000)) == Decision::RecordUnknown);
    }

    #[test]
    fn what_has_ended_leads_to_the_next_step_at_its_time() {
        let (due, mut entry, view) = chained();
        let accepted = Outcome::Accepted("x".into());
        entry.steps[0].outcome = Some((accepted.clone(), Timestamp(2_000)));
        assert!(decide(&due, Some(&entry), &view, Timestamp(2_000)) == Decision::Next);
        let now = Timestamp(3_000);
        assert_eq!(next(&due, &entry, &accepted, now).map(|n| (n.step, n.due)), Some((1, now.plus_seconds(30))));
        assert_eq!(next(&due, &entry, &Outcome::Skipped("no_mobile".into()), now).map(|n| n.due), Some(now));
        assert_eq!(next(&StepDue { step: 1, ..due }, &entry, &accepted, now), None);
    }

    #[test]
    fn nothing_begins_after_the_deadline_or_for_another_message() {
        let (due, mut entry, view) = chained();
        assert!(decide(&due, Some(&entry), &view, Timestamp(61_001)) == Decision::Stop("expired"));
        entry.id = tests::id(2);
        assert!(decide(&due, Some(&entry), &view, Timestamp(2_000)) == Decision::Stop("the message is gone"));
    }

    #[test]
    fn nothing_begins_where_the_message_is_closed() {
        let (due, mut entry, view) = chained();
        for (closed, reason) in [(Closed::Cancelled, "cancelled"), (Closed::Replaced, "replaced")] {
            entry.closed = Some((closed, Timestamp(1_500)));
            assert!(decide(&due, Some(&entry), &view, Timestamp(2_000)) == Decision::Stop(reason));
        }
    }

    #[test]
    fn a_device_that_came_back_is_waited_for_once() {
        let (due, mut entry, mut view) = chained();
        let claims = |due: &StepDue, entry: &Entry, view: &UserView, now| {
            matches!(decide(due, Some(entry), view, Timestamp(now)), Decision::Claim(_))
        };
        let UserView { devices, mut connections, .. } = tests::view(&[tidings_wire::Platform::Web]);
        view.devices = devices;
        connections[0].connected = Timestamp(1_900);
        view.connections = connections;
        assert!(claims(&due, &entry, &view, 2_000), "it was connected when the message came");
        entry.offline = Some(Timestamp(1_800));
        let Decision::Postpone(later, _) = decide(&due, Some(&entry), &view, Timestamp(2_000)) else {
            panic!("postpone")
        };
        assert_eq!((later.due, later.waited), (Timestamp(12_000), true));
        assert!(claims(&later, &entry, &view, 12_000));
        assert!(claims(&due, &entry, &view, 51_001), "no time is left to wait");
        view.connections[0].connected = Timestamp(1_700);
        assert!(claims(&due, &entry, &view, 2_000), "that connection is older than the message's loneliness");
    }

    #[test]
    fn what_a_person_does_not_want_is_held_back_just_before_it_would_be_sent() {
        let (due, mut entry, mut view) = chained();
        entry.content.category = Some("news".into());
        let preferences = serde_json::json!({"categories": {"news": {"channels": {"sms": false}}}});
        let profile = view.profile.get_or_insert_default();
        profile.preferences = serde_json::from_value(preferences).unwrap();
        assert!(decide(&due, Some(&entry), &view, Timestamp(2_000)) == Decision::Skip("channel_off"));
        let email = StepDue { step: 1, ..due };
        assert!(matches!(decide(&email, Some(&entry), &view, Timestamp(2_000)), Decision::Claim(Call::Email { .. })));
    }

    #[test]
    fn a_step_goes_out_only_while_there_is_something_left_to_tell() {
        let (due, mut entry, mut view) = chained();
        entry.condition =
            Some(Condition { client_version_below: Some("2.0".into()), item_open: Some("order:4711".into()) });
        registered(&mut view, &[(Platform::Ios, None), (Platform::Web, None)]);
        let at = |entry: &Entry, view: &UserView, item_closed| {
            super::decide(&due, Some(entry), view, item_closed, Timestamp(2_000))
        };
        assert!(matches!(at(&entry, &view, false), Decision::Claim(_)));
        assert!(at(&entry, &view, true) == Decision::Skip("item_closed"));
        view.devices[0].client_version = Some("2.0.1".into());
        assert!(matches!(at(&entry, &view, false), Decision::Claim(_)), "the other one may be older");
        entry.platform = Platform::Ios;
        assert!(at(&entry, &view, false) == Decision::Skip("up_to_date"), "the other one is not meant");
        assert_eq!(entry.item(Timestamp(2_000)), Some("order:4711"));
        assert_eq!(entry.item(entry.deadline.plus_seconds(1)), None, "nobody asks for what is over");
    }

    #[test]
    fn what_has_begun_is_told_to_its_end_whatever_has_become_of_its_message() {
        let (due, open, view) = chained();
        let mut begun = open.clone();
        begun.steps[0].claimed = Some(Timestamp(2_000));
        type Change = fn(&mut Entry);
        let cases: [(&str, Change); 3] = [
            ("confirmed", |entry| entry.acks.push(("d".parse().unwrap(), Timestamp(2_500)))),
            ("cancelled", |entry| entry.closed = Some((Closed::Cancelled, Timestamp(2_500)))),
            ("expired", |entry| entry.deadline = Timestamp(2_500)),
        ];
        for (reason, change) in cases {
            let (mut begun, mut waiting) = (begun.clone(), open.clone());
            change(&mut begun);
            change(&mut waiting);
            assert!(is_needed(&due, &begun, Timestamp(62_000)) && !is_needed(&due, &waiting, Timestamp(62_000)));
            assert!(decide(&due, Some(&begun), &view, Timestamp(62_000)) == Decision::RecordUnknown, "{reason}");
            begun.steps[0].channel = Channel::Webhook;
            assert!(decide(&due, Some(&begun), &view, Timestamp(62_000)) == Decision::RecordUnknown, "{reason}");
            assert!(decide(&due, Some(&waiting), &view, Timestamp(62_000)) == Decision::Stop(reason));
        }
    }

    #[test]
    fn a_push_goes_to_the_devices_that_the_condition_holds_for() {
        let (due, mut entry, mut view) = chained();
        let fcm = |token: &str| Some(tidings_wire::PushAddress::Fcm { token: token.to_owned() });
        registered(&mut view, &[(Platform::Android, fcm("old")), (Platform::Android, fcm("new"))]);
        view.devices[0].client_version = Some("1.9".into());
        view.devices[1].client_version = Some("2.0".into());
        entry.steps[0].channel = Channel::Fcm;
        entry.condition = Some(Condition { client_version_below: Some("2.0".into()), item_open: None });
        let Decision::Claim(Call::Push(call)) = decide(&due, Some(&entry), &view, Timestamp(2_000)) else {
            panic!("a push")
        };
        assert!(call.to == view.devices[..1]);
    }

    #[test]
    fn what_knows_a_repetition_is_called_again_where_nobody_knows_how_it_ended() {
        let (due, mut entry, view) = chained();
        entry.steps[0].channel = Channel::Webhook;
        entry.steps[0].claimed = Some(Timestamp(2_000));
        assert_eq!(repeat(&due, &entry, Timestamp(2_000)), None, "its message's time is over by then");
        entry.deadline = Timestamp(600_000);
        let later = repeat(&due, &entry, Timestamp(2_000)).unwrap();
        assert_eq!(later, StepDue { due: Timestamp(62_000), ..due.clone() });
        // The same way for one whose worker died.
        let again = decide(&due, Some(&entry), &view, Timestamp(3_000));
        assert!(matches!(again, Decision::Postpone(found, _) if found == later));
        assert!(matches!(decide(&later, Some(&entry), &view, Timestamp(62_000)), Decision::Claim(Call::Push(_))));
        let mut muted = view.clone();
        muted.profile.get_or_insert_default().preferences.muted = true;
        assert!(
            decide(&later, Some(&entry), &muted, Timestamp(62_000)) == Decision::RecordUnknown,
            "it may have gone out"
        );
        // Whoever comes with the same words again finds how often it was claimed beside the entry.
        entry.steps[0].repeats = vec![Timestamp(62_000)];
        assert!(matches!(decide(&due, Some(&entry), &view, Timestamp(121_000)), Decision::Postpone(..)));
        assert!(matches!(decide(&due, Some(&entry), &view, Timestamp(122_000)), Decision::Claim(_)));
        entry.steps[0].repeats = vec![Timestamp(62_000); REPEATS - 1];
        assert_eq!(repeat(&due, &entry, Timestamp(62_000)), None, "that was the last one");
        entry.steps[0].repeats = vec![Timestamp(62_000); REPEATS];
        assert!(decide(&due, Some(&entry), &view, Timestamp(122_000)) == Decision::RecordUnknown);
        entry.steps[0].repeats = Vec::new();
        entry.steps[0].channel = Channel::Fcm;
        assert_eq!(repeat(&due, &entry, Timestamp(2_000)), None);
    }

    fn registered(view: &mut UserView, platforms: &[(Platform, Option<tidings_wire::PushAddress>)]) {
        let UserView { devices, .. } =
            tests::view(&platforms.iter().map(|(platform, _)| *platform).collect::<Vec<_>>());
        let with = |(device, (_, address)): (Device, &(Platform, Option<tidings_wire::PushAddress>))| {
            let push = address.clone().map(|address| crate::PushRegistration { address, key_version: 1 });
            Device { push, ..device }
        };
        view.devices = devices.into_iter().zip(platforms).map(with).collect();
    }

    #[test]
    fn a_push_goes_to_every_device_that_is_registered_for_its_channel_and_meant() {
        let (due, mut entry, mut view) = chained();
        let apns = |token: &str| Some(tidings_wire::PushAddress::Apns { token: token.to_owned() });
        registered(
            &mut view,
            &[
                (Platform::Ios, apns("a1")),
                (Platform::Pc, apns("a2")),
                (Platform::Ios, None),
                (Platform::Android, Some(tidings_wire::PushAddress::Mipush)),
                (Platform::Android, Some(tidings_wire::PushAddress::Mipush)),
            ],
        );
        let mut reached = |channel, platform| {
            entry.steps[0].channel = channel;
            entry.platform = platform;
            match decide(&due, Some(&entry), &view, Timestamp(2_000)) {
                Decision::Claim(Call::Push(call)) => Ok(call.to.len()),
                Decision::Skip(reason) => Err(reason),
                _ => panic!("a push, or a reason why none"),
            }
        };
        assert_eq!(reached(Channel::Apns, Platform::All), Ok(2));
        assert_eq!(reached(Channel::Apns, Platform::Ios), Ok(1));
        assert_eq!(reached(Channel::Fcm, Platform::All), Err("no_device"));
        assert_eq!(reached(Channel::Mipush, Platform::All), Ok(1), "one name reaches them all");
        assert_eq!(reached(Channel::Webhook, Platform::All), Ok(0), "the app's own server is told once");
    }

    #[test]
    fn a_push_tells_what_is_shown_and_for_how_long() {
        let (_, mut entry, _) = chained();
        entry.content.sender = Some("Shop".into());
        let shown = notice(&entry, Timestamp(2_000));
        assert_eq!((shown.title.as_deref(), shown.ttl), (Some("Shop"), Timestamp(2_000).seconds_until(entry.deadline)));
        assert!(shown.text.is_some());
        entry.content.push_msg_type = Some(PushMsgType::Cmd);
        let silent = notice(&entry, Timestamp(2_000));
        assert_eq!((silent.title, silent.text), (None, None), "the app is woken, and nothing shown");
    }

    #[test]
    fn a_provider_that_cannot_take_it_is_asked_again_a_few_times_and_not_beyond_the_deadline() {
        let (due, mut entry, _) = chained();
        entry.deadline = Timestamp(1_000_000);
        let now = Timestamp(2_000);
        let mut at = due.clone();
        for attempts in 1..=ATTEMPTS {
            at = put_off(&at, &entry, 1_500, now).unwrap();
            assert_eq!((at.attempts, at.due), (attempts, now.plus_seconds(2)));
        }
        assert_eq!(put_off(&at, &entry, 1_500, now), None);
        assert_eq!(put_off(&due, &entry, 999_000, now), None, "beyond the deadline");
        entry.deadline = Timestamp(9_000_000);
        assert!(put_off(&due, &entry, 900_000, now).is_some());
        assert_eq!(put_off(&due, &entry, 900_001, now), None, "the chain does not wait so long");
        let accepted = Outcome::Accepted("x".into());
        assert_eq!(next(&at, &entry, &accepted, now).map(|next| next.attempts), Some(0));
    }

    #[test]
    fn a_subject_is_one_short_line() {
        assert_eq!(subject(Some("Shop"), "\n  Hello\r\nthere"), "Shop: Hello");
        assert_eq!(subject(None, &"长".repeat(100)).chars().count(), 78);
    }
}
