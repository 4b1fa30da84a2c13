//! The items of the tables, and their conversion from and to the domain. Attributes that an expression names are not
//! reserved words of DynamoDB.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use tidings_domain::{
    Connection, Device, DeviceId, Entry, Letter, Open, Position, Profile, Seal, Timestamp, UserKey, Written,
    chain::{Outcome, PutOff, StepRecord},
    mailbox::{Closed, Collapsed, Links, RETENTION_SECONDS, Slot, Tail, Window},
    presence::Wishes,
};
use tidings_wire::{Platform, action::AppState, limits};

use crate::{
    StoreError,
    families::{self, Family},
    guard::{self, At},
    keys, unknown,
};

pub(crate) use keys::Item;

/// Opens an item and reads it.
pub(crate) fn open<T: DeserializeOwned>(
    operation: &'static str,
    family: &'static Family,
    seal: &Seal,
    item: Item,
) -> Result<T, StoreError> {
    read(operation, guard::open(operation, family, seal, item)?)
}

/// Reads attributes that are stored in clear.
pub(crate) fn read<T: DeserializeOwned>(operation: &'static str, item: Item) -> Result<T, StoreError> {
    // The parser's own words may quote the item, which may contain personal data: it is never logged.
    serde_dynamo::from_item(item).map_err(|_| StoreError::item(operation, "an attribute is missing or of another type"))
}

/// Writes an item that holds its keys, and seals it.
pub(crate) fn write<T: Serialize>(
    operation: &'static str,
    family: &'static Family,
    seal: &Seal,
    value: T,
) -> Result<Item, StoreError> {
    guard::seal(operation, family, seal, serialized(operation, value)?)
}

/// Writes attributes of the item at a place, and seals them.
pub(crate) fn write_at<T: Serialize>(
    operation: &'static str,
    family: &'static Family,
    seal: &Seal,
    at: At<'_>,
    value: T,
) -> Result<Item, StoreError> {
    guard::seal_at(operation, family, seal, at, serialized(operation, value)?)
}

fn serialized<T: Serialize>(operation: &'static str, value: T) -> Result<Item, StoreError> {
    serde_dynamo::to_item(value).map_err(|source| StoreError::item(operation, source))
}

/// Seconds for `expires_at`, rounded up: an item must not expire early.
pub(crate) fn expiry(at: Timestamp) -> i64 {
    at.0.saturating_add(999).div_euclid(1_000)
}

/// The profile.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct ProfileItem {
    pub(crate) mobile: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) locale: Option<String>,
    pub(crate) time_zone: Option<String>,
    /// One JSON text, as a mailbox entry's content.
    pub(crate) preferences: Option<String>,
}

impl ProfileItem {
    pub(crate) fn profile(self, operation: &'static str, seal: &Seal, user: &UserKey) -> Profile {
        let Self { mobile, email, tag, locale, time_zone, preferences } = self;
        let preferences = match preferences.map(Written::read).transpose() {
            Ok(preferences) => Wishes::Read(preferences.unwrap_or_default()),
            Err(_) => {
                let error = StoreError::item(operation, "the preferences cannot be read");
                unknown::pass_over("preferences", Some(seal.pseudonym(user)), keys::PROFILE, &error);
                Wishes::Unreadable
            }
        };
        Profile { mobile, email, tag, locale, time_zone, preferences }
    }
}

/// A device, in the user's partition and in the look-up by device id.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DeviceItem {
    pub(crate) device: DeviceId,
    #[serde(rename = "user_key")]
    pub(crate) user: String,
    pub(crate) generation: u32,
    pub(crate) platform: Open<Platform>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) client_version: Option<String>,
    pub(crate) registered: i64,
    #[serde(rename = "last_used")]
    pub(crate) used: i64,
    /// Only in the user's partition: the look-up stays, because the device's next generation follows from it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) expires_at: Option<i64>,
    /// Only in the user's partition.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "number_or_nothing")]
    pub(crate) cursor_epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "number_or_nothing")]
    pub(crate) cursor_seq: Option<u64>,
    /// Only in the user's partition: one JSON text, so that it can be compared as a whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) push: Option<String>,
}

/// An unreadable cursor is none: the device starts where the mailbox starts, and would otherwise be left out for good.
fn number_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(u64),
        Other(IgnoredAny),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::Number(number) => Some(number),
        Form::Other(_) => None,
    })
}

impl DeviceItem {
    pub(crate) fn new(seal: &Seal, device: &Device) -> Self {
        Self {
            device: device.id.clone(),
            user: seal.user(&device.user),
            generation: device.generation,
            platform: device.platform,
            client_version: device.client_version.clone(),
            registered: device.registered.0,
            used: device.used.0,
            expires_at: None,
            cursor_epoch: device.cursor.map(|cursor| cursor.epoch),
            cursor_seq: device.cursor.map(|cursor| cursor.seq),
            push: None,
        }
    }
}

impl DeviceItem {
    pub(crate) fn device(self, operation: &'static str, seal: &Seal) -> Result<Device, StoreError> {
        let owner = guard::user(operation, seal, &self.user)?;
        let push = self.push.map(Written::read).transpose().unwrap_or_else(|_| {
            let error = StoreError::item(operation, "the push address cannot be read");
            unknown::pass_over("push_address", Some(seal.pseudonym(&owner)), &self.device, &error);
            None
        });
        Ok(Device {
            id: self.device,
            user: owner,
            generation: self.generation,
            platform: self.platform,
            client_version: self.client_version,
            registered: Timestamp(self.registered),
            used: Timestamp(self.used),
            cursor: self.cursor_epoch.zip(self.cursor_seq).map(|(epoch, seq)| Position { epoch, seq }),
            push,
        })
    }
}

/// A connection, in the user's partition and in the look-up by connection id. In the user's partition `expires_at` is
/// the lease, which pings renew; in the look-up it is the longest life of a connection, which is why pings leave it
/// alone.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ConnectionItem {
    #[serde(rename = "connection_id")]
    pub(crate) connection: tidings_domain::ConnectionId,
    #[serde(rename = "user_key")]
    pub(crate) user: String,
    pub(crate) device: DeviceId,
    pub(crate) generation: u32,
    pub(crate) key_version: u32,
    pub(crate) platform: Open<Platform>,
    pub(crate) connected: i64,
    pub(crate) expires_at: i64,
    #[serde(rename = "app_state", skip_serializing_if = "Option::is_none", default)]
    pub(crate) state: Option<Open<AppState>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) buried: Option<i64>,
    /// Only in the user's partition: the shard of the connection in the index of its tenant.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) tenant_shard: Option<String>,
}

impl ConnectionItem {
    pub(crate) fn new(seal: &Seal, user: &UserKey, connection: &Connection, expires: Timestamp) -> Self {
        Self {
            connection: connection.id.clone(),
            user: seal.user(user),
            device: connection.device.clone(),
            generation: connection.generation,
            key_version: connection.key_version,
            platform: connection.platform,
            connected: connection.connected.0,
            expires_at: expiry(expires),
            state: None,
            buried: None,
            tenant_shard: None,
        }
    }

    /// The item in the user's partition: with its lease, and in the index of its tenant.
    pub(crate) fn presence(seal: &Seal, user: &UserKey, connection: &Connection) -> Self {
        let tenant_shard = Some(keys::shard_of(user, &connection.id));
        Self { tenant_shard, ..Self::new(seal, user, connection, connection.lease) }
    }
}

impl ConnectionItem {
    /// The connection, unless its lease has run out.
    pub(crate) fn alive(self, now: Timestamp) -> Option<Connection> {
        (self.expires_at > now.seconds()).then(|| self.into())
    }
}

impl From<ConnectionItem> for Connection {
    fn from(item: ConnectionItem) -> Self {
        Self {
            id: item.connection,
            device: item.device,
            generation: item.generation,
            key_version: item.key_version,
            platform: item.platform,
            connected: Timestamp(item.connected),
            lease: Timestamp(item.expires_at.saturating_mul(1_000)),
        }
    }
}

/// How far one step of a stored chain has come.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StepItem {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) claimed: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) repeats: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) claimed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) put_off: Option<PutOff>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) ended: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) detail: Option<String>,
}

/// A mailbox entry.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EntryItem {
    pub(crate) pk: String,
    pub(crate) sk: String,
    #[serde(flatten)]
    pub(crate) letter: Letter,
    pub(crate) stored: i64,
    pub(crate) expires_at: i64,
    pub(crate) before: String,
    #[serde(skip_serializing_if = "Collapsed::is_empty", default)]
    pub(crate) collapsed: Collapsed,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) replaces_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) closed: Option<ClosedItem>,
    pub(crate) posted: Vec<DeviceId>,
    #[serde(rename = "offline_at", skip_serializing_if = "Option::is_none", default)]
    pub(crate) offline: Option<i64>,
    pub(crate) gone: BTreeMap<DeviceId, i64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub(crate) unanswered: BTreeMap<DeviceId, i64>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) redelivered: Vec<RedeliveredItem>,
    /// The number of the last redelivery that is recorded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    redeliveries: Option<u32>,
    /// When the last repeat of a post that is recorded was due, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    repeated: Option<i64>,
    #[serde(rename = "acked_by")]
    pub(crate) acks: BTreeMap<DeviceId, i64>,
    #[serde(rename = "read_by")]
    pub(crate) reads: BTreeMap<DeviceId, i64>,
    /// One map for each of the letter's steps.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) progress: Vec<StepItem>,
}

/// One redelivery.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RedeliveredItem {
    pub(crate) at: i64,
    pub(crate) devices: Vec<DeviceId>,
}

/// Why and since when nothing of an entry starts any more.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClosedItem {
    pub(crate) why: Open<Closed>,
    pub(crate) at: i64,
}

impl EntryItem {
    pub(crate) fn new(seal: &Seal, user: &UserKey, entry: &Entry) -> Self {
        let times = |of: &[(DeviceId, Timestamp)]| of.iter().map(|(device, at)| (device.clone(), at.0)).collect();
        let redelivered =
            |(at, devices): &(Timestamp, Vec<DeviceId>)| RedeliveredItem { at: at.0, devices: devices.clone() };
        Self {
            pk: seal.user(user),
            sk: keys::entry(entry.position),
            letter: entry.letter.clone(),
            stored: entry.stored.0,
            expires_at: expiry(entry.keep_until),
            before: entry.links.window.as_str().to_owned(),
            collapsed: entry.links.collapsed.clone(),
            replaces_seq: entry.links.replaces.map(|place| place.seq),
            closed: entry.closed.map(|(why, at)| ClosedItem { why, at: at.0 }),
            posted: entry.posted.clone(),
            offline: entry.offline.map(|at| at.0),
            gone: times(&entry.gone),
            unanswered: times(&entry.unanswered),
            redelivered: entry.redelivered.iter().map(redelivered).collect(),
            redeliveries: None,
            repeated: None,
            acks: times(&entry.acks),
            reads: times(&entry.reads),
            progress: entry.steps.iter().map(StepItem::from).collect(),
        }
    }

    pub(crate) fn entry(self) -> Result<Entry, StoreError> {
        const OPERATION: &str = "read mailbox entry";
        let position = keys::position(&self.sk).ok_or_else(|| StoreError::item(OPERATION, "sort key"))?;
        if self.progress.len() != self.letter.steps.len() {
            return Err(StoreError::item(OPERATION, "progress"));
        }
        let times = |of: BTreeMap<DeviceId, i64>| of.into_iter().map(|(device, at)| (device, Timestamp(at))).collect();
        Ok(Entry {
            letter: self.letter,
            position,
            stored: Timestamp(self.stored),
            keep_until: Timestamp(self.expires_at.saturating_mul(1_000)),
            links: Links {
                window: Window::from_text(self.before),
                collapsed: self.collapsed,
                replaces: self.replaces_seq.map(|seq| Position { seq, ..position }),
            },
            closed: self.closed.map(|closed| (closed.why, Timestamp(closed.at))),
            posted: self.posted,
            offline: self.offline.map(Timestamp),
            gone: times(self.gone),
            unanswered: times(self.unanswered),
            redelivered: self.redelivered.into_iter().map(|it| (Timestamp(it.at), it.devices)).collect(),
            acks: times(self.acks),
            reads: times(self.reads),
            steps: self.progress.into_iter().map(StepRecord::from).collect(),
        })
    }
}

impl From<&StepRecord> for StepItem {
    fn from(step: &StepRecord) -> Self {
        Self {
            claimed: step.claimed.map(|at| at.0),
            repeats: step.repeats.iter().map(|at| at.0).collect(),
            claimed_by: step.claimed_by.clone(),
            put_off: step.put_off.clone(),
            outcome: step.outcome.as_ref().map(|(outcome, _)| outcome.clone()),
            ended: step.outcome.as_ref().map(|(_, at)| at.0),
            detail: step.detail.clone(),
        }
    }
}

impl From<StepItem> for StepRecord {
    fn from(item: StepItem) -> Self {
        Self {
            claimed: item.claimed.map(Timestamp),
            repeats: item.repeats.into_iter().map(Timestamp).collect(),
            claimed_by: item.claimed_by,
            put_off: item.put_off,
            outcome: item.outcome.zip(item.ended.map(Timestamp)),
            detail: item.detail,
        }
    }
}

/// The entry of an item, or its position alone. What a newer version has written in it is named in the log.
pub(crate) fn slot(operation: &'static str, seal: &Seal, item: Item) -> Result<Slot<Entry>, StoreError> {
    let text = |name| item.get(name).and_then(|value: &AttributeValue| value.as_s().ok()).cloned().unwrap_or_default();
    let user = guard::user(operation, seal, &text(keys::PK))?;
    let user = seal.pseudonym(&user);
    let position = keys::position(&text(keys::SK)).ok_or_else(|| StoreError::item(operation, "sort key"))?;
    match open::<EntryItem>(operation, &families::ENTRY, seal, item).and_then(EntryItem::entry) {
        Ok(entry) => {
            for (kind, word) in entry.unknown() {
                unknown::name(kind, word, &user, position, entry.letter.id.as_str());
            }
            Ok(Slot::Read(entry))
        }
        Err(error) => {
            unknown::pass_over("mailbox_entry", Some(user), unknown::place(position), &error);
            Ok(Slot::Unreadable(position))
        }
    }
}

/// The longest that an entry of now is kept.
fn kept_until(now: Timestamp) -> Timestamp {
    now.plus_seconds(*limits::TTL_SECONDS.end()).plus_seconds(RETENTION_SECONDS)
}

/// Whether an item is still kept. One without an expiry is, and so is an entry that would have expired before its log
/// began.
pub(crate) fn is_kept(item: &Item, now: Timestamp) -> bool {
    let Some(expires) = number(item, "expires_at").map(|seconds| seconds.saturating_mul(1_000)) else { return true };
    let position = item.get(keys::SK).and_then(|sk| keys::position(sk.as_s().ok()?));
    expires > now.0 || position.is_some_and(|position| expires < i64::try_from(position.epoch).unwrap_or(i64::MAX))
}

/// A number of an item.
pub(crate) fn number(item: &Item, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// The newest entry of a log, field by field: an unreadable field leaves the rest.
pub(crate) fn tail(
    operation: &'static str,
    seal: &Seal,
    item: &Item,
    user: &UserKey,
    now: Timestamp,
) -> Result<Tail, StoreError> {
    let text = |name| item.get(name).and_then(|value: &AttributeValue| value.as_s().ok()).cloned();
    let position = text(keys::SK).as_deref().and_then(keys::position);
    let position = position.ok_or_else(|| StoreError::item(operation, "sort key"))?;
    let id = text("id").and_then(|id| id.parse().ok());
    let (expires, window) = (number(item, "expires_at"), text("before"));
    let opened = guard::open_attribute(operation, &families::ENTRY, seal, item, "collapsed");
    let collapsed = match opened.map(|opened| opened.or_else(|| item.get("collapsed").cloned())) {
        Ok(Some(collapsed)) => serde_dynamo::from_attribute_value(collapsed).ok(),
        Ok(None) => Some(Collapsed::default()),
        Err(_) => None,
    };
    if id.is_none() || expires.is_none() || window.is_none() || collapsed.is_none() {
        let error = StoreError::item(operation, "the data for the next entry cannot be read completely");
        unknown::pass_over("mailbox_tail", Some(seal.pseudonym(user)), unknown::place(position), &error);
    }
    Ok(Tail {
        id,
        position,
        // It exists: the next entry is kept at least as long, and no entry is kept for longer than this.
        keep_until: expires.map_or(now, |seconds| Timestamp(seconds.saturating_mul(1_000)).clamp(now, kept_until(now))),
        window: window.map(Window::from_text).unwrap_or_default(),
        collapsed: collapsed.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
