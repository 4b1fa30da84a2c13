//! The function that the tests run: its event contains its instructions.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

/// Runs the function of this name until its runtime API is gone.
pub(crate) async fn run(name: &str) {
    if name == "broken" {
        println!("cannot start");
        std::process::exit(7);
    }
    if name == "refuses" {
        let base = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap();
        crate::twin::request(
            &format!("http://{base}/2018-06-01/runtime/init/error"),
            "POST",
            &[("lambda-runtime-function-error-type", "Probe.Config")],
            r#"{"errorType":"Probe.Config","errorMessage":"TABLE is missing"}"#.into(),
        )
        .await;
        std::process::exit(1);
    }
    if name == "watched" {
        sam_twin::functions::end_with_the_twin().unwrap();
    }
    println!("ready {}", std::process::id());
    match name {
        "http" => lambda_runtime::run(service_fn(http)).await.unwrap(),
        "socket" => lambda_runtime::run(service_fn(socket)).await.unwrap(),
        _ => lambda_runtime::run(service_fn(plain)).await.unwrap(),
    }
}

async fn plain(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let argument = event.payload.get("argument").cloned().unwrap_or_default();
    match event.payload["do"].as_str().unwrap_or_default() {
        "sleep" => {
            println!("sleeping");
            tokio::time::sleep(Duration::from_millis(argument.as_u64().unwrap())).await;
        }
        "hang" => {
            println!("hanging");
            std::thread::sleep(Duration::from_secs(600));
        }
        "put" => put(argument["table"].as_str().unwrap(), argument["pk"].as_str().unwrap()).await?,
        "fail" => return Err("the probe was asked to fail".into()),
        "exit" => std::process::exit(3),
        "large" => return Ok(json!("x".repeat(usize::try_from(argument.as_u64().unwrap()).unwrap()))),
        "print" => println!("{}", argument.as_str().unwrap()),
        _ => println!("EVENT {}", event.payload),
    }
    let variables: serde_json::Map<String, Value> =
        std::env::vars().map(|(name, value)| (name, json!(value))).collect();
    Ok(json!({
        "pid": std::process::id(),
        "requestId": event.context.request_id,
        "arn": event.context.invoked_function_arn,
        "trace": event.context.xray_trace_id,
        "deadline": event.context.deadline,
        "environment": variables,
        "event": event.payload,
    }))
}

/// Writes an item as any function would: with the SDK, configured by the environment.
async fn put(table: &str, pk: &str) -> Result<(), Error> {
    let http_client = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest()).http_client(http_client).load().await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    dynamodb.put_item().table_name(table).item("pk", AttributeValue::S(pk.to_owned())).send().await?;
    println!("written {pk}");
    Ok(())
}

/// Answers an HTTP event as its query asks, else with the event itself.
async fn http(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let parameter = |name: &str| event.payload["queryStringParameters"][name].as_str();
    match parameter("do") {
        Some("fail") => Err("failed".into()),
        Some("sleep") => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(Value::Null)
        }
        Some("raw") => Ok(json!({"plain": true})),
        Some("binary") => Ok(json!({
            "statusCode": 201,
            "headers": {"content-type": "image/png", "x-one": "1"},
            "cookies": ["a=1; Secure", "b=2"],
            "body": "AAEC/w==",
            "isBase64Encoded": true,
        })),
        // A function's answers to HEAD: no body, with the length of GET's, or without a length.
        Some("bare") => Ok(json!({"statusCode": 200, "headers": {"content-type": "text/plain"}})),
        Some("length") => Ok(json!({"statusCode": 200, "headers": {"Content-Length": "17"}, "body": ""})),
        Some("lengths") => Ok(json!({"statusCode": 200, "headers": {"content-length": "many"}, "body": ""})),
        Some("garbage") => Ok(json!({"statusCode": "nine"})),
        Some("cors") => Ok(json!({
            "statusCode": 200,
            "headers": {"access-control-allow-origin": "https://function.example"},
        })),
        _ => Ok(json!({
            "statusCode": 200,
            "headers": {"content-type": "application/json"},
            "body": event.payload.to_string(),
        })),
    }
}

/// Answers socket events: `$connect` by its query, messages by their `answer`; prints the event of `$disconnect`.
async fn socket(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let event = event.payload;
    match event["requestContext"]["eventType"].as_str().unwrap() {
        "CONNECT" => {
            println!("CONNECT {event}");
            match event["queryStringParameters"]["refuse"].as_str() {
                Some("error") => Err("refused by an error".into()),
                Some("malformed") => Ok(json!("welcome")),
                Some(status) => Ok(json!({"statusCode": status.parse::<u16>().unwrap(), "body": "no"})),
                // The client would refuse a subprotocol that it did not offer.
                None => match event["headers"].get("Sec-WebSocket-Protocol") {
                    Some(_) => Ok(json!({"statusCode": 200, "headers": {"sec-websocket-protocol": "app.v1"}})),
                    None => Ok(json!({"statusCode": 200})),
                },
            }
        }
        "DISCONNECT" => {
            println!("DISCONNECT {event}");
            Ok(json!({"statusCode": 200}))
        }
        _ => {
            let body: Value = serde_json::from_str(event["body"].as_str().unwrap_or_default()).unwrap_or_default();
            match body["answer"].as_str() {
                Some("fail") => Err("failed".into()),
                Some("refuse") => Ok(json!({"statusCode": 403, "body": "never seen"})),
                Some("malformed") => Ok(Value::Null),
                Some("nothing") => Ok(json!({"statusCode": 200})),
                Some("sleep") => {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    Ok(json!({"statusCode": 200}))
                }
                _ => Ok(json!({"statusCode": 200, "body": event.to_string()})),
            }
        }
    }
}
