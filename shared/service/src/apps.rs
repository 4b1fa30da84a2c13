//! Authentication of senders: apps by their key, cached for a minute.

use std::{collections::HashMap, sync::Mutex};

use tidings_crypto::app_key::AppKey;
use tidings_domain::{AppId, Timestamp};
use tidings_store::{App, Apps, StoreError};

/// How long an app is cached, in seconds: a revoked key works that much longer.
const FRESH_SECONDS: u64 = 60;

/// Limit of cached apps; at the limit, the cache is emptied.
const CACHED: usize = 1_000;

/// A request without a valid app key.
#[derive(Debug, thiserror::Error)]
pub enum AppsError {
    /// No key at all.
    #[error("no app key")]
    NoKey,
    /// Not a key of any app.
    #[error("wrong app key")]
    WrongKey,
    /// The directory could not be read.
    #[error("look app up")]
    Store(#[from] StoreError),
}

/// Apps, cached for a minute.
#[derive(Debug)]
pub struct AppCache {
    directory: Apps,
    known: Mutex<HashMap<AppId, (App, Timestamp)>>,
}

impl AppCache {
    /// An empty cache over the stored apps.
    #[must_use]
    pub fn new(directory: Apps) -> Self {
        Self { directory, known: Mutex::new(HashMap::new()) }
    }

    /// An app, as it was at most a minute ago.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: &AppId, now: Timestamp) -> Result<Option<App>, StoreError> {
        if let Ok(known) = self.known.lock()
            && let Some((app, until)) = known.get(id)
            && now < *until
        {
            return Ok(Some(app.clone()));
        }
        // An unknown app is looked up each time: it may be created the next moment.
        let app = self.directory.get(id).await?;
        if let (Some(app), Ok(mut known)) = (&app, self.known.lock()) {
            if known.len() >= CACHED {
                known.clear();
            }
            known.insert(id.clone(), (app.clone(), now.plus_seconds(FRESH_SECONDS)));
        }
        Ok(app)
    }

    /// The app that a key belongs to.
    ///
    /// # Errors
    /// [`AppsError`]: the same for a malformed key, a key of an unknown app, and one that the app does not have.
    pub async fn authenticate(&self, key: Option<&str>, now: Timestamp) -> Result<App, AppsError> {
        let key = AppKey::parse(key.ok_or(AppsError::NoKey)?).map_err(|_| AppsError::WrongKey)?;
        let id: AppId = key.app_id().parse().map_err(|_| AppsError::WrongKey)?;
        let app = self.get(&id, now).await?.ok_or(AppsError::WrongKey)?;
        if app.key_hashes.iter().any(|hash| key.matches(hash)) { Ok(app) } else { Err(AppsError::WrongKey) }
    }
}
