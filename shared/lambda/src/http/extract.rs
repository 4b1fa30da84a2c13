//! The checks of a request, in one order, and their result for the handler.

mod credentials;

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

use super::error::{ApiError, TokenFault};

/// A request that has passed its checks. Their order is the same for every route; the first one that fails is answered:
///
/// 1. the caller: an app by its key ([`App`]) or a device by a token that it signed ([`SignedDevice`])
/// 2. the names in the path and the query
/// 3. the body: its size, its syntax, its fields
/// 4. whether the app that the body names is the caller's
/// 5. the `Idempotency-Key`, if the route takes one ([`Repeatable`])
#[derive(Clone, Debug)]
pub struct Checked<By, About = (), Body = ()> {
    /// When the request arrived.
    pub now: Timestamp,
    /// The caller.
    pub by: By,
    /// The names in the path and the query.
    pub about: About,
    /// The body.
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
        let Query(pairs) = parts.extensions.remove::<Query>().unwrap_or_default();
        let mut asked = Fields::of_query(pairs);
        let about = About::read(id, &mut asked);
        let problems = asked.into_problems();
        if !problems.is_empty() {
            return Err(problems.into());
        }
        // Lambda's limit comes before this one; the payload's limit answers with a problem.
        let bytes = axum::body::to_bytes(body, usize::MAX).await;
        let bytes = bytes.map_err(|error| ApiError::Internal(error.into()))?;
        let body = Body::read(&bytes, &parts.headers, by.app())?;
        Ok(Self { now, by, about, body })
    }
}

/// The caller and its proof. `D` holds what the check of the proof needs.
pub trait Caller<D>: Sized + Send {
    /// Reads the proof.
    ///
    /// # Errors
    /// 401, or the store's error.
    fn authenticate(
        deps: &D,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> impl Future<Output = Result<Self, ApiError>> + Send;

    /// The caller's app, or the app of the device that calls.
    fn app(&self) -> &AppId;
}

impl<D: AsRef<AppCache> + Sync> Caller<D> for App {
    async fn authenticate(deps: &D, headers: &HeaderMap, now: Timestamp) -> Result<Self, ApiError> {
        let key = credentials::app_key(headers)?;
        Ok(deps.as_ref().authenticate(Some(&key), now).await?)
    }

    fn app(&self) -> &AppId {
        &self.id
    }
}

/// The calling device and its app.
#[derive(Clone, Debug)]
pub struct SignedDevice {
    /// The device, with its token's claims.
    pub signed: Signed,
    /// The device's app.
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

/// Authenticates the calling device over HTTP by its `Authorization: Bearer` token, and returns it with its app. A
/// token that opens no socket is refused here too. Its use is not recorded, so a device may use it any number of times
/// within its minute.
async fn signed_request(
    apps: &AppCache,
    tokens: &DeviceTokens,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<SignedDevice, ApiError> {
    let refused = |reason: &dyn std::fmt::Display| {
        tracing::info!(%reason, "device refused");
        ApiError::WrongToken(TokenFault::Invalid)
    };
    let token = credentials::token(headers)?;
    let token = Token::parse(&token).map_err(|error| refused(&error))?;
    let signed = tokens.verify(token, now).await?.map_err(|why| refused(&why))?;
    match apps.get(&signed.device.user.app, now).await? {
        Some(app) => Ok(SignedDevice { signed, app }),
        None => Err(refused(&"unknown app")),
    }
}

/// The parameters in a path and a query.
pub trait Parameters: Sized + Send {
    /// Reads the id of the path (empty if the route has none) and the fields of the query; `asked` records problems.
    /// Query fields that are not read are refused, on every route.
    fn read(id: String, asked: &mut Fields) -> Self;
}

impl Parameters for () {
    fn read(_: String, _: &mut Fields) -> Self {}
}

impl Parameters for PathId {
    fn read(id: String, _: &mut Fields) -> Self {
        Self(id)
    }
}

impl Parameters for InboxRequest {
    fn read(_: String, asked: &mut Fields) -> Self {
        Self::read(asked)
    }
}

impl Parameters for AnnouncementsRequest {
    fn read(_: String, asked: &mut Fields) -> Self {
        Self::read(asked)
    }
}

/// A parsed body.
pub trait Payload: Sized + Send {
    /// Reads the body of a request of this app.
    ///
    /// # Errors
    /// [`ApiError::Body`], [`ApiError::Fields`], [`ApiError::UnknownApp`].
    fn read(body: &Bytes, headers: &HeaderMap, app: &AppId) -> Result<Self, ApiError>;
}

impl Payload for () {
    fn read(body: &Bytes, _: &HeaderMap, _: &AppId) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Ok(());
        }
        // A request that is carried out without its body does something else than its sender meant.
        Err(vec![FieldProblem::new("body", "must be absent: this route takes none")].into())
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
    /// The request.
    pub request: T,
    /// The key, if the sender gave one.
    pub key: Option<String>,
    /// The digest that identifies a repeat.
    pub hash: String,
}

impl<T: JsonBody> Payload for Repeatable<T> {
    fn read(body: &Bytes, headers: &HeaderMap, app: &AppId) -> Result<Self, ApiError> {
        let request = T::read(body, headers, app)?;
        Ok(Self { request, key: idempotency_key(headers)?, hash: digest(body) })
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let refused = |detail: String| Err(vec![FieldProblem::new("Idempotency-Key", detail)].into());
    let mut values = headers.get_all("idempotency-key").iter().map(HeaderValue::as_bytes);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() || value.contains(&b',') {
        // API Gateway joins two headers of the same name with a comma.
        return refused("is given twice, or has a comma".to_owned());
    }
    let is_printable = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let is_bounded = !value.starts_with(b" ") && !value.ends_with(b" ");
    match str::from_utf8(value) {
        Ok(key) if is_printable && is_bounded && (1..=limits::IDEMPOTENCY_KEY_CHARS).contains(&key.len()) => {
            Ok(Some(key.to_owned()))
        }
        Ok(_) | Err(_) => refused(format!(
            "must have 1 to {} printable ASCII characters without a comma, and no blank at either end",
            limits::IDEMPOTENCY_KEY_CHARS
        )),
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

/// The id in a request's path. One that is not UTF-8 becomes empty, which is no valid id.
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

/// The pairs of a query, decoded.
#[derive(Clone, Debug, Default)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    /// Reads a query (`application/x-www-form-urlencoded`) of any characters.
    #[must_use]
    pub fn decode(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }
}

/// An answer that must not be cached: it is for one person, and soon out of date.
pub fn personal<T>(answer: T) -> Response
where
    Json<T>: IntoResponse,
{
    ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(answer)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(values: &[&[u8]]) -> Result<Option<String>, String> {
        let name = || axum::http::HeaderName::from_static("idempotency-key");
        let headers = values.iter().map(|value| (name(), HeaderValue::from_bytes(value).unwrap())).collect();
        idempotency_key(&headers).map_err(|error| match error {
            ApiError::Fields(problems) => problems[0].to_string(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn an_idempotency_key_is_of_the_characters_that_it_may_have() {
        let longest = "~".repeat(limits::IDEMPOTENCY_KEY_CHARS);
        for good in ["k", "a b", "!", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", "order/17;x=1", &longest] {
            assert_eq!(key(&[good.as_bytes()]), Ok(Some(good.to_owned())), "{good}");
        }
        assert_eq!(key(&[]), Ok(None));
        let too_long = format!("{longest}x");
        for bad in [
            &b""[..],
            b" ",
            b"a\tb",
            b"\ta",
            b" a",
            b"a ",
            "schl\u{fc}ssel".as_bytes(),
            b"\xff",
            b"\xef\xbf\xbd",
            "\u{85}".as_bytes(),
            too_long.as_bytes(),
        ] {
            let detail = key(&[bad]).unwrap_err();
            assert!(detail.starts_with("`Idempotency-Key` must have 1 to 255 printable ASCII"), "{bad:?}: {detail}");
        }
    }

    #[test]
    fn a_key_that_is_given_twice_is_refused() {
        for values in [&[&b"a"[..], b"b"][..], &[b"a", b"a"], &[b"a,b"], &[b"a, a"], &[b","]] {
            assert_eq!(key(values), Err("`Idempotency-Key` is given twice, or has a comma".to_owned()), "{values:?}");
        }
    }
}
