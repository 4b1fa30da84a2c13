//! The delivery of one message to one recipient: the queued job, the posts, and the next steps.
//!
//! Three kinds of [`Job`] travel on the delivery queues, in the order in which they were put there for one user: a
//! message to deliver, one to deliver again because no device has confirmed it, and one to withdraw.

mod job;
mod placing;
mod posting;
mod redelivery;

pub use job::{Delivery, Job, Withdraw};
pub use placing::{APPEND_ATTEMPTS, Draft, Next, Placement, Placing};
pub use posting::{PostOutcome, Settled, devices_of, first_step, settle};
pub use redelivery::{REDELIVERY_SECONDS, REPEAT_SECONDS, Redelivery};

#[cfg(test)]
pub(crate) mod tests;
