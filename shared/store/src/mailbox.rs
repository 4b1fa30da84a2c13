//! Mailboxes: each user's log of messages, and what happens to its entries.

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnValue, TransactWriteItem};
use tidings_domain::{
    DeviceId, Entry, MessageId, Position, Timestamp, UserKey,
    delivery::Redelivery,
    mailbox::{Closed, Slot},
};

use crate::{
    StoreError, Stored, Vault,
    error::took_place,
    families, guard,
    item::{self, ClosedItem, EntryItem, Item, RedeliveredItem},
    keys,
    transaction::put,
};

/// How long no other worker may start a log after one was started, in seconds: longer than two workers' clocks differ,
/// and shorter than any log lives.
const LOG_SECONDS: u64 = 86_400;

/// Keys of one `BatchGetItem` (AWS's limit).
const BATCH_KEYS: usize = 100;

/// The result of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The entry is in the log.
    Stored,
    /// Another entry has that position: read and decide again.
    Conflict,
}

/// The state of the connection on which a device confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// A live connection, at this time.
    Alive(Timestamp),
    /// A connection that has ended: its last confirmations hold for entries that were stored before the end. They are
    /// dated when they are recorded, because a step may have begun between the end and that.
    Ended {
        /// When it ended.
        end: Timestamp,
        /// The time of the confirmation.
        now: Timestamp,
    },
}

/// The kind of a confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// It has received it.
    Acknowledged,
    /// A person has read it.
    Read,
}

/// The logs of messages, one for each user.
#[derive(Clone, Debug)]
pub struct Mailboxes {
    pub(crate) client: aws_sdk_dynamodb::Client,
    pub(crate) vault: Vault,
    pub(crate) table: String,
}

impl Mailboxes {
    /// Over the `Users` table.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, vault: Vault, table: String) -> Self {
        Self { client, vault, table }
    }

    /// Writes an entry at its position, if that is free. The first entry of a log takes its epoch from its worker's
    /// clock, so two workers would not conflict at one position: they conflict at the log's own item, in the same
    /// transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn append(&self, user: &UserKey, entry: &Entry) -> Result<Appended, StoreError> {
        const OPERATION: &str = "append to mailbox";
        let seal = self.vault.of(&user.app).await?;
        let item = item::write(OPERATION, &families::ENTRY, &seal, EntryItem::new(&seal, user, entry))?;
        if entry.position.seq == 1 {
            return self.begin_log(keys::of_user(&seal, user, keys::LOG), item, entry.stored).await;
        }
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        Ok(if took_place(OPERATION, put)? { Appended::Stored } else { Appended::Conflict })
    }

    async fn begin_log(&self, mut log: Item, first: Item, now: Timestamp) -> Result<Appended, StoreError> {
        const OPERATION: &str = "begin mailbox";
        log.insert("begun".to_owned(), keys::number(now.0));
        log.insert("expires_at".to_owned(), keys::number(item::expiry(now.plus_seconds(2 * LOG_SECONDS))));
        // No log expires within a day.
        let mut log = put(OPERATION, &self.table, log, Some("attribute_not_exists(pk) OR begun < :yesterday"))?;
        let yesterday = keys::number(now.0.saturating_sub(i64::try_from(LOG_SECONDS * 1_000).unwrap_or(i64::MAX)));
        log.expression_attribute_values = Some([(":yesterday".to_owned(), yesterday)].into());
        let first = put(OPERATION, &self.table, first, Some("attribute_not_exists(pk)"))?;
        let written = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(log).build())
            .transact_items(TransactWriteItem::builder().put(first).build())
            .send()
            .await;
        Ok(if took_place(OPERATION, written)? { Appended::Stored } else { Appended::Conflict })
    }

    /// The entry at a position, strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entry(&self, user: &UserKey, position: Position) -> Result<Option<Slot<Entry>>, StoreError> {
        const OPERATION: &str = "read mailbox entry";
        let seal = self.vault.of(&user.app).await?;
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keys::of_user(&seal, user, keys::entry(position))))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        answer.item.map(|item| item::slot(OPERATION, &seal, item)).transpose()
    }

    /// The position of a message in a user's mailbox, by the index; for messages older than the window.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, user: &UserKey, id: &MessageId) -> Result<Option<Position>, StoreError> {
        const OPERATION: &str = "find message in mailbox";
        let seal = self.vault.of(&user.app).await?;
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(keys::BY_MESSAGE)
            .key_condition_expression("id = :id AND pk = :pk")
            .expression_attribute_values(":id", keys::text(id.as_str()))
            .expression_attribute_values(":pk", keys::text(seal.user(user)))
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        let key = page.items.unwrap_or_default().into_iter().next();
        Ok(key.and_then(|key| key.get(keys::SK)?.as_s().ok().and_then(|sk| keys::position(sk))))
    }

    /// Every mailbox entry of a message, with its user: the index returns the keys, a consistent read the entries. If
    /// an idempotency key was forgotten and used again, two messages have one id; entries of the other one are left
    /// out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entries_of(&self, stored: &Stored) -> Result<Vec<(UserKey, Slot<Entry>)>, StoreError> {
        const OPERATION: &str = "read trail";
        let seal = self.vault.of(&stored.app).await?;
        let mut keys_found = Vec::new();
        let mut items = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(keys::BY_MESSAGE)
            .key_condition_expression("id = :id")
            .expression_attribute_values(":id", keys::text(stored.id.as_str()))
            .into_paginator()
            .items()
            .send();
        while let Some(item) = items.next().await {
            let mut key = item.map_err(|error| StoreError::request(OPERATION, error))?;
            key.retain(|name, _| name == keys::PK || name == keys::SK);
            keys_found.push(key);
        }
        let mut entries = Vec::with_capacity(keys_found.len());
        for batch in keys_found.chunks(BATCH_KEYS) {
            for item in self.get_all(OPERATION, batch.to_vec()).await? {
                let user = item.get(keys::PK).and_then(|user| user.as_s().ok()).cloned().unwrap_or_default();
                let accepted = item::number(&item, "accepted").map(Timestamp);
                if accepted.is_none_or(|at| at == stored.send_at.unwrap_or(stored.accepted)) {
                    entries.push((guard::user(OPERATION, &seal, &user)?, item::slot(OPERATION, &seal, item)?));
                }
            }
        }
        Ok(entries)
    }

    /// Reads up to 100 items; requests unprocessed keys again.
    async fn get_all(&self, operation: &'static str, wanted: Vec<Item>) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::with_capacity(wanted.len());
        let mut wanted = wanted;
        while !wanted.is_empty() {
            let keys = KeysAndAttributes::builder()
                .set_keys(Some(std::mem::take(&mut wanted)))
                .consistent_read(true)
                .build()
                .map_err(|error| StoreError::item(operation, error))?;
            let answer = self
                .client
                .batch_get_item()
                .request_items(&self.table, keys)
                .send()
                .await
                .map_err(|error| StoreError::request(operation, error))?;
            items.extend(answer.responses.into_iter().flat_map(|mut tables| tables.remove(&self.table)).flatten());
            let left = answer.unprocessed_keys.and_then(|mut tables| tables.remove(&self.table));
            wanted = left.map(|left| left.keys).unwrap_or_default();
        }
        Ok(items)
    }

    /// Up to `limit` entries after a position, and up to another one if given, oldest first, whether or not their
    /// deadline has passed; strongly consistent. Beside them, `true` if there may be more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn after(
        &self,
        user: &UserKey,
        place: Option<Position>,
        up_to: Option<Position>,
        limit: usize,
        now: Timestamp,
    ) -> Result<(Vec<Slot<Entry>>, bool), StoreError> {
        const OPERATION: &str = "replay mailbox";
        let seal = self.vault.of(&user.app).await?;
        // A suffix sorts after the position and before the next one: `BETWEEN` includes both its ends.
        let from = place.map_or_else(|| keys::ENTRY.to_owned(), |place| format!("{}+", keys::entry(place)));
        let to = up_to.map_or_else(|| keys::BEHIND_ENTRIES.to_owned(), keys::entry);
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", keys::text(seal.user(user)))
            .expression_attribute_values(":from", keys::text(&from))
            .expression_attribute_values(":to", keys::text(to))
            .consistent_read(true)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| StoreError::request(OPERATION, error))?;
            let kept = page.items.unwrap_or_default().into_iter().filter(|item| item::is_kept(item, now));
            let entries = kept.map(|item| item::slot(OPERATION, &seal, item)).collect::<Result<Vec<_>, _>>()?;
            // A page with only expired entries shows nothing about the entries after them.
            if !entries.is_empty() {
                return Ok((entries, page.last_evaluated_key.is_some()));
            }
        }
        Ok((Vec::new(), false))
    }

    /// Records that a device has received or read an entry. The first time counts; `false` if there is no such entry,
    /// or the connection may no longer confirm it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn confirm(
        &self,
        user: &UserKey,
        position: Position,
        id: &MessageId,
        device: &DeviceId,
        what: Confirmation,
        when: Confirmed,
    ) -> Result<bool, StoreError> {
        let map = match what {
            Confirmation::Acknowledged => "acked_by",
            Confirmation::Read => "read_by",
        };
        let mut names = vec![("#device", device.as_str())];
        let (now, end) = match when {
            Confirmed::Alive(now) => (now, None),
            Confirmed::Ended { end, now } => (now, Some(end)),
        };
        let mut values = vec![(":at", keys::number(now.0)), (":id", keys::text(id.as_str()))];
        let mut condition = "id = :id";
        if let Some(end) = end {
            condition = "id = :id AND #stored <= :end";
            names.push(("#stored", "stored"));
            values.push((":end", keys::number(end.0)));
        }
        self.update_entry(
            "confirm message",
            user,
            position,
            &format!("SET {map}.#device = if_not_exists({map}.#device, :at)"),
            condition,
            &names,
            values,
        )
        .await
    }

    /// Records that no device was reached after all, and which devices' connections were gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_offline(
        &self,
        user: &UserKey,
        position: Position,
        gone: &[DeviceId],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let times = gone.iter().map(|device| (device.to_string(), keys::number(now.0))).collect();
        self.update_entry(
            "note offline",
            user,
            position,
            "SET offline_at = if_not_exists(offline_at, :now), gone = :gone",
            "attribute_exists(pk)",
            &[],
            vec![(":now", keys::number(now.0)), (":gone", AttributeValue::M(times))],
        )
        .await
        .map(|_| ())
    }

    /// Records the devices whose posts had no answer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_unanswered(
        &self,
        user: &UserKey,
        position: Position,
        devices: &[DeviceId],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let times = devices.iter().map(|device| (device.to_string(), keys::number(now.0))).collect();
        self.update_entry(
            "note unanswered posts",
            user,
            position,
            "SET unanswered = :unanswered",
            "attribute_exists(pk)",
            &[],
            vec![(":unanswered", AttributeValue::M(times))],
        )
        .await
        .map(|_| ())
    }

    /// Closes an entry: no step of it starts any more. The first reason stays; `false` if there was one, or if there is
    /// no such entry.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close(
        &self,
        user: &UserKey,
        position: Position,
        why: Closed,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const OPERATION: &str = "close message";
        let closed = serde_dynamo::to_attribute_value(ClosedItem { why: why.into(), at: now.0 });
        self.update_entry(
            OPERATION,
            user,
            position,
            "SET closed = :closed",
            "attribute_exists(pk) AND attribute_not_exists(closed)",
            &[],
            vec![(":closed", closed.map_err(|error| StoreError::item(OPERATION, error))?)],
        )
        .await
    }

    /// Records that a message was posted once more. The same redelivery or repeat is recorded once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_redelivered(
        &self,
        redelivery: &Redelivery,
        devices: Vec<DeviceId>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "note redelivery";
        let one = serde_dynamo::to_attribute_value(vec![RedeliveredItem { at: now.0, devices }]);
        // Redeliveries are counted; repeats are ordered by time.
        let (last, this) = if redelivery.is_repeat() {
            ("repeated", keys::number(redelivery.due.0))
        } else {
            ("redeliveries", keys::number(redelivery.attempt))
        };
        self.update_entry(
            OPERATION,
            &redelivery.user,
            redelivery.position,
            "SET redelivered = list_append(if_not_exists(redelivered, :none), :one), #last = :this",
            "id = :id AND (attribute_not_exists(#last) OR #last < :this)",
            &[("#last", last)],
            vec![
                (":none", AttributeValue::L(Vec::new())),
                (":one", one.map_err(|error| StoreError::item(OPERATION, error))?),
                (":this", this),
                (":id", keys::text(redelivery.id.as_str())),
            ],
        )
        .await
        .map(|_| ())
    }

    /// One conditional update of an entry; returns whether the condition held.
    #[expect(clippy::too_many_arguments, reason = "the parts of one DynamoDB request, named at each of its callers")]
    pub(crate) async fn update_entry(
        &self,
        operation: &'static str,
        user: &UserKey,
        position: Position,
        update: &str,
        condition: &str,
        names: &[(&str, &str)],
        values: Vec<(&str, AttributeValue)>,
    ) -> Result<bool, StoreError> {
        let seal = self.vault.of(&user.app).await?;
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::of_user(&seal, user, keys::entry(position))))
            .update_expression(update)
            .condition_expression(condition)
            .return_values(ReturnValue::None);
        for (name, attribute) in names {
            request = request.expression_attribute_names(*name, *attribute);
        }
        for (name, value) in values {
            request = request.expression_attribute_values(name, value);
        }
        took_place(operation, request.send().await)
    }
}
