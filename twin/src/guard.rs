//! Protection of the listeners from foreign pages. The twin trusts every client that reaches it, and a browser reaches
//! loopback: any page may send a request to any port, and a page whose name resolves to this address (DNS rebinding)
//! may read the answer, too.

use std::net::IpAddr;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

/// Admits the requests that are meant for a listener at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    address: IpAddr,
    pages: Pages,
}

/// The pages that a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Its own pages.
    Own,
    /// None: its clients are programs.
    None,
}

impl Guard {
    /// The guard of a listener at this address.
    #[must_use]
    pub const fn new(address: IpAddr, pages: Pages) -> Self {
        Self { address, pages }
    }

    /// Refuses requests that are not meant for this router, with 403.
    pub fn protect(self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self, refuse))
    }

    /// Whether to admit a request: it names this listener, and if it may change anything, no foreign page has sent it.
    fn admits(self, method: &Method, headers: &HeaderMap) -> bool {
        let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let Some(host) = text(header::HOST) else { return false };
        // A browser names the page's origin in every request that may change anything, and hides the answers to others
        // from the page.
        let is_ours = match (text(header::ORIGIN), self.pages) {
            (None, _) => true,
            (Some(origin), Pages::Own) => origin.strip_prefix("http://") == Some(host),
            (Some(_), Pages::None) => false,
        };
        self.is_named(host) && (method.is_safe() || is_ours)
    }

    /// Whether this is a name of the listener. The port may differ, because ports can be forwarded.
    fn is_named(self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let own = self.address;
        let is_own = |ip: IpAddr| ip.is_loopback() || own.is_unspecified() || ip == own;
        name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_own)
    }
}

async fn refuse(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if guard.admits(request.method(), request.headers()) {
        return next.run(request).await;
    }
    let message = "this listener accepts requests only under its own address, and from no page but its own";
    (StatusCode::FORBIDDEN, axum::Json(serde_json::json!({"message": message}))).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn guard(address: &str, pages: Pages) -> Guard {
        Guard::new(address.parse().unwrap(), pages)
    }

    #[test]
    fn a_name_that_is_not_its_own_is_refused() {
        let local = guard("127.0.0.1", Pages::Own);
        for host in ["127.0.0.1:7403", "localhost:7403", "LOCALHOST", "[::1]:7403", "127.0.0.2", "localhost:80"] {
            assert!(local.is_named(host), "{host}");
        }
        for host in
            ["", "evil.example", "localhost.evil.example:7403", "192.168.0.7:7403", "127.0.0.1.evil.example", "[::2]"]
        {
            assert!(!local.is_named(host), "{host}");
        }
        assert!(guard("192.168.0.7", Pages::Own).is_named("192.168.0.7:7403"));
        assert!(guard("0.0.0.0", Pages::Own).is_named("192.168.0.7:7403"));
        assert!(!guard("0.0.0.0", Pages::Own).is_named("evil.example"));
    }

    #[test]
    fn what_changes_something_comes_from_its_own_page_or_from_none() {
        let admits = |pages, method: Method, origin: Option<&'static str>| {
            let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("localhost:7403"))]);
            headers.extend(origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))));
            guard("127.0.0.1", pages).admits(&method, &headers)
        };
        assert!(admits(Pages::Own, Method::POST, None) && admits(Pages::None, Method::POST, None));
        assert!(admits(Pages::Own, Method::POST, Some("http://localhost:7403")));
        assert!(!admits(Pages::None, Method::POST, Some("http://localhost:7403")));
        for origin in ["http://localhost:3000", "https://localhost:7403", "http://evil.example", "null", ""] {
            for pages in [Pages::Own, Pages::None] {
                assert!(!admits(pages, Method::POST, Some(origin)), "{origin}");
                assert!(!admits(pages, Method::DELETE, Some(origin)), "{origin}");
                // The browser hides the answer from the page.
                assert!(admits(pages, Method::GET, Some(origin)), "{origin}");
            }
        }
        let nameless = guard("127.0.0.1", Pages::Own).admits(&Method::GET, &HeaderMap::new());
        assert!(!nameless, "a request without a host");
    }
}
