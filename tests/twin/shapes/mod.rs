//! What is stored has a version: `docs/decisions/shapes.md` says which, and why.
//!
//! - [`golden`]: the files of every version, written by today's code and read by it
//! - [`newer`]: what a version after this one may have stored

mod golden;
mod json;
mod newer;
mod samples;
