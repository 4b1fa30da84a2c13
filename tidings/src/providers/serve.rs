//! Connections that a handler can cut, which `axum::serve` does not offer.

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The connection that a request came by.
#[derive(Clone, Debug)]
pub(super) struct Connection(CancellationToken);

impl Connection {
    /// Ends it without another byte.
    pub(super) fn cut(&self) {
        self.0.cancel();
    }
}

/// Serves until it is to stop, then ends every connection.
pub(super) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(connection(stream, router.clone()))),
            Err(error) => tracing::warn!(%error, "a connection was not accepted"),
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, router: Router) {
    // An answer in two parts would otherwise wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let cut = CancellationToken::new();
    let service = TowerToHyperService::new(router.layer(Extension(Connection(cut.clone()))));
    let server = Builder::new(TokioExecutor::new());
    let serving = server.serve_connection(TokioIo::new(stream), service);
    if let Some(Err(error)) = cut.run_until_cancelled(serving).await {
        tracing::debug!(%error, "a connection to a push provider ended");
    }
}
