//! The choice of the route that a request to an HTTP API takes.
//!
//! As API Gateway chooses: a static segment before a parameter, a parameter before a greedy one, the method's own route
//! before `ANY`, and `$default` last. A trailing slash is a separate, empty segment. A path is decoded before it is
//! split into segments, so an escaped `/` separates two of them, as on AWS.

use std::collections::BTreeMap;

use crate::template::HttpRoute;

/// The routes of an API, ready to be matched.
#[derive(Debug)]
pub(super) struct Routes {
    routes: Vec<(HttpRoute, Vec<Segment>)>,
    default: Option<HttpRoute>,
}

/// A segment of a route, ordered by how well it fits: the least is the best.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Static(String),
    Parameter(String),
    Greedy(String),
}

/// The route that a request takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Match<'a> {
    pub(super) route: &'a HttpRoute,
    /// The values of the path's parameters.
    pub(super) parameters: BTreeMap<String, String>,
}

impl Routes {
    pub(super) fn new(routes: Vec<HttpRoute>) -> Self {
        let (defaults, routes): (Vec<_>, Vec<_>) = routes.into_iter().partition(|route| route.path == "$default");
        let routes = routes.into_iter().map(|route| {
            let segments = segments(&route.path).map(Segment::parse).collect();
            (route, segments)
        });
        Self { routes: routes.collect(), default: defaults.into_iter().next() }
    }

    /// The route of a request whose path is decoded and has no stage in front.
    pub(super) fn find(&self, method: &str, path: &str) -> Option<Match<'_>> {
        let path: Vec<&str> = segments(path).collect();
        let fitting = self.routes.iter().filter(|(route, _)| route.method == method || route.method == "ANY");
        let best = fitting.filter_map(|(route, segments)| Some((route, segments, fit(segments, &path)?))).min_by_key(
            |(route, segments, _)| {
                let ranks: Vec<u8> = segments.iter().map(Segment::rank).collect();
                (ranks, route.method == "ANY")
            },
        );
        match best {
            Some((route, _, parameters)) => Some(Match { route, parameters }),
            None => self.default.as_ref().map(|route| Match { route, parameters: BTreeMap::new() }),
        }
    }
}

impl Segment {
    fn parse(text: &str) -> Self {
        match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(name) => match name.strip_suffix('+') {
                Some(name) => Self::Greedy(name.to_owned()),
                None => Self::Parameter(name.to_owned()),
            },
            None => Self::Static(text.to_owned()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Static(_) => 0,
            Self::Parameter(_) => 1,
            Self::Greedy(_) => 2,
        }
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

/// The parameters, if the path fits the segments.
fn fit(segments: &[Segment], path: &[&str]) -> Option<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    let mut rest = path;
    for segment in segments {
        let (&first, after) = rest.split_first()?;
        match segment {
            Segment::Static(text) if text == first => rest = after,
            Segment::Static(_) => return None,
            Segment::Parameter(name) if !first.is_empty() => {
                parameters.insert(name.clone(), first.to_owned());
                rest = after;
            }
            Segment::Parameter(_) => return None,
            // A greedy parameter takes at least one character.
            Segment::Greedy(_) if rest == [""] => return None,
            Segment::Greedy(name) => {
                parameters.insert(name.clone(), rest.join("/"));
                rest = &[];
            }
        }
    }
    rest.is_empty().then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(keys: &[&str]) -> Routes {
        let routes = keys.iter().map(|key| {
            let (method, path) = key.split_once(' ').unwrap_or(("ANY", key));
            HttpRoute { method: method.to_owned(), path: path.to_owned(), function: key.to_string(), timeout: None }
        });
        Routes::new(routes.collect())
    }

    #[track_caller]
    fn check(routes: &Routes, method: &str, path: &str, expected: Option<&str>) {
        let found = routes.find(method, path);
        assert_eq!(found.map(|found| found.route.function.as_str()), expected, "{method} {path}");
    }

    #[test]
    fn the_most_specific_route_is_taken() {
        let routes = routes(&[
            "ANY /pets/{proxy+}",
            "GET /pets/{id}",
            "ANY /pets/{id}",
            "GET /pets/dog",
            "POST /pets",
            "GET /",
            "$default",
        ]);
        check(&routes, "GET", "/pets/dog", Some("GET /pets/dog"));
        check(&routes, "GET", "/pets/7", Some("GET /pets/{id}"));
        check(&routes, "PUT", "/pets/7", Some("ANY /pets/{id}"));
        check(&routes, "GET", "/pets/7/toys", Some("ANY /pets/{proxy+}"));
        check(&routes, "POST", "/pets", Some("POST /pets"));
        check(&routes, "GET", "/", Some("GET /"));
        check(&routes, "GET", "/pets", Some("$default"));
        check(&routes, "POST", "/pets/", Some("$default"));
    }

    #[test]
    fn without_a_default_route_nothing_else_fits() {
        let routes = routes(&["GET /v1/devices/{deviceId}"]);
        check(&routes, "GET", "/v1/devices", None);
        check(&routes, "GET", "/v1/devices/", None);
        check(&routes, "POST", "/v1/devices/a", None);
        check(&routes, "GET", "/v1/devices/a/b", None);
    }

    #[test]
    fn parameters_are_decoded_no_second_time() {
        let routes = routes(&["GET /v1/{kind}/{rest+}"]);
        let found = routes.find("GET", "/v1/a b/c%3D/d").unwrap();
        assert_eq!(found.parameters["kind"], "a b");
        assert_eq!(found.parameters["rest"], "c%3D/d");
    }
}
