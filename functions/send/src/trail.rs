//! `GET /v1/messages/{id}`: what became of a message.

use std::sync::Arc;

use axum::{Json, extract::State, http::HeaderMap};
use tidings_domain::{MessageId, Timestamp};
use tidings_lambda::http::{self, ApiError, PathId};
use tidings_wire::Trail;

use crate::Deps;

pub(crate) async fn show(
    State(deps): State<Arc<Deps>>,
    PathId(id): PathId,
    headers: HeaderMap,
) -> Result<Json<Trail>, ApiError> {
    const UNKNOWN: ApiError = ApiError::NotFound("no such message, or its trail is no longer kept");
    let now = Timestamp::now();
    let app = deps.apps.authenticate(http::bearer(&headers), now).await?;
    let id: MessageId = id.parse().map_err(|_| UNKNOWN)?;
    let stored = deps.messages.get(&id, now).await?.filter(|stored| stored.app == app.id).ok_or(UNKNOWN)?;
    let entries = deps.users.entries_of(&stored).await?;
    Ok(Json(stored.trail(&entries, now)))
}
