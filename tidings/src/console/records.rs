//! Records of Tidings for the console: users with their devices and connections, messages with their trails. A template
//! of another service has none of these tables, and the console then shows no records.

pub(super) mod filter;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use futures_util::{StreamExt, TryStreamExt, stream};
use sam_twin::services::dynamodb::DynamoDb;
use sam_twin::template::Template;
use serde::Serialize;
use serde_json::{Value, json};
use tidings_domain::{MessageId, Timestamp, UserKey, UserView};
use tidings_lambda::config;
use tidings_store::{Mailboxes, Messages, StoreError, Users, Vault, layout};
use tidings_wire::action::Position;
use tidings_wire::send::Priority;
use tidings_wire::trail::State;
use tidings_wire::{Open, Platform, Trail};

use self::filter::{Filter, searched};

/// The most messages or users in one answer.
pub(super) const PAGE: usize = 100;

/// The most recipients of a message in a list.
const RECIPIENTS: usize = 20;

/// The seconds over which accepted messages are counted.
const SECONDS: usize = 120;

/// How many trails are read at once.
const AT_ONCE: usize = 8;

/// How many confirmed messages are cached.
const REMEMBERED: usize = 2_000;

/// How many texts are cached.
const REMEMBERED_TEXTS: usize = 10_000;

/// The longest text that is cached, in bytes.
const REMEMBERED_TEXT: usize = 4 * 1_024;

/// The most messages that one answer reads to find those that match its filter.
const LOOKED_AT: usize = 1_000;

/// How long one answer searches, once it has read a page: the console then requests the rest.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Why records cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordsError {
    /// The table cannot be scanned.
    #[error("scan the table {table}: {reason}")]
    Scan {
        /// The table.
        table: String,
        /// The database's error.
        reason: String,
    },
    /// A record cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The tables of a deployment of Tidings.
#[derive(Debug, Clone)]
pub(super) struct Records {
    database: DynamoDb,
    users: Users,
    mailboxes: Mailboxes,
    messages: Messages,
    users_table: String,
    messages_table: String,
    confirmed: Arc<Mutex<HashMap<ListKey, Found>>>,
    /// The texts of messages, which do not change: a search for a text reads each message once.
    texts: Arc<Mutex<HashMap<ListKey, String>>>,
}

/// A message's key in the list: when it was accepted, in milliseconds since 1970, and its id.
pub(super) type ListKey = (i64, String);

/// A stored message, and whether it may match a filter.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Accepted {
    key: ListKey,
    is_admitted: bool,
}

/// A message with the text that a filter searches.
#[derive(Debug, Clone)]
struct Found {
    record: MessageRecord,
    text: String,
}

/// A page of messages, newest first, and how many there are of all.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessagePage {
    messages: Vec<MessageRecord>,
    /// The key at which the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    total: usize,
    per_second: PerSecond,
}

/// How many messages were accepted in each of the last seconds, the oldest first.
#[derive(Debug, Serialize)]
struct PerSecond {
    until: Timestamp,
    counts: Vec<u32>,
}

/// A message with the answer of `GET /v1/messages/{id}`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageRecord {
    app_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    tenant_code: String,
    /// Known if the message, or an entry of it, is still stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    alert: Option<String>,
    priority: Open<Priority>,
    recipient_count: usize,
    /// The number of recipients by state.
    states: BTreeMap<&'static str, usize>,
    #[serde(flatten)]
    trail: Trail,
}

/// A page of users, in the order of their names.
#[derive(Debug, Serialize)]
pub(super) struct UserPage {
    users: Vec<UserRecord>,
    /// The key at which the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UserRecord {
    app_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    tenant_code: String,
    alias: String,
    profile: BTreeMap<&'static str, String>,
    /// The last sequence number of the mailbox.
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<Position>,
    devices: Vec<DeviceRecord>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DeviceRecord {
    id: String,
    platform: Open<Platform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_version: Option<String>,
    registered_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<Position>,
    connections: Vec<ConnectionRecord>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConnectionRecord {
    id: String,
    connected_at: Timestamp,
    lease_until: Timestamp,
}

impl Records {
    /// The records of a template whose functions have Tidings' tables in their environment; `None` for another.
    #[must_use]
    pub(super) fn of(template: &Template, database: &DynamoDb, aws_url: &str, region: &str) -> Option<Self> {
        let variable = |name| template.functions.values().find_map(|function| function.environment.get(name)).cloned();
        let users_table = variable(config::USERS_TABLE)?;
        let messages_table = variable(config::MESSAGES_TABLE)?;
        // Required, though not read here: a template without one of Tidings' tables belongs to another service.
        variable(config::LOOKUPS_TABLE)?;
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(aws_url)
            .region(Region::new(region.to_owned()))
            // No function's key: the console's reads appear in no trace, and no fault strikes them.
            .credentials_provider(Credentials::new("console", "console", None, None, "console"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let client = aws_sdk_dynamodb::Client::from_conf(config);
        Some(Self {
            database: database.clone(),
            users: Users::new(client.clone(), Vault::clear(), users_table.clone()),
            mailboxes: Mailboxes::new(client.clone(), Vault::clear(), users_table.clone()),
            messages: Messages::new(client, Vault::clear(), messages_table.clone()),
            users_table,
            messages_table,
            confirmed: Arc::default(),
            texts: Arc::default(),
        })
    }

    /// Up to `limit` of the newest messages that match the filter, of those before `before`. There may be fewer, or
    /// none, while there is a next page: one answer reads a limited number of messages.
    ///
    /// # Errors
    /// If a table or a record cannot be read.
    pub(super) async fn messages(
        &self,
        limit: usize,
        before: Option<ListKey>,
        filter: &Filter,
    ) -> Result<MessagePage, RecordsError> {
        let now = Timestamp::now();
        // Newest first; the id orders messages of the same millisecond.
        let mut known = self.accepted(filter).await?;
        known.sort_unstable_by(|left, right| right.cmp(left));
        let per_second = PerSecond::of(known.iter().map(|accepted| accepted.key.0), now);
        let total = known.len();
        let is_meant = |it: &Accepted| it.is_admitted && before.as_ref().is_none_or(|before| it.key < *before);
        let meant: Vec<ListKey> = known.into_iter().filter(is_meant).map(|accepted| accepted.key).collect();
        let mut found = stream::iter(meant.clone().into_iter().take(LOOKED_AT))
            .map(|key| async move { Ok::<_, RecordsError>((self.found(&key, filter).await?, key)) })
            .buffered(AT_ONCE);
        let (mut messages, mut last, mut looked_at, began) = (Vec::new(), None, 0, Instant::now());
        while messages.len() < limit && (looked_at < PAGE || began.elapsed() < PATIENCE) {
            let Some((found, key)) = found.try_next().await? else { break };
            last = Some(key);
            looked_at += 1;
            messages.extend(found.and_then(|found| found.listed(filter)));
        }
        let next = last.filter(|last| meant.last() != Some(last)).map(|(accepted, id)| format!("{accepted}.{id}"));
        Ok(MessagePage { messages, next, total, per_second })
    }

    /// One message; `None` if there is no such message, or its record is no longer kept.
    ///
    /// # Errors
    /// If a table or a record cannot be read.
    pub(super) async fn message(&self, id: &MessageId) -> Result<Option<MessageRecord>, RecordsError> {
        Ok(self.read(id).await?.map(|found| found.record))
    }

    async fn read(&self, id: &MessageId) -> Result<Option<Found>, RecordsError> {
        let now = Timestamp::now();
        let Some(stored) = self.messages.get(id, now).await? else { return Ok(None) };
        let entries = self.mailboxes.entries_of(&stored).await?;
        let trail = stored.trail(&entries, now);
        let mut states = BTreeMap::new();
        for recipient in &trail.recipients {
            *states.entry(recipient.state.as_str()).or_default() += 1;
        }
        let content = entries.iter().find_map(|(_, slot)| slot.read()).map(|entry| &entry.letter.content);
        let content = content.or(stored.message.as_ref().map(|message| &message.letter.content));
        let text = content.map(|content| searched(content)).unwrap_or_default();
        let record = MessageRecord {
            app_id: stored.app.to_string(),
            tenant_code: stored.tenant,
            alert: content.and_then(|content| content.alert.clone()),
            priority: stored.priority,
            recipient_count: trail.recipients.len(),
            states,
            trail,
        };
        Ok(Some(Found { record, text }))
    }

    /// Up to `limit` users after `after`, with their devices and connections.
    ///
    /// # Errors
    /// If a table or a record cannot be read.
    pub(super) async fn users(&self, limit: usize, after: Option<String>) -> Result<UserPage, RecordsError> {
        let now = Timestamp::now();
        let mut users = Vec::new();
        let (mut last, mut last_user) = (after, None);
        while let Some(next) = self.next_user(last.as_deref()).await? {
            if users.len() == limit {
                return Ok(UserPage { users, next: last_user });
            }
            if let Ok(user) = UserKey::decode(&next) {
                let view = self.users.view(&user, now).await?;
                users.push(UserRecord::new(user, view));
                last_user = Some(next.clone());
            }
            last = Some(next);
        }
        Ok(UserPage { users, next: None })
    }

    /// A page with this user, or with none if nothing is kept of the user.
    ///
    /// # Errors
    /// If a table or a record cannot be read.
    pub(super) async fn user(&self, user: UserKey) -> Result<UserPage, RecordsError> {
        let view = self.users.view(&user, Timestamp::now()).await?;
        let is_known = view.profile.is_some() || view.tail.is_some() || !view.devices.is_empty();
        Ok(UserPage { users: is_known.then(|| UserRecord::new(user, view)).into_iter().collect(), next: None })
    }

    /// The partition after this one. Each request skips everything that the partition before holds, so a long mailbox
    /// costs nothing.
    async fn next_user(&self, after: Option<&str>) -> Result<Option<String>, RecordsError> {
        let mut request = json!({"TableName": self.users_table, "Limit": 1, "ProjectionExpression": layout::PARTITION});
        if let Some(after) = after {
            request["ExclusiveStartKey"] =
                json!({(layout::PARTITION): {"S": after}, (layout::SORT): {"S": layout::BEHIND_ALL}});
        }
        let page = self.scan(&self.users_table, request).await?;
        Ok(page["Items"][0][layout::PARTITION]["S"].as_str().map(str::to_owned))
    }

    /// A message for a list. Once all recipients have confirmed, nothing in a list can change, so it is cached: the
    /// console requests the same hundred messages every other second.
    async fn found(&self, key: &ListKey, filter: &Filter) -> Result<Option<Found>, RecordsError> {
        let is_other = locked(&self.texts).get(key).is_some_and(|text| !filter.matches_text(text));
        if is_other {
            return Ok(None);
        }
        if let Some(found) = locked(&self.confirmed).get(key) {
            return Ok(Some(found.clone()));
        }
        let Ok(id) = key.1.parse::<MessageId>() else { return Ok(None) };
        let found = self.read(&id).await?;
        if let Some(found) = found.as_ref().filter(|found| found.text.len() <= REMEMBERED_TEXT) {
            // A message that is not in a mailbox yet may have no text.
            if !found.text.is_empty() {
                remember(&self.texts, REMEMBERED_TEXTS, key, found.text.clone());
            }
            if found.is_confirmed() {
                remember(&self.confirmed, REMEMBERED, key, found.clone().shortened());
            }
        }
        Ok(found)
    }

    /// Every stored message, and whether it is to a user who matches the filter.
    async fn accepted(&self, filter: &Filter) -> Result<Vec<Accepted>, RecordsError> {
        let mut accepted = Vec::new();
        // In pages, because a scan delays the functions' requests. Recipients only if they matter, because there may be
        // a thousand.
        let mut attributes = vec![layout::PARTITION, layout::ACCEPTED];
        if filter.is_by_user() {
            attributes.extend([layout::TENANT, layout::ALIASES]);
        }
        let attributes = attributes.join(", ");
        let mut request = json!({"TableName": self.messages_table, "Limit": 500, "ProjectionExpression": attributes});
        loop {
            let page = self.scan(&self.messages_table, request.clone()).await?;
            accepted.extend(page["Items"].as_array().into_iter().flatten().filter_map(|item| {
                let at = item[layout::ACCEPTED]["N"].as_str()?.parse().ok()?;
                let key = (at, item[layout::PARTITION]["S"].as_str()?.to_owned());
                let aliases = item[layout::ALIASES]["L"].as_array().into_iter().flatten();
                let tenant = item[layout::TENANT]["S"].as_str().unwrap_or_default();
                let is_admitted = filter.admits(tenant, aliases.filter_map(|alias| alias["S"].as_str()));
                Some(Accepted { key, is_admitted })
            }));
            match page.get("LastEvaluatedKey") {
                Some(key) if !key.is_null() => request["ExclusiveStartKey"] = key.clone(),
                _ => return Ok(accepted),
            }
        }
    }

    async fn scan(&self, table: &str, request: Value) -> Result<Value, RecordsError> {
        let scanned = self.database.scan(request).await;
        scanned.map_err(|error| RecordsError::Scan { table: table.to_owned(), reason: error.to_string() })
    }
}

impl PerSecond {
    fn of(accepted: impl Iterator<Item = i64>, now: Timestamp) -> Self {
        let mut counts = vec![0; SECONDS];
        for at in accepted {
            let age = usize::try_from(now.seconds() - Timestamp(at).seconds()).ok();
            if let Some(count) = age.and_then(|age| counts.get_mut((SECONDS - 1).checked_sub(age)?)) {
                *count += 1;
            }
        }
        Self { until: now, counts }
    }
}

fn locked<T>(of_keys: &Mutex<HashMap<ListKey, T>>) -> MutexGuard<'_, HashMap<ListKey, T>> {
    of_keys.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remember<T>(of_keys: &Mutex<HashMap<ListKey, T>>, most: usize, key: &ListKey, it: T) {
    let mut known = locked(of_keys);
    if known.len() >= most {
        known.clear();
    }
    known.insert(key.clone(), it);
}

impl Found {
    /// Whether all recipients have confirmed, which is the best of all states.
    fn is_confirmed(&self) -> bool {
        self.record.states.keys().all(|state| *state == State::Confirmed.as_str())
    }

    /// The message with at most as many recipients as a list shows.
    fn shortened(mut self) -> Self {
        self.record.trail.recipients.truncate(RECIPIENTS);
        self
    }

    /// The message as a list shows it, if it matches the filter.
    fn listed(mut self, filter: &Filter) -> Option<MessageRecord> {
        let MessageRecord { trail, states, .. } = &mut self.record;
        if !filter.matches_text(&self.text) || !filter.matches_state(trail, states) {
            return None;
        }
        filter.bring_forward(trail);
        Some(self.shortened().record)
    }
}

impl UserRecord {
    fn new(user: UserKey, view: UserView) -> Self {
        let device_records = view.devices.iter().map(|device| DeviceRecord {
            id: device.id.to_string(),
            platform: device.platform,
            client_version: device.client_version.clone(),
            registered_at: device.registered,
            cursor: device.cursor,
            connections: view
                .connections
                .iter()
                .filter(|connection| view.device_of(connection) == Some(device))
                .map(|connection| ConnectionRecord {
                    id: connection.id.to_string(),
                    connected_at: connection.connected,
                    lease_until: connection.lease,
                })
                .collect(),
        });
        let devices = device_records.collect();
        let profile = view.profile.unwrap_or_default();
        let fields = [
            ("mobile", profile.mobile),
            ("email", profile.email),
            ("tag", profile.tag),
            ("locale", profile.locale),
            ("timeZone", profile.time_zone),
        ];
        Self {
            app_id: user.app.to_string(),
            tenant_code: user.tenant,
            alias: user.alias,
            profile: fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            head: view.tail.map(|entry| entry.position),
            devices,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_by_the_second_in_which_they_were_accepted() {
        let now = Timestamp(1_000_000_500);
        let rate = PerSecond::of(
            [1_000_000_400, 1_000_000_000, 999_999_999, 999_881_000, 999_880_999, 1_000_002_000].into_iter(),
            now,
        );
        assert_eq!((rate.counts[SECONDS - 1], rate.counts[SECONDS - 2], rate.counts[0]), (2, 1, 1));
        assert_eq!(rate.counts.iter().sum::<u32>(), 4, "neither what is older nor what a clock puts ahead");
    }
}
