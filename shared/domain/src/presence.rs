//! The stored state of a user when a message is delivered: profile, devices, connections and the newest mailbox entry.

use std::fmt;

use serde::{Deserialize, Serialize};
use tidings_wire::{Open, Platform, Preferences, PushAddress, Timestamp, limits};

use crate::{AppId, ConnectionId, DeviceId, Position, UserKey, Written, mailbox::Tail};

/// Seconds between two pings; API Gateway closes a socket after 600 idle ones.
pub const PING_SECONDS: u64 = limits::PING_SECONDS;

/// Life of a connection's lease, in seconds: two pings may be lost before the connection counts as gone.
pub const LEASE_SECONDS: u64 = 3 * PING_SECONDS;

/// API Gateway's longest life of a connection, in seconds, with room for clock skew.
pub const CONNECTION_LIFE_SECONDS: u64 = 2 * 3_600 + 300;

/// Age at which the note of a device's last use is renewed, in seconds: a device in daily use costs one write a day.
const USE_NOTED_SECONDS: u64 = 86_400;

/// The part of the answer to a ping that concerns the connection's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It stays. The next ping is due in so many seconds.
    Stays(u64),
    /// API Gateway ends it soon: the client moves to a new connection within so many seconds.
    Moves(u64),
}

/// Minimum time for a move, in seconds.
const MOVE_SECONDS: u64 = 10;

/// Decides whether a connection stays, given its maximum life at API Gateway. In the last eighth of its life it moves,
/// so that the client opens a new one while the old one still serves. The pings are spaced so that one falls into that
/// time.
#[must_use]
pub fn life(connected: Timestamp, life_seconds: u64, now: Timestamp) -> Life {
    let room = (life_seconds / 8).max(MOVE_SECONDS).min(life_seconds / 2);
    match now.seconds_until(connected.plus_seconds(life_seconds - room)) {
        // Half of the remaining time, so that a client with the longest random pause moves in time too.
        0 => Life::Moves((now.seconds_until(connected.plus_seconds(life_seconds)) / 2).max(1)),
        left => Life::Stays(left.min(PING_SECONDS)),
    }
}

/// How to reach a person around the socket, and when.
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
    /// The person's preferences.
    pub preferences: Wishes,
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Profile(***)")
    }
}

/// A person's preferences, as they are stored.
#[derive(Clone, PartialEq, Eq)]
pub enum Wishes {
    /// The preferences that the person has set; empty if there are none.
    Read(Written<Preferences>),
    /// In a form that this version does not know. No fallback step goes out then: the person may have forbidden it.
    Unreadable,
}

impl Wishes {
    /// The preferences, if this version can read them.
    #[must_use]
    pub fn read(&self) -> Option<&Written<Preferences>> {
        match self {
            Self::Read(preferences) => Some(preferences),
            Self::Unreadable => None,
        }
    }
}

impl From<Preferences> for Wishes {
    fn from(preferences: Preferences) -> Self {
        Self::Read(preferences.into())
    }
}

impl Default for Wishes {
    fn default() -> Self {
        Preferences::default().into()
    }
}

/// A device with its keys: frames are sealed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHolder<'a> {
    /// The app of the device.
    pub app: &'a AppId,
    /// The device.
    pub device: &'a DeviceId,
    /// Generation of its keys.
    pub generation: u32,
    /// Version of the root keys that they are derived from.
    pub key_version: u32,
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
    /// Its platform.
    pub platform: Open<Platform>,
    /// Version of the client, as registered.
    pub client_version: Option<String>,
    /// When it was last registered.
    pub registered: Timestamp,
    /// When it was last used: registered, connected, or asking over HTTP. Up to a day old.
    pub used: Timestamp,
    /// The end of the entries that it has received or does not want: the service stores it for a client without a
    /// cursor.
    pub cursor: Option<Position>,
    /// How it is reached while it holds no socket.
    pub push: Option<Written<PushRegistration>>,
}

impl Device {
    /// When it counts as unregistered, unless it is used again.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.used.plus_seconds(limits::DEVICE_UNUSED_SECONDS)
    }

    /// Whether it is registered: it belongs to a user, and has been used within [`limits::DEVICE_UNUSED_SECONDS`].
    #[must_use]
    pub fn is_registered(&self, now: Timestamp) -> bool {
        !self.user.is_unowned() && now < self.expires()
    }

    /// Whether a use of it should be noted.
    #[must_use]
    pub fn wants_note(&self, now: Timestamp) -> bool {
        now >= self.used.plus_seconds(USE_NOTED_SECONDS)
    }

    /// The device with its present keys under a version of the root key.
    #[must_use]
    pub fn key_holder(&self, key_version: u32) -> KeyHolder<'_> {
        KeyHolder { app: &self.user.app, device: &self.id, generation: self.generation, key_version }
    }
}

/// The address of a device without an open socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRegistration {
    /// The address.
    pub address: PushAddress,
    /// Version of the root key from which the device's keys were derived.
    pub key_version: u32,
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
    /// The platform of the device.
    pub platform: Open<Platform>,
    /// When it was opened.
    pub connected: Timestamp,
    /// When it counts as gone unless a ping renews it.
    pub lease: Timestamp,
}

impl Connection {
    /// The device behind it, which is one of this app, with the keys that it connected with.
    #[must_use]
    pub fn key_holder<'a>(&'a self, app: &'a AppId) -> KeyHolder<'a> {
        KeyHolder { app, device: &self.device, generation: self.generation, key_version: self.key_version }
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
    /// The newest mailbox entry; `None` if the log is empty or has expired.
    pub tail: Option<Tail>,
}

/// The data that a ping reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// The lease of the connection; `None` if it is not recorded, or has run out.
    pub lease: Option<Timestamp>,
    /// The position of the newest mailbox entry.
    pub head: Option<Position>,
}

impl Pulse {
    /// Whether the ping should renew the lease. A connection without a record was pruned on a 410, which proves
    /// nothing: the ping proves the opposite.
    #[must_use]
    pub fn wants_renewal(&self, now: Timestamp) -> bool {
        self.lease.is_none_or(|lease| now.seconds_until(lease) <= LEASE_SECONDS / 2)
    }
}

impl UserView {
    /// The device behind a connection, if it still belongs to the user under the keys that it connected with. A
    /// connection that outlived its device's move to another user has none.
    #[must_use]
    pub fn device_of(&self, connection: &Connection) -> Option<&Device> {
        let is_its = |device: &&Device| device.id == connection.device && device.generation == connection.generation;
        self.devices.iter().find(is_its)
    }

    /// The connections that a message for `platform` goes to: those of registered devices, under their present keys.
    pub fn reachable(&self, platform: Open<Platform>) -> impl Iterator<Item = &Connection> {
        self.connections.iter().filter(move |connection| {
            let device = self.device_of(connection);
            device.is_some_and(|device| platform == Platform::All || device.platform == platform)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_moves_in_the_last_eighth_of_its_life() {
        let at = |second: i64| life(Timestamp(0), 7_200, Timestamp(second * 1_000));
        assert_eq!(at(0), Life::Stays(240));
        assert_eq!(at(6_200), Life::Stays(100));
        assert_eq!(at(6_300), Life::Moves(450));
        assert_eq!(at(7_199), Life::Moves(1));
        assert_eq!(at(9_999), Life::Moves(1));
    }

    #[test]
    fn a_client_that_pings_when_asked_is_moved_in_time() {
        for seconds in [20, 60, 300, 7_200] {
            let mut now = Timestamp(0);
            while let Life::Stays(pause) = life(Timestamp(0), seconds, now) {
                now = now.plus_seconds(pause);
            }
            let Life::Moves(within) = life(Timestamp(0), seconds, now) else { panic!("moves") };
            assert!(now.plus_seconds(within) < Timestamp(0).plus_seconds(seconds), "{seconds}: {now:?}");
        }
    }
}
