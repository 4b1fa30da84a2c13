//! Names of keys. A user's partition sorts so that one reverse query returns everything that a delivery needs: first
//! the profile, then devices, then connections, then the mailbox from its newest entry.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use tidings_domain::{AppId, ConnectionId, DeviceId, MessageId, Position, Seal, TenantKey, UserKey, announcement};

/// An item, or a part of one.
pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) const PK: &str = "pk";
pub(crate) const SK: &str = "sk";

/// Index over mailbox entries by message id.
pub(crate) const BY_MESSAGE: &str = "by_message";

/// Index over the connections of a tenant, in shards.
pub(crate) const BY_TENANT: &str = "by_tenant";

/// The key attribute of that index.
pub(crate) const TENANT_SHARD: &str = "tenant_shard";

/// Sort keys of a user's partition, from the top of a reverse query downwards.
pub(crate) const PROFILE: &str = "z";
pub(crate) const DEVICE: &str = "y#";
pub(crate) const CONNECTION: &str = "x#";
pub(crate) const ENTRY: &str = "m#";
pub(crate) const LOG: &str = "l";

/// Sort keys after all entries, whose first character is a digit, and after all devices.
pub(crate) const BEHIND_ENTRIES: &str = "m#:";
pub(crate) const BEHIND_DEVICES: &str = "y#~";

/// Sort key of an app's item in the directory.
pub(crate) const APP: &str = "app";

/// Sort key of the newest numbers in the log of a tenant's announcements.
pub(crate) const HEAD: &str = "head";

/// Sort key of an announcement's receipt.
pub(crate) const RECEIPT: &str = "receipt";

pub(crate) fn device(id: &DeviceId) -> String {
    format!("{DEVICE}{id}")
}

pub(crate) fn connection(id: &ConnectionId) -> String {
    format!("{CONNECTION}{id}")
}

/// Both numbers as 20 digits, so that text order is number order.
pub(crate) fn entry(position: Position) -> String {
    format!("{ENTRY}{:020}#{:020}", position.epoch, position.seq)
}

pub(crate) fn position(sk: &str) -> Option<Position> {
    let (epoch, seq) = sk.strip_prefix(ENTRY)?.split_once('#')?;
    Some(Position { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? })
}

pub(crate) fn lookup_device(id: &DeviceId) -> String {
    format!("d#{id}")
}

pub(crate) fn lookup_connection(id: &ConnectionId) -> String {
    format!("c#{id}")
}

/// A connect token that has been used.
pub(crate) fn lookup_token(device: &DeviceId, token: &str) -> String {
    format!("j#{device}#{token}")
}

pub(crate) fn directory_app(id: &AppId) -> String {
    format!("app#{id}")
}

/// The partition of a shard of a tenant's connections in their index.
pub(crate) fn tenant_shard(tenant: &TenantKey, shard: u8) -> String {
    format!("{}#{shard}", tenant.encode())
}

/// The shard of a connection.
pub(crate) fn shard_of(user: &UserKey, id: &ConnectionId) -> String {
    tenant_shard(&user.tenant(), announcement::shard(id))
}

/// The log of a tenant's announcements.
pub(crate) fn announcements(tenant: &TenantKey) -> String {
    format!("announcements#{}", tenant.encode())
}

/// As 20 digits, so that text order is number order.
pub(crate) fn announcement(number: u64) -> String {
    format!("n#{number:020}")
}

pub(crate) fn announcement_number(sk: &str) -> Option<u64> {
    sk.strip_prefix("n#")?.parse().ok()
}

pub(crate) fn announcement_id(id: &MessageId) -> String {
    format!("announcement#{id}")
}

/// The items that a tenant has closed.
pub(crate) fn items(tenant: &TenantKey) -> String {
    format!("items#{}", tenant.encode())
}

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The key of an item in a user's partition.
pub(crate) fn of_user(seal: &Seal, user: &UserKey, sk: impl Into<String>) -> Item {
    HashMap::from([(PK.to_owned(), text(seal.user(user))), (SK.to_owned(), text(sk))])
}

/// The key of an item in a table without sort key.
pub(crate) fn of(pk: impl Into<String>) -> Item {
    HashMap::from([(PK.to_owned(), text(pk))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reverse_query_meets_presence_before_the_mailbox() {
        let position = Position { epoch: u64::MAX, seq: u64::MAX };
        let mut sorted = [
            LOG.into(),
            entry(position),
            connection(&"~".parse().unwrap()),
            device(&"zz".parse().unwrap()),
            PROFILE.into(),
        ];
        let expected = sorted.clone();
        sorted.sort();
        assert_eq!(sorted, expected);
        assert_eq!(super::position(&entry(position)), Some(position));
    }

    #[test]
    fn entries_sort_by_number() {
        let at = |epoch, seq| entry(Position { epoch, seq });
        assert!(at(9, 10) > at(9, 9));
        assert!(at(10, 1) > at(9, 99));
    }
}
