//! Reads a SAM template into the model that the twin serves: functions, routes, queues, tables, schedules, outputs.
//!
//! Any template may come: what the twin has no counterpart for is named in [`Template::warnings`] and skipped; an
//! intrinsic that cannot be resolved, where the twin needs its value, is an error that names resource and property.

mod model;

pub use model::{
    Cors, EventSource, Function, HttpApi, HttpRoute, Queue, Redrive, Schedule, Table, Template, WebSocketApi,
    WebSocketRoute,
};

use std::collections::BTreeMap;

/// What a template is resolved against: where the twin listens, and what its user chose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Parameter overrides; a parameter that is missing here takes its default.
    pub parameters: BTreeMap<String, String>,
    /// `AWS::StackName`, the prefix of generated names.
    pub stack_name: String,
    /// `AWS::Region`.
    pub region: String,
    /// `AWS::AccountId`.
    pub account_id: String,
    /// Where the HTTP API is served, `http://127.0.0.1:7400`.
    pub api_url: String,
    /// Where the WebSocket API is served, `ws://127.0.0.1:7401`.
    pub socket_url: String,
    /// Where the AWS endpoint is served, `http://127.0.0.1:7402`.
    pub aws_url: String,
}

impl Settings {
    /// The twin's default names, for these three addresses.
    #[must_use]
    pub fn new(api_url: impl Into<String>, socket_url: impl Into<String>, aws_url: impl Into<String>) -> Self {
        Self {
            parameters: BTreeMap::new(),
            stack_name: "local".to_owned(),
            region: "us-east-1".to_owned(),
            account_id: "000000000000".to_owned(),
            api_url: api_url.into(),
            socket_url: socket_url.into(),
            aws_url: aws_url.into(),
        }
    }
}
