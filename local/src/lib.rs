//! The local twin of a serverless stack, and the command line around it.
//!
//! The twin reads a SAM template and serves what it declares on loopback, with no Docker, no account and no other process:
//!
//! - [`template`] reads the template into plain data;
//! - [`functions`] runs Lambda functions as real processes on the Runtime API;
//! - [`gateway`] is the HTTP API, the WebSocket API and its `@connections`, with the events, limits and errors of AWS;
//! - [`aws`] is what functions call: DynamoDB, SQS, SES, SNS, Secrets Manager and `@connections` behind one endpoint;
//! - [`console`] is a page that shows what the twin has;
//! - [`event_source`] feeds queues to functions;
//! - [`faults`] decides what goes wrong, by chance or on purpose;
//! - [`providers`] plays APNs, FCM, a push service of browsers, Mi Push and a webhook's receiver;
//! - [`schedule`] fires `rate(…)` and `cron(…)` rules;
//! - [`ledger`] counts, for each thing that came from outside, the AWS requests that it cost;
//! - [`stack`] puts all of it together: start there;
//! - [`cli`] is the command line, `tidings`.

pub mod aws;
pub mod cli;
pub mod console;
pub mod event_source;
pub mod faults;
pub mod functions;
pub mod gateway;
pub mod guard;
pub mod ledger;
pub mod providers;
pub mod schedule;
pub mod stack;
pub mod template;
