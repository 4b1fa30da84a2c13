//! The console: a page that shows what the twin has, on a listener of its own.
//!
//! The page's files are in `local/console` and within this program. Beside them the listener serves `config.json`, which
//! tells the page where everything is; the control API, under `/_tidings/`; and the HTTP API, at every other path. So the page
//! asks one origin only, and no other page may ask it for anything.

mod files;
mod records;

pub use records::{Records, RecordsError};

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use self::files::{DOCUMENTS, FILES};

/// What the page is told. A clone tells the same.
#[derive(Debug, Clone)]
pub struct Console(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Where the HTTP API is, seen from the page: nowhere else, or below its stage.
    api_path: String,
    socket_url: String,
    address: IpAddr,
    app: OnceLock<App>,
}

/// The app that the page sends and registers as.
struct App {
    id: String,
    key: String,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("id", &self.id).field("key", &"***").finish()
    }
}

impl Console {
    /// A console at this address. `stage` is the HTTP API's, where it has one in its paths.
    #[must_use]
    pub fn new(address: IpAddr, socket_url: &str, stage: Option<&str>) -> Self {
        let api_path = stage.map(|stage| format!("/{stage}")).unwrap_or_default();
        Self(Arc::new(Inner { api_path, socket_url: socket_url.to_owned(), address, app: OnceLock::new() }))
    }

    /// Lets the page act as this app, from now on. The first app stays.
    pub fn introduce(&self, id: &str, key: &str) {
        // An app can be introduced once: the page reads its configuration once, too.
        let _ = self.0.app.set(App { id: id.to_owned(), key: key.to_owned() });
    }

    /// A router that serves the page, and hands the rest on: `control` is the control API, `api` the HTTP API.
    pub fn router(&self, control: Router, api: Router) -> Router {
        let mut page = Router::new().route("/config.json", get(config).with_state(self.clone()));
        for (name, kind, body) in FILES.iter().chain(DOCUMENTS) {
            let path = if *name == "index.html" { "/".to_owned() } else { format!("/{name}") };
            page = page.route(&path, get(move || async move { ([(header::CONTENT_TYPE, *kind)], *body) }));
        }
        page.merge(control).merge(api).layer(middleware::from_fn_with_state(self.clone(), guard))
    }

    fn config(&self) -> Value {
        let Inner { api_path, socket_url, app, .. } = &*self.0;
        let app = app.get();
        json!({
            "apiUrl": api_path,
            "socketUrl": socket_url,
            "appId": app.map(|app| &app.id),
            "appKey": app.map(|app| &app.key),
            "twin": true,
        })
    }

    /// Nothing is loaded from anywhere else, and no text ever becomes HTML or a script.
    fn policy(&self) -> String {
        let socket = self.0.socket_url.split('/').take(3).collect::<Vec<_>>().join("/");
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {socket}; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
             trusted-types 'none'"
        )
    }

    /// Whether a request names this listener. A page of another name that resolves to this address (DNS rebinding) does not.
    /// Its port may be another one: ports are forwarded.
    fn is_named(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let own = self.0.address;
        let is_own = |ip: IpAddr| ip.is_loopback() || own.is_unspecified() || ip == own;
        name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_own)
    }

    /// Whether a request may come in: it names this listener, and where it changes anything, this page has sent it or no page
    /// at all.
    fn admits(&self, method: &Method, headers: &HeaderMap) -> bool {
        let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let Some(host) = text(header::HOST) else { return false };
        let is_ours = text(header::ORIGIN).is_none_or(|origin| origin.strip_prefix("http://") == Some(host));
        self.is_named(host) && (method.is_safe() || is_ours)
    }
}

async fn config(State(console): State<Console>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], axum::Json(console.config())).into_response()
}

async fn guard(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    if !console.admits(request.method(), request.headers()) {
        let refused =
            axum::Json(json!({"message": "the console is asked by its own page only, under its own address"}));
        return (StatusCode::FORBIDDEN, refused).into_response();
    }
    // Without it the HTTP API lets no other origin read what it answers here.
    request.headers_mut().remove(header::ORIGIN);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if let Ok(policy) = HeaderValue::try_from(console.policy()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    // A new twin has new files at the same address.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(address: &str) -> Console {
        Console::new(address.parse().unwrap(), "ws://127.0.0.1:7401/prod", None)
    }

    #[test]
    fn a_name_that_is_not_its_own_is_refused() {
        let local = console("127.0.0.1");
        for host in ["127.0.0.1:7403", "localhost:7403", "LOCALHOST", "[::1]:7403", "127.0.0.2", "localhost:80"] {
            assert!(local.is_named(host), "{host}");
        }
        for host in
            ["", "evil.example", "localhost.evil.example:7403", "192.168.0.7:7403", "127.0.0.1.evil.example", "[::2]"]
        {
            assert!(!local.is_named(host), "{host}");
        }
        assert!(console("192.168.0.7").is_named("192.168.0.7:7403"));
        assert!(console("0.0.0.0").is_named("192.168.0.7:7403"));
        assert!(!console("0.0.0.0").is_named("evil.example"));
    }

    #[test]
    fn what_changes_something_comes_from_its_own_page_or_from_none() {
        let admits = |method: Method, origin: Option<&'static str>| {
            let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost:7403"))]);
            headers.extend(origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))));
            console("127.0.0.1").admits(&method, &headers)
        };
        assert!(admits(Method::POST, None) && admits(Method::POST, Some("http://localhost:7403")));
        for origin in ["http://localhost:3000", "https://localhost:7403", "http://evil.example", "null", ""] {
            assert!(!admits(Method::POST, Some(origin)) && !admits(Method::DELETE, Some(origin)), "{origin}");
            // What it would read, its browser keeps from it.
            assert!(admits(Method::GET, Some(origin)), "{origin}");
        }
        assert!(!console("127.0.0.1").admits(&Method::GET, &HeaderMap::new()), "a request without a host");
    }

    #[test]
    fn the_policy_names_the_one_socket() {
        let policy = console("127.0.0.1").policy();
        assert!(policy.contains("connect-src 'self' ws://127.0.0.1:7401; "), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    }
}
