//! A whole twin on a template of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, SinkExt, StreamExt};
use sam_twin::cli::addresses;
use sam_twin::cli::style::Style;
use sam_twin::extension::{Extension, ExtensionError, File, Listener, Parts};
use sam_twin::stack::{StartError, Twin, TwinOptions};
use serde_json::{Map, Value};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::twin::{self, request};

const TEMPLATE: &str = r#"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Greeting: { Type: String, Default: hello }
Globals:
  Function: { Runtime: provided.al2023, Handler: bootstrap, Timeout: 10, CodeUri: . }
Resources:
  WebFunction:
    Type: AWS::Serverless::Function
    Metadata: { BuildMethod: rust-cargolambda, BuildProperties: { Binary: http } }
    Properties:
      Events:
        Hello: { Type: HttpApi, Properties: { Method: GET, Path: '/hello/{name}' } }
  SocketFunction:
    Type: AWS::Serverless::Function
    Metadata: { BuildMethod: rust-cargolambda, BuildProperties: { Binary: socket } }
  HourlyFunction:
    Type: AWS::Serverless::Function
    Metadata: { BuildMethod: rust-cargolambda, BuildProperties: { Binary: plain } }
    Properties:
      Environment: { Variables: { GREETING: !Ref Greeting } }
      Events:
        Hourly:
          Type: Schedule
          Properties: { Schedule: rate(1 hour), Input: '{"do":"greet"}' }
  Sockets:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: live
      RouteSelectionExpression: $request.body.action
      Routes:
        $connect: { FunctionArn: !GetAtt SocketFunction.Arn }
        $default: { FunctionArn: !GetAtt SocketFunction.Arn }
"#;

async fn start(folder: &tempfile::TempDir) -> Result<Twin, StartError> {
    with(folder, |_| {}).await
}

async fn with(folder: &tempfile::TempDir, change: impl FnOnce(&mut TwinOptions)) -> Result<Twin, StartError> {
    let path = folder.path().join("template.yaml");
    std::fs::write(&path, TEMPLATE).unwrap();
    let mut options = TwinOptions::new(path, twin::options().source);
    options.parameters.insert("Greeting".to_owned(), "good day".to_owned());
    options.data = Some(folder.path().join("data"));
    change(&mut options);
    Twin::start(options).await
}

#[tokio::test]
async fn a_template_is_served_and_ends_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let twin = start(&folder).await.unwrap();
    let mut logs = twin.functions().logs();

    let (status, _, body) = request(&format!("{}/hello/you", twin.api_url()), "GET", &[], Bytes::new()).await;
    let event: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, event["pathParameters"]["name"].as_str()), (200, Some("you")));
    assert_eq!(request(&twin.api_url(), "GET", &[], Bytes::new()).await.0, 404);

    assert!(twin.socket_url().ends_with("/live"), "{}", twin.socket_url());
    let (mut socket, _) = connect_async(twin.socket_url()).await.unwrap();
    let ids = twin.sockets().unwrap().connection_ids();
    let id = ids[0].replace('=', "%3D");
    // With the stage and without it; at the AWS endpoint, and beside the sockets, as on AWS.
    let beside = twin.socket_url().replace("ws://", "http://");
    let beside = beside.strip_suffix("/live").unwrap();
    let signed = [("authorization", "AWS4-HMAC-SHA256 test")];
    for base in [format!("{}/live", twin.aws_url()), twin.aws_url().to_owned(), format!("{beside}/live"), beside.into()]
    {
        let post = format!("{base}/@connections/{id}");
        let (status, _, _) = request(&post, "POST", &signed, base.clone().into()).await;
        assert_eq!(status, 200, "{post}");
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(base));
        assert_eq!(request(&post, "POST", &[], "hi".into()).await.0, 403, "{post} without a signature");
        let foreign = [signed[0], ("origin", "http://evil.example")];
        assert_eq!(request(&post, "POST", &foreign, "hi".into()).await.0, 403, "{post} from a page");
    }
    let other = format!("{beside}/other/@connections/{id}");
    assert_eq!(request(&other, "POST", &signed, "hi".into()).await.0, 403);
    socket.send(Message::text("no route response is declared")).await.unwrap();

    let name = twin.schedules().names().next().unwrap().to_owned();
    twin.schedules().fire(&name).await.unwrap().unwrap();
    assert_eq!(twin::json_line(&mut logs, "EVENT ").await["do"], "greet");

    let answer = twin.functions().invoke("HourlyFunction", Bytes::from_static(b"{}"), &[]).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["environment"]["GREETING"], "good day");
    let process = answer["pid"].as_u64().unwrap().try_into().unwrap();
    twin.shutdown().await;
    twin::gone(process).await;
    let closed = tokio::time::timeout(Duration::from_secs(5), socket.next()).await.unwrap();
    assert!(matches!(closed, Some(Ok(Message::Close(Some(_))))), "{closed:?}");
}

#[tokio::test]
async fn every_request_is_found_by_the_ids_that_its_caller_sees() {
    let folder = tempfile::tempdir().unwrap();
    let twin = start(&folder).await.unwrap();
    let outcome = |id: &str| twin.ledger().find(id).unwrap_or_else(|| panic!("no trace of {id}")).outcome.unwrap();
    for (path, expected) in [("/hello/you", "200"), ("/hello/you?do=fail", "500"), ("/nowhere", "404")] {
        let (status, headers, body) = request(&format!("{}{path}", twin.api_url()), "GET", &[], Bytes::new()).await;
        assert_eq!(status.to_string(), expected);
        for header in ["apigw-requestid", "x-twin-trace"] {
            assert_eq!(outcome(headers[header].to_str().unwrap()), expected, "{path} {header}");
        }
        if status == 200 {
            let event: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(outcome(event["requestContext"]["requestId"].as_str().unwrap()), "200");
        }
    }
    let refused = connect_async(format!("{}?refuse=error", twin.socket_url())).await.unwrap_err();
    let tokio_tungstenite::tungstenite::Error::Http(refused) = refused else { panic!("{refused}") };
    let document: Value = serde_json::from_slice(refused.body().as_deref().unwrap_or_default()).unwrap();
    assert_eq!(outcome(document["requestId"].as_str().unwrap()), "500");
    let (mut socket, _) = connect_async(twin.socket_url()).await.unwrap();
    socket.send(Message::text(r#"{"answer": "fail"}"#)).await.unwrap();
    let frame: Value = serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap();
    assert_eq!(outcome(frame["requestId"].as_str().unwrap()), "Internal server error");
    drop(socket);
    twin.shutdown().await;
}

#[tokio::test]
async fn only_what_the_template_has_is_announced() {
    let folder = tempfile::tempdir().unwrap();
    let announced = async |template: &str| {
        let path = folder.path().join("template.yaml");
        std::fs::write(&path, template).unwrap();
        let twin = Twin::start(TwinOptions::new(path, twin::options().source)).await.unwrap();
        let text = addresses(&twin, Style::plain());
        twin.shutdown().await;
        ["HTTP API", "WebSocket", "AWS"].map(|name| text.contains(name))
    };
    assert_eq!(announced("Resources: {}").await, [false, false, true]);
    assert_eq!(announced("Resources: {A: {Type: 'AWS::Serverless::HttpApi'}}").await, [true, false, true]);
    assert_eq!(announced(TEMPLATE).await, [true, true, true]);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = TwinOptions::new(folder.path().join("none.yaml"), twin::options().source);
    options.socket_port = taken.local_addr().unwrap().port();
    let error = Twin::start(options).await.unwrap_err();
    assert_eq!(error.to_string(), format!("listen on {} for the WebSocket API", taken.local_addr().unwrap()));
}

/// An extension that uses everything an extension may.
#[derive(Debug, Default)]
struct Addition {
    stopped: AtomicBool,
}

impl Extension for Addition {
    fn listener(&self) -> Option<Listener> {
        Some(Listener { what: "addition", port: 0 })
    }

    fn parameters(&self, address: Option<SocketAddr>) -> BTreeMap<String, String> {
        let greeting = format!("from {}", address.unwrap());
        BTreeMap::from([("Greeting".to_owned(), greeting), ("Undeclared".to_owned(), "x".to_owned())])
    }

    fn start(&self, parts: Parts<'_>) -> Result<Router, ExtensionError> {
        if parts.template.functions.is_empty() {
            return Err(ExtensionError::new("add something", "there is nothing to add to"));
        }
        let address = parts.listener.unwrap().local_addr().unwrap();
        parts.secrets.preset("/preset", "a value".to_owned());
        Ok(Router::new().route("/_twin/addition", get(move || async move { address.to_string() })))
    }

    fn console_files(&self) -> Vec<File> {
        vec![File { name: "more.js", kind: "text/javascript", body: b"more" }]
    }

    fn console_config(&self) -> Map<String, Value> {
        Map::from_iter([("more".to_owned(), Value::from(1))])
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        async { self.stopped.store(true, Ordering::Relaxed) }.boxed()
    }
}

#[tokio::test]
async fn an_extension_adds_a_listener_parameters_secrets_routes_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let addition = Arc::new(Addition::default());
    let extended = |options: &mut TwinOptions| {
        options.parameters.clear();
        options.console_port = Some(0);
        options.extensions.push(addition.clone());
    };
    let twin = with(&folder, extended).await.unwrap();
    let get = async |url: String| {
        let (status, _, body) = request(&url, "GET", &[], Bytes::new()).await;
        assert_eq!(status, 200, "{url}");
        String::from_utf8(body.to_vec()).unwrap()
    };
    let address = get(format!("{}/_twin/addition", twin.aws_url())).await;
    assert_eq!(twin.template().functions["HourlyFunction"].environment["GREETING"], format!("from {address}"));
    let console = twin.console_url().unwrap();
    assert_eq!(get(format!("{console}/_twin/addition")).await, address);
    assert_eq!(get(format!("{console}/more.js")).await, "more");
    let config: Value = serde_json::from_str(&get(format!("{console}/config.json")).await).unwrap();
    assert_eq!((&config["more"], &config["twin"]), (&Value::from(1), &Value::from(true)));
    let target = [("x-amz-target", "secretsmanager.GetSecretValue")];
    let (status, _, _) = request(twin.aws_url(), "POST", &target, r#"{"SecretId": "a/preset"}"#.into()).await;
    assert_eq!(status, 200);
    assert!(!addition.stopped.load(Ordering::Relaxed));
    twin.shutdown().await;
    assert!(addition.stopped.load(Ordering::Relaxed));
}

#[tokio::test]
async fn an_extension_that_does_not_start_keeps_the_twin_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    std::fs::write(&path, "Resources: {}").unwrap();
    let mut options = TwinOptions::new(path, twin::options().source);
    options.extensions.push(Arc::new(Addition::default()));
    assert_eq!(Twin::start(options).await.unwrap_err().to_string(), "add something");
}
