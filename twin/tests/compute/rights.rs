//! A function that may read a table and not write to it, in a whole twin.

use std::path::Path;

use bytes::Bytes;
use sam_twin::stack::{Twin, TwinOptions};
use serde_json::{Value, json};

use crate::twin::{self, request};

/// `allowed` is the action that the function may do on its table.
fn template(allowed: &str) -> String {
    format!(
        "
Transform: AWS::Serverless-2016-10-31
Resources:
  Writer:
    Type: AWS::Serverless::Function
    Metadata: {{ BuildMethod: rust-cargolambda, BuildProperties: {{ Binary: plain }} }}
    Properties:
      Runtime: provided.al2023
      Timeout: 20
      Policies: [{{ Statement: [{{ Effect: Allow, Action: ['dynamodb:GetItem', '{allowed}'],
        Resource: !GetAtt T.Arn }}] }}]
  T:
    Type: AWS::Serverless::SimpleTable
    Properties: {{ TableName: things, PrimaryKey: {{ Name: pk, Type: String }} }}
"
    )
}

async fn start(folder: &Path, allowed: &str) -> Twin {
    let path = folder.join("template.yaml");
    std::fs::write(&path, template(allowed)).unwrap();
    let mut options = TwinOptions::new(path, twin::options().source);
    options.records = Some(folder.join("records"));
    Twin::start(options).await.unwrap()
}

async fn put(twin: &Twin) -> Result<Bytes, String> {
    let event = json!({"do": "put", "argument": {"table": "things", "pk": "a"}}).to_string();
    twin.functions().invoke("Writer", event.into(), &[]).await.map_err(|error| error.to_string())
}

async fn report(twin: &Twin) -> Value {
    let (status, _, body) = request(&format!("{}/_twin/rights", twin.aws_url()), "GET", &[], Bytes::new()).await;
    assert_eq!(status, 200);
    serde_json::from_slice(&body).unwrap()
}

/// What a twin has left in its folder.
fn record(folder: &Path) -> Value {
    let files: Vec<_> = std::fs::read_dir(folder.join("records")).unwrap().map(|it| it.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[tokio::test]
async fn a_right_that_is_missing_fails_the_function_and_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let twin = start(folder.path(), "dynamodb:UpdateItem").await;
    put(&twin).await.unwrap_err();
    let found = report(&twin).await;
    let table = "arn:aws:dynamodb:us-east-1:000000000000:table/things";
    let refused = json!([{"function": "Writer", "action": "dynamodb:PutItem", "resource": table, "times": 1}]);
    assert_eq!((&found["refused"], &found["rights"], &found["used"]), (&refused, &json!(2), &json!(0)), "{found}");
    twin.shutdown().await;
    assert_eq!(record(folder.path())["requests"], json!([]), "what is refused is no request that was made");
}

#[tokio::test]
async fn what_the_functions_used_is_left_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let twin = start(folder.path(), "dynamodb:PutItem").await;
    put(&twin).await.unwrap();
    let found = report(&twin).await;
    assert_eq!(
        (&found["refused"], &found["used"], &found["unused"][0]["action"]),
        (&json!([]), &json!(1), &json!("dynamodb:GetItem"))
    );
    twin.shutdown().await;
    let record = record(folder.path());
    let kind = json!([{"kind": "Writer dynamodb PutItem things", "times": 1, "struck": 0}]);
    assert_eq!((&record["requests"], &record["functions"]), (&kind, &json!(["Writer"])));
    let used: Vec<&Value> = record["rights"].as_array().unwrap().iter().filter(|it| it["used"] == true).collect();
    assert_eq!((used.len(), &used[0]["action"]), (1, &json!("dynamodb:PutItem")));
}
