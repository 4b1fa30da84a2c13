//! Items that messages refer to, in the `Directory` table: a stored item is closed, every other one is open.

use aws_sdk_dynamodb::types::ReturnValue;
use serde::Deserialize;
use tidings_domain::{TenantKey, Timestamp};
use tidings_wire::limits;

use crate::{StoreError, Vault, item, keys};

#[derive(Debug, Deserialize)]
struct ClosedItem {
    closed_at: i64,
    expires_at: i64,
}

/// The items that apps have closed.
#[derive(Clone, Debug)]
pub struct Items {
    client: aws_sdk_dynamodb::Client,
    vault: Vault,
    table: String,
}

impl Items {
    /// Over the `Directory` table.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, vault: Vault, table: String) -> Self {
        Self { client, vault, table }
    }

    /// Closes an item, and returns when it was first closed. The record is kept for [`limits::ITEM_CLOSED_SECONDS`]
    /// after the last closing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close(&self, tenant: &TenantKey, name: &str, now: Timestamp) -> Result<Timestamp, StoreError> {
        const OPERATION: &str = "close item";
        let name = self.vault.of(&tenant.app).await?.item(tenant, name);
        let until = item::expiry(now.plus_seconds(limits::ITEM_CLOSED_SECONDS));
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(keys::PK, keys::text(keys::items(tenant)))
            .key(keys::SK, keys::text(name))
            .update_expression("SET closed_at = if_not_exists(closed_at, :now), expires_at = :until")
            .expression_attribute_values(":now", keys::number(now.0))
            .expression_attribute_values(":until", keys::number(until))
            .return_values(ReturnValue::AllNew)
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        let closed: ClosedItem = item::read(OPERATION, answer.attributes.unwrap_or_default())?;
        Ok(Timestamp(closed.closed_at))
    }

    /// Reopens an item.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(&self, tenant: &TenantKey, name: &str) -> Result<(), StoreError> {
        const OPERATION: &str = "open item";
        let name = self.vault.of(&tenant.app).await?.item(tenant, name);
        let deleted = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(keys::PK, keys::text(keys::items(tenant)))
            .key(keys::SK, keys::text(name))
            .send()
            .await;
        deleted.map(drop).map_err(|error| StoreError::request(OPERATION, error))
    }

    /// When an item was closed; `None` if it is open. Strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn closed(
        &self,
        tenant: &TenantKey,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        const OPERATION: &str = "read item";
        let name = self.vault.of(&tenant.app).await?.item(tenant, name);
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(keys::PK, keys::text(keys::items(tenant)))
            .key(keys::SK, keys::text(name))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        let closed = answer.item.map(|found| item::read::<ClosedItem>(OPERATION, found)).transpose()?;
        let remembered = closed.filter(|closed| now.seconds() <= closed.expires_at);
        Ok(remembered.map(|closed| Timestamp(closed.closed_at)))
    }
}
