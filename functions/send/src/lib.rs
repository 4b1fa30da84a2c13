//! `/v1/messages`: validates a message, stores it, queues a delivery for each recipient; cancels it; and returns its
//! trail. `/v1/announcements`: announcements to everyone. `/v1/items`: whether items that messages refer to are open.
//!
//! The order is the guarantee: the record is written before the queue is fed, and `202` is answered after both. A
//! repeat under the same idempotency key finds the record, feeds the queue again (which doubles nothing) and gets the
//! same answer.

mod announcements;
mod cancel;
mod items;
mod trail;

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tidings_crypto::random;
use tidings_domain::{
    DeviceId, Message, MessageId, More, Timer, Timestamp, chain::Chains, message, message::Audience, timer::SendDue,
};
use tidings_lambda::{
    Error,
    http::{self, ApiError, Checked, Invocation, Repeatable},
};
use tidings_service::{AppCache, Fanouts, Lanes, Timers};
use tidings_store::{Announcements, App, Devices, Items, Mailboxes, Messages, Stored};
use tidings_wire::{FieldProblem, SendAnswer, SendRequest};

/// Limit of devices that are looked up in parallel.
const LOOKUPS_AT_ONCE: usize = 8;

/// The handlers' dependencies.
#[derive(Debug)]
pub struct Deps {
    devices: Devices,
    mailboxes: Mailboxes,
    messages: Messages,
    apps: AppCache,
    announcements: Announcements,
    items: Items,
    lanes: Lanes,
    timers: Timers,
    fanout: Fanouts,
}

impl AsRef<AppCache> for Deps {
    fn as_ref(&self) -> &AppCache {
        &self.apps
    }
}

/// Runs the function until its process ends.
///
/// # Errors
/// If the environment lacks a variable, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    let sdk = tidings_lambda::start()?;
    let deps = Deps {
        devices: sdk.devices()?,
        mailboxes: sdk.mailboxes()?,
        messages: sdk.messages()?,
        apps: sdk.apps()?,
        announcements: sdk.announcements()?,
        items: sdk.items()?,
        lanes: sdk.lanes()?,
        timers: sdk.timers()?,
        fanout: sdk.fanouts()?,
    };
    http::serve(router(deps)).await
}

/// The routes.
pub fn router(deps: Deps) -> Router {
    Router::new()
        .route("/v1/messages", post(send))
        .route("/v1/messages/{message}", get(trail::show).delete(cancel::cancel))
        .route("/v1/announcements", post(announcements::announce).get(announcements::list))
        .route("/v1/announcements/{announcement}", get(announcements::one).delete(announcements::withdraw))
        .route("/v1/items/{item}", get(items::item).put(items::set_item))
        .with_state(Arc::new(deps))
}

async fn send(
    State(deps): State<Arc<Deps>>,
    invocation: Invocation,
    Checked { now, by: app, body: Repeatable { request, key, hash }, .. }: Checked<App, (), Repeatable<SendRequest>>,
) -> Result<Response, ApiError> {
    let trace = invocation.trace.as_deref();
    let (id, body_hash) = match key {
        Some(key) => (MessageId::of_key(&app.id_secret, &app.id, &key), Some(hash)),
        None => (MessageId::new(now, random::bytes().map_err(|error| ApiError::Internal(error.into()))?), None),
    };
    let Accepted { message, stored, is_repeat } = accept(&deps, request, &app, id, body_hash, now).await?;
    begin(&deps, &message, &stored, trace, now).await.map_err(ApiError::Unavailable)?;
    Ok(accepted(&stored, is_repeat))
}

/// A message and its record, which is written by now.
struct Accepted {
    message: Message,
    stored: Stored,
    /// Whether both belong to an earlier request, which this one repeats.
    is_repeat: bool,
}

/// Accepts a message, unless the request repeats an earlier one.
async fn accept(
    deps: &Deps,
    request: SendRequest,
    app: &App,
    id: MessageId,
    body_hash: Option<String>,
    now: Timestamp,
) -> Result<Accepted, ApiError> {
    let (message, aliases) = match resolve(deps, request.clone(), app, &id, now).await {
        Ok(resolved) => resolved,
        // It may repeat one that was valid at that time: its time to be sent was still ahead, a device was known, its
        // category was one of the app's.
        Err(ApiError::Fields(problems)) => {
            let Some(body_hash) = body_hash else { return Err(problems.into()) };
            let before = deps.messages.get(&id, now).await?;
            return match before.filter(|before| before.is_repeated_by(&app.id, &body_hash)) {
                Some(before) => repeat(request, before),
                None => Err(problems.into()),
            };
        }
        Err(error) => return Err(error),
    };
    // A transient message without a key needs no record: no request could ever look it up.
    let is_recorded = message.persist || body_hash.is_some() || message.send_at.is_some();
    let stored = Stored::new(&message, aliases, body_hash);
    match if is_recorded { deps.messages.store(&stored).await? } else { None } {
        None => Ok(Accepted { message, stored, is_repeat: false }),
        Some(before) if before.app != stored.app || before.body_hash != stored.body_hash => Err(ApiError::KeyReused),
        Some(before) => repeat(request, before),
    }
}

/// A message as it was accepted before: at that time, with the app's chain of that time. The record names its
/// recipients; its content is in the request.
fn repeat(request: SendRequest, before: Stored) -> Result<Accepted, ApiError> {
    let chains = Chains { general: before.steps.clone(), ..Chains::default() };
    let (app, id) = (before.app.clone(), before.id.clone());
    let message = message::accept(request, app, &chains, &BTreeSet::new(), id, before.accepted)?;
    Ok(Accepted { message, stored: before, is_repeat: true })
}

/// The message and its recipients, if it can be accepted now.
async fn resolve(
    deps: &Deps,
    request: SendRequest,
    app: &App,
    id: &MessageId,
    now: Timestamp,
) -> Result<(Message, Vec<String>), ApiError> {
    let message = message::accept(request, app.id.clone(), &app.chains, &app.categories, id.clone(), now)?;
    let aliases = recipients(deps, app, &message, now).await?;
    message::check_recipients(&aliases).map_err(|problem| vec![problem])?;
    Ok((message, aliases))
}

/// The answer for a message that is accepted, now or before.
fn accepted(stored: &Stored, replay: bool) -> Response {
    tracing::info!(message_id = %stored.id, recipients = stored.aliases.len(), replay, "message accepted");
    let mut response = (StatusCode::ACCEPTED, Json(answer(stored))).into_response();
    if replay {
        response.headers_mut().insert("idempotency-replay", HeaderValue::from_static("true"));
    }
    response
}

/// Queues the deliveries, or sets the timer of a scheduled message; does nothing if it was cancelled meanwhile.
/// Idempotent.
async fn begin(
    deps: &Deps,
    message: &Message,
    stored: &Stored,
    trace: Option<&str>,
    now: Timestamp,
) -> Result<(), Error> {
    if stored.cancelled.is_some() {
        return Ok(());
    }
    match message.send_at {
        Some(due) => {
            let timer = Timer::Send(SendDue { id: stored.id.clone(), due, more: More::default() });
            Ok(deps.timers.schedule(&timer, now, trace).await?)
        }
        None => Ok(deps.lanes.deliver(message, &stored.aliases, trace).await?),
    }
}

fn answer(stored: &Stored) -> SendAnswer {
    SendAnswer {
        request_id: stored.id.to_string(),
        recipients: stored.aliases.len(),
        ttl: stored.ttl,
        priority: stored.priority,
        duration: stored.duration,
        send_at: stored.send_at,
        downgrades: stored.downgrades.clone(),
    }
}

/// The recipients of a message. A device id stands for the user who holds the device now.
async fn recipients(deps: &Deps, app: &App, message: &Message, now: Timestamp) -> Result<Vec<String>, ApiError> {
    let devices = match &message.audience {
        Audience::Aliases(aliases) => return Ok(aliases.clone()),
        Audience::Devices(devices) => devices,
    };
    let found: Vec<Result<String, FieldProblem>> = stream::iter(devices.clone().into_iter().enumerate())
        .map(|(index, id)| async move {
            let unknown = FieldProblem::new(format!("audiences[{index}]"), "is not a device of this app and tenant");
            let Ok(id) = id.parse::<DeviceId>() else { return Ok(Err(unknown)) };
            let device = deps.devices.get(&id, now).await?;
            let device = device.filter(|device| device.user.app == app.id && device.user.tenant == message.tenant);
            Ok::<_, ApiError>(device.map(|device| device.user.alias).ok_or(unknown))
        })
        .buffered(LOOKUPS_AT_ONCE)
        .try_collect()
        .await?;
    let (mut aliases, mut problems) = (Vec::new(), Vec::new());
    for each in found {
        match each {
            // Two devices of one user are one recipient.
            Ok(alias) if aliases.contains(&alias) => {}
            Ok(alias) => aliases.push(alias),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(aliases) } else { Err(problems.into()) }
}
