//! The push providers, emulated with their real protocols: APNs, FCM with its token endpoint, a push service of
//! browsers, Mi Push, and the receiver of a webhook. One listener serves all, HTTP/1.1 and HTTP/2 by prior knowledge:
//!
//! ```text
//! POST /3/device/{token}                       APNs, HTTP/2 alone
//! POST /token                                  OAuth: access tokens for FCM
//! POST /v1/projects/{project}/messages:send    FCM
//! POST /webpush/{id}                           a subscription's endpoint; DELETE ends it
//! POST /v3/message/alias, /v3/message/topic    Mi Push
//! POST /webhook                                the receiver
//!
//! POST /_twin/subscriptions                 makes a subscription, as a browser would, and returns its private key too
//! GET, PUT /_twin/rules                     faults to inject: see [`rules`]
//! ```
//!
//! Each checks what the real one checks and refuses in its words. Accepted pushes go into the twin's outbox. Nothing is
//! decrypted: a test that reads a Web Push requests a subscription and opens the push with its key.

mod apns;
mod credentials;
mod fcm;
mod mipush;
mod played;
pub mod rules;
mod subscriptions;
mod webhook;
mod webpush;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};
use tidings_providers::Credentials;
use tidings_wire::send::Channel;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::credentials::{DocumentError, document, obtain};
use self::fcm::AccessTokens;
pub use self::played::{PlayedProviders, ProvidersOptions};
use self::rules::{Fault, Rule, Rules, Service};
use self::subscriptions::Subscriptions;
use sam_twin::control::{self, Body, NoParameters};
use sam_twin::guard::{Guard, Pages};
use sam_twin::listener::{BoundListener, Connection};
use sam_twin::outbox::{self, Draft, Outbox};

/// Larger than the limit of any provider, which its handler enforces.
const BODY_BYTES: usize = 1024 * 1024;

/// The providers of a twin. They stop when this is dropped.
#[derive(Debug)]
pub struct PushProviders {
    url: String,
    rules: Rules,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl PushProviders {
    /// Serves clients with these credentials at a listener; pushes go into `outbox`, unless `rules` prevent it.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn start(listener: BoundListener, credentials: Credentials, outbox: Outbox, rules: Rules) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let url = format!("http://{address}");
        let played = Played {
            credentials: Arc::new(credentials),
            rules: rules.clone(),
            outbox,
            access_tokens: AccessTokens::default(),
            subscriptions: Subscriptions::new(&url),
        };
        let stop = CancellationToken::new();
        let guard = Guard::new(address.ip(), Pages::None);
        let served = listener.serve(router(played, guard), CancellationToken::new(), None);
        // A connection that is silent on purpose never ends by itself.
        let stopped = stop.clone();
        let serving = tokio::spawn(async move {
            stopped.run_until_cancelled_owned(served).await;
        });
        Ok(Self { url, rules, stop, serving })
    }

    /// The base URL of all providers: `http://127.0.0.1:7404`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The faults to inject.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Ends every connection.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.serving).await {
            tracing::error!(%error, "the push providers ended");
        }
    }
}

impl Drop for PushProviders {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The state that the handlers share.
#[derive(Clone)]
struct Played {
    credentials: Arc<Credentials>,
    rules: Rules,
    outbox: Outbox,
    access_tokens: AccessTokens,
    subscriptions: Subscriptions,
}

impl FromRef<Played> for Rules {
    fn from_ref(played: &Played) -> Self {
        played.rules.clone()
    }
}

impl FromRef<Played> for Subscriptions {
    fn from_ref(played: &Played) -> Self {
        played.subscriptions.clone()
    }
}

impl fmt::Debug for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Played").field("credentials", &self.credentials).finish_non_exhaustive()
    }
}

fn router(played: Played, guard: Guard) -> Router {
    let control = Router::new()
        .route("/_twin/subscriptions", post(subscriptions::make))
        .route("/_twin/rules", get(listed).put(set))
        .with_state(played.clone());
    Router::new()
        .route("/3/device/{token}", any(apns::push))
        .route("/token", post(fcm::token))
        .route("/v1/projects/{project}/messages:send", post(fcm::push))
        .route("/webpush/{id}", post(webpush::push))
        .route("/webpush/{id}", delete(subscriptions::end))
        .route("/v3/message/alias", post(mipush::alias))
        .route("/v3/message/topic", post(mipush::topic))
        .route("/webhook", post(webhook::call))
        .with_state(played)
        .fallback(no_route)
        // The other routes authenticate their callers; this one trusts every caller.
        .merge(guard.protect(control::uniform(control)))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
}

/// A word for a caller that took this port for that of an API.
async fn no_route(method: Method, uri: Uri) -> Response {
    let what = "this port emulates the push providers, and serves /_twin/rules and /_twin/subscriptions";
    control::refuse(StatusCode::NOT_FOUND, &format!("{method} {}: {what}; it has no such path", uri.path()))
}

async fn listed(State(rules): State<Rules>, _: NoParameters) -> Response {
    control::answer(&rules.all())
}

async fn set(State(rules): State<Rules>, _: NoParameters, Body(new): Body<Vec<Rule>>) -> Response {
    let wrong = new.iter().enumerate().find_map(|(index, rule)| Some((index, rule.check().err()?)));
    match wrong {
        Some((index, reason)) => control::refuse(StatusCode::BAD_REQUEST, &format!("[{index}]: {reason}")),
        None => {
            rules.set(new);
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

impl Played {
    /// Injects the fault of the first rule for this target, or does the work if there is none.
    async fn unless_struck(
        &self,
        service: impl Into<Service>,
        target: &str,
        connection: &Connection,
        work: impl Future<Output = Response>,
        refuse: impl FnOnce(StatusCode, &str, &str) -> Response,
    ) -> Response {
        let Some(fault) = self.rules.strike(service.into(), target) else { return work.await };
        let is_taken = match fault {
            Fault::Refuse { status, code, reason, retry_after } => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let mut refusal = refuse(status, &code, &reason);
                if let Some(value) = retry_after.and_then(|text| text.parse().ok()) {
                    refusal.headers_mut().insert("retry-after", value);
                }
                return refusal;
            }
            Fault::Silence { taken } | Fault::Cut { taken } => taken,
        };
        if is_taken {
            work.await;
        }
        match fault {
            Fault::Cut { .. } => connection.cut(),
            Fault::Refuse { .. } | Fault::Silence { .. } => {}
        }
        std::future::pending().await
    }

    /// Stores a push in the outbox, under the id that the sender receives.
    async fn keep(&self, id: &str, arrival: Arrival) -> Result<(), Response> {
        let Arrival { channel, to, title, body, headers } = arrival;
        let channel = kept_as(channel);
        let draft = Draft { channel, from: None, to: vec![to], subject: title, text: Some(body), html: None, headers };
        // The calling function is unknown: requests to providers are not signed with the functions' access keys.
        self.outbox.put_as(id.to_owned(), draft, &[]).await.map_err(|error| {
            tracing::error!(?error, "a push could not be kept");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        })
    }
}

/// The outbox's channel for pushes that a provider has accepted.
fn kept_as(channel: Channel) -> outbox::Channel {
    outbox::Channel::new(channel.as_str())
}

/// A push that a provider has accepted.
struct Arrival {
    channel: Channel,
    to: String,
    title: Option<String>,
    body: String,
    headers: BTreeMap<String, String>,
}

/// The headers that a protocol defines.
fn picked(headers: &HeaderMap, names: &[&str]) -> BTreeMap<String, String> {
    let value = |name: &&str| Some(((*name).to_owned(), headers.get(*name)?.to_str().ok()?.to_owned()));
    names.iter().filter_map(value).collect()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
