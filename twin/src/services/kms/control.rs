//! The keys on the control API, without their material.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;

use super::Kms;
use super::stored::{Key, Stored};
use crate::control::{NoParameters, answer};

/// The routes.
pub(super) fn control(kms: Kms) -> Router {
    Router::new().route("/_twin/keys", get(keys)).with_state(kms)
}

/// A key, for people.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'s> {
    id: &'s str,
    /// The name in the template, if the key is of one.
    logical_id: Option<&'s str>,
    description: &'s str,
    aliases: Vec<String>,
    state: &'static str,
    /// When the key will be deleted, in milliseconds since 1970.
    deletion: Option<u64>,
    grants: usize,
}

async fn keys(State(kms): State<Kms>, _: NoParameters) -> Response {
    let stored = kms.stored();
    let known = stored.keys.iter().filter(|(_, key)| !key.is_gone());
    answer(&known.map(|(id, key)| shown(&stored, id, key)).collect::<Vec<_>>())
}

fn shown<'s>(stored: &'s Stored, id: &'s str, key: &'s Key) -> Shown<'s> {
    Shown {
        id,
        logical_id: key.declared.as_ref().map(|declared| declared.logical_id.as_str()),
        description: &key.description,
        aliases: stored.aliases_of(id),
        state: key.state().name(),
        deletion: key.deletion.map(|at| (at * 1_000.0) as u64),
        grants: stored.grants.values().filter(|grant| grant.key_id == id).count(),
    }
}
