//! `GET /v1/messages/{id}`: what became of a message.

use std::{collections::HashMap, sync::Arc};

use axum::{Json, extract::State, http::HeaderMap};
use tidings_domain::{
    Entry, MessageId, Timestamp,
    trail::{self, About},
};
use tidings_runtime::http::{self, ApiError, PathId};
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
    let entries = deps.users.entries_of(&id).await?;
    // An idempotency key that was forgotten and used again has given its id to two messages.
    let begins = stored.send_at.unwrap_or(stored.accepted);
    let entries: HashMap<String, Entry> =
        entries.into_iter().filter(|(_, entry)| entry.accepted == begins).map(|(user, it)| (user.alias, it)).collect();
    let about = About {
        accepted: stored.accepted,
        send_at: stored.send_at,
        deadline: stored.deadline,
        cancelled: stored.cancelled,
        begun: stored.begun,
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
