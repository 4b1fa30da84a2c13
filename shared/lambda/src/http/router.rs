//! The router of an HTTP function on `lambda_http`, and the edge that every request passes.

use axum::{
    Json, Router,
    extract::{MatchedPath, Request},
    http::{Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use lambda_http::{
    RequestExt as _,
    request::RequestContext,
    tower::{Layer as _, util::MapRequestLayer},
};
use tidings_wire::Problem;

use super::{error::ApiError, extract::Invocation};
use crate::{Error, logs};

/// Serves a router until the process ends: problems get the request's id, faults are logged once, unknown routes and methods
/// are problems too.
///
/// # Errors
/// Where the Runtime API cannot be reached.
pub async fn serve(router: Router) -> Result<(), Error> {
    lambda_http::run(MapRequestLayer::new(routed).layer(complete(router))).await
}

/// The request under the URI that its route, its path parameters and its query make.
///
/// API Gateway hands over a path that is decoded. Read as that of a URL, a `#` or `?` in a name would end it there and take the
/// query away, a `/` would split it, and a `%41` be decoded once more: the request would be about something else. Where no route
/// was found, the path is taken as it reads, so that it finds none here either.
fn routed(mut request: lambda_http::Request) -> lambda_http::Request {
    let Some(RequestContext::ApiGatewayV2(context)) = request.request_context_ref() else { return request };
    let route = context.route_key.as_deref().and_then(|key| key.split_once(' '));
    let parameters = request.path_parameters();
    let segment = |segment: &str| match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
        Some(name) => encode(parameters.first(name).unwrap_or_default()),
        None => encode(segment),
    };
    let path: Vec<String> = match route {
        Some((_, path)) => path.split('/').map(segment).collect(),
        None => request.raw_http_path().split('/').map(encode).collect(),
    };
    let uri = format!("{}?{}", path.join("/"), request.query_string_parameters().to_query_string());
    *request.uri_mut() = uri.parse::<Uri>().unwrap_or_default();
    request
}

/// Percent-encodes one segment of a path.
fn encode(segment: &str) -> String {
    form_urlencoded::byte_serialize(segment.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A router with everything that every HTTP function has.
pub fn complete(router: Router) -> Router {
    router
        .fallback(|| async { ApiError::NoRoute })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        // The limit is ours, so that its answer is a problem; API Gateway and Lambda have theirs before it.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .layer(middleware::from_fn(edge))
}

async fn edge(mut request: Request, next: Next) -> Response {
    let invocation = request.lambda_context_ref().map_or_else(Invocation::default, |context| Invocation {
        request_id: context.request_id.clone(),
        trace: context.xray_trace_id.clone(),
    });
    // The route, not the path: what a client writes there may be anything, a token or an address too.
    let path = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    request.extensions_mut().insert(invocation.clone());
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    let request_id = invocation.request_id;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let cause = response.extensions_mut().remove::<std::sync::Arc<ApiError>>();
        let error = cause.map_or_else(String::new, |error| logs::chain(&*error));
        if status >= 500 {
            tracing::error!(%method, path, status, code = problem.code, request_id, error, "request failed");
        } else {
            tracing::info!(%method, path, status, code = problem.code, request_id, "request refused");
        }
        let headers = std::mem::take(response.headers_mut());
        let problem = Problem { request_id: Some(request_id), ..problem };
        response = (response.status(), Json(problem)).into_response();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response
            .headers_mut()
            .extend(headers.into_iter().filter(|(name, _)| name.as_ref() != Some(&header::CONTENT_LENGTH)));
    } else {
        tracing::info!(%method, path, status, request_id, "request served");
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::extract::RawQuery;
    use lambda_http::{request::from_str, tower::Service as _};
    use serde_json::{Value, json};

    use super::*;
    use crate::http::{PathId, pairs};

    /// What a route is told of a request that API Gateway hands over like this: the name, and the pairs of the query.
    async fn told(route_key: &str, raw_path: &str, parameters: Value, query: &str) -> Result<(String, Value), u16> {
        let told = |PathId(name): PathId, RawQuery(query): RawQuery| async move {
            let query: Vec<_> = pairs(&query.unwrap_or_default()).collect();
            Json(json!([name, query]))
        };
        let router = Router::new()
            .route("/v1/items/{item}", axum::routing::put(told))
            .route("/v1/users/{alias}/preferences", axum::routing::put(told));
        let event = json!({
            "version": "2.0", "routeKey": route_key, "rawPath": raw_path, "rawQueryString": query,
            "headers": {"host": "api.example.com"}, "pathParameters": parameters, "isBase64Encoded": false,
            "requestContext": {
                "routeKey": route_key, "stage": "$default", "accountId": "1", "apiId": "a", "requestId": "r",
                "domainName": "api.example.com", "domainPrefix": "api", "time": "", "timeEpoch": 0,
                "http": {"method": "PUT", "path": raw_path, "protocol": "HTTP/1.1", "sourceIp": "::1", "userAgent": ""},
            },
        });
        let request = from_str(&event.to_string()).unwrap();
        let answer = MapRequestLayer::new(routed).layer(complete(router)).call(request).await.unwrap();
        if !answer.status().is_success() {
            return Err(answer.status().as_u16());
        }
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let Value::Array(told) = serde_json::from_slice(&body).unwrap() else { panic!("{body:?}") };
        Ok((told[0].as_str().unwrap().to_owned(), told[1].clone()))
    }

    #[tokio::test]
    async fn a_name_is_what_the_event_says_whatever_its_path_looks_like() {
        let names = [
            "order:4711",
            "order#4711",
            "a?b=c",
            "a/b",
            "x%41",
            "50%",
            "a b",
            "é|ü",
            "+",
            "..",
            "a\\b",
            "\n",
            "{item}",
        ];
        for name in names {
            let path = format!("/v1/items/{name}");
            let query = "tenantCode=north%23%3F&tenantCode=b+c&x=%25";
            let pairs = json!([["tenantCode", "north#?"], ["tenantCode", "b c"], ["x", "%"]]);
            let (item, mut query) = told("PUT /v1/items/{item}", &path, json!({"item": name}), query).await.unwrap();
            // One name's values keep their order; of two names, none comes first.
            query.as_array_mut().unwrap().sort_by_key(|pair| pair[0].to_string());
            assert_eq!((item.as_str(), query), (name, pairs));

            let path = format!("/v1/users/{name}/preferences");
            let answer = told("PUT /v1/users/{alias}/preferences", &path, json!({"alias": name}), "").await;
            assert_eq!(answer, Ok((name.to_owned(), json!([]))));
        }
    }

    #[tokio::test]
    async fn what_the_gateway_knows_no_route_for_finds_none_here() {
        for path in ["/v1/items/order#a/b", "/v1/items/order?a/b", "/v1/items/x/../order", "/v1/items/", "/", ""] {
            assert_eq!(told("$default", path, Value::Null, "").await, Err(404), "{path}");
        }
    }
}
