//! `/v1/devices`: registers devices and hands out their keys. `/v1/users/{alias}/preferences` and `/v1/preferences`: a
//! person's preferences.

mod leaving;
mod preferences;
mod unsubscribe;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::future;
use std::sync::Arc;
use tidings_channels::Reach;
use tidings_domain::{
    Device, DeviceId, Profile, PushRegistration, Timestamp, UserKey, UserView, preferences::check_time_zone,
};
use tidings_gateway::Gateway;
use tidings_lambda::{
    Error, config,
    http::{self, ApiError, Checked, PathId},
};
use tidings_service::{AppCache, DeviceRoots, DeviceTokens, Purpose, Roots, device_roots::Newest};
use tidings_store::{App, Connections, Devices, Users};
use tidings_wire::{DeviceAnswer, RegisterAnswer, RegisterRequest};

/// Attempts of a registration that conflicts with another one of the same device.
const ATTEMPTS: usize = 3;

/// The handlers' dependencies.
#[derive(Debug)]
pub struct Deps {
    users: Users,
    devices: Devices,
    connections: Connections,
    gateway: Gateway,
    apps: AppCache,
    tokens: DeviceTokens,
    roots: DeviceRoots,
    links: Arc<Roots>,
    reach: Reach,
}

impl AsRef<AppCache> for Deps {
    fn as_ref(&self) -> &AppCache {
        &self.apps
    }
}

impl AsRef<DeviceTokens> for Deps {
    fn as_ref(&self) -> &DeviceTokens {
        &self.tokens
    }
}

/// Runs the function until its process ends.
///
/// # Errors
/// If the environment lacks a variable, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    let sdk = tidings_lambda::start()?;
    let (users, devices, connections) = (sdk.users()?, sdk.devices()?, sdk.connections()?);
    let (gateway, apps) = (sdk.gateway()?, sdk.apps()?);
    let reach = if config::text(config::PROVIDERS_URL).is_ok() { Reach::Anywhere } else { Reach::Public };
    let [content, tokens, links] = [Purpose::Content, Purpose::Tokens, Purpose::Links].map(|it| sdk.roots(it));
    let (content, signing, links) = future::try_join3(content, tokens, links).await?;
    let tokens = DeviceTokens::new(devices.clone(), signing.clone());
    let roots = DeviceRoots::new(content, signing);
    let deps = Deps { users, devices, connections, gateway, apps, tokens, roots, links, reach };
    http::serve(router(deps)).await
}

/// The routes.
pub fn router(deps: Deps) -> Router {
    Router::new()
        .route("/v1/devices", post(register))
        .route("/v1/devices/{device}", get(show).delete(unregister))
        .route("/v1/users/{alias}/preferences", get(preferences::of_user).put(preferences::set_for_user))
        .route("/v1/unsubscribe/{link}", get(unsubscribe::ask).post(unsubscribe::follow))
        .route("/v1/preferences", get(preferences::own).put(preferences::set_own))
        .with_state(Arc::new(deps))
}

/// Registers a device for a user; the same app and native token keep their device id. 201 for a new device, else 200.
async fn register(
    State(deps): State<Arc<Deps>>,
    Checked { now, by: app, body: request, .. }: Checked<App, (), RegisterRequest>,
) -> Result<Response, ApiError> {
    check_time_zone(request.time_zone.as_deref())?;
    let id = DeviceId::derive(&app.id, &request.native_token);
    let user =
        UserKey { app: app.id, tenant: request.tenant_code.clone().unwrap_or_default(), alias: request.alias.clone() };
    if let Some(address) = &request.push {
        // An address that no provider would accept is refused here, by name; the address is stored as it was sent.
        tidings_channels::target(address, &user, request.platform.into(), deps.reach)
            .map_err(|problem| vec![problem])?;
    }
    let profile = Profile {
        mobile: request.mobile.clone(),
        email: request.email.clone(),
        tag: request.tag.clone(),
        locale: request.locale.clone(),
        time_zone: request.time_zone.clone(),
        ..Profile::default()
    };
    let newest = deps.roots.newest().await.map_err(|error| ApiError::Internal(error.into()))?;
    for _ in 0..ATTEMPTS {
        let before = deps.devices.last_known(&id).await?;
        let previous = before.as_ref().filter(|before| before.user != user && !before.user.is_unowned());
        let view = match previous {
            Some(previous) => deps.users.presence(&previous.user, now).await?,
            None => UserView::default(),
        };
        let device = Device {
            id: id.clone(),
            user: user.clone(),
            generation: generation(before.as_ref(), &user),
            platform: request.platform.into(),
            client_version: request.client_version.clone(),
            registered: now,
            used: now,
            cursor: None,
            push: request
                .push
                .clone()
                .map(|address| PushRegistration { address, key_version: newest.version() }.into()),
        };
        if deps.devices.register(&device, &profile, before.as_ref().map(|before| (before, &view)), now).await? {
            if let Some(previous) = previous {
                leaving::close_sockets(&deps, previous, &view, now).await;
            }
            let evicted = leaving::evict_surplus(&deps, &device, now).await?;
            let is_new = before.is_none_or(|before| !before.is_registered(now));
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            return Ok((status, Json(answer(&newest, &device, &evicted)?)).into_response());
        }
    }
    Err(ApiError::Conflict)
}

/// The generation of a registration's keys. A device that changes hands gets new ones: the new user cannot open frames
/// for the old one, and the old keys open no new frames.
fn generation(before: Option<&Device>, user: &UserKey) -> u32 {
    match before {
        Some(before) if before.user == *user => before.generation,
        Some(before) => before.generation.saturating_add(1),
        None => 1,
    }
}

fn answer(newest: &Newest, device: &Device, evicted: &[DeviceId]) -> Result<RegisterAnswer, ApiError> {
    let keys = newest.keys(&device.user.app, &device.id, device.generation);
    let keys = keys.map_err(|error| ApiError::Internal(error.into()))?;
    let evicted = evicted.iter().map(DeviceId::to_string).collect();
    Ok(RegisterAnswer { id: device.id.to_string(), keys, evicted })
}

/// The device of a path, if it belongs to the app.
async fn find(deps: &Deps, app: &App, id: &str, now: Timestamp) -> Result<(Device, UserView), ApiError> {
    const UNKNOWN: ApiError = ApiError::NotFound("no such device");
    let id: DeviceId = id.parse().map_err(|_| UNKNOWN)?;
    let device = deps.devices.get(&id, now).await?.filter(|device| device.user.app == app.id).ok_or(UNKNOWN)?;
    let view = deps.users.presence(&device.user, now).await?;
    Ok((device, view))
}

/// Returns the record of a device.
async fn show(
    State(deps): State<Arc<Deps>>,
    Checked { now, by: app, about: PathId(id), .. }: Checked<App, PathId>,
) -> Result<Json<DeviceAnswer>, ApiError> {
    let (device, view) = find(&deps, &app, &id, now).await?;
    let listed = view.devices.iter().find(|listed| listed.id == device.id);
    Ok(Json(DeviceAnswer {
        push: listed.and_then(|listed| Some(listed.push.as_ref()?.address.channel())),
        id: device.id.to_string(),
        connections: view.connections.iter().filter(|connection| connection.device == device.id).count(),
        alias: device.user.alias,
        tenant_code: Some(device.user.tenant).filter(|tenant| !tenant.is_empty()),
        platform: device.platform,
        client_version: device.client_version,
        registered_at: device.registered,
    }))
}

/// Unregisters a device: its connections receive no more frames and are closed, and its keys open no new ones.
async fn unregister(
    State(deps): State<Arc<Deps>>,
    Checked { now, by: app, about: PathId(id), .. }: Checked<App, PathId>,
) -> Result<StatusCode, ApiError> {
    let (device, view) = find(&deps, &app, &id, now).await?;
    if leaving::forget(&deps, &device, &view, now).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::Conflict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_wire::Platform;

    #[test]
    fn keys_change_with_the_user_and_only_then() {
        let user = |alias: &str| UserKey { app: "demo".parse().unwrap(), tenant: String::new(), alias: alias.into() };
        let before = Device {
            id: "d".parse().unwrap(),
            user: user("alice"),
            generation: 4,
            platform: Platform::Web.into(),
            client_version: None,
            registered: Timestamp(0),
            used: Timestamp(0),
            cursor: None,
            push: None,
        };
        assert_eq!(generation(None, &user("alice")), 1);
        assert_eq!(generation(Some(&before), &user("alice")), 4);
        assert_eq!(generation(Some(&before), &user("bob")), 5);
        let unregistered = Device { user: UserKey::unowned("demo".parse().unwrap()), ..before };
        assert_eq!(generation(Some(&unregistered), &user("alice")), 5);
    }
}
