//! The schedules on the control API.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

use super::Rules;
use crate::control::{NoBody, NoParameters, answer};
use crate::functions::InvokeError;
use crate::template::Schedule;

/// The routes.
pub(crate) fn control(rules: Rules) -> Router {
    Router::new().route("/_twin/schedules", get(schedules)).route("/_twin/schedules/fire", post(fire)).with_state(rules)
}

async fn schedules(State(rules): State<Rules>, _: NoParameters) -> Response {
    let entry = |schedule: &Schedule| {
        let Schedule { name, function, expression, enabled, .. } = schedule;
        json!({"name": name, "function": function, "expression": expression, "enabled": enabled})
    };
    answer(&rules.list().map(entry).collect::<Vec<_>>())
}

/// Fires every schedule now, and answers with the outcome of each.
async fn fire(State(rules): State<Rules>, _: NoParameters, _: NoBody) -> Response {
    let entry = |(name, result): (&str, Result<(), InvokeError>)| {
        let error = result.err().map(|error| error.to_string());
        json!({"schedule": name, "error": error})
    };
    answer(&rules.fire_all().await.into_iter().map(entry).collect::<Vec<_>>())
}
