//! The faults on the control API.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{delete, get, post};
use serde_json::json;

use super::{Fault, Faults, Plan, Rule, RuleId};
use crate::control::{answer, refuse};

/// What a rule can name.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// The functions, by logical id.
    pub(crate) functions: Vec<String>,
    /// The AWS services.
    pub(crate) services: Vec<&'static str>,
}

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

async fn state(State(Shared { faults, .. }): State<Shared>) -> Response {
    answer(&faults.summary())
}

/// `{"seed": 7, "rates": {"throttle": 0.02}}`
async fn plan(State(Shared { faults, .. }): State<Shared>, body: Bytes) -> Response {
    let plan = serde_json::from_slice::<Plan>(&body).map_err(|error| error.to_string());
    match plan.and_then(|plan| plan.check().map(|()| plan).map_err(|error| error.to_string())) {
        Ok(plan) => {
            faults.set_plan(Some(plan));
            answer(&faults.summary())
        }
        Err(reason) => refuse(StatusCode::BAD_REQUEST, &reason),
    }
}

async fn clear(State(Shared { faults, .. }): State<Shared>) -> Response {
    faults.clear();
    answer(&faults.summary())
}

/// What can be made to go wrong, how often `all` lets it, and what a rule can name.
async fn kinds(State(Shared { names, .. }): State<Shared>) -> Response {
    let kinds = Fault::ALL.map(|fault| json!({"fault": fault, "usualRate": fault.usual_rate()}));
    answer(&json!({"kinds": kinds, "functions": names.functions, "services": names.services}))
}

/// `{"fault": "kill-after", "function": "EchoFunction", "operation": "PutItem"}`; answers with the rule's id.
async fn add(State(Shared { faults, names }): State<Shared>, body: Bytes) -> Response {
    let rule = match serde_json::from_slice::<Rule>(&body) {
        Ok(rule) => rule,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let functions: Vec<&str> = names.functions.iter().map(String::as_str).collect();
    let unknown = unknown("function", rule.function.as_deref(), &functions)
        .or_else(|| unknown("service", rule.service.as_deref(), &names.services));
    match unknown {
        Some(message) => refuse(StatusCode::BAD_REQUEST, &message),
        None => answer(&json!({"id": faults.add(rule)})),
    }
}

/// The complaint about a name that is not among those that are known.
fn unknown(what: &str, name: Option<&str>, known: &[&str]) -> Option<String> {
    let name = name.filter(|name| !known.contains(name))?;
    Some(format!("there is no {what} {name:?}; there are {}", known.join(", ")))
}

async fn remove(State(Shared { faults, .. }): State<Shared>, Path(id): Path<RuleId>) -> Response {
    match faults.remove(id) {
        true => answer(&faults.summary()),
        false => refuse(StatusCode::NOT_FOUND, "there is no rule of this id"),
    }
}
