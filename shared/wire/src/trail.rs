//! `GET /v1/messages/{id}`: what became of a message, and why.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, action::Position, choice::choice, send::Downgrade};

choice! {
    /// What has become of a message for one recipient: the best that has happened so far, in the order of
    /// docs/protocol.md. It only improves, and at the end of the message's life it is a settled one.
    State {
        /// Accepted, to be sent later.
        Scheduled = "scheduled",
        /// Accepted, not in the recipient's mailbox yet.
        Accepted = "accepted",
        /// In the mailbox; waits for a device or a fallback step.
        Pending = "pending",
        /// A device acknowledged it, or a person read it. Settled.
        Confirmed = "confirmed",
        /// A provider accepted it. Settled.
        FallbackDelivered = "fallback-delivered",
        /// No device confirmed it in its time. Settled.
        Expired = "expired",
        /// Held back, for a reason that the trail names: cancelled, replaced, or no step of the chain applied. Settled.
        Suppressed = "suppressed",
        /// Every step was tried, and at least one was refused or ended unknown. Settled.
        Failed = "failed",
    }
}

choice! {
    /// One thing that happened to a message.
    Event {
        /// `send` answered 202.
        Accepted = "accepted",
        /// It was to be sent at this time.
        Scheduled = "scheduled",
        /// It stands in the mailbox.
        Stored = "stored",
        /// It was about to be posted to a connection of this device; no proof that it arrived.
        Posted = "posted",
        /// A post to this device had no answer, so it may or may not have arrived. It is repeated a few times.
        Unanswered = "unanswered",
        /// It was posted to this device once more, because no device had confirmed it or the post before had no answer.
        Redelivered = "redelivered",
        /// No device was connected.
        Offline = "offline",
        /// Every connection turned out to be gone, this device's among them.
        Gone = "gone",
        /// A device acknowledged it.
        Confirmed = "confirmed",
        /// A person read it.
        Read = "read",
        /// The provider could not take it; it is asked again later. One for all attempts of a step, from the first on.
        StepPutOff = "step-put-off",
        /// A fallback step is about to call its provider.
        StepStarted = "step-started",
        /// The provider accepted it.
        StepAccepted = "step-accepted",
        /// The provider refused it; `code` is the provider's own, or a [`RefusalCode`].
        StepRefused = "step-refused",
        /// The step does not apply; `code` is a [`SkipReason`].
        StepSkipped = "step-skipped",
        /// The step began and its end is not known; it is not repeated.
        StepUnknown = "step-unknown",
        /// Its sender cancelled it: nothing begins after this.
        Cancelled = "cancelled",
        /// A newer message under the same `collapseKey` replaced it: nothing begins after this.
        Replaced = "replaced",
        /// Its time was over, and no device had confirmed it.
        Expired = "expired",
        /// A newer version of the service recorded something that this one does not know; `code` is its name. Of an
        /// entry that cannot be read at all, `code` is `unreadable`.
        Unknown = "unknown",
    }
}

choice! {
    /// Why a fallback step does not apply: the `code` of `step-skipped`.
    SkipReason {
        /// The user has no phone number.
        NoMobile = "no_mobile",
        /// The user has no email address.
        NoEmail = "no_email",
        /// The message has no text that the channel could carry.
        NoText = "no_text",
        /// None of the user's devices is registered for the channel and meant by the message.
        NoDevice = "no_device",
        /// The app has no credentials for the channel.
        NotConfigured = "not_configured",
        /// The user has muted everything.
        Muted = "muted",
        /// The user has muted the message's category.
        CategoryMuted = "category_muted",
        /// The user has switched the channel off.
        ChannelOff = "channel_off",
        /// It is within the user's quiet hours.
        QuietHours = "quiet_hours",
        /// The condition's `itemOpen` does not hold: the item is closed.
        ItemClosed = "item_closed",
        /// The condition's `clientVersionBelow` does not hold: every device has this version, or a newer one.
        UpToDate = "up_to_date",
    }
}

choice! {
    /// The service's own reasons in the `code` of `step-refused`; every other code is the provider's.
    RefusalCode {
        /// The provider could not be reached, or left the request unread.
        Unreachable = "unreachable",
        /// The provider was not called, because it has been failing for this app.
        ProviderDown = "provider_down",
        /// The device's push address is one that no provider accepts. It is removed.
        Address = "address",
        /// The message is too large for the provider, also without its data and with its text cut.
        TooLarge = "too_large",
        /// The request could not be built.
        Request = "request",
    }
}

choice! {
    /// How far a message has come on one device.
    DeviceState {
        /// Posted to a connection of it; no proof that it arrived.
        Posted = "posted",
        /// Posted to a connection of it without an answer: it may or may not have arrived.
        Unanswered = "unanswered",
        /// Posted to a connection that was gone.
        Gone = "gone",
        /// The device acknowledged it.
        Confirmed = "confirmed",
        /// A person read it there.
        Read = "read",
    }
}

/// How far a message has come on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeviceTrail {
    /// The device.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::DeviceId"))]
    pub device_id: String,
    /// How far the message has come there.
    pub state: DeviceState,
}

/// One thing that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
    /// The device, for `posted`, `unanswered`, `redelivered`, `gone`, `confirmed` and `read`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::DeviceId>"))]
    pub device_id: Option<String>,
    /// The step of the chain, from 0.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(range(max = crate::limits::FALLBACK_STEPS - 1)))]
    pub step: Option<usize>,
    /// The step's channel.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::send::Channel>"))]
    pub channel: Option<String>,
    /// The provider's message id for `step-accepted`; a [`RefusalCode`] or the provider's own code for `step-refused`
    /// and `step-put-off`; a [`SkipReason`] for `step-skipped`; the name of what is not known for `unknown`. For a push
    /// to several devices: the codes of all of them, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(schema_with = "step_code"))]
    pub code: Option<String>,
    /// What was finally sent to the provider of a push or an SMS: the effective time to live, and in words everything
    /// that was left out, cut or lowered, separated by commas. On the end of a step. On `step-put-off`: how often the
    /// provider was asked, and when it is asked again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}

impl Event {
    /// A sentence for people, with `{device}`, `{step}` and `{code}` for those of the transition.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Accepted => "accepted: will be settled for every recipient",
            Self::Scheduled => "its time to be sent",
            Self::Stored => "stored in the mailbox",
            Self::Posted => "posted to device {device}",
            Self::Unanswered => "the post to device {device} had no answer",
            Self::Redelivered => "posted once more to device {device}",
            Self::Offline => "no device was connected",
            Self::Gone => "the connection of device {device} turned out to be gone",
            Self::Confirmed => "confirmed by device {device}",
            Self::Read => "read on device {device}",
            Self::StepPutOff => "{step} put off, because the provider could not take it: {code}",
            Self::StepStarted => "{step} began",
            Self::StepAccepted => "{step} accepted by the provider as {code}",
            Self::StepRefused => "{step} refused by the provider: {code}",
            Self::StepSkipped => "{step} skipped: {code}",
            Self::StepUnknown => "{step} began, and its outcome is not known; it is not repeated",
            Self::Cancelled => "cancelled by its sender",
            Self::Replaced => "replaced by a newer message under the same collapse key",
            Self::Expired => "expired: no device had confirmed it",
            Self::Unknown => "recorded by a newer version of the service: {code}",
        }
    }
}

impl Transition {
    /// What happened, as a sentence for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let step = match (&self.channel, self.step) {
            (Some(channel), Some(step)) => format!("{channel} (step {})", step + 1),
            (Some(channel), None) => channel.clone(),
            (None, _) => "the step".to_owned(),
        };
        let sentence = self.event.sentence();
        let sentence = sentence.replace("{device}", self.device_id.as_deref().unwrap_or("a device"));
        let sentence = sentence.replace("{step}", &step);
        sentence.replace("{code}", self.code.as_deref().unwrap_or("no reason given"))
    }
}

/// The code of a step: one of ours, or the provider's.
#[cfg(feature = "schema")]
fn step_code(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let (skipped, refused) = (generator.subschema_for::<SkipReason>(), generator.subschema_for::<RefusalCode>());
    schemars::json_schema!({"anyOf": [skipped, refused, {"type": "string"}]})
}

impl State {
    /// Whether nothing but a late confirmation can follow.
    #[must_use]
    pub fn is_settled(self) -> bool {
        match self {
            Self::Scheduled | Self::Accepted | Self::Pending => false,
            Self::Confirmed | Self::FallbackDelivered | Self::Expired | Self::Suppressed | Self::Failed => true,
        }
    }
}

/// One recipient's part of the trail. `epoch` and `seq`, the position in the user's mailbox, are absent while the
/// message is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::kept))]
pub struct RecipientTrail {
    /// The user.
    pub alias: String,
    /// What has become of the message for this user.
    pub state: State,
    /// Its position in the user's mailbox.
    #[serde(flatten, skip_serializing_if = "Option::is_none", default)]
    pub position: Option<Position>,
    /// Steps of its fallback chain. Absent if it has none, and while the message is not in the mailbox.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = crate::limits::FALLBACK_STEPS)))]
    pub steps: Option<usize>,
    /// The devices that it was posted to, or that spoke of it. Absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub devices: Vec<DeviceTrail>,
    /// Everything that happened, oldest first.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub transitions: Vec<Transition>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Trail {
    /// The message's id.
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::MessageId"))]
    pub request_id: String,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it is sent, if that is later.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub send_at: Option<Timestamp>,
    /// When it expires for recipients who have not confirmed it.
    pub expires_at: Timestamp,
    /// When it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cancelled_at: Option<Timestamp>,
    /// Options that took effect differently from the request. Absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub downgrades: Vec<Downgrade>,
    /// Every recipient, in the order of the request.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub recipients: Vec<RecipientTrail>,
}
