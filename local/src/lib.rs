//! tidings-local

pub mod ledger;
pub mod template;
