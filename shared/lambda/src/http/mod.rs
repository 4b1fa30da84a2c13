//! HTTP functions.
//!
//! - `event`: events of API Gateway as requests, responses as answers
//! - `router`: an axum router for them
//! - `extract`: the checks of a request, in one order; answers that must not be cached
//! - `error`: every failure as a problem

mod error;
mod event;
mod extract;
mod router;

pub use error::{ApiError, KeyFault, TokenFault};
pub use extract::{
    Caller, Checked, Invocation, JsonBody, Parameters, PathId, Payload, Query, Repeatable, SignedDevice, personal,
};
pub use router::serve;
