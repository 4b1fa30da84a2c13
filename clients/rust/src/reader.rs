//! The HTTP side of a device: what its user has been sent, page by page, and how much of it is unread.

use std::time::SystemTime;

use http::Method;
use tidings_wire::{InboxAnswer, UnreadAnswer};

use crate::backend::{ApiError, Backend, encode};
use crate::identity::Identity;

/// Reads the inbox of a device's user, with a new token for each request. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Reader {
    http: Backend,
    identity: Identity,
}

impl Reader {
    /// A reader for a device, over the API at `base_url`. Nothing is asked yet.
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
        let before = before.map(|cursor| format!("before={}", encode(cursor)));
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

    async fn get<A: serde::de::DeserializeOwned>(&self, path: &str) -> Result<A, ApiError> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let token = self.identity.connect_token(now);
        let token = token.map_err(|error| ApiError::Unreachable { url: path.to_owned(), source: Box::new(error) })?;
        self.http.bearing(&token)?.ask(Method::GET, path, None::<&()>, None).await
    }
}
