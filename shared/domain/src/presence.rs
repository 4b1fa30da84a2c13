//! What the store knows of a user when a message comes: profile, devices, connections and the newest mailbox entry.

use std::fmt;

use tidings_wire::{Platform, Timestamp};

use crate::{ConnectionId, DeviceId, Entry, UserKey};

/// Seconds between two pings that the server asks for; API Gateway closes a socket after 600 idle ones.
pub const PING_SECONDS: u64 = 240;

/// Life of a connection's lease, in seconds: two pings may be lost before the connection counts as gone.
pub const LEASE_SECONDS: u64 = 3 * PING_SECONDS;

/// API Gateway's longest life of a connection, in seconds, and some room for clocks.
pub const CONNECTION_LIFE_SECONDS: u64 = 2 * 3_600 + 300;

/// How to reach a person around the socket.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// Phone number, E.164.
    pub mobile: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Tag, for audiences.
    pub tag: Option<String>,
    /// Language and region (BCP 47).
    pub locale: Option<String>,
    /// Time zone (IANA name).
    pub time_zone: Option<String>,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Profile(***)")
    }
}

/// A registered device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// The user it belongs to.
    pub user: UserKey,
    /// Grows with every change of user, and with it the device's keys change.
    pub generation: u32,
    /// What it runs.
    pub platform: Platform,
    /// Version of the client, as registered.
    pub client_version: Option<String>,
    /// When it was last registered.
    pub registered: Timestamp,
}

/// A WebSocket connection of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// API Gateway's name for it.
    pub id: ConnectionId,
    /// The device behind it.
    pub device: DeviceId,
    /// Generation of the device's keys when it connected.
    pub generation: u32,
    /// Version of the root key that the device's token was signed under.
    pub key_version: u32,
    /// When it was opened.
    pub connected: Timestamp,
    /// When it counts as gone unless a ping renews it.
    pub lease: Timestamp,
}

impl Connection {
    /// Whether the lease is half spent, so that a ping should renew it.
    #[must_use]
    pub fn wants_renewal(&self, now: Timestamp) -> bool {
        now.seconds_until(self.lease) <= LEASE_SECONDS / 2
    }
}

/// What one read of a user's partition returns, expired items left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserView {
    /// How to reach the person.
    pub profile: Option<Profile>,
    /// Registered devices.
    pub devices: Vec<Device>,
    /// Connections whose lease has not run out.
    pub connections: Vec<Connection>,
    /// The newest mailbox entry; `None` where the log is empty or has expired away.
    pub tail: Option<Entry>,
}

impl UserView {
    /// Whether the device behind a connection is still the user's, under the keys that it connected with. A connection that
    /// outlived its device's move to another user is not.
    #[must_use]
    pub fn owns(&self, connection: &Connection) -> bool {
        self.devices.iter().any(|device| device.id == connection.device && device.generation == connection.generation)
    }

    /// The connections that a message for `platform` goes to: those of registered devices, under their present keys.
    pub fn reachable(&self, platform: Platform) -> impl Iterator<Item = &Connection> {
        self.connections.iter().filter(move |connection| {
            self.devices.iter().any(|device| {
                device.id == connection.device
                    && device.generation == connection.generation
                    && (platform == Platform::All || device.platform == platform)
            })
        })
    }
}
