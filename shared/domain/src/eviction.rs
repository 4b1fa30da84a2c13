//! Limits of a user's devices and connections, and which of them are evicted beyond the limits.
//!
//! A new record is written first; then all are read, and those over the limit are evicted. Two that are written at the
//! same moment exceed the limit only until both workers have read: both see the same order, and evict the same ones.
//!
//! A connection whose upgrade may still be under way cannot be closed: API Gateway does not know it yet, and would open
//! it after all. So a new connection evicts older ones only, and is refused itself if too many others are new.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use tidings_wire::limits;

use crate::{Connection, ConnectionId, Device, DeviceId, Timestamp};

/// The devices to evict after `new` was registered: the least recently used first; among those used at about the same
/// time, the ones without a connection.
#[must_use]
pub fn surplus_devices<'a>(devices: &'a [Device], connections: &[Connection], new: &DeviceId) -> Vec<&'a Device> {
    let surplus = devices.len().saturating_sub(limits::USER_DEVICES);
    let connected: BTreeSet<&DeviceId> = connections.iter().map(|connection| &connection.device).collect();
    let mut others: Vec<_> = devices.iter().filter(|device| device.id != *new).collect();
    others.sort_by_key(|device| (connected.contains(&device.id), device.used, &device.id));
    others.truncate(surplus);
    others
}

/// Longest duration of a connection's upgrade, in seconds: longer than the timeout of `$connect`, with room for clock
/// skew.
pub const OPENING_SECONDS: u64 = 15;

/// The decision about a new connection, and about the others because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission<'a> {
    /// The connection is opened, and these are evicted.
    Admitted(Vec<&'a Connection>),
    /// The connection is refused: the limit is reached by connections that are as new as it.
    Crowded,
    /// The record is missing: the connection ended before it began, or was pruned because a frame arrived before its
    /// upgrade.
    Missing,
}

/// Decides about the connection `new`, which has just been recorded. Beyond [`limits::DEVICE_SOCKETS`] of its device
/// and then [`limits::USER_SOCKETS`] of its user, the connections are evicted whose lease expires first. Those whose
/// upgrade may be under way are not: each that came too late is refused instead.
#[must_use]
pub fn admit<'a>(connections: &'a [Connection], new: &ConnectionId, now: Timestamp) -> Admission<'a> {
    if connections.iter().all(|connection| connection.id != *new) {
        return Admission::Missing;
    }
    let (mut opening, mut open): (Vec<&Connection>, Vec<&Connection>) =
        connections.iter().partition(|connection| now < connection.connected.plus_seconds(OPENING_SECONDS));
    opening.sort_by_key(|connection| (connection.connected, &connection.id));
    open.sort_by_key(|connection| Reverse((connection.lease, connection.connected, &connection.id)));
    let mut of_device: HashMap<&DeviceId, usize> = HashMap::new();
    let mut kept = 0;
    let mut stays = |connection: &'a Connection| {
        let own = of_device.entry(&connection.device).or_default();
        let stays = *own < limits::DEVICE_SOCKETS && kept < limits::USER_SOCKETS;
        if stays {
            *own += 1;
            kept += 1;
        }
        stays
    };
    opening.retain(|connection| !stays(connection));
    open.retain(|connection| !stays(connection));
    let is_crowded = opening.iter().any(|connection| connection.id == *new);
    if is_crowded { Admission::Crowded } else { Admission::Admitted(open) }
}

#[cfg(test)]
mod tests;
