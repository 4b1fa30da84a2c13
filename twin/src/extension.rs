//! Additions of a program to a twin: a listener beside the twin's, values for the template's parameters, initial
//! secrets, routes of the control API, files of the console.
//!
//! The program keeps an [`Arc`](std::sync::Arc) of an extension, and controls it through that.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;

use axum::Router;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use crate::data::DataFolder;
use crate::ledger::Ledger;
use crate::listener::BoundListener;
use crate::outbox::Outbox;
use crate::services::dynamodb::DynamoDb;
use crate::services::secretsmanager::SecretsManager;
use crate::template::Template;

/// An addition to a twin. Each method but `start` adds nothing by default.
pub trait Extension: fmt::Debug + Send + Sync {
    /// The listener that the extension serves. The twin binds it together with its own, before it reads the template.
    fn listener(&self) -> Option<Listener> {
        None
    }

    /// Values for parameters of the template. The twin uses those that the template declares and its user has not set.
    /// `address` is that of the extension's listener.
    fn parameters(&self, address: Option<SocketAddr>) -> BTreeMap<String, String> {
        let _ = address;
        BTreeMap::new()
    }

    /// Starts the extension; no function runs yet. The returned routes become part of the control API, whose paths
    /// begin with `/_twin/`.
    ///
    /// # Errors
    /// If the extension cannot start; then the twin does not start, either.
    fn start(&self, parts: Parts<'_>) -> Result<Router, ExtensionError>;

    /// Files that the console serves, in place of the twin's files of the same names.
    fn console_files(&self) -> Vec<File> {
        Vec::new()
    }

    /// Further fields of the console's `config.json`, read at each request.
    fn console_config(&self) -> Map<String, Value> {
        Map::new()
    }

    /// Stops the extension. The functions have ended by then; the AWS endpoint still answers.
    fn stop(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

/// A file of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// Its path below the page: `panels/queues.js`.
    pub name: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// Its content.
    pub body: &'static [u8],
}

/// A listener that an extension needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// The name in the message about a port that is taken: `push providers`.
    pub what: &'static str,
    /// The port; 0 takes a free one.
    pub port: u16,
}

/// The parts of a twin that an extension can use.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The extension's listener, if it needs one.
    pub listener: Option<BoundListener>,
    /// The template, resolved.
    pub template: &'a Template,
    /// The region in which the functions seem to run.
    pub region: &'a str,
    /// The address at which the AWS endpoint will be served.
    pub aws_url: &'a str,
    /// The data folder.
    pub data: &'a DataFolder,
    /// The tables.
    pub dynamodb: &'a DynamoDb,
    /// The messages that were sent to people.
    pub outbox: &'a Outbox,
    /// Secrets Manager.
    pub secrets: &'a SecretsManager,
    /// The cost of each trace.
    pub ledger: &'a Ledger,
}

/// The reason for which an extension does not start.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct ExtensionError {
    what: &'static str,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl ExtensionError {
    /// `what` is the attempt that failed: `play the push providers`.
    #[must_use]
    pub fn new(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { what, source: source.into() }
    }
}
