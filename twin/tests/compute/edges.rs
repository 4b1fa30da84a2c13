//! Requests that no HTTP client sends, as bytes, and the answers of both gateways.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sam_twin::faults::Faults;
use sam_twin::gateway::http::{HttpApi, HttpLimits};
use sam_twin::gateway::websocket::{self, SocketApi, SocketLimits};
use sam_twin::ledger::Ledger;
use sam_twin::template::{self, HttpRoute};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::twin::{self, PATIENCE, function};

/// The status of the answer to these bytes.
async fn status(address: SocketAddr, request: &str) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("no answer").unwrap();
    std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_http_api_names_what_is_malformed_and_waits_for_no_half_body() {
    let functions = twin::functions([function("http")]);
    let route = HttpRoute {
        method: "ANY".to_owned(),
        path: "$default".to_owned(),
        function: "httpFunction".to_owned(),
        timeout: None,
    };
    let api = template::HttpApi {
        logical_id: "Api".to_owned(),
        api_id: "api".to_owned(),
        stage: "$default".to_owned(),
        routes: vec![route],
        cors: None,
    };
    let limits = HttpLimits { body: Duration::from_millis(300), ..HttpLimits::default() };
    let address = twin::serve(HttpApi::new(api, functions.clone(), Ledger::new(), limits).router()).await;
    let post = "POST / HTTP/1.1\r\nhost: a\r\n";
    for (request, expected) in [
        (format!("{post}transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), 200),
        (format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n"), 400),
        (format!("{post}transfer-encoding: chunked\r\n\r\n-1\r\nhi\r\n0\r\n\r\n"), 400),
        (format!("{post}transfer-encoding: chunked\r\n\r\n2\r\nhi"), 408),
        (format!("{post}content-length: 5\r\n\r\nhi"), 408),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), 200),
    ] {
        assert_eq!(status(address, &request).await, expected, "{request}");
    }
}

#[tokio::test]
async fn an_upgrade_has_a_host_one_key_of_16_bytes_and_no_more_headers_than_aws_takes() {
    let functions = twin::functions([]);
    let api = template::WebSocketApi {
        logical_id: "Ws".to_owned(),
        api_id: "ws".to_owned(),
        stage: "live".to_owned(),
        route_selection_expression: "$request.body.action".to_owned(),
        routes: BTreeMap::new(),
    };
    let api = SocketApi::new(api, functions, Ledger::new(), SocketLimits::default(), Faults::default());
    let address = twin::serve(websocket::router(&api)).await;
    let upgrade = |headers: &str| {
        let version = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n";
        format!("GET /live HTTP/1.1\r\n{version}{headers}\r\n")
    };
    let (host, key) = ("host: a\r\n", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    let long = format!("x-long: {}\r\n", "x".repeat(10_240));
    for (headers, expected) in [
        (format!("{host}{key}"), 101),
        (key.to_owned(), 400),
        (host.to_owned(), 400),
        (format!("{host}{key}{key}"), 400),
        (format!("{host}sec-websocket-key: abc\r\n"), 400),
        (format!("{host}sec-websocket-key: dGhlIHNhbXBsZSBub25jZTE=\r\n"), 400),
        (format!("{host}sec-websocket-key: dGhlIHNhbXBsZSBub25j!!==\r\n"), 400),
        (format!("{host}{key}{long}"), 431),
    ] {
        assert_eq!(status(address, &upgrade(&headers)).await, expected, "{headers}");
    }
}
