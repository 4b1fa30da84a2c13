//! What a person wants to be told of: set by the app's backend, or by a device of the person's own.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    http::HeaderMap,
    response::Response,
};
use tidings_domain::{Timestamp, UserKey, preferences};
use tidings_lambda::http::{self, ApiError, PathId, personal, signed_request};
use tidings_store::App;
use tidings_wire::{Preferences, limits};

use crate::{Deps, authenticate};

/// A user's, for the backend.
pub(crate) async fn of_user(
    State(deps): State<Arc<Deps>>,
    PathId(alias): PathId,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (user, _) = named_user(&deps, alias, query, &headers).await?;
    told(&deps, &user).await
}

/// Sets a user's in place of those before. The user need not have a device yet.
pub(crate) async fn set_for_user(
    State(deps): State<Arc<Deps>>,
    PathId(alias): PathId,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let (user, app) = named_user(&deps, alias, query, &headers).await?;
    set(&deps, &user, &app, &body).await
}

/// Those of the device's user.
pub(crate) async fn own(State(deps): State<Arc<Deps>>, headers: HeaderMap) -> Result<Response, ApiError> {
    let (user, _) = own_user(&deps, &headers).await?;
    told(&deps, &user).await
}

/// Sets those of the device's user in place of those before.
pub(crate) async fn set_own(
    State(deps): State<Arc<Deps>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let (user, app) = own_user(&deps, &headers).await?;
    set(&deps, &user, &app, &body).await
}

/// The user of a path and its query, within the app whose key it is; and that app.
async fn named_user(
    deps: &Deps,
    alias: String,
    query: Option<String>,
    headers: &HeaderMap,
) -> Result<(UserKey, App), ApiError> {
    let app = authenticate(deps, headers, Timestamp::now()).await?;
    let (alias, tenant) = http::of_tenant("alias", alias, limits::ALIAS_CHARS, query.as_deref())?;
    Ok((UserKey { app: app.id.clone(), tenant, alias }, app))
}

/// The user of the device that asks, and the app.
async fn own_user(deps: &Deps, headers: &HeaderMap) -> Result<(UserKey, App), ApiError> {
    let (signed, app) = signed_request(&deps.users, &deps.apps, &deps.roots, headers, Timestamp::now()).await?;
    Ok((signed.device.user, app))
}

async fn told(deps: &Deps, user: &UserKey) -> Result<Response, ApiError> {
    let profile = deps.users.view(user, Timestamp::now()).await?.profile.unwrap_or_default();
    Ok(personal(&profile.preferences))
}

async fn set(deps: &Deps, user: &UserKey, app: &App, body: &Bytes) -> Result<Response, ApiError> {
    let preferences = preferences::accept(Preferences::parse(http::object(body)?)?, &app.categories)?;
    deps.users.set_preferences(user, &preferences).await?;
    Ok(personal(&preferences))
}
