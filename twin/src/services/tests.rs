//! The endpoint, with the SDKs that functions use.

#![expect(clippy::disallowed_methods, reason = "a test's own server")]

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message};
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeName,
    MessageSystemAttributeNameForSends, MessageSystemAttributeValue, SendMessageBatchRequestEntry,
};
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::routing::get;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::*;
use crate::client::Client;
use crate::control::{self, NoParameters, answer};
use crate::data::DataFolder;
use crate::event_source::{self, EventSourceOptions, EventSources, Invocation};
use crate::faults::{self, Faults, Names};
use crate::functions::{Functions, FunctionsOptions, Source};
use crate::gateway::websocket::{self, SocketApi, SocketLimits};
use crate::iam::{Arns, Roles};
use crate::ledger::{self, Ledger, TraceId};
use crate::outbox::{self, Outbox};
use crate::schedule::{self, Rules};
use crate::template::{Secrets, Settings, Template};

pub(super) const TEMPLATE: &str = "
Resources:
  F: {Type: 'AWS::Lambda::Function', Properties: {Runtime: provided.al2023, Role: !GetAtt Role.Arn}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement: {Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: 'sts:AssumeRole'}
      ManagedPolicyArns: ['arn:aws:iam::aws:policy/AdministratorAccess']
  Fed: {Type: 'AWS::SQS::Queue', Properties: {QueueName: fed}}
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {FunctionName: !Ref F, EventSourceArn: !GetAtt Fed.Arn, Enabled: false}
  Plain: {Type: 'AWS::SQS::Queue', Properties: {QueueName: plain}}
  Sockets:
    Type: AWS::Serverless::WebSocketApi
    Properties: {StageName: dev, RouteSelectionExpression: $request.body.action, Routes: {}}
  Ordered: {Type: 'AWS::SQS::Queue', Properties: {QueueName: ordered.fifo, FifoQueue: true}}
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: things
      BillingMode: PAY_PER_REQUEST
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}, {AttributeName: by, AttributeType: S}]
      GlobalSecondaryIndexes:
        - IndexName: by_by
          KeySchema: [{AttributeName: by, KeyType: HASH}, {AttributeName: pk, KeyType: RANGE}]
          Projection: {ProjectionType: KEYS_ONLY}
      TimeToLiveSpecification: {AttributeName: expires_at, Enabled: true}
  Key: {Type: 'AWS::KMS::Key', Properties: {Description: of the bench}}
  KeyAlias: {Type: 'AWS::KMS::Alias', Properties: {AliasName: alias/key, TargetKeyId: !Ref Key}}
Outputs:
  Table: {Value: !Ref Things}
";

/// The header of a request that the function's process has signed.
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=twin-7/20260101/us-east-1/x/aws4_request, SignedHeaders=host, Signature=0";

pub(super) struct Bench {
    pub(super) url: String,
    pub(super) services: Services,
    pub(super) event_sources: EventSources,
    pub(super) outbox: Outbox,
    pub(super) roles: Roles,
    pub(super) ledger: Ledger,
    pub(super) faults: Faults,
    pub(super) trace: TraceId,
    /// Signs as the function's process does, and retries as every SDK does, but sooner.
    pub(super) sdk: aws_config::SdkConfig,
    /// The one connection to the WebSocket API, whose stage is `dev`.
    pub(super) connection: String,
    /// The id of that API.
    pub(super) api: String,
    key_arn: String,
    _socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Bench {
    pub(super) async fn start() -> Self {
        Self::of(TEMPLATE).await
    }

    /// With another template, which has the same resources.
    pub(super) async fn of(template: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let settings = Settings::new("", "", &url);
        let template = Template::parse(template, &settings, &mut Secrets::in_memory()).unwrap();
        let (ledger, faults, outbox) = (Ledger::new(), Faults::default(), Outbox::default());
        let source = Source::Artefacts("none".into());
        let functions = Functions::new([], FunctionsOptions::new(source, "us-east-1", &url), ledger.clone());
        let sockets = template.websocket_api.clone().unwrap();
        let sockets =
            SocketApi::new(sockets, functions.clone(), ledger.clone(), SocketLimits::default(), faults.clone());
        let (connection, socket) = connect(&sockets).await;
        // After the connection, which is a trace, too: this trace is the newest.
        let trace = ledger.begin("POST /things");
        functions.pretend(7, "F", std::slice::from_ref(&trace));
        let data = DataFolder::open(None, "").unwrap();
        let opening = Opening {
            template: &template,
            data: &data,
            ledger: &ledger,
            faults: &faults,
            outbox: &outbox,
            sockets: Some(&sockets),
        };
        let services = Services::open(&opening).await.unwrap();
        services.secretsmanager.preset("/providers/", "{}".to_owned());
        let invoke = |_: Invocation| async { Ok::<_, &str>(Bytes::new()) };
        let options = EventSourceOptions::default();
        let event_sources = EventSources::start(&template, &services.sqs, &ledger, options, &faults, invoke);
        let names = Names {
            functions: vec!["F".to_owned()],
            services: called(),
            queues: Vec::new(),
            fed: Vec::new(),
            disconnect: None,
        };
        let outputs = template.outputs.clone();
        let of = template.functions.values().map(|it| (it.logical_id.as_str(), it.name.as_str(), it.role.as_str()));
        let arns = Arns::new("us-east-1", "000000000000");
        let roles = Roles::new(of, &template.roles, template.key_policies(), arns);
        let endpoint = Endpoint {
            services: services.clone(),
            functions,
            roles: roles.clone(),
            kinds: None,
            ledger: ledger.clone(),
            faults: faults.clone(),
        };
        let control = services
            .control()
            .merge(outbox::control(outbox.clone()))
            .merge(ledger::control(ledger.clone()))
            .merge(event_source::control(event_sources.clone()))
            .merge(schedule::control(Rules::default()))
            .merge(faults::control(faults.clone(), names))
            .route("/_twin/outputs", get(move |_: NoParameters| async move { answer(&outputs) }));
        let router = control::uniform(control).merge(endpoint.router());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let sdk = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .region(aws_config::Region::from_static("us-east-1"))
            .credentials_provider(credentials("twin-7"))
            .endpoint_url(&url)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(10)));
        Self {
            url,
            services,
            event_sources,
            outbox,
            roles,
            ledger,
            faults,
            trace,
            sdk: sdk.load().await,
            connection,
            api: sockets.id().to_owned(),
            key_arn: template.keys[0].arn.clone(),
            _socket: socket,
        }
    }

    pub(super) fn count(&self, service: Service, operation: &str) -> f64 {
        self.ledger.find(self.trace.as_str()).unwrap().count(service, &[operation])
    }

    pub(super) fn queue(&self, name: &str) -> String {
        format!("{}/000000000000/{name}", self.url)
    }

    pub(super) fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.sdk)
    }

    pub(super) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.sdk)
    }

    /// A plain request, signed as the function's process signs.
    pub(super) async fn http(&self, method: Method, path: &str, body: &str) -> (StatusCode, String) {
        let headers = [("content-type", "application/json"), ("authorization", SIGNED)];
        let (client, url) = (Client::new(Duration::from_secs(30)), format!("{}{path}", self.url));
        let answer = client.request(method, &url, &headers, body.to_owned()).await.unwrap();
        (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
    }

    /// A request to KMS, signed as the function's process signs. None is a connection that ended without an answer.
    pub(super) async fn kms(&self, operation: &str, body: &Value) -> Option<(StatusCode, Value)> {
        self.targeted(&format!("TrentService.{operation}"), body).await
    }

    /// A request in the JSON protocol, signed as the function's process signs.
    pub(super) async fn targeted(&self, target: &str, body: &Value) -> Option<(StatusCode, Value)> {
        let headers = [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-date", "20260101T000000Z"),
            ("x-amz-target", target),
            ("authorization", SIGNED),
        ];
        let client = Client::new(Duration::from_secs(30));
        let answer = client.request(Method::POST, &self.url, &headers, body.to_string()).await.ok()?;
        Some((answer.status, serde_json::from_slice(&answer.body).unwrap()))
    }

    /// The ARN of the template's key of KMS.
    pub(super) fn key_arn(&self) -> String {
        self.key_arn.clone()
    }

    async fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.http(Method::GET, path, "").await.1).unwrap()
    }
}

/// Connects to a WebSocket API. Returns the id of the connection, and the client's side of it.
async fn connect(sockets: &SocketApi) -> (String, WebSocketStream<MaybeTlsStream<TcpStream>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/dev", listener.local_addr().unwrap());
    let service = websocket::router(sockets).into_make_service_with_connect_info::<std::net::SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    (sockets.connection_ids().remove(0), socket)
}

pub(super) fn credentials(access_key_id: &str) -> Credentials {
    Credentials::new(access_key_id, "secret", None, None, "test")
}

#[tokio::test]
async fn the_sqs_sdk_sends_receives_and_deletes() {
    let bench = Bench::start().await;
    let (sqs, queue) = (bench.sqs(), bench.queue("ordered.fifo"));
    let header =
        MessageSystemAttributeValue::builder().data_type("String").string_value(bench.trace.header()).build().unwrap();
    let kind = MessageAttributeValue::builder().data_type("String").string_value("x").build().unwrap();
    let entry = |id: &str| {
        SendMessageBatchRequestEntry::builder()
            .id(id)
            .message_body(format!("body {id}"))
            .message_group_id("a")
            .message_deduplication_id(id)
            .message_attributes("kind", kind.clone())
            .message_system_attributes(MessageSystemAttributeNameForSends::AwsTraceHeader, header.clone())
            .build()
            .unwrap()
    };
    let sent = sqs.send_message_batch().queue_url(&queue).entries(entry("1")).entries(entry("2")).send().await.unwrap();
    assert_eq!((sent.successful().len(), sent.failed().len()), (2, 0));
    let received = sqs
        .receive_message()
        .queue_url(&queue)
        .max_number_of_messages(10)
        .wait_time_seconds(1)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .message_attribute_names("All")
        .send()
        .await
        .unwrap();
    let messages = received.messages();
    assert_eq!(messages.iter().map(|it| it.body().unwrap()).collect::<Vec<_>>(), ["body 1", "body 2"]);
    let attributes = messages[0].attributes().unwrap();
    assert_eq!(attributes[&MessageSystemAttributeName::AwsTraceHeader], bench.trace.header());
    assert_eq!(messages[0].message_attributes().unwrap()["kind"].string_value(), Some("x"));
    let entries = messages.iter().enumerate().map(|(id, message)| {
        let entry = DeleteMessageBatchRequestEntry::builder().id(id.to_string());
        entry.receipt_handle(message.receipt_handle().unwrap()).build().unwrap()
    });
    let deleted = sqs.delete_message_batch().queue_url(&queue).set_entries(Some(entries.collect())).send().await;
    assert_eq!(deleted.unwrap().successful().len(), 2);
    for operation in ["SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch"] {
        assert_eq!(bench.count(sqs::SERVICE, operation), 1.0, "{operation}");
    }
    assert!(bench.ledger.settled(&bench.trace).await.unwrap().quiet);

    let gone = sqs.send_message().queue_url(bench.queue("none")).message_body("x").send().await.unwrap_err();
    assert!(gone.into_service_error().is_queue_does_not_exist());
    let handle = sqs.delete_message().queue_url(&queue).receipt_handle("x").send().await.unwrap_err();
    assert!(handle.into_service_error().is_receipt_handle_is_invalid());
}

#[tokio::test]
async fn the_dynamodb_sdk_finds_the_templates_tables() {
    let bench = Bench::start().await;
    let dynamodb = bench.dynamodb();
    let put = |pk: &str, expires: u64| {
        dynamodb
            .put_item()
            .table_name("things")
            .item("pk", AttributeValue::S(pk.to_owned()))
            .item("by", AttributeValue::S("me".to_owned()))
            .item("expires_at", AttributeValue::N(expires.to_string()))
            .condition_expression("attribute_not_exists(pk)")
    };
    put("old", 1).send().await.unwrap();
    put("new", u64::from(u32::MAX)).send().await.unwrap();
    let again = put("new", 1).send().await.unwrap_err();
    assert!(again.into_service_error().is_conditional_check_failed_exception());
    assert_eq!(bench.services.dynamodb.sweep().await.unwrap(), 1);
    let found = dynamodb
        .query()
        .table_name("things")
        .index_name("by_by")
        .key_condition_expression("#by = :by")
        .expression_attribute_names("#by", "by")
        .expression_attribute_values(":by", AttributeValue::S("me".to_owned()))
        .send()
        .await
        .unwrap();
    assert_eq!(found.items()[0]["pk"], AttributeValue::S("new".to_owned()));
    assert_eq!(found.count(), 1);
    assert_eq!(bench.count(dynamodb::SERVICE, "PutItem"), 3.0);
    assert_eq!(bench.count(dynamodb::SERVICE, "Query"), 1.0);
    bench.services.dynamodb.shutdown().await;
}

#[tokio::test]
async fn tables_and_items_survive_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data/dynamodb.sqlite");
    let template = Template::parse(TEMPLATE, &Settings::new("", "", ""), &mut Secrets::in_memory()).unwrap();
    let first = DynamoDb::open(&template.tables, Some(&file)).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/x-amz-json-1.0".parse().unwrap());
    let authorization = "AWS4-HMAC-SHA256 Credential=a/b/c/dynamodb/aws4_request, SignedHeaders=host, Signature=0";
    headers.insert("authorization", authorization.parse().unwrap());
    headers.insert("x-amz-date", "20260101T000000Z".parse().unwrap());
    let ask = async |database: &DynamoDb, target: &str, body: &'static str| {
        let mut headers = headers.clone();
        headers.insert("x-amz-target", format!("DynamoDB_20120810.{target}").parse().unwrap());
        let response = database.answer(headers, Bytes::from_static(body.as_bytes())).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    ask(&first, "PutItem", r#"{"TableName": "things", "Item": {"pk": {"S": "kept"}}}"#).await;
    first.shutdown().await;
    drop(first);
    let second = DynamoDb::open(&template.tables, Some(&file)).await.unwrap();
    let found = ask(&second, "GetItem", r#"{"TableName": "things", "Key": {"pk": {"S": "kept"}}}"#).await;
    assert_eq!(found["Item"]["pk"]["S"], "kept");
}

#[tokio::test]
async fn emails_and_text_messages_are_caught() {
    let bench = Bench::start().await;
    let ses = aws_sdk_sesv2::Client::new(&bench.sdk);
    let content = |text: &str| Content::builder().data(text).build().unwrap();
    let email = |to: &str| {
        let message = Message::builder().subject(content("Hello")).body(Body::builder().text(content("World")).build());
        ses.send_email()
            .from_email_address("Shop <shop@example.org>")
            .destination(Destination::builder().to_addresses(to).build())
            .content(EmailContent::builder().simple(message.build()).build())
            .send()
    };
    let sent = email("me@example.org").await.unwrap();
    assert!(email("no-address").await.unwrap_err().into_service_error().is_bad_request_exception());

    let sns = aws_sdk_sns::Client::new(&bench.sdk);
    let text = sns.publish().phone_number("+8613800000000").message("你好 & <hi>").send().await.unwrap();
    let refused = sns.publish().phone_number("12").message("x").send().await.unwrap_err();
    assert!(refused.into_service_error().is_invalid_parameter_exception());

    let topic = |subject: &str, text: &str| {
        sns.publish().topic_arn("arn:aws:sns:us-east-1:000000000000:t").subject(subject).message(text).send()
    };
    for (subject, text) in
        [("a".repeat(101), "x".into()), ("a\nb".into(), "x".into()), ("a".into(), "x".repeat(262_145))]
    {
        let refused = topic(&subject, &text).await.unwrap_err();
        assert!(refused.into_service_error().is_invalid_parameter_exception(), "{}", subject.len());
    }
    for message in [
        Message::builder().subject(content("Hello")).body(Body::builder().build()).build(),
        (0..16)
            .fold(Message::builder().subject(content("Hello")), |message, number| {
                let header = aws_sdk_sesv2::types::MessageHeader::builder().name(format!("X-{number}")).value("1");
                message.headers(header.build().unwrap())
            })
            .body(Body::builder().text(content("World")).build())
            .build(),
    ] {
        let request = ses
            .send_email()
            .from_email_address("shop@example.org")
            .destination(Destination::builder().to_addresses("me@example.org").build())
            .content(EmailContent::builder().simple(message).build());
        assert!(request.send().await.unwrap_err().into_service_error().is_bad_request_exception());
    }

    let outbox = bench.get("/_twin/outbox?wait=5").await;
    assert_eq!(outbox[0]["messageId"], sent.message_id().unwrap());
    assert_eq!((&outbox[0]["channel"], &outbox[0]["subject"]), (&json!("email"), &json!("Hello")));
    assert_eq!(outbox[0]["to"], json!(["me@example.org"]));
    assert_eq!(outbox[0]["traces"], json!([bench.trace]));
    assert_eq!(outbox[1]["messageId"], text.message_id().unwrap());
    assert_eq!(outbox[1]["text"], "你好 & <hi>");
    assert_eq!(outbox.as_array().unwrap().len(), 2);
    assert_eq!(bench.get("/_twin/outbox?after=2").await, json!([]));
    assert_eq!(bench.count(ses::SERVICE, "SendEmail"), 4.0);
    assert_eq!(bench.count(sns::SERVICE, "Publish"), 5.0);
}

#[tokio::test]
async fn the_secrets_manager_sdk_makes_puts_and_reads() {
    let bench = Bench::start().await;
    let client = aws_sdk_secretsmanager::Client::new(&bench.sdk);
    let read = async |name: &str| client.get_secret_value().secret_id(name).send().await;
    assert_eq!(read("shop/prod/providers/demo").await.unwrap().secret_string(), Some("{}"));
    assert!(read("a").await.unwrap_err().into_service_error().is_resource_not_found_exception());
    let create = || client.create_secret().name("a").secret_string("1").send();
    let made = create().await.unwrap();
    assert!(create().await.unwrap_err().into_service_error().is_resource_exists_exception());
    let put = client.put_secret_value().secret_id(made.arn().unwrap()).secret_string("2").send().await.unwrap();
    let current = read("a").await.unwrap();
    assert_eq!((current.secret_string(), current.version_id()), (Some("2"), put.version_id()));
    assert!(current.created_date().unwrap().secs() > 1_700_000_000);
    client.delete_secret().secret_id("a").send().await.unwrap();
    let error = read("a").await.unwrap_err().into_service_error();
    assert!(error.is_invalid_request_exception());
    assert!(error.to_string().contains("marked for deletion") || format!("{error:?}").contains("marked for deletion"));
    assert_eq!(bench.count(secretsmanager::SERVICE, "GetSecretValue"), 4.0);
    assert_eq!(bench.count(secretsmanager::SERVICE, "CreateSecret"), 2.0);
    assert!(bench.ledger.find(bench.trace.as_str()).unwrap().cost.contains("secrets 8"));
}

#[tokio::test]
async fn kms_has_the_templates_key_and_decrypts_what_it_generates() {
    let bench = Bench::start().await;
    let ask = async |operation: &str, body: Value| bench.kms(operation, &body).await.unwrap();
    let context = json!({"app": "demo"});
    let request = json!({"KeyId": "alias/key", "KeySpec": "AES_256", "EncryptionContext": context});
    let (status, made) = ask("GenerateDataKey", request).await;
    assert_eq!((status, made["KeyId"].as_str()), (StatusCode::OK, Some(bench.key_arn().as_str())));
    let blob = &made["CiphertextBlob"];
    let (_, opened) = ask("Decrypt", json!({"CiphertextBlob": blob, "EncryptionContext": context})).await;
    assert_eq!(opened["Plaintext"], made["Plaintext"]);
    let (status, refused) = ask("Decrypt", json!({"CiphertextBlob": blob})).await;
    assert_eq!((status, refused), (StatusCode::BAD_REQUEST, json!({"__type": "InvalidCiphertextException"})));
    let (_, missing) = ask("DescribeKey", json!({"KeyId": "alias/none"})).await;
    let message = "Alias arn:aws:kms:us-east-1:000000000000:alias/none is not found.";
    assert_eq!(missing, json!({"__type": "NotFoundException", "message": message}));
    assert_eq!(ask("ScheduleKeyDeletion", json!({"KeyId": bench.key_arn()})).await.0, StatusCode::OK);

    let keys = bench.get("/_twin/keys").await;
    assert_eq!((&keys[0]["logicalId"], &keys[0]["state"]), (&json!("Key"), &json!("PendingDeletion")));
    assert_eq!((&keys[0]["aliases"], keys[0]["deletion"].is_u64()), (&json!(["alias/key"]), true));
    assert_eq!(bench.http(Method::GET, "/_twin/keys?limit=1", "").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(bench.count(kms::SERVICE, "Decrypt"), 2.0);
    let cost = bench.ledger.find(bench.trace.as_str()).unwrap().cost;
    assert!(cost.contains("KMS 1 data key 2 decrypts 2 others"), "{cost}");
}

#[tokio::test]
async fn waiting_for_the_outbox_ends_with_the_next_item() {
    let bench = Bench::start().await;
    let wait = bench.get("/_twin/outbox?wait=30");
    let email =
        r#"{"FromEmailAddress": "a@b", "Destination": {"ToAddresses": ["c@d"]}, "Content": {"Raw": {"Data": "eA=="}}}"#;
    let send = bench.http(Method::POST, "/v2/email/outbound-emails", email);
    let (outbox, (status, _)) = tokio::join!(wait, send);
    assert_eq!((status, outbox.as_array().unwrap().len()), (StatusCode::OK, 1));
}

#[tokio::test]
async fn connection_requests_are_handed_on_and_counted() {
    let bench = Bench::start().await;
    let address = format!("/dev/@connections/{}", bench.connection.replace('=', "%3D"));
    assert_eq!(bench.http(Method::POST, &address, "hello").await, (StatusCode::OK, String::new()));
    let (status, answer) = bench.http(Method::GET, "/dev/@connections/x%3D", "").await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["connectionId"]), (StatusCode::GONE, &json!("x=")));
    assert_eq!(bench.count(connections::SERVICE, "PostToConnection"), 1.0);
    assert_eq!(bench.count(connections::SERVICE, "GetConnection"), 1.0);
}

#[tokio::test]
async fn the_control_api_shows_and_switches() {
    let bench = Bench::start().await;
    let sent = bench.sqs().send_message().queue_url(bench.queue("fed")).message_body("x").send().await.unwrap();
    let path = format!("/_twin/traces/{}", sent.message_id().unwrap());
    let trace = bench.get(&path).await;
    assert_eq!((&trace["origin"], &trace["quiet"]), (&json!("POST /things"), &json!(false)));
    assert_eq!(bench.get("/_twin/queues").await[0], json!({"name": "fed", "visible": 1, "inFlight": 0, "delayed": 0}));

    let switch = "/_twin/event-sources/F";
    let (status, _) = bench.http(Method::POST, switch, r#"{"enabled": true}"#).await;
    assert_eq!(status, StatusCode::OK);
    let settled = bench.get(&format!("{path}?wait=10")).await;
    assert_eq!(settled["quiet"], true);
    assert_eq!(settled["cost"], "SQS 1 send 1 receive 1 delete");
    assert_eq!(bench.get("/_twin/traces?limit=1").await[0]["traceId"], bench.trace.as_str());
    assert_eq!(bench.get("/_twin/event-sources").await[0]["enabled"], true);
    assert_eq!(bench.get("/_twin/outputs").await, json!({"Table": "things"}));
    let (status, refused) = bench.http(Method::POST, "/_twin/queues/plain/redrive", "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(refused.contains("plain has no dead letters: no queue of the template does"), "{refused}");
    assert_eq!(bench.http(Method::POST, "/_twin/schedules/fire", "").await.1, "[]");

    for (method, path, body) in [
        (Method::POST, "/_twin/event-sources/G", r#"{"enabled": true}"#),
        (Method::GET, "/_twin/traces/unknown", ""),
        (Method::GET, "/_twin/nothing/here", ""),
        (Method::POST, "/_twin/queues/none/redrive", ""),
        (Method::DELETE, "/_twin/faults/rules/7", ""),
        (Method::POST, "/", "neither"),
    ] {
        assert_eq!(bench.http(method, path, body).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    tokio::time::timeout(Duration::from_secs(10), bench.event_sources.shutdown()).await.unwrap();
}

#[tokio::test]
async fn every_control_route_takes_json_of_any_type_and_refuses_with_a_sentence() {
    let bench = Bench::start().await;
    let switch = "/_twin/event-sources/F";
    for kind in ["application/x-www-form-urlencoded", "text/plain", "application/json"] {
        let (client, url) = (Client::new(Duration::from_secs(30)), format!("{}{switch}", bench.url));
        let body = r#"{"enabled": false}"#.to_owned();
        let answer = client.request(Method::POST, &url, &[("content-type", kind)], body).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{kind}");
    }
    for (method, path, body, status, reason) in [
        (Method::POST, switch, "", 400, "EOF"),
        (Method::POST, switch, "{}", 400, "missing field `enabled`"),
        (Method::POST, switch, r#"{"enabled": "yes"}"#, 400, "invalid type"),
        (Method::POST, switch, r#"{"enabled": true, "x": 1}"#, 400, "unknown field `x`"),
        (Method::POST, "/_twin/event-sources/F?x=1", r#"{"enabled": true}"#, 400, "takes no parameters"),
        (Method::POST, "/_twin/event-sources/G", r#"{"enabled": true}"#, 404, "feeds \\\"G\\\"; there is F"),
        (Method::GET, "/_twin/traces?limit=x", "", 400, "limit"),
        (Method::GET, "/_twin/traces?limt=1", "", 400, "there is no parameter \\\"limt\\\"; there is limit"),
        (Method::GET, "/_twin/traces?limit=0", "", 400, "`limit` is \\\"0\\\"; it takes a whole number from 1"),
        (Method::GET, "/_twin/traces?limit=1&limit=2", "", 400, "`limit` is given twice"),
        (Method::GET, "/_twin/outbox?wait=61", "", 400, "from 0 to 60"),
        (Method::GET, "/_twin/queues/plain/messages?limit=101", "", 400, "from 1 to 100"),
        (Method::POST, switch, "\u{feff}{\"enabled\": true}", 400, "begins with a byte order mark (U+FEFF)"),
        (Method::POST, "/_twin/faults/rules", "\u{feff}{}", 400, "begins with a byte order mark (U+FEFF)"),
        (Method::PUT, "/_twin/faults", "\u{feff}{\"rates\": {}}", 400, "begins with a byte order mark (U+FEFF)"),
        (Method::GET, "/_twin/outbox?after=-1", "", 400, "after"),
        (Method::GET, "/_twin/outputs?x", "", 400, "takes no parameters"),
        (Method::GET, "/_twin/outbox/x/page", "", 400, "x"),
        (Method::DELETE, "/_twin/traces", "", 405, "does not take this method"),
        (Method::GET, "/_twin/queues/none/messages", "", 404, "there is no queue \\\"none\\\"; there are "),
        (Method::DELETE, "/_twin/faults/rules/x", "", 400, "x"),
        (Method::DELETE, "/_twin/faults/rules/7", "", 404, "there is no rule"),
        (Method::POST, "/_twin/queues/plain/redrive", r#"{"x":1}"#, 400, "redrive takes no body"),
        (Method::POST, "/_twin/schedules/fire", r#"{"x":1}"#, 400, "POST /_twin/schedules/fire takes no body"),
        (Method::POST, "/_twin/schedules/fire", "not even JSON", 400, "takes no body"),
        (Method::DELETE, "/_twin/faults", r#"{"x":1}"#, 400, "DELETE /_twin/faults takes no body"),
        (Method::DELETE, "/_twin/faults/rules/7", "[]", 400, "takes no body"),
        (Method::GET, "/_twin/outputs", "{}", 400, "GET /_twin/outputs takes no body"),
        (Method::PUT, "/_twin/faults", r#"{"rates":{"throttle":0.1,"throttle":0}}"#, 400, "has two rates"),
        (
            Method::POST,
            "/_twin/faults/rules",
            r#"{"fault":"repeat-delivery","function":"F"}"#,
            400,
            "no queue feeds it",
        ),
    ] {
        let (answered, text) = bench.http(method.clone(), path, body).await;
        assert_eq!(answered.as_u16(), status, "{method} {path}: {text}");
        let document: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {path}: {text}"));
        assert!(document["message"].is_string() && text.contains(reason), "{method} {path}: {text}");
    }
}

#[tokio::test]
async fn the_control_api_plans_faults() {
    let bench = Bench::start().await;
    let path = "/_twin/faults";
    assert_eq!(bench.get(path).await, json!({"plan": null, "rules": [], "injected": {}}));
    let plan = json!({"seed": 7, "rates": {"conflict": 1.0}});
    assert_eq!(bench.http(Method::PUT, path, &plan.to_string()).await.0, StatusCode::OK);
    let rule = r#"{"fault": "throttle", "operation": "PutItem", "contains": ["once"], "service": "dynamodb"}"#;
    let (status, id) = bench.http(Method::POST, "/_twin/faults/rules", rule).await;
    assert_eq!((status, id.as_str()), (StatusCode::OK, r#"{"id":1}"#));
    let impatient = bench.sdk.to_builder().retry_config(RetryConfig::disabled()).build();
    let dynamodb = aws_sdk_dynamodb::Client::new(&impatient);
    let put = |pk: &str| {
        let put = dynamodb.put_item().table_name("things").item("pk", AttributeValue::S(pk.to_owned()));
        async { put.send().await.unwrap_err().into_service_error() }
    };
    assert!(put("other").await.is_transaction_conflict_exception());
    assert!(!put("once").await.is_transaction_conflict_exception(), "a rule comes before the plan");
    let faults = bench.get(path).await;
    assert_eq!((&faults["plan"], &faults["injected"]), (&plan, &json!({"conflict": 1, "throttle": 1})));
    assert_eq!((&faults["rules"][0]["id"], &faults["rules"][0]["hits"]), (&json!(1), &json!(1)));
    assert_eq!(faults["rules"][0]["fault"], "throttle");

    for (method, path, body, reason) in [
        (
            Method::PUT,
            path,
            r#"{"rates": {"throtle": 1}}"#,
            "there is no fault \\\"throtle\\\"; there are kill-before, ",
        ),
        (Method::PUT, path, r#"{"rates": {"throttle": 2}}"#, "throttle=2: a rate is a number from 0 to 1"),
        (Method::POST, "/_twin/faults/rules", r#"{"fault": "throttle", "after": 3}"#, "unknown field `after`"),
        (Method::POST, "/_twin/faults/rules", r#"{"fault": "throttle", "function": "G"}"#, "there is no function"),
        (Method::POST, "/_twin/faults/rules", r#"{"fault": "throttle", "times": 0}"#, "times is 0"),
        (
            Method::POST,
            "/_twin/faults/rules",
            r#"{"fault": "conflict", "service": "sqs"}"#,
            "conflict never strikes sqs",
        ),
        (Method::POST, "/_twin/faults/rules", r#"{"fault": "throttle", "service": "s3"}"#, "there are dynamodb, sqs, "),
    ] {
        let (status, text) = bench.http(method, path, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(text.contains(reason), "{text}");
    }
    assert_eq!(bench.http(Method::DELETE, "/_twin/faults/rules/1", "").await.0, StatusCode::OK);
    let (_, cleared) = bench.http(Method::DELETE, path, "").await;
    assert_eq!(cleared, r#"{"plan":null,"rules":[],"injected":{}}"#);
}

#[tokio::test]
async fn the_table_has_each_service_once_and_in_its_place() {
    let bench = Bench::start().await;
    let served = bench.services.all().map(|service| service.service());
    assert_eq!(served, ALL);
    let mut sorted = ALL;
    sorted.sort_unstable();
    assert_eq!(sorted, ALL);
    assert_eq!(titles(), "DynamoDB, SQS, @connections, SES, SNS, Secrets Manager, KMS and STS");
}

#[tokio::test]
async fn the_query_protocol_finds_the_service_by_its_version() {
    let bench = Bench::start().await;
    let form = async |body: &str| bench.http(Method::POST, "/", body).await;
    let (status, identity) = form("Action=GetCallerIdentity&Version=2011-06-15").await;
    assert_eq!(status, StatusCode::OK);
    assert!(identity.contains("<Account>000000000000</Account>") && identity.contains("<UserId>twin-7</UserId>"));
    assert_eq!(bench.count(sts::SERVICE, "GetCallerIdentity"), 1.0);
    for (body, expected) in [
        ("Action=AssumeRole&Version=2011-06-15", "<Code>InvalidAction</Code>"),
        ("Action=Subscribe&Version=2010-03-31&TopicArn=x", "<Code>InvalidAction</Code>"),
        ("Action=SendMessage&Version=2012-11-05", "UnknownOperationException"),
    ] {
        let (status, answer) = form(body).await;
        assert!(status.is_client_error() && answer.contains(expected), "{body}: {answer}");
    }
    // A request that is not a message is not counted as one.
    let cost = bench.ledger.find(bench.trace.as_str()).unwrap().cost;
    assert!(!cost.contains("SMS") && cost.contains("SNS others 1"), "{cost}");
}

#[tokio::test]
async fn emails_and_texts_have_the_bounds_of_aws() {
    let bench = Bench::start().await;
    let email = |count: usize| {
        let to: Vec<String> = (0..count).map(|number| format!("a{number}@example.com")).collect();
        let simple = json!({"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}});
        let content = json!({"Simple": simple});
        json!({"FromEmailAddress": "me@example.com", "Destination": {"ToAddresses": to}, "Content": content})
            .to_string()
    };
    let path = "/v2/email/outbound-emails";
    assert_eq!(bench.http(Method::POST, path, &email(50)).await.0, StatusCode::OK);
    assert_eq!(bench.http(Method::POST, path, &email(51)).await.0, StatusCode::BAD_REQUEST);
    let sms = async |characters: usize| {
        let text = "x".repeat(characters);
        bench.http(Method::POST, "/", &format!("Action=Publish&PhoneNumber=%2B491701234567&Message={text}")).await.0
    };
    assert_eq!(sms(1_600).await, StatusCode::OK);
    assert_eq!(sms(1_601).await, StatusCode::BAD_REQUEST);
}
