//! The faults on the control API.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{delete, get, post};
use serde_json::json;

use super::check::{Names, check};
use super::{Fault, Faults, Plan, Rule, RuleId};
use crate::control::{Body, NoParameters, answer, refuse, unknown};

#[derive(Clone)]
struct Shared {
    faults: Faults,
    names: Names,
}

/// The routes.
pub(crate) fn control(faults: Faults, names: Names) -> Router {
    Router::new()
        .route("/_twin/faults", get(state).put(plan).delete(clear))
        .route("/_twin/faults/kinds", get(kinds))
        .route("/_twin/faults/rules", post(add))
        .route("/_twin/faults/rules/{id}", delete(remove))
        .with_state(Shared { faults, names })
}

async fn state(State(Shared { faults, .. }): State<Shared>, _: NoParameters) -> Response {
    answer(&faults.summary())
}

/// `{"seed": 7, "rates": {"throttle": 0.02}}`
async fn plan(State(Shared { faults, .. }): State<Shared>, _: NoParameters, Body(plan): Body<Plan>) -> Response {
    match plan.check() {
        Ok(()) => {
            faults.set_plan(Some(plan));
            answer(&faults.summary())
        }
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

async fn clear(State(Shared { faults, .. }): State<Shared>, _: NoParameters) -> Response {
    faults.clear();
    answer(&faults.summary())
}

/// The kinds of fault with their rates under `all`, and the names that a rule may contain.
async fn kinds(State(Shared { names, .. }): State<Shared>, _: NoParameters) -> Response {
    let services: Vec<&str> = names.services.iter().map(|it| it.service).collect();
    let kinds = Fault::ALL.map(|fault| json!({"fault": fault, "usualRate": fault.usual_rate()}));
    answer(&json!({"kinds": kinds, "functions": names.functions, "services": services}))
}

/// `{"fault": "kill-after", "function": "EchoFunction", "operation": "PutItem"}`; answers with the rule's id.
async fn add(State(Shared { faults, names }): State<Shared>, _: NoParameters, Body(rule): Body<Rule>) -> Response {
    match check(&rule, &names) {
        Err(message) => refuse(StatusCode::BAD_REQUEST, &message),
        Ok(()) => answer(&json!({"id": faults.add(rule)})),
    }
}

async fn remove(State(Shared { faults, .. }): State<Shared>, Path(id): Path<RuleId>, _: NoParameters) -> Response {
    match faults.remove(id) {
        true => answer(&faults.summary()),
        false => {
            let ids = faults.summary().rules.into_iter().map(|rule| rule.id.0);
            unknown("rule", &id.0.to_string(), ids)
        }
    }
}
