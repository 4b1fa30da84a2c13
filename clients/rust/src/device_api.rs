//! The HTTP side of a device: what its user has been sent, page by page, how much of it is unread, and what the user wants
//! to be told of.

use std::time::SystemTime;

use http::Method;
use serde::{Serialize, de::DeserializeOwned};
use tidings_crypto::encoding::percent;
use tidings_wire::{InboxAnswer, Preferences, UnreadAnswer};

use crate::backend::{ApiError, Backend};
use crate::identity::Identity;

const PREFERENCES: &str = "/v1/preferences";

/// Asks for a device's user, with a new token for each request. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct DeviceApi {
    http: Backend,
    identity: Identity,
}

impl DeviceApi {
    /// Of a device, over the API at `base_url`. Nothing is asked yet.
    ///
    /// # Errors
    /// If the URL cannot be one.
    pub fn new(base_url: &str, identity: Identity) -> Result<Self, ApiError> {
        Ok(Self { http: Backend::new(base_url, "")?, identity })
    }

    /// A page of the inbox (`GET /v1/inbox`), newest message first: the newest page, or what comes before the `next` of
    /// another. [`Identity::open`] opens the frames.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn page(&self, limit: Option<u64>, before: Option<&str>) -> Result<InboxAnswer, ApiError> {
        let limit = limit.map(|limit| format!("limit={limit}"));
        let before = before.map(|cursor| format!("before={}", percent(cursor)));
        let query: Vec<String> = limit.into_iter().chain(before).collect();
        self.get(&if query.is_empty() { "/v1/inbox".to_owned() } else { format!("/v1/inbox?{}", query.join("&")) })
            .await
    }

    /// How many messages the user has read on no device (`GET /v1/inbox/unread`).
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn unread(&self) -> Result<UnreadAnswer, ApiError> {
        self.get("/v1/inbox/unread").await
    }

    /// What the user wants to be told of (`GET /v1/preferences`).
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn preferences(&self) -> Result<Preferences, ApiError> {
        self.get(PREFERENCES).await
    }

    /// Sets what the user wants to be told of, in place of what was set before (`PUT /v1/preferences`).
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn set_preferences(&self, preferences: &Preferences) -> Result<Preferences, ApiError> {
        self.ask(Method::PUT, PREFERENCES, Some(preferences)).await
    }

    async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, ApiError> {
        self.ask(Method::GET, path, None::<&()>).await
    }

    async fn ask<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<A, ApiError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let token = self.identity.connect_token(now);
        let token = token.map_err(|error| ApiError::Unreachable { url: path.to_owned(), source: Box::new(error) })?;
        self.http.bearing(&token)?.ask(method, path, body, None).await
    }
}
