//! Devices that leave their user: unregistered by the backend, evicted by newer ones, or moved to another user.

use futures_util::stream::{self, StreamExt};
use tidings_domain::{Connection, Device, DeviceId, Timestamp, UserView, eviction};
use tidings_lambda::{http::ApiError, logs};
use tidings_store::StoreError;

use crate::Deps;

/// Limit of connections that are closed in parallel.
const CLOSED_AT_ONCE: usize = 8;

/// Unregisters a device and closes its connections; `false` if it changed hands in between.
pub(crate) async fn forget(deps: &Deps, device: &Device, view: &UserView, now: Timestamp) -> Result<bool, StoreError> {
    let is_unregistered = deps.devices.unregister(device, view, now).await?;
    if is_unregistered {
        close_sockets(deps, device, view, now).await;
    }
    Ok(is_unregistered)
}

/// Closes the connections of a device that has left the user of `view`. The service no longer knows them, so a failure
/// is harmless: no frame is posted to them, and a message on them is answered with `unknown_connection`.
pub(crate) async fn close_sockets(deps: &Deps, device: &Device, view: &UserView, now: Timestamp) {
    // A connection that was opened after the view was read is not buried yet. No further one can follow: the device has
    // left.
    let late = deps.connections.of_user(&device.user, now).await.unwrap_or_else(|error| {
        tracing::warn!(device = %device.id, error = logs::chain(&error), "late connections were not buried");
        Vec::new()
    });
    let is_its = |it: &&Connection| it.device == device.id && it.generation == device.generation;
    let buried = view.connections.iter().filter(is_its).map(|connection| (connection, false));
    let late = late.iter().filter(is_its).map(|connection| (connection, true));
    stream::iter(buried.chain(late))
        .for_each_concurrent(CLOSED_AT_ONCE, |(connection, is_late)| async move {
            if is_late && let Err(error) = deps.connections.bury(&device.user, &connection.id, now).await {
                tracing::warn!(connection = %connection.id, error = logs::chain(&error), "connection was not buried");
            }
            deps.gateway.close(&connection.id).await;
        })
        .await;
}

/// Unregisters the devices over the user's limit after `new` was registered; returns their ids. If it fails, the
/// backend repeats the registration, and the eviction with it.
pub(crate) async fn evict_surplus(deps: &Deps, new: &Device, now: Timestamp) -> Result<Vec<DeviceId>, ApiError> {
    let view = deps.users.presence(&new.user, now).await?;
    let mut evicted = Vec::new();
    for surplus in eviction::surplus_devices(&view.devices, &view.connections, &new.id) {
        // A device that has changed hands or was evicted by another registration meanwhile has left as well.
        if forget(deps, surplus, &view, now).await? {
            let user = deps.users.pseudonym(&new.user);
            tracing::info!(device = %surplus.id, user, by = %new.id, "device evicted");
            evicted.push(surplus.id.clone());
        }
    }
    Ok(evicted)
}
