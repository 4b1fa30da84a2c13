//! The functions' code on the control API.

use std::path::PathBuf;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;

use super::{Functions, Source};
use crate::control::{Body, NoParameters, answer, refuse};

/// The routes.
pub(crate) fn control(functions: Functions) -> Router {
    Router::new().route("/_twin/artefacts", get(shown).put(exchange).delete(back)).with_state(functions)
}

async fn shown(State(functions): State<Functions>, _: NoParameters) -> Response {
    let folder = match functions.source() {
        Source::Artefacts(folder) => Some(folder),
        Source::Program { .. } | Source::ProgramFor { .. } | Source::CodeUri(_) => None,
    };
    answer(&json!({"folder": folder, "exchanged": functions.exchanged()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    folder: PathBuf,
}

/// Runs the functions from another folder, from their next invocation on.
async fn exchange(
    State(functions): State<Functions>,
    none: NoParameters,
    Body(Exchange { folder }): Body<Exchange>,
) -> Response {
    match functions.exchange(Source::Artefacts(folder)).await {
        Ok(()) => shown(State(functions), none).await,
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

/// Runs the functions from the source at the start of the twin.
async fn back(State(functions): State<Functions>, none: NoParameters) -> Response {
    match functions.exchange(functions.first_source()).await {
        Ok(()) => shown(State(functions), none).await,
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}
