//! One cell of the matrix: its app, the fault that strikes it, and the helpers of its scenario.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_sdk_dynamodb::types::AttributeValue;
use http::Method;
use sam_twin::{
    faults::{Fault, Rule, RuleId},
    outbox,
};
use serde::Serialize;
use serde_json::{Value, json};
use tidings_client::Identity;
use tidings_crypto::{
    app_key::AppKey,
    jwk::Jwk,
    keys::{self, KeyId, RootKeys},
    link,
};
use tidings_domain::{
    AppId, Connection, ConnectionId, Delivery, Device, DeviceId, Entry, Message, MessageId, Profile, PushRegistration,
    Timestamp, UserKey, UserView,
    chain::Chains,
    delivery::{Draft, Job},
    mailbox::Slot,
    message,
};
use tidings_store::{Announcements, Appended, Connected, Due, Items, Messages, Stored};
use tidings_wire::{
    Platform, PushAddress, RegisterAnswer, SendRequest,
    device::DeviceKeys,
    send::{Channel, Content},
};

use super::call::Call;
use crate::world::{Answer, Stores, World};

/// Time limit of every wait in a cell.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time after which a failed queue message is received again.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The age at which root keys are read again.
const ROOT_KEYS_AGE: Duration = Duration::from_secs(1);

/// The twin of a lane, with the clients that its cells use.
#[derive(Clone)]
pub(super) struct Lane {
    pub(super) world: Arc<World>,
    pub(super) stores: Stores,
    pub(super) messages: Messages,
    pub(super) items: Items,
    pub(super) announcements: Announcements,
    pub(super) due: Due,
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    roots: Arc<Roots>,
}

/// The root keys of the deployment.
struct Roots {
    content: RootKeys,
    tokens: RootKeys,
    links: RootKeys,
}

impl Lane {
    pub(super) async fn start() -> Self {
        let world = World::with(|options| {
            options.event_sources.retry_after = Some(RETRY_AFTER);
            options.parameters.insert("RootKeysRefreshSeconds".to_owned(), ROOT_KEYS_AGE.as_secs().to_string());
            // Apart from those of other tests: what the rows strike is held against what all tests have asked.
            options.records = options.records.take().map(|folder| folder.join("matrix"));
        });
        let world = world.await;
        // The errors that a fault causes for a record, for a request over HTTP, and for an action or a tick.
        for text in [r#""record failed""#, r#""request failed""#, "invocation failed: ", "root keys were not refreshed"]
        {
            world.tolerate_errors(text);
        }
        let world = Arc::new(world);
        // Those of a process that is started under the fault.
        for text in ["function cannot start", "cannot be read from the secret"] {
            world.tolerate_errors(text);
        }
        let roots = Roots {
            content: world.root_keys("TIDINGS_CONTENT_ROOT_KEYS").await,
            tokens: world.root_keys("TIDINGS_TOKEN_ROOT_KEYS").await,
            links: world.root_keys("TIDINGS_LINK_ROOT_KEYS").await,
        };
        let due = world.environment("TimerFunction")["TIDINGS_DUE_TABLE"].clone();
        Self {
            stores: world.stores(),
            messages: Messages::new(world.dynamodb(), world.vault(), world.table("TIDINGS_MESSAGES_TABLE")),
            items: Items::new(world.dynamodb(), world.vault(), world.table("TIDINGS_DIRECTORY_TABLE")),
            announcements: Announcements::new(world.dynamodb(), world.vault(), world.table("TIDINGS_DIRECTORY_TABLE")),
            due: Due::new(world.dynamodb(), world.vault(), due),
            dynamodb: world.dynamodb(),
            sqs: world.sqs(),
            roots: Arc::new(roots),
            world,
        }
    }

    pub(super) async fn end(self) {
        let Ok(world) = Arc::try_unwrap(self.world) else { panic!("the twin is still in use") };
        world.end().await;
    }
}

/// One cell.
pub(super) struct Cell {
    pub(super) lane: Lane,
    pub(super) call: &'static Call,
    pub(super) fault: Fault,
    /// How often the fault strikes.
    pub(super) times: u32,
    key: AppKey,
    number: usize,
    rule: Mutex<Option<RuleId>>,
}

impl Cell {
    pub(super) async fn new(lane: &Lane, call: &'static Call, fault: Fault, times: u32, number: usize) -> Self {
        let key = AppKey::generate(&format!("m{number:05}"), tidings_crypto::random::bytes().unwrap()).unwrap();
        lane.world.create_app(&key, Vec::new()).await;
        Self { lane: lane.clone(), call, fault, times, key, number, rule: Mutex::new(None) }
    }

    pub(super) fn app(&self) -> AppId {
        self.key.app_id().parse().unwrap()
    }

    pub(super) fn user(&self) -> UserKey {
        self.named("alice")
    }

    /// The previous user of the device.
    pub(super) fn other(&self) -> UserKey {
        self.named("bob")
    }

    fn named(&self, alias: &str) -> UserKey {
        UserKey { app: self.app(), tenant: String::new(), alias: alias.to_owned() }
    }

    pub(super) fn device_id(&self) -> DeviceId {
        DeviceId::derive(&self.app(), "token")
    }

    /// The message that is sent with this idempotency key.
    pub(super) fn message_id(&self, key: &str) -> MessageId {
        World::keyed(&self.app(), key)
    }

    /// The announcement that is made with the idempotency key `k`.
    pub(super) fn announcement_id(&self) -> MessageId {
        self.message_id("announcement\nk")
    }

    fn mobile(&self) -> String {
        format!("+86138{:08}", self.number)
    }

    /// The device's token at Apple.
    pub(super) fn token(&self) -> String {
        format!("{:064x}", self.number)
    }

    fn email(&self) -> String {
        format!("m{:05}@example.com", self.number)
    }

    // The fault.

    /// Arms the fault: it strikes from here on.
    pub(super) async fn arm(&self) {
        if self.call.contains.iter().any(|text| text.ends_with("RootKeys")) {
            // From here on the first use of the keys reads them again.
            tokio::time::sleep(ROOT_KEYS_AGE).await;
        }
        let faults = self.lane.world.twin.faults();
        let mut connection = String::new();
        if self.call.contains.contains(&"{connection}") {
            connection = self.view().await.connections[0].id.to_string();
        }
        let fill = |text: &str| {
            text.replace("{app}", self.app().as_str())
                .replace("{alice}", &self.user().encode())
                .replace("{bob}", &self.other().encode())
                .replace("{device}", self.device_id().as_str())
                .replace("{message}", self.message_id("k").as_str())
                .replace("{announcement}", self.announcement_id().as_str())
                .replace("{connection}", &connection)
        };
        let rule = |fault, contains: &[&str]| {
            let rule = Rule::new(fault).function(self.call.function());
            contains.iter().fold(rule, |rule, text| rule.contains(fill(text)))
        };
        if let Some(before) = &self.call.before {
            faults.add(rule(before.fault, before.contains).operation(before.operation).times(before.times));
        }
        let struck = rule(self.fault, self.call.contains).operation(self.call.operation());
        *self.rule.lock().unwrap() = Some(faults.add(struck.times(self.times).skip(self.call.skip)));
    }

    pub(super) fn hits(&self) -> u32 {
        self.rule.lock().unwrap().map_or(0, |rule| self.lane.world.twin.faults().hits(rule))
    }

    /// Whether the fault has struck as often as it should.
    pub(super) fn is_over(&self) -> bool {
        self.hits() == self.times
    }

    /// Waits until the fault has struck, and returns at once: the SDK tries again within milliseconds.
    pub(super) async fn struck(&self) {
        let spin = async {
            while self.hits() == 0 {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, spin).await.is_ok(), "the fault has met no request");
    }

    /// Polls until the condition holds.
    pub(super) async fn until(&self, what: &str, mut is: impl AsyncFnMut() -> bool) {
        let started = tokio::time::Instant::now();
        let mut pause = Duration::from_millis(5);
        while !is().await {
            assert!(started.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what} (hits: {})", self.hits());
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(80));
        }
    }

    // As a backend.

    /// Sends a request as a backend does: repeats it until the answer is not a server error.
    pub(super) async fn ask(&self, method: Method, path: &str, key: Option<&str>, body: Option<Value>) -> Answer {
        let url = format!("{}{path}", self.lane.world.twin.api_url());
        let authorization = format!("Bearer {}", self.key.expose());
        let mut headers = vec![("authorization", authorization.as_str())];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        for _ in 0..10 {
            let answer = self.lane.world.request(method.clone(), &url, &headers, body.clone()).await;
            if !answer.status.is_server_error() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{method} {path} fails for good");
    }

    /// The link in an email to alice.
    pub(super) fn link(&self) -> String {
        let claims = json!({"user": self.user(), "channel": "email", "category": "news"});
        link::sign(&self.lane.roots.links, self.app().as_str(), claims.to_string().as_bytes())
    }

    /// Sends a message to alice under the key `k`, until it is accepted.
    pub(super) async fn send(&self, more: Value) -> Answer {
        self.send_as("k", more).await
    }

    pub(super) async fn send_as(&self, key: &str, more: Value) -> Answer {
        let mut body = json!({"audiences": ["alice"], "alert": key});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.ask(Method::POST, "/v1/messages", Some(key), Some(body)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.json()["requestId"], self.message_id(key).as_str());
        answer
    }

    // Direct writes, without the functions.

    /// Writes the records of a registration, and returns its answer.
    pub(super) async fn register(&self, user: &UserKey) -> Identity {
        self.register_with(user, None).await
    }

    /// The same for a device with an APNs address.
    pub(super) async fn register_for_push(&self) -> Identity {
        let address = PushAddress::Apns { token: self.token() };
        self.register_with(&self.user(), Some(PushRegistration { address, key_version: 1 })).await
    }

    async fn register_with(&self, user: &UserKey, push: Option<PushRegistration>) -> Identity {
        // An hour ago: an address that a provider reports as dead since then is this one.
        let registered = Timestamp(Timestamp::now().0 - 3_600_000);
        // In daily use, but not used today.
        let used = Timestamp(Timestamp::now().0 - 2 * 86_400_000);
        let device = Device { push: push.map(Into::into), registered, used, ..self.device(user) };
        let profile = Profile { mobile: Some(self.mobile()), email: Some(self.email()), ..Profile::default() };
        assert!(self.lane.stores.devices.register(&device, &profile, None, Timestamp::now()).await.unwrap());
        let id = KeyId::content(device.id.as_str(), 1, 1);
        let Roots { content, tokens, .. } = &*self.lane.roots;
        let keys = keys::DeviceKeys::derive(content, tokens, self.app().as_str(), &id).unwrap();
        let keys = DeviceKeys { content: Jwk::of_content(&id, &keys.content), token: Jwk::of_token(&id, &keys.token) };
        Identity::from_answer(&RegisterAnswer { id: device.id.to_string(), keys, evicted: Vec::new() }).unwrap()
    }

    fn device(&self, user: &UserKey) -> Device {
        Device {
            id: self.device_id(),
            user: user.clone(),
            generation: 1,
            platform: Platform::Web.into(),
            client_version: None,
            registered: Timestamp::now(),
            used: Timestamp::now(),
            cursor: None,
            push: None,
        }
    }

    /// A connection that the service believes in and the gateway does not know, a minute old.
    pub(super) async fn believe(&self, user: &UserKey) -> ConnectionId {
        self.believe_since(user, Timestamp(Timestamp::now().0 - 60_000)).await
    }

    /// The same, opened at this time.
    pub(super) async fn believe_since(&self, user: &UserKey, connected: Timestamp) -> ConnectionId {
        let now = Timestamp::now();
        let connection = Connection {
            id: format!("Believed{}=", self.number).parse().unwrap(),
            device: self.device_id(),
            generation: 1,
            key_version: 1,
            platform: Platform::Web.into(),
            connected,
            lease: now.plus_seconds(600),
        };
        assert_eq!(
            self.lane.stores.connections.connect(user, &connection, "jti", now).await.unwrap(),
            Connected::Recorded
        );
        connection.id
    }

    /// Records `count` connections of a user's device.
    pub(super) async fn believe_many(&self, user: &UserKey, count: usize) {
        let users = self.table("TIDINGS_USERS_TABLE");
        let id = self.believe(user).await;
        let item = self.lane.world.item(&users, &user.encode(), Some(&format!("x#{id}"))).await;
        let copies = (1..count).map(|n| {
            let mut item = item.clone();
            item.insert("sk".to_owned(), AttributeValue::S(format!("x#{id}{n}")));
            item.insert("connection_id".to_owned(), AttributeValue::S(format!("{id}{n}")));
            item
        });
        self.lane.world.put_all(&users, copies.collect()).await;
    }

    /// Registers `count` devices of alice, beside the cell's own; returns the least recently used one.
    pub(super) async fn registered_before(&self, count: usize) -> DeviceId {
        self.lane.world.register_many(&self.user(), count).await
    }

    pub(super) fn table(&self, variable: &str) -> String {
        self.lane.world.table(variable)
    }

    /// A message to alice as it was accepted at a moment, under this key.
    pub(super) fn accepted(&self, key: &str, at: Timestamp, change: impl FnOnce(&mut SendRequest)) -> Message {
        let mut request = SendRequest {
            audiences: vec!["alice".to_owned()],
            content: Content { alert: Some(key.to_owned()), ..Content::default() },
            ..SendRequest::default()
        };
        change(&mut request);
        message::accept(request, self.app(), &Chains::default(), &BTreeSet::new(), self.message_id(key), at).unwrap()
    }

    /// Stores a message to alice up to the point at which `send` queues it.
    pub(super) async fn record(&self, message: &Message, body_hash: Option<String>) -> Delivery {
        let aliases = vec!["alice".to_owned()];
        let stored = Stored::new(message, aliases.clone(), body_hash);
        assert!(self.lane.messages.store(&stored).await.unwrap().is_none());
        message.deliveries(&aliases).next().unwrap()
    }

    /// The entry that a delivery would append.
    pub(super) async fn planned(&self, delivery: &Delivery) -> Entry {
        *Draft::new(&delivery.letter, &self.view().await, Timestamp::now()).entry
    }

    /// Appends a delivery's entry to the mailbox, and does nothing else.
    pub(super) async fn append(&self, delivery: &Delivery, change: impl FnOnce(&mut Entry)) -> Entry {
        let mut entry = self.planned(delivery).await;
        change(&mut entry);
        assert_eq!(self.lane.stores.mailboxes.append(&delivery.user, &entry).await.unwrap(), Appended::Stored);
        entry
    }

    /// Puts a message into alice's mailbox.
    pub(super) async fn seed(&self, key: &str, change: impl FnOnce(&mut SendRequest)) -> (Delivery, Entry) {
        let message = self.accepted(key, Timestamp::now(), change);
        let delivery = self.record(&message, None).await;
        let entry = self.append(&delivery, |_| {}).await;
        (delivery, entry)
    }

    /// Puts a body on a queue, as a function would.
    pub(super) async fn put(&self, function: &str, variable: &str, body: &impl Serialize) {
        let url = &self.lane.world.environment(function)[variable];
        let body = serde_json::to_string(body).unwrap();
        let mut request = self.lane.sqs.send_message().queue_url(url).message_body(body);
        if url.ends_with(".fifo") {
            let once = tidings_crypto::random::id().unwrap();
            request = request.message_group_id(self.user().digest()).message_deduplication_id(once);
        }
        request.send().await.unwrap();
    }

    pub(super) async fn put_job(&self, job: &Job) {
        self.put("SendFunction", "TIDINGS_DELIVER_QUEUE_URL", job).await;
    }

    pub(super) async fn put_later(&self, timer: &tidings_domain::Timer) {
        self.put("TimerFunction", "TIDINGS_LATER_QUEUE_URL", timer).await;
    }

    pub(super) async fn put_step(&self, step: &tidings_domain::chain::StepDue) {
        self.put("FallbackFunction", "TIDINGS_FALLBACK_QUEUE_URL", step).await;
    }

    /// Overwrites one attribute of an item directly.
    pub(super) async fn overwrite(&self, table: &str, key: [(&str, &str); 2], set: &str, value: i64) {
        let key = key.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())));
        let update = self.lane.dynamodb.update_item().table_name(table).set_key(Some(key.into()));
        let value = AttributeValue::N(value.to_string());
        let update =
            update.update_expression(format!("SET {set} = :value")).expression_attribute_values(":value", value);
        update.send().await.unwrap();
    }

    /// An attribute of one item.
    pub(super) async fn attribute(&self, table: &str, key: [(&str, &str); 2], name: &str) -> Option<AttributeValue> {
        let key = key.map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())));
        let got = self.lane.dynamodb.get_item().table_name(table).set_key(Some(key.into())).send().await.unwrap();
        got.item.and_then(|item| item.get(name).cloned())
    }

    // The final state.

    pub(super) async fn view(&self) -> UserView {
        self.lane.stores.users.view(&self.user(), Timestamp::now()).await.unwrap()
    }

    /// Alice's mailbox, which is dense.
    pub(super) async fn entries(&self) -> Vec<Entry> {
        let (entries, more) =
            self.lane.stores.mailboxes.after(&self.user(), None, None, 100, Timestamp::now()).await.unwrap();
        assert!(!more);
        let entries: Vec<Entry> = entries.into_iter().filter_map(Slot::into_read).collect();
        for (entry, seq) in entries.iter().zip(1..) {
            assert_eq!((entry.position.epoch, entry.position.seq), (entries[0].position.epoch, seq), "dense");
        }
        entries
    }

    /// The message under a key, which is in the mailbox once or not yet.
    pub(super) async fn entry(&self, key: &str) -> Option<Entry> {
        let id = self.message_id(key);
        let mut entries = self.entries().await.into_iter().filter(|entry| entry.letter.id == id);
        let entry = entries.next();
        assert_eq!(entries.count(), 0, "{key} is in the mailbox twice");
        entry
    }

    /// The message under a key, after it is in the mailbox and the condition holds for it.
    pub(super) async fn settled(&self, key: &str, mut is: impl FnMut(&Entry) -> bool) -> Entry {
        let mut found = None;
        self.until(&format!("{key} is settled"), async || {
            found = self.entry(key).await.filter(|entry| is(entry));
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Number of messages that went to alice by this channel.
    pub(super) fn sent(&self, channel: Channel) -> usize {
        let (mobile, email, token, id) = (self.mobile(), self.email(), self.token(), self.message_id("k"));
        let kept_as = outbox::Channel::new(channel.as_str());
        // Webhooks of all cells go to one server.
        let names_it = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains(id.as_str()));
        let items = self.lane.world.twin.outbox().after(0);
        items
            .iter()
            .filter(|item| {
                let is_hers = [&mobile, &email, &token].iter().any(|to| item.to == [to.as_str()]);
                item.channel == kept_as && (is_hers || channel == Channel::Webhook && names_it(&item.text))
            })
            .count()
    }

    /// Number of messages on the `later` queue that are not due yet.
    pub(super) fn delayed(&self) -> usize {
        let name = self.later_queue();
        let counts = self.lane.world.twin.services().sqs.counts();
        counts.iter().find(|queue| queue.name == name).unwrap().counts.delayed
    }

    /// Removes the messages that earlier cells have left on the `later` queue.
    pub(super) async fn purge_later(&self) {
        self.lane.world.twin.services().sqs.purge(&self.later_queue()).await.unwrap();
    }

    fn later_queue(&self) -> String {
        let url = &self.lane.world.environment("TimerFunction")["TIDINGS_LATER_QUEUE_URL"];
        url.rsplit('/').next().unwrap().to_owned()
    }

    /// Whether only the SDK noticed the fault: it retries such a request, and the fault strikes fewer times than it
    /// tries.
    pub(super) fn is_hidden(&self) -> bool {
        self.times < self.call.attempts(self.fault)
    }

    /// Waits until every queue is empty, except for delayed messages.
    pub(super) async fn idle(&self) {
        let sqs = &self.lane.world.twin.services().sqs;
        self.until("the queues are worked off", async || {
            let counts = sqs.counts();
            let mut live = counts.iter().filter(|queue| !queue.name.contains("DeadLetters"));
            live.all(|queue| queue.counts.visible + queue.counts.in_flight == 0)
        })
        .await;
    }

    /// Waits until a delayed message is on the `later` queue, and the work that led there is done.
    pub(super) async fn waits(&self) {
        self.until("a timer is set", async || self.delayed() > 0 && self.hits() > 0).await;
        self.idle().await;
    }

    /// Waits until the due table has a timer of the message under `k`, once, due at about this time.
    pub(super) async fn kept(&self, at: Timestamp) {
        let (id, minute) = (self.message_id("k"), tidings_store::minute_of(at));
        self.until("the timer is kept", async || {
            let mut kept = 0;
            for minute in minute - 1..=minute + 1 {
                let timers = self.lane.due.minute(minute).await.unwrap().timers;
                kept += timers.iter().filter(|kept| kept.body.contains(id.as_str())).count();
            }
            // Two workers may each have set a timer, a moment apart: the second finds the work done when it is due.
            assert!(kept <= 2, "{kept} timers");
            kept > 0 && self.hits() > 0
        })
        .await;
    }

    /// Checks that no message was given up, and that the fault has struck.
    pub(super) fn check(&self) {
        let counts = self.lane.world.twin.services().sqs.counts();
        let dead: Vec<_> = counts.iter().filter(|queue| queue.name.contains("DeadLetters")).collect();
        assert_eq!(dead.len(), 5, "{counts:?}");
        assert!(dead.iter().all(|queue| queue.counts.visible == 0), "given up: {dead:?}");
        assert!(self.hits() > 0, "the fault has met no request: the row is dead");
    }
}
