//! The writes of a transaction.

use aws_sdk_dynamodb::types::Put;

use crate::{StoreError, item::Item};

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
