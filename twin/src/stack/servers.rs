//! The listeners of a twin, and the tasks that serve them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::options::{StartError, TwinOptions};
use crate::listener::BoundListener;

/// A listener and its URL.
pub(super) struct Bound {
    pub(super) listener: BoundListener,
    pub(super) url: String,
}

/// The listeners of a twin. They are bound first, because the template's URLs contain their ports, and because a port
/// that is taken fails the start at once.
pub(super) struct Listeners {
    pub(super) api: Bound,
    pub(super) socket: Bound,
    pub(super) aws: Bound,
    pub(super) console: Option<Bound>,
    /// The listeners of the extensions, in their order.
    pub(super) extensions: Vec<Option<BoundListener>>,
}

impl Listeners {
    pub(super) fn bind(options: &TwinOptions) -> Result<Self, StartError> {
        let address = options.address;
        let api = listen("HTTP API", "http", address, options.api_port)?;
        let socket = listen("WebSocket API", "ws", address, options.socket_port)?;
        let aws = listen("AWS endpoint", "http", address, options.aws_port)?;
        let mut extensions = Vec::new();
        for extension in &options.extensions {
            extensions.push(match extension.listener() {
                Some(wanted) => Some(listen(wanted.what, "http", address, wanted.port)?.listener),
                None => None,
            });
        }
        let console = match options.console_port {
            Some(port) => Some(listen("console", "http", address, port)?),
            None => None,
        };
        Ok(Self { api, socket, aws, console, extensions })
    }
}

fn listen(what: &'static str, scheme: &str, address: IpAddr, port: u16) -> Result<Bound, StartError> {
    let wanted = SocketAddr::new(address, port);
    let bound = || {
        let listener = BoundListener::bind(wanted)?;
        let address = listener.local_addr()?;
        Ok(Bound { listener, url: format!("{scheme}://{address}") })
    };
    bound().map_err(|source| StartError::Listen { what, address: wanted, source })
}

/// The listeners' tasks; they end when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Servers {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Servers {
    /// Serves a router; a connection is closed when the head of a request takes longer than `head`.
    pub(super) fn serve(&mut self, listener: BoundListener, router: Router, head: Option<Duration>) {
        self.tasks.spawn(listener.serve(router, self.stop.clone(), head));
    }

    /// Accepts no more requests, and lets the running ones finish.
    pub(super) async fn shutdown(mut self, grace: Duration) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, ended).await.is_err() {
            tracing::warn!("some requests were aborted at shutdown");
        }
    }
}
