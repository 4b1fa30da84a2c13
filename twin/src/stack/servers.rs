//! The listeners of a twin, and the tasks that serve them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::options::{StartError, TwinOptions};

/// A listener, and where it is.
pub(super) struct Bound {
    pub(super) listener: TcpListener,
    pub(super) url: String,
}

/// The listeners of a twin, bound before anything else begins: the template's URLs name their ports, and a port that is taken
/// fails the start at once.
pub(super) struct Listeners {
    pub(super) api: Bound,
    pub(super) socket: Bound,
    pub(super) aws: Bound,
    pub(super) console: Option<Bound>,
    /// Those of the extensions, in their order.
    pub(super) extensions: Vec<Option<TcpListener>>,
}

impl Listeners {
    pub(super) async fn bind(options: &TwinOptions) -> Result<Self, StartError> {
        let address = options.address;
        let api = listen("HTTP API", "http", address, options.api_port).await?;
        let socket = listen("WebSocket API", "ws", address, options.socket_port).await?;
        let aws = listen("AWS endpoint", "http", address, options.aws_port).await?;
        let mut extensions = Vec::new();
        for extension in &options.extensions {
            extensions.push(match extension.listener() {
                Some(wanted) => Some(listen(wanted.what, "http", address, wanted.port).await?.listener),
                None => None,
            });
        }
        let console = match options.console_port {
            Some(port) => Some(listen("console", "http", address, port).await?),
            None => None,
        };
        Ok(Self { api, socket, aws, console, extensions })
    }
}

async fn listen(what: &'static str, scheme: &str, address: IpAddr, port: u16) -> Result<Bound, StartError> {
    let wanted = SocketAddr::new(address, port);
    let bound = async {
        let listener = TcpListener::bind(wanted).await?;
        let address = listener.local_addr()?;
        Ok(Bound { listener, url: format!("{scheme}://{address}") })
    };
    bound.await.map_err(|source| StartError::Listen { what, address: wanted, source })
}

/// The listeners' tasks; they end when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Servers {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Servers {
    pub(super) fn serve(&mut self, listener: TcpListener, router: Router) {
        let stop = self.stop.clone();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        self.tasks.spawn(async move {
            let serving = axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned());
            if let Err(error) = serving.await {
                tracing::error!(%error, "a listener ended");
            }
        });
    }

    /// Takes no more requests, and lets those that run be answered.
    pub(super) async fn shutdown(mut self, grace: Duration) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, ended).await.is_err() {
            tracing::warn!("some requests were cut off");
        }
    }
}
