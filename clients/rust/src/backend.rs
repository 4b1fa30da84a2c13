//! The HTTP API, as a backend uses it with its app key.

use std::error::Error as StdError;
use std::fmt;
use std::iter::successors;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tidings_crypto::encoding::percent;
use tidings_wire::announcement::{AnnouncementAnswer, AnnouncementsAnswer, WithdrawAnswer};
use tidings_wire::send::CancelAnswer;
use tidings_wire::{
    AnnounceAnswer, AnnounceRequest, DeviceAnswer, ItemAnswer, ItemRequest, Preferences, Problem, RegisterAnswer,
    RegisterRequest, SendAnswer, SendRequest, Trail, limits, name,
};

/// API Gateway ends a request after 30 seconds; waiting longer cannot bring an answer.
const TIMEOUT: Duration = Duration::from_secs(31);
/// The largest answer that is read: API Gateway's own limit.
const MAX_ANSWER: usize = 10 * 1024 * 1024;

/// A backend of one app. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Backend {
    base: String,
    authorization: HeaderValue,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("base", &self.base).finish_non_exhaustive()
    }
}

/// A request to the HTTP API failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The API's URL is invalid.
    #[error("{url:?} is not the URL of an HTTP API")]
    BadUrl {
        /// The URL as given.
        url: String,
    },
    /// The app key has characters that a header cannot carry.
    #[error("the app key has characters that no app key has, such as an ellipsis: copy all of it")]
    BadKey,
    /// A name that a path cannot carry. No request is made, because it would address another resource, or none.
    #[error("{field} {detail}")]
    BadName {
        /// The field of the name: `alias`, `item`, `deviceId`, `requestId`.
        field: &'static str,
        /// The rule that it breaks.
        detail: &'static str,
    },
    /// There was no answer: no connection, or it broke.
    #[error("cannot reach {url}: {}", reason(&**cause))]
    Unreachable {
        /// The request's URL.
        url: String,
        /// The cause; the text of this error has its whole chain.
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// No answer within half a minute.
    #[error("no answer from {url} in {} seconds", TIMEOUT.as_secs())]
    Timeout {
        /// The request's URL.
        url: String,
    },
    /// Tidings refused the request, with a problem.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The answer is not from Tidings: a proxy's page, or a gateway's error.
    #[error("unexpected answer {status} from {url}: {excerpt}")]
    Unexpected {
        /// The request's URL.
        url: String,
        /// The status.
        status: StatusCode,
        /// The beginning of the body.
        excerpt: String,
    },
}

impl ApiError {
    /// Whether a retry may help. A retried send needs its idempotency key.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::BadUrl { .. } | Self::BadKey | Self::BadName { .. } => false,
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Problem(problem) => problem.status == 429 || problem.status >= 500,
            Self::Unexpected { status, .. } => *status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error(),
        }
    }
}

impl Backend {
    /// A backend that talks to the API at `base_url` (`https://…/{stage}` or `http://127.0.0.1:7400`) with `app_key`.
    /// No request is made yet.
    ///
    /// # Errors
    /// If the URL or the key is invalid.
    pub fn new(base_url: &str, app_key: &str) -> Result<Self, ApiError> {
        let base = base_url.trim_end_matches('/').to_owned();
        let is_http = base.parse::<Uri>().is_ok_and(|uri| {
            uri.authority().is_some() && matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none()
        });
        if !is_http {
            return Err(ApiError::BadUrl { url: base_url.to_owned() });
        }
        let authorization = bearer(app_key)?;
        let connector = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
        Ok(Self { base, authorization, client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// A client with another token that shares the connections.
    pub(crate) fn bearing(&self, token: &str) -> Result<Self, ApiError> {
        Ok(Self { authorization: bearer(token)?, ..self.clone() })
    }

    /// Registers a device (`POST /v1/devices`).
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn register(&self, request: &RegisterRequest) -> Result<RegisterAnswer, ApiError> {
        self.ask(Method::POST, "/v1/devices", Some(request), None).await
    }

    /// The record of a device (`GET /v1/devices/{deviceId}`).
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn device(&self, device_id: &str) -> Result<DeviceAnswer, ApiError> {
        self.ask(Method::GET, &format!("/v1/devices/{}", segment("deviceId", device_id)?), None::<&()>, None).await
    }

    /// Forgets a device (`DELETE /v1/devices/{deviceId}`).
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn unregister(&self, device_id: &str) -> Result<(), ApiError> {
        let path = format!("/v1/devices/{}", segment("deviceId", device_id)?);
        self.exchange(Method::DELETE, &path, None::<&()>, None).await.map(drop)
    }

    /// A user's preferences (`GET /v1/users/{alias}/preferences`).
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn preferences(&self, alias: &str, tenant: Option<&str>) -> Result<Preferences, ApiError> {
        self.ask(Method::GET, &preferences(alias, tenant)?, None::<&()>, None).await
    }

    /// Replaces a user's preferences (`PUT /v1/users/{alias}/preferences`).
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn set_preferences(
        &self,
        alias: &str,
        tenant: Option<&str>,
        wanted: &Preferences,
    ) -> Result<Preferences, ApiError> {
        self.ask(Method::PUT, &preferences(alias, tenant)?, Some(wanted), None).await
    }

    /// Whether an item that messages are about is open (`GET /v1/items/{item}`).
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn item(&self, item: &str, tenant: Option<&str>) -> Result<ItemAnswer, ApiError> {
        self.ask(Method::GET, &path_of_item(item, tenant)?, None::<&()>, None).await
    }

    /// Closes an item, or opens it again (`PUT /v1/items/{item}`). Once an item is closed, messages with the condition
    /// that it is open begin no further step.
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn set_item(&self, item: &str, tenant: Option<&str>, open: bool) -> Result<ItemAnswer, ApiError> {
        self.ask(Method::PUT, &path_of_item(item, tenant)?, Some(&ItemRequest { open }), None).await
    }

    /// Sends a message (`POST /v1/messages`). Requests with the same idempotency key send it once.
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn send(&self, request: &SendRequest, idempotency_key: Option<&str>) -> Result<SendAnswer, ApiError> {
        self.ask(Method::POST, "/v1/messages", Some(request), idempotency_key).await
    }

    /// Cancels a message (`DELETE /v1/messages/{requestId}`): steps that have not begun do not begin. A second cancel
    /// is refused as `already_cancelled`, and one after the message's time as `message_settled`.
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn cancel(&self, request_id: &str) -> Result<CancelAnswer, ApiError> {
        self.ask(Method::DELETE, &format!("/v1/messages/{}", segment("requestId", request_id)?), None::<&()>, None)
            .await
    }

    /// The trail of a message (`GET /v1/messages/{requestId}`).
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn trail(&self, request_id: &str) -> Result<Trail, ApiError> {
        self.ask(Method::GET, &format!("/v1/messages/{}", segment("requestId", request_id)?), None::<&()>, None).await
    }

    /// Sends an announcement to everyone of a tenant (`POST /v1/announcements`). Requests with the same idempotency key
    /// send it once.
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn announce(
        &self,
        request: &AnnounceRequest,
        idempotency_key: Option<&str>,
    ) -> Result<AnnounceAnswer, ApiError> {
        self.ask(Method::POST, "/v1/announcements", Some(request), idempotency_key).await
    }

    /// The announcements that are kept, newest first (`GET /v1/announcements`). `before` is the `next` of the previous
    /// page.
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn announcements(
        &self,
        tenant: Option<&str>,
        before: Option<u64>,
    ) -> Result<AnnouncementsAnswer, ApiError> {
        let tenant = tenant.map(|tenant| format!("&tenantCode={}", percent(tenant))).unwrap_or_default();
        let before = before.map(|before| format!("&before={before}")).unwrap_or_default();
        let limit = limits::ANNOUNCEMENT_LIST.end();
        self.ask(Method::GET, &format!("/v1/announcements?limit={limit}{before}{tenant}"), None::<&()>, None).await
    }

    /// One announcement (`GET /v1/announcements/{requestId}`).
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn announcement(&self, request_id: &str) -> Result<AnnouncementAnswer, ApiError> {
        self.ask(Method::GET, &format!("/v1/announcements/{}", segment("requestId", request_id)?), None::<&()>, None)
            .await
    }

    /// Withdraws an announcement (`DELETE /v1/announcements/{requestId}`): devices that have not received it yet will
    /// not receive it.
    ///
    /// # Errors
    /// If the request fails, see [`ApiError`].
    pub async fn withdraw(&self, request_id: &str) -> Result<WithdrawAnswer, ApiError> {
        self.ask(Method::DELETE, &format!("/v1/announcements/{}", segment("requestId", request_id)?), None::<&()>, None)
            .await
    }

    pub(crate) async fn ask<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        idempotency_key: Option<&str>,
    ) -> Result<A, ApiError> {
        let (status, answer) = self.exchange(method, path, body, idempotency_key).await?;
        serde_json::from_slice(&answer).map_err(|_| self.unexpected(path, status, &answer))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        idempotency_key: Option<&str>,
    ) -> Result<(StatusCode, Bytes), ApiError> {
        let url = format!("{}{path}", self.base);
        let unreachable = |cause| ApiError::Unreachable { url: url.clone(), cause };
        let mut request = Request::builder().method(method).uri(&url).header(AUTHORIZATION, &self.authorization);
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(serde_json::to_vec(body).map_err(|error| unreachable(error.into()))?)
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body)).map_err(|error| unreachable(error.into()))?;
        let answer = async {
            let response = self.client.request(request).await.map_err(|error| unreachable(error.into()))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(unreachable)?;
            Ok((status, body.to_bytes()))
        };
        let (status, body) =
            tokio::time::timeout(TIMEOUT, answer).await.map_err(|_| ApiError::Timeout { url: url.clone() })??;
        if status.is_success() {
            return Ok((status, body));
        }
        match serde_json::from_slice(&body) {
            Ok(problem) => Err(ApiError::Problem(Box::new(problem))),
            Err(_) => Err(self.unexpected(path, status, &body)),
        }
    }

    fn unexpected(&self, path: &str, status: StatusCode, body: &[u8]) -> ApiError {
        let excerpt = String::from_utf8_lossy(body).chars().take(200).collect();
        ApiError::Unexpected { url: format!("{}{path}", self.base), status, excerpt }
    }
}

/// An error with every cause behind it.
fn reason(error: &dyn StdError) -> String {
    let causes = successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn preferences(alias: &str, tenant: Option<&str>) -> Result<String, ApiError> {
    Ok(of_tenant(&format!("/v1/users/{}/preferences", segment("alias", alias)?), tenant))
}

fn path_of_item(item: &str, tenant: Option<&str>) -> Result<String, ApiError> {
    Ok(of_tenant(&format!("/v1/items/{}", segment("item", item)?), tenant))
}

/// A name as one segment of a path.
fn segment(field: &'static str, name: &str) -> Result<String, ApiError> {
    name::check_segment(name).map_err(|detail| ApiError::BadName { field, detail })?;
    Ok(percent(name))
}

fn of_tenant(path: &str, tenant: Option<&str>) -> String {
    let query = tenant.map(|tenant| format!("?tenantCode={}", percent(tenant))).unwrap_or_default();
    format!("{path}{query}")
}

fn bearer(key: &str) -> Result<HeaderValue, ApiError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| ApiError::BadKey)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_cannot_be_an_api_are_refused_before_anything_is_asked() {
        assert!(Backend::new("http://127.0.0.1:7400/", "td_demo.x").is_ok());
        for url in ["", "127.0.0.1:7400", "ws://127.0.0.1:7401", "/v1", "http://h/?stage=prod"] {
            assert!(matches!(Backend::new(url, "k"), Err(ApiError::BadUrl { .. })), "{url}");
        }
        assert!(matches!(Backend::new("http://h", "a\nb"), Err(ApiError::BadKey)));
    }

    #[test]
    fn the_key_does_not_print() {
        let backend = Backend::new("http://h", "td_demo.secret").unwrap();
        assert!(!format!("{backend:?}").contains("secret"));
    }
}
