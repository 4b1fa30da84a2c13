//! The roles on the control API.

use axum::Router;
use axum::routing::get;
use serde::Serialize;

use super::{Refusal, Right, Roles};
use crate::control::{NoParameters, answer};

/// The rights of the template, and their use.
#[derive(Debug, Serialize)]
struct Report {
    rights: usize,
    used: usize,
    unused: Vec<Right>,
    refused: Vec<Refusal>,
}

/// `GET /_twin/rights`
pub(crate) fn control(roles: Roles) -> Router {
    let report = move |_: NoParameters| async move {
        let rights = roles.rights();
        let used = rights.values().filter(|used| **used).count();
        let count = rights.len();
        let unused = rights.into_iter().filter(|(_, used)| !used).map(|(right, _)| right).collect();
        answer(&Report { rights: count, used, unused, refused: roles.refusals() })
    };
    Router::new().route("/_twin/rights", get(report))
}
