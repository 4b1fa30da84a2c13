//! `/v1/announcements`: announces to all users of a tenant; lists announcements, and withdraws them.
//!
//! As for messages, the order matters: an announcement is stored first, where every `sync` finds it, and then pushed to
//! all open connections.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use tidings_crypto::random;
use tidings_domain::{
    Announcement, MessageId, TenantKey, Timestamp,
    announcement::{self, Receipt},
};
use tidings_lambda::http::{ApiError, Checked, Invocation, PathId, Repeatable};
use tidings_store::{Announced, App, Page};
use tidings_wire::{
    AnnounceRequest,
    announcement::{AnnouncementAnswer, AnnouncementsAnswer, AnnouncementsRequest, WithdrawAnswer},
};

use crate::Deps;

const UNKNOWN: ApiError = ApiError::NotFound("no such announcement, or it is no longer kept");

/// Delay of the push, in seconds: the index over connections lags by a moment, and a device that connects later syncs.
const INDEX_SECONDS: u64 = 1;

pub(crate) async fn announce(
    State(deps): State<Arc<Deps>>,
    invocation: Invocation,
    Checked { now, by: app, body, .. }: Checked<App, (), Repeatable<AnnounceRequest>>,
) -> Result<Response, ApiError> {
    let Repeatable { request, key, hash } = body;
    let id = match &key {
        // Distinct from every message's: a device must tell the two apart by their ids, and no key has a line break.
        Some(key) => MessageId::of_key(&app.id_secret, &app.id, &format!("announcement\n{key}")),
        None => MessageId::new(now, random::bytes().map_err(|error| ApiError::Internal(error.into()))?),
    };
    let (receipt, replay) = match announcement::accept(request, app.id.clone(), &app.categories, id.clone(), now) {
        Ok(draft) => match deps.announcements.announce(&draft, &hash).await? {
            Announced::Before(before) if before.body_hash != hash => return Err(ApiError::KeyReused),
            Announced::Before(before) => (before, true),
            Announced::Now(receipt) => (receipt, false),
        },
        // It may repeat one that was valid at that time: its category was one of the app's.
        Err(problems) if key.is_some() => match find(&deps, &app, id.as_str(), now).await {
            Ok(before) if before.body_hash == hash => (before, true),
            Ok(_) | Err(ApiError::NotFound(_)) => return Err(problems.into()),
            Err(error) => return Err(error),
        },
        Err(problems) => return Err(problems.into()),
    };
    // Also for a repeat: the worker of the first request may have died before this. Devices show an announcement once.
    let pieces = announcement::begin(&receipt.tenant, receipt.number);
    let pieces: Vec<_> = pieces.into_iter().map(|piece| (piece, INDEX_SECONDS)).collect();
    let sent = deps.fanout.send(&pieces, invocation.trace.as_deref()).await;
    sent.map_err(|error| ApiError::Unavailable(error.into()))?;
    tracing::info!(announcement = %receipt.id, replay, "announcement accepted");
    let mut response = (StatusCode::ACCEPTED, Json(receipt.answer())).into_response();
    if replay {
        response.headers_mut().insert("idempotency-replay", HeaderValue::from_static("true"));
    }
    Ok(response)
}

pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    Checked { now, by: app, about: request, .. }: Checked<App, AnnouncementsRequest>,
) -> Result<Json<AnnouncementsAnswer>, ApiError> {
    let tenant = TenantKey { app: app.id, tenant: request.tenant_code.unwrap_or_default() };
    let most = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let Page { announcements: found, end, more } = deps.announcements.before(&tenant, request.before, most).await?;
    // An expired announcement is deleted some time later, and not listed until then.
    let kept = found.iter().filter(|it| now <= it.deadline).map(Announcement::shown).collect();
    Ok(Json(AnnouncementsAnswer { announcements: kept, next: end.filter(|_| more) }))
}

pub(crate) async fn one(
    State(deps): State<Arc<Deps>>,
    Checked { now, by: app, about: PathId(id), .. }: Checked<App, PathId>,
) -> Result<Json<AnnouncementAnswer>, ApiError> {
    let Receipt { tenant, number, .. } = find(&deps, &app, &id, now).await?;
    let found = deps.announcements.get(&tenant, number, now).await?.ok_or(UNKNOWN)?;
    Ok(Json(found.shown()))
}

/// Withdraws an announcement: it is not delivered to any further device. Idempotent.
pub(crate) async fn withdraw(
    State(deps): State<Arc<Deps>>,
    Checked { now, by: app, about: PathId(id), .. }: Checked<App, PathId>,
) -> Result<Json<WithdrawAnswer>, ApiError> {
    let Receipt { id, tenant, number, .. } = find(&deps, &app, &id, now).await?;
    let withdrawn_at = deps.announcements.withdraw(&tenant, number, now).await?.ok_or(UNKNOWN)?;
    tracing::info!(announcement = %id, "announcement withdrawn");
    Ok(Json(WithdrawAnswer { request_id: id.to_string(), withdrawn_at }))
}

/// The receipt of an announcement of the app.
async fn find(deps: &Deps, app: &App, id: &str, now: Timestamp) -> Result<Receipt, ApiError> {
    let id: MessageId = id.parse().map_err(|_| UNKNOWN)?;
    let receipt = deps.announcements.receipt(&id, now).await?;
    receipt.filter(|receipt| receipt.tenant.app == app.id).ok_or(UNKNOWN)
}
