//! DynamoDB: dynoxide behind a separate listener, with the template's tables.
//!
//! Only the HTTP server of dynoxide checks requests as the real service does, so requests are forwarded to that.

mod kind;
mod needs;
mod partiql;
mod service;

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dynoxide::{Database, DynoxideError};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::kind::{Keys, keys_of};
pub use self::service::SERVICE;
use super::call::{OpenError, Opening};
use crate::listener::BoundListener;
use crate::template::Table;

/// How often expired items are deleted. AWS may take days; readers filter on the attribute in either case.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// The reason for which DynamoDB cannot be served.
#[derive(Debug, Error)]
pub enum DynamoDbError {
    /// The database cannot be opened.
    #[error("open the database")]
    Open(#[source] DynoxideError),
    /// Its folder or its listener cannot be opened.
    #[error("prepare the database")]
    Prepare(#[from] io::Error),
    /// A table of the template cannot be created.
    #[error("create the table {table}")]
    Table {
        /// The table's name.
        table: String,
        /// The reason.
        #[source]
        source: DynoxideError,
    },
    /// The database has tables, but none of the template's.
    #[error("which has the tables {tables}")]
    OtherTables {
        /// Their names.
        tables: String,
    },
    /// The template defines a table in a way that DynamoDB does not have.
    #[error("the definition of the table {table} cannot be read")]
    Definition {
        /// The table's name.
        table: String,
        /// The reason.
        #[source]
        source: serde_json::Error,
    },
}

/// DynamoDB with the template's tables. A clone serves the same ones.
#[derive(Clone)]
pub struct DynamoDb(Arc<Inner>);

struct Inner {
    database: Database,
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    /// The key attributes of the template's tables.
    keys: Keys,
    stop: CancellationToken,
    server: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDb").field("address", &self.0.address).finish_non_exhaustive()
    }
}

impl DynamoDb {
    /// The tables of a template, with a task that deletes expired items.
    pub(super) async fn open_for(opening: &Opening<'_>) -> Result<Self, OpenError> {
        let data = opening.data;
        let failed = |error| OpenError::new("serve the tables", error);
        let file = data.tables().map_err(failed)?;
        let opened = Self::open(&opening.template.tables, file.as_deref()).await;
        let dynamodb = opened.map_err(|error| match error {
            DynamoDbError::Open(source) if file.is_some() => {
                failed(data.error(io::Error::new(io::ErrorKind::InvalidData, source.to_string())))
            }
            error @ DynamoDbError::OtherTables { .. } => failed(data.other_template(error.to_string())),
            error => OpenError::new("serve the tables", error),
        })?;
        tokio::spawn(sweep(dynamodb.clone(), dynamodb.0.stop.clone()));
        Ok(dynamodb)
    }

    /// Opens the database, in `file` or in memory, and creates missing tables.
    ///
    /// # Errors
    /// If the file cannot be opened, or a table cannot be created.
    pub async fn open(tables: &[Table], file: Option<&Path>) -> Result<Self, DynamoDbError> {
        let database = match file {
            None => Database::memory(),
            Some(file) => {
                if let Some(folder) = file.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                Database::new(&file.to_string_lossy())
            }
        };
        let database = database.map_err(DynamoDbError::Open)?;
        let listed = database.list_tables(Default::default()).map_err(DynamoDbError::Open)?;
        let known: HashSet<String> = listed.table_names.into_iter().collect();
        let mut others: Vec<&str> = known.iter().map(String::as_str).collect();
        others.retain(|known| tables.iter().all(|table| table.name != *known));
        others.sort_unstable();
        if !others.is_empty() && others.len() == known.len() {
            return Err(DynamoDbError::OtherTables { tables: others.join(", ") });
        }
        if !others.is_empty() {
            let others = others.join(", ");
            tracing::warn!("the data folder keeps tables that the template does not have: {others}");
        }
        for table in tables {
            match known.contains(&table.name) {
                true => compare(&database, table)?,
                false => create(&database, table)?,
            }
        }
        let listener = BoundListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let served = database.clone();
        let server = tokio::spawn(async move {
            if let Err(error) = dynoxide::server::serve_with_shutdown(listener.into_inner(), served, stopped).await {
                tracing::error!("DynamoDB has stopped: {error}");
            }
        });
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let keys = keys_of(tables);
        let server = std::sync::Mutex::new(Some(server));
        Ok(Self(Arc::new(Inner { database, address, client, keys, stop, server })))
    }

    fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// Answers one request of the DynamoDB API.
    pub(super) async fn answer(&self, headers: HeaderMap, body: Bytes) -> Response {
        let mut request = Request::post(format!("http://{}/", self.0.address));
        if let Some(forwarded) = request.headers_mut() {
            *forwarded = headers;
            // These belong to the connection, and the forwarded request has another one.
            for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::HOST] {
                forwarded.remove(name);
            }
        }
        let sent = match request.body(Full::new(body)) {
            Ok(request) => self.0.client.request(request).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match sent {
            Ok(response) => response.map(Body::new),
            Err(error) => {
                tracing::error!("DynamoDB does not answer: {error}");
                let body = json!({"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": error});
                (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(body)).into_response()
            }
        }
    }

    /// Scans a table, with DynamoDB's request and answer. It is for the twin, and bypasses the listener.
    ///
    /// # Errors
    /// If the request is invalid, or the database failed.
    pub async fn scan(&self, request: Value) -> Result<Value, DynoxideError> {
        let database = self.0.database.clone();
        let failed = |error: String| DynoxideError::InternalServerError(error);
        let scanned = tokio::task::spawn_blocking(move || {
            let request = serde_json::from_value(request).map_err(|error| failed(error.to_string()))?;
            serde_json::to_value(database.scan(request)?).map_err(|error| failed(error.to_string()))
        });
        scanned.await.unwrap_or_else(|error| Err(DynoxideError::InternalServerError(error.to_string())))
    }

    /// Deletes the items that have expired, and returns their number.
    ///
    /// # Errors
    /// If the database failed.
    pub async fn sweep(&self) -> Result<usize, DynoxideError> {
        let database = self.0.database.clone();
        let swept = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
        swept.unwrap_or_else(|error| Err(DynoxideError::InternalServerError(error.to_string())))
    }

    /// Finishes the running requests, and stops.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        let server = self.0.server.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(server) = server {
            let _ = server.await;
        }
    }
}

/// Deletes expired items periodically, until the database stops.
async fn sweep(dynamodb: DynamoDb, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(SWEEP_EVERY)).await.is_some() {
        match dynamodb.sweep().await {
            Ok(0) => {}
            Ok(items) => tracing::debug!(items, "deleted expired items"),
            Err(error) => tracing::warn!(%error, "expired items could not be deleted"),
        }
    }
}

/// Warns if a kept table differs from its definition in the template.
fn compare(database: &Database, table: &Table) -> Result<(), DynamoDbError> {
    let unreadable = |source| DynamoDbError::Definition { table: table.name.clone(), source };
    let request = serde_json::from_value(json!({"TableName": table.name})).map_err(unreadable)?;
    let kept = database.describe_table(request);
    let kept = kept.map_err(|source| DynamoDbError::Table { table: table.name.clone(), source })?;
    let kept = serde_json::to_value(&kept).map_err(unreadable)?;
    let shape = |table: &Value| {
        let indexes = table["GlobalSecondaryIndexes"].as_array().into_iter().flatten();
        let mut indexes: Vec<(String, Value)> =
            indexes.map(|index| (index["IndexName"].to_string(), index["KeySchema"].clone())).collect();
        indexes.sort_by(|left, right| left.0.cmp(&right.0));
        (table["KeySchema"].clone(), indexes)
    };
    if shape(&kept["Table"]) != shape(&table.definition) {
        tracing::warn!("another template created the table {}; start with an empty data folder", table.name);
    }
    Ok(())
}

fn create(database: &Database, table: &Table) -> Result<(), DynamoDbError> {
    let unreadable = |source| DynamoDbError::Definition { table: table.name.clone(), source };
    let failed = |source| DynamoDbError::Table { table: table.name.clone(), source };
    let request = serde_json::from_value(table.definition.clone()).map_err(unreadable)?;
    database.create_table(request).map_err(failed)?;
    if let Some(attribute) = &table.ttl_attribute {
        let request = json!({
            "TableName": table.name,
            "TimeToLiveSpecification": {"AttributeName": attribute, "Enabled": true},
        });
        let request = serde_json::from_value(request).map_err(unreadable)?;
        database.update_time_to_live(request).map_err(failed)?;
    }
    Ok(())
}
