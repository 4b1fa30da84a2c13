//! Devices: the users that they belong to, and their change of hands.

use aws_sdk_dynamodb::types::{Delete, TransactWriteItem, Update};
use serde::Serialize;
use tidings_domain::{
    Connection, Device, DeviceId, Position, Profile, PushRegistration, Seal, Timestamp, UserKey, UserView, Written,
};

use crate::{
    StoreError, Vault,
    connections::bury,
    error::took_place,
    families,
    guard::{self, At, is_one_of},
    item::{self, DeviceItem},
    keys,
    transaction::put,
};

/// Writes of one transaction (AWS's limit).
const TRANSACTION_WRITES: usize = 100;

fn push_text(operation: &'static str, push: &Written<PushRegistration>) -> Result<String, StoreError> {
    push.write().map_err(|source| StoreError::item(operation, source))
}

#[derive(Debug, Serialize)]
struct LookupItem {
    pk: String,
    #[serde(flatten)]
    item: DeviceItem,
}

/// Registered devices: the look-up by device id, and the list of each user.
#[derive(Clone, Debug)]
pub struct Devices {
    pub(crate) client: aws_sdk_dynamodb::Client,
    pub(crate) vault: Vault,
    pub(crate) table: String,
    lookups: String,
}

impl Devices {
    /// Over the `Users` and `Lookups` tables.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, vault: Vault, table: String, lookups: String) -> Self {
        Self { client, vault, table, lookups }
    }

    /// A registered device, strongly consistent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: &DeviceId, now: Timestamp) -> Result<Option<Device>, StoreError> {
        Ok(self.last_known(id).await?.filter(|device| device.is_registered(now)))
    }

    /// A device as it was last known, strongly consistent: also if it was unregistered or has expired. Its generation
    /// is kept, so that the next registration never gets the old keys.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn last_known(&self, id: &DeviceId) -> Result<Option<Device>, StoreError> {
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
        let Some(item) = answer.item else { return Ok(None) };
        let user = item.get("user_key").and_then(|user| user.as_s().ok()).cloned().unwrap_or_default();
        let app = guard::app_of(OPERATION, &user)?;
        let Some(seal) = self.vault.of_existing(&app).await? else { return Ok(None) };
        let device = item::open::<DeviceItem>(OPERATION, &families::DEVICE_LOOKUP, &seal, item)?;
        Ok(Some(device.device(OPERATION, &seal)?))
    }

    /// Registers a device for its user, all or nothing: the look-up, the user's list, the profile. If `previous` is
    /// another user's view, the device and its connections leave that user. `false` if another request registered the
    /// device in between: read and decide again.
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
        let seal = self.vault.of(&device.user.app).await?;
        let lookup = LookupItem { pk: keys::lookup_device(&device.id), item: DeviceItem::new(&seal, device) };
        let lookup = item::write(OPERATION, &families::DEVICE_LOOKUP, &seal, lookup)?;
        let mut lookup = put(OPERATION, &self.lookups, lookup, None)?;
        match previous {
            Some((before, _)) => {
                lookup.condition_expression = Some("generation = :generation AND user_key = :user".to_owned());
                lookup.expression_attribute_values = Some(
                    [
                        (":generation".to_owned(), keys::number(before.generation)),
                        (":user".to_owned(), keys::text(seal.user(&before.user))),
                    ]
                    .into(),
                );
            }
            None => lookup.condition_expression = Some("attribute_not_exists(pk)".to_owned()),
        }
        let mut writes = vec![
            TransactWriteItem::builder().put(lookup).build(),
            TransactWriteItem::builder().update(self.listed(&seal, device)?).build(),
        ];
        writes.extend(self.profile(&seal, &device.user, profile)?);
        let left = previous.filter(|(before, _)| before.user != device.user && !before.user.is_unowned());
        if let Some((before, view)) = left {
            writes.extend(self.leave(&seal, before, &view.connections, now).await?);
        }
        self.transact(OPERATION, writes).await
    }

    /// The device in its user's list. An update, not a put: a device that is registered again for the same user keeps
    /// its cursor.
    fn listed(&self, seal: &Seal, device: &Device) -> Result<Update, StoreError> {
        const OPERATION: &str = "register device";
        let mut update = Update::builder().table_name(&self.table).set_key(Some(keys::of_user(
            seal,
            &device.user,
            keys::device(&device.id),
        )));
        let mut sets = Vec::new();
        let push = device.push.as_ref().map(|push| push_text(OPERATION, push)).transpose()?;
        let expires_at = Some(item::expiry(device.expires()));
        let (partition, sort_key) = (seal.user(&device.user), keys::device(&device.id));
        let item = DeviceItem { push, expires_at, ..DeviceItem::new(seal, device) };
        let at = At::user(&partition, &sort_key);
        for (name, value) in item::write_at(OPERATION, &families::DEVICE, seal, at, item)? {
            sets.push(format!("#{name} = :{name}"));
            update = update
                .expression_attribute_names(format!("#{name}"), &name)
                .expression_attribute_values(format!(":{name}"), value);
        }
        let given = [("client_version", device.client_version.is_some()), ("push", device.push.is_some())];
        let forget: Vec<&str> = given.iter().filter(|(_, given)| !given).map(|(name, _)| *name).collect();
        let forget = if forget.is_empty() { String::new() } else { format!(" REMOVE {}", forget.join(", ")) };
        update
            .update_expression(format!("SET {}{forget}", sets.join(", ")))
            .build()
            .map_err(|error| StoreError::item(OPERATION, error))
    }

    /// Deletes a device's push address, unless it was registered with another address meanwhile.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_push(&self, device: &Device) -> Result<(), StoreError> {
        const OPERATION: &str = "forget push address";
        let Some(push) = &device.push else { return Ok(()) };
        let seal = self.vault.of(&device.user.app).await?;
        let (partition, sort_key) = (seal.user(&device.user), keys::device(&device.id));
        let (at, text) = (At::user(&partition, &sort_key), push_text(OPERATION, push)?);
        let forms = guard::forms(OPERATION, &families::DEVICE, &seal, at, "push", &text)?;
        let (condition, values) = is_one_of("push", forms);
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::of_user(&seal, &device.user, &sort_key)))
            .update_expression("REMOVE push")
            .condition_expression(condition)
            .set_expression_attribute_values(Some(values.into_iter().collect()))
            .send()
            .await;
        took_place(OPERATION, update).map(|_| ())
    }

    /// Unregisters a device and removes its connections; `false` if it changed hands in between.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unregister(&self, device: &Device, view: &UserView, now: Timestamp) -> Result<bool, StoreError> {
        const OPERATION: &str = "unregister device";
        let seal = self.vault.of(&device.user.app).await?;
        let unowned = UserKey::unowned(device.user.app.clone());
        let lookup = Update::builder()
            .table_name(&self.lookups)
            .set_key(Some(keys::of(keys::lookup_device(&device.id))))
            .update_expression("SET user_key = :unowned")
            .condition_expression("generation = :generation AND user_key = :user")
            .expression_attribute_values(":unowned", keys::text(seal.user(&unowned)))
            .expression_attribute_values(":generation", keys::number(device.generation))
            .expression_attribute_values(":user", keys::text(seal.user(&device.user)))
            .build()
            .map_err(|error| StoreError::item(OPERATION, error))?;
        let mut writes = vec![TransactWriteItem::builder().update(lookup).build()];
        writes.extend(self.leave(&seal, device, &view.connections, now).await?);
        self.transact(OPERATION, writes).await
    }

    /// Removes a device and its connections from a user. A device with more sockets than one transaction takes loses
    /// the surplus first: until the transaction, it only seems less connected than it is.
    async fn leave(
        &self,
        seal: &Seal,
        device: &Device,
        connections: &[Connection],
        now: Timestamp,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let listed = Delete::builder()
            .table_name(&self.table)
            .set_key(Some(keys::of_user(seal, &device.user, keys::device(&device.id))))
            .build()
            .map_err(|error| StoreError::item("remove device from user", error))?;
        let mut writes = vec![TransactWriteItem::builder().delete(listed).build()];
        // The room beside the other writes; a connection takes two.
        let room = (TRANSACTION_WRITES - 4) / 2;
        let own: Vec<_> = connections.iter().filter(|connection| connection.device == device.id).collect();
        let (last, surplus) = own.split_at(own.len().min(room));
        for part in surplus.chunks(room) {
            self.transact("close connections of device", self.burials(seal, device, part, now)?).await?;
        }
        writes.extend(self.burials(seal, device, last, now)?);
        Ok(writes)
    }

    fn burials(
        &self,
        seal: &Seal,
        device: &Device,
        connections: &[&Connection],
        now: Timestamp,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let mut writes = Vec::with_capacity(connections.len() * 2);
        for connection in connections {
            writes.extend(bury(&self.table, &self.lookups, seal.user(&device.user), &connection.id, now, None)?);
        }
        Ok(writes)
    }

    fn profile(&self, seal: &Seal, user: &UserKey, profile: &Profile) -> Result<Option<TransactWriteItem>, StoreError> {
        const OPERATION: &str = "write profile";
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
            .set_key(Some(keys::of_user(seal, user, keys::PROFILE)))
            .update_expression(format!("SET {}", sets.join(", ")));
        let partition = seal.user(user);
        for (name, value) in given {
            let at = At::user(&partition, keys::PROFILE);
            let value = guard::attribute(OPERATION, &families::PROFILE, seal, at, name, keys::text(value))?;
            update = update
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), value);
        }
        let update = update.build().map_err(|error| StoreError::item(OPERATION, error))?;
        Ok(Some(TransactWriteItem::builder().update(update).build()))
    }

    /// Records that a device is in use, so that it does not expire; `false` if it has left its user.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_use(&self, device: &Device, now: Timestamp) -> Result<bool, StoreError> {
        const OPERATION: &str = "note use of device";
        let seal = self.vault.of(&device.user.app).await?;
        let used = Device { used: now, ..device.clone() };
        let update = |table: &str, key, sets: &str| {
            Update::builder()
                .table_name(table)
                .set_key(Some(key))
                .update_expression(format!("SET last_used = :now{sets}"))
                .condition_expression("generation = :generation AND user_key = :user")
                .expression_attribute_values(":now", keys::number(now.0))
                .expression_attribute_values(":generation", keys::number(device.generation))
                .expression_attribute_values(":user", keys::text(seal.user(&device.user)))
        };
        let lookup = update(&self.lookups, keys::of(keys::lookup_device(&device.id)), "");
        let listed_key = keys::of_user(&seal, &device.user, keys::device(&device.id));
        let listed = update(&self.table, listed_key, ", expires_at = :at")
            .expression_attribute_values(":at", keys::number(item::expiry(used.expires())));
        let writes = [lookup, listed].map(|update| {
            let update = update.build().map_err(|error| StoreError::item(OPERATION, error))?;
            Ok(TransactWriteItem::builder().update(update).build())
        });
        self.transact(OPERATION, writes.into_iter().collect::<Result<_, StoreError>>()?).await
    }

    /// Moves the stored cursor of a device; never back, and not if the device has changed hands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn move_cursor(&self, device: &Device, to: Position) -> Result<(), StoreError> {
        let seal = self.vault.of(&device.user.app).await?;
        let moved = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::of_user(&seal, &device.user, keys::device(&device.id))))
            .update_expression("SET cursor_epoch = :epoch, cursor_seq = :seq")
            .condition_expression(
                "generation = :generation AND (attribute_not_exists(cursor_epoch) OR cursor_epoch < :epoch \
                 OR (cursor_epoch = :epoch AND cursor_seq < :seq))",
            )
            .expression_attribute_values(":epoch", keys::number(to.epoch))
            .expression_attribute_values(":seq", keys::number(to.seq))
            .expression_attribute_values(":generation", keys::number(device.generation))
            .send()
            .await;
        took_place("move cursor", moved).map(|_| ())
    }

    /// Carries out a transaction: `false` if its first condition did not hold.
    async fn transact(&self, operation: &'static str, writes: Vec<TransactWriteItem>) -> Result<bool, StoreError> {
        took_place(operation, self.client.transact_write_items().set_transact_items(Some(writes)).send().await)
    }
}
