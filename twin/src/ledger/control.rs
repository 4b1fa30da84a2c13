//! The traces on the control API.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::{Ledger, REMEMBERED};
use crate::control::{Asked, FromQuery, Parameters, answer, refuse};

/// The routes.
pub(crate) fn control(ledger: Ledger) -> Router {
    Router::new().route("/_twin/traces", get(traces)).route("/_twin/traces/{id}", get(trace)).with_state(ledger)
}

struct TracesQuery {
    limit: usize,
}

impl FromQuery for TracesQuery {
    fn from_query(asked: &mut Asked) -> Self {
        Self { limit: asked.limit(REMEMBERED) }
    }
}

async fn traces(State(ledger): State<Ledger>, Parameters(query): Parameters<TracesQuery>) -> Response {
    answer(&ledger.recent(query.limit))
}

struct TraceQuery {
    /// How long to wait for the trace to become quiet.
    wait: Duration,
}

impl FromQuery for TraceQuery {
    fn from_query(asked: &mut Asked) -> Self {
        Self { wait: asked.wait() }
    }
}

async fn trace(
    State(ledger): State<Ledger>,
    Path(id): Path<String>,
    Parameters(query): Parameters<TraceQuery>,
) -> Response {
    let Some(known) = ledger.find(&id) else {
        return refuse(StatusCode::NOT_FOUND, &format!("there is no trace of {id:?}, or it is forgotten"));
    };
    let settled = tokio::time::timeout(query.wait, ledger.settled(&known.trace_id)).await;
    let latest = settled.ok().flatten().or_else(|| ledger.find(&id)).unwrap_or(known);
    answer(&latest)
}
