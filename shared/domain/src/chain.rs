//! The data of a fallback chain: its steps, how far each has come, and how it ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;
use tidings_wire::{Open, Timestamp, Word, action::Position, send::Channel, trail::SkipReason};

use crate::{
    AppId, MessageId, More, UserKey,
    shape::{Any, Body},
};

/// One step of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The channel it delivers by.
    pub channel: Open<Channel>,
    /// Seconds after the step before it, or after acceptance for the first one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<u64>,
}

impl Step {
    /// Pause before a step if the sender names none, in seconds.
    pub const DEFAULT_AFTER_SECONDS: u64 = 60;
}

/// The chains of an app: what happens while no device confirms a message that names no chain itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chains {
    /// The chain of messages whose category has none.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub general: Vec<Step>,
    /// Chains by category; an empty one switches the general chain off for that category.
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

/// How far a step of a stored chain has come; by default, it has not begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepRecord {
    /// When it was first claimed: from then on, its provider may have been called.
    pub claimed: Option<Timestamp>,
    /// When it was claimed again, for a repetition.
    pub repeats: Vec<Timestamp>,
    /// The claiming worker's token. It lets the worker recognise its claim if the answer to the claim was lost.
    pub claimed_by: Option<String>,
    /// That its provider could not take it, if that was so.
    pub put_off: Option<PutOff>,
    /// How it ended, and when.
    pub outcome: Option<(Outcome, Timestamp)>,
    /// What the provider was asked for, if that differs from what the sender asked for.
    pub detail: Option<String>,
}

impl StepRecord {
    /// The time of the newest claim.
    #[must_use]
    pub fn last_claimed(&self) -> Option<Timestamp> {
        self.repeats.last().copied().or(self.claimed)
    }

    /// Whether it was claimed and has no outcome yet.
    pub(crate) fn is_open_ended(&self) -> bool {
        self.claimed.is_some() && self.outcome.is_none()
    }
}

/// That a step's provider could not take it: one note for all attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutOff {
    /// When it could not for the first time.
    pub since: Timestamp,
    /// How often it could not.
    pub times: u32,
    /// Its code for the last time.
    pub code: String,
    /// When it is asked again.
    pub until: Timestamp,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "code", rename_all = "lowercase")]
pub enum Outcome {
    /// The provider accepted it; holds the provider's message id.
    Accepted(String),
    /// The provider refused it; holds the provider's code.
    Refused(String),
    /// The step does not apply; holds the reason.
    Skipped(Open<SkipReason>),
    /// It began, and its end is not known. It is not repeated: one SMS too few is better than two.
    Unknown,
    /// In a way that a newer version has recorded, under this name. This version never writes it.
    #[serde(skip_serializing)]
    Newer(Word),
}

impl<'de> Deserialize<'de> for Outcome {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Form {
            kind: Word,
            #[serde(default)]
            code: Option<Any>,
        }
        let Form { kind, code } = Form::deserialize(deserializer)?;
        let code = code.map(|Any(code)| code).unwrap_or_default();
        let text = || code.as_str().map(str::to_owned).ok_or_else(|| D::Error::missing_field("code"));
        Ok(match kind.as_str() {
            "accepted" => Self::Accepted(text()?),
            "refused" => Self::Refused(text()?),
            "skipped" => Self::Skipped(serde_json::from_value(code).map_err(D::Error::custom)?),
            "unknown" => Self::Unknown,
            _ => Self::Newer(kind),
        })
    }
}

/// A step and when it is due, as it travels on the `later` and `fallback` queues and in the due table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepDue {
    /// The recipient.
    pub user: UserKey,
    /// The message's position in the recipient's mailbox.
    #[serde(flatten)]
    pub position: Position,
    /// The message.
    pub id: MessageId,
    /// Which step, from 0.
    pub step: usize,
    /// When it is due.
    pub due: Timestamp,
    /// Whether it has already waited for a device that had just come back.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub waited: bool,
    /// How often its provider could not take it.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub attempts: u32,
    /// What a newer version has added.
    #[serde(flatten)]
    pub more: More,
}

impl Body for StepDue {
    const KIND: &'static str = "step";

    fn app(&self) -> Option<&AppId> {
        Some(&self.user.app)
    }

    fn name(_: &Value) -> Option<Word> {
        None
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}
