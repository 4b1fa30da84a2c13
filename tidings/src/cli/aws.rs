//! The command line's access to AWS or to an emulator: the table of apps, their secrets, and the stores that a soak
//! reads.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use tidings_crypto::app_key::AppKey;
use tidings_crypto::random;
use tidings_domain::{IdSecret, Timestamp};
use tidings_store::{App, Apps, Vault};

use sam_twin::cli::failure::{Context, Failure};

/// The region if none is configured, which is also the twin's.
const REGION: &str = "us-east-1";

/// The apps of a deployment. One that seals names the KMS key that wraps their keys.
pub(crate) async fn apps(endpoint: Option<&str>, table: &str, seal_key: Option<&str>) -> Apps {
    let config = config(endpoint).await;
    Apps::new(aws_sdk_dynamodb::Client::new(&config), vault_of(&config, table, seal_key), table.to_owned())
}

/// The keyrings of its apps.
pub(crate) async fn vault(endpoint: Option<&str>, table: &str, seal_key: Option<&str>) -> Vault {
    vault_of(&config(endpoint).await, table, seal_key)
}

fn vault_of(config: &SdkConfig, table: &str, seal_key: Option<&str>) -> Vault {
    seal_key.map_or_else(Vault::clear, |key| {
        let client = aws_sdk_dynamodb::Client::new(config);
        Vault::new(client, table.to_owned(), tidings_store::kms(config), key.to_owned())
    })
}

/// Secrets Manager.
pub(crate) async fn secrets(endpoint: Option<&str>) -> aws_sdk_secretsmanager::Client {
    aws_sdk_secretsmanager::Client::new(&config(endpoint).await)
}

/// Requests to an emulator ignore every setting that is meant for the real AWS: profile, retry mode, FIPS, proxy and
/// trusted certificates. Only the credentials may come from the environment.
async fn config(endpoint: Option<&str>) -> SdkConfig {
    match endpoint {
        Some(endpoint) if endpoint.starts_with("http://") => played(endpoint, |name| std::env::var(name).ok()),
        _ => {
            let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
            let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
            if let Some(endpoint) = endpoint {
                loader = loader.endpoint_url(endpoint);
            }
            loader.load().await
        }
    }
}

fn played(endpoint: &str, variable: impl Fn(&str) -> Option<String>) -> SdkConfig {
    // A value that no request could carry counts as unset.
    let set =
        |name: &str| variable(name).filter(|value| !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic()));
    let (key, secret) = match (set("AWS_ACCESS_KEY_ID"), set("AWS_SECRET_ACCESS_KEY")) {
        (Some(key), Some(secret)) => (key, secret),
        _ => ("tidings".to_owned(), "tidings".to_owned()),
    };
    let is_region = |region: &String| region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let region = set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")).filter(is_region);
    let region = region.unwrap_or_else(|| REGION.to_owned());
    let credentials = Credentials::new(key, secret, set("AWS_SESSION_TOKEN"), None, "tidings");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .http_client(Builder::new().build_http())
        .retry_config(RetryConfig::standard())
        .build()
}

/// Creates an app and returns its key, which cannot be read later.
pub(crate) async fn create_app(apps: &Apps, id: &str, name: &str, origins: Vec<String>) -> Result<AppKey, Failure> {
    let key = AppKey::generate(id, random::bytes()?).context(|| format!("make a key for the app {id:?}"))?;
    if put_app(apps, &key, name, origins).await? {
        Ok(key)
    } else {
        Err(Failure::new(format!("there is an app {id:?} already")).hint("choose another --id"))
    }
}

/// Creates the app of `key`; `false` if the id is taken.
pub(crate) async fn put_app(apps: &Apps, key: &AppKey, name: &str, origins: Vec<String>) -> Result<bool, Failure> {
    let (id, secret) = (key.app_id().parse()?, IdSecret::new(random::bytes()?));
    let app = App::new(id, name.to_owned(), key.hash(), secret, origins, Timestamp::now());
    Ok(apps.create(&app).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_plays_aws_is_asked_whatever_is_set_for_the_real_one() {
        let of = |key: &'static str, region: &'static str| {
            played("http://127.0.0.1:1", move |name| match name {
                "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some(key.to_owned()),
                "AWS_REGION" => Some(region.to_owned()),
                _ => None,
            })
        };
        let region = |config: &SdkConfig| config.region().map(ToString::to_string);
        for config in [of("", ""), of(" ", " "), of("AKIA", ""), of("é", "x y"), of("a\nb", "eu_west")] {
            assert_eq!(region(&config).as_deref(), Some(REGION));
            assert_eq!(config.endpoint_url(), Some("http://127.0.0.1:1"));
            assert_eq!((config.use_fips(), config.use_dual_stack()), (None, None));
            // Building the client takes neither certificates nor a profile.
            aws_sdk_dynamodb::Client::new(&config);
        }
        assert_eq!(region(&of("AKIA", "eu-central-1")).as_deref(), Some("eu-central-1"));
    }
}
