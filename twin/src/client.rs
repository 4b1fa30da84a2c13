//! A client of the control API, and of any other HTTP interface of a twin.
//!
//! ```rust,no_run
//! # async fn example(aws_url: &str) -> Result<(), sam_twin::client::RequestError> {
//! use std::time::Duration;
//!
//! use sam_twin::client::{Client, Method};
//!
//! let client = Client::new(Duration::from_secs(5));
//! let queues: serde_json::Value = client.json(Method::GET, &format!("{aws_url}/_twin/queues")).await?;
//! # Ok(())
//! # }
//! ```

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
pub use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

/// A client of plain HTTP. A clone shares its connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    timeout: Duration,
}

/// The answer to a request, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// A request that got no answer, or not the expected one.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No answer arrived in time.
    #[error("{method} {url}")]
    Unanswered {
        /// The request's method.
        method: Method,
        /// The request's URL.
        url: String,
        /// The reason.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The answer's status is not a success.
    #[error("{url} answered {status}: {body}")]
    Refused {
        /// The request's URL.
        url: String,
        /// The status.
        status: StatusCode,
        /// The body, as text.
        body: String,
    },
    /// The answer's body is not the expected JSON.
    #[error("read the answer of {url}")]
    Unreadable {
        /// The request's URL.
        url: String,
        /// The reason.
        source: serde_json::Error,
    },
}

impl Client {
    /// A client whose requests fail if they are not answered within `timeout`.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { http: legacy::Client::builder(TokioExecutor::new()).build(connector), timeout }
    }

    /// Sends a request and returns the answer.
    ///
    /// # Errors
    /// If the request is malformed, or no answer arrives.
    pub async fn request(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, RequestError> {
        self.exchange(&method, url, headers, body.into()).await.map_err(|source| RequestError::Unanswered {
            method,
            url: url.to_owned(),
            source,
        })
    }

    /// The JSON of a request that has no body and succeeds.
    ///
    /// # Errors
    /// If no answer arrives, its status is not a success, or its body is not a `T`.
    pub async fn json<T: DeserializeOwned>(&self, method: Method, url: &str) -> Result<T, RequestError> {
        let Answer { status, body, .. } = self.request(method, url, &[], Bytes::new()).await?;
        if !status.is_success() {
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(RequestError::Refused { url: url.to_owned(), status, body });
        }
        serde_json::from_slice(&body).map_err(|source| RequestError::Unreadable { url: url.to_owned(), source })
    }

    async fn exchange(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, Box<dyn Error + Send + Sync>> {
        let mut request = http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        let exchange = async {
            let (parts, body) = self.http.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        tokio::time::timeout(self.timeout, exchange).await?
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use serde_json::Value;

    use super::*;
    use crate::cli::failure::Failure;

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a test's own server")]
    async fn every_failure_names_the_request() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/json", get(async || "[1]"))
            .route("/text", get(async || "one"))
            .route("/never", get(std::future::pending::<()>));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let client = Client::new(Duration::from_millis(500));
        let ask = async |path: &str| client.json::<Value>(Method::GET, &format!("{url}{path}")).await;
        let reason = |error: RequestError| Failure::from(error).reason();

        assert_eq!(ask("/json").await.unwrap(), serde_json::json!([1]));
        assert!(reason(ask("/text").await.unwrap_err()).starts_with(&format!("read the answer of {url}/text: ")));
        assert_eq!(reason(ask("/none").await.unwrap_err()), format!("{url}/none answered 404 Not Found: "));
        assert!(reason(ask("/never").await.unwrap_err()).starts_with(&format!("GET {url}/never: deadline")));
        assert!(reason(ask(" ").await.unwrap_err()).starts_with(&format!("GET {url} : ")));
        server.abort();
    }
}
