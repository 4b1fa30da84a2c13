//! The actions that a device sends on its socket. API Gateway routes by the field `action`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Choice, FieldProblem, choice::choice, fields::Fields, limits};

choice! {
    /// Whether a person is looking at the app.
    AppState {
        /// In use.
        Foreground = "foreground",
        /// Running, not in use.
        Background = "background",
    }
}

choice! {
    /// The `action` of a frame that a device sends.
    ActionName {
        /// Is the connection alive?
        Ping = "ping",
        /// What came since?
        Sync = "sync",
        /// A message has arrived.
        Ack = "ack",
        /// A person has read a message.
        Read = "read",
        /// The app went to the foreground or the background.
        State = "state",
    }
}

/// A position in a user's mailbox. `seq` is dense within an `epoch` and begins at 1; 0 is before the first entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Position {
    /// Life of the mailbox.
    pub epoch: u64,
    /// Position in the mailbox, from 1 and without gaps within an epoch; 0 is before the first message.
    pub seq: u64,
}

/// One message of the mailbox, or everything up to a position.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::texts))]
pub struct Receipt {
    /// The message at this position. Without it, every message up to the position.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[cfg_attr(feature = "schema", schemars(length(max = limits::IDENTIFIER_CHARS)))]
    pub id: Option<String>,
    /// The position.
    #[serde(flatten)]
    pub position: Position,
}

/// What a device sends on its socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Action {
    /// Asks whether the connection lives, and for the head of the mailbox.
    #[cfg_attr(feature = "schema", schemars(title = "Ping"))]
    Ping,
    /// Asks for what came after the last position that was received without a gap before it; `0`, `0` for everything
    /// that is kept. Without a position: after the one that the service keeps for this device. Announcements come only
    /// if `announced` asks for them.
    #[cfg_attr(feature = "schema", schemars(title = "Sync"))]
    Sync {
        /// Last position that was received without a gap before it.
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        after: Option<Position>,
        /// Announcements too, those after this number; 0 for every one that is kept. The service keeps no number.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        announced: Option<u64>,
    },
    /// With `id`, confirms the message at this position. Without it, confirms everything up to the position that is
    /// neither expired nor closed, and moves the cursor that the service keeps for the device there.
    #[cfg_attr(feature = "schema", schemars(title = "Ack"))]
    Ack(Receipt),
    /// With `id`, a person has read the message at this position, which confirms it. Without it, everything up to the
    /// position.
    #[cfg_attr(feature = "schema", schemars(title = "Read"))]
    Read(Receipt),
    /// The app went to the foreground or the background. It is recorded; the service does not use it.
    #[cfg_attr(feature = "schema", schemars(title = "StateChange"))]
    State {
        /// Whether a person is looking at the app.
        state: AppState,
    },
}

impl Action {
    /// Reads an action and names every field that is wrong.
    ///
    /// # Errors
    /// One [`FieldProblem`] for each; an unknown `action` among them.
    pub fn parse(object: Map<String, Value>) -> Result<Self, Vec<FieldProblem>> {
        let is_given = |name: &str| object.get(name).is_some_and(|value| !value.is_null());
        let one_alone = (is_given("epoch") != is_given("seq")).then(|| if is_given("epoch") { "seq" } else { "epoch" });
        let mut fields = Fields::new(object);
        let word = fields.required_text("action", limits::IDENTIFIER_CHARS);
        let action = match ActionName::from_word(&word) {
            Some(ActionName::Ping) => Some(Self::Ping),
            Some(ActionName::Sync) => {
                let epoch = fields.integer("epoch", &(0..=u64::MAX));
                let seq = fields.integer("seq", &(0..=u64::MAX));
                if let Some(missing) = one_alone {
                    fields.refuse(missing, "is required beside the other one");
                }
                let after = epoch.zip(seq).map(|(epoch, seq)| Position { epoch, seq });
                let announced = fields.integer("announced", &(0..=u64::MAX));
                Some(Self::Sync { after, announced })
            }
            Some(ActionName::Ack) => receipt(&mut fields).map(Self::Ack),
            Some(ActionName::Read) => receipt(&mut fields).map(Self::Read),
            Some(ActionName::State) => {
                fields.require("state");
                fields.choice("state").map(|state| Self::State { state })
            }
            None if word.is_empty() => None,
            None => {
                let detail = format!("must be one of {}", ActionName::listed(|_| true));
                return Err(vec![FieldProblem::new("action", detail)]);
            }
        };
        let problems = fields.into_problems();
        match action {
            Some(action) if problems.is_empty() => Ok(action),
            _ => Err(problems),
        }
    }
}

fn receipt(fields: &mut Fields) -> Option<Receipt> {
    fields.refuse_null("id");
    let id = fields.text("id", limits::IDENTIFIER_CHARS);
    fields.require("epoch");
    let epoch = fields.integer("epoch", &(0..=u64::MAX));
    fields.require("seq");
    let seq = fields.integer("seq", &(0..=u64::MAX));
    Some(Receipt { id, position: Position { epoch: epoch?, seq: seq? } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &Value) -> Result<Action, Vec<String>> {
        Action::parse(value.as_object().unwrap().clone())
            .map_err(|problems| problems.into_iter().map(|problem| problem.field).collect())
    }

    #[test]
    fn reads_what_it_writes() {
        let position = Position { epoch: 7, seq: 3 };
        let receipt = Receipt { id: Some("m".into()), position };
        for action in [
            Action::Ping,
            Action::Sync { after: None, announced: None },
            Action::Sync { after: Some(position), announced: None },
            Action::Sync { after: Some(position), announced: Some(7) },
            Action::Ack(receipt.clone()),
            Action::Read(receipt),
            Action::Ack(Receipt { id: None, position }),
            Action::State { state: AppState::Background },
        ] {
            assert_eq!(parse(&serde_json::to_value(&action).unwrap()), Ok(action));
        }
    }

    #[test]
    fn names_what_is_wrong() {
        let wrong = |value| parse(&value).unwrap_err();
        assert_eq!(wrong(serde_json::json!({})), ["action"]);
        assert_eq!(wrong(serde_json::json!({"action": "dance"})), ["action"]);
        assert_eq!(wrong(serde_json::json!({"action": "sync", "epoch": 1})), ["seq"]);
        assert_eq!(wrong(serde_json::json!({"action": "sync", "announced": -1})), ["announced"]);
        assert_eq!(wrong(serde_json::json!({"action": "ack"})), ["epoch", "seq"]);
        assert_eq!(wrong(serde_json::json!({"action": "ack", "id": null, "epoch": 1, "seq": 1})), ["id"]);
        assert_eq!(wrong(serde_json::json!({"action": "state", "state": "asleep"})), ["state"]);
        assert_eq!(wrong(serde_json::json!({"action": "ping", "extra": 1})), ["extra"]);
    }
}
