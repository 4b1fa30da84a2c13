//! HTTP functions.
//!
//! - `router`: an axum router on `lambda_http`
//! - `extract`: the checks of a request, in one order; the answers for one person only
//! - `error`: every failure as a problem

mod error;
mod extract;
mod router;

pub use error::ApiError;
pub use extract::{
    Caller, Checked, Invocation, JsonBody, Parameters, PathId, Payload, Repeatable, SignedDevice, of_tenant, pairs,
    personal,
};
pub use router::{complete, serve};
