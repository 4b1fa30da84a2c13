//! A running twin with one app, and the helpers of all tests.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    time::Duration,
};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{MessageSystemAttributeNameForSends, MessageSystemAttributeValue};
use aws_smithy_http_client::Builder;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::Method;
use sam_twin::{
    client::{self, Client},
    functions::Source,
    gateway::websocket::SocketLimits,
    records,
    stack::{Twin, TwinOptions},
};
use serde_json::{Value, json};
use tidings::{
    additions::Additions,
    providers::{PlayedProviders, ProvidersOptions},
};
use tidings_client::{Backend, Identity};
use tidings_crypto::{app_key::AppKey, keys::RootKeys};
use tidings_domain::{
    AppId, Connection, ConnectionId, Device, DeviceId, IdSecret, Message as Accepted, MessageId, Profile, Seal, Timer,
    Timestamp, UserKey,
    chain::Chains,
    delivery::{Draft, Job},
    mailbox::Tail,
    message,
};
use tidings_store::{App, Appended, Apps, Claims, Connections, Devices, Mailboxes, Messages, Users, Vault};
use tidings_wire::{
    AnnounceAnswer, AnnounceRequest, Frame, MessageFrame, Platform, RegisterRequest, SendRequest, Trail,
    action::Position,
    frame::{Announced, AnnouncementFrame, Pong, Synced},
    send::Content,
    trail::{Event, RecipientTrail, State},
};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

use crate::ending::Ending;

/// Time limit of every wait in a test.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The service's functions, by the names of their binaries: the folder is the list.
pub(crate) fn functions() -> Vec<String> {
    let folder = std::fs::read_dir(repository().join("functions")).unwrap();
    let folders = folder.map(|entry| entry.unwrap()).filter(|entry| entry.path().join("Cargo.toml").is_file());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Names that a URL has to escape, and some that change if they are not escaped, or are decoded twice. None has a `/`
/// or a `?`: API Gateway splits or ends a path at them even if they are escaped.
pub(crate) const NAMES: [&str; 12] =
    ["order#4711", "order", "a&b=c", "a", "x%41", "xA", "50%", "50", "a b", "é|ü", "+", "a+b"];

/// The secret from which the ids of keyed messages are derived in every app.
const ID_SECRET: [u8; 32] = [7; 32];

/// The app that every world has.
pub(crate) const APP: &str = "demo";

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Runs the command line here: returns whether it succeeded, and its output.
pub(crate) async fn tidings(arguments: &[&str]) -> (bool, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(arguments)
        .current_dir(repository())
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

/// A twin and its app.
pub(crate) struct World {
    pub(crate) twin: Twin,
    pub(crate) additions: Additions,
    pub(crate) key: AppKey,
    http: Client,
    sdk: aws_config::SdkConfig,
    ending: Ending,
    _template: Option<tempfile::NamedTempFile>,
}

/// The answer to an HTTP request.
#[derive(Debug)]
pub(crate) struct Answer(client::Answer);

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }
}

impl std::ops::Deref for Answer {
    type Target = client::Answer;

    fn deref(&self) -> &client::Answer {
        &self.0
    }
}

/// The stores over the users' partitions and the look-ups.
#[derive(Clone, Debug)]
pub(crate) struct Stores {
    pub(crate) users: Users,
    pub(crate) devices: Devices,
    pub(crate) connections: Connections,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) claims: Claims,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts a deployment that seals at rest.
    pub(crate) async fn sealed() -> Self {
        Self::with(|options| {
            options.parameters.insert("SealAtRest".to_owned(), "true".to_owned());
            // The matrix has no rows for requests to KMS yet.
            options.records = None;
        })
        .await
    }

    /// Starts with other limits of the WebSocket API.
    pub(crate) async fn limited(limits: SocketLimits) -> Self {
        Self::with(|options| options.socket_limits = limits).await
    }

    /// Starts with other options of the twin.
    pub(crate) async fn with(change: impl FnOnce(&mut TwinOptions)) -> Self {
        Self::of(None, change).await
    }

    /// Starts with a changed template: every pair is a text of it and its replacement.
    pub(crate) async fn changed(changes: &[(&str, &str)]) -> Self {
        let mut text = std::fs::read_to_string(repository().join("template.yaml")).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "the template has no {from:?}");
            text = text.replace(from, to);
        }
        let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        Self::of(Some(file), |_| {}).await
    }

    /// The push providers that the twin simulates.
    pub(crate) fn providers(&self) -> &PlayedProviders {
        &self.additions.providers
    }

    async fn of(template: Option<tempfile::NamedTempFile>, change: impl FnOnce(&mut TwinOptions)) -> Self {
        let program = Source::Program { path: env!("CARGO_BIN_EXE_tidings").into(), args: Vec::new() };
        let path = template.as_ref().map_or_else(|| repository().join("template.yaml"), |file| file.path().to_owned());
        let mut options = TwinOptions::new(path, program);
        options.records = records::folder();
        if std::env::var("SEAL").is_ok_and(|wanted| wanted == "yes") {
            options.parameters.insert("SealAtRest".to_owned(), "true".to_owned());
        }
        change(&mut options);
        let additions = Additions::to(&mut options, ProvidersOptions::default());
        let twin = Twin::start(options).await.unwrap();
        let ending = Ending::of(twin.functions());
        let sdk = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .http_client(Builder::new().build_http())
            .region(aws_config::Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(twin.aws_url())
            .load()
            .await;
        let key = AppKey::generate(APP, tidings_crypto::random::bytes().unwrap()).unwrap();
        // Longer than every wait: those tests have deadlines.
        let http = Client::new(2 * DEADLINE);
        let world = Self { twin, additions, key, http, sdk, ending, _template: template };
        world.create_app(&world.key, Vec::new()).await;
        world
    }

    pub(crate) async fn create_app(&self, key: &AppKey, origins: Vec<String>) {
        let id: AppId = key.app_id().parse().unwrap();
        let app = App::new(id, "Test".to_owned(), key.hash(), IdSecret::new(ID_SECRET), origins, Timestamp::now());
        let table = self.twin.outputs()["DirectoryTableName"].clone();
        assert!(Apps::new(self.dynamodb(), self.vault(), table).create(&app).await.unwrap());
    }

    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.sdk)
    }

    /// The keyrings of apps, if the deployment seals.
    pub(crate) fn vault(&self) -> Vault {
        let environment = self.environment("SendFunction");
        match environment.get("TIDINGS_SEAL_KEY").filter(|key| !key.is_empty()) {
            Some(key) => {
                let directory = environment["TIDINGS_DIRECTORY_TABLE"].clone();
                Vault::new(self.dynamodb(), directory, tidings_store::kms(&self.sdk), key.clone())
            }
            None => Vault::clear(),
        }
    }

    /// The form of the app's data.
    pub(crate) async fn seal(&self) -> Seal {
        self.vault().of(&APP.parse().unwrap()).await.unwrap()
    }

    /// The partition key of a user.
    pub(crate) async fn partition(&self, user: &UserKey) -> String {
        self.vault().of(&user.app).await.unwrap().user(user)
    }

    pub(crate) fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.sdk)
    }

    /// The name of a table, by its logical id.
    pub(crate) fn table(&self, logical: &str) -> String {
        self.environment("SyncFunction")
            .into_iter()
            .chain(self.environment("SendFunction"))
            .find(|(name, _)| name == logical)
            .unwrap_or_else(|| panic!("no {logical}"))
            .1
    }

    /// The environment of a function, as the template gives it.
    pub(crate) fn environment(&self, function: &str) -> BTreeMap<String, String> {
        self.twin.template().functions[function].environment.clone()
    }

    /// The root keys in the secret that this variable of the functions names.
    pub(crate) async fn root_keys(&self, variable: &str) -> RootKeys {
        RootKeys::parse(&self.root_key_texts(variable).await).unwrap()
    }

    /// The text of that secret.
    pub(crate) async fn root_key_texts(&self, variable: &str) -> String {
        let get = aws_sdk_secretsmanager::Client::new(&self.sdk).get_secret_value();
        let answer = get.secret_id(self.root_keys_secret(variable)).send().await.unwrap();
        answer.secret_string.unwrap()
    }

    /// Replaces the text of that secret.
    pub(crate) async fn put_root_keys(&self, variable: &str, text: &str) {
        let put = aws_sdk_secretsmanager::Client::new(&self.sdk).put_secret_value();
        put.secret_id(self.root_keys_secret(variable)).secret_string(text).send().await.unwrap();
    }

    fn root_keys_secret(&self, variable: &str) -> String {
        let functions = self.twin.template().functions.values();
        functions.filter_map(|function| function.environment.get(variable)).next().unwrap().clone()
    }

    /// The stores over the users' partitions and the look-ups.
    pub(crate) fn stores(&self) -> Stores {
        let (client, table, lookups) =
            (self.dynamodb(), self.table("TIDINGS_USERS_TABLE"), self.table("TIDINGS_LOOKUPS_TABLE"));
        let vault = self.vault();
        let mailboxes = Mailboxes::new(client.clone(), vault.clone(), table.clone());
        Stores {
            users: Users::new(client.clone(), vault.clone(), table.clone()),
            devices: Devices::new(client.clone(), vault.clone(), table.clone(), lookups.clone()),
            connections: Connections::new(client, vault, table, lookups),
            claims: Claims::new(mailboxes.clone()),
            mailboxes,
        }
    }

    pub(crate) fn messages(&self) -> Messages {
        Messages::new(self.dynamodb(), self.vault(), self.table("TIDINGS_MESSAGES_TABLE"))
    }

    pub(crate) fn user(alias: &str) -> UserKey {
        UserKey { app: APP.parse().unwrap(), tenant: String::new(), alias: alias.to_owned() }
    }

    /// Number of stored items in every table, after all queues are empty.
    pub(crate) async fn stored(&self) -> BTreeMap<String, usize> {
        eventually("the queues are empty", async || {
            count_messages(&self.control(Method::GET, "/_twin/queues", None).await) == 0
        })
        .await;
        let client = self.dynamodb();
        let mut stored = BTreeMap::new();
        for table in &self.twin.template().tables {
            let page = client.scan().table_name(&table.name).send().await.unwrap();
            assert!(page.last_evaluated_key.is_none(), "a test world fits one page");
            stored.insert(table.name.clone(), page.items().len());
        }
        stored
    }

    /// Every stored item with its attributes.
    pub(crate) async fn items(&self) -> HashMap<String, HashMap<String, AttributeValue>> {
        let client = self.dynamodb();
        let mut items = HashMap::new();
        for table in &self.twin.template().tables {
            let page = client.scan().table_name(&table.name).send().await.unwrap();
            assert!(page.last_evaluated_key.is_none(), "a test world fits one page");
            for item in page.items.unwrap_or_default() {
                items.insert(format!("{} {:?} {:?}", table.name, item.get("pk"), item.get("sk")), item);
            }
        }
        items
    }

    /// The messages of a queue, by its logical id: visible, in flight and delayed.
    pub(crate) async fn waiting(&self, logical: &str) -> [u64; 3] {
        let name = &self.twin.template().queues.iter().find(|queue| queue.logical_id == logical).unwrap().name;
        let queues = self.control(Method::GET, "/_twin/queues", None).await;
        let queue = queues.as_array().unwrap().iter().find(|queue| queue["name"] == name.as_str()).unwrap();
        ["visible", "inFlight", "delayed"].map(|state| queue[state].as_u64().unwrap())
    }

    /// Waits until nothing is being processed, apart from delayed messages.
    pub(crate) async fn idle(&self) {
        let is_quiet = async || {
            let queues = self.control(Method::GET, "/_twin/queues", None).await;
            queues.as_array().unwrap().iter().all(|queue| queue["visible"] == 0 && queue["inFlight"] == 0)
        };
        // Twice: queues are counted one after the other, and a message that moves from one to another meanwhile is
        // missed once.
        eventually("nothing is being worked on", async || is_quiet().await && is_quiet().await).await;
    }

    /// Puts a job on a queue, by its logical id, as one that the queue has not seen yet.
    pub(crate) async fn enqueue(&self, logical: &str, job: &Job, deduplication_id: &str) {
        let url = &self.twin.template().queues.iter().find(|queue| queue.logical_id == logical).unwrap().url;
        let seal = self.vault().of(&job.user().app).await.unwrap();
        let request = self.sqs().send_message().queue_url(url).message_body(seal.body(job).unwrap());
        let request = request.message_group_id(seal.pseudonym(job.user())).message_deduplication_id(deduplication_id);
        request.send().await.unwrap();
    }

    /// Puts a timer on the `later` queue, to be received when it is due.
    pub(crate) async fn set_timer(&self, timer: &Timer) {
        self.set_traced_timer(timer, &self.twin.ledger().begin("timer").header()).await;
    }

    /// The same as part of a trace.
    pub(crate) async fn set_traced_timer(&self, timer: &Timer, trace: &str) {
        let url = &self.environment("TimerFunction")["TIDINGS_LATER_QUEUE_URL"];
        let delay = i32::try_from(Timestamp::now().seconds_until(timer.due())).unwrap();
        let trace = MessageSystemAttributeValue::builder().data_type("String").string_value(trace).build().unwrap();
        let seal = self.seal().await;
        let request = self.sqs().send_message().queue_url(url).message_body(seal.body(timer).unwrap());
        let header = MessageSystemAttributeNameForSends::AwsTraceHeader;
        request.delay_seconds(delay).message_system_attributes(header, trace).send().await.unwrap();
    }

    /// The requests that providers received.
    pub(crate) async fn outbox(&self) -> Vec<Value> {
        self.control(Method::GET, "/_twin/outbox", None).await.as_array().unwrap().clone()
    }

    pub(crate) async fn control(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}{path}", self.twin.aws_url());
        let answer = self.request(method, &url, &[], body.map(|body| body.to_string()).unwrap_or_default()).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
        answer.json()
    }

    pub(crate) async fn request(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        Answer(self.http.request(method, url, &headers, body).await.unwrap())
    }

    /// Sends a raw request to the HTTP API with this token.
    pub(crate) async fn ask(&self, method: Method, path: &str, token: &str, body: &Value) -> Answer {
        let url = format!("{}{path}", self.twin.api_url());
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.request(method, &url, &[("authorization", &format!("Bearer {token}"))], body).await
    }

    pub(crate) fn backend(&self) -> Backend {
        Backend::new(&self.twin.api_url(), self.key.expose()).unwrap()
    }

    pub(crate) fn registration(alias: &str, token: &str) -> RegisterRequest {
        RegisterRequest {
            alias: alias.to_owned(),
            app_id: APP.to_owned(),
            platform: Platform::Web,
            native_token: token.to_owned(),
            mobile: None,
            email: None,
            tag: None,
            tenant_code: None,
            client_version: None,
            locale: None,
            time_zone: None,
            push: None,
        }
    }

    /// Registers a user with a phone number and an email address, and no open connection.
    pub(crate) async fn reachable(&self, alias: &str) {
        let person = Self::registration(alias, alias);
        let (mobile, email) = (Some("+8613800138000".to_owned()), Some("alice@example.com".to_owned()));
        self.backend().register(&RegisterRequest { mobile, email, ..person }).await.unwrap();
    }

    /// Creates another app; returns its backend.
    pub(crate) async fn other_backend(&self) -> Backend {
        let key = AppKey::generate("other", tidings_crypto::random::bytes().unwrap()).unwrap();
        self.create_app(&key, Vec::new()).await;
        Backend::new(&self.twin.api_url(), key.expose()).unwrap()
    }

    /// Registers a device of a user.
    pub(crate) async fn device(&self, alias: &str, token: &str) -> Identity {
        let answer = self.backend().register(&Self::registration(alias, token)).await.unwrap();
        Identity::from_answer(&answer).unwrap()
    }

    /// Registers a device and opens a socket for it.
    pub(crate) async fn online(&self, alias: &str, token: &str) -> Socket {
        let identity = self.device(alias, token).await;
        self.socket(&identity).await
    }

    pub(crate) async fn socket(&self, identity: &Identity) -> Socket {
        let token = identity.connect_token(seconds()).unwrap();
        let socket = self.connect(identity.id(), &token).await.unwrap();
        Socket { socket, identity: identity.clone() }
    }

    /// Opens a socket with this token; returns the status if the upgrade is refused.
    pub(crate) async fn connect(
        &self,
        device: &str,
        token: &str,
    ) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, u16> {
        let url = format!("{}?deviceId={device}&token={token}", self.twin.socket_url());
        match tokio_tungstenite::connect_async(url).await {
            Ok((socket, _)) => Ok(socket),
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends a message to these users; returns its id.
    pub(crate) async fn send(&self, aliases: &[&str], alert: &str) -> String {
        self.send_with(aliases, alert, |_| {}).await
    }

    pub(crate) async fn send_with(
        &self,
        aliases: &[&str],
        alert: &str,
        change: impl FnOnce(&mut SendRequest),
    ) -> String {
        let mut request = Self::text(aliases, alert);
        change(&mut request);
        self.backend().send(&request, None).await.unwrap().request_id
    }

    /// The request for a message to these users.
    pub(crate) fn text(aliases: &[&str], alert: &str) -> SendRequest {
        SendRequest {
            audiences: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            content: Content { alert: Some(alert.to_owned()), ..Content::default() },
            ..SendRequest::default()
        }
    }

    /// The message that is sent under this idempotency key.
    pub(crate) fn keyed(app: &AppId, key: &str) -> MessageId {
        MessageId::of_key(&IdSecret::new(ID_SECRET), app, key)
    }

    /// One item.
    pub(crate) async fn item(&self, table: &str, pk: &str, sk: Option<&str>) -> HashMap<String, AttributeValue> {
        let mut key = HashMap::from([("pk".to_owned(), AttributeValue::S(pk.to_owned()))]);
        key.extend(sk.map(|sk| ("sk".to_owned(), AttributeValue::S(sk.to_owned()))));
        let got = self.dynamodb().get_item().table_name(table).set_key(Some(key)).send().await;
        got.unwrap().item.unwrap()
    }

    /// Writes items directly.
    pub(crate) async fn put_all(&self, table: &str, items: Vec<HashMap<String, AttributeValue>>) {
        let puts: Vec<_> = items
            .into_iter()
            .map(|item| {
                let put = aws_sdk_dynamodb::types::PutRequest::builder().set_item(Some(item)).build().unwrap();
                aws_sdk_dynamodb::types::WriteRequest::builder().put_request(put).build()
            })
            .collect();
        for part in puts.chunks(25) {
            self.dynamodb().batch_write_item().request_items(table, part.to_vec()).send().await.unwrap();
        }
    }

    /// Registers `count` devices of a user directly, over every limit; returns the least recently used one.
    pub(crate) async fn register_many(&self, user: &UserKey, count: usize) -> DeviceId {
        let (users, lookups) = (self.table("TIDINGS_USERS_TABLE"), self.table("TIDINGS_LOOKUPS_TABLE"));
        let now = Timestamp::now();
        let oldest = Device {
            id: format!("{}-old", user.app).parse().unwrap(),
            user: user.clone(),
            generation: 1,
            platform: Platform::Web.into(),
            client_version: None,
            registered: now,
            used: Timestamp(now.0 - 5 * 86_400_000),
            cursor: None,
            push: None,
        };
        let stores = self.stores();
        assert!(stores.devices.register(&oldest, &Profile::default(), None, now).await.unwrap());
        let listed = self.item(&users, &self.partition(user).await, Some(&format!("y#{}", oldest.id))).await;
        let lookup = self.item(&lookups, &format!("d#{}", oldest.id), None).await;
        let copies = |item: &HashMap<String, AttributeValue>, key: &str| {
            let copy = |n: usize| {
                let (mut item, id) = (item.clone(), format!("{}-{n:03}", user.app));
                let prefix = if key == "sk" { "y#" } else { "d#" };
                item.insert(key.to_owned(), AttributeValue::S(format!("{prefix}{id}")));
                item.insert("device".to_owned(), AttributeValue::S(id));
                item.insert("last_used".to_owned(), AttributeValue::N((now.0 - 86_400_000).to_string()));
                item
            };
            (1..count).map(copy).collect::<Vec<_>>()
        };
        self.put_all(&users, copies(&listed, "sk")).await;
        self.put_all(&lookups, copies(&lookup, "pk")).await;
        oldest.id
    }

    /// A connection of a device that API Gateway does not know.
    /// It was opened a minute ago.
    pub(crate) fn believed(device: &DeviceId, id: &str) -> Connection {
        let now = Timestamp::now();
        Connection {
            id: id.parse().unwrap(),
            device: device.clone(),
            generation: 1,
            key_version: 1,
            platform: Platform::Web.into(),
            connected: Timestamp(now.0 - 60_000),
            lease: now.plus_seconds(600),
        }
    }

    /// A request as `send` would accept it at this time; it is not sent.
    pub(crate) fn accepted(request: SendRequest, at: Timestamp) -> Accepted {
        let id = MessageId::new(at, tidings_crypto::random::bytes().unwrap());
        message::accept(request, APP.parse().unwrap(), &Chains::default(), &BTreeSet::new(), id, at).unwrap()
    }

    /// A delivery to one user as `send` would queue it.
    pub(crate) fn job(message: &Accepted, alias: &str) -> Job {
        Job::Deliver(Box::new(message.deliveries(&[alias.to_owned()]).next().unwrap()))
    }

    /// Appends messages to a mailbox as `deliver` would for a user without connections.
    pub(crate) async fn fill(&self, alias: &str, count: usize) -> Vec<String> {
        let (stores, user) = (self.stores(), Self::user(alias));
        let mut view = stores.users.view(&user, Timestamp::now()).await.unwrap();
        view.connections.clear();
        let mut ids = Vec::new();
        for n in 0..count {
            let now = Timestamp::now();
            let message = Self::accepted(Self::text(&[alias], &n.to_string()), now);
            let Job::Deliver(delivery) = Self::job(&message, alias) else { panic!("a delivery") };
            let entry = Draft::new(&delivery.letter, &view, now).entry;
            assert_eq!(stores.mailboxes.append(&user, &entry).await.unwrap(), Appended::Stored);
            view.tail = Some(Tail::from(&*entry));
            ids.push(message.letter.id.to_string());
        }
        ids
    }

    /// The recorded connections of users.
    pub(crate) async fn connections(&self, aliases: &[&str]) -> Vec<ConnectionId> {
        let mut found = Vec::new();
        for alias in aliases {
            let view = self.stores().users.view(&Self::user(alias), Timestamp::now()).await.unwrap();
            found.extend(view.connections.into_iter().map(|connection| connection.id));
        }
        found
    }

    /// Announces a text to everyone; returns the answer.
    pub(crate) async fn announce(&self, alert: &str, change: impl FnOnce(&mut AnnounceRequest)) -> AnnounceAnswer {
        let content = Content { alert: Some(alert.to_owned()), ..Content::default() };
        let mut request = AnnounceRequest { content, ..AnnounceRequest::default() };
        change(&mut request);
        self.backend().announce(&request, None).await.unwrap()
    }

    /// Sends a raw body, under an idempotency key.
    pub(crate) async fn post(&self, body: &Value, key: &str) -> Answer {
        self.post_as(body, &[("idempotency-key", key)]).await
    }

    /// Sends a raw body, with these headers beside the app key.
    pub(crate) async fn post_as(&self, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let authorization = format!("Bearer {}", self.key.expose());
        let headers = [&[("authorization", authorization.as_str())], headers].concat();
        let url = format!("{}/v1/messages", self.twin.api_url());
        self.request(Method::POST, &url, &headers, body.to_string()).await
    }

    /// Cancels a message.
    pub(crate) async fn cancel(&self, id: &str) -> Answer {
        let authorization = format!("Bearer {}", self.key.expose());
        let url = format!("{}/v1/messages/{id}", self.twin.api_url());
        self.request(Method::DELETE, &url, &[("authorization", authorization.as_str())], "").await
    }

    pub(crate) async fn trail(&self, id: &str) -> Trail {
        self.backend().trail(id).await.unwrap()
    }

    /// The only recipient's trail, after it has reached this state.
    pub(crate) async fn until(&self, id: &str, state: State) -> RecipientTrail {
        let mut last = None;
        eventually(&format!("{id} is {state}"), async || {
            let mut trail = self.trail(id).await;
            assert_eq!(trail.recipients.len(), 1);
            let recipient = trail.recipients.remove(0);
            let reached = recipient.state == state;
            last = Some(recipient);
            reached
        })
        .await;
        last.unwrap()
    }

    pub(crate) async fn set_event_source(&self, function: &str, enabled: bool) {
        let path = format!("/_twin/event-sources/{function}");
        self.control(Method::POST, &path, Some(serde_json::json!({"enabled": enabled}))).await;
    }

    /// Expects that a function or the twin logs an error with this text, at least once.
    pub(crate) fn expect_errors(&self, text: &str) {
        self.ending.expect_errors(text);
    }

    /// Tolerates errors with this text, if a function or the twin logs any: for a test with many faults, which strike
    /// some functions and not others.
    pub(crate) fn tolerate_errors(&self, text: &str) {
        self.ending.tolerate_errors(text);
    }

    /// Expects that a message ends in this dead-letter queue, by its logical id.
    pub(crate) fn expect_dead_letters(&self, queue: &str) {
        self.ending.expect_dead_letters(queue);
    }

    /// Ends the twin. The test fails on a message in a dead-letter queue or a logged error that it does not expect, and
    /// on an expected one that is missing.
    pub(crate) async fn end(self) {
        let dead_letters = self.dead_letters().await;
        let Self { twin, additions, ending, .. } = self;
        twin.shutdown().await;
        drop(additions);
        ending.check(&dead_letters).await;
    }

    /// The bodies in each dead-letter queue that holds any, by logical id.
    async fn dead_letters(&self) -> BTreeMap<String, Vec<String>> {
        let queues = &self.twin.template().queues;
        let counts = self.control(Method::GET, "/_twin/queues", None).await;
        let mut found = BTreeMap::new();
        for redrive in queues.iter().filter_map(|queue| queue.redrive.as_ref()) {
            let queue = queues.iter().find(|queue| queue.name == redrive.dead_letter_queue).unwrap();
            let count = counts.as_array().unwrap().iter().find(|count| count["name"] == queue.name.as_str()).unwrap();
            if count["visible"] != 0 || count["inFlight"] != 0 {
                let request = self.sqs().receive_message().queue_url(&queue.url).max_number_of_messages(10);
                let received = request.send().await.unwrap().messages.unwrap_or_default();
                let bodies = received.into_iter().filter_map(|message| message.body).collect();
                found.insert(queue.logical_id.clone(), bodies);
            }
        }
        found
    }
}

fn count_messages(queues: &Value) -> usize {
    let of = |queue: &Value| -> u64 {
        ["visible", "inFlight", "delayed"]
            .iter()
            .map(|name| queue[name].as_u64().unwrap_or_else(|| panic!("{queue}")))
            .sum()
    };
    queues.as_array().unwrap().iter().map(of).sum::<u64>() as usize
}

/// The events of a message for one recipient.
pub(crate) fn happened(trail: &RecipientTrail) -> Vec<Event> {
    trail.transitions.iter().map(|transition| transition.event).collect()
}

pub(crate) fn seconds() -> u64 {
    u64::try_from(Timestamp::now().seconds()).unwrap()
}

/// Polls, at growing intervals, until the condition holds.
pub(crate) async fn eventually(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let started = tokio::time::Instant::now();
    let mut pause = Duration::from_millis(10);
    while !is().await {
        assert!(started.elapsed() < DEADLINE, "not in {DEADLINE:?}: {what}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

/// A device's socket, without the client's own behaviour.
pub(crate) struct Socket {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) identity: Identity,
}

impl Socket {
    pub(crate) async fn send(&mut self, action: Value) {
        self.socket.send(Message::text(action.to_string())).await.unwrap();
    }

    /// The next text frame, still sealed.
    pub(crate) async fn raw(&mut self) -> String {
        loop {
            let next = tokio::time::timeout(DEADLINE, self.socket.next()).await.expect("a frame in time");
            match next.expect("a frame, not the end").expect("a frame") {
                Message::Text(text) => return text.to_string(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next frame, opened.
    pub(crate) async fn frame(&mut self) -> Frame {
        let raw = self.raw().await;
        let plain = self.identity.open(&raw).unwrap_or_else(|_| panic!("not sealed for this device: {raw}"));
        serde_json::from_slice(&plain).unwrap()
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> MessageFrame {
        match self.frame().await {
            Frame::Message(message) => *message,
            other => panic!("{other:?}"),
        }
    }

    /// Acknowledges one message.
    pub(crate) async fn ack(&mut self, message: &MessageFrame) {
        let place = message.position.unwrap();
        self.send(json!({"action": "ack", "id": message.id, "epoch": place.epoch, "seq": place.seq})).await;
    }

    /// The messages that are replayed after a position, or after the stored cursor.
    pub(crate) async fn sync(&mut self, after: Option<Position>) -> (Vec<String>, Synced) {
        let mut action = json!({"action": "sync"});
        if let Some(place) = after {
            action["epoch"] = place.epoch.into();
            action["seq"] = place.seq.into();
        }
        self.send(action).await;
        let mut ids = Vec::new();
        loop {
            match self.frame().await {
                Frame::Message(message) => ids.push(message.id),
                Frame::Synced(synced) => return (ids, synced),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The announcements after a number, and the position that the replay reached.
    pub(crate) async fn announcements(&mut self, after: u64) -> (Vec<AnnouncementFrame>, Announced) {
        self.send(json!({"action": "sync", "announced": after})).await;
        let mut found = Vec::new();
        loop {
            match self.frame().await {
                Frame::Announcement(announcement) => found.push(*announcement),
                Frame::Synced(synced) => return (found, synced.announced.expect("asked for")),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next frame, which is an announcement.
    pub(crate) async fn announcement(&mut self) -> AnnouncementFrame {
        match self.frame().await {
            Frame::Announcement(announcement) => *announcement,
            other => panic!("{other:?}"),
        }
    }

    /// The head of the mailbox. Fails on a frame that was posted before the answer.
    pub(crate) async fn ping(&mut self) -> Pong {
        self.send(json!({"action": "ping"})).await;
        match self.frame().await {
            Frame::Pong(pong) => pong,
            other => panic!("{other:?}"),
        }
    }

    /// Sends an action that is answered with an error; returns its code.
    pub(crate) async fn refused(&mut self, action: Value) -> String {
        self.send(action).await;
        match self.frame().await {
            Frame::Error(error) => error.code,
            other => panic!("{other:?}"),
        }
    }

    /// Skips frames until the socket ends; returns the close code.
    pub(crate) async fn end(&mut self) -> Option<u16> {
        loop {
            match tokio::time::timeout(DEADLINE, self.socket.next()).await.expect("an end in time") {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}
