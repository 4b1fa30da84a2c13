//! Subscriptions as a browser makes them. The twin also returns the private key, so that a test can open a push.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use sam_twin::control::{self, Body, NoParameters};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings_crypto::encoding::base64url;

use super::credentials::Halves;
use sam_twin::ids::uuid;

/// All subscriptions of a push service. A clone shares them.
#[derive(Clone)]
pub(super) struct Subscriptions {
    base: String,
    by_id: Arc<Mutex<HashMap<String, Subscription>>>,
}

/// One subscription.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    /// The only application server that may use it, if the page has named one: base64url of its public key (RFC 8292
    /// §4.1).
    pub(super) restricted_to: Option<String>,
    /// Whether the page has ended it.
    pub(super) is_over: bool,
}

impl Subscriptions {
    pub(super) fn new(base: &str) -> Self {
        Self { base: base.to_owned(), by_id: Arc::default() }
    }

    /// The URL of the push service.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn get(&self, id: &str) -> Option<Subscription> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn add(&self, restricted_to: Option<String>) -> Option<Value> {
        let (id, keys) = (uuid(), Halves::new()?);
        let mut auth = [0; 16];
        getrandom::fill(&mut auth).ok()?;
        let endpoint = format!("{}/webpush/{id}", self.base);
        let subscription = Subscription { restricted_to, is_over: false };
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner).insert(id, subscription);
        Some(json!({
            "endpoint": endpoint,
            "expirationTime": null,
            "keys": {"p256dh": base64url(&keys.public), "auth": base64url(&auth)},
            "privateKey": base64url(&keys.private),
        }))
    }
}

/// The options of a page.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Wanted {
    application_server_key: Option<String>,
}

/// `POST /_twin/subscriptions`, optionally with `{"applicationServerKey": …}`: returns a subscription in the form of
/// `PushSubscription.toJSON()`, and its `privateKey`.
pub(super) async fn make(
    State(subscriptions): State<Subscriptions>,
    _: NoParameters,
    wanted: Option<Body<Wanted>>,
) -> Response {
    let Wanted { application_server_key } = wanted.map(|Body(wanted)| wanted).unwrap_or_default();
    match subscriptions.add(application_server_key) {
        Some(subscription) => (StatusCode::CREATED, control::answer(&subscription)).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `DELETE /webpush/{id}`: the page ends the subscription.
pub(super) async fn end(State(subscriptions): State<Subscriptions>, Path(id): Path<String>) -> StatusCode {
    let mut by_id = subscriptions.by_id.lock().unwrap_or_else(PoisonError::into_inner);
    match by_id.get_mut(&id) {
        Some(subscription) => {
            subscription.is_over = true;
            StatusCode::NO_CONTENT
        }
        None => StatusCode::NOT_FOUND,
    }
}
