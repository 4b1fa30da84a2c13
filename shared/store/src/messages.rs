//! One record per send. It is the idempotency record too: an idempotency key gives the message its id, so that writing the
//! record is the check.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use tidings_domain::{AppId, Message, MessageId, Timestamp, mailbox::RETENTION_SECONDS};
use tidings_wire::send::Downgrade;

use crate::{StoreError, error::took_place, item, keys};

/// The `Messages` table.
#[derive(Clone, Debug)]
pub struct Messages {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

/// What is kept of a send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The message.
    pub id: MessageId,
    /// The app that sent it.
    pub app: AppId,
    /// The tenant within the app; empty for none.
    pub tenant: String,
    /// Its recipients.
    pub aliases: Vec<String>,
    /// SHA-256 of the request's body, for repeats under the same key.
    pub body_hash: String,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// When it expires.
    pub deadline: Timestamp,
    /// Effective time to live, in seconds.
    pub ttl: u64,
    /// What took effect differently from what the request said.
    pub downgrades: Vec<Downgrade>,
}

#[derive(Debug, Serialize, Deserialize)]
struct MessageItem {
    pk: MessageId,
    app: AppId,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    tenant: String,
    aliases: Vec<String>,
    body_hash: String,
    accepted: i64,
    ttl_seconds: u64,
    downgrades: Vec<Downgrade>,
    expires_at: i64,
}

impl Stored {
    /// The record of a message to these users.
    #[must_use]
    pub fn new(message: &Message, aliases: Vec<String>, body_hash: String) -> Self {
        Self {
            id: message.id.clone(),
            app: message.app.clone(),
            tenant: message.tenant.clone(),
            aliases,
            body_hash,
            accepted: message.accepted,
            deadline: message.deadline(),
            ttl: message.ttl,
            downgrades: message.downgrades.clone(),
        }
    }
}

impl From<MessageItem> for Stored {
    fn from(item: MessageItem) -> Self {
        let accepted = Timestamp(item.accepted);
        Self {
            id: item.pk,
            app: item.app,
            tenant: item.tenant,
            aliases: item.aliases,
            body_hash: item.body_hash,
            accepted,
            deadline: accepted.plus_seconds(item.ttl_seconds),
            ttl: item.ttl_seconds,
            downgrades: item.downgrades,
        }
    }
}

impl Messages {
    /// Over the `Messages` table.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, table: String) -> Self {
        Self { client, table }
    }

    /// Stores a message, unless one with its id is there: then that one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn store(&self, stored: &Stored) -> Result<Option<Stored>, StoreError> {
        const OPERATION: &str = "store message";
        let item = MessageItem {
            pk: stored.id.clone(),
            app: stored.app.clone(),
            tenant: stored.tenant.clone(),
            aliases: stored.aliases.clone(),
            body_hash: stored.body_hash.clone(),
            accepted: stored.accepted.0,
            ttl_seconds: stored.ttl,
            downgrades: stored.downgrades.clone(),
            expires_at: item::expiry(stored.deadline.plus_seconds(RETENTION_SECONDS)),
        };
        // What has expired and is not swept away yet does not count.
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item::write(OPERATION, item)?))
            .condition_expression("attribute_not_exists(pk) OR expires_at < :now")
            .expression_attribute_values(":now", AttributeValue::N(stored.accepted.seconds().to_string()))
            .send()
            .await;
        if took_place(OPERATION, put)? { Ok(None) } else { self.get(&stored.id, stored.accepted).await }
    }

    /// The record of a message, strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: &MessageId, now: Timestamp) -> Result<Option<Stored>, StoreError> {
        const OPERATION: &str = "read message";
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keys::of(id.as_str())))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        let Some(item) = answer.item else { return Ok(None) };
        let item: MessageItem = item::read(OPERATION, item)?;
        Ok((item.expires_at > now.seconds()).then(|| item.into()))
    }
}
