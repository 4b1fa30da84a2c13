//! The twin's own API, under `/_tidings/`: what was sent, what it cost, what waits, and switches for the mappings.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Services;

/// The longest that a request waits for something to happen.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

pub(super) fn router() -> Router<Services> {
    Router::new()
        .route("/_tidings/outbox", get(outbox))
        .route("/_tidings/traces", get(traces))
        .route("/_tidings/traces/{id}", get(trace))
        .route("/_tidings/queues", get(queues))
        .route("/_tidings/event-sources", get(event_sources))
        .route("/_tidings/event-sources/{function}", post(switch))
        .route("/_tidings/outputs", get(outputs))
}

#[derive(Deserialize)]
struct OutboxQuery {
    /// Only what was sent after the item of this number.
    #[serde(default)]
    after: u64,
    /// For how many seconds to wait where there is nothing.
    #[serde(default)]
    wait: u64,
}

async fn outbox(State(services): State<Services>, Query(query): Query<OutboxQuery>) -> Response {
    let arrives = services.outbox.wait_after(query.after);
    answer(&tokio::time::timeout(limited(query.wait), arrives).await.unwrap_or_default())
}

#[derive(Deserialize)]
struct TracesQuery {
    #[serde(default = "some")]
    limit: usize,
}

fn some() -> usize {
    50
}

async fn traces(State(services): State<Services>, Query(query): Query<TracesQuery>) -> Response {
    answer(&services.ledger.recent(query.limit))
}

#[derive(Deserialize)]
struct TraceQuery {
    /// For how many seconds to wait until it is quiet.
    #[serde(default)]
    wait: u64,
}

async fn trace(State(services): State<Services>, Path(id): Path<String>, Query(query): Query<TraceQuery>) -> Response {
    let Some(known) = services.ledger.find(&id) else {
        return refuse(StatusCode::NOT_FOUND, "no such trace, or it is forgotten");
    };
    let settled = tokio::time::timeout(limited(query.wait), services.ledger.settled(&known.trace_id)).await;
    let latest = settled.ok().flatten().or_else(|| services.ledger.find(&id)).unwrap_or(known);
    answer(&latest)
}

async fn queues(State(services): State<Services>) -> Response {
    answer(&services.sqs.counts())
}

async fn event_sources(State(services): State<Services>) -> Response {
    answer(&services.event_sources.states())
}

#[derive(Deserialize)]
struct Switch {
    enabled: bool,
}

async fn switch(
    State(services): State<Services>,
    Path(function): Path<String>,
    axum::Json(switch): axum::Json<Switch>,
) -> Response {
    match services.event_sources.set_enabled(&function, switch.enabled) {
        true => answer(&services.event_sources.states()),
        false => refuse(StatusCode::NOT_FOUND, "no queue feeds a function of this name"),
    }
}

async fn outputs(State(services): State<Services>) -> Response {
    answer(&services.outputs)
}

fn limited(seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(LONGEST_WAIT)
}

fn answer(body: &impl Serialize) -> Response {
    axum::Json(body).into_response()
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({"message": message}))).into_response()
}
