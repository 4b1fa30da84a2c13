//! The fallback chain: which step is due, whether it still applies, and what follows.
//!
//! The life of a step through this module:
//!
//! 1. [`is_needed`]: whether a step that has waited is worth looking at.
//! 2. [`decide`]: given the newest data, whether the step ends, waits, or is claimed with a [`Call`].
//!    How long the chain waits for its provider is its [`patience`].
//! 3. [`Claim::called_off`]: whether it makes that call at all, given what was read after the claim.
//! 4. [`Claim::settle`]: given what the providers [`Answer`], whether the step ends or is made again.
//! 5. [`next`]: when the step after it is due.

mod call;
mod claim;
mod decide;
mod retry;

pub use call::{Call, Notice, PushTarget};
pub use claim::{AddressState, Answer, Called, CalledOff, Claim, End, Then};
pub use decide::{COMEBACK_SECONDS, Decision, GONE, decide, is_needed, next, passed_over};
pub use retry::{ATTEMPTS, CLAIM_SECONDS, Patience, REPEATS, patience};

#[cfg(test)]
mod tests;
