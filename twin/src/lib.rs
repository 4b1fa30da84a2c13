//! A local twin of a serverless stack on AWS.
//!
//! The twin reads a SAM template and serves what it declares on loopback, with no Docker, no account and no other process:
//!
//! - [`template`] reads the template into plain data;
//! - [`functions`] runs Lambda functions as real processes on the Runtime API;
//! - [`gateway`] is the HTTP API, the WebSocket API and its `@connections`, with the events, limits and errors of AWS;
//! - [`services`] is what functions call of AWS, behind one endpoint, and has the list of it;
//! - [`iam`] holds what functions ask against the roles of the template;
//! - [`outbox`] keeps what was sent to people;
//! - [`console`] is a page that shows what the twin has;
//! - [`event_source`] feeds queues to functions;
//! - [`faults`] decides what goes wrong, by chance or on purpose;
//! - [`schedule`] fires `rate(…)` and `cron(…)` rules;
//! - [`listener`] is the one way in, for requests of every kind;
//! - [`data`] is the folder in which everything is kept, and [`descriptors`] how much may be open;
//! - [`ledger`] counts, for each thing that came from outside, the AWS requests that it cost;
//! - [`records`] keep, for a test command, what the functions used;
//! - [`control`] is what the routes of the control API have in common, and [`client`] asks a running twin over it;
//! - [`extension`] is what a program adds to a twin;
//! - [`stack`] puts all of it together: start there;
//! - [`cli`] is the command line, `sam-twin`, in parts that another command line can use.

// What is printed goes through `cli::output`, which does not panic when nobody reads it.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod client;
pub mod console;
pub mod control;
pub mod data;
pub mod descriptors;
pub mod event_source;
pub mod extension;
pub mod faults;
pub mod functions;
pub mod gateway;
pub mod guard;
pub mod iam;
pub mod ids;
mod journal;
pub mod ledger;
pub mod listener;
pub mod outbox;
pub mod private_file;
pub mod records;
pub mod schedule;
pub mod service;
pub mod services;
pub mod stack;
pub mod template;
