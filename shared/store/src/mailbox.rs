//! The user's partition as one view, the mailbox as a log, and what happens to its entries.

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, Put, ReturnValue, TransactWriteItem};
use tidings_domain::{
    Device, DeviceId, Entry, MessageId, Position, Timestamp, UserKey, UserView,
    chain::{Outcome, StepDue},
    delivery::Redelivery,
    mailbox::Closed,
};

use crate::{
    StoreError, Stored, Users,
    error::took_place,
    item::{self, ClosedItem, ConnectionItem, DeviceItem, EntryItem, Item, ProfileItem, RedeliveredItem},
    keys,
};

/// Items that one reverse query reads: a profile, four devices with a connection each, and the tail of the mailbox. What is
/// read beyond the tail is paid for in vain, and a user with more devices and connections costs a second page.
const VIEW_ITEMS: i32 = 10;

/// For how long nobody else may begin a log after one was begun, in seconds: longer than two workers can differ, and shorter than
/// any log lives.
const LOG_SECONDS: u64 = 86_400;

/// Keys of one `BatchGetItem` (AWS's limit).
const BATCH_KEYS: usize = 100;

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The entry stands in the log.
    Stored,
    /// Another entry stands at that place: read again, and decide again.
    Conflict,
}

/// What a device says of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// It has received it.
    Acknowledged,
    /// A person has read it.
    Read,
}

impl Users {
    /// Profile, devices, connections and newest entry of a user, in one strongly consistent read: a device that has just
    /// connected must be seen. Expired items are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn view(&self, user: &UserKey, now: Timestamp) -> Result<UserView, StoreError> {
        const OPERATION: &str = "read user";
        let mut view = UserView::default();
        let mut items = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", keys::text(user.encode()))
            .scan_index_forward(false)
            .consistent_read(true)
            .limit(VIEW_ITEMS)
            .into_paginator()
            .items()
            .send();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| StoreError::request(OPERATION, error))?;
            let sort_key = item.get(keys::SK).and_then(|sk| sk.as_s().ok()).cloned().unwrap_or_default();
            if sort_key == keys::PROFILE {
                view.profile = Some(item::read::<ProfileItem>(OPERATION, item)?.profile(OPERATION)?);
            } else if sort_key.starts_with(keys::DEVICE) {
                view.devices.push(item::read::<DeviceItem>(OPERATION, item)?.device(OPERATION)?);
            } else if sort_key.starts_with(keys::CONNECTION) {
                let connection = item::read::<ConnectionItem>(OPERATION, item)?;
                if connection.expires_at > now.seconds() {
                    view.connections.push(connection.into());
                }
            } else {
                // The newest entry, and everything below it is older; or the log's own item, and there are no entries. Where
                // the newest has expired, so has the log.
                if sort_key.starts_with(keys::ENTRY) {
                    let entry = item::read::<EntryItem>(OPERATION, item)?.entry()?;
                    view.tail = (entry.keep_until > now).then_some(entry);
                }
                break;
            }
        }
        Ok(view)
    }

    /// Writes an entry at its place, if nothing stands there. The first entry of a log has its epoch from the clock of its
    /// worker, so that two workers would not meet at one place: they meet at the log's own item, in the same transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn append(&self, user: &UserKey, entry: &Entry) -> Result<Appended, StoreError> {
        const OPERATION: &str = "append to mailbox";
        let item = item::write(OPERATION, EntryItem::new(user, entry))?;
        if entry.position.seq == 1 {
            return self.begin_log(user, item, entry.stored).await;
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

    async fn begin_log(&self, user: &UserKey, first: Item, now: Timestamp) -> Result<Appended, StoreError> {
        const OPERATION: &str = "begin mailbox";
        let mut log = keys::of_user(user, keys::LOG);
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

    /// The entry at a place, strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entry(&self, user: &UserKey, position: Position) -> Result<Option<Entry>, StoreError> {
        const OPERATION: &str = "read mailbox entry";
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keys::of_user(user, keys::entry(position))))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        answer.item.map(|item| item::read::<EntryItem>(OPERATION, item)?.entry()).transpose()
    }

    /// The place of a message in a user's mailbox, by the index; for messages older than the window.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, user: &UserKey, id: &MessageId) -> Result<Option<Position>, StoreError> {
        const OPERATION: &str = "find message in mailbox";
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(keys::BY_MESSAGE)
            .key_condition_expression("id = :id AND pk = :pk")
            .expression_attribute_values(":id", keys::text(id.as_str()))
            .expression_attribute_values(":pk", keys::text(user.encode()))
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        let key = page.items.unwrap_or_default().into_iter().next();
        Ok(key.and_then(|key| key.get(keys::SK)?.as_s().ok().and_then(|sk| keys::position(sk))))
    }

    /// Every mailbox entry of a message, with its user: the index gives the keys, a consistent read the entries. An
    /// idempotency key that was forgotten and used again has given its id to two messages; those of the other one are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn entries_of(&self, stored: &Stored) -> Result<Vec<(UserKey, Entry)>, StoreError> {
        const OPERATION: &str = "read trail";
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
                let item = item::read::<EntryItem>(OPERATION, item)?;
                let (user, entry) = (item::user(OPERATION, &item.pk)?, item.entry()?);
                if entry.letter.accepted == stored.send_at.unwrap_or(stored.accepted) {
                    entries.push((user, entry));
                }
            }
        }
        Ok(entries)
    }

    /// Reads up to 100 items; what DynamoDB leaves over is asked for again.
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

    /// Up to `limit` entries after a place, and up to another one where that is given, oldest first, whether or not their
    /// deadline has passed; strongly consistent. `true` beside them where there may be more.
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
    ) -> Result<(Vec<Entry>, bool), StoreError> {
        const OPERATION: &str = "replay mailbox";
        // A key of its own sorts after the place itself and before the next: `BETWEEN` includes both its ends.
        let from = place.map_or_else(|| keys::ENTRY.to_owned(), |place| format!("{}+", keys::entry(place)));
        let to = up_to.map_or_else(|| format!("{}~", keys::ENTRY), keys::entry);
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", keys::text(user.encode()))
            .expression_attribute_values(":from", keys::text(&from))
            .expression_attribute_values(":to", keys::text(to))
            .consistent_read(true)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| StoreError::request(OPERATION, error))?;
            let mut entries = Vec::new();
            for item in page.items.unwrap_or_default() {
                let entry = item::read::<EntryItem>(OPERATION, item)?.entry()?;
                if entry.keep_until > now {
                    entries.push(entry);
                }
            }
            // A page of nothing but expired entries says nothing of what comes after them.
            if !entries.is_empty() {
                return Ok((entries, page.last_evaluated_key.is_some()));
            }
        }
        Ok((Vec::new(), false))
    }

    /// Records that a device has received or read an entry. The first time counts; `false` where there is no such entry.
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
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let map = match what {
            Confirmation::Acknowledged => "acked_by",
            Confirmation::Read => "read_by",
        };
        self.update_entry(
            "confirm message",
            user,
            position,
            &format!("SET {map}.#device = if_not_exists({map}.#device, :now)"),
            "id = :id",
            &[("#device", device.as_str())],
            vec![(":now", keys::number(now.0)), (":id", keys::text(id.as_str()))],
        )
        .await
    }

    /// Records that nobody was reached after all, and whose connections were gone.
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

    /// Closes an entry: nothing of it begins any more. The first reason stays; `false` where there was one, or there is no such
    /// entry.
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
        let closed = serde_dynamo::to_attribute_value(ClosedItem { why, at: now.0 });
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

    /// Records that a message was posted once more. The same redelivery is recorded once.
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
        self.update_entry(
            OPERATION,
            &redelivery.user,
            redelivery.position,
            "SET redelivered = list_append(if_not_exists(redelivered, :none), :one), redeliveries = :attempt",
            "id = :id AND (attribute_not_exists(redeliveries) OR redeliveries < :attempt)",
            &[],
            vec![
                (":none", AttributeValue::L(Vec::new())),
                (":one", one.map_err(|error| StoreError::item(OPERATION, error))?),
                (":attempt", keys::number(redelivery.attempt)),
                (":id", keys::text(redelivery.id.as_str())),
            ],
        )
        .await
        .map(|_| ())
    }

    /// Moves the cursor that is kept for a device; never back, and not where the device has changed hands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn move_cursor(&self, device: &Device, to: Position) -> Result<(), StoreError> {
        let moved = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::of_user(&device.user, keys::device(&device.id))))
            .update_expression("SET cursor_epoch = :epoch, cursor_seq = :seq")
            .condition_expression(
                "generation = :generation AND (attribute_not_exists(cursor_epoch) OR cursor_epoch < :epoch \
                 OR (cursor_epoch = :epoch AND cursor_seq < :seq))",
            )
            .expression_attribute_values(":epoch", keys::number(to.epoch))
            .expression_attribute_values(":seq", keys::number(to.seq))
            .expression_attribute_values(":generation", keys::number(device.generation))
            .send()
            .await;
        took_place("move cursor", moved).map(|_| ())
    }

    /// Claims a fallback step for `worker`, just before its provider is called: `false` where the message is confirmed or closed
    /// by now, or another worker was first. This one write is what keeps an SMS from going out twice. A worker whose own
    /// claim was answered with silence, and was sent again, knows it by its name. `before` is the worker whose claim this one
    /// takes over, where that may be done.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_step(
        &self,
        due: &StepDue,
        before: Option<&str>,
        worker: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let step = due.step;
        let (free, set) = match before {
            Some(_) => (
                format!("progress[{step}].claimed_by = :before AND attribute_not_exists(progress[{step}].outcome)"),
                format!(
                    "progress[{step}].repeats = list_append(if_not_exists(progress[{step}].repeats, :empty), :again)"
                ),
            ),
            None => {
                (format!("attribute_not_exists(progress[{step}].claimed)"), format!("progress[{step}].claimed = :now"))
            }
        };
        let mut values =
            vec![(":worker", keys::text(worker)), (":id", keys::text(due.id.as_str())), (":none", keys::number(0))];
        match before {
            Some(before) => values.extend([
                (":before", keys::text(before)),
                (":empty", AttributeValue::L(Vec::new())),
                (":again", AttributeValue::L(vec![keys::number(now.0)])),
            ]),
            None => values.push((":now", keys::number(now.0))),
        }
        let claimed = self
            .update_entry(
                "claim fallback step",
                &due.user,
                due.position,
                &format!("SET {set}, progress[{step}].claimed_by = :worker"),
                &format!(
                    "id = :id AND {free} AND attribute_not_exists(closed) AND size(acked_by) = :none \
                     AND size(read_by) = :none"
                ),
                &[],
                values,
            )
            .await?;
        if claimed {
            return Ok(true);
        }
        let entry = self.entry(&due.user, due.position).await?;
        let by = entry.as_ref().and_then(|entry| entry.steps.get(step)?.claimed_by.as_deref());
        Ok(by == Some(worker))
    }

    /// Gives a step back that was claimed, because its provider has certainly not acted; `false` where the claim is another's, or
    /// the step has ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release_step(&self, due: &StepDue, worker: &str) -> Result<bool, StoreError> {
        let step = due.step;
        self.update_entry(
            "release fallback step",
            &due.user,
            due.position,
            &format!("REMOVE progress[{step}].claimed, progress[{step}].claimed_by"),
            &format!(
                "id = :id AND progress[{step}].claimed_by = :worker AND attribute_not_exists(progress[{step}].outcome)"
            ),
            &[],
            vec![(":worker", keys::text(worker)), (":id", keys::text(due.id.as_str()))],
        )
        .await
    }

    /// Records how a step ended. The first outcome stays; `false` where there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_step(
        &self,
        due: &StepDue,
        outcome: &Outcome,
        detail: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const OPERATION: &str = "record fallback step";
        let step = due.step;
        let value = serde_dynamo::to_attribute_value(outcome).map_err(|error| StoreError::item(OPERATION, error))?;
        let mut values = vec![(":outcome", value), (":now", keys::number(now.0)), (":id", keys::text(due.id.as_str()))];
        let told = detail.map_or_else(String::new, |_| format!(", progress[{step}].detail = :detail"));
        values.extend(detail.map(|detail| (":detail", keys::text(detail))));
        self.update_entry(
            OPERATION,
            &due.user,
            due.position,
            &format!("SET progress[{step}].outcome = :outcome, progress[{step}].ended = :now{told}"),
            &format!("id = :id AND attribute_not_exists(progress[{step}].outcome)"),
            &[],
            values,
        )
        .await
    }

    /// One conditional update of an entry: whether the condition held.
    #[expect(clippy::too_many_arguments, reason = "the parts of one DynamoDB request, named at each of its callers")]
    async fn update_entry(
        &self,
        operation: &'static str,
        user: &UserKey,
        position: Position,
        update: &str,
        condition: &str,
        names: &[(&str, &str)],
        values: Vec<(&str, AttributeValue)>,
    ) -> Result<bool, StoreError> {
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::of_user(user, keys::entry(position))))
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

/// A put with a condition, for a transaction.
pub(crate) fn put(
    operation: &'static str,
    table: &str,
    item: Item,
    condition: Option<&str>,
) -> Result<Put, StoreError> {
    Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .set_condition_expression(condition.map(str::to_owned))
        .build()
        .map_err(|error| StoreError::item(operation, error))
}
