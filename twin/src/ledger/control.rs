//! The traces on the control API.

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;

use super::Ledger;
use crate::control::{answer, default_limit, refuse, wait_of};

/// The routes.
pub(crate) fn control(ledger: Ledger) -> Router {
    Router::new().route("/_twin/traces", get(traces)).route("/_twin/traces/{id}", get(trace)).with_state(ledger)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TracesQuery {
    #[serde(default = "default_limit")]
    limit: usize,
}

async fn traces(State(ledger): State<Ledger>, Query(query): Query<TracesQuery>) -> Response {
    answer(&ledger.recent(query.limit))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TraceQuery {
    /// For how many seconds to wait until it is quiet.
    #[serde(default)]
    wait: u64,
}

async fn trace(State(ledger): State<Ledger>, Path(id): Path<String>, Query(query): Query<TraceQuery>) -> Response {
    let Some(known) = ledger.find(&id) else {
        return refuse(StatusCode::NOT_FOUND, &format!("there is no trace of {id:?}, or it is forgotten"));
    };
    let settled = tokio::time::timeout(wait_of(query.wait), ledger.settled(&known.trace_id)).await;
    let latest = settled.ok().flatten().or_else(|| ledger.find(&id)).unwrap_or(known);
    answer(&latest)
}
