//! `GET /v1/messages/{id}`: the trail of a message.

use std::sync::Arc;

use axum::{Json, extract::State};
use tidings_domain::MessageId;
use tidings_lambda::http::{ApiError, Checked, PathId};
use tidings_store::App;
use tidings_wire::Trail;

use crate::Deps;

pub(crate) async fn show(
    State(deps): State<Arc<Deps>>,
    Checked { now, by: app, about: PathId(id), .. }: Checked<App, PathId>,
) -> Result<Json<Trail>, ApiError> {
    const UNKNOWN: ApiError = ApiError::NotFound("no such message, or its trail is no longer kept");
    let id: MessageId = id.parse().map_err(|_| UNKNOWN)?;
    let stored = deps.messages.get(&id, now).await?.filter(|stored| stored.app == app.id).ok_or(UNKNOWN)?;
    let entries = deps.mailboxes.entries_of(&stored).await?;
    Ok(Json(stored.trail(&entries, now)))
}
