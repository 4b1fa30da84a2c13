//! The checks of a request, in one order, and what a handler gets from them.

use std::{future::Future, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};
use tidings_crypto::token::Token;
use tidings_domain::{AppId, digest};
use tidings_service::{AppCache, DeviceTokens, device_token::Signed};
use tidings_store::App;
use tidings_wire::{
    AnnounceRequest, FieldProblem, InboxRequest, ItemRequest, Preferences, RegisterRequest, SendRequest, Timestamp,
    announcement::AnnouncementsRequest, fields::Fields, json, limits,
};

use super::error::ApiError;

/// Longest idempotency key, in characters.
const IDEMPOTENCY_KEY_CHARS: usize = 255;

/// A request that has passed its checks. Their order is the same for every route, and the first one that fails is the answer:
///
/// 1. who asks: an app by its key ([`App`]) or a device by a token that it signed ([`SignedDevice`])
/// 2. what the path and the query name
/// 3. what the body says: its size, its syntax, its fields
/// 4. whether the app that the body names is the one that asks
/// 5. the `Idempotency-Key`, if the route takes one ([`Repeatable`])
#[derive(Clone, Debug)]
pub struct Checked<By, About = (), Body = ()> {
    /// When the request came.
    pub now: Timestamp,
    /// Who asks.
    pub by: By,
    /// What the path and the query name.
    pub about: About,
    /// What the body says.
    pub body: Body,
}

impl<D, By, About, Body> FromRequest<Arc<D>> for Checked<By, About, Body>
where
    D: Send + Sync,
    By: Caller<D>,
    About: Parameters,
    Body: Payload,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, deps: &Arc<D>) -> Result<Self, ApiError> {
        let now = Timestamp::now();
        let (mut parts, body) = request.into_parts();
        let by = By::authenticate(deps, &parts.headers, now).await?;
        let PathId(id) = PathId::of(&mut parts).await;
        let about = About::read(id, parts.uri.query().unwrap_or_default())?;
        // Lambda has a limit before this one; the payload's own limit answers with a problem.
        let bytes = axum::body::to_bytes(body, usize::MAX).await;
        let bytes = bytes.map_err(|error| ApiError::Internal(error.into()))?;
        let body = Body::read(&bytes, &parts.headers, by.app())?;
        Ok(Self { now, by, about, body })
    }
}

/// Who asks, and what proves it. `D` has what the proof takes.
pub trait Caller<D>: Sized + Send {
    /// Reads the proof.
    ///
    /// # Errors
    /// 401, or that of the store.
    fn authenticate(
        deps: &D,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> impl Future<Output = Result<Self, ApiError>> + Send;

    /// The app that asks, or whose device asks.
    fn app(&self) -> &AppId;
}

impl<D: AsRef<AppCache> + Sync> Caller<D> for App {
    async fn authenticate(deps: &D, headers: &HeaderMap, now: Timestamp) -> Result<Self, ApiError> {
        Ok(deps.as_ref().authenticate(bearer(headers), now).await?)
    }

    fn app(&self) -> &AppId {
        &self.id
    }
}

/// A device that asks for itself, and its app.
#[derive(Clone, Debug)]
pub struct SignedDevice {
    /// The device, with what its token says.
    pub signed: Signed,
    /// The app that it is a device of.
    pub app: App,
}

impl<D: AsRef<AppCache> + AsRef<DeviceTokens> + Sync> Caller<D> for SignedDevice {
    async fn authenticate(deps: &D, headers: &HeaderMap, now: Timestamp) -> Result<Self, ApiError> {
        signed_request(deps.as_ref(), deps.as_ref(), headers, now).await
    }

    fn app(&self) -> &AppId {
        &self.app.id
    }
}

/// The device that asks over HTTP, by the token that it sends as `Authorization: Bearer`, and its app. A token that opens no
/// socket is refused here too; only its use is not recorded, so that it serves as often as the device likes within its minute.
async fn signed_request(
    apps: &AppCache,
    tokens: &DeviceTokens,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<SignedDevice, ApiError> {
    let refused = |reason: &dyn std::fmt::Display| {
        tracing::info!(%reason, "device refused");
        ApiError::WrongToken
    };
    let token = bearer(headers).ok_or(ApiError::NoToken)?;
    let token = Token::parse(token).map_err(|error| refused(&error))?;
    let signed = tokens.verify(token, now).await?.map_err(|why| refused(&why))?;
    match apps.get(&signed.device.user.app, now).await? {
        Some(app) => Ok(SignedDevice { signed, app }),
        None => Err(refused(&"unknown app")),
    }
}

/// The token of an `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// What a path and a query name.
pub trait Parameters: Sized + Send {
    /// Reads the id of the path (empty if the route has none) and the query.
    ///
    /// # Errors
    /// [`ApiError::Fields`].
    fn read(id: String, query: &str) -> Result<Self, ApiError>;
}

impl Parameters for () {
    fn read(_: String, _: &str) -> Result<Self, ApiError> {
        Ok(())
    }
}

impl Parameters for PathId {
    fn read(id: String, _: &str) -> Result<Self, ApiError> {
        Ok(Self(id))
    }
}

impl Parameters for InboxRequest {
    fn read(_: String, query: &str) -> Result<Self, ApiError> {
        Ok(Self::parse(pairs(query))?)
    }
}

impl Parameters for AnnouncementsRequest {
    fn read(_: String, query: &str) -> Result<Self, ApiError> {
        Ok(Self::parse(pairs(query))?)
    }
}

/// What a body says.
pub trait Payload: Sized + Send {
    /// Reads the body of a request of this app.
    ///
    /// # Errors
    /// [`ApiError::Body`], [`ApiError::Fields`], [`ApiError::UnknownApp`].
    fn read(body: &Bytes, headers: &HeaderMap, app: &AppId) -> Result<Self, ApiError>;
}

impl Payload for () {
    fn read(_: &Bytes, _: &HeaderMap, _: &AppId) -> Result<Self, ApiError> {
        Ok(())
    }
}

impl<T: JsonBody> Payload for T {
    fn read(body: &Bytes, _: &HeaderMap, app: &AppId) -> Result<Self, ApiError> {
        let body = T::from_object(json::object(body).map_err(ApiError::Body)?)?;
        match body.app_id() {
            Some(named) if named != app.as_str() => Err(ApiError::UnknownApp),
            Some(_) | None => Ok(body),
        }
    }
}

/// A body that its sender may repeat under an `Idempotency-Key`.
#[derive(Clone, Debug)]
pub struct Repeatable<T> {
    /// What it says.
    pub request: T,
    /// The key, if the sender gave one.
    pub key: Option<String>,
    /// The digest by which a repeat is known.
    pub hash: String,
}

impl<T: JsonBody> Payload for Repeatable<T> {
    fn read(body: &Bytes, headers: &HeaderMap, app: &AppId) -> Result<Self, ApiError> {
        let request = T::read(body, headers, app)?;
        Ok(Self { request, key: idempotency_key(headers)?, hash: digest(body) })
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=IDEMPOTENCY_KEY_CHARS).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => {
            let detail = format!("must have 1 to {IDEMPOTENCY_KEY_CHARS} printable ASCII characters");
            Err(vec![FieldProblem::new("Idempotency-Key", detail)].into())
        }
    }
}

/// A JSON object that is the body of a request.
pub trait JsonBody: Sized + Send {
    /// Reads the object.
    ///
    /// # Errors
    /// Every field that is wrong.
    fn from_object(object: Map<String, Value>) -> Result<Self, Vec<FieldProblem>>;

    /// The app that the body names.
    fn app_id(&self) -> Option<&str> {
        None
    }
}

impl JsonBody for SendRequest {
    fn from_object(object: Map<String, Value>) -> Result<Self, Vec<FieldProblem>> {
        Self::parse(object)
    }

    fn app_id(&self) -> Option<&str> {
        self.app_id.as_deref()
    }
}

impl JsonBody for AnnounceRequest {
    fn from_object(object: Map<String, Value>) -> Result<Self, Vec<FieldProblem>> {
        Self::parse(object)
    }

    fn app_id(&self) -> Option<&str> {
        self.app_id.as_deref()
    }
}

impl JsonBody for RegisterRequest {
    fn from_object(object: Map<String, Value>) -> Result<Self, Vec<FieldProblem>> {
        Self::parse(object)
    }

    fn app_id(&self) -> Option<&str> {
        Some(&self.app_id)
    }
}

impl JsonBody for ItemRequest {
    fn from_object(object: Map<String, Value>) -> Result<Self, Vec<FieldProblem>> {
        Self::parse(object)
    }
}

impl JsonBody for Preferences {
    fn from_object(object: Map<String, Value>) -> Result<Self, Vec<FieldProblem>> {
        Self::parse(object)
    }
}

/// The id of the invocation and the trace that it belongs to.
#[derive(Clone, Debug, Default)]
pub struct Invocation {
    /// Lambda's request id.
    pub request_id: String,
    /// X-Ray trace header.
    pub trace: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Invocation {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// The id in a request's path. One that is not even UTF-8 is empty, and so the id of nothing.
#[derive(Clone, Debug)]
pub struct PathId(pub String);

impl PathId {
    async fn of(parts: &mut Parts) -> Self {
        let id = Path::<String>::from_request_parts(parts, &()).await;
        id.map_or_else(|_| Self(String::new()), |Path(id)| Self(id))
    }
}

impl<S: Sync> FromRequestParts<S> for PathId {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts).await)
    }
}

/// The pairs of a query, decoded (`application/x-www-form-urlencoded`).
pub fn pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    form_urlencoded::parse(query.as_bytes()).into_owned()
}

/// What a path names, in 1 to `max` characters, and the tenant that its query may name (`tenantCode`; empty for none).
///
/// # Errors
/// [`ApiError::Fields`].
pub fn of_tenant(name: &'static str, value: String, max: usize, query: &str) -> Result<(String, String), ApiError> {
    let text = |(name, value)| (name, Value::String(value));
    let mut path = Fields::new(Map::from_iter([text((name.to_owned(), value))]));
    let named = path.required_text(name, max);
    let mut asked = Fields::new(pairs(query).map(text).collect());
    let tenant = asked.text("tenantCode", limits::IDENTIFIER_CHARS).unwrap_or_default();
    let mut problems = path.into_problems();
    problems.extend(asked.into_problems());
    if problems.is_empty() { Ok((named, tenant)) } else { Err(problems.into()) }
}

/// An answer that no cache keeps: it is for one person, and soon out of date.
pub fn personal<T>(answer: T) -> Response
where
    Json<T>: IntoResponse,
{
    ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(answer)).into_response()
}
