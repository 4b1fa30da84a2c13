//! The kinds of fault and their effects.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// An AWS request is not executed, and its connection is closed without an answer.
    FailBefore,
    /// An AWS request is executed, and its connection is closed without an answer.
    LoseAnswer,
    /// An AWS request is refused with the service's own throttling error.
    Throttle,
    /// An AWS request is refused with the service's own 500 or 503.
    ServerError,
    /// A DynamoDB write is refused because of a transaction on the same item.
    Conflict,
    /// Every second entry of an SQS batch, from the first on, fails in the answer and is not sent.
    Partial,
    /// The calling process is killed before its AWS request is executed.
    KillBefore,
    /// An AWS request is executed, and the calling process is killed before it has the answer.
    KillAfter,
    /// A post to a socket is delivered, and answered with 410.
    GoneThoughDelivered,
    /// A post to a socket is answered with 200, and nothing is sent.
    AcceptedThoughDead,
    /// A socket's `$disconnect` is never sent.
    LoseDisconnect,
    /// A socket's `$disconnect` is sent one to five seconds late.
    LateDisconnect,
    /// A socket is cut at a frame, which is lost.
    DropSocket,
    /// The delete of a processed message is lost: it is delivered again.
    RepeatDelivery,
    /// A standard queue delivers its messages in random order.
    ReorderDelivery,
    /// An invocation is refused before it begins.
    FailInvoke,
}

/// An unknown name of a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault {name:?}; there are {}", Fault::names())]
pub struct UnknownFault {
    name: String,
}

impl Fault {
    /// All kinds, in the order in which they are tried if several could strike.
    pub const ALL: [Self; 16] = [
        Self::KillBefore,
        Self::KillAfter,
        Self::FailBefore,
        Self::LoseAnswer,
        Self::Throttle,
        Self::ServerError,
        Self::Conflict,
        Self::Partial,
        Self::GoneThoughDelivered,
        Self::AcceptedThoughDead,
        Self::LoseDisconnect,
        Self::LateDisconnect,
        Self::DropSocket,
        Self::RepeatDelivery,
        Self::ReorderDelivery,
        Self::FailInvoke,
    ];

    /// The kinds that every request to an AWS service can meet.
    pub const OF_REQUESTS: [Self; 6] =
        [Self::KillBefore, Self::KillAfter, Self::FailBefore, Self::LoseAnswer, Self::Throttle, Self::ServerError];

    /// The name on the command line and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FailBefore => "fail-before",
            Self::LoseAnswer => "lose-answer",
            Self::Throttle => "throttle",
            Self::ServerError => "server-error",
            Self::Conflict => "conflict",
            Self::Partial => "partial",
            Self::KillBefore => "kill-before",
            Self::KillAfter => "kill-after",
            Self::GoneThoughDelivered => "gone-though-delivered",
            Self::AcceptedThoughDead => "accepted-though-dead",
            Self::LoseDisconnect => "lose-disconnect",
            Self::LateDisconnect => "late-disconnect",
            Self::DropSocket => "drop-socket",
            Self::RepeatDelivery => "repeat-delivery",
            Self::ReorderDelivery => "reorder-delivery",
            Self::FailInvoke => "fail-invoke",
        }
    }

    /// Its rate under `all`: high enough that it strikes within minutes, low enough that work still gets done.
    #[must_use]
    pub fn usual_rate(self) -> f64 {
        match self {
            // A new process costs what a cold start costs.
            Self::KillBefore | Self::KillAfter => 0.003,
            Self::FailInvoke => 0.005,
            Self::FailBefore | Self::LoseAnswer | Self::ServerError | Self::GoneThoughDelivered | Self::DropSocket => {
                0.01
            }
            Self::Throttle | Self::Conflict | Self::AcceptedThoughDead | Self::RepeatDelivery => 0.02,
            Self::Partial => 0.05,
            Self::LoseDisconnect | Self::LateDisconnect => 0.1,
            Self::ReorderDelivery => 0.2,
        }
    }

    /// All names, as a list for people.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|fault| fault.name() == text);
        found.ok_or_else(|| UnknownFault { name: text.to_owned() })
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
