//! `/v1/items/{item}`: whether what messages are about is still open. A message whose condition names an item that is closed goes
//! out by no further step: nothing that begins after the answer to the closing.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    http::HeaderMap,
    response::Response,
};
use tidings_domain::{TenantKey, Timestamp};
use tidings_lambda::http::{self, ApiError, PathId, personal};
use tidings_wire::{ItemAnswer, ItemRequest, limits};

use crate::Deps;

pub(crate) async fn item(
    State(deps): State<Arc<Deps>>,
    PathId(name): PathId,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let (tenant, name) = named(&deps, name, query, &headers, now).await?;
    let closed = deps.directory.item_closed(&tenant, &name, now).await?;
    Ok(personal(&answer(name, closed)))
}

/// Closes an item, or opens it again. Twice is once.
pub(crate) async fn set_item(
    State(deps): State<Arc<Deps>>,
    PathId(name): PathId,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let now = Timestamp::now();
    let (tenant, name) = named(&deps, name, query, &headers, now).await?;
    let ItemRequest { open } = ItemRequest::parse(http::object(&body)?)?;
    let closed = if open {
        deps.directory.open_item(&tenant, &name).await?;
        None
    } else {
        Some(deps.directory.close_item(&tenant, &name, now).await?)
    };
    tracing::info!(open, "item set");
    Ok(personal(&answer(name, closed)))
}

fn answer(name: String, closed_at: Option<Timestamp>) -> ItemAnswer {
    ItemAnswer { item: name, open: closed_at.is_none(), closed_at }
}

/// The item of a path and its query, within the app whose key it is.
async fn named(
    deps: &Deps,
    name: String,
    query: Option<String>,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<(TenantKey, String), ApiError> {
    let app = deps.apps.authenticate(http::bearer(headers), now).await?;
    let (name, tenant) = http::of_tenant("item", name, limits::ITEM_CHARS, query.as_deref())?;
    Ok((TenantKey { app: app.id, tenant }, name))
}
