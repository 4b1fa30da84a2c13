//! The link in an email: switches off such emails for its reader, by one POST of a mail program (RFC 8058) or by a
//! button in a browser. Opening the link changes nothing: programs open links before people do.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderName, header},
    response::{Html, IntoResponse, Response},
};
use tidings_crypto::link;
use tidings_domain::{Timestamp, preferences::Unsubscribe};
use tidings_lambda::http::{ApiError, PathId};
use tidings_wire::Preferences;

use crate::{ATTEMPTS, Deps};

/// Shows the button for a link that was opened in a browser.
pub(crate) async fn ask(State(deps): State<Arc<Deps>>, PathId(link): PathId) -> Result<Response, ApiError> {
    open(&deps, &link).await?;
    Ok(page(r#"<h1>No more emails like this?</h1><form method="post"><button>Unsubscribe</button></form>"#))
}

/// Switches off what the link names. Idempotent.
pub(crate) async fn follow(State(deps): State<Arc<Deps>>, PathId(link): PathId) -> Result<Response, ApiError> {
    let asked = open(&deps, &link).await?;
    for _ in 0..ATTEMPTS {
        let profile = deps.users.view(&asked.user, Timestamp::now()).await?.profile.unwrap_or_default();
        let unreadable = || ApiError::Internal("the preferences cannot be read".into());
        let before = profile.preferences.read().ok_or_else(unreadable)?;
        let wanted = asked.apply(Preferences::clone(before));
        // Another link may have been followed meanwhile, and its change must not be lost.
        if wanted == **before || deps.users.change_preferences(&asked.user, before, &wanted).await? {
            return Ok(page("<h1>Done</h1><p>You will receive no more emails like that one.</p>"));
        }
    }
    Err(ApiError::Conflict)
}

async fn open(deps: &Deps, link: &str) -> Result<Unsubscribe, ApiError> {
    let roots = match link::version(link) {
        Some(version) => deps.links.keys_with(version).await,
        None => deps.links.keys().await,
    };
    let opened = link::open(&roots, link).and_then(|link::Opened { app, content }| {
        let asked: Unsubscribe = serde_json::from_slice(&content).ok()?;
        (asked.user.app.as_str() == app).then_some(asked)
    });
    opened.ok_or(ApiError::NotFound("no such link"))
}

fn page(content: &str) -> Response {
    const STYLE: &str = "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem;\
    color-scheme:light dark}\
        button{font:inherit;padding:.6rem 1.2rem}";
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Unsubscribe</title><style>{STYLE}</style>{content}</html>"
    );
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    (headers, Html(html)).into_response()
}
