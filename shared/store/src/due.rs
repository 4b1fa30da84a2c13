//! Timers that are due later than a queue's longest delay, in one bucket per minute.

use serde::Serialize;
use tidings_domain::{Seal, Timer, Timestamp, shape::Body};

use crate::{
    StoreError, Vault,
    error::took_place,
    families,
    item::{self, Item},
    keys, unknown,
};

/// The `Due` table.
#[derive(Clone, Debug)]
pub struct Due {
    client: aws_sdk_dynamodb::Client,
    vault: Vault,
    table: String,
}

/// How long an item is kept after it is due, in seconds, if no tick takes it: a week, for a schedule that was down.
const GRACE_SECONDS: u64 = 7 * 86_400;

/// How far the clock goes back if it cannot read where it stood, in minutes. Each costs a query.
const UNREADABLE_MINUTES: i64 = 120;

/// How far ahead of the clock a cursor cannot be, in minutes: it is at most a queue's delay ahead.
const ABSURD_MINUTES: i64 = 24 * 60;

/// The content of one minute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The timers, those of a newer version among them.
    pub timers: Vec<KeptTimer>,
    /// Items without a timer. They delay no others, and expire.
    pub unreadable: usize,
}

/// A stored timer. It is handed on unchanged, even if this version cannot read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptTimer {
    /// When it is due.
    pub due: Timestamp,
    /// The timer as a body of the `later` queue.
    pub body: String,
    bucket: String,
    sort_key: String,
}

impl KeptTimer {
    fn read(item: &Item) -> Option<Self> {
        let text = |name: &str| item.get(name)?.as_s().ok().cloned();
        let (bucket, sort_key) = (text(keys::PK)?, text(keys::SK)?);
        let due = Timestamp(sort_key.split_once('#')?.0.parse().ok()?);
        let body = text("timer").filter(|body| fits_a_queue(body))?;
        Some(Self { due, body, bucket, sort_key })
    }
}

#[derive(Debug, Serialize)]
struct DueItem {
    pk: String,
    sk: String,
    timer: String,
    expires_at: i64,
}

impl Due {
    /// Over the `Due` table.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, vault: Vault, table: String) -> Self {
        Self { client, vault, table }
    }

    /// Stores a timer until it is due. A duplicate is the same item.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep(&self, timer: &Timer) -> Result<(), StoreError> {
        const OPERATION: &str = "keep timer";
        let seal = match timer.app() {
            Some(app) => self.vault.of(app).await?,
            None => Seal::Clear,
        };
        let item = DueItem {
            pk: bucket(minute_of(timer.due())),
            sk: sort_key(&seal, timer),
            // As a body of the queue that it moves on to.
            timer: seal.body(timer).map_err(|error| StoreError::item(OPERATION, error))?,
            expires_at: item::expiry(timer.due().plus_seconds(GRACE_SECONDS)),
        };
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item::write(OPERATION, &families::TIMER, &seal, item)?))
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        Ok(())
    }

    /// Every timer of one minute, counted since the Unix epoch.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn minute(&self, minute: i64) -> Result<Kept, StoreError> {
        let mut kept = Kept::default();
        let mut items = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", keys::text(bucket(minute)))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| StoreError::request("read timers", error))?;
            match KeptTimer::read(&item) {
                Some(timer) => kept.timers.push(timer),
                None => {
                    let error = StoreError::item("read timers", "it has no timer");
                    unknown::pass_over("timer", None, minute, &error);
                    kept.unreadable += 1;
                }
            }
        }
        Ok(kept)
    }

    /// The last minute that has been handed on, as the number of minutes since the Unix epoch. If the cursor is
    /// unreadable or absurd, two hours ago: in that time a clock that stands is noticed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn done_until(&self, now: Timestamp) -> Result<Option<i64>, StoreError> {
        const OPERATION: &str = "read timer cursor";
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(cursor_key()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        let Some(item) = answer.item else { return Ok(None) };
        let done = item.get("done_minute").and_then(|value| value.as_n().ok()?.parse().ok());
        let done = done.filter(|done| *done <= minute_of(now) + ABSURD_MINUTES);
        let done = done.unwrap_or_else(|| {
            let error = StoreError::item(OPERATION, "done_minute is not a minute up to now");
            unknown::pass_over("timer_cursor", None, "cursor", &error);
            minute_of(now) - UNREADABLE_MINUTES
        });
        // Older timers have expired.
        Ok(Some(done.max(minute_of(now) - GRACE_SECONDS.cast_signed() / 60)))
    }

    /// Records that every minute up to this one has been handed on. Never goes back, but replaces an unreadable or an
    /// absurd cursor.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_done_until(&self, minute: i64) -> Result<(), StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(cursor_key()))
            .update_expression("SET done_minute = :minute")
            .condition_expression(
                "NOT attribute_type(done_minute, :number) OR NOT done_minute BETWEEN :minute AND :absurd",
            )
            .expression_attribute_values(":number", keys::text("N"))
            .expression_attribute_values(":absurd", keys::number(minute.saturating_add(ABSURD_MINUTES)))
            .expression_attribute_values(":minute", keys::number(minute))
            .send()
            .await;
        took_place("move timer cursor", update).map(|_| ())
    }

    /// Removes a timer that has been handed on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove(&self, timer: &KeptTimer) -> Result<(), StoreError> {
        self.client
            .delete_item()
            .table_name(&self.table)
            .key(keys::PK, keys::text(&timer.bucket))
            .key(keys::SK, keys::text(&timer.sort_key))
            .send()
            .await
            .map_err(|error| StoreError::request("remove timer", error))?;
        Ok(())
    }
}

/// Whether SQS takes a text as a message's body. It refuses others for good:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>.
fn fits_a_queue(body: &str) -> bool {
    let is_taken =
        |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..);
    !body.is_empty() && body.chars().all(is_taken)
}

/// The minute of a timestamp, counted since the Unix epoch.
#[must_use]
pub fn minute_of(at: Timestamp) -> i64 {
    at.seconds().div_euclid(60)
}

fn bucket(minute: i64) -> String {
    format!("{minute:011}")
}

fn cursor_key() -> Item {
    [(keys::PK.to_owned(), keys::text("cursor")), (keys::SK.to_owned(), keys::text("cursor"))].into()
}

fn sort_key(seal: &Seal, timer: &Timer) -> String {
    format!("{:015}#{}", timer.due().0, timer.key(seal))
}
