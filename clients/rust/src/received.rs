//! A message as it arrived, and its receipt.

use std::hash::{Hash, Hasher};

use tidings_wire::MessageFrame;
use tidings_wire::action::Receipt;

/// A message as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The message.
    pub message: MessageFrame,
    /// The frame on the wire, a JWE in compact form.
    pub sealed: String,
}

// By hand, because `MessageFrame` has neither: its JSON holds no float that is not equal to itself.
impl Eq for Received {}

impl Hash for Received {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.message.id, self.message.position, &self.sealed).hash(state);
    }
}

/// The receipt of a message; `None` for one without a position in the mailbox, which needs none.
pub(crate) fn receipt(message: &MessageFrame) -> Option<Receipt> {
    message.position.map(|position| Receipt { id: Some(message.id.clone()), position })
}
