//! A local twin of a serverless stack on AWS.
//!
//! The twin reads a SAM template and serves its resources on loopback, without Docker, an account or another process:
//!
//! - [`template`] reads the template into plain data;
//! - [`functions`] runs Lambda functions as real processes on the Runtime API;
//! - [`gateway`] is the HTTP API, the WebSocket API and its `@connections`, with the events, limits and errors of AWS;
//! - [`services`] has the AWS services that functions call, behind one endpoint;
//! - [`iam`] checks the requests of functions against the roles of the template;
//! - [`outbox`] keeps the messages that were sent to people;
//! - [`console`] is a page that shows the state of the twin;
//! - [`event_source`] feeds queues to functions;
//! - [`faults`] decides which calls fail, by chance or by rule;
//! - [`schedule`] fires `rate(…)` and `cron(…)` rules;
//! - [`listener`] accepts all connections, for requests of every kind;
//! - [`data`] is the folder that keeps everything, and [`descriptors`] sets the limit of open files;
//! - [`ledger`] counts, for each event from outside, the AWS requests that it cost;
//! - [`records`] keeps, for a test command, which rights and requests the functions used;
//! - [`control`] has the common parts of the control API, and [`client`] sends requests to a running twin;
//! - [`extension`] is the interface by which a program adds to a twin;
//! - [`stack`] puts all parts together: start there;
//! - [`cli`] is the command line, `sam-twin`, in parts that another command line can use.

// All output goes through `cli::output`, which does not panic when its reader is gone.
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
