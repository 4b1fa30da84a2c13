//! Apps and their keys, in the `Directory` table.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tidings_domain::{AppId, IdSecret, Seal, Timestamp, chain::Chains};

use crate::{StoreError, Vault, error::took_place, families, item, keys};

/// The apps of a deployment.
#[derive(Clone, Debug)]
pub struct Apps {
    client: aws_sdk_dynamodb::Client,
    vault: Vault,
    table: String,
}

/// An app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct App {
    /// Its id.
    pub id: AppId,
    /// Its display name.
    pub name: String,
    /// SHA-256 of each of its keys; the keys themselves are shown once and never stored.
    pub key_hashes: Vec<String>,
    /// The secret from which the ids of its keyed messages are derived.
    pub id_secret: IdSecret,
    /// Origins whose pages may connect; empty for any.
    pub origins: Vec<String>,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created: i64,
    /// The chains for messages that do not name their steps.
    #[serde(default)]
    pub chains: Chains,
    /// The categories that it has declared; empty for any.
    #[serde(default)]
    pub categories: BTreeSet<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AppItem {
    pk: String,
    sk: String,
    #[serde(flatten)]
    app: App,
}

impl App {
    /// A new app with one key.
    #[must_use]
    pub fn new(
        id: AppId,
        name: String,
        key_hash: String,
        id_secret: IdSecret,
        origins: Vec<String>,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            name,
            key_hashes: vec![key_hash],
            id_secret,
            origins,
            created: now.0,
            chains: Chains::default(),
            categories: BTreeSet::new(),
        }
    }
}

impl Apps {
    /// Over the `Directory` table.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, vault: Vault, table: String) -> Self {
        Self { client, vault, table }
    }

    /// Creates an app; `false` if one with its id exists.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn create(&self, app: &App) -> Result<bool, StoreError> {
        const OPERATION: &str = "create app";
        let item = AppItem { pk: keys::directory_app(&app.id), sk: keys::APP.to_owned(), app: app.clone() };
        let item = match self.vault.make(&app.id).await? {
            Some(made) => {
                let mut item = item::write(OPERATION, &families::APP, &made.seal, item)?;
                made.add_to(&mut item);
                item
            }
            None => item::write(OPERATION, &families::APP, &Seal::Clear, item)?,
        };
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        took_place(OPERATION, put)
    }

    /// Replaces an app's chains; `false` if there is no such app.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_chains(&self, id: &AppId, chains: &Chains) -> Result<bool, StoreError> {
        self.set("write chains", id, "chains", chains).await
    }

    /// Replaces an app's declared categories; `false` if there is no such app.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_categories(&self, id: &AppId, categories: &BTreeSet<String>) -> Result<bool, StoreError> {
        self.set("write categories", id, "categories", categories).await
    }

    /// Writes one attribute of an app; `false` if there is no such app.
    async fn set<T: Serialize>(
        &self,
        operation: &'static str,
        id: &AppId,
        attribute: &str,
        value: T,
    ) -> Result<bool, StoreError> {
        let value = serde_dynamo::to_attribute_value(value).map_err(|source| StoreError::item(operation, source))?;
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(keys::PK, keys::text(keys::directory_app(id)))
            .key(keys::SK, keys::text(keys::APP))
            .update_expression("SET #attribute = :value")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#attribute", attribute)
            .expression_attribute_values(":value", value)
            .send()
            .await;
        took_place(operation, update)
    }

    /// An app.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: &AppId) -> Result<Option<App>, StoreError> {
        const OPERATION: &str = "read app";
        let answer = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(keys::PK, keys::text(keys::directory_app(id)))
            .key(keys::SK, keys::text(keys::APP))
            .send()
            .await
            .map_err(|error| StoreError::request(OPERATION, error))?;
        let Some(item) = answer.item else { return Ok(None) };
        let seal = self.vault.of_item(id, &item).await?;
        Ok(Some(item::open::<AppItem>(OPERATION, &families::APP, &seal, item)?.app))
    }
}
