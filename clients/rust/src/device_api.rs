//! The HTTP API, as a device uses it: its user's inbox, page by page, the number of unread messages, and the user's
//! preferences.

use std::time::SystemTime;

use http::Method;
use serde::{Serialize, de::DeserializeOwned};
use tidings_crypto::encoding::percent;
use tidings_wire::{InboxAnswer, Preferences, UnreadAnswer};

use crate::backend::{ApiError, Backend};
use crate::identity::Identity;

const PREFERENCES: &str = "/v1/preferences";

/// Requests on behalf of a device's user, with a new token for each request. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct DeviceApi {
    http: Backend,
    identity: Identity,
}

impl DeviceApi {
    /// A client for a device, over the API at `base_url`. No request is made yet.
    ///
    /// # Errors
    /// If the URL is invalid.
    pub fn new(base_url: &str, identity: Identity) -> Result<Self, ApiError> {
        Ok(Self { http: Backend::new(base_url, "")?, identity })
    }

    /// A page of the inbox (`GET /v1/inbox`), newest message first: the newest page, or the one before another page's
    /// `next`. [`Identity::open`] opens the frames.
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn page(&self, limit: Option<u64>, before: Option<&str>) -> Result<InboxAnswer, ApiError> {
        let limit = limit.map(|limit| format!("limit={limit}"));
        let before = before.map(|cursor| format!("before={}", percent(cursor)));
        let query: Vec<String> = limit.into_iter().chain(before).collect();
        self.get(&if query.is_empty() { "/v1/inbox".to_owned() } else { format!("/v1/inbox?{}", query.join("&")) })
            .await
    }

    /// The number of messages that the user has read on no device (`GET /v1/inbox/unread`).
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn unread(&self) -> Result<UnreadAnswer, ApiError> {
        self.get("/v1/inbox/unread").await
    }

    /// The user's preferences (`GET /v1/preferences`).
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn preferences(&self) -> Result<Preferences, ApiError> {
        self.get(PREFERENCES).await
    }

    /// Replaces the user's preferences (`PUT /v1/preferences`).
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
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
        let token = token.map_err(|error| ApiError::Unreachable { url: path.to_owned(), cause: Box::new(error) })?;
        self.http.bearing(&token)?.ask(method, path, body, None).await
    }
}
