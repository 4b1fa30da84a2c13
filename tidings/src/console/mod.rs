//! What Tidings adds to the twin's console: its panels, the documents of its APIs, its records, and the app that the page
//! sends as.

mod files;
mod records;

use std::fmt;
use std::sync::OnceLock;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sam_twin::extension::{Extension, ExtensionError, File, Parts};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tidings_domain::UserKey;

use self::files::{DOCUMENTS, FILES};
use self::records::filter::Asked;
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
    /// Lets the page act as this app, from now on. The first app stays.
    pub fn introduce(&self, id: &str, key: &str) {
        // An app can be introduced once: the page reads its configuration once, too.
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

fn some() -> usize {
    50
}

#[derive(Deserialize)]
struct DevicesQuery {
    #[serde(default = "some")]
    limit: usize,
    /// What the page before named as `next`.
    after: Option<String>,
    /// Only this user of this app.
    alias: Option<String>,
    #[serde(rename = "appId")]
    app_id: Option<String>,
    #[serde(default)]
    tenant: String,
}

/// Every user, or one, with devices and connections.
async fn devices(State(records): State<Option<Records>>, Query(query): Query<DevicesQuery>) -> Response {
    let Some(records) = &records else { return no_records() };
    let Some(alias) = query.alias else { return answer(records.users(query.limit, query.after.as_deref()).await) };
    let Some(Ok(app)) = query.app_id.map(|id| id.parse()) else {
        return refuse(StatusCode::BAD_REQUEST, "`alias` needs the `appId` of an app");
    };
    answer(records.user(UserKey { app, tenant: query.tenant, alias }).await)
}

#[derive(Deserialize)]
struct MessagesQuery {
    #[serde(default = "some")]
    limit: usize,
    /// What the page before named as `next`.
    before: Option<String>,
}

/// The messages that the query means, newest first, with what became of them.
async fn messages(
    State(records): State<Option<Records>>,
    Query(query): Query<MessagesQuery>,
    Query(asked): Query<Asked>,
) -> Response {
    let Some(records) = &records else { return no_records() };
    match asked.filter() {
        Ok(filter) => answer(records.messages(query.limit, query.before.as_deref(), &filter).await),
        Err(detail) => refuse(StatusCode::BAD_REQUEST, &detail),
    }
}

/// One message of any app, and what became of it.
async fn message(State(records): State<Option<Records>>, Path(id): Path<String>) -> Response {
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
        Ok(records) => axum::Json(records).into_response(),
        Err(error) => {
            tracing::error!(%error, "records cannot be read");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
    }
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, axum::Json(json!({"message": message}))).into_response()
}
