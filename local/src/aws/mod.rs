//! The AWS services that functions call.

mod journal;
pub mod sqs;
