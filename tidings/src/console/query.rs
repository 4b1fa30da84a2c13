//! The queries of requests for records.

use sam_twin::control::{Asked, FromQuery};
use tidings_domain::UserKey;

use super::records::filter::Filter;
use super::records::{ListKey, PAGE};

/// The users of `GET /_twin/devices`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DevicesQuery {
    /// At most `limit` users after this one.
    Page { limit: usize, after: Option<String> },
    /// One user.
    One(UserKey),
}

impl FromQuery for DevicesQuery {
    fn from_query(asked: &mut Asked) -> Self {
        let (limit, after) = (asked.limit(PAGE), asked.text("after"));
        let is_user = |user: &String| UserKey::decode(user).is_ok();
        if after.as_ref().is_some_and(|user| !is_user(user)) {
            asked.refuse("`after` takes the `next` of the page before");
        }
        let page = Self::Page { limit, after };
        let (app, alias, tenant) = (asked.text("appId"), asked.text("alias"), asked.text("tenant"));
        let Some(alias) = alias else {
            if app.is_some() || tenant.is_some() {
                asked.refuse("`appId` and `tenant` need the `alias` of a user");
            }
            return page;
        };
        if alias.is_empty() {
            asked.refuse("`alias` is empty");
        }
        match app.map(|id| id.parse()) {
            Some(Ok(app)) => Self::One(UserKey { app, tenant: tenant.unwrap_or_default(), alias }),
            Some(Err(_)) | None => {
                asked.refuse("`alias` needs the `appId` of an app");
                page
            }
        }
    }
}

/// The messages of `GET /_twin/messages`: those that match the filter, before a key.
#[derive(Debug)]
pub(super) struct MessagesQuery {
    pub(super) limit: usize,
    pub(super) before: Option<ListKey>,
    pub(super) filter: Filter,
}

impl FromQuery for MessagesQuery {
    fn from_query(asked: &mut Asked) -> Self {
        let limit = asked.limit(PAGE);
        let before = asked.text("before").and_then(|text| {
            let key = key(&text);
            if key.is_none() {
                asked.refuse("`before` takes the `next` of the page before");
            }
            key
        });
        Self { limit, before, filter: Filter::read(asked) }
    }
}

/// The key in the list that an answer has as `next`.
fn key(text: &str) -> Option<ListKey> {
    let (accepted, id) = text.split_once('.')?;
    let is_id = id.parse::<tidings_domain::MessageId>().is_ok();
    is_id.then(|| Some((accepted.parse().ok()?, id.to_owned())))?
}
