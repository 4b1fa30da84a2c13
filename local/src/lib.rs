//! tidings-local

pub mod functions;
pub mod gateway;
pub mod ledger;
pub mod schedule;
pub mod template;
