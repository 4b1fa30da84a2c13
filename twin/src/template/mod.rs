//! Reads a SAM template into the model that the twin serves: functions, routes, queues, tables, schedules, outputs.
//!
//! Any template is accepted: parts without a counterpart here are named in [`Template::warnings`] and skipped. An
//! intrinsic that cannot be resolved is an error that names resource and property, if the twin needs its value.

mod api;
mod build;
mod checks;
mod globals;
mod keys;
mod known;
mod model;
mod properties;
mod references;
mod resolve;
mod roles;
mod secrets;
mod unserved;
mod yaml;

pub use model::{
    Cors, EventSource, Function, HttpApi, HttpRoute, Key, KeyAlias, Queue, Redrive, Schedule, Secret, Table, Template,
    WebSocketApi, WebSocketRoute,
};

pub use secrets::Secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use thiserror::Error;

/// The settings with which a template is resolved: the twin's addresses, and the choices of its user.
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
    /// The URL of the HTTP API, `http://127.0.0.1:7400`.
    pub api_url: String,
    /// The URL of the WebSocket API, `ws://127.0.0.1:7401`.
    pub socket_url: String,
    /// The URL of the AWS endpoint, `http://127.0.0.1:7402`.
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

/// The reason for which a template cannot be served.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// The file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It is not YAML.
    #[error("it is not YAML: {0}")]
    Yaml(#[from] serde_yaml_ng::Error),
    /// It is YAML, but not a template that the twin can serve.
    #[error("{0}")]
    Shape(String),
    /// A value cannot be resolved or is of the wrong kind.
    #[error("{place}: {message}")]
    Invalid {
        /// The resource and the property.
        place: String,
        /// The fault.
        message: String,
    },
    /// A parameter has no default and was not given.
    #[error("the parameter {0} has no default: give it a value")]
    MissingParameter(String),
    /// A parameter was given that the template does not declare.
    #[error(
        "the template has no parameter {name}; it {}",
        if .known.is_empty() { "declares none".to_owned() } else { format!("has {known}") }
    )]
    UnknownParameter {
        /// The name.
        name: String,
        /// The declared names.
        known: String,
    },
    /// A secret cannot be generated or kept.
    #[error("the secret {secret} cannot be made or kept")]
    Secret {
        /// Its logical id.
        secret: String,
        /// The reason.
        source: io::Error,
    },
}

impl Template {
    /// Reads and resolves a template file.
    ///
    /// Generated secrets come from `secrets`, which creates the new ones.
    ///
    /// # Errors
    /// If the file cannot be read, is not a template, or the twin needs a value that cannot be resolved.
    pub fn read(path: &Path, settings: &Settings, secrets: &mut Secrets) -> Result<Self, TemplateError> {
        let text = fs::read_to_string(path).map_err(|source| TemplateError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, settings, secrets)
    }

    /// The names of the parameters that a template declares.
    ///
    /// # Errors
    /// If the file cannot be read, or is not YAML.
    pub fn parameters(path: &Path) -> Result<BTreeSet<String>, TemplateError> {
        let text = fs::read_to_string(path).map_err(|source| TemplateError::Read { path: path.to_owned(), source })?;
        let document = yaml::parse(&text)?;
        let declared = document.get("Parameters").and_then(serde_json::Value::as_object);
        Ok(declared.into_iter().flatten().map(|(name, _)| name.clone()).collect())
    }

    /// Resolves the text of a template.
    ///
    /// # Errors
    /// If it is not a template, or the twin needs a value that cannot be resolved.
    pub fn parse(text: &str, settings: &Settings, secrets: &mut Secrets) -> Result<Self, TemplateError> {
        let document = yaml::parse(text)?;
        if !document.get("Resources").is_some_and(serde_json::Value::is_object) {
            return Err(TemplateError::Shape("it has no Resources, so it is no template".to_owned()));
        }
        let resolver = resolve::Resolver::new(&document, settings, secrets)?;
        build::build(&document, resolver)
    }
}

#[cfg(test)]
mod roles_tests;
#[cfg(test)]
mod tests;
