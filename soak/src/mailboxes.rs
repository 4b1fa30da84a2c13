//! The mailboxes as they are in the table, read without the service.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::AttributeValue;
use tidings_store::layout;

use super::history::Entry;
use sam_twin::cli::failure::Failure;

/// The logical id of the table of users, which has no output in the template.
const TABLE: &str = "UsersTable";

/// The mailbox of each user, oldest entry first.
pub(crate) async fn read(aws_url: &str, app: &str, aliases: &[&str]) -> Result<Vec<Vec<Entry>>, Failure> {
    let client = dynamodb(aws_url);
    let tables = client.list_tables().send().await?.table_names.unwrap_or_default();
    let table = tables.into_iter().find(|name| name.contains(TABLE));
    let table = table.ok_or_else(|| Failure::new(format!("there is no table {TABLE}")))?;
    let mut mailboxes = Vec::with_capacity(aliases.len());
    for alias in aliases {
        mailboxes.push(mailbox(&client, &table, &format!("{app}||{alias}")).await?);
    }
    Ok(mailboxes)
}

/// The twin's DynamoDB, which takes any credentials.
fn dynamodb(aws_url: &str) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(aws_url)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("soak", "soak", None, None, "soak"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

async fn mailbox(client: &Client, table: &str, user: &str) -> Result<Vec<Entry>, Failure> {
    let text = |value: &str| AttributeValue::S(value.to_owned());
    let mut pages = client
        .query()
        .table_name(table)
        .key_condition_expression("#pk = :pk AND begins_with(#sk, :entry)")
        .expression_attribute_names("#pk", layout::PARTITION)
        .expression_attribute_names("#sk", layout::SORT)
        .expression_attribute_values(":pk", text(user))
        .expression_attribute_values(":entry", text(layout::ENTRY))
        .projection_expression("#sk, #id")
        .expression_attribute_names("#id", layout::MESSAGE_ID)
        .consistent_read(true)
        .into_paginator()
        .send();
    let mut entries = Vec::new();
    while let Some(page) = pages.next().await {
        for item in page?.items.unwrap_or_default() {
            let of = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str);
            let position = of(layout::SORT).and_then(layout::position);
            let position = position.ok_or_else(|| Failure::new(format!("an entry of {user} has no position")))?;
            entries.push(Entry { position, id: of(layout::MESSAGE_ID).unwrap_or_default().to_owned() });
        }
    }
    Ok(entries)
}
