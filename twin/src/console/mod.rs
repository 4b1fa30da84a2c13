//! The console: a page that shows the state of the twin, on a separate listener.
//!
//! The page's files are built into the program: those of the twin, and those of its extensions. Beside them the
//! listener serves `config.json`, which gives the page all addresses; the control API, under `/_twin/`; and the HTTP
//! API, at every other path. So the page needs a single origin, and no other page may send requests to it.

pub mod files;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::extension::{Extension, File};
use crate::guard::{Guard, Pages};
use crate::outbox::EMAIL_POLICY;

/// The console's settings. A clone shares them.
#[derive(Debug, Clone)]
pub struct Console(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The path of the HTTP API, as the page sees it: empty, or its stage.
    api_path: String,
    socket_url: String,
    address: IpAddr,
    extensions: Vec<Arc<dyn Extension>>,
}

impl Console {
    /// A console at this address. `stage` is that of the HTTP API, if it is part of its paths.
    #[must_use]
    pub fn new(address: IpAddr, socket_url: &str, stage: Option<&str>, extensions: Vec<Arc<dyn Extension>>) -> Self {
        let api_path = stage.map(|stage| format!("/{stage}")).unwrap_or_default();
        Self(Arc::new(Inner { api_path, socket_url: socket_url.to_owned(), address, extensions }))
    }

    /// A router that serves the page, and passes other requests on: `control` is the control API, `api` the HTTP API.
    pub fn router(&self, control: Router, api: Router) -> Router {
        let mut page = Router::new().route("/config.json", get(config).with_state(self.clone()));
        for File { name, kind, body } in self.files() {
            let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
            page = page.route(&path, get(move || async move { ([(header::CONTENT_TYPE, kind)], body) }));
        }
        let all = page.merge(control).merge(api).layer(middleware::from_fn_with_state(self.clone(), on_one_origin));
        Guard::new(self.0.address, Pages::Own).protect(all)
    }

    /// Every file once. Of several with one name, the last extension's wins.
    fn files(&self) -> impl Iterator<Item = File> {
        let more = self.0.extensions.iter().flat_map(|extension| extension.console_files());
        let files: BTreeMap<&str, File> =
            files::OWN.iter().copied().chain(more).map(|file| (file.name, file)).collect();
        files.into_values()
    }

    fn config(&self) -> Value {
        let Inner { api_path, socket_url, extensions, .. } = &*self.0;
        let mut config = json!({"apiUrl": api_path, "socketUrl": socket_url, "twin": true});
        for (name, value) in extensions.iter().flat_map(|extension| extension.console_config()) {
            config[name] = value;
        }
        config
    }

    /// The Content-Security-Policy: the page loads nothing from elsewhere, and no text ever becomes HTML or a script.
    /// Only the pages of emails may be framed.
    fn policy(&self) -> String {
        let socket = self.0.socket_url.split('/').take(3).collect::<Vec<_>>().join("/");
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {socket}; \
             frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'"
        )
    }
}

async fn config(State(console): State<Console>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], axum::Json(console.config())).into_response()
}

async fn on_one_origin(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    // Without an origin, the HTTP API adds no CORS headers that would let other origins read its answers.
    request.headers_mut().remove(header::ORIGIN);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    // A function's answer cannot change these headers.
    let is_email = headers.get(header::CONTENT_SECURITY_POLICY).is_some_and(|policy| policy == EMAIL_POLICY);
    if let (false, Ok(policy)) = (is_email, HeaderValue::try_from(console.policy())) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    // A new twin has new files at the same address.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_one_socket() {
        let policy = Console::new([127, 0, 0, 1].into(), "ws://127.0.0.1:7401/prod", None, Vec::new()).policy();
        assert!(policy.contains("connect-src 'self' ws://127.0.0.1:7401; "), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    }
}
