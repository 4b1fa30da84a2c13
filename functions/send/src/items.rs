//! `/v1/items/{item}`: whether an item that messages refer to is open. No fallback step starts after the closing of the
//! item that the message's condition names was answered.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use tidings_domain::{TenantKey, Timestamp};
use tidings_lambda::http::{ApiError, Checked, Parameters, personal};
use tidings_store::App;
use tidings_wire::{ItemAnswer, ItemRequest, fields::Fields, limits};

use crate::Deps;

/// An item as the path and the query name it.
#[derive(Debug)]
pub(crate) struct NamedItem {
    name: String,
    tenant: String,
}

impl Parameters for NamedItem {
    fn read(id: String, asked: &mut Fields) -> Self {
        let tenant = asked.name("tenantCode", limits::IDENTIFIER_CHARS).unwrap_or_default();
        let mut path = Fields::of_path("item", id);
        let name = path.required_name("item", limits::ITEM_CHARS);
        asked.absorb(path);
        Self { name, tenant }
    }
}

pub(crate) async fn item(
    State(deps): State<Arc<Deps>>,
    Checked { now, by: app, about: NamedItem { name, tenant }, .. }: Checked<App, NamedItem>,
) -> Result<Response, ApiError> {
    let closed = deps.items.closed(&TenantKey { app: app.id, tenant }, &name, now).await?;
    Ok(personal(&answer(name, closed)))
}

/// Closes or reopens an item. Idempotent.
pub(crate) async fn set_item(
    State(deps): State<Arc<Deps>>,
    Checked { now, by: app, about: NamedItem { name, tenant }, body }: Checked<App, NamedItem, ItemRequest>,
) -> Result<Response, ApiError> {
    let tenant = TenantKey { app: app.id, tenant };
    let closed = if body.open {
        deps.items.open(&tenant, &name).await?;
        None
    } else {
        Some(deps.items.close(&tenant, &name, now).await?)
    };
    tracing::info!(open = body.open, "item set");
    Ok(personal(&answer(name, closed)))
}

fn answer(name: String, closed_at: Option<Timestamp>) -> ItemAnswer {
    ItemAnswer { item: name, open: closed_at.is_none(), closed_at }
}
