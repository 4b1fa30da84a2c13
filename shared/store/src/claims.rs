//! The steps of a chain in their mailbox entry: claimed before the provider is called, released or ended after it.

use aws_sdk_dynamodb::types::AttributeValue;
use tidings_domain::{
    Timestamp,
    chain::{Outcome, PutOff, StepDue},
    mailbox::Slot,
};

use crate::{Mailboxes, StoreError, keys, retry};

/// The claims of workers on fallback steps.
#[derive(Clone, Debug)]
pub struct Claims {
    mailboxes: Mailboxes,
}

impl Claims {
    /// Over the mailboxes.
    #[must_use]
    pub fn new(Mailboxes { client, vault, table }: Mailboxes) -> Self {
        Self { mailboxes: Mailboxes::new(retry::patient(&client), vault, table) }
    }

    /// Claims a fallback step for `worker`, just before its provider is called. `false` if the message is confirmed or
    /// closed by now, or another worker was first. This one write keeps an SMS from going out twice. A worker
    /// recognises its claim by its name if the answer was lost and the SDK repeated the write. `before` is the worker
    /// whose claim is taken over, if that is allowed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim(
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
            .mailboxes
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
        let entry = self.mailboxes.entry(&due.user, due.position).await?;
        let entry = entry.as_ref().and_then(Slot::read);
        let by = entry.and_then(|entry| entry.steps.get(step)?.claimed_by.as_deref());
        Ok(by == Some(worker))
    }

    /// Releases a claimed step, because its provider has certainly not acted, and records that it was put off, if it
    /// was. `false` if the claim is another worker's, or the step has ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release(&self, due: &StepDue, worker: &str, note: Option<&PutOff>) -> Result<bool, StoreError> {
        const OPERATION: &str = "release fallback step";
        let step = due.step;
        let mut values = vec![(":worker", keys::text(worker)), (":id", keys::text(due.id.as_str()))];
        let mut noted = String::new();
        if let Some(note) = note {
            let value = serde_dynamo::to_attribute_value(note).map_err(|error| StoreError::item(OPERATION, error))?;
            values.push((":note", value));
            noted = format!(" SET progress[{step}].put_off = :note");
        }
        self.mailboxes
            .update_entry(
                OPERATION,
                &due.user,
                due.position,
                &format!("REMOVE progress[{step}].claimed, progress[{step}].claimed_by{noted}"),
                &format!(
                    "id = :id AND progress[{step}].claimed_by = :worker \
                     AND attribute_not_exists(progress[{step}].outcome)"
                ),
                &[],
                values,
            )
            .await
    }

    /// Records how a step ended. The first outcome stays; `false` if there was one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end(
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
        let set = detail.map_or_else(String::new, |_| format!(", progress[{step}].detail = :detail"));
        values.extend(detail.map(|detail| (":detail", keys::text(detail))));
        self.mailboxes
            .update_entry(
                OPERATION,
                &due.user,
                due.position,
                &format!("SET progress[{step}].outcome = :outcome, progress[{step}].ended = :now{set}"),
                &format!("id = :id AND attribute_not_exists(progress[{step}].outcome)"),
                &[],
                values,
            )
            .await
    }
}
