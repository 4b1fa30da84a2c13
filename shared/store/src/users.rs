//! A user: the whole partition in one read, and the preferences that stand in it.

use tidings_domain::{Profile, Timestamp, UserKey, UserView};
use tidings_wire::Preferences;

use crate::{
    StoreError,
    error::took_place,
    item::{self, ConnectionItem, DeviceItem, EntryItem, ProfileItem},
    keys,
};

/// Items that one reverse query reads: a profile, four devices with a connection each, and the tail of the mailbox. What is
/// read beyond the tail is paid for in vain, and a user with more devices and connections costs a second page.
const VIEW_ITEMS: i32 = 10;

/// Users, each with all that stands in the partition.
#[derive(Clone, Debug)]
pub struct Users {
    pub(crate) client: aws_sdk_dynamodb::Client,
    pub(crate) table: String,
}

impl Users {
    /// Over the `Users` table.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, table: String) -> Self {
        Self { client, table }
    }

    /// Profile, devices, connections and newest entry of a user, in one strongly consistent read: a device that has just
    /// connected must be seen. Expired items are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn view(&self, user: &UserKey, now: Timestamp) -> Result<UserView, StoreError> {
        const OPERATION: &str = "read user";
        let mut view = UserView::default();
        let mut items = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", keys::text(user.encode()))
            .scan_index_forward(false)
            .consistent_read(true)
            .limit(VIEW_ITEMS)
            .into_paginator()
            .items()
            .send();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| StoreError::request(OPERATION, error))?;
            let sort_key = item.get(keys::SK).and_then(|sk| sk.as_s().ok()).cloned().unwrap_or_default();
            if sort_key == keys::PROFILE {
                view.profile = Some(item::read::<ProfileItem>(OPERATION, item)?.profile(OPERATION)?);
            } else if sort_key.starts_with(keys::DEVICE) {
                view.devices.push(item::read::<DeviceItem>(OPERATION, item)?.device(OPERATION)?);
            } else if sort_key.starts_with(keys::CONNECTION) {
                let connection = item::read::<ConnectionItem>(OPERATION, item)?;
                if connection.expires_at > now.seconds() {
                    view.connections.push(connection.into());
                }
            } else {
                // The newest entry, and everything below it is older; or the log's own item, and there are no entries. Where
                // the newest has expired, so has the log.
                if sort_key.starts_with(keys::ENTRY) {
                    let entry = item::read::<EntryItem>(OPERATION, item)?.entry()?;
                    view.tail = (entry.keep_until > now).then_some(entry);
                }
                break;
            }
        }
        Ok(view)
    }

    /// Writes a user's preferences in place of those before. The user need not have a device yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_preferences(&self, user: &UserKey, preferences: &Preferences) -> Result<(), StoreError> {
        const OPERATION: &str = "write preferences";
        let text = serde_json::to_string(preferences).map_err(|source| StoreError::item(OPERATION, source))?;
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::of_user(user, keys::PROFILE)))
            .update_expression("SET preferences = :preferences")
            .expression_attribute_values(":preferences", keys::text(text))
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        Ok(())
    }

    /// Writes a user's preferences in place of those that were read with `before`; `false` where somebody else has written
    /// some meanwhile: read again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn change_preferences(
        &self,
        user: &UserKey,
        before: &Profile,
        preferences: &Preferences,
    ) -> Result<bool, StoreError> {
        const OPERATION: &str = "change preferences";
        let text = serde_json::to_string(preferences).map_err(|source| StoreError::item(OPERATION, source))?;
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::of_user(user, keys::PROFILE)))
            .update_expression("SET preferences = :preferences")
            .expression_attribute_values(":preferences", keys::text(text));
        let update = match &before.preferences_text {
            Some(read) => update
                .condition_expression("preferences = :read")
                .expression_attribute_values(":read", keys::text(read.clone())),
            None => update.condition_expression("attribute_not_exists(preferences)"),
        };
        took_place(OPERATION, update.send().await)
    }
}
