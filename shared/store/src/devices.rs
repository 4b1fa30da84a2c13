//! Devices: who they belong to, and how they change hands.

use aws_sdk_dynamodb::types::{Delete, TransactWriteItem, Update};
use serde::Serialize;
use tidings_domain::{Connection, Device, DeviceId, Profile, Timestamp, UserKey, UserView};

use crate::{
    StoreError, Users,
    item::{self, DeviceItem},
    keys,
    mailbox::{is_conditional, put},
};

/// A device as the look-up knows it.
pub type DeviceRecord = Device;

/// Writes of one transaction (AWS's limit).
const TRANSACTION_WRITES: usize = 100;

#[derive(Debug, Serialize)]
struct Keyed {
    pk: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sk: Option<String>,
    #[serde(flatten)]
    item: DeviceItem,
}

impl Users {
    /// Whose a device is, strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn device(&self, id: &DeviceId) -> Result<Option<DeviceRecord>, StoreError> {
        const OPERATION: &str = "look device up";
        let answer = self
            .client
            .get_item()
            .table_name(&self.lookups)
            .set_key(Some(keys::of(keys::lookup_device(id))))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        answer.item.map(|item| item::read::<DeviceItem>(OPERATION, item)?.device(OPERATION)).transpose()
    }

    /// Registers a device for its user, all or nothing: the look-up, the user's list, the profile; and where `previous` is
    /// another user's view, the device and its connections leave that user. `false` where the device was registered by
    /// somebody else in between: read again, and decide again.
    ///
    /// Fields of `profile` that are `None` stay as they are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn register(
        &self,
        device: &Device,
        profile: &Profile,
        previous: Option<(&Device, &UserView)>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        const OPERATION: &str = "register device";
        let item = || DeviceItem::from(device);
        let lookup = Keyed { pk: keys::lookup_device(&device.id), sk: None, item: item() };
        let listed = Keyed { pk: device.user.encode(), sk: Some(keys::device(&device.id)), item: item() };
        let mut lookup = put(OPERATION, &self.lookups, item::write(OPERATION, lookup)?, None)?;
        match previous {
            Some((before, _)) => {
                lookup.condition_expression = Some("generation = :generation AND user_key = :user".to_owned());
                lookup.expression_attribute_values = Some(
                    [
                        (":generation".to_owned(), keys::number(before.generation)),
                        (":user".to_owned(), keys::text(before.user.encode())),
                    ]
                    .into(),
                );
            }
            None => lookup.condition_expression = Some("attribute_not_exists(pk)".to_owned()),
        }
        let mut writes = vec![
            TransactWriteItem::builder().put(lookup).build(),
            TransactWriteItem::builder()
                .put(put(OPERATION, &self.table, item::write(OPERATION, listed)?, None)?)
                .build(),
        ];
        writes.extend(self.profile(&device.user, profile)?);
        if let Some((before, view)) = previous.filter(|(before, _)| before.user != device.user) {
            writes.extend(self.leave(before, &view.connections, now)?);
        }
        self.transact(OPERATION, writes).await
    }

    /// Forgets a device and its connections; `false` where it changed hands in between.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unregister(&self, device: &Device, view: &UserView, now: Timestamp) -> Result<bool, StoreError> {
        const OPERATION: &str = "unregister device";
        let lookup = Delete::builder()
            .table_name(&self.lookups)
            .set_key(Some(keys::of(keys::lookup_device(&device.id))))
            .condition_expression("generation = :generation AND user_key = :user")
            .expression_attribute_values(":generation", keys::number(device.generation))
            .expression_attribute_values(":user", keys::text(device.user.encode()))
            .build()
            .map_err(|error| StoreError::item(OPERATION, error))?;
        let mut writes = vec![TransactWriteItem::builder().delete(lookup).build()];
        writes.extend(self.leave(device, &view.connections, now)?);
        self.transact(OPERATION, writes).await
    }

    /// A device and its connections leave a user.
    fn leave(
        &self,
        device: &Device,
        connections: &[Connection],
        now: Timestamp,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let listed = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(keys::of_user(&device.user, keys::device(&device.id))))
            .build()
            .map_err(|error| StoreError::item("remove device from user", error))?;
        let mut writes = vec![TransactWriteItem::builder().delete(listed).build()];
        // The room left beside the other writes. A device that holds more sockets than that keeps their look-ups, which no
        // longer lead anywhere: delivery checks the device's user and generation, not the socket.
        let room = (TRANSACTION_WRITES - 4) / 2;
        for connection in connections.iter().filter(|connection| connection.device == device.id).take(room) {
            writes.extend(self.bury(&device.user, &connection.id, now)?);
        }
        Ok(writes)
    }

    fn profile(&self, user: &UserKey, profile: &Profile) -> Result<Option<TransactWriteItem>, StoreError> {
        let fields = [
            ("mobile", &profile.mobile),
            ("email", &profile.email),
            ("tag", &profile.tag),
            ("locale", &profile.locale),
            ("time_zone", &profile.time_zone),
        ];
        let given: Vec<_> =
            fields.iter().filter_map(|(name, value)| value.as_ref().map(|value| (*name, value))).collect();
        if given.is_empty() {
            return Ok(None);
        }
        let sets: Vec<String> = given.iter().map(|(name, _)| format!("#{name} = :{name}")).collect();
        let mut update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(keys::of_user(user, keys::PROFILE)))
            .update_expression(format!("SET {}", sets.join(", ")));
        for (name, value) in given {
            update = update
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), keys::text(value));
        }
        let update = update.build().map_err(|error| StoreError::item("write profile", error))?;
        Ok(Some(TransactWriteItem::builder().update(update).build()))
    }

    /// Carries a transaction out: `false` where its first condition did not hold.
    async fn transact(&self, operation: &'static str, writes: Vec<TransactWriteItem>) -> Result<bool, StoreError> {
        match self.client.transact_write_items().set_transact_items(Some(writes)).send().await {
            Ok(_) => Ok(true),
            Err(error) if is_conditional(error.as_service_error().map(|e| e.is_transaction_canceled_exception())) => {
                Ok(false)
            }
            Err(error) => Err(StoreError::request(operation, error)),
        }
    }
}
