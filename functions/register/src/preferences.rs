//! What a person wants to be told of: set by the app's backend, or by a device of the person's own.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    http::HeaderMap,
    response::Response,
};
use serde_json::{Map, Value};
use tidings_domain::{Timestamp, UserKey, preferences};
use tidings_runtime::{
    device_token::signed_request,
    http::{self, ApiError, PathId, personal},
};
use tidings_store::App;
use tidings_wire::{Preferences, fields::Fields, limits};

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
    let text = |(name, value)| (name, Value::String(value));
    let mut path = Fields::new(Map::from_iter([text(("alias".to_owned(), alias))]));
    let alias = path.required_text("alias", limits::ALIAS_CHARS);
    let mut asked = Fields::new(http::pairs(query.as_deref().unwrap_or_default()).map(text).collect());
    let tenant = asked.text("tenantCode", limits::IDENTIFIER_CHARS).unwrap_or_default();
    let mut problems = path.into_problems();
    problems.extend(asked.into_problems());
    if problems.is_empty() { Ok((UserKey { app: app.id.clone(), tenant, alias }, app)) } else { Err(problems.into()) }
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
