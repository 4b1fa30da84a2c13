//! The console: a page that shows what the twin has, on a listener of its own.
//!
//! The page's files are within this program: the twin's own, and those of its extensions. Beside them the listener serves
//! `config.json`, which tells the page where everything is; the control API, under `/_twin/`; and the HTTP API, at every other
//! path. So the page asks one origin only, and no other page may ask it for anything.

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

/// What the page is told. A clone tells the same.
#[derive(Debug, Clone)]
pub struct Console(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Where the HTTP API is, seen from the page: nowhere else, or below its stage.
    api_path: String,
    socket_url: String,
    address: IpAddr,
    extensions: Vec<Arc<dyn Extension>>,
}

impl Console {
    /// A console at this address. `stage` is the HTTP API's, where it has one in its paths.
    #[must_use]
    pub fn new(address: IpAddr, socket_url: &str, stage: Option<&str>, extensions: Vec<Arc<dyn Extension>>) -> Self {
        let api_path = stage.map(|stage| format!("/{stage}")).unwrap_or_default();
        Self(Arc::new(Inner { api_path, socket_url: socket_url.to_owned(), address, extensions }))
    }

    /// A router that serves the page, and hands the rest on: `control` is the control API, `api` the HTTP API.
    pub fn router(&self, control: Router, api: Router) -> Router {
        let mut page = Router::new().route("/config.json", get(config).with_state(self.clone()));
        for File { name, kind, body } in self.files() {
            let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
            page = page.route(&path, get(move || async move { ([(header::CONTENT_TYPE, kind)], body) }));
        }
        let all = page.merge(control).merge(api).layer(middleware::from_fn_with_state(self.clone(), on_one_origin));
        Guard::new(self.0.address, Pages::Own).protect(all)
    }

    /// Every file once: that of the last extension that has one of its name.
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

    /// Nothing is loaded from anywhere else, and no text ever becomes HTML or a script. The pages of emails may be
    /// framed; everything else here refuses to be.
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
    // Without it the HTTP API lets no other origin read what it answers here.
    request.headers_mut().remove(header::ORIGIN);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    // No function's answer has a say in it.
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
