//! One record per send. It is the idempotency record too: an idempotency key gives the message its id, so that writing
//! the record is the check.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use serde::{Deserialize, Serialize};
use tidings_domain::{
    AppId, Entry, Message, MessageId, Open, Seal, Timestamp, UserKey,
    chain::Step,
    mailbox::{RETENTION_SECONDS, Slot},
    message::Audience,
    trail::{self, About},
};
use tidings_wire::{
    Trail,
    send::{Downgrade, Priority},
};

use crate::{StoreError, Vault, error::took_place, families, item, item::Item, keys, retry::Attempts};

/// The `Messages` table.
#[derive(Clone, Debug)]
pub struct Messages {
    client: aws_sdk_dynamodb::Client,
    vault: Vault,
    table: String,
}

/// The record of a send.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The message.
    pub id: MessageId,
    /// The app that sent it.
    pub app: AppId,
    /// The tenant within the app; empty for none.
    pub tenant: String,
    /// Its recipients.
    pub aliases: Vec<String>,
    /// SHA-256 of the request's body, if the request came under an idempotency key: a repeat has the same.
    pub body_hash: Option<String>,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// When it is sent, if that is later.
    pub send_at: Option<Timestamp>,
    /// When it expires.
    pub deadline: Timestamp,
    /// Effective time to live, in seconds.
    pub ttl: u64,
    /// Its lane.
    pub priority: Open<Priority>,
    /// Effective seconds of redelivery.
    pub duration: Option<u64>,
    /// When it was cancelled.
    pub cancelled: Option<Timestamp>,
    /// When the sending of a scheduled message started.
    pub begun: Option<Timestamp>,
    /// The message itself without its audience, if it is sent later: its timer needs it.
    pub message: Option<Message>,
    /// The chain of a message that came under an idempotency key: a repeat of the request keeps it, even if the app's
    /// own chain has changed.
    pub steps: Vec<Step>,
    /// The differences between the request and its effect.
    pub downgrades: Vec<Downgrade>,
}

impl Stored {
    /// The trail of the message, given its entries.
    #[must_use]
    pub fn trail(&self, entries: &[(UserKey, Slot<Entry>)], now: Timestamp) -> Trail {
        let entries: HashMap<&str, &Slot<Entry>> =
            entries.iter().map(|(user, entry)| (user.alias.as_str(), entry)).collect();
        let about = About {
            accepted: self.accepted,
            send_at: self.send_at,
            deadline: self.deadline,
            cancelled: self.cancelled,
            begun: self.begun,
        };
        let recipient = |alias: &String| trail::recipient(alias, entries.get(alias.as_str()).copied(), &about, now);
        Trail {
            request_id: self.id.to_string(),
            accepted_at: self.accepted,
            send_at: self.send_at,
            expires_at: self.deadline,
            cancelled_at: self.cancelled,
            downgrades: self.downgrades.clone(),
            recipients: self.aliases.iter().map(recipient).collect(),
        }
    }
}

/// The result of a cancellation: the message's record.
#[derive(Clone, Debug, PartialEq)]
pub enum Cancelled {
    /// It is cancelled.
    Now(Stored),
    /// It was cancelled before.
    Before(Stored),
}

#[derive(Debug, Serialize, Deserialize)]
struct MessageItem {
    pk: MessageId,
    app: AppId,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    tenant: String,
    aliases: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    body_hash: Option<String>,
    accepted: i64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    send_at: Option<i64>,
    ttl_seconds: u64,
    priority: Open<Priority>,
    #[serde(rename = "redeliver_seconds", skip_serializing_if = "Option::is_none", default)]
    duration: Option<u64>,
    #[serde(rename = "cancelled_at", skip_serializing_if = "Option::is_none", default)]
    cancelled: Option<i64>,
    #[serde(rename = "begun_at", skip_serializing_if = "Option::is_none", default)]
    begun: Option<i64>,
    /// As one JSON text: an app's `extra` may be nested deeper than DynamoDB's 32 levels.
    #[serde(rename = "payload", skip_serializing_if = "Option::is_none", default)]
    message: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    steps: Vec<Step>,
    downgrades: Vec<Downgrade>,
    expires_at: i64,
}

impl Stored {
    /// The record of a message to these users; with the hash of its request's body, if that came under an idempotency
    /// key.
    #[must_use]
    pub fn new(message: &Message, aliases: Vec<String>, body_hash: Option<String>) -> Self {
        let steps = if body_hash.is_some() { message.letter.steps.clone() } else { Vec::new() };
        Self {
            id: message.letter.id.clone(),
            app: message.app.clone(),
            tenant: message.tenant.clone(),
            aliases,
            body_hash,
            accepted: message.accepted,
            send_at: message.send_at,
            deadline: message.letter.deadline,
            ttl: message.ttl,
            priority: message.priority,
            duration: message.duration,
            cancelled: None,
            begun: None,
            message: message.send_at.is_some().then(|| {
                // The record has its audience already, resolved.
                Message { audience: Audience::Aliases(Vec::new()), ..message.clone() }
            }),
            steps,
            downgrades: message.downgrades.clone(),
        }
    }

    /// Whether this is the record of the same request: of the same app, under an idempotency key, with the same body.
    #[must_use]
    pub fn is_repeated_by(&self, app: &AppId, body_hash: &str) -> bool {
        self.app == *app && self.body_hash.as_deref() == Some(body_hash)
    }
}

impl MessageItem {
    fn new(operation: &'static str, stored: &Stored) -> Result<Self, StoreError> {
        let message = stored.message.as_ref().map(serde_json::to_string).transpose();
        Ok(Self {
            pk: stored.id.clone(),
            app: stored.app.clone(),
            tenant: stored.tenant.clone(),
            aliases: stored.aliases.clone(),
            body_hash: stored.body_hash.clone(),
            accepted: stored.accepted.0,
            send_at: stored.send_at.map(|at| at.0),
            ttl_seconds: stored.ttl,
            priority: stored.priority,
            duration: stored.duration,
            cancelled: stored.cancelled.map(|at| at.0),
            begun: stored.begun.map(|at| at.0),
            message: message.map_err(|error| StoreError::item(operation, error))?,
            steps: stored.steps.clone(),
            downgrades: stored.downgrades.clone(),
            expires_at: item::expiry(stored.deadline.plus_seconds(RETENTION_SECONDS)),
        })
    }

    fn stored(operation: &'static str, seal: &Seal, item: Item) -> Result<Stored, StoreError> {
        let item: Self = item::open(operation, &families::MESSAGE, seal, item)?;
        let (accepted, send_at) = (Timestamp(item.accepted), item.send_at.map(Timestamp));
        let message = item.message.map(|text| serde_json::from_str(&text)).transpose();
        Ok(Stored {
            id: item.pk,
            app: item.app,
            tenant: item.tenant,
            aliases: item.aliases,
            body_hash: item.body_hash,
            accepted,
            send_at,
            deadline: send_at.unwrap_or(accepted).plus_seconds(item.ttl_seconds),
            ttl: item.ttl_seconds,
            priority: item.priority,
            duration: item.duration,
            cancelled: item.cancelled.map(Timestamp),
            begun: item.begun.map(Timestamp),
            // The parser's own words may quote the message, which may contain personal data: it is never logged.
            message: message.map_err(|_| StoreError::item(operation, "payload"))?,
            steps: item.steps,
            downgrades: item.downgrades,
        })
    }
}

impl Messages {
    /// Over the `Messages` table.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, vault: Vault, table: String) -> Self {
        Self { client, vault, table }
    }

    /// Stores a message, or returns the existing one with its id. One that this call has stored, and whose answer was
    /// lost, is no existing one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn store(&self, stored: &Stored) -> Result<Option<Stored>, StoreError> {
        const OPERATION: &str = "store message";
        let seal = self.vault.of(&stored.app).await?;
        let item = MessageItem::new(OPERATION, stored)?;
        let attempts = Attempts::default();
        // An expired record that is not deleted yet does not count.
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item::write(OPERATION, &families::MESSAGE, &seal, item)?))
            .condition_expression("attribute_not_exists(pk) OR expires_at < :now")
            .expression_attribute_values(":now", AttributeValue::N(stored.accepted.seconds().to_string()))
            .customize()
            .interceptor(attempts.clone())
            .send()
            .await;
        if took_place(OPERATION, put)? {
            return Ok(None);
        }
        let before = self.get(&stored.id, stored.accepted).await?;
        let written = |it: &Stored| (it.app.clone(), it.body_hash.clone(), it.accepted);
        Ok(before.filter(|before| !(attempts.were_several() && written(before) == written(stored))))
    }

    /// The record of a message, strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: &MessageId, now: Timestamp) -> Result<Option<Stored>, StoreError> {
        const OPERATION: &str = "read message";
        let item = self.item(OPERATION, id).await?;
        let stored = match item {
            Some(item) => Some(self.stored(OPERATION, item).await?),
            None => None,
        };
        Ok(stored.filter(|stored| now <= stored.deadline.plus_seconds(RETENTION_SECONDS)))
    }

    /// Whether a message is cancelled, by its record alone, strongly consistent. Unreadable attributes of the record
    /// delay no delivery.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_cancelled(&self, id: &MessageId, now: Timestamp) -> Result<bool, StoreError> {
        let item = self.item("read cancellation", id).await?;
        Ok(item.is_some_and(|item| item.contains_key("cancelled_at") && item::is_kept(&item, now)))
    }

    async fn item(&self, operation: &'static str, id: &MessageId) -> Result<Option<Item>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(keys::of(id.as_str())))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::request(operation, error))?;
        Ok(answer.item)
    }

    /// The record in an item, under the keyring of the app that the item names.
    async fn stored(&self, operation: &'static str, item: Item) -> Result<Stored, StoreError> {
        let app = item.get("app").and_then(|app| app.as_s().ok()).cloned().unwrap_or_default();
        let app = app.parse().map_err(|error| StoreError::item(operation, error))?;
        MessageItem::stored(operation, &self.vault.of(&app).await?, item)
    }

    /// Cancels a message, once; `None` if there is no such message.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn cancel(&self, id: &MessageId, now: Timestamp) -> Result<Option<Cancelled>, StoreError> {
        if let Some(stored) = self.mark("cancel message", id, "cancelled_at", now).await? {
            return Ok(Some(Cancelled::Now(stored)));
        }
        let stored = self.get(id, now).await?;
        // The answer to our own write may have been lost, and the SDK repeated it.
        let ours = |stored: Stored| match stored.cancelled {
            Some(at) if at == now => Cancelled::Now(stored),
            Some(_) | None => Cancelled::Before(stored),
        };
        Ok(stored.map(ours))
    }

    /// Starts to send a scheduled message that is due; `None` if it is cancelled or gone. Cancelling and starting
    /// exclude each other in this one item. A started message may start again: that doubles nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin(&self, id: &MessageId, now: Timestamp) -> Result<Option<Stored>, StoreError> {
        self.mark("begin to send", id, "begun_at", now).await
    }

    /// Sets a time that is not set yet, unless the message is cancelled; returns the record afterwards.
    async fn mark(
        &self,
        operation: &'static str,
        id: &MessageId,
        attribute: &str,
        now: Timestamp,
    ) -> Result<Option<Stored>, StoreError> {
        let marked = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::of(id.as_str())))
            .update_expression(format!("SET {attribute} = if_not_exists({attribute}, :now)"))
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(cancelled_at)")
            .expression_attribute_values(":now", keys::number(now.0))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match marked {
            Ok(answer) => match answer.attributes {
                Some(item) => Ok(Some(self.stored(operation, item).await?)),
                None => Ok(None),
            },
            Err(error) => took_place::<(), _, _>(operation, Err(error)).map(|_| None),
        }
    }
}
