//! What a twin is started with.

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

/// What to run, and where.
#[derive(Debug, Clone)]
pub struct TwinOptions {
    /// The SAM template.
    pub template: PathBuf,
    /// Its parameters that are not to take their defaults.
    pub parameters: BTreeMap<String, String>,
    /// Where the functions' code comes from.
    pub source: Source,
    /// Where what was accepted is kept; in memory where there is none.
    pub data: Option<PathBuf>,
    /// The address to listen at. Anything but loopback lets others in, and the twin checks no signatures.
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
    /// How the event-source mappings differ from AWS's.
    pub event_sources: EventSourceOptions,
    /// What is to go wrong by chance, from the start on.
    pub faults: Option<Plan>,
    /// A folder for what the functions have used, which is written there at the twin's end: see
    /// [`records`](crate::records).
    pub records: Option<PathBuf>,
    /// What the program adds, in the order in which it starts.
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

/// Why a twin does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken, or may not be had.
    #[error("listen on {address} for the {what}")]
    Listen {
        /// What was to listen.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
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
