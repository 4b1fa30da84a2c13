//! The mailbox, read backwards from its newest entry: the messages that a person is listed, and the count of unread
//! ones.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidings_domain::{
    DeviceId, Entry, Open, Timestamp, UserKey,
    inbox::Read,
    mailbox::{Header, Slot},
};
use tidings_wire::Platform;

use crate::{
    Mailboxes, StoreError,
    item::{self, ClosedItem, Item},
    keys, unknown,
};

/// The attributes of an entry that its header is read from.
const HEADER: &str = "sk, platform, deadline, expires_at, closed, read_by";

#[derive(Debug, Deserialize)]
struct HeaderItem {
    sk: String,
    platform: Open<Platform>,
    deadline: i64,
    expires_at: i64,
    #[serde(default)]
    closed: Option<ClosedItem>,
    #[serde(rename = "read_by")]
    reads: BTreeMap<DeviceId, i64>,
}

impl HeaderItem {
    fn header(self, operation: &'static str) -> Result<Header, StoreError> {
        Ok(Header {
            position: keys::position(&self.sk).ok_or_else(|| StoreError::item(operation, "sort key"))?,
            platform: self.platform,
            deadline: Timestamp(self.deadline),
            keep_until: Timestamp(self.expires_at.saturating_mul(1_000)),
            is_closed: self.closed.is_some(),
            is_read: !self.reads.is_empty(),
        })
    }
}

/// The header of an item, or its position alone.
fn header(operation: &'static str, user: impl FnOnce() -> String, item: Item) -> Result<Slot<Header>, StoreError> {
    let position = item.get(keys::SK).and_then(|sk| keys::position(sk.as_s().ok()?));
    match item::read::<HeaderItem>(operation, item).and_then(|header| header.header(operation)) {
        Ok(header) => Ok(Slot::Read(header)),
        Err(error) => {
            let position = position.ok_or_else(|| StoreError::item(operation, "sort key"))?;
            unknown::pass_over("mailbox_entry", Some(user()), unknown::place(position), &error);
            Ok(Slot::Unreadable(position))
        }
    }
}

impl Mailboxes {
    /// Entries before a position, newest first, expired ones included; strongly consistent. Beside them, `true` if
    /// there may be more below.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn before(&self, user: &UserKey, read: Read) -> Result<(Vec<Slot<Entry>>, bool), StoreError> {
        const OPERATION: &str = "list mailbox";
        let seal = self.vault.of(&user.app).await?;
        let (items, more) = self.backwards(OPERATION, seal.user(user), read, None).await?;
        let entries = items.into_iter().map(|item| item::slot(OPERATION, &seal, item));
        Ok((entries.collect::<Result<_, _>>()?, more))
    }

    /// The headers of the entries that [`Mailboxes::before`] returns. They cost as much to read, and far less to send
    /// and to parse.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn headers_before(&self, user: &UserKey, read: Read) -> Result<(Vec<Slot<Header>>, bool), StoreError> {
        const OPERATION: &str = "count mailbox";
        let seal = self.vault.of(&user.app).await?;
        let (items, more) = self.backwards(OPERATION, seal.user(user), read, Some(HEADER)).await?;
        let headers = items.into_iter().map(|item| header(OPERATION, || seal.pseudonym(user), item));
        Ok((headers.collect::<Result<_, _>>()?, more))
    }

    /// One page of one query: a megabyte at most, in no more requests than allowed.
    async fn backwards(
        &self,
        operation: &'static str,
        partition: String,
        read: Read,
        attributes: Option<&str>,
    ) -> Result<(Vec<Item>, bool), StoreError> {
        // `BETWEEN` includes both its ends, and positions within an epoch are dense.
        let to = match read.before {
            Some(place) => keys::entry(tidings_domain::Position { seq: place.seq.saturating_sub(1), ..place }),
            None => keys::BEHIND_ENTRIES.to_owned(),
        };
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", keys::text(partition))
            .expression_attribute_values(":from", keys::text(keys::ENTRY))
            .expression_attribute_values(":to", keys::text(to))
            .set_projection_expression(attributes.map(str::to_owned))
            .scan_index_forward(false)
            .consistent_read(true)
            .limit(i32::try_from(read.entries).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| StoreError::request(operation, error))?;
        Ok((page.items.unwrap_or_default(), page.last_evaluated_key.is_some()))
    }
}
