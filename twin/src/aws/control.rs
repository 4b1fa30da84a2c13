//! The twin's own API, under `/_twin/`: what was sent, what it cost and what waits; switches for the mappings and for
//! faults; and what brings dead letters back and lets schedules fire.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Services;
use super::sqs::{Code, Message};
use crate::console::EMAIL_POLICY;
use crate::faults::{Fault, Plan, Rule, RuleId};
use crate::functions::InvokeError;
use crate::template::Schedule;

/// The longest that a request waits for something to happen.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The most messages of a queue that are looked at together.
const MOST: usize = 100;

pub(super) fn router() -> Router<Services> {
    Router::new()
        .route("/_twin/outbox", get(outbox))
        .route("/_twin/outbox/{number}/page", get(email))
        .route("/_twin/traces", get(traces))
        .route("/_twin/traces/{id}", get(trace))
        .route("/_twin/queues", get(queues))
        .route("/_twin/queues/{queue}/messages", get(peek))
        .route("/_twin/queues/{queue}/redrive", post(redrive))
        .route("/_twin/schedules", get(schedules))
        .route("/_twin/schedules/fire", post(fire))
        .route("/_twin/faults", get(faults).put(plan_faults).delete(clear_faults))
        .route("/_twin/faults/kinds", get(kinds))
        .route("/_twin/faults/rules", post(add_rule))
        .route("/_twin/faults/rules/{id}", delete(remove_rule))
        .route("/_twin/event-sources", get(event_sources))
        .route("/_twin/event-sources/{function}", post(switch))
        .route("/_twin/outputs", get(outputs))
}

#[derive(Deserialize)]
struct OutboxQuery {
    /// Only what was sent after the item of this number.
    #[serde(default)]
    after: u64,
    /// For how many seconds to wait where there is nothing.
    #[serde(default)]
    wait: u64,
    /// Only so many, the newest of them.
    limit: Option<usize>,
}

async fn outbox(State(services): State<Services>, Query(query): Query<OutboxQuery>) -> Response {
    let arrives = services.outbox.wait_after(query.after);
    let items = tokio::time::timeout(limited(query.wait), arrives).await.unwrap_or_default();
    let skipped = query.limit.map_or(0, |limit| items.len().saturating_sub(limit));
    answer(&&items[skipped..])
}

/// An email as its reader sees it.
async fn email(State(services): State<Services>, Path(number): Path<u64>) -> Response {
    let Some(html) = services.outbox.item(number).and_then(|item| item.html) else {
        return refuse(StatusCode::NOT_FOUND, "no email with a page has this number");
    };
    // A link may open another window only, and the sandbox lets it open none: who follows one stays with the email.
    let page = format!("<!doctype html><base target=\"_blank\">{html}");
    ([(header::CONTENT_SECURITY_POLICY, EMAIL_POLICY)], Html(page)).into_response()
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

#[derive(Deserialize)]
struct PeekQuery {
    #[serde(default = "some")]
    limit: usize,
}

/// The oldest messages of a queue, which stay where they are.
async fn peek(State(services): State<Services>, Path(queue): Path<String>, Query(query): Query<PeekQuery>) -> Response {
    match services.sqs.peek(&queue, query.limit.min(MOST)) {
        Ok(messages) => {
            let told = |it: &Message| json!({"id": it.id, "sentAt": it.sent_at, "group": it.group, "receives": it.receives, "body": it.body});
            answer(&messages.iter().map(told).collect::<Vec<_>>())
        }
        Err(error) => refuse(StatusCode::NOT_FOUND, &error.message),
    }
}

/// Moves what a dead-letter queue has back to where it came from.
async fn redrive(State(services): State<Services>, Path(queue): Path<String>) -> Response {
    match services.sqs.redrive(&queue).await {
        Ok(moved) => answer(&json!({"moved": moved})),
        Err(error) if error.code == Code::QueueDoesNotExist => refuse(StatusCode::NOT_FOUND, &error.message),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.message),
    }
}

async fn schedules(State(services): State<Services>) -> Response {
    let told = |schedule: &Schedule| {
        let Schedule { name, function, expression, enabled, .. } = schedule;
        json!({"name": name, "function": function, "expression": expression, "enabled": enabled})
    };
    answer(&services.schedules.list().map(told).collect::<Vec<_>>())
}

/// Fires every schedule now, and tells how its function fared.
async fn fire(State(services): State<Services>) -> Response {
    let fired = services.schedules.fire_all().await;
    let told = |(name, result): (&str, Result<(), InvokeError>)| json!({"schedule": name, "error": result.err().map(|error| error.to_string())});
    answer(&fired.into_iter().map(told).collect::<Vec<_>>())
}

async fn faults(State(services): State<Services>) -> Response {
    answer(&services.faults.told())
}

/// `{"seed": 7, "rates": {"throttle": 0.02}}`
async fn plan_faults(State(services): State<Services>, body: Bytes) -> Response {
    let plan = serde_json::from_slice::<Plan>(&body).map_err(|error| error.to_string());
    match plan.and_then(|plan| plan.check().map(|()| plan).map_err(|error| error.to_string())) {
        Ok(plan) => {
            services.faults.set_plan(Some(plan));
            answer(&services.faults.told())
        }
        Err(reason) => refuse(StatusCode::BAD_REQUEST, &reason),
    }
}

async fn clear_faults(State(services): State<Services>) -> Response {
    services.faults.clear();
    answer(&services.faults.told())
}

/// What can be made to go wrong, how often `all` lets it, and whose calls a rule can name.
async fn kinds(State(services): State<Services>) -> Response {
    let kinds = Fault::ALL.map(|fault| json!({"fault": fault, "usualRate": fault.usual_rate()}));
    answer(&json!({"kinds": kinds, "functions": services.functions.names().collect::<Vec<_>>()}))
}

/// `{"fault": "kill-after", "function": "DeliverFunction", "operation": "PutItem"}`; answers with the rule's id.
async fn add_rule(State(services): State<Services>, body: Bytes) -> Response {
    let rule = match serde_json::from_slice::<Rule>(&body) {
        Ok(rule) => rule,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let known: Vec<&str> = services.functions.names().collect();
    if let Some(function) = rule.function.as_deref().filter(|name| !known.contains(name)) {
        let message = format!("there is no function {function:?}; there are {}", known.join(", "));
        return refuse(StatusCode::BAD_REQUEST, &message);
    }
    answer(&json!({"id": services.faults.add(rule)}))
}

async fn remove_rule(State(services): State<Services>, Path(id): Path<RuleId>) -> Response {
    match services.faults.remove(id) {
        true => answer(&services.faults.told()),
        false => refuse(StatusCode::NOT_FOUND, "there is no rule of this id"),
    }
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
