use axum::{Extension, http::HeaderMap, routing};
use serde_json::{Value, json};

use super::*;
use crate::http::{Checked, PathId, Query};

/// The event of a request, as API Gateway sends it.
fn event(route_key: &str, method: &str, raw_path: &str, parameters: &Value, query: &str, headers: &Value) -> Value {
    json!({
        "version": "2.0", "routeKey": route_key, "rawPath": raw_path, "rawQueryString": query,
        "headers": headers, "pathParameters": parameters, "isBase64Encoded": false,
        "requestContext": {
            "routeKey": route_key, "stage": "$default", "accountId": "1", "apiId": "a", "requestId": "r",
            "domainName": "api.example.com", "domainPrefix": "api", "time": "", "timeEpoch": 0,
            "http": {"method": method, "path": raw_path, "protocol": "HTTP/1.1", "sourceIp": "::1", "userAgent": ""},
        },
    })
}

async fn answered(router: Router, event: Value) -> Value {
    let event = LambdaEvent::new(serde_json::from_value(event).unwrap(), lambda_runtime::Context::default());
    serde_json::to_value(answer(complete(router), event).await.unwrap()).unwrap()
}

/// What a route reads from a request in this form: the name, and the pairs of the query.
async fn seen(route_key: &str, raw_path: &str, parameters: Value, query: &str) -> Result<(String, Value), u16> {
    let seen =
        |PathId(name): PathId, Extension(Query(query)): Extension<Query>| async move { Json(json!([name, query])) };
    let router = Router::new()
        .route("/v1/items/{item}", routing::put(seen))
        .route("/v1/users/{alias}/preferences", routing::put(seen));
    let event = event(route_key, "PUT", raw_path, &parameters, query, &json!({"host": "api.example.com"}));
    let answer = answered(router, event).await;
    if answer["statusCode"] != 200 {
        return Err(answer["statusCode"].as_u64().unwrap().try_into().unwrap());
    }
    let Value::Array(seen) = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap() else {
        panic!("{answer}")
    };
    Ok((seen[0].as_str().unwrap().to_owned(), seen[1].clone()))
}

#[tokio::test]
async fn a_name_is_the_events_parameter_whatever_its_path_looks_like() {
    let names =
        ["order:4711", "order#4711", "a?b=c", "a/b", "x%41", "50%", "a b", "é|ü", "+", "..", "a\\b", "\n", "{item}"];
    for name in names {
        let path = format!("/v1/items/{name}");
        let query = "tenantCode=north%23%3F&tenantCode=b+c&x=%25";
        let pairs = json!([["tenantCode", "north#?"], ["tenantCode", "b c"], ["x", "%"]]);
        let (item, query) = seen("PUT /v1/items/{item}", &path, json!({"item": name}), query).await.unwrap();
        assert_eq!((item.as_str(), query), (name, pairs));

        let path = format!("/v1/users/{name}/preferences");
        let answer = seen("PUT /v1/users/{alias}/preferences", &path, json!({"alias": name}), "").await;
        assert_eq!(answer, Ok((name.to_owned(), json!([]))));
    }
}

#[tokio::test]
async fn a_path_without_a_route_at_the_gateway_has_none_here() {
    for path in ["/v1/items/order#a/b", "/v1/items/order?a/b", "/v1/items/x/../order", "/v1/items/", "/", ""] {
        assert_eq!(seen("$default", path, Value::Null, "").await, Err(404), "{path}");
    }
}

/// Text that a client may put into a query or a header, and that a URI may not hold.
#[tokio::test]
async fn any_query_or_header_is_read_without_a_panic() {
    for (query, pairs) in [
        ("a=<b>", json!([["a", "<b>"]])),
        ("a=\"b\"", json!([["a", "\"b\""]])),
        ("a=b c", json!([["a", "b c"]])),
        ("a=\u{7f}", json!([["a", "\u{7f}"]])),
        ("a=\u{0}\n", json!([["a", "\u{0}\n"]])),
        ("a={}|\\^`", json!([["a", "{}|\\^`"]])),
        ("a=é&é=中", json!([["a", "é"], ["é", "中"]])),
        ("a=%", json!([["a", "%"]])),
        ("a=%zz%f", json!([["a", "%zz%f"]])),
        ("#?=/", json!([["#?", "/"]])),
        ("&&", json!([])),
    ] {
        let answer = seen("PUT /v1/items/{item}", "/v1/items/x", json!({"item": "x"}), query).await;
        assert_eq!(answer, Ok(("x".to_owned(), pairs)), "{query:?}");
    }
    let long = format!("a={}", "中".repeat(100_000));
    assert!(seen("PUT /v1/items/{item}", "/v1/items/x", json!({"item": "x"}), &long).await.is_ok());
    let long = "中".repeat(100_000);
    assert_eq!(seen("PUT /v1/items/{item}", "/", json!({"item": long}), "").await, Err(404));
}

#[tokio::test]
async fn a_bad_host_or_header_is_no_fault_and_no_header_is_lost() {
    let seen = |headers: HeaderMap| async move {
        let named = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Json(json!(named("idempotency-key")))
    };
    for host in ["", " ", "<", "a b", "[::1", "http://", "a@b:x", "中", "a\u{7f}b", "\u{0}", "a/b?c#d", "%"] {
        let router = Router::new().route("/v1/x", routing::get(seen));
        let headers = json!({"host": host, "idempotency-key": "a\u{1}b", "bad name": "x", "": "y"});
        let answer = answered(router, event("GET /v1/x", "GET", "/v1/x", &Value::Null, "", &headers)).await;
        assert_eq!(answer["statusCode"], 200, "{host:?}");
        let key: String = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        assert_eq!(key, "a\u{fffd}b", "{host:?}");
    }
}

#[tokio::test]
async fn head_is_get_without_a_body_and_other_methods_get_the_list_of_allowed_ones() {
    let fails = || async { ApiError::NotFound("nothing there") };
    let router = || {
        Router::new()
            .route("/v1/x", routing::get(|| async { Json(json!({"a": 1})) }).delete(|| async {}))
            .route("/v1/y", routing::get(fails))
            .route("/v1/z", routing::post(|| async {}))
    };
    let ask = |method: &'static str, path: &'static str| async move {
        answered(router(), event(&format!("ANY {path}"), method, path, &Value::Null, "", &json!({}))).await
    };
    let (get, head) = (ask("GET", "/v1/x").await, ask("HEAD", "/v1/x").await);
    assert_eq!((get["statusCode"].clone(), &get["headers"]), (json!(200), &head["headers"]));
    assert_eq!(
        (head["statusCode"].clone(), get["body"].as_str(), head["body"].as_str()),
        (json!(200), Some("{\"a\":1}"), Some(""))
    );
    let (get, head) = (ask("GET", "/v1/y").await, ask("HEAD", "/v1/y").await);
    assert_eq!(
        (&head["statusCode"], &head["headers"], head["body"].as_str()),
        (&get["statusCode"], &get["headers"], Some(""))
    );
    for (method, path, allow) in [
        ("PUT", "/v1/x", &["DELETE", "GET", "HEAD"][..]),
        ("HEAD", "/v1/z", &["POST"]),
        ("GET", "/v1/z", &["POST"]),
        ("BREW", "/v1/z", &["POST"]),
        ("", "/v1/z", &["POST"]),
    ] {
        let answer = ask(method, path).await;
        let mut allowed: Vec<&str> = answer["headers"]["allow"].as_str().unwrap().split(',').map(str::trim).collect();
        allowed.sort_unstable();
        assert_eq!((answer["statusCode"].as_u64(), allowed.as_slice()), (Some(405), allow), "{method} {path}");
    }
}

#[tokio::test]
async fn what_is_not_read_of_a_query_is_refused_on_every_route() {
    let open = |Checked { .. }: Checked<Anyone>| async {};
    let named = |Checked { about: PathId(_), .. }: Checked<Anyone, PathId>| async {};
    for (query, fields) in
        [("", &[][..]), ("x=1", &["x"]), ("x=1&x=2&y", &["x", "x", "y"]), ("tenantCode=z", &["tenantCode"])]
    {
        for (path, parameters) in [("/v1/open", Value::Null), ("/v1/named/{id}", json!({"id": "a"}))] {
            let router = Router::new()
                .route("/v1/open", routing::get(open))
                .route("/v1/named/{id}", routing::get(named))
                .with_state(std::sync::Arc::new(()));
            let answer =
                answered(router, event(&format!("GET {path}"), "GET", path, &parameters, query, &json!({}))).await;
            let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap_or_default();
            let wrong: Vec<&str> =
                body["errors"].as_array().into_iter().flatten().filter_map(|error| error["field"].as_str()).collect();
            assert_eq!(wrong, fields, "{path}?{query}");
            assert_eq!(answer["statusCode"], if fields.is_empty() { 200 } else { 400 });
        }
    }
}

/// A caller without proof.
struct Anyone(tidings_domain::AppId);

impl crate::http::Caller<()> for Anyone {
    async fn authenticate(_: &(), _: &HeaderMap, _: tidings_wire::Timestamp) -> Result<Self, ApiError> {
        Ok(Self("demo".parse().unwrap()))
    }

    fn app(&self) -> &tidings_domain::AppId {
        &self.0
    }
}
