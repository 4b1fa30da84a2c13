//! A whole twin on a template of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tidings_local::stack::{StartError, Twin, TwinOptions};
use tidings_providers::mipush::{Audience, Platform, Recipient};
use tidings_providers::push::{Kind, Priority};
use tidings_providers::{Bases, Client, Credentials, Limits, Outcome, Providers, Push, Reach, Target, apns, fcm};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::twin::{self, request};

const TEMPLATE: &str = r#"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Greeting: { Type: String, Default: hello }
  ProvidersUrl: { Type: String, Default: '' }
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
      Environment: { Variables: { GREETING: !Ref Greeting, PROVIDERS: !Ref ProvidersUrl } }
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
    let post = format!("{}/live/@connections/{}", twin.aws_url(), ids[0].replace('=', "%3D"));
    let (status, _, _) = request(&post, "POST", &[("authorization", "AWS4-HMAC-SHA256 test")], "hi".into()).await;
    assert_eq!(status, 200);
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hi"));
    socket.send(Message::text("no route response is declared")).await.unwrap();

    let name = twin.schedules().names().next().unwrap().to_owned();
    twin.schedules().fire(&name).await.unwrap().unwrap();
    assert_eq!(twin::json_line(&mut logs, "EVENT ").await["do"], "greet");

    let answer = twin.functions().invoke("HourlyFunction", Bytes::from_static(b"{}"), &[]).await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["environment"]["GREETING"], "good day");
    assert_eq!(answer["environment"]["PROVIDERS"], twin.providers().url());
    let rules = format!("{}/_tidings/rules", twin.providers().url());
    let (status, _, told) = request(&rules, "GET", &[], Bytes::new()).await;
    assert_eq!((status, &told[..]), (200, &b"[]"[..]));
    let process = answer["pid"].as_u64().unwrap().try_into().unwrap();
    twin.shutdown().await;
    twin::gone(process).await;
    let closed = tokio::time::timeout(Duration::from_secs(5), socket.next()).await.unwrap();
    assert!(matches!(closed, Some(Ok(Message::Close(Some(_))))), "{closed:?}");
    let address = rules.split('/').nth(2).unwrap().to_owned();
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the providers have ended too");
}

/// As a function pushes: with the secret of its app, to the address in its environment.
#[tokio::test]
async fn every_app_can_push_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let twin = start(&folder).await.unwrap();
    let target = [("x-amz-target", "secretsmanager.GetSecretValue")];
    let ask = Bytes::from_static(br#"{"SecretId": "tidings/prod/providers/shop"}"#);
    let (status, _, answer) = request(twin.aws_url(), "POST", &target, ask).await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(status, 200, "{answer}");
    let document = answer["SecretString"].as_str().unwrap();
    let credentials = Credentials::parse(document, Reach::Anywhere).unwrap();
    let client = Client::new(Limits::default(), Reach::Anywhere);
    let url = &twin.template().functions["HourlyFunction"].environment["PROVIDERS"];
    let providers = Providers::new(credentials, client, Bases::all_at(url));
    let push = Push {
        message_id: "01JD4Z0000000000000000MSGE".to_owned(),
        step: 0,
        kind: Kind::Alert,
        title: Some("Gate change".to_owned()),
        body: Some("Now B 12".to_owned()),
        badge: None,
        sound: None,
        mutable: false,
        data: BTreeMap::new(),
        priority: Priority::High,
        ttl: 3600,
        collapse_key: None,
    };
    let user = Recipient { audience: Audience::user("alice"), platform: Platform::Android };
    let device = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
    let app = "device:APA91bHun4MxP5egoKMwt2KZFBaFUH";
    let targets = [
        Target::Apns(apns::DeviceToken::parse(device).unwrap()),
        Target::Fcm(fcm::RegistrationToken::parse(app).unwrap()),
        Target::Mipush(user),
        Target::Webhook,
    ];
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    for target in targets {
        let sent = providers.send(&push, &target, now).await.unwrap();
        assert!(matches!(sent.outcome, Outcome::Accepted { .. }), "{target:?}: {:?}", sent.outcome);
    }
    assert_eq!(twin.services().outbox.after(0).len(), 4);
    twin.shutdown().await;
}

#[tokio::test]
async fn providers_elsewhere_stay_there() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = "http://127.0.0.1:9";
    let given = |options: &mut TwinOptions| drop(options.parameters.insert("ProvidersUrl".into(), elsewhere.into()));
    let twin = with(&folder, given).await.unwrap();
    assert_eq!(twin.template().functions["HourlyFunction"].environment["PROVIDERS"], elsewhere);
    twin.shutdown().await;
}

#[tokio::test]
async fn credentials_that_are_none_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.json");
    std::fs::write(&file, r#"{"mipush": {"appSecret": "x"}}"#).unwrap();
    let error = with(&folder, |options| options.providers = Some(file.clone())).await.unwrap_err();
    let StartError::Providers(error) = error else { panic!("{error:?}") };
    assert_eq!(error.to_string(), format!("read the credentials in {}", file.display()));
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
