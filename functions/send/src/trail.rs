//! `GET /v1/messages/{id}`: what became of a message.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
};
use tidings_domain::{
    Entry, MessageId, Timestamp,
    trail::{self, About},
};
use tidings_runtime::http::{self, ApiError};
use tidings_wire::Trail;

use crate::Deps;

pub(crate) async fn show(
    State(deps): State<Arc<Deps>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Trail>, ApiError> {
    const UNKNOWN: ApiError = ApiError::NotFound("no such message, or its trail is no longer kept");
    let now = Timestamp::now();
    let app = deps.apps.authenticate(http::bearer(&headers), now).await?;
    let id: MessageId = id.parse().map_err(|_| UNKNOWN)?;
    let stored = deps.messages.get(&id, now).await?.filter(|stored| stored.app == app.id).ok_or(UNKNOWN)?;
    let entries: HashMap<String, Entry> =
        deps.users.entries_of(&id).await?.into_iter().map(|(user, entry)| (user.alias, entry)).collect();
    let about = About {
        accepted: stored.accepted,
        send_at: stored.send_at,
        deadline: stored.deadline,
        cancelled: stored.cancelled,
    };
    let recipients =
        stored.aliases.iter().map(|alias| trail::recipient(alias, entries.get(alias), &about, now)).collect();
    Ok(Json(Trail {
        request_id: id.to_string(),
        accepted_at: stored.accepted,
        send_at: stored.send_at,
        expires_at: stored.deadline,
        cancelled_at: stored.cancelled,
        downgrades: stored.downgrades,
        recipients,
    }))
}
