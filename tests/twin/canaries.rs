//! What is stored, queued and logged of people and contents, in a deployment that seals and in one that does not: texts
//! that occur nowhere else are planted in a story with logs at their most verbose, and everything that the twin holds
//! is searched for them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
};

use aws_sdk_sqs::types::MessageSystemAttributeName;
use http::Method;
use serde_json::{Value, json};
use tidings_wire::{
    Platform, PushAddress, RegisterRequest, SendRequest, Timestamp,
    action::Position,
    send::{Channel, Condition, Content, FallbackStep},
    trail::State,
};

use crate::world::{World, eventually};

/// What is planted, each in a form that neither JSON nor a URL changes.
const CANARIES: [(&str, &str); 12] = [
    ("alias", "canary-alias-7f3a"),
    ("phone", "+8613912345678"),
    ("email", "canary-mail-91c2@example.com"),
    ("tag", "canary-tag-5d10"),
    ("push token", "canary-token-e8b4"),
    ("text", "canary-text-2a6f"),
    ("extra", "canary-extra-c03d"),
    ("sender", "canary-sender-b7e5"),
    ("sms", "canary-sms-64f1"),
    ("item", "canary-item-d9a8"),
    ("announcement", "canary-news-1b72"),
    ("preferences", "Pacific/Chatham"),
];

fn canary(kind: &str) -> String {
    let found = CANARIES.iter().find(|(name, _)| *name == kind);
    found.map(|(_, text)| (*text).to_owned()).unwrap()
}

/// Where a canary was found: its kind, and the place.
type Found = BTreeSet<(&'static str, String)>;

fn search(found: &mut Found, place: &str, bytes: &[u8]) {
    for (kind, text) in CANARIES {
        if bytes.windows(text.len()).any(|part| part == text.as_bytes()) {
            found.insert((kind, place.to_owned()));
        }
    }
}

/// The folder's files, at every depth.
fn files(folder: &Path, found: &mut Found) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            // What the played providers received is meant for them, and the twin's ledger is no service of AWS.
            if !name.contains("outbox") {
                search(found, &format!("file {name}"), &std::fs::read(&path).unwrap());
            }
        }
    }
}

/// A world with its data in a folder, and the lines that its functions log.
struct Watched {
    world: World,
    data: tempfile::TempDir,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    async fn start(seals: bool) -> Self {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().to_owned();
        let world = World::with(move |options| {
            options.data = Some(folder);
            // As of every world that seals: the matrix has no rows for requests to KMS yet.
            options.records = None;
            let parameters = [("SealAtRest", seals.to_string()), ("LogLevel", "trace".to_owned())];
            options.parameters.extend(parameters.map(|(name, value)| (name.to_owned(), value)));
        })
        .await;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (mut logs, kept) = (world.twin.functions().logs(), lines.clone());
        tokio::spawn(async move {
            while let Ok(line) = logs.recv().await {
                kept.lock().unwrap().push(line.text);
            }
        });
        Self { world, data, lines }
    }

    /// A message that is read, one with a chain, one that is due much later, an announcement, a closed item.
    async fn story(&self) {
        let (world, backend) = (&self.world, self.world.backend());
        let push: PushAddress =
            serde_json::from_value(json!({"channel": "fcm", "token": canary("push token")})).unwrap();
        let registration = RegisterRequest {
            platform: Platform::Android,
            mobile: Some(canary("phone")),
            email: Some(canary("email")),
            tag: Some(canary("tag")),
            push: Some(push),
            ..World::registration(&canary("alias"), "native")
        };
        backend.register(&registration).await.unwrap();
        let mut socket = world.online(&canary("alias"), "other").await;
        let preferences = json!({"timeZone": canary("preferences")});
        let url = format!("{}/v1/users/{}/preferences", world.twin.api_url(), canary("alias"));
        let key = format!("Bearer {}", world.key.expose());
        let headers = [("authorization", key.as_str())];
        let set = world.request(Method::PUT, &url, &headers, preferences.to_string()).await;
        assert!(set.status.is_success(), "{set:?}");

        let id = self.send(|_| {}).await;
        let message = socket.message().await;
        assert_eq!(message.content.alert.as_deref(), Some(canary("text").as_str()));
        socket.ack(&message).await;
        world.until(&id, State::Confirmed).await;
        let Position { epoch, seq } = message.position.unwrap();
        socket.send(json!({"action": "read", "id": id, "epoch": epoch, "seq": seq})).await;
        world.announce(&canary("announcement"), |_| {}).await;
        assert_eq!(socket.announcement().await.content.alert, Some(canary("announcement")));
        drop(socket);
        // A chain whose steps go out, and one that waits in the due table beside a message that is sent tomorrow.
        let steps = |after: &[(Channel, u64)]| {
            Some(after.iter().map(|(channel, after)| FallbackStep { channel: *channel, after: Some(*after) }).collect())
        };
        let chain = self.send(|request| {
            request.fallback = steps(&[(Channel::Fcm, 0), (Channel::Sms, 1), (Channel::Email, 1)]);
            request.condition = Some(Condition { item_open: Some(canary("item")), ..Condition::default() });
        });
        let chain = chain.await;
        let far = self.send(|request| request.fallback = steps(&[(Channel::Sms, 7_200)])).await;
        let at = Timestamp::now().plus_seconds(86_400);
        self.send(|request| request.send_at = Some(at)).await;
        eventually("the chain has ended", async || {
            let trail = world.trail(&chain).await;
            trail.recipients[0].state != State::Pending
        })
        .await;
        world.until(&far, State::Pending).await;
        let url = format!("{}/v1/items/{}", world.twin.api_url(), canary("item"));
        let closed = world.request(Method::PUT, &url, &headers, json!({"open": false}).to_string()).await;
        assert!(closed.status.is_success(), "{closed:?}");
        world.idle().await;
    }

    async fn send(&self, change: impl FnOnce(&mut SendRequest)) -> String {
        let content = |request: &mut SendRequest| {
            request.content = Content {
                alert: Some(canary("text")),
                sender: Some(canary("sender")),
                extra: Some(json!({"deep": [canary("extra")]})),
                ..Content::default()
            };
            request.sms_message = Some(canary("sms"));
            request.collapse_key = Some(canary("item"));
            change(request);
        };
        self.world.send_with(&[&canary("alias")], "", content).await
    }

    /// What the queues hold: one message on each lane and its group, received by the test in the place of the function.
    async fn queues(&self, found: &mut Found) {
        let world = &self.world;
        world.set_event_source("DeliverFunction", false).await;
        self.send(|_| {}).await;
        let queues = &world.twin.template().queues;
        let url = &queues.iter().find(|queue| queue.logical_id == "DeliverQueue").unwrap().url;
        let request = world.sqs().receive_message().queue_url(url).wait_time_seconds(5);
        let request = request.message_system_attribute_names(MessageSystemAttributeName::All).visibility_timeout(1);
        let received = request.send().await.unwrap().messages.unwrap_or_default();
        assert_eq!(received.len(), 1);
        search(found, "queue", format!("{received:?}").replace('\\', "").as_bytes());
        world.set_event_source("DeliverFunction", true).await;
        world.idle().await;
    }

    /// Everything that holds a canary.
    async fn found(&self) -> Found {
        let mut found = Found::new();
        self.queues(&mut found).await;
        for (place, item) in self.world.items().await {
            let table = place.split(' ').next().unwrap().rsplit('-').next().unwrap_or_default();
            search(&mut found, &format!("table {table}"), format!("{place} {item:?}").replace('\\', "").as_bytes());
        }
        for line in self.lines.lock().unwrap().iter() {
            search(&mut found, "log", line.as_bytes());
        }
        files(self.data.path(), &mut found);
        found
    }
}

/// The kinds that were found, with the places of each.
fn by_kind(found: &Found) -> BTreeMap<&'static str, Vec<&str>> {
    let mut kinds: BTreeMap<&'static str, Vec<&str>> = BTreeMap::new();
    for (kind, place) in found {
        kinds.entry(kind).or_default().push(place);
    }
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_anybody_is_found_where_data_is_sealed() {
    let watched = Watched::start(true).await;
    watched.story().await;
    let found = watched.found().await;
    assert!(found.is_empty(), "{:#?}", by_kind(&found));
    let logs: Vec<Value> =
        watched.lines.lock().unwrap().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(logs.iter().any(|line| line["user"].is_string()), "users are logged by pseudonyms");
    watched.world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_search_finds_everything_where_data_is_in_clear() {
    let watched = Watched::start(false).await;
    watched.story().await;
    let found = watched.found().await;
    let kinds = by_kind(&found);
    for (kind, _) in CANARIES {
        assert!(kinds.contains_key(kind), "{kind} was not found: {kinds:#?}");
    }
    assert!(found.iter().any(|(_, place)| place == "queue"), "{kinds:#?}");
    watched.world.end().await;
}
