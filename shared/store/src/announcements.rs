//! Announcements, in the `Directory` table: a log for each tenant, the head of the log, and a receipt for each id.
//!
//! An append reads the head, and writes the next number, the head and the id in one transaction. Two at the same moment
//! get two numbers, and a reader of a number finds everything before it.

use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValue, TransactWriteItem, Update};
use serde::{Deserialize, Serialize};
use tidings_domain::{
    Announcement, AppId, MessageId, Open, Seal, TenantKey, Timestamp,
    announcement::{Draft, Heads, Receipt},
};
use tidings_wire::Platform;

use crate::{
    StoreError, Vault,
    error::{refused_writes, took_place},
    families,
    item::{self, Item},
    keys, unknown,
};

/// Attempts to get a number if other announcements take it first.
const APPEND_ATTEMPTS: usize = 10;

/// The result of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Announced {
    /// It is in the log.
    Now(Receipt),
    /// An announcement with its id exists.
    Before(Receipt),
}

/// A part of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Its announcements. Unreadable ones are left out.
    pub announcements: Vec<Announcement>,
    /// The last number of the page, whether or not it can be read; `None` if the page is empty.
    pub end: Option<u64>,
    /// Whether there may be more behind it.
    pub more: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct AnnouncementItem {
    pk: String,
    sk: String,
    id: MessageId,
    number: u64,
    after: Heads,
    #[serde(rename = "for_platform")]
    platform: Open<Platform>,
    /// As one JSON text: an app's `extra` may be nested deeper than DynamoDB's 32 levels.
    content: String,
    accepted: i64,
    deadline: i64,
    expires_at: i64,
    #[serde(rename = "withdrawn_at", skip_serializing_if = "Option::is_none", default)]
    withdrawn: Option<i64>,
    posts: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct ReceiptItem {
    pk: String,
    sk: String,
    id: MessageId,
    app: AppId,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    tenant: String,
    number: u64,
    body_hash: String,
    accepted: i64,
    ttl_seconds: u64,
    expires_at: i64,
}

impl AnnouncementItem {
    fn new(operation: &'static str, it: &Announcement) -> Result<Self, StoreError> {
        Ok(Self {
            pk: keys::announcements(&it.tenant),
            sk: keys::announcement(it.number),
            id: it.id.clone(),
            number: it.number,
            after: it.after.clone(),
            platform: it.platform,
            content: serde_json::to_string(&it.content).map_err(|error| StoreError::item(operation, error))?,
            accepted: it.accepted.0,
            deadline: it.deadline.0,
            expires_at: item::expiry(it.deadline),
            withdrawn: it.withdrawn.map(|at| at.0),
            posts: it.posts,
        })
    }

    fn announcement(
        operation: &'static str,
        seal: &Seal,
        tenant: &TenantKey,
        item: Item,
    ) -> Result<Announcement, StoreError> {
        let item: Self = item::open(operation, &families::ANNOUNCEMENT, seal, item)?;
        Ok(Announcement {
            id: item.id,
            tenant: tenant.clone(),
            number: item.number,
            after: item.after,
            platform: item.platform,
            // The parser's message may quote the content, which may contain personal data: it is never logged.
            content: serde_json::from_str(&item.content).map_err(|_| StoreError::item(operation, "content"))?,
            accepted: Timestamp(item.accepted),
            deadline: Timestamp(item.deadline),
            withdrawn: item.withdrawn.map(Timestamp),
            posts: item.posts,
        })
    }
}

impl ReceiptItem {
    fn new(receipt: &Receipt) -> Self {
        Self {
            pk: keys::announcement_id(&receipt.id),
            sk: keys::RECEIPT.to_owned(),
            id: receipt.id.clone(),
            app: receipt.tenant.app.clone(),
            tenant: receipt.tenant.tenant.clone(),
            number: receipt.number,
            body_hash: receipt.body_hash.clone(),
            accepted: receipt.accepted.0,
            ttl_seconds: receipt.ttl,
            expires_at: item::expiry(receipt.keep_until()),
        }
    }

    fn receipt(self) -> Receipt {
        Receipt {
            id: self.id,
            tenant: TenantKey { app: self.app, tenant: self.tenant },
            number: self.number,
            body_hash: self.body_hash,
            accepted: Timestamp(self.accepted),
            ttl: self.ttl_seconds,
        }
    }
}

/// The logs of announcements.
#[derive(Clone, Debug)]
pub struct Announcements {
    client: aws_sdk_dynamodb::Client,
    vault: Vault,
    table: String,
}

impl Announcements {
    /// Over the `Directory` table.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, vault: Vault, table: String) -> Self {
        Self { client, vault, table }
    }

    /// Appends an announcement to its tenant's log, or returns the existing one with its id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn announce(&self, draft: &Draft, body_hash: &str) -> Result<Announced, StoreError> {
        const OPERATION: &str = "store announcement";
        let seal = self.vault.of(&draft.tenant.app).await?;
        for _ in 0..APPEND_ATTEMPTS {
            let announcement = draft.clone().behind(self.heads(&draft.tenant).await?);
            let receipt = Receipt {
                id: announcement.id.clone(),
                tenant: announcement.tenant.clone(),
                number: announcement.number,
                body_hash: body_hash.to_owned(),
                accepted: announcement.accepted,
                ttl: draft.ttl,
            };
            let writes = self.append(OPERATION, &seal, &announcement, &receipt)?;
            let error = match self.client.transact_write_items().set_transact_items(Some(writes)).send().await {
                Ok(_) => return Ok(Announced::Now(receipt)),
                Err(error) => error,
            };
            // The reasons stand in the order of the writes.
            match error.as_service_error().map(refused_writes).unwrap_or_default().as_slice() {
                // Also if the answer to our own write was lost and the SDK repeated it.
                [true, ..] => {
                    if let Some(before) = self.receipt(&draft.id, draft.accepted).await? {
                        return Ok(Announced::Before(before));
                    }
                }
                [_, true, ..] => {}
                _ => return Err(StoreError::request(OPERATION, error)),
            }
        }
        Err(StoreError::Request {
            operation: OPERATION,
            code: "too many announcements at the same moment".to_owned(),
            source: "the head of the log moved each time".into(),
        })
    }

    fn append(
        &self,
        operation: &'static str,
        seal: &Seal,
        announcement: &Announcement,
        receipt: &Receipt,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let known = item::write(operation, &families::ANNOUNCEMENT_RECEIPT, seal, ReceiptItem::new(receipt))?;
        let known = Put::builder()
            .table_name(&self.table)
            .set_item(Some(known))
            // An expired receipt that is not deleted yet does not count.
            .condition_expression("attribute_not_exists(pk) OR expires_at < :now")
            .expression_attribute_values(":now", keys::number(announcement.accepted.seconds()));
        let heads = serde_dynamo::to_attribute_value(announcement.heads())
            .map_err(|source| StoreError::item(operation, source))?;
        let head = Update::builder()
            .table_name(&self.table)
            .key(keys::PK, keys::text(keys::announcements(&announcement.tenant)))
            .key(keys::SK, keys::text(keys::HEAD))
            .update_expression("SET head = :number, heads = :heads")
            .condition_expression("head = :before OR attribute_not_exists(head)")
            .expression_attribute_values(":number", keys::number(announcement.number))
            .expression_attribute_values(":heads", heads)
            .expression_attribute_values(":before", keys::number(announcement.after.newest()));
        let entry = AnnouncementItem::new(operation, announcement)?;
        let entry = item::write(operation, &families::ANNOUNCEMENT, seal, entry)?;
        let entry = Put::builder().table_name(&self.table).set_item(Some(entry));
        let unfit = |error| StoreError::item(operation, error);
        Ok(vec![
            TransactWriteItem::builder().put(known.build().map_err(unfit)?).build(),
            TransactWriteItem::builder().update(head.build().map_err(unfit)?).build(),
            TransactWriteItem::builder().put(entry.build().map_err(unfit)?).build(),
        ])
    }

    /// The newest numbers of a tenant.
    async fn heads(&self, tenant: &TenantKey) -> Result<Heads, StoreError> {
        const OPERATION: &str = "read head of announcements";
        #[derive(Deserialize)]
        struct HeadItem {
            heads: Heads,
        }
        let item = self.item(OPERATION, keys::announcements(tenant), keys::HEAD).await?;
        Ok(item.map(|item| item::read::<HeadItem>(OPERATION, item)).transpose()?.map(|it| it.heads).unwrap_or_default())
    }

    /// The receipt under an announcement's id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn receipt(&self, id: &MessageId, now: Timestamp) -> Result<Option<Receipt>, StoreError> {
        const OPERATION: &str = "look announcement up";
        let item = self.item(OPERATION, keys::announcement_id(id), keys::RECEIPT).await?;
        let Some(item) = item else { return Ok(None) };
        let app = item.get("app").and_then(|app| app.as_s().ok()).cloned().unwrap_or_default();
        let app = app.parse().map_err(|error| StoreError::item(OPERATION, error))?;
        let seal = self.vault.of(&app).await?;
        let receipt = item::open::<ReceiptItem>(OPERATION, &families::ANNOUNCEMENT_RECEIPT, &seal, item)?.receipt();
        Ok(Some(receipt).filter(|receipt| now <= receipt.keep_until()))
    }

    /// An announcement, until it expires; strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(
        &self,
        tenant: &TenantKey,
        number: u64,
        now: Timestamp,
    ) -> Result<Option<Announcement>, StoreError> {
        const OPERATION: &str = "read announcement";
        let item = self.item(OPERATION, keys::announcements(tenant), &keys::announcement(number)).await?;
        let seal = self.vault.of(&tenant.app).await?;
        let found = item.map(|item| AnnouncementItem::announcement(OPERATION, &seal, tenant, item)).transpose()?;
        Ok(found.filter(|it| now <= it.deadline))
    }

    /// The first `most` announcements after a number, oldest first, withdrawn and expired ones among them; strongly
    /// consistent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn after(&self, tenant: &TenantKey, number: u64, most: usize) -> Result<Page, StoreError> {
        let between = (keys::announcement(number.saturating_add(1)), keys::announcement(u64::MAX));
        self.page("read announcements", tenant, between, most, true).await
    }

    /// The last `most` announcements before a number, newest first, withdrawn and expired ones among them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn before(&self, tenant: &TenantKey, number: Option<u64>, most: usize) -> Result<Page, StoreError> {
        let before = number.map_or(u64::MAX, |number| number.saturating_sub(1));
        let between = (keys::announcement(0), keys::announcement(before));
        self.page("list announcements", tenant, between, most, false).await
    }

    /// One page of one query: a megabyte at most.
    async fn page(
        &self,
        operation: &'static str,
        tenant: &TenantKey,
        (from, to): (String, String),
        most: usize,
        forward: bool,
    ) -> Result<Page, StoreError> {
        let seal = self.vault.of(&tenant.app).await?;
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", keys::text(keys::announcements(tenant)))
            .expression_attribute_values(":from", keys::text(from))
            .expression_attribute_values(":to", keys::text(to))
            .scan_index_forward(forward)
            .consistent_read(true)
            .limit(i32::try_from(most).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| StoreError::request(operation, error))?;
        let items = page.items.unwrap_or_default();
        let number = |item: &Item| item.get(keys::SK).and_then(|sk| keys::announcement_number(sk.as_s().ok()?));
        let end = items.last().and_then(number);
        let read = |item: Item| {
            let number = number(&item).unwrap_or_default();
            let read = AnnouncementItem::announcement(operation, &seal, tenant, item);
            read.map_err(|error| unknown::pass_over("announcement", None, number, &error)).ok()
        };
        let announcements = items.into_iter().filter_map(read).collect();
        Ok(Page { announcements, end, more: page.last_evaluated_key.is_some() })
    }

    /// Withdraws an announcement; returns when it was first withdrawn. `None` if it has expired.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn withdraw(
        &self,
        tenant: &TenantKey,
        number: u64,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        const OPERATION: &str = "withdraw announcement";
        let seal = self.vault.of(&tenant.app).await?;
        let written = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(keys::PK, keys::text(keys::announcements(tenant)))
            .key(keys::SK, keys::text(keys::announcement(number)))
            .update_expression("SET withdrawn_at = if_not_exists(withdrawn_at, :now)")
            .condition_expression("deadline >= :now")
            .expression_attribute_values(":now", keys::number(now.0))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match written {
            Ok(answer) => {
                let item = answer.attributes.unwrap_or_default();
                Ok(AnnouncementItem::announcement(OPERATION, &seal, tenant, item)?.withdrawn)
            }
            Err(error) => took_place::<(), _, _>(OPERATION, Err(error)).map(|_| None),
        }
    }

    /// Adds to the posts of an announcement, unless it has expired.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_posts(&self, tenant: &TenantKey, number: u64, posts: u64) -> Result<(), StoreError> {
        const OPERATION: &str = "count posts";
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(keys::PK, keys::text(keys::announcements(tenant)))
            .key(keys::SK, keys::text(keys::announcement(number)))
            .update_expression("ADD posts :posts")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":posts", keys::number(posts))
            .send()
            .await;
        took_place(OPERATION, update).map(|_| ())
    }

    async fn item(&self, operation: &'static str, pk: String, sk: &str) -> Result<Option<Item>, StoreError> {
        let key = [(keys::PK.to_owned(), keys::text(pk)), (keys::SK.to_owned(), keys::text(sk))];
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key.into_iter().collect::<std::collections::HashMap<String, AttributeValue>>()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::request(operation, error))?;
        Ok(answer.item)
    }
}
