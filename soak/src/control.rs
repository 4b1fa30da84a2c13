//! Asking the twin's own API, on its AWS port.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use sam_twin::cli::failure::{Context, Failure};

/// Nothing here takes this long; what does is asked again.
const TIMEOUT: Duration = Duration::from_secs(31);

/// A client of plain HTTP on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Status and body; `Null` for a body that is not JSON.
    async fn ask(&self, method: &Method, url: &str) -> Result<(StatusCode, Value), Failure> {
        let tried = || format!("{method} {url}");
        let request = Request::builder().method(method).uri(url).body(Full::default()).context(tried)?;
        let exchange = async {
            let answer = self.client.request(request).await.context(tried)?;
            let status = answer.status();
            let body = answer.into_body().collect().await.context(tried)?.to_bytes();
            Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
        };
        tokio::time::timeout(TIMEOUT, exchange).await.context(tried)?
    }

    /// The body of an answer that says yes.
    pub(crate) async fn get(&self, url: &str) -> Result<Value, Failure> {
        self.yes(Method::GET, url).await
    }

    pub(crate) async fn yes(&self, method: Method, url: &str) -> Result<Value, Failure> {
        let (status, body) = self.ask(&method, url).await?;
        if status.is_success() { Ok(body) } else { Err(Failure::new(format!("{url} answered {status}: {body}"))) }
    }
}
