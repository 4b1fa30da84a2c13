//! The options of a twin.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use crate::data::DataError;
use crate::event_source::EventSourceOptions;
use crate::extension::{Extension, ExtensionError};
use crate::faults::Plan;
use crate::functions::Source;
use crate::gateway::http::HttpLimits;
use crate::gateway::websocket::SocketLimits;
use crate::services::OpenError;
use crate::template::TemplateError;

/// The template, the ports and the limits of a twin.
#[derive(Debug, Clone)]
pub struct TwinOptions {
    /// The SAM template.
    pub template: PathBuf,
    /// Parameters with other values than their defaults.
    pub parameters: BTreeMap<String, String>,
    /// The source of the functions' code.
    pub source: Source,
    /// The folder that keeps accepted data; without one, it is in memory.
    pub data: Option<PathBuf>,
    /// The address to listen on. Any but loopback admits other machines, and the twin checks no signatures.
    pub address: IpAddr,
    /// The port of the HTTP API; 0 takes a free one.
    pub api_port: u16,
    /// The port of the WebSocket API; 0 takes a free one.
    pub socket_port: u16,
    /// The port of the AWS endpoint; 0 takes a free one.
    pub aws_port: u16,
    /// The port of the console; 0 takes a free one, and without one there is no console.
    pub console_port: Option<u16>,
    /// The most processes of one function.
    pub process_limit: usize,
    /// The limits of the HTTP API.
    pub http_limits: HttpLimits,
    /// The limits of the WebSocket API.
    pub socket_limits: SocketLimits,
    /// Settings in which the event source mappings differ from those of AWS.
    pub event_sources: EventSourceOptions,
    /// The initial plan of faults.
    pub faults: Option<Plan>,
    /// A folder for a record of the rights and requests that the functions used, written at the twin's end: see
    /// [`records`](crate::records).
    pub records: Option<PathBuf>,
    /// The extensions, in the order in which they start.
    pub extensions: Vec<Arc<dyn Extension>>,
}

impl TwinOptions {
    /// A template on free ports, in memory, with AWS's limits.
    #[must_use]
    pub fn new(template: impl Into<PathBuf>, source: Source) -> Self {
        Self {
            template: template.into(),
            parameters: BTreeMap::new(),
            source,
            data: None,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            api_port: 0,
            socket_port: 0,
            aws_port: 0,
            console_port: None,
            process_limit: 16,
            http_limits: HttpLimits::default(),
            socket_limits: SocketLimits::default(),
            event_sources: EventSourceOptions::default(),
            faults: None,
            records: None,
            extensions: Vec::new(),
        }
    }
}

/// The reason for which a twin does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken or forbidden.
    #[error("listen on {address} for the {what}")]
    Listen {
        /// The name of the listener.
        what: &'static str,
        /// Its address.
        address: SocketAddr,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The template cannot be served.
    #[error("the template cannot be served")]
    Template(#[from] TemplateError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An extension does not start.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
    /// A service cannot be opened.
    #[error(transparent)]
    Service(#[from] OpenError),
}
