//! The command line's own access to AWS, or to what plays it: the table of apps, their secrets, and what a soak looks at.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use tidings_crypto::app_key::AppKey;
use tidings_crypto::random;
use tidings_domain::Timestamp;
use tidings_store::{App, Apps};

use sam_twin::cli::failure::{Context, Failure};

/// The region where nothing says otherwise; what the twin believes to be in.
const REGION: &str = "us-east-1";

/// The apps of a deployment.
pub(crate) async fn apps(endpoint: Option<&str>, table: &str) -> Apps {
    Apps::new(dynamodb(endpoint).await, table.to_owned())
}

/// DynamoDB.
pub(crate) async fn dynamodb(endpoint: Option<&str>) -> aws_sdk_dynamodb::Client {
    aws_sdk_dynamodb::Client::new(&config(endpoint).await)
}

/// Secrets Manager.
pub(crate) async fn secrets(endpoint: Option<&str>) -> aws_sdk_secretsmanager::Client {
    aws_sdk_secretsmanager::Client::new(&config(endpoint).await)
}

/// With an endpoint, credentials may be missing: what plays AWS does not check them.
async fn config(endpoint: Option<&str>) -> SdkConfig {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    if let Some(endpoint) = endpoint {
        loader = loader.endpoint_url(endpoint);
        if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
            loader = loader.credentials_provider(Credentials::new("tidings", "tidings", None, None, "tidings"));
        }
        if std::env::var_os("AWS_REGION").is_none() && std::env::var_os("AWS_DEFAULT_REGION").is_none() {
            loader = loader.region(Region::from_static(REGION));
        }
    }
    loader.load().await
}

/// A new app and its key, which nobody can read again.
pub(crate) async fn create_app(apps: &Apps, id: &str, name: &str, origins: Vec<String>) -> Result<AppKey, Failure> {
    let key = AppKey::generate(id, random::bytes()?).context(|| format!("make a key for the app {id:?}"))?;
    if put_app(apps, &key, name, origins).await? {
        Ok(key)
    } else {
        Err(Failure::new(format!("there is an app {id:?} already")).hint("choose another --id"))
    }
}

/// Creates the app of `key`; `false` where there is one with its id.
pub(crate) async fn put_app(apps: &Apps, key: &AppKey, name: &str, origins: Vec<String>) -> Result<bool, Failure> {
    let app = App::new(key.app_id().parse()?, name.to_owned(), key.hash(), origins, Timestamp::now());
    Ok(apps.create(&app).await?)
}
