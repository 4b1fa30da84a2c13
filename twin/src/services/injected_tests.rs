//! Faults, as the SDKs that functions use see them.

use aws_config::retry::RetryConfig;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::tests::{Bench, credentials};
use super::{connections, dynamodb, kms, secretsmanager, ses, sns, sqs};
use crate::faults::{Fault, Rule, RuleId};

impl Bench {
    fn add(&self, rule: Rule) -> RuleId {
        self.faults.add(rule)
    }

    /// The SDK's configuration without retries.
    fn impatient(&self) -> aws_config::SdkConfig {
        self.sdk.to_builder().retry_config(RetryConfig::disabled()).build()
    }

    /// The SDK's configuration of a caller that is not a function.
    fn outside(&self) -> aws_config::SdkConfig {
        let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials("test"));
        self.sdk.to_builder().credentials_provider(provider).build()
    }

    async fn has(&self, pk: &str) -> bool {
        let dynamodb = aws_sdk_dynamodb::Client::new(&self.outside());
        let key = AttributeValue::S(pk.to_owned());
        dynamodb.get_item().table_name("things").key("pk", key).send().await.unwrap().item.is_some()
    }
}

fn put(
    config: &aws_config::SdkConfig,
    pk: &str,
) -> aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder {
    let item = AttributeValue::S(pk.to_owned());
    aws_sdk_dynamodb::Client::new(config)
        .put_item()
        .table_name("things")
        .item("pk", item)
        .condition_expression("attribute_not_exists(pk)")
}

#[tokio::test]
async fn a_request_that_is_not_answered_counts_as_transient_and_is_tried_again() {
    let bench = Bench::start().await;
    let lost = bench.add(Rule::new(Fault::FailBefore).contains("before").times(2));
    // The first two attempts fail; the last of the SDK's three succeeds.
    put(&bench.sdk, "before").send().await.unwrap();
    assert_eq!(bench.faults.hits(lost), 2);
    assert_eq!(bench.count(dynamodb::SERVICE, "PutItem"), 1.0, "what was not executed costs nothing");

    // Executed, and retried: the second attempt finds the item that the first one wrote.
    bench.add(Rule::new(Fault::LoseAnswer).operation("PutItem").contains("after"));
    let twice = put(&bench.sdk, "after").send().await.unwrap_err();
    assert!(twice.into_service_error().is_conditional_check_failed_exception());
    assert_eq!(bench.count(dynamodb::SERVICE, "PutItem"), 3.0);

    for (fault, pk, written) in [(Fault::FailBefore, "x", false), (Fault::LoseAnswer, "y", true)] {
        bench.add(Rule::new(fault).contains(pk));
        let broken = put(&bench.impatient(), pk).send().await.unwrap_err();
        let SdkError::DispatchFailure(failure) = &broken else { panic!("{broken:?}") };
        let connector = failure.as_connector_error().unwrap();
        assert!(format!("{connector:?}").contains("TransientError") || connector.is_io(), "{connector:?}");
        assert_eq!(bench.has(pk).await, written, "{fault}");
    }
}

#[tokio::test]
async fn not_one_byte_is_answered() {
    let bench = Bench::start().await;
    bench.add(Rule::new(Fault::LoseAnswer));
    let mut socket = TcpStream::connect(bench.url.trim_start_matches("http://")).await.unwrap();
    let body = r#"{"TableName": "things", "Key": {"pk": {"S": "a"}}}"#;
    let request = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\nx-amz-target: DynamoDB_20120810.GetItem\r\ncontent-length: {}\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=twin-7/20260101/us-east-1/dynamodb/aws4_request\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"");
    assert_eq!(bench.count(dynamodb::SERVICE, "GetItem"), 1.0);
}

#[tokio::test]
async fn only_requests_of_functions_are_struck() {
    let bench = Bench::start().await;
    let other = bench.add(Rule::new(Fault::Throttle).function("G").always());
    let elsewhere = bench.add(Rule::new(Fault::Throttle).service(sqs::SERVICE).always());
    put(&bench.impatient(), "a").send().await.unwrap();
    assert_eq!([other, elsewhere].map(|rule| bench.faults.hits(rule)), [0, 0]);
    let any = bench.add(Rule::new(Fault::Throttle).always());
    put(&bench.outside(), "b").send().await.unwrap();
    assert_eq!(bench.faults.hits(any), 0);
    put(&bench.impatient(), "c").send().await.unwrap_err();
}

#[tokio::test]
async fn dynamodb_refuses_as_the_real_one_does() {
    let bench = Bench::start().await;
    let mut seen = std::collections::BTreeSet::new();
    bench.add(Rule::new(Fault::Throttle).contains("throttle").times(12));
    for _ in 0..12 {
        let error = put(&bench.impatient(), "throttle").send().await.unwrap_err();
        seen.insert(error.code().unwrap().to_owned());
    }
    assert!(seen.into_iter().eq(["ProvisionedThroughputExceededException", "ThrottlingException"]));
    bench.add(Rule::new(Fault::Throttle).contains("throttle").times(2));
    put(&bench.sdk, "throttle").send().await.unwrap();

    bench.add(Rule::new(Fault::ServerError).contains("server"));
    let error = put(&bench.impatient(), "server").send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
    assert!(error.into_service_error().is_internal_server_error());
    bench.add(Rule::new(Fault::ServerError).contains("server").times(2));
    put(&bench.sdk, "server").send().await.unwrap();

    bench.add(Rule::new(Fault::Conflict).contains("conflict"));
    let error = put(&bench.impatient(), "conflict").send().await.unwrap_err().into_service_error();
    assert!(error.is_transaction_conflict_exception(), "{error:?}");
    assert_eq!(error.message(), Some("Transaction is ongoing for the item"));
    assert!(!bench.has("conflict").await);
    // The SDK does not retry by itself, although the documentation calls a retry safe.
    bench.add(Rule::new(Fault::Conflict).contains("conflict"));
    put(&bench.sdk, "conflict").send().await.unwrap_err();

    let write = |pk: &str| {
        let item = AttributeValue::S(pk.to_owned());
        let put = Put::builder().table_name("things").item("pk", item).build().unwrap();
        TransactWriteItem::builder().put(put).build()
    };
    bench.add(Rule::new(Fault::Conflict).operation("TransactWriteItems"));
    let dynamodb = aws_sdk_dynamodb::Client::new(&bench.impatient());
    let error = dynamodb.transact_write_items().transact_items(write("one")).transact_items(write("two"));
    let error = error.send().await.unwrap_err().into_service_error();
    assert!(error.message().unwrap().ends_with("[TransactionConflict, None]"), "{error:?}");
    let aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(it) =
        error
    else {
        panic!("{error:?}")
    };
    let codes: Vec<_> = it.cancellation_reasons().iter().map(|reason| reason.code().unwrap()).collect();
    assert_eq!(codes, ["TransactionConflict", "None"]);
    assert!(!bench.has("one").await);
}

#[tokio::test]
async fn reads_meet_no_conflict() {
    let bench = Bench::start().await;
    let conflict = bench.add(Rule::new(Fault::Conflict).always());
    let dynamodb = aws_sdk_dynamodb::Client::new(&bench.impatient());
    let key = AttributeValue::S("a".to_owned());
    dynamodb.get_item().table_name("things").key("pk", key).send().await.unwrap();
    assert_eq!(bench.faults.hits(conflict), 0);
}

#[tokio::test]
async fn queues_refuse_as_the_real_ones_do() {
    let bench = Bench::start().await;
    let send = |config: &aws_config::SdkConfig| {
        aws_sdk_sqs::Client::new(config).send_message().queue_url(bench.queue("plain")).message_body("x").send()
    };
    bench.add(Rule::new(Fault::Throttle).operation("SendMessage"));
    let error = send(&bench.impatient()).await.unwrap_err();
    assert!(error.into_service_error().is_request_throttled());
    bench.add(Rule::new(Fault::Throttle).times(2));
    send(&bench.sdk).await.unwrap();
    bench.add(Rule::new(Fault::ServerError));
    let error = send(&bench.impatient()).await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
    bench.add(Rule::new(Fault::ServerError).times(2));
    send(&bench.sdk).await.unwrap();
    // Executed, and retried by an SDK that cannot know: a standard queue has the message twice.
    bench.add(Rule::new(Fault::LoseAnswer));
    send(&bench.sdk).await.unwrap();
    assert_eq!(bench.count(sqs::SERVICE, "SendMessage"), 4.0);
    let counts = bench.services.sqs.counts();
    assert_eq!(counts.iter().find(|it| it.name == "plain").unwrap().counts.visible, 4);
}

#[tokio::test]
async fn of_a_batch_half_is_sent() {
    let bench = Bench::start().await;
    let batch = |bodies: &[&str]| {
        let entry = |body: &&str| {
            SendMessageBatchRequestEntry::builder()
                .id(*body)
                .message_body(*body)
                .message_group_id("a")
                .message_deduplication_id(*body)
                .build()
                .unwrap()
        };
        let entries = bodies.iter().map(entry).collect();
        bench.sqs().send_message_batch().queue_url(bench.queue("ordered.fifo")).set_entries(Some(entries)).send()
    };
    bench.add(Rule::new(Fault::Partial).times(2));
    let answer = batch(&["0", "1", "2", "3", "4"]).await.unwrap();
    assert_eq!(answer.successful().iter().map(|it| it.id()).collect::<Vec<_>>(), ["1", "3"]);
    let failed: Vec<_> = answer.failed().iter().map(|it| (it.id(), it.sender_fault())).collect();
    assert_eq!(failed, [("0", false), ("2", false), ("4", false)]);
    let alone = batch(&["5"]).await.unwrap();
    assert_eq!((alone.successful().len(), alone.failed().len()), (0, 1));
    assert_eq!(bench.count(sqs::SERVICE, "SendMessageBatch"), 1.0);
    assert_eq!(batch(&["0", "2", "4", "5"]).await.unwrap().successful().len(), 4);
    let counts = bench.services.sqs.counts();
    assert_eq!(counts.iter().find(|it| it.name == "ordered.fifo").unwrap().counts.visible, 6);
}

#[tokio::test]
async fn providers_refuse_as_the_real_ones_do() {
    let bench = Bench::start().await;
    let email = |config: &aws_config::SdkConfig| {
        let content = |text: &str| Content::builder().data(text).build().unwrap();
        let message = Message::builder().subject(content("Hello")).body(Body::builder().text(content("World")).build());
        aws_sdk_sesv2::Client::new(config)
            .send_email()
            .from_email_address("me@example.org")
            .destination(Destination::builder().to_addresses("you@example.org").build())
            .content(EmailContent::builder().simple(message.build()).build())
            .send()
    };
    let text = |config: &aws_config::SdkConfig| {
        aws_sdk_sns::Client::new(config).publish().phone_number("+8613800000000").message("Hello there").send()
    };
    let sent = || bench.outbox.after(0).len();

    bench.add(Rule::new(Fault::Throttle).service(ses::SERVICE));
    assert!(email(&bench.impatient()).await.unwrap_err().into_service_error().is_too_many_requests_exception());
    bench.add(Rule::new(Fault::Throttle).service(sns::SERVICE).contains("+8613800000000").contains("Hello there"));
    let error = text(&bench.impatient()).await.unwrap_err();
    assert_eq!(aws_sdk_sns::error::ProvideErrorMetadata::code(&error), Some("Throttling"));
    assert_eq!(sent(), 0);
    for service in [ses::SERVICE, sns::SERVICE] {
        bench.add(Rule::new(Fault::Throttle).service(service));
        bench.add(Rule::new(Fault::ServerError).service(service).skip(1));
    }
    email(&bench.sdk).await.unwrap();
    text(&bench.sdk).await.unwrap();
    assert_eq!(sent(), 2);
    for service in [ses::SERVICE, sns::SERVICE] {
        bench.add(Rule::new(Fault::LoseAnswer).service(service));
    }
    email(&bench.impatient()).await.unwrap_err();
    text(&bench.impatient()).await.unwrap_err();
    assert_eq!(sent(), 4, "accepted, although the answer was lost");
}

#[tokio::test]
async fn secrets_are_refused_and_lost_as_by_the_real_service() {
    let bench = Bench::start().await;
    let read = |config: &aws_config::SdkConfig| {
        let client = aws_sdk_secretsmanager::Client::new(config);
        client.get_secret_value().secret_id("shop/prod/providers/demo").send()
    };
    for (fault, code) in [(Fault::Throttle, "ThrottlingException"), (Fault::ServerError, "InternalServiceError")] {
        bench.add(Rule::new(fault).service(secretsmanager::SERVICE).operation("GetSecretValue").contains("/demo"));
        let error = read(&bench.impatient()).await.unwrap_err();
        assert_eq!(error.code(), Some(code));
    }
    assert_eq!(bench.count(secretsmanager::SERVICE, "GetSecretValue"), 0.0);
    bench.add(Rule::new(Fault::Throttle));
    bench.add(Rule::new(Fault::ServerError).skip(1));
    read(&bench.sdk).await.unwrap();
    // Created, although the answer was lost; the SDK retries with the same token.
    bench.add(Rule::new(Fault::LoseAnswer).operation("CreateSecret"));
    let client = aws_sdk_secretsmanager::Client::new(&bench.sdk);
    client.create_secret().name("a").secret_string("1").send().await.unwrap();
    assert_eq!(bench.count(secretsmanager::SERVICE, "CreateSecret"), 2.0);
}

#[tokio::test]
async fn keys_are_refused_and_lost_as_by_the_real_service() {
    let bench = Bench::start().await;
    let request = json!({"KeyId": "alias/key", "KeySpec": "AES_256", "EncryptionContext": {"app": "demo"}});
    for (fault, status, code) in
        [(Fault::Throttle, 400, "ThrottlingException"), (Fault::ServerError, 500, "KMSInternalException")]
    {
        bench.add(Rule::new(fault).service(kms::SERVICE).operation("GenerateDataKey").contains("demo"));
        let (found, error) = bench.kms("GenerateDataKey", &request).await.unwrap();
        assert_eq!((found.as_u16(), error["__type"].as_str()), (status, Some(code)));
    }
    bench.add(Rule::new(Fault::FailBefore).service(kms::SERVICE));
    assert_eq!(bench.kms("GenerateDataKey", &request).await, None);
    assert_eq!(bench.count(kms::SERVICE, "GenerateDataKey"), 0.0, "what was not executed costs nothing");
    bench.add(Rule::new(Fault::LoseAnswer).operation("DisableKey"));
    assert_eq!(bench.kms("DisableKey", &json!({"KeyId": bench.key_arn()})).await, None);
    let (_, error) = bench.kms("GenerateDataKey", &request).await.unwrap();
    assert_eq!(error["__type"], "DisabledException", "disabled, although the answer was lost");
}

#[tokio::test]
async fn posts_are_refused_lied_about_and_lost() {
    let bench = Bench::start().await;
    let post = |config: &aws_config::SdkConfig| {
        let config = config.to_builder().endpoint_url(format!("{}/dev", bench.url)).build();
        let data = aws_sdk_apigatewaymanagement::primitives::Blob::new("hello");
        let client = aws_sdk_apigatewaymanagement::Client::new(&config);
        client.post_to_connection().connection_id(&bench.connection).data(data).send()
    };
    let posts = || bench.count(connections::SERVICE, "PostToConnection");
    bench.add(Rule::new(Fault::Throttle).contains(&bench.connection));
    let error = post(&bench.impatient()).await.unwrap_err().into_service_error();
    assert!(error.is_limit_exceeded_exception(), "{error:?}");
    bench.add(Rule::new(Fault::ServerError));
    let error = post(&bench.impatient()).await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
    bench.add(Rule::new(Fault::AcceptedThoughDead));
    post(&bench.impatient()).await.unwrap();
    assert_eq!(posts(), 0.0, "none of them was sent");
    bench.add(Rule::new(Fault::GoneThoughDelivered));
    assert!(post(&bench.impatient()).await.unwrap_err().into_service_error().is_gone_exception());
    assert_eq!(posts(), 1.0, "sent all the same");
    for fault in [Fault::Throttle, Fault::ServerError, Fault::FailBefore, Fault::LoseAnswer] {
        bench.add(Rule::new(fault));
        post(&bench.sdk).await.unwrap();
    }
    assert_eq!(posts(), 6.0, "one for each, and one whose answer was lost");
}
