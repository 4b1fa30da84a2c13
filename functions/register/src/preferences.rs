//! What a person wants to be notified of: set by the app's backend, or by a device of that person.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use tidings_domain::{Timestamp, UserKey, preferences};
use tidings_lambda::http::{ApiError, Checked, Parameters, SignedDevice, personal};
use tidings_store::App;
use tidings_wire::{Preferences, fields::Fields, limits};

use crate::Deps;

/// The user whom a path and its query name.
#[derive(Debug)]
pub(crate) struct NamedUser {
    alias: String,
    tenant: String,
}

impl Parameters for NamedUser {
    fn read(id: String, asked: &mut Fields) -> Self {
        let tenant = asked.name("tenantCode", limits::IDENTIFIER_CHARS).unwrap_or_default();
        let mut path = Fields::of_path("alias", id);
        let alias = path.required_alias("alias");
        asked.absorb(path);
        Self { alias, tenant }
    }
}

impl NamedUser {
    fn of(self, app: &App) -> UserKey {
        UserKey { app: app.id.clone(), tenant: self.tenant, alias: self.alias }
    }
}

/// A user's preferences, for the backend.
pub(crate) async fn of_user(
    State(deps): State<Arc<Deps>>,
    Checked { now, by: app, about: user, .. }: Checked<App, NamedUser>,
) -> Result<Response, ApiError> {
    shown(&deps, &user.of(&app), now).await
}

/// Replaces a user's preferences. The user need not have a device yet.
pub(crate) async fn set_for_user(
    State(deps): State<Arc<Deps>>,
    Checked { by: app, about: user, body, .. }: Checked<App, NamedUser, Preferences>,
) -> Result<Response, ApiError> {
    set(&deps, &user.of(&app), &app, body).await
}

/// The preferences of the device's user.
pub(crate) async fn own(
    State(deps): State<Arc<Deps>>,
    Checked { now, by: SignedDevice { signed, .. }, .. }: Checked<SignedDevice>,
) -> Result<Response, ApiError> {
    shown(&deps, &signed.device.user, now).await
}

/// Replaces the preferences of the device's user.
pub(crate) async fn set_own(
    State(deps): State<Arc<Deps>>,
    Checked { by: SignedDevice { signed, app }, body, .. }: Checked<SignedDevice, (), Preferences>,
) -> Result<Response, ApiError> {
    set(&deps, &signed.device.user, &app, body).await
}

/// Why a person's preferences are not shown.
const UNREADABLE: &str = "the preferences cannot be read";

async fn shown(deps: &Deps, user: &UserKey, now: Timestamp) -> Result<Response, ApiError> {
    let profile = deps.users.view(user, now).await?.profile.unwrap_or_default();
    let preferences = profile.preferences.read().ok_or_else(|| ApiError::Internal(UNREADABLE.into()))?;
    Ok(personal(&**preferences))
}

async fn set(deps: &Deps, user: &UserKey, app: &App, wanted: Preferences) -> Result<Response, ApiError> {
    let preferences = preferences::accept(wanted, &app.categories)?;
    deps.users.set_preferences(user, &preferences).await?;
    Ok(personal(&preferences))
}
