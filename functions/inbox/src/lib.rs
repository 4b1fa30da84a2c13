//! `/v1/inbox`: lists the messages of a device's user, newest first, and counts the unread ones.
//!
//! It only reads: the holder of a stolen token sees sealed frames, ids and counts, and no content.

use std::sync::Arc;

use axum::{Router, extract::State, response::Response, routing::get};
use futures_util::future;
use tidings_domain::{
    Entry,
    inbox::{Walk, Wanted},
    mailbox::Header,
};
use tidings_lambda::{
    Error,
    http::{self, ApiError, Checked, SignedDevice, personal},
};
use tidings_service::{AppCache, DeviceTokens, Purpose, Sealer};
use tidings_store::Mailboxes;
use tidings_wire::{InboxAnswer, InboxMessage, InboxRequest, UnreadAnswer, inbox::Cursor, limits};

/// The handlers' dependencies.
#[derive(Debug)]
pub struct Deps {
    mailboxes: Mailboxes,
    apps: AppCache,
    tokens: DeviceTokens,
    sealer: Sealer,
}

impl AsRef<AppCache> for Deps {
    fn as_ref(&self) -> &AppCache {
        &self.apps
    }
}

impl AsRef<DeviceTokens> for Deps {
    fn as_ref(&self) -> &DeviceTokens {
        &self.tokens
    }
}

/// Runs the function until its process ends.
///
/// # Errors
/// If the environment lacks a variable, or the Runtime API cannot be reached.
pub async fn run() -> Result<(), Error> {
    let sdk = tidings_lambda::start()?;
    let (mailboxes, apps, devices) = (sdk.mailboxes()?, sdk.apps()?, sdk.devices()?);
    let (sealer, roots) = future::try_join(sdk.sealer(), sdk.roots(Purpose::Tokens)).await?;
    let deps = Deps { mailboxes, apps, tokens: DeviceTokens::new(devices, roots), sealer };
    http::serve(router(deps)).await
}

/// The routes.
pub fn router(deps: Deps) -> Router {
    Router::new().route("/v1/inbox", get(list)).route("/v1/inbox/unread", get(unread)).with_state(Arc::new(deps))
}

/// Returns a page of the messages for the device, whether or not they are confirmed or read.
async fn list(
    State(deps): State<Arc<Deps>>,
    Checked { now, by: SignedDevice { signed, .. }, about: request, .. }: Checked<SignedDevice, InboxRequest>,
) -> Result<Response, ApiError> {
    let (user, platform) = (&signed.device.user, signed.device.platform);
    let most = usize::try_from(request.limit).unwrap_or(usize::MAX);
    let mut page = Walk::<Entry>::new(Wanted::All, platform, request.before.map(|cursor| cursor.0), most, now);
    while let Some(read) = page.next_read() {
        let (entries, more) = deps.mailboxes.before(user, read).await?;
        page.take(entries, more);
    }
    let mut messages = Vec::new();
    for entry in page.found() {
        let frame = deps.sealer.seal(&entry.frame(user, &signed.device.id), &signed).await;
        messages.push(message(entry, frame.map_err(|error| ApiError::Internal(error.into()))?));
    }
    tracing::info!(device = %signed.device.id, count = messages.len(), "inbox listed");
    Ok(personal(InboxAnswer { messages, next: page.rest().map(|place| Cursor(place).to_string()) }))
}

/// Counts the messages that the user has read on no device.
async fn unread(
    State(deps): State<Arc<Deps>>,
    Checked { now, by: SignedDevice { signed, .. }, .. }: Checked<SignedDevice>,
) -> Result<Response, ApiError> {
    let most = usize::try_from(limits::UNREAD_COUNTED).unwrap_or(usize::MAX);
    let mut unread = Walk::<Header>::new(Wanted::Unread, signed.device.platform, None, most, now);
    while let Some(read) = unread.next_read() {
        let (found, more) = deps.mailboxes.headers_before(&signed.device.user, read).await?;
        unread.take(found, more);
    }
    let count = u64::try_from(unread.found().len()).unwrap_or(u64::MAX);
    tracing::info!(device = %signed.device.id, count, "unread messages counted");
    Ok(personal(UnreadAnswer { count, more: unread.rest().is_some() }))
}

fn message(entry: &Entry, frame: String) -> InboxMessage {
    InboxMessage { id: entry.letter.id.to_string(), position: entry.position, read: Header::from(entry).is_read, frame }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_lambda::http::Query;
    use tidings_wire::fields::Fields;

    fn parse(query: &str) -> Result<InboxRequest, Vec<String>> {
        let mut fields = Fields::of_query(Query::decode(query).0);
        let request = InboxRequest::read(&mut fields);
        let wrong: Vec<String> = fields.into_problems().into_iter().map(|problem| problem.field).collect();
        if wrong.is_empty() { Ok(request) } else { Err(wrong) }
    }

    #[test]
    fn a_query_is_read_as_a_browser_writes_it() {
        assert_eq!(parse("").unwrap().limit, limits::INBOX_PAGE_DEFAULT);
        let place = tidings_domain::Position { epoch: 7, seq: 10 };
        let before = Some(Cursor(place));
        assert_eq!(parse("before=7-a&limit=3").unwrap(), InboxRequest { limit: 3, before });
        assert_eq!(parse("before=7%2Da&&limit=%33").unwrap(), InboxRequest { limit: 3, before });
        assert_eq!(parse("limit").unwrap_err(), ["limit"]);
        assert_eq!(parse("limit=3+&before=7-+a").unwrap_err(), ["limit", "before"]);
        assert_eq!(parse("limit=3&limit=3&Limit=4").unwrap_err(), ["limit", "Limit"]);
    }
}
