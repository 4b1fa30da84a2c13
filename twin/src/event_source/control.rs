//! The mappings on the control API.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use super::EventSources;
use crate::control::{answer, refuse};

/// The routes.
pub(crate) fn control(event_sources: EventSources) -> Router {
    Router::new()
        .route("/_twin/event-sources", get(states))
        .route("/_twin/event-sources/{function}", post(switch))
        .with_state(event_sources)
}

async fn states(State(event_sources): State<EventSources>) -> Response {
    answer(&event_sources.states())
}

#[derive(Deserialize)]
struct Switch {
    enabled: bool,
}

async fn switch(
    State(event_sources): State<EventSources>,
    Path(function): Path<String>,
    axum::Json(switch): axum::Json<Switch>,
) -> Response {
    match event_sources.set_enabled(&function, switch.enabled) {
        true => answer(&event_sources.states()),
        false => refuse(StatusCode::NOT_FOUND, "no queue feeds a function of this name"),
    }
}
