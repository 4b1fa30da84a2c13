//! The keyrings of apps. Each is in its app's item, sealed under a key that KMS has wrapped for that app alone: a
//! process reads the item and asks KMS once for each app. If KMS or the table does not answer, a keyring that is known
//! goes on; without one the request fails and may be repeated. Nothing is stored in clear instead.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use aws_sdk_kms::error::ProvideErrorMetadata;
use tidings_crypto::{keyring::Keyring, random, sealed::KEY_BYTES};
use tidings_domain::{AppId, Seal, Timestamp, UserKey, seal::SealedBody};

use crate::{
    StoreError,
    keys::{self, Item},
};

/// The attributes of an app's item.
const WRAPPED: &str = "wrapped_key";
const KEYRING: &str = "keyring";

/// What KMS binds a wrapped key to: the id of its app.
const CONTEXT: &str = "tidings:app";

/// How long a keyring counts as current, in seconds. A new data key seals only after every process has read it.
const FRESH_SECONDS: u64 = 300;

/// How long a known keyring goes on if it could not be read again, in seconds.
const RETRY_SECONDS: u64 = 10;

/// KMS's codes for a wrapped key that it will never unwrap.
const NOT_OURS: &[&str] = &["InvalidCiphertextException", "IncorrectKeyException"];

/// A client of KMS.
#[must_use]
pub fn kms(config: &aws_types::SdkConfig) -> aws_sdk_kms::Client {
    aws_sdk_kms::Client::new(config)
}

/// The keyrings of a deployment's apps, or none if it does not seal.
#[derive(Clone, Debug)]
pub struct Vault(Option<Arc<Keyrings>>);

#[derive(Debug)]
struct Keyrings {
    dynamodb: aws_sdk_dynamodb::Client,
    directory: String,
    kms: aws_sdk_kms::Client,
    /// The KMS key, by id, ARN or alias.
    key: String,
    /// One lock for each app, so that a keyring is fetched once and no app waits for another.
    known: Mutex<HashMap<AppId, Arc<tokio::sync::Mutex<Option<Known>>>>>,
    /// Keyrings for log lines, which do not wait.
    ready: Mutex<HashMap<AppId, Arc<Keyring>>>,
}

/// A keyring, and the key around it.
#[derive(Clone)]
struct Known {
    wrapped: Vec<u8>,
    wrapping: zeroize::Zeroizing<[u8; KEY_BYTES]>,
    keyring: Arc<Keyring>,
    until: Timestamp,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("keyring", &self.keyring).finish_non_exhaustive()
    }
}

/// The keyring of a new app, as its item holds it.
pub(crate) struct Made {
    pub(crate) seal: Seal,
    attributes: [(&'static str, Vec<u8>); 2],
}

impl Made {
    /// Puts the keyring into the app's item.
    pub(crate) fn add_to(self, item: &mut Item) {
        for (name, bytes) in self.attributes {
            item.insert(name.to_owned(), AttributeValue::B(Blob::new(bytes)));
        }
    }
}

/// A queue body that was opened.
#[derive(Debug)]
pub enum Opened {
    /// It was sealed.
    Sealed(String),
    /// It was in clear, as a body that belongs to no app is.
    Clear,
}

impl Vault {
    /// Of a deployment that does not seal.
    #[must_use]
    pub fn clear() -> Self {
        Self(None)
    }

    /// Over the `Directory` table, with keys that are wrapped by this KMS key.
    #[must_use]
    pub fn new(dynamodb: aws_sdk_dynamodb::Client, directory: String, kms: aws_sdk_kms::Client, key: String) -> Self {
        let (known, ready) = (Mutex::default(), Mutex::default());
        Self(Some(Arc::new(Keyrings { dynamodb, directory, kms, key, known, ready })))
    }

    /// The form in which an app's data is stored.
    ///
    /// # Errors
    /// [`StoreError`]: transient if DynamoDB or KMS does not answer, and the keyring is not known yet.
    pub async fn of(&self, app: &AppId) -> Result<Seal, StoreError> {
        self.seal(app, None).await
    }

    /// The same; `None` if the app does not exist any more, and its data counts as gone.
    pub(crate) async fn of_existing(&self, app: &AppId) -> Result<Option<Seal>, StoreError> {
        match self.of(app).await {
            Ok(seal) => Ok(Some(seal)),
            Err(StoreError::NoApp { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same, if the app's item was read just now.
    pub(crate) async fn of_item(&self, app: &AppId, item: &Item) -> Result<Seal, StoreError> {
        self.seal(app, Some(item)).await
    }

    async fn seal(&self, app: &AppId, item: Option<&Item>) -> Result<Seal, StoreError> {
        let Some(keyrings) = &self.0 else { return Ok(Seal::Clear) };
        let now = Timestamp::now();
        Ok(Seal::Under { keyring: keyrings.get(app, item, now).await?, now })
    }

    /// A pseudonym of a user for log lines, without waiting: `unknown` for a user of an app whose keyring was not
    /// needed yet.
    #[must_use]
    pub fn pseudonym(&self, user: &UserKey) -> String {
        let Some(keyrings) = &self.0 else { return Seal::Clear.pseudonym(user) };
        let keyring = keyrings.ready.lock().ok().and_then(|ready| ready.get(&user.app).cloned());
        let seal = keyring.map(|keyring| Seal::Under { keyring, now: Timestamp(0) });
        seal.map_or_else(|| "unknown".to_owned(), |seal| seal.pseudonym(user))
    }

    /// Opens a queue body of a kind.
    ///
    /// # Errors
    /// [`StoreError`]: unreadable if it was changed or moved.
    pub async fn open_body(&self, kind: &'static str, text: &str) -> Result<Opened, StoreError> {
        const OPERATION: &str = "open queue body";
        if self.0.is_none() {
            return Ok(Opened::Clear);
        }
        let Ok(body) = serde_json::from_str::<SealedBody>(text) else { return Ok(Opened::Clear) };
        match self.of(&body.app).await? {
            Seal::Clear => Ok(Opened::Clear),
            Seal::Under { keyring, .. } => {
                body.open(kind, &keyring).map(Opened::Sealed).map_err(|refused| StoreError::item(OPERATION, refused))
            }
        }
    }

    /// Whether data is sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.0.is_some()
    }

    /// Makes the keyring of a new app; `None` if the deployment does not seal.
    pub(crate) async fn make(&self, app: &AppId) -> Result<Option<Made>, StoreError> {
        const OPERATION: &str = "make data key";
        let Some(keyrings) = &self.0 else { return Ok(None) };
        let request = keyrings.kms.generate_data_key().key_id(&keyrings.key).encryption_context(CONTEXT, app.as_str());
        let made = request
            .number_of_bytes(i32::try_from(KEY_BYTES).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        let wrapping = plaintext(OPERATION, made.plaintext)?;
        let wrapped = made.ciphertext_blob.map(Blob::into_inner).unwrap_or_default();
        let draw = || random::bytes::<KEY_BYTES>().map_err(|error| StoreError::item(OPERATION, error));
        let keyring = Keyring::new(app.as_str(), draw()?, draw()?);
        let attributes = [(WRAPPED, wrapped), (KEYRING, keyring.seal(&wrapping))];
        Ok(Some(Made { seal: Seal::Under { keyring: Arc::new(keyring), now: Timestamp::now() }, attributes }))
    }
}

impl Keyrings {
    async fn get(&self, app: &AppId, item: Option<&Item>, now: Timestamp) -> Result<Arc<Keyring>, StoreError> {
        let place = match self.known.lock() {
            Ok(mut known) => Arc::clone(known.entry(app.clone()).or_default()),
            Err(_) => Arc::default(),
        };
        let mut place = place.lock().await;
        if let Some(known) = place.as_ref().filter(|known| now < known.until) {
            return Ok(Arc::clone(&known.keyring));
        }
        let read = self.read(app, item, place.as_ref(), now).await;
        let known = match (read, place.as_ref()) {
            (Ok(read), _) => read,
            (Err(error), Some(known)) if error.is_transient() => {
                tracing::warn!(app = %app, error = %error, "keyring could not be read again; the known one goes on");
                Known { until: now.plus_seconds(RETRY_SECONDS), ..known.clone() }
            }
            (Err(error), _) => return Err(error),
        };
        let keyring = Arc::clone(&known.keyring);
        if let Ok(mut ready) = self.ready.lock() {
            ready.insert(app.clone(), Arc::clone(&keyring));
        }
        *place = Some(known);
        Ok(keyring)
    }

    async fn read(
        &self,
        app: &AppId,
        item: Option<&Item>,
        before: Option<&Known>,
        now: Timestamp,
    ) -> Result<Known, StoreError> {
        const OPERATION: &str = "read keyring";
        let read;
        let item = match item {
            Some(item) => item,
            None => {
                read = self.item(app).await?.ok_or(StoreError::NoApp { operation: OPERATION })?;
                &read
            }
        };
        let bytes = |name: &str| item.get(name).and_then(|value| value.as_b().ok()).map(AsRef::<[u8]>::as_ref);
        let (Some(wrapped), Some(sealed)) = (bytes(WRAPPED), bytes(KEYRING)) else {
            return Err(StoreError::item(OPERATION, "the app has none: it was created in clear"));
        };
        let wrapping = match before {
            Some(before) if before.wrapped == wrapped => before.wrapping.clone(),
            _ => self.unwrap_key(app, wrapped).await?,
        };
        let keyring = Keyring::open(app.as_str(), &wrapping, sealed);
        let keyring = Arc::new(keyring.map_err(|refused| StoreError::item(OPERATION, refused))?);
        Ok(Known { wrapped: wrapped.to_vec(), wrapping, keyring, until: now.plus_seconds(FRESH_SECONDS) })
    }

    async fn item(&self, app: &AppId) -> Result<Option<Item>, StoreError> {
        let answer = self
            .dynamodb
            .get_item()
            .table_name(&self.directory)
            .key(keys::PK, keys::text(keys::directory_app(app)))
            .key(keys::SK, keys::text(keys::APP))
            .projection_expression("wrapped_key, keyring")
            .send()
            .await
            .map_err(|error| StoreError::request("read keyring", error))?;
        Ok(answer.item)
    }

    async fn unwrap_key(&self, app: &AppId, wrapped: &[u8]) -> Result<zeroize::Zeroizing<[u8; KEY_BYTES]>, StoreError> {
        const OPERATION: &str = "unwrap data key";
        let request = self.kms.decrypt().key_id(&self.key).ciphertext_blob(Blob::new(wrapped));
        match request.encryption_context(CONTEXT, app.as_str()).send().await {
            Ok(answer) => plaintext(OPERATION, answer.plaintext),
            Err(error) if error.code().is_some_and(|code| NOT_OURS.contains(&code)) => {
                Err(StoreError::item(OPERATION, "KMS has not wrapped it for this app"))
            }
            Err(error) => Err(StoreError::request(OPERATION, error)),
        }
    }
}

/// The key in KMS's answer.
fn plaintext(
    operation: &'static str,
    answer: Option<aws_sdk_kms::primitives::Blob>,
) -> Result<zeroize::Zeroizing<[u8; KEY_BYTES]>, StoreError> {
    let bytes = zeroize::Zeroizing::new(answer.map(Blob::into_inner).unwrap_or_default());
    let key = bytes.as_slice().try_into().map_err(|_| StoreError::item(operation, "KMS's key has another length"))?;
    Ok(zeroize::Zeroizing::new(key))
}
