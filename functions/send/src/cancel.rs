//! `DELETE /v1/messages/{id}`: cancels a message.

use std::sync::Arc;

use axum::{Json, extract::State};
use tidings_domain::MessageId;
use tidings_lambda::http::{ApiError, Checked, Invocation, PathId};
use tidings_store::{App, Cancelled, Stored};
use tidings_wire::send::CancelAnswer;

use crate::Deps;

/// Cancels a message. A scheduled message is never sent. For a message that was sent, no fallback step, redelivery or
/// replay starts after this; what devices have already shown stays.
pub(crate) async fn cancel(
    State(deps): State<Arc<Deps>>,
    invocation: Invocation,
    Checked { now, by: app, about: PathId(id), .. }: Checked<App, PathId>,
) -> Result<Json<CancelAnswer>, ApiError> {
    const UNKNOWN: ApiError = ApiError::NotFound("no such message, or it is no longer kept");
    let id: MessageId = id.parse().map_err(|_| UNKNOWN)?;
    let stored = deps.messages.get(&id, now).await?.filter(|stored| stored.app == app.id).ok_or(UNKNOWN)?;
    if stored.cancelled.is_none() && now > stored.deadline {
        return Err(ApiError::Settled(stored.deadline));
    }
    let cancelled = deps.messages.cancel(&id, now).await?.ok_or(UNKNOWN)?;
    let (stored, before) = match cancelled {
        Cancelled::Now(stored) => (stored, false),
        Cancelled::Before(stored) => (stored, true),
    };
    let at = stored.cancelled.unwrap_or(now);
    // Also if the message was cancelled before: that worker may have died before this point.
    if has_begun(&stored) {
        let withdrawn = deps.lanes.withdraw(&stored, at, invocation.trace.as_deref()).await;
        withdrawn.map_err(|error| ApiError::Unavailable(error.into()))?;
    }
    if before {
        return Err(ApiError::AlreadyCancelled(at));
    }
    tracing::info!(message_id = %id, recipients = stored.aliases.len(), "message cancelled");
    Ok(Json(CancelAnswer { request_id: id.to_string(), cancelled_at: at }))
}

/// Whether deliveries may be on their way. The record of a scheduled message shows whether it has been sent; the
/// cancellation prevents that from then on.
fn has_begun(stored: &Stored) -> bool {
    stored.send_at.is_none() || stored.begun.is_some()
}
