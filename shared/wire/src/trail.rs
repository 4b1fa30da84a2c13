//! `GET /v1/messages/{id}`: what became of a message, and why.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, action::Position, choice::choice, send::Downgrade};

choice! {
    /// What has become of a message for one recipient: the best that has happened so far. It only ever improves, and at the
    /// end of the message's life it is one of the settled ones.
    State {
        /// Accepted, to be sent later.
        Scheduled = "scheduled",
        /// Accepted and queued; not stored in the recipient's mailbox yet.
        Accepted = "accepted",
        /// In the mailbox; waiting for a device or for the next fallback step.
        Pending = "pending",
        /// A device of the recipient acknowledged it. Settled.
        Confirmed = "confirmed",
        /// A provider accepted it. Settled.
        FallbackDelivered = "fallback-delivered",
        /// Nobody confirmed it in its time. Settled.
        Expired = "expired",
        /// It was held back, for a reason that the trail names: cancelled, replaced, or no step applied. Settled.
        Suppressed = "suppressed",
        /// Every step was tried, and refused. Settled.
        Failed = "failed",
    }
}

choice! {
    /// One thing that happened to a message.
    Event {
        /// `send` answered 202.
        Accepted = "accepted",
        /// It is to be sent at this time.
        Scheduled = "scheduled",
        /// It stands in the mailbox.
        Stored = "stored",
        /// It was posted to a connection of a device; no proof that it arrived.
        Posted = "posted",
        /// It was posted to a connection of a device once more, because nobody had confirmed it.
        Redelivered = "redelivered",
        /// No device was connected.
        Offline = "offline",
        /// The connection turned out to be gone.
        Gone = "gone",
        /// A device acknowledged it.
        Confirmed = "confirmed",
        /// A person read it.
        Read = "read",
        /// A fallback step is about to call its provider.
        StepStarted = "step-started",
        /// The provider accepted it.
        StepAccepted = "step-accepted",
        /// The provider refused it; `code` is the provider's own, or a [`RefusalCode`].
        StepRefused = "step-refused",
        /// The step does not apply; `code` is a [`SkipReason`].
        StepSkipped = "step-skipped",
        /// The step began and nobody knows how it ended; it is not repeated any more.
        StepUnknown = "step-unknown",
        /// The sender cancelled it: nothing begins after this.
        Cancelled = "cancelled",
        /// A newer message under the same `collapseKey` took its place: nothing begins after this.
        Replaced = "replaced",
        /// Its time was over, and nobody had confirmed it.
        Expired = "expired",
    }
}

choice! {
    /// Why a fallback step does not apply: the `code` of [`Event::StepSkipped`].
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
    /// The service's own reasons in the `code` of [`Event::StepRefused`]; every other code is the provider's.
    RefusalCode {
        /// The provider could not be reached, or left the request unread.
        Unreachable = "unreachable",
        /// The provider was not called, because it has been failing for this app.
        ProviderDown = "provider_down",
        /// The request could not be built.
        Request = "request",
    }
}

choice! {
    /// How far a message has come on one device.
    DeviceState {
        /// Posted to a connection of it; no proof that it arrived.
        Posted = "posted",
        /// Posted to a connection that was gone.
        Gone = "gone",
        /// The device acknowledged it.
        Confirmed = "confirmed",
        /// A person read it there.
        Read = "read",
    }
}

/// One device of a recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceTrail {
    /// The device.
    pub device_id: String,
    /// How far the message has come there.
    pub state: DeviceState,
}

/// One thing that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
    /// The device, where one was involved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device_id: Option<String>,
    /// The fallback step, from 0.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub step: Option<usize>,
    /// The step's channel.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channel: Option<String>,
    /// The provider's message id or refusal, or why a step was skipped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// What the provider was asked for in the end, where that is less or other than was asked of us: the effective time to
    /// live, and every downgrade.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
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

/// One recipient's part of the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecipientTrail {
    /// The user.
    pub alias: String,
    /// What has become of the message for this user.
    pub state: State,
    /// Where it stands in the user's mailbox.
    #[serde(flatten, skip_serializing_if = "Option::is_none", default)]
    pub position: Option<Position>,
    /// Steps of its fallback chain, where it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub steps: Option<usize>,
    /// Every device that it was posted to or that spoke of it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub devices: Vec<DeviceTrail>,
    /// Everything that happened, oldest first.
    pub transitions: Vec<Transition>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trail {
    /// The message.
    pub request_id: String,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it is sent, where that is later.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub send_at: Option<Timestamp>,
    /// When it expires for whoever has not confirmed it.
    pub expires_at: Timestamp,
    /// When it was cancelled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cancelled_at: Option<Timestamp>,
    /// Every option that takes effect differently from what the request said.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub downgrades: Vec<Downgrade>,
    /// Every recipient.
    pub recipients: Vec<RecipientTrail>,
}
