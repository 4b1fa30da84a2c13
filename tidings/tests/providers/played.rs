//! The providers that the twin of a template emulates.

use std::error::Error as _;

use bytes::Bytes;
use http::Request;
use sam_twin::functions::Source;
use sam_twin::stack::{StartError, Twin, TwinOptions};
use serde_json::Value;
use tidings::additions::Additions;
use tidings::providers::ProvidersOptions;
use tidings_providers::http::Protocol;
use tidings_providers::mipush::{Audience, Platform, Recipient};
use tidings_providers::{Bases, Client, Credentials, Outcome, Providers, Reach, Target, apns, fcm};
use tokio::net::TcpStream;

use crate::{APP, DEVICE, limits, now, push};

const TEMPLATE: &str = r#"
Transform: AWS::Serverless-2016-10-31
Parameters:
  ProvidersUrl: { Type: String, Default: '' }
Resources:
  PushFunction:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: provided.al2023
      Handler: bootstrap
      CodeUri: .
      Environment: { Variables: { PROVIDERS: !Ref ProvidersUrl } }
"#;

fn options(folder: &tempfile::TempDir) -> (TwinOptions, Additions) {
    let path = folder.path().join("template.yaml");
    std::fs::write(&path, TEMPLATE).unwrap();
    let mut options = TwinOptions::new(path, Source::CodeUri(folder.path().to_owned()));
    options.data = Some(folder.path().join("data"));
    let additions = Additions::to(&mut options, ProvidersOptions::default());
    (options, additions)
}

/// Pushes as a function does: with the app's secret, to the address in its environment.
#[tokio::test]
async fn every_app_can_push_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (options, additions) = options(&folder);
    let twin = Twin::start(options).await.unwrap();
    let client = Client::new(limits(), Reach::Anywhere);
    let ask = Request::post(twin.aws_url())
        .header("x-amz-target", "secretsmanager.GetSecretValue")
        .body(Bytes::from_static(br#"{"SecretId": "tidings/prod/providers/shop"}"#));
    let answer = client.send(ask.unwrap(), Protocol::Negotiated).await.unwrap();
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let document = answer["SecretString"].as_str().unwrap();
    let credentials = Credentials::parse(document, Reach::Anywhere).unwrap();
    let url = &twin.template().functions["PushFunction"].environment["PROVIDERS"];
    assert_eq!(url, additions.providers.url());
    let providers = Providers::new(credentials, client.clone(), Bases::all_at(url));
    let user = Recipient { audience: Audience::user("alice"), platform: Platform::Android };
    let targets = [
        Target::Apns(apns::DeviceToken::parse(DEVICE).unwrap()),
        Target::Fcm(fcm::RegistrationToken::parse(APP).unwrap()),
        Target::Mipush(user),
        Target::Webhook,
    ];
    for target in targets {
        let sent = providers.send(&push(), &target, now()).await.unwrap();
        assert!(matches!(sent.outcome, Outcome::Accepted { .. }), "{target:?}: {:?}", sent.outcome);
    }
    assert_eq!(twin.outbox().after(0).len(), 4);
    let rules = Request::get(format!("{url}/_twin/rules")).body(Bytes::new()).unwrap();
    assert_eq!(client.send(rules, Protocol::Negotiated).await.unwrap().body, "[]");
    let address = url.split('/').nth(2).unwrap().to_owned();
    twin.shutdown().await;
    assert!(TcpStream::connect(address).await.is_err(), "the providers have ended too");
}

#[tokio::test]
async fn providers_elsewhere_stay_there() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = "http://127.0.0.1:9";
    let (mut options, _) = options(&folder);
    options.parameters.insert("ProvidersUrl".to_owned(), elsewhere.to_owned());
    let twin = Twin::start(options).await.unwrap();
    assert_eq!(twin.template().functions["PushFunction"].environment["PROVIDERS"], elsewhere);
    twin.shutdown().await;
}

#[tokio::test]
async fn credentials_that_are_none_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.json");
    std::fs::write(&file, r#"{"mipush": {"appSecret": "x"}}"#).unwrap();
    let (mut options, _) = options(&folder);
    options.extensions.clear();
    let providers = ProvidersOptions { credentials: Some(file.clone()), ..ProvidersOptions::default() };
    let _ = Additions::to(&mut options, providers);
    let StartError::Extension(error) = Twin::start(options).await.unwrap_err() else { panic!("another error") };
    assert_eq!(error.to_string(), "play the push providers");
    assert_eq!(error.source().unwrap().to_string(), format!("read the credentials in {}", file.display()));
}
