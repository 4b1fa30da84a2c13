//! Timers: on the `later` queue, or in the due table if they are due later than that.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidings_wire::Word;

use crate::{AppId, MessageId, More, Seal, Timestamp, chain::StepDue, delivery::Redelivery, shape::Body};

/// A timer. It is never cancelled: when it is due, it is checked whether it is still needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "timer", rename_all = "lowercase")]
pub enum Timer {
    /// A step of a fallback chain.
    Step(StepDue),
    /// A redelivery.
    #[serde(rename = "again")]
    Redeliver(Redelivery),
    /// A scheduled message.
    Send(SendDue),
}

impl Body for Timer {
    const KIND: &'static str = "timer";

    fn app(&self) -> Option<&AppId> {
        match self {
            Self::Step(step) => Some(&step.user.app),
            Self::Redeliver(redelivery) => Some(&redelivery.user.app),
            // Ids and a time: its record holds the rest.
            Self::Send(_) => None,
        }
    }

    fn name(body: &Value) -> Option<Word> {
        Word::new(body.get("timer")?.as_str()?)
    }
}

/// A scheduled message. Its record holds the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendDue {
    /// The message.
    pub id: MessageId,
    /// When it is due.
    pub due: Timestamp,
    /// What a newer version has added.
    #[serde(flatten)]
    pub more: More,
}

impl Timer {
    /// When it is due.
    #[must_use]
    pub fn due(&self) -> Timestamp {
        match self {
            Self::Step(step) => step.due,
            Self::Redeliver(redelivery) => redelivery.due,
            Self::Send(send) => send.due,
        }
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &MessageId {
        match self {
            Self::Step(step) => &step.id,
            Self::Redeliver(redelivery) => &redelivery.id,
            Self::Send(send) => &send.id,
        }
    }

    /// Its key among the timers that are due at the same time.
    #[must_use]
    pub fn key(&self, seal: &Seal) -> String {
        match self {
            Self::Step(step) => format!("{}#{}#{}", step.id, step.step, seal.pseudonym(&step.user)),
            Self::Redeliver(redelivery) => {
                format!("{}#{}#{}", redelivery.id, redelivery.name(), seal.pseudonym(&redelivery.user))
            }
            Self::Send(send) => format!("{}#send", send.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Position, delivery::tests};

    #[test]
    fn reads_what_it_writes() {
        let (user, id, due) = (tests::delivery(1).user, tests::id(1), Timestamp(5));
        let position = Position { epoch: u64::MAX, seq: 3 };
        let more = || serde_json::from_value::<More>(serde_json::json!({"colour": [1.5, "red"]})).unwrap();
        let step = StepDue {
            user: user.clone(),
            position,
            id: id.clone(),
            step: 1,
            due,
            waited: true,
            attempts: 0,
            more: more(),
        };
        let redelivery =
            Redelivery { user, position, id: id.clone(), attempt: 1, due, unanswered: Vec::new(), more: more() };
        let timers = [Timer::Step(step), Timer::Redeliver(redelivery), Timer::Send(SendDue { id, due, more: more() })];
        for timer in &timers {
            let json = serde_json::to_string(timer).unwrap();
            assert_eq!(&serde_json::from_str::<Timer>(&json).unwrap(), timer);
            assert_eq!((timer.due(), timer.message()), (due, &tests::id(1)));
        }
        let [step, again, send] = timers.map(|timer| timer.key(&Seal::Clear));
        assert!(step != again && again != send);
    }
}
