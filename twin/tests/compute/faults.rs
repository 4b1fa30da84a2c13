//! Faults that a real function meets, in a whole twin.

use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use sam_twin::event_source::EventSourceOptions;
use sam_twin::faults::{Fault, Rule};
use sam_twin::functions::InvokeError;
use sam_twin::services::dynamodb;
use sam_twin::stack::{Twin, TwinOptions};
use serde_json::{Value, json};

use crate::twin::{self, request};

const TEMPLATE: &str = r#"
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: { Runtime: provided.al2023, Handler: bootstrap, Timeout: 20, CodeUri: . }
Resources:
  Worker:
    Type: AWS::Serverless::Function
    Metadata: { BuildMethod: rust-cargolambda, BuildProperties: { Binary: plain } }
    Properties:
      Policies: [DynamoDBWritePolicy: { TableName: !Ref Things }]
      Events:
        Work: { Type: SQS, Properties: { Queue: !GetAtt Work.Arn, BatchSize: 1 } }
  Web:
    Type: AWS::Serverless::Function
    Metadata: { BuildMethod: rust-cargolambda, BuildProperties: { Binary: http } }
    Properties:
      Events:
        Hello: { Type: HttpApi, Properties: { Method: GET, Path: /hello } }
  Work:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: work
      VisibilityTimeout: 120
      RedrivePolicy: { deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2 }
  Dead: { Type: AWS::SQS::Queue, Properties: { QueueName: dead } }
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: things
      BillingMode: PAY_PER_REQUEST
      KeySchema: [{ AttributeName: pk, KeyType: HASH }]
      AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }]
"#;

struct World {
    twin: Twin,
    sdk: aws_config::SdkConfig,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("template.yaml");
        std::fs::write(&path, TEMPLATE).unwrap();
        let mut options = TwinOptions::new(path, twin::options().source);
        options.event_sources = EventSourceOptions { retry_after: Some(Duration::ZERO) };
        let twin = Twin::start(options).await.unwrap();
        let sdk = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .region(aws_config::Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(twin.aws_url())
            .load()
            .await;
        Self { twin, sdk, _folder: folder }
    }

    async fn call(&self, event: Value) -> Result<Value, InvokeError> {
        let answer = self.twin.functions().invoke("Worker", event.to_string().into(), &[]).await?;
        Ok(serde_json::from_slice(&answer).unwrap())
    }

    async fn put(&self, pk: &str) -> Result<Value, InvokeError> {
        self.call(json!({"do": "put", "argument": {"table": "things", "pk": pk}})).await
    }

    async fn has(&self, pk: &str) -> bool {
        let dynamodb = aws_sdk_dynamodb::Client::new(&self.sdk);
        let key = AttributeValue::S(pk.to_owned());
        dynamodb.get_item().table_name("things").key("pk", key).send().await.unwrap().item.is_some()
    }
}

#[tokio::test]
async fn a_function_is_killed_before_or_after_its_request() {
    let world = World::start().await;
    let mut logs = world.twin.functions().logs();
    let first = world.put("a").await.unwrap();
    assert_eq!(twin::line(&mut logs, "written ").await, "a");
    let mut process = u32::try_from(first["pid"].as_u64().unwrap()).unwrap();

    for (fault, pk, written) in [(Fault::KillBefore, "b", false), (Fault::KillAfter, "c", true)] {
        let rule = Rule::new(fault).function("Worker").service(dynamodb::SERVICE).operation("PutItem").contains(pk);
        let rule = world.twin.faults().add(rule);
        let began = Instant::now();
        let error = world.put(pk).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(10), "it fails at once, long before its timeout");
        let InvokeError::Failed { error_type, message, .. } = error else { panic!("{error:?}") };
        assert_eq!(error_type, "Runtime.ExitError");
        assert!(message.ends_with("Runtime exited with error: signal 9 (SIGKILL)"), "{message}");
        assert_eq!((world.twin.faults().hits(rule), world.has(pk).await), (1, written), "{fault}");
        twin::gone(process).await;
        // The next invocation has a new process, which no fault strikes.
        let next = world.put(&format!("{pk} again")).await.unwrap();
        process = u32::try_from(next["pid"].as_u64().unwrap()).unwrap();
    }
    // One of the killed processes wrote; neither lived to report it.
    assert_eq!(twin::line(&mut logs, "written ").await, "b again");
    assert_eq!(twin::line(&mut logs, "written ").await, "c again");
    assert_eq!(world.twin.faults().injected()[&Fault::KillAfter], 1);
    world.twin.shutdown().await;
}

#[tokio::test]
async fn an_idle_process_can_be_killed_by_its_key() {
    let world = World::start().await;
    let answer = world.call(json!({})).await.unwrap();
    let key = answer["environment"]["AWS_ACCESS_KEY_ID"].as_str().unwrap();
    assert!(world.twin.functions().kill(key).await);
    assert!(!twin::runs(u32::try_from(answer["pid"].as_u64().unwrap()).unwrap()));
    assert!(!world.twin.functions().kill(key).await, "it is gone");
    assert!(!world.twin.functions().kill("AKIAIOSFODNN7EXAMPLE").await);
    assert_ne!(world.call(json!({})).await.unwrap()["pid"], answer["pid"]);
    world.twin.shutdown().await;
}

#[tokio::test]
async fn a_function_gets_over_what_its_sdk_gets_over() {
    let world = World::start().await;
    for fault in [Fault::FailBefore, Fault::LoseAnswer, Fault::Throttle, Fault::ServerError] {
        let rule = world.twin.faults().add(Rule::new(fault).function("Worker").operation("PutItem"));
        world.put(fault.name()).await.unwrap();
        assert!(world.has(fault.name()).await);
        assert_eq!(world.twin.faults().hits(rule), 1);
    }
    world.twin.shutdown().await;
}

#[tokio::test]
async fn an_invocation_can_be_refused_before_it_begins() {
    let world = World::start().await;
    let hello = format!("{}/hello", world.twin.api_url());
    world.twin.faults().add(Rule::new(Fault::FailInvoke).function("Web").contains("/hello"));
    assert_eq!(request(&hello, "GET", &[], Bytes::new()).await.0, 500);
    assert_eq!(request(&hello, "GET", &[], Bytes::new()).await.0, 200);

    // A message whose invocation is refused is redelivered; refused twice, it is a dead letter.
    let mut logs = world.twin.functions().logs();
    world.twin.faults().add(Rule::new(Fault::FailInvoke).function("Worker").contains("refused once"));
    let poison = world.twin.faults().add(Rule::new(Fault::FailInvoke).contains("refused always").always());
    let sqs = aws_sdk_sqs::Client::new(&world.sdk);
    let url = |queue: &str| format!("{}/000000000000/{queue}", world.twin.aws_url());
    for body in ["refused once", "refused always"] {
        sqs.send_message().queue_url(url("work")).message_body(body).send().await.unwrap();
    }
    let record = &twin::json_line(&mut logs, "EVENT ").await["Records"][0];
    assert_eq!(record["body"], "refused once");
    assert_eq!(record["attributes"]["ApproximateReceiveCount"], "2");
    let dead = sqs.receive_message().queue_url(url("dead")).wait_time_seconds(20).send().await.unwrap();
    assert_eq!(dead.messages()[0].body(), Some("refused always"));
    assert_eq!(world.twin.faults().hits(poison), 2);
    world.twin.shutdown().await;
}
