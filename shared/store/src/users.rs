//! Users: the parts of their partition that a delivery, a ping and a registration need, and their preferences.

use aws_sdk_dynamodb::operation::{
    query::builders::QueryFluentBuilder, update_item::builders::UpdateItemFluentBuilder,
};
use tidings_domain::{ConnectionId, Profile, Pulse, Seal, Timestamp, UserKey, UserView, Written, presence::Wishes};
use tidings_wire::Preferences;

use crate::{
    StoreError, Vault,
    error::took_place,
    families,
    guard::{self, At, is_one_of},
    item::{self, ConnectionItem, DeviceItem, Item, ProfileItem},
    keys, unknown,
};

/// Items of a view's page: a profile, four devices with a connection each, and the tail of the mailbox. Items read
/// beyond the tail are paid for without use; a user with more devices and connections costs a second page.
const VIEW_ITEMS: i32 = 10;

/// The parts of a view, as far as they are needed. A user whose devices and connections exceed two pages has many: they
/// are then read to their end, without the entries below, and the tail separately.
const VIEW: [Part; 4] = [Part::Opening, Part::Opening, Part::Presence, Part::Tail];

/// A part of a user's partition, read backwards.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// A page from the upper end, or from the end of the page before.
    Opening,
    /// Devices and connections.
    Presence,
    /// The newest entry.
    Tail,
}

impl Part {
    /// The query of this part.
    fn of(self, query: QueryFluentBuilder, partition: &str) -> QueryFluentBuilder {
        match self {
            Self::Opening => query
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", keys::text(partition))
                .scan_index_forward(false)
                .consistent_read(true)
                .limit(VIEW_ITEMS),
            Self::Presence => between(query, partition, keys::CONNECTION, keys::BEHIND_DEVICES),
            Self::Tail => between(query, partition, keys::ENTRY, keys::BEHIND_ENTRIES).limit(1),
        }
    }
}

/// A strongly consistent query of the items between two sort keys, from the upper one down.
fn between(query: QueryFluentBuilder, partition: &str, from: &str, to: &str) -> QueryFluentBuilder {
    query
        .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
        .expression_attribute_values(":pk", keys::text(partition))
        .expression_attribute_values(":from", keys::text(from))
        .expression_attribute_values(":to", keys::text(to))
        .scan_index_forward(false)
        .consistent_read(true)
}

/// Adds an item of the partition to a view; `false` once it has reached the mailbox: no item below matters.
fn add(view: &mut UserView, seal: &Seal, user: &UserKey, item: Item, now: Timestamp) -> Result<bool, StoreError> {
    const OPERATION: &str = "read user";
    let sort_key = item.get(keys::SK).and_then(|sk| sk.as_s().ok()).cloned().unwrap_or_default();
    if sort_key == keys::PROFILE {
        let profile = item::open::<ProfileItem>(OPERATION, &families::PROFILE, seal, item);
        let profile = profile.map(|profile| profile.profile(OPERATION, seal, user));
        view.profile = Some(profile.unwrap_or_else(|error| {
            unknown::pass_over("profile", Some(seal.pseudonym(user)), keys::PROFILE, &error);
            Profile { preferences: Wishes::Unreadable, ..Profile::default() }
        }));
    } else if sort_key.starts_with(keys::DEVICE) {
        let device = item::open::<DeviceItem>(OPERATION, &families::DEVICE, seal, item);
        let device = device.and_then(|device| device.device(OPERATION, seal));
        let device = readable("device", seal, user, &sort_key, device);
        view.devices.extend(device.filter(|device| device.is_registered(now)));
    } else if sort_key.starts_with(keys::CONNECTION) {
        let connection = item::open::<ConnectionItem>(OPERATION, &families::CONNECTION, seal, item);
        let connection = readable("connection", seal, user, &sort_key, connection);
        view.connections.extend(connection.and_then(|connection| connection.alive(now)));
    } else if keys::position(&sort_key).is_some() {
        // The newest entry, and everything below it is older. If it has expired, so has the log.
        view.tail = if item::is_kept(&item, now) { Some(item::tail(OPERATION, seal, &item, user, now)?) } else { None };
        return Ok(false);
    } else if sort_key == keys::LOG {
        // There are no entries.
        return Ok(false);
    } else {
        unknown::item(seal.pseudonym(user), &sort_key);
    }
    Ok(true)
}

/// An item of a user's partition, or nothing if this version cannot read it.
fn readable<T>(
    kind: &'static str,
    seal: &Seal,
    user: &UserKey,
    sort_key: &str,
    read: Result<T, StoreError>,
) -> Option<T> {
    read.map_err(|error| unknown::pass_over(kind, Some(seal.pseudonym(user)), sort_key, &error)).ok()
}

impl Users {
    /// A pseudonym of a user, for log lines.
    #[must_use]
    pub fn pseudonym(&self, user: &UserKey) -> String {
        self.vault.pseudonym(user)
    }
}

/// Users, each with its whole partition.
#[derive(Clone, Debug)]
pub struct Users {
    pub(crate) client: aws_sdk_dynamodb::Client,
    pub(crate) vault: Vault,
    pub(crate) table: String,
}

impl Users {
    /// Over the `Users` table.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, vault: Vault, table: String) -> Self {
        Self { client, vault, table }
    }

    /// Profile, devices, connections and newest entry of a user, strongly consistent: a device that has just connected
    /// must be seen. Expired items are left out. One request for most users, and four for one who holds as much as
    /// [`limits`](tidings_wire::limits) allow.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn view(&self, user: &UserKey, now: Timestamp) -> Result<UserView, StoreError> {
        const OPERATION: &str = "read user";
        let seal = self.vault.of(&user.app).await?;
        let (partition, mut view) = (seal.user(user), UserView::default());
        let (mut parts, mut from) = (VIEW.into_iter(), None);
        let mut next = parts.next();
        while let Some(part) = next {
            let query = part.of(self.client.query().table_name(&self.table), &partition).set_exclusive_start_key(from);
            let page = query.send().await.map_err(|error| StoreError::request(OPERATION, error))?;
            for item in page.items.unwrap_or_default() {
                if !add(&mut view, &seal, user, item, now)? {
                    return Ok(view);
                }
            }
            from = page.last_evaluated_key;
            next = match (part, &from) {
                (Part::Opening, None) | (Part::Tail, _) => None,
                (Part::Opening, Some(_)) | (Part::Presence, None) => parts.next(),
                (Part::Presence, Some(_)) => Some(part),
            };
        }
        Ok(view)
    }

    /// Devices and connections of a user, strongly consistent, as in [`Self::view`]; neither profile nor tail.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn presence(&self, user: &UserKey, now: Timestamp) -> Result<UserView, StoreError> {
        const OPERATION: &str = "read presence";
        let seal = self.vault.of(&user.app).await?;
        let query = Part::Presence.of(self.client.query().table_name(&self.table), &seal.user(user));
        let mut items = query.into_paginator().items().send();
        let mut view = UserView::default();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| StoreError::request(OPERATION, error))?;
            add(&mut view, &seal, user, item, now)?;
        }
        Ok(view)
    }

    /// The data for a ping, strongly consistent: the lease of its connection, and the newest position. It reads no
    /// devices, and at most one other connection.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pulse(&self, user: &UserKey, id: &ConnectionId, now: Timestamp) -> Result<Pulse, StoreError> {
        const OPERATION: &str = "read pulse";
        let partition = self.vault.of(&user.app).await?.user(user);
        let own = keys::connection(id);
        let mut pulse = Pulse::default();
        // The entry stands right below the connection, unless the user has others.
        for (to, most) in [(own.as_str(), 2), (keys::BEHIND_ENTRIES, 1)] {
            let query = between(self.client.query().table_name(&self.table), &partition, keys::ENTRY, to);
            let query = query.limit(most).projection_expression("sk, expires_at");
            let page = query.send().await.map_err(|error| StoreError::request(OPERATION, error))?;
            for item in page.items.unwrap_or_default() {
                let sort_key = item.get(keys::SK).and_then(|sk| sk.as_s().ok()).cloned().unwrap_or_default();
                let (expires, is_alive) = (item::number(&item, "expires_at"), item::is_kept(&item, now));
                if sort_key == own {
                    let lease = expires.map(|seconds| Timestamp(seconds.saturating_mul(1_000)));
                    pulse.lease = lease.filter(|_| is_alive);
                } else if let Some(position) = keys::position(&sort_key) {
                    pulse.head = is_alive.then_some(position);
                    return Ok(pulse);
                }
            }
            if page.last_evaluated_key.is_none() {
                break;
            }
        }
        Ok(pulse)
    }

    /// Replaces a user's preferences. The user need not have a device yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_preferences(&self, user: &UserKey, preferences: &Preferences) -> Result<(), StoreError> {
        const OPERATION: &str = "write preferences";
        let text = serde_json::to_string(preferences).map_err(|source| StoreError::item(OPERATION, source))?;
        let seal = self.vault.of(&user.app).await?;
        self.replace_preferences(OPERATION, &seal, user, text)?
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        Ok(())
    }

    /// Replaces the preferences that were read as `before`; `false` if another request has written some meanwhile: read
    /// again. Attributes that this version does not know stay.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn change_preferences(
        &self,
        user: &UserKey,
        before: &Written<Preferences>,
        preferences: &Preferences,
    ) -> Result<bool, StoreError> {
        const OPERATION: &str = "change preferences";
        let text = before.replaced_by(preferences).map_err(|source| StoreError::item(OPERATION, source))?;
        let seal = self.vault.of(&user.app).await?;
        let mut update = self.replace_preferences(OPERATION, &seal, user, text)?;
        update = match before.text() {
            Some(read) => {
                let partition = seal.user(user);
                let at = At::user(&partition, keys::PROFILE);
                let forms = guard::forms(OPERATION, &families::PROFILE, &seal, at, "preferences", read)?;
                let (condition, values) = is_one_of("preferences", forms);
                values.into_iter().fold(update.condition_expression(condition), |update, (name, value)| {
                    update.expression_attribute_values(name, value)
                })
            }
            None => update.condition_expression("attribute_not_exists(preferences)"),
        };
        took_place(OPERATION, update.send().await)
    }

    fn replace_preferences(
        &self,
        operation: &'static str,
        seal: &Seal,
        user: &UserKey,
        text: String,
    ) -> Result<UpdateItemFluentBuilder, StoreError> {
        let partition = seal.user(user);
        let at = At::user(&partition, keys::PROFILE);
        let value = guard::attribute(operation, &families::PROFILE, seal, at, "preferences", keys::text(text))?;
        Ok(self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(keys::of_user(seal, user, keys::PROFILE)))
            .update_expression("SET preferences = :preferences")
            .expression_attribute_values(":preferences", value))
    }
}
