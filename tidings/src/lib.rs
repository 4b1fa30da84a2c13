//! The command line of Tidings, and what Tidings adds to the twin that it runs in:
//!
//! - [`cli`] is the command line, `tidings`;
//! - [`providers`] plays APNs, FCM, a push service of browsers, Mi Push and a webhook's receiver;
//! - [`console`] is what the twin's console shows of the service;
//! - [`additions`] puts both into a twin.

// Output goes through `sam_twin::cli::output`, which does not panic if the reader of a pipe is gone.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod additions;
pub mod cli;
pub mod console;
pub mod providers;
