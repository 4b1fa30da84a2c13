//! Connections: recorded once, renewed by pings, removed exactly; and the tombstones that keep a late `$connect` from
//! restoring a dead one.

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, ReturnValue, TransactWriteItem, Update};
use serde::{Deserialize, Serialize};
use tidings_domain::{
    Connection, ConnectionId, DeviceId, KeyHolder, Open, Seal, TenantKey, Timestamp, UserKey, announcement::Target,
    presence::CONNECTION_LIFE_SECONDS,
};
use tidings_wire::{Platform, action::AppState};

use crate::{
    StoreError, Vault,
    error::{refused_writes, took_place},
    families,
    guard::{self, At},
    item::{self, ConnectionItem},
    keys,
    transaction::put,
    unknown,
};

/// A connection and its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRecord {
    /// The user.
    pub user: UserKey,
    /// The connection; its lease here is the longest life of a connection, which pings do not renew.
    pub connection: Connection,
    /// When it died.
    pub buried: Option<Timestamp>,
}

impl<'a> From<&'a ConnectionRecord> for KeyHolder<'a> {
    /// The device behind the connection, with the keys that it connected with.
    fn from(record: &'a ConnectionRecord) -> Self {
        record.connection.key_holder(&record.user.app)
    }
}

/// The result of recording a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connected {
    /// It is recorded.
    Recorded,
    /// Its token has been used before.
    TokenUsed,
    /// Its `$disconnect` was handled first: it is dead already.
    Dead,
    /// Its device has left the user since its token was verified.
    DeviceLeft,
}

/// Turns the look-up of a connection into its tombstone: the connection's attributes go, its user stays.
const BURY: &str = "SET tombstone = :yes, buried = if_not_exists(buried, :now), expires_at = :at REMOVE connection_id";

/// How long after a connection's end its confirmations still count, in seconds: API Gateway may deliver `$disconnect`
/// before a message that was sent earlier.
const LAST_WORDS_SECONDS: u64 = 60;

/// When a tombstone expires: after the time in which the `$connect` of its connection may still be on its way.
fn tombstone_expiry(now: Timestamp) -> i64 {
    item::expiry(now.plus_seconds(CONNECTION_LIFE_SECONDS))
}

/// The look-up item of a used token.
#[derive(Debug, Serialize)]
struct UsedToken {
    pk: String,
    expires_at: i64,
}

/// A connection in the index of its tenant: its keys, and the attributes that do not change while it lives.
#[derive(Debug, Deserialize)]
struct TargetItem {
    pk: String,
    sk: String,
    device: DeviceId,
    generation: u32,
    key_version: u32,
    platform: Open<Platform>,
}

impl TargetItem {
    fn target(self, operation: &'static str, seal: &Seal) -> Result<Target, StoreError> {
        let connection = self.sk.strip_prefix(keys::CONNECTION).unwrap_or_default();
        Ok(Target {
            user: guard::user(operation, seal, &self.pk)?,
            connection: connection.parse().map_err(|source| StoreError::item(operation, source))?,
            device: self.device,
            generation: self.generation,
            key_version: self.key_version,
            platform: self.platform,
        })
    }
}

/// The key of a connection in the partition of its user.
#[derive(Debug, Deserialize)]
struct KeyItem {
    pk: String,
    sk: String,
}

impl KeyItem {
    fn key(self, operation: &'static str, seal: &Seal) -> Result<(UserKey, ConnectionId), StoreError> {
        let id = self.sk.strip_prefix(keys::CONNECTION).unwrap_or_default();
        let id = id.parse().map_err(|source| StoreError::item(operation, source))?;
        Ok((guard::user(operation, seal, &self.pk)?, id))
    }
}

/// An item with its key in front.
#[derive(Debug, Serialize)]
struct Keyed<T> {
    pk: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sk: Option<String>,
    #[serde(flatten)]
    item: T,
}

/// Open sockets: the look-up by connection id, and the list of each user.
#[derive(Clone, Debug)]
pub struct Connections {
    pub(crate) client: aws_sdk_dynamodb::Client,
    pub(crate) vault: Vault,
    pub(crate) table: String,
    lookups: String,
}

impl Connections {
    /// Over the `Users` and `Lookups` tables.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, vault: Vault, table: String, lookups: String) -> Self {
        Self { client, vault, table, lookups }
    }

    /// Records a connection and the use of its token, all or nothing. It requires that the device belongs to the user,
    /// so that a device that leaves leaves no connection behind.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn connect(
        &self,
        user: &UserKey,
        connection: &Connection,
        token: &str,
        token_expires: Timestamp,
    ) -> Result<Connected, StoreError> {
        const OPERATION: &str = "record connection";
        let seal = self.vault.of(&user.app).await?;
        let longest = connection.connected.plus_seconds(CONNECTION_LIFE_SECONDS);
        let used = UsedToken {
            pk: keys::lookup_token(&connection.device, token),
            // Kept longer than the token by the leeway of its check.
            expires_at: item::expiry(token_expires.plus_seconds(60)),
        };
        let lookup = Keyed {
            pk: keys::lookup_connection(&connection.id),
            sk: None,
            item: ConnectionItem::new(&seal, user, connection, longest),
        };
        let presence = Keyed {
            pk: seal.user(user),
            sk: Some(keys::connection(&connection.id)),
            item: ConnectionItem::presence(&seal, user, connection),
        };
        const ABSENT: Option<&str> = Some("attribute_not_exists(pk)");
        let used = item::write(OPERATION, &families::TOKEN_USED, &seal, used)?;
        let lookup = item::write(OPERATION, &families::CONNECTION_LOOKUP, &seal, lookup)?;
        let presence = item::write(OPERATION, &families::CONNECTION, &seal, presence)?;
        let writes = [
            put(OPERATION, &self.lookups, used, ABSENT)?,
            put(OPERATION, &self.lookups, lookup, ABSENT)?,
            put(OPERATION, &self.table, presence, None)?,
        ];
        let belongs = ConditionCheck::builder()
            .table_name(&self.lookups)
            .set_key(Some(keys::of(keys::lookup_device(&connection.device))))
            .condition_expression("generation = :generation AND user_key = :user")
            .expression_attribute_values(":generation", keys::number(connection.generation))
            .expression_attribute_values(":user", keys::text(seal.user(user)))
            .build()
            .map_err(|error| StoreError::item(OPERATION, error))?;
        let mut writes: Vec<_> = writes.into_iter().map(|put| TransactWriteItem::builder().put(put).build()).collect();
        writes.push(TransactWriteItem::builder().condition_check(belongs).build());
        let error = match self.client.transact_write_items().set_transact_items(Some(writes)).send().await {
            Ok(_) => return Ok(Connected::Recorded),
            Err(error) => error,
        };
        // The reasons stand in the order of the writes.
        let failed = error.as_service_error().map(refused_writes).unwrap_or_default();
        match failed.as_slice() {
            [_, true, ..] => Ok(Connected::Dead),
            [true, ..] => Ok(Connected::TokenUsed),
            [.., true] => Ok(Connected::DeviceLeft),
            _ => Err(StoreError::request(OPERATION, error)),
        }
    }

    /// A connection and its user; `None` if it is unknown or dead.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: &ConnectionId, now: Timestamp) -> Result<Option<ConnectionRecord>, StoreError> {
        Ok(self.last_words(id, now).await?.filter(|record| record.buried.is_none()))
    }

    /// A connection and its user, also within a minute after its end.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn last_words(&self, id: &ConnectionId, now: Timestamp) -> Result<Option<ConnectionRecord>, StoreError> {
        const OPERATION: &str = "look connection up";
        let answer = self
            .client
            .get_item()
            .table_name(&self.lookups)
            .set_key(Some(keys::of(keys::lookup_connection(id))))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        // A tombstone without a user: its `$connect` has not been handled.
        let Some(mut item) = answer.item.filter(|item| item.contains_key("user_key")) else { return Ok(None) };
        item.insert("connection_id".to_owned(), keys::text(id.as_str()));
        let item = match item::read::<ConnectionItem>(OPERATION, item) {
            Ok(item) => item,
            // Its device reconnects on another one.
            Err(error) => {
                unknown::pass_over("connection_lookup", None, id, &error);
                return Ok(None);
            }
        };
        let buried = item.buried.map(Timestamp);
        let counts = buried.is_none_or(|at| now <= at.plus_seconds(LAST_WORDS_SECONDS));
        if item.expires_at <= now.seconds() || !counts {
            return Ok(None);
        }
        let app = guard::app_of(OPERATION, &item.user)?;
        let Some(seal) = self.vault.of_existing(&app).await? else { return Ok(None) };
        let user = guard::user(OPERATION, &seal, &item.user)?;
        Ok(Some(ConnectionRecord { user, connection: item.into(), buried }))
    }

    /// Removes a connection and leaves a tombstone. Idempotent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn disconnect(&self, id: &ConnectionId, now: Timestamp) -> Result<(), StoreError> {
        const OPERATION: &str = "forget connection";
        // The tombstone keeps the connection's user, so that one write both buries and finds it, also when repeated.
        let answer = self
            .client
            .update_item()
            .table_name(&self.lookups)
            .set_key(Some(keys::of(keys::lookup_connection(id))))
            .update_expression(BURY)
            .expression_attribute_values(":yes", AttributeValue::Bool(true))
            .expression_attribute_values(":now", keys::number(now.0))
            .expression_attribute_values(":at", keys::number(tombstone_expiry(now)))
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        let tombstone = answer.attributes.unwrap_or_default();
        match tombstone.get("user_key").and_then(|user| user.as_s().ok()) {
            // The key as it is stored: no keyring is needed for it.
            Some(partition) => self.remove(partition, id).await,
            // Its `$connect` has not been handled yet, and will find the tombstone.
            None => Ok(()),
        }
    }

    /// The connections of a user whose lease has not run out, strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn of_user(&self, user: &UserKey, now: Timestamp) -> Result<Vec<Connection>, StoreError> {
        const OPERATION: &str = "list connections of user";
        let seal = self.vault.of(&user.app).await?;
        let mut items = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk AND begins_with(sk, :connection)")
            .expression_attribute_values(":pk", keys::text(seal.user(user)))
            .expression_attribute_values(":connection", keys::text(keys::CONNECTION))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut connections = Vec::new();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| StoreError::request(OPERATION, error))?;
            match item::open::<ConnectionItem>(OPERATION, &families::CONNECTION, &seal, item) {
                Ok(connection) => connections.extend(connection.alive(now)),
                Err(error) => {
                    unknown::pass_over("connection", Some(seal.pseudonym(user)), keys::CONNECTION, &error);
                }
            }
        }
        Ok(connections)
    }

    /// Removes a connection that is closed by the service and leaves its tombstone, all or nothing. Its `$disconnect`
    /// finds nothing left to do. `false` if the connection was buried before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bury(&self, user: &UserKey, id: &ConnectionId, now: Timestamp) -> Result<bool, StoreError> {
        const UNLESS_BURIED: Option<&str> = Some("attribute_not_exists(tombstone)");
        let seal = self.vault.of(&user.app).await?;
        let writes = bury(&self.table, &self.lookups, seal.user(user), id, now, UNLESS_BURIED)?;
        let buried = self.client.transact_write_items().set_transact_items(Some(writes)).send().await;
        took_place("bury connection", buried)
    }

    /// Removes exactly this connection from its user. The look-up stays: a 410 is no proof, and a ping restores the
    /// connection.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prune(&self, user: &UserKey, id: &ConnectionId) -> Result<(), StoreError> {
        let seal = self.vault.of(&user.app).await?;
        self.remove(&seal.user(user), id).await
    }

    /// Removes a connection from a user's partition.
    async fn remove(&self, partition: &str, id: &ConnectionId) -> Result<(), StoreError> {
        self.client
            .delete_item()
            .table_name(&self.table)
            .key(keys::PK, keys::text(partition))
            .key(keys::SK, keys::text(keys::connection(id)))
            .send()
            .await
            .map_err(|error| StoreError::request("prune connection", error))?;
        Ok(())
    }

    /// Writes a connection with a fresh lease: a ping proves that it is alive, even if it was pruned by mistake.
    /// `false` if a tombstone was written in between, which takes precedence.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renew(&self, user: &UserKey, connection: &Connection) -> Result<bool, StoreError> {
        const OPERATION: &str = "renew lease";
        let seal = self.vault.of(&user.app).await?;
        let alive = ConditionCheck::builder()
            .table_name(&self.lookups)
            .set_key(Some(keys::of(keys::lookup_connection(&connection.id))))
            .condition_expression("attribute_exists(connection_id)")
            .build()
            .map_err(|error| StoreError::item(OPERATION, error))?;
        // An update, not a put: the recorded app state stays.
        let mut presence = Update::builder().table_name(&self.table).set_key(Some(keys::of_user(
            &seal,
            user,
            keys::connection(&connection.id),
        )));
        let mut sets = Vec::new();
        let (partition, sort_key) = (seal.user(user), keys::connection(&connection.id));
        let written = ConnectionItem::presence(&seal, user, connection);
        let at = At::user(&partition, &sort_key);
        for (name, value) in item::write_at(OPERATION, &families::CONNECTION, &seal, at, written)? {
            sets.push(format!("{name} = :{name}"));
            presence = presence.expression_attribute_values(format!(":{name}"), value);
        }
        let presence = presence
            .update_expression(format!("SET {}", sets.join(", ")))
            .build()
            .map_err(|error| StoreError::item(OPERATION, error))?;
        let written = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().condition_check(alive).build())
            .transact_items(TransactWriteItem::builder().update(presence).build())
            .send()
            .await;
        took_place(OPERATION, written)
    }

    /// A page of a tenant's connections, from the index: only their keys, and a moment old. A missing connection does
    /// not mean that a user is offline. Returns the end of the page beside it, if there are more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn connected(
        &self,
        tenant: &TenantKey,
        shard: u8,
        after: Option<&(UserKey, ConnectionId)>,
        most: usize,
    ) -> Result<(Vec<Target>, Option<(UserKey, ConnectionId)>), StoreError> {
        const OPERATION: &str = "list connections of tenant";
        let seal = self.vault.of(&tenant.app).await?;
        let partition = keys::tenant_shard(tenant, shard);
        let start = after.map(|(user, id)| {
            let mut key = keys::of_user(&seal, user, keys::connection(id));
            key.insert(keys::TENANT_SHARD.to_owned(), keys::text(&partition));
            key
        });
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(keys::BY_TENANT)
            .key_condition_expression("tenant_shard = :shard")
            .expression_attribute_values(":shard", keys::text(&partition))
            .set_exclusive_start_key(start)
            .limit(i32::try_from(most).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        let target = |item| {
            let target = item::read::<TargetItem>(OPERATION, item).and_then(|target| target.target(OPERATION, &seal));
            target.map_err(|error| unknown::pass_over("connection", None, &partition, &error)).ok()
        };
        let targets = page.items.unwrap_or_default().into_iter().filter_map(target).collect();
        // Not the last target: the last item may be an unreadable one.
        let end = page.last_evaluated_key.map(|key| item::read::<KeyItem>(OPERATION, key)?.key(OPERATION, &seal));
        Ok((targets, end.transpose()?))
    }

    /// Records whether a person is looking at the app. A connection that was removed stays removed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_state(&self, user: &UserKey, id: &ConnectionId, state: AppState) -> Result<(), StoreError> {
        const OPERATION: &str = "record app state";
        let seal = self.vault.of(&user.app).await?;
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::of_user(&seal, user, keys::connection(id))))
            .update_expression("SET app_state = :state")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":state", keys::text(state.as_str()))
            .send()
            .await;
        took_place(OPERATION, update).map(|_| ())
    }
}

/// Writes that remove a device's connections when it changes hands: presence first, so that no frame for the new user
/// is posted to the old socket.
pub(crate) fn bury(
    table: &str,
    lookups: &str,
    partition: String,
    id: &ConnectionId,
    now: Timestamp,
    condition: Option<&str>,
) -> Result<Vec<TransactWriteItem>, StoreError> {
    const OPERATION: &str = "close connections of device";
    let presence = aws_sdk_dynamodb::types::Delete::builder()
        .table_name(table)
        .key(keys::PK, keys::text(partition))
        .key(keys::SK, keys::text(keys::connection(id)))
        .build()
        .map_err(|error| StoreError::item(OPERATION, error))?;
    let lookup = Update::builder()
        .table_name(lookups)
        .set_key(Some(keys::of(keys::lookup_connection(id))))
        .update_expression(BURY)
        .set_condition_expression(condition.map(str::to_owned))
        .expression_attribute_values(":yes", AttributeValue::Bool(true))
        .expression_attribute_values(":now", keys::number(now.0))
        .expression_attribute_values(":at", keys::number(tombstone_expiry(now)))
        .build()
        .map_err(|error| StoreError::item(OPERATION, error))?;
    Ok(vec![TransactWriteItem::builder().delete(presence).build(), TransactWriteItem::builder().update(lookup).build()])
}
