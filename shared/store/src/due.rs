//! Timers that are further off than a queue's delay, in one bucket per minute.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use tidings_domain::{Timestamp, fallback::StepDue};

use crate::{StoreError, item, keys};

/// The `Due` table.
#[derive(Clone, Debug)]
pub struct Due {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

/// Seconds that one bucket spans.
const BUCKET_SECONDS: i64 = 60;

/// How long an item outlives its time, in seconds, should nobody take it: a week, for a timer that was down.
const GRACE_SECONDS: u64 = 7 * 86_400;

#[derive(Debug, Serialize, Deserialize)]
struct DueItem {
    pk: String,
    sk: String,
    step: String,
    expires_at: i64,
}

impl Due {
    /// Over the `Due` table.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, table: String) -> Self {
        Self { client, table }
    }

    /// Keeps a step until it is due. The same step twice is one item.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep(&self, due: &StepDue) -> Result<(), StoreError> {
        const OPERATION: &str = "keep timer";
        let item = DueItem {
            pk: bucket(due.due.seconds()),
            sk: sort_key(due),
            step: serde_json::to_string(due).map_err(|error| StoreError::item(OPERATION, error))?,
            expires_at: item::expiry(due.due.plus_seconds(GRACE_SECONDS)),
        };
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item::write(OPERATION, item)?))
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        Ok(())
    }

    /// Up to 100 steps out of the minute that `at` lies in. A bucket is empty once every step has been removed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn minute(&self, at: Timestamp) -> Result<Vec<StepDue>, StoreError> {
        const OPERATION: &str = "read timers";
        let page = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", keys::text(bucket(at.seconds())))
            .consistent_read(true)
            .limit(100)
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        let items = page.items.unwrap_or_default();
        items
            .into_iter()
            .map(|item| {
                let item: DueItem = item::read(OPERATION, item)?;
                serde_json::from_str(&item.step).map_err(|error| StoreError::item(OPERATION, error))
            })
            .collect()
    }

    /// Removes a step that has been handed on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove(&self, due: &StepDue) -> Result<(), StoreError> {
        self.client
            .delete_item()
            .table_name(&self.table)
            .key(keys::PK, AttributeValue::S(bucket(due.due.seconds())))
            .key(keys::SK, AttributeValue::S(sort_key(due)))
            .send()
            .await
            .map_err(|error| StoreError::request("remove timer", error))?;
        Ok(())
    }
}

fn bucket(seconds: i64) -> String {
    format!("{:011}", seconds.div_euclid(BUCKET_SECONDS))
}

fn sort_key(due: &StepDue) -> String {
    format!("{:015}#{}#{}#{}", due.due.0, due.id, due.step, due.user.digest())
}
