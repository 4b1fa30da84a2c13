//! The versions of stored data: `docs/decisions/shapes.md` describes them, and the reasons.
//!
//! - [`golden`]: the files of every version, written and read by the current code
//! - [`newer`]: data that a later version may have stored

mod golden;
mod json;
mod newer;
mod samples;
