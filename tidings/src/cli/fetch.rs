//! Reading a page of the twin's control API, or an emulator's.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

use sam_twin::cli::failure::{Context, Failure};

/// The JSON at a plain `http://` address of this machine.
pub(crate) async fn json<T: DeserializeOwned>(url: &str) -> Result<T, Failure> {
    let tried = || format!("read {url}");
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let asked = client.get(url.parse().context(tried)?);
    let answer = tokio::time::timeout(Duration::from_secs(5), asked).await.context(tried)?.context(tried)?;
    let status = answer.status();
    if !status.is_success() {
        return Err(Failure::new(format!("{url} answered {status}")));
    }
    let body = answer.into_body().collect().await.context(tried)?.to_bytes();
    serde_json::from_slice(&body).context(tried)
}
