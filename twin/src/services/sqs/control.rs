//! The queues on the control API, which finds them by their names or their logical ids.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

use super::{Message, Sqs};
use crate::control::{Asked, FromQuery, NoBody, NoParameters, Parameters, answer, refuse, unknown};

/// The most messages of a queue that one request returns.
const MOST: usize = 100;

/// The routes.
pub(super) fn control(sqs: Sqs) -> Router {
    Router::new()
        .route("/_twin/queues", get(queues))
        .route("/_twin/queues/{queue}/messages", get(peek))
        .route("/_twin/queues/{queue}/redrive", post(redrive))
        .with_state(sqs)
}

async fn queues(State(sqs): State<Sqs>, _: NoParameters) -> Response {
    answer(&sqs.counts())
}

struct PeekQuery {
    limit: usize,
}

impl FromQuery for PeekQuery {
    fn from_query(asked: &mut Asked) -> Self {
        Self { limit: asked.limit(MOST) }
    }
}

/// Returns the oldest messages of a queue without receiving them.
async fn peek(State(sqs): State<Sqs>, Path(queue): Path<String>, Parameters(query): Parameters<PeekQuery>) -> Response {
    let entry = |it: &Message| {
        let Message { id, sent_at, group, receives, body, .. } = it;
        json!({"id": id, "sentAt": sent_at, "group": group, "receives": receives, "body": body})
    };
    match sqs.named(&queue).and_then(|name| sqs.peek(&name, query.limit).ok()) {
        Some(messages) => answer(&messages.iter().map(entry).collect::<Vec<_>>()),
        None => unknown("queue", &queue, sqs.0.queues.keys()),
    }
}

/// Moves dead letters back to their source queues: all of a dead-letter queue, or those of the named source.
pub(super) async fn redrive(State(sqs): State<Sqs>, Path(queue): Path<String>, _: NoParameters, _: NoBody) -> Response {
    let Some(name) = sqs.named(&queue) else { return unknown("queue", &queue, sqs.0.queues.keys()) };
    let (from, only) = match sqs.dead_letters(&name) {
        Ok(found) => found,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, &message),
    };
    match sqs.redrive_of(&from, only.as_deref()).await {
        Ok(to) => answer(&json!({"moved": to.values().sum::<usize>(), "from": from, "to": to})),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.message),
    }
}

impl Sqs {
    /// The name of the queue of this name or logical id.
    fn named(&self, name: &str) -> Option<String> {
        let has_id = |id: &str| self.0.queues.iter().find(|(_, line)| line.lock().config().logical_id == id);
        let found = self.0.queues.get_key_value(name).or_else(|| has_id(name));
        found.map(|(name, _)| name.clone())
    }

    /// The dead-letter queue that a redrive of this queue empties, and the ARN of the one source whose letters move, if
    /// not all do.
    fn dead_letters(&self, queue: &str) -> Result<(String, Option<String>), String> {
        let queues: BTreeMap<_, _> = self.counts().into_iter().map(|it| (it.name, it.dead_letter_queue)).collect();
        let mut targets: Vec<&str> = queues.values().flatten().map(String::as_str).collect();
        targets.sort_unstable();
        targets.dedup();
        if targets.contains(&queue) {
            return Ok((queue.to_owned(), None));
        }
        match queues.get(queue) {
            Some(Some(target)) => {
                let arn = self.0.queues.get(queue).map(|line| line.lock().config().arn.clone());
                Ok((target.clone(), arn))
            }
            _ if targets.is_empty() => Err(format!("{queue} has no dead letters: no queue of the template does")),
            _ => Err(format!("{queue} has no dead-letter queue and is not one; these are: {}", targets.join(", "))),
        }
    }
}
