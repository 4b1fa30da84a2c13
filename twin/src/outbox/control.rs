//! The outbox on the control API.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::{KEPT, Outbox};
use crate::control::{Asked, FromQuery, NoParameters, Parameters, answer, refuse};

/// The policy for the page of an email: it may only be shown. It runs nothing, loads nothing and leads nowhere.
pub(crate) const EMAIL_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'self'; sandbox";

/// The routes.
pub(crate) fn control(outbox: Outbox) -> Router {
    Router::new().route("/_twin/outbox", get(items)).route("/_twin/outbox/{number}/page", get(email)).with_state(outbox)
}

struct ItemsQuery {
    /// Only items after this number.
    after: u64,
    /// How long to wait if there are none.
    wait: Duration,
    /// The most items to return, the newest ones.
    limit: Option<usize>,
}

impl FromQuery for ItemsQuery {
    fn from_query(asked: &mut Asked) -> Self {
        let after = asked.whole("after", 0..=u64::MAX).unwrap_or_default();
        Self { after, wait: asked.wait(), limit: asked.limit_if_given(KEPT) }
    }
}

async fn items(State(outbox): State<Outbox>, Parameters(query): Parameters<ItemsQuery>) -> Response {
    let arrives = outbox.wait_after(query.after);
    let items = tokio::time::timeout(query.wait, arrives).await.unwrap_or_default();
    let skipped = query.limit.map_or(0, |limit| items.len().saturating_sub(limit));
    answer(&&items[skipped..])
}

/// An email as its reader sees it.
async fn email(State(outbox): State<Outbox>, Path(number): Path<u64>, _: NoParameters) -> Response {
    let Some(html) = outbox.item(number).and_then(|item| item.html) else {
        return refuse(StatusCode::NOT_FOUND, "no email with a page has this number");
    };
    // A link may only open another window, which the sandbox forbids: a reader who follows it stays with the email.
    let page = format!("<!doctype html><base target=\"_blank\">{html}");
    ([(header::CONTENT_SECURITY_POLICY, EMAIL_POLICY)], Html(page)).into_response()
}
