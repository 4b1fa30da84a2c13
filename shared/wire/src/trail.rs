//! `GET /v1/messages/{id}`: what became of a message, and why.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, action::Position, choice::choice, send::Downgrade};

choice! {
    /// What has become of a message for one recipient: the best that has happened so far. It only ever improves, and at the
    /// end of the message's life it is one of the settled ones.
    State {
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
        /// It was held back, for a reason that the trail names. Settled.
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
        /// It stands in the mailbox.
        Stored = "stored",
        /// It was posted to a connection of a device; no proof that it arrived.
        Posted = "posted",
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
        /// The provider refused it; `code` is the provider's own.
        StepRefused = "step-refused",
        /// The step does not apply; `code` says why.
        StepSkipped = "step-skipped",
        /// The step began and nobody knows how it ended; it is never repeated.
        StepUnknown = "step-unknown",
    }
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
    /// When it expires for whoever has not confirmed it.
    pub expires_at: Timestamp,
    /// Every option that takes effect differently from what the request said.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub downgrades: Vec<Downgrade>,
    /// Every recipient.
    pub recipients: Vec<RecipientTrail>,
}
