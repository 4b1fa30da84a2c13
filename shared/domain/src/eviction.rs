//! Bounds of what one user holds: which devices and connections go if there are too many.
//!
//! A new one is recorded first; then all are read, and what is beyond the bound goes. Two that come at the same moment
//! exceed the bound only until both have read: they see the same order, and evict the same ones.

use std::collections::{BTreeSet, HashMap};

use tidings_wire::limits;

use crate::{Connection, ConnectionId, Device, DeviceId};

/// The devices that go because `new` was registered: the one that was used least recently first, and of those used at
/// about the same time the ones without a connection.
#[must_use]
pub fn surplus_devices<'a>(devices: &'a [Device], connections: &[Connection], new: &DeviceId) -> Vec<&'a Device> {
    let surplus = devices.len().saturating_sub(limits::USER_DEVICES);
    let connected: BTreeSet<&DeviceId> = connections.iter().map(|connection| &connection.device).collect();
    let mut others: Vec<_> = devices.iter().filter(|device| device.id != *new).collect();
    others.sort_by_key(|device| (connected.contains(&device.id), device.used, &device.id));
    others.truncate(surplus);
    others
}

/// The connections that go because `new` was opened: the ones whose lease runs out first, those of the device beyond
/// [`limits::DEVICE_SOCKETS`], and then those of the user beyond [`limits::USER_SOCKETS`].
#[must_use]
pub fn surplus_connections<'a>(connections: &'a [Connection], new: &ConnectionId) -> Vec<&'a Connection> {
    let mut newest_first: Vec<_> = connections.iter().collect();
    newest_first
        .sort_by_key(|connection| (connection.id == *new, connection.lease, connection.connected, &connection.id));
    newest_first.reverse();
    let mut of_device: HashMap<&DeviceId, usize> = HashMap::new();
    let mut kept = 0;
    let mut surplus = newest_first;
    surplus.retain(|connection| {
        let own = of_device.entry(&connection.device).or_default();
        let stays = *own < limits::DEVICE_SOCKETS && kept < limits::USER_SOCKETS;
        if stays {
            *own += 1;
            kept += 1;
        }
        !stays
    });
    surplus
}

#[cfg(test)]
mod tests;
