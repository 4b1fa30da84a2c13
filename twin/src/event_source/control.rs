//! The mappings on the control API.

use std::collections::BTreeSet;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use super::EventSources;
use crate::control::{Body, NoParameters, answer, unknown};

/// The routes.
pub(crate) fn control(event_sources: EventSources) -> Router {
    Router::new()
        .route("/_twin/event-sources", get(states))
        .route("/_twin/event-sources/{function}", post(switch))
        .with_state(event_sources)
}

async fn states(State(event_sources): State<EventSources>, _: NoParameters) -> Response {
    answer(&event_sources.states())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    enabled: bool,
}

async fn switch(
    State(event_sources): State<EventSources>,
    Path(function): Path<String>,
    _: NoParameters,
    Body(switch): Body<Switch>,
) -> Response {
    match event_sources.set_enabled(&function, switch.enabled) {
        true => answer(&event_sources.states()),
        false => {
            let fed = event_sources.states().into_iter().map(|state| state.function);
            unknown("function that a queue feeds", &function, fed.collect::<BTreeSet<_>>())
        }
    }
}
