//! The HTTP API: events, routes, answers, limits.

use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use bytes::Bytes;
use sam_twin::gateway::http::{HttpApi, HttpLimits};
use sam_twin::ledger::Ledger;
use sam_twin::template::{self, Cors, HttpRoute};
use serde_json::{Value, json};

use crate::twin::{self, function, request};

struct Api {
    url: String,
    ledger: Ledger,
    _functions: sam_twin::functions::Functions,
}

async fn api_with(stage: &str, routes: &[&str], cors: Option<Cors>, limits: HttpLimits) -> Api {
    let mut http = function("http");
    http.timeout = Duration::from_secs(5);
    let mut impatient = function("impatient");
    impatient.binary = Some("http".to_owned());
    impatient.timeout = Duration::from_millis(300);
    let functions = twin::functions([http, impatient]);
    let routes = routes.iter().map(|key| {
        let (method, path) = key.split_once(' ').unwrap_or(("ANY", key));
        HttpRoute {
            method: method.to_owned(),
            path: path.to_owned(),
            function: if path == "/impatient" { "impatientFunction" } else { "httpFunction" }.to_owned(),
            timeout: None,
        }
    });
    let api = template::HttpApi {
        logical_id: "Api".to_owned(),
        api_id: "api".to_owned(),
        stage: stage.to_owned(),
        routes: routes.collect(),
        cors,
    };
    let ledger = Ledger::new();
    let api = HttpApi::new(api, functions.clone(), ledger.clone(), limits);
    let address = twin::serve(api.router()).await;
    Api { url: format!("http://{address}"), ledger, _functions: functions }
}

async fn api(routes: &[&str]) -> Api {
    api_with("$default", routes, None, HttpLimits::default()).await
}

fn json_of(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[tokio::test]
async fn a_request_becomes_an_event_of_payload_format_2() {
    let api = api(&["POST /v1/devices/{deviceId}"]).await;
    let (status, headers, body) = request(
        &format!("{}/v1/devices/a%20b?tag=1&tag=2&name=x+y", api.url),
        "POST",
        &[
            ("content-type", "application/json"),
            ("cookie", "a=1; b=2"),
            ("user-agent", "probe/1"),
            ("x-twice", "one"),
            ("x-twice", "two"),
        ],
        r#"{"hello":"你好"}"#.into(),
    )
    .await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "application/json");
    let event = json_of(&body);
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["routeKey"], "POST /v1/devices/{deviceId}");
    assert_eq!(event["rawPath"], "/v1/devices/a b");
    assert_eq!(event["requestContext"]["http"]["path"], "/v1/devices/a b");
    assert_eq!(event["rawQueryString"], "tag=1&tag=2&name=x+y");
    assert_eq!(event["queryStringParameters"], json!({"tag": "1,2", "name": "x y"}));
    assert_eq!(event["pathParameters"], json!({"deviceId": "a b"}));
    assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
    assert_eq!(event["headers"]["x-twice"], "one,two");
    assert_eq!(event["headers"]["x-forwarded-for"], "127.0.0.1");
    assert!(event["headers"].get("cookie").is_none());
    assert_eq!(event["body"], r#"{"hello":"你好"}"#);
    assert_eq!(event["isBase64Encoded"], false);
    assert_eq!(event["requestContext"]["http"]["method"], "POST");
    assert_eq!(event["requestContext"]["http"]["protocol"], "HTTP/1.1");
    assert_eq!(event["requestContext"]["http"]["userAgent"], "probe/1");
    assert_eq!(event["requestContext"]["stage"], "$default");
    assert_eq!(event["requestContext"]["requestId"], headers["apigw-requestid"].to_str().unwrap());

    let decoded: ApiGatewayV2httpRequest = serde_json::from_value(event).unwrap();
    assert_eq!(decoded.path_parameters["deviceId"], "a b");
    assert_eq!(decoded.request_context.http.source_ip.as_deref(), Some("127.0.0.1"));

    let trace = headers["x-twin-trace"].to_str().unwrap();
    let summary = api.ledger.find(trace).unwrap();
    assert_eq!((summary.origin.as_str(), summary.outcome.as_deref()), ("POST /v1/devices/a%20b", Some("200")));
    assert_eq!(decoded.headers["x-amzn-trace-id"], format!("Root={trace}"));
}

#[tokio::test]
async fn paths_are_handed_over_decoded_and_queries_are_not() {
    let api = api(&["GET /v1/items/{item}", "$default"]).await;
    let event = async |path: &str| {
        let (status, _, body) = request(&format!("{}{path}", api.url), "GET", &[], Bytes::new()).await;
        assert_eq!(status, 200, "{path}");
        json_of(&body)
    };
    for (sent, name) in [
        ("order%234711", "order#4711"),
        ("a%3Fb%3Dc", "a"),
        ("x%2541", "x%41"),
        ("50%25", "50%"),
        ("x%3F", "x"),
        ("a%20b", "a b"),
        ("%C3%A9%7C%C3%BC", "é|ü"),
        ("+", "+"),
        ("%2B", "+"),
    ] {
        let event = event(&format!("/v1/items/{sent}?tenantCode=a%23b")).await;
        assert_eq!(event["routeKey"], "GET /v1/items/{item}", "{sent}");
        assert_eq!(event["rawPath"], format!("/v1/items/{name}"));
        assert_eq!(event["requestContext"]["http"]["path"], event["rawPath"]);
        assert_eq!(event["pathParameters"], json!({"item": name}));
        assert_eq!(event["rawQueryString"], "tenantCode=a%23b");
    }
    // An escaped slash ends the parameter, and the path has another route.
    let split = event("/v1/items/a%2Fb").await;
    assert_eq!((&split["routeKey"], &split["rawPath"]), (&json!("$default"), &json!("/v1/items/a/b")));
    let event = event("/v1/nothing%23here?a=%41").await;
    assert_eq!((&event["routeKey"], &event["rawPath"]), (&json!("$default"), &json!("/v1/nothing#here")));
    assert_eq!(event["rawQueryString"], "a=%41");
}

#[tokio::test]
async fn what_is_not_text_is_given_as_base64() {
    let api = api(&["$default"]).await;
    let send = async |kind: &str, body: &'static [u8]| {
        let (_, _, body) = request(&api.url, "POST", &[("content-type", kind)], Bytes::from_static(body)).await;
        let event = json_of(&body);
        (event["isBase64Encoded"].as_bool().unwrap(), event["body"].as_str().map(str::to_owned))
    };
    assert_eq!(send("application/octet-stream", b"hello").await, (true, Some("aGVsbG8=".to_owned())));
    assert_eq!(send("text/plain; charset=utf-8", b"hello").await, (false, Some("hello".to_owned())));
    assert_eq!(send("application/json", b"\xff").await, (true, Some("/w==".to_owned())));
    assert_eq!(send("application/json", b"").await, (false, None));
}

#[tokio::test]
async fn answers_follow_the_function() {
    let api = api(&["$default"]).await;
    let (status, headers, body) = request(&format!("{}/?do=binary", api.url), "GET", &[], Bytes::new()).await;
    assert_eq!((status, &body[..]), (201, &[0, 1, 2, 255][..]));
    assert_eq!(headers["content-type"], "image/png");
    assert_eq!(headers["x-one"], "1");
    let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1; Secure", "b=2"]);

    let (status, headers, body) = request(&format!("{}/?do=raw", api.url), "GET", &[], Bytes::new()).await;
    assert_eq!((status, json_of(&body)), (200, json!({"plain": true})));
    assert_eq!(headers["content-type"], "application/json");
}

#[tokio::test]
async fn what_goes_wrong_is_answered_as_the_real_one_does() {
    let limits = HttpLimits { integration: Duration::from_secs(1), ..HttpLimits::default() };
    let api = api_with("$default", &["GET /known", "GET /impatient", "POST /known"], None, limits).await;
    let get = async |path: &str| {
        let (status, _, body) = request(&format!("{}{path}", api.url), "GET", &[], Bytes::new()).await;
        (status, json_of(&body)["message"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(get("/unknown").await, (404, "Not Found".to_owned()));
    assert_eq!(get("/known?do=fail").await, (500, "Internal Server Error".to_owned()));
    assert_eq!(get("/known?do=garbage").await, (500, "Internal Server Error".to_owned()));
    assert_eq!(get("/impatient?do=sleep").await, (500, "Internal Server Error".to_owned()));
    assert_eq!(get("/known?do=sleep").await, (503, "Service Unavailable".to_owned()));

    let large = Bytes::from(vec![b'x'; 10 * 1024 * 1024 + 1]);
    let (status, _, body) = request(&format!("{}/known", api.url), "POST", &[], large).await;
    assert_eq!((status, json_of(&body)), (413, json!({"message": "Request Entity Too Large"})));
    // Ten megabytes pass the gateway, but no event of that size passes Lambda.
    let large = Bytes::from(vec![b'x'; 10 * 1024 * 1024]);
    let (status, _, _) = request(&format!("{}/known", api.url), "POST", &[], large).await;
    assert_eq!(status, 413);
    let long = "x".repeat(11_000);
    let (status, _, _) = request(&format!("{}/known", api.url), "GET", &[("x-long", &long)], Bytes::new()).await;
    assert_eq!(status, 431);
}

#[tokio::test]
async fn head_has_the_length_of_get_or_none() {
    let api = api(&["ANY /x"]).await;
    let length = async |method: &str, what: &str| {
        let (status, headers, body) = request(&format!("{}/x?do={what}", api.url), method, &[], Bytes::new()).await;
        assert!(status < 300 && (method == "GET" || body.is_empty()), "{method} {what}: {status} {body:?}");
        headers.get("content-length").map(|length| length.to_str().unwrap().to_owned())
    };
    for (what, get, head) in [
        // The function answers both alike.
        ("raw", Some("14"), Some("14")),
        ("binary", Some("4"), Some("4")),
        // The function leaves the body out.
        ("bare", Some("0"), None),
        ("length", Some("0"), Some("17")),
        ("lengths", Some("0"), None),
    ] {
        let lengths = (length("GET", what).await, length("HEAD", what).await);
        assert_eq!((lengths.0.as_deref(), lengths.1.as_deref()), (get, head), "{what}");
    }
    // The gateway's own errors have the length of their body.
    let nowhere = async |method| request(&format!("{}/y", api.url), method, &[], Bytes::new()).await;
    let (get, head) = (nowhere("GET").await, nowhere("HEAD").await);
    assert_eq!((get.0, head.0, &get.1["content-length"]), (404, 404, &head.1["content-length"]));
}

#[tokio::test]
async fn a_named_stage_is_part_of_the_path() {
    let api = api_with("prod", &["GET /known"], None, HttpLimits::default()).await;
    let (status, _, body) = request(&format!("{}/prod/known", api.url), "GET", &[], Bytes::new()).await;
    assert_eq!(status, 200);
    assert_eq!(json_of(&body)["rawPath"], "/prod/known");
    for path in ["/known", "/production/known"] {
        let (status, _, _) = request(&format!("{}{path}", api.url), "GET", &[], Bytes::new()).await;
        assert_eq!(status, 404, "{path}");
    }
}

#[tokio::test]
async fn browsers_are_let_in_by_the_cors_rules() {
    let cors = Cors {
        allow_origins: vec!["https://app.example".to_owned()],
        allow_methods: vec!["GET".to_owned(), "POST".to_owned()],
        allow_headers: vec!["authorization".to_owned()],
        expose_headers: vec!["date".to_owned(), "retry-after".to_owned()],
        max_age: Some(Duration::from_secs(600)),
        ..Cors::default()
    };
    let api = api_with("$default", &["POST /known"], Some(cors), HttpLimits::default()).await;
    let url = format!("{}/known", api.url);
    let ask = [("origin", "https://app.example"), ("access-control-request-method", "POST")];
    for path in ["/known", "/unknown"] {
        let (status, headers, body) = request(&format!("{}{path}", api.url), "OPTIONS", &ask, Bytes::new()).await;
        assert_eq!((status, body.len()), (204, 0), "{path}");
        assert_eq!(headers["access-control-allow-origin"], "https://app.example");
        assert_eq!(headers["access-control-allow-methods"], "GET,POST");
        assert_eq!(headers["access-control-allow-headers"], "authorization");
        assert_eq!(headers["access-control-max-age"], "600");
        assert!(headers.contains_key("apigw-requestid"));
    }
    let (status, headers, _) =
        request(&url, "OPTIONS", &[("origin", "https://evil.example"), ask[1]], Bytes::new()).await;
    assert_eq!((status, rules(&headers)), (204, vec![]));
    assert_eq!(api.ledger.recent(10).len(), 0, "it never reached a function");
    // Without both headers it is not a preflight, but an ordinary request.
    for headers in [&ask[..1], &ask[1..]] {
        assert_eq!(request(&url, "OPTIONS", headers, Bytes::new()).await.0, 404);
    }

    // The function's own CORS headers are ignored, for any caller.
    let loose = format!("{url}?do=cors");
    let (status, headers, _) = request(&loose, "POST", &ask[..1], Bytes::new()).await;
    assert_eq!(status, 200);
    assert_eq!(rules(&headers), ["allow-origin: https://app.example", "expose-headers: date,retry-after"]);
    for others in [&[("origin", "https://evil.example")][..], &[]] {
        let (status, headers, _) = request(&loose, "POST", others, Bytes::new()).await;
        assert_eq!((status, rules(&headers)), (200, vec![]), "{others:?}");
    }
}

/// The CORS headers of an answer.
fn rules(headers: &http::HeaderMap) -> Vec<String> {
    let rules = headers.iter().filter_map(|(name, value)| {
        Some(format!("{}: {}", name.as_str().strip_prefix("access-control-")?, value.to_str().unwrap()))
    });
    let mut rules: Vec<_> = rules.collect();
    rules.sort();
    rules
}

#[tokio::test]
async fn origins_are_listed_by_name_by_scheme_or_all_at_once() {
    for (listed, origin, expected) in [
        ("*", "https://app.example", Some("*")),
        ("*", "null", Some("*")),
        ("https://*", "https://app.example", Some("https://app.example")),
        ("https://*", "http://app.example", None),
        ("http://*", "http://localhost:5173", Some("http://localhost:5173")),
        ("https://app.example", "https://app.example:8443", None),
    ] {
        let cors = Cors { allow_origins: vec![listed.to_owned()], ..Cors::default() };
        let api = api_with("$default", &["GET /known"], Some(cors), HttpLimits::default()).await;
        let (_, headers, _) = request(&format!("{}/known", api.url), "GET", &[("origin", origin)], Bytes::new()).await;
        let allowed = headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(allowed, expected, "{listed} {origin}");
    }
}

#[tokio::test]
async fn without_rules_cors_is_the_functions_own_affair() {
    let api = api(&["GET /known"]).await;
    let ask = [("origin", "https://app.example"), ("access-control-request-method", "GET")];
    let url = format!("{}/known?do=cors", api.url);
    let (status, headers, _) = request(&url, "OPTIONS", &ask, Bytes::new()).await;
    assert_eq!((status, rules(&headers)), (404, vec![]));
    let (status, headers, _) = request(&url, "GET", &ask[..1], Bytes::new()).await;
    assert_eq!((status, rules(&headers)), (200, vec!["allow-origin: https://function.example".to_owned()]));
}
