//! The additions of Tidings to the twin's console: its panels, the documents of its APIs, its records, and the app that
//! the page sends as.

mod files;
mod query;
mod records;

use std::fmt;
use std::sync::OnceLock;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use sam_twin::control::{self, NoParameters, Parameters, refuse};
use sam_twin::extension::{Extension, ExtensionError, File, Parts};
use serde::Serialize;
use serde_json::{Map, Value, json};

use self::files::{DOCUMENTS, FILES};
use self::query::{DevicesQuery, MessagesQuery};
use self::records::{Records, RecordsError};

/// The console of Tidings.
#[derive(Debug, Default)]
pub struct Console {
    app: OnceLock<App>,
}

/// The app that the page sends and registers as.
struct App {
    id: String,
    key: String,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("id", &self.id).field("key", &"***").finish()
    }
}

impl Console {
    /// Lets the page act as this app, from now on. Only the first call has an effect.
    pub fn introduce(&self, id: &str, key: &str) {
        // Only one app can be introduced, because the page reads its configuration once.
        let _ = self.app.set(App { id: id.to_owned(), key: key.to_owned() });
    }
}

impl Extension for Console {
    fn start(&self, parts: Parts<'_>) -> Result<Router, ExtensionError> {
        let Parts { template, dynamodb, aws_url, region, .. } = parts;
        let records = Records::of(template, dynamodb, aws_url, region);
        Ok(Router::new()
            .route("/_twin/devices", get(devices))
            .route("/_twin/messages", get(messages))
            .route("/_twin/messages/{id}", get(message))
            .with_state(records))
    }

    fn console_files(&self) -> Vec<File> {
        FILES.iter().chain(DOCUMENTS).copied().collect()
    }

    fn console_config(&self) -> Map<String, Value> {
        let app = self.app.get();
        let fields = [("appId", app.map(|app| &app.id)), ("appKey", app.map(|app| &app.key))];
        fields.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
    }
}

/// Every user, or one, with devices and connections.
async fn devices(State(records): State<Option<Records>>, Parameters(query): Parameters<DevicesQuery>) -> Response {
    let Some(records) = &records else { return no_records() };
    match query {
        DevicesQuery::Page { limit, after } => answer(records.users(limit, after).await),
        DevicesQuery::One(user) => answer(records.user(user).await),
    }
}

/// The messages that match the query, newest first, with their trails.
async fn messages(State(records): State<Option<Records>>, Parameters(query): Parameters<MessagesQuery>) -> Response {
    let Some(records) = &records else { return no_records() };
    answer(records.messages(query.limit, query.before, &query.filter).await)
}

/// One message of any app, with its trail.
async fn message(State(records): State<Option<Records>>, Path(id): Path<String>, _: NoParameters) -> Response {
    let Some(records) = &records else { return no_records() };
    let Ok(id) = id.parse() else { return refuse(StatusCode::NOT_FOUND, "no message has such an id") };
    match records.message(&id).await {
        Ok(None) => refuse(StatusCode::NOT_FOUND, "no such message, or it is no longer kept"),
        found => answer(found),
    }
}

fn no_records() -> Response {
    refuse(StatusCode::NOT_FOUND, "the template has none of Tidings' tables")
}

fn answer(records: Result<impl Serialize, RecordsError>) -> Response {
    match records {
        Ok(records) => control::answer(&records),
        Err(error) => {
            tracing::error!(%error, "records cannot be read");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
    }
}
