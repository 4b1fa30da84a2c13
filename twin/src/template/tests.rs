use std::time::Duration;

use serde_json::json;

use super::*;

const EVERYTHING: &str = include_str!("../../tests/templates/everything.yaml");
const IN_PIECES: &str = include_str!("../../tests/templates/in-pieces.yaml");

fn settings() -> Settings {
    let mut settings = Settings::new("http://127.0.0.1:1", "ws://127.0.0.1:2", "http://127.0.0.1:3");
    settings.parameters.insert("Sender".to_owned(), "me@example.org".to_owned());
    settings
}

fn everything() -> Template {
    Template::parse(EVERYTHING, &settings(), &mut Secrets::in_memory()).unwrap()
}

/// The error of a template that has this beside one function `F`.
fn error(text: &str) -> String {
    let text =
        format!("Resources:\n  F: {{Type: 'AWS::Serverless::Function', Properties: {{Runtime: provided}}}}\n{text}");
    let settings = Settings { parameters: BTreeMap::new(), ..settings() };
    Template::parse(&text, &settings, &mut Secrets::in_memory()).unwrap_err().to_string()
}

#[test]
fn functions_have_their_environment_resolved() {
    let template = everything();
    assert_eq!(template.functions.keys().collect::<Vec<_>>(), ["Socket", "Worker"]);
    let socket = &template.functions["Socket"];
    assert_eq!(socket.name, "local-socket");
    assert_eq!(socket.arn, "arn:aws:lambda:us-east-1:000000000000:function:local-socket");
    assert_eq!(socket.binary.as_deref(), Some("socket"));
    assert_eq!((socket.timeout, socket.memory_mb), (Duration::from_secs(3), 256));
    assert_eq!(socket.environment["LOG"], "debug");
    assert_eq!(socket.environment["TABLE"], "local-Things");
    assert_eq!(socket.environment["POSTS"], "http://127.0.0.1:3/dev");
    assert_eq!(socket.environment["POSTS_JOINED"], "http://127.0.0.1:3/dev");
    assert_eq!(socket.environment["SECOND_ORIGIN"], "https://b.example");
    assert_eq!(socket.environment["SPLIT"], "sqs");
    assert_eq!(socket.environment["BOTH"], "yes");
    assert_eq!(socket.environment["LITERAL"], "${Kept} me@example.org");
    assert!(!socket.environment.contains_key("NOTHING"));
    let keys: BTreeMap<String, String> = serde_json::from_str(&socket.environment["KEYS"]).unwrap();
    assert_eq!(keys["1"].len(), 64);
    assert_eq!(keys["1"], socket.environment["KEY_1"]);
    assert!(!format!("{template:?}").contains(&keys["1"]), "a secret cannot be printed");

    let worker = &template.functions["Worker"];
    assert_eq!(worker.timeout, Duration::from_secs(10));
    assert_eq!(worker.reserved_concurrency, Some(5));
    assert_eq!(worker.environment["QUEUE"], "http://127.0.0.1:3/000000000000/local-Work.fifo");
    assert_eq!(worker.environment["QUEUE_NAME"], "local-Work.fifo");
}

#[test]
fn apis_have_their_routes() {
    let template = everything();
    let http = template.http_api.as_ref().unwrap();
    assert_eq!(http.stage, "$default");
    let mut routes: Vec<String> = http.routes.iter().map(|it| format!("{} {}", it.method, it.path)).collect();
    routes.sort();
    assert_eq!(routes, ["ANY $default", "GET /things/{id}", "POST /things"]);
    let cors = http.cors.as_ref().unwrap();
    assert_eq!(cors.allow_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(cors.max_age, Some(Duration::from_secs(60)));

    let sockets = template.websocket_api.as_ref().unwrap();
    assert_eq!((sockets.stage.as_str(), sockets.api_id.len()), ("dev", 10));
    assert_eq!(sockets.route_selection_expression, "$request.body.action");
    let ping = &sockets.routes["ping"];
    assert_eq!((ping.function.as_str(), ping.timeout), ("Socket", Some(Duration::from_secs(5))));
    assert!(ping.has_route_response);
    assert!(!sockets.routes["silent"].has_route_response, "there is no RouteResponse for it");
    assert!(!sockets.routes["$connect"].has_route_response);
}

#[test]
fn queues_sources_and_schedules() {
    let template = everything();
    let work = template.queue("local-Work.fifo").unwrap();
    assert!(work.fifo && work.deduplicate_per_group && !work.content_based_deduplication);
    assert_eq!(work.visibility_timeout, Duration::from_secs(60));
    assert_eq!(work.redrive, Some(Redrive { dead_letter_queue: "dev-dead.fifo".to_owned(), max_receives: 5 }));
    assert_eq!(template.queue("dev-dead.fifo").unwrap().retention, Duration::from_secs(1_209_600));
    let expected = EventSource {
        function: "Worker".to_owned(),
        queue: "local-Work.fifo".to_owned(),
        batch_size: 7,
        window: Duration::from_secs(2),
        report_failures: true,
        max_concurrency: Some(3),
        enabled: true,
    };
    assert_eq!(template.event_sources, [expected]);
    let schedules: Vec<_> = template.schedules.iter().map(|it| (it.expression.as_str(), it.enabled)).collect();
    assert_eq!(schedules, [("cron(0 12 * * ? *)", false), ("rate(1 minute)", true)]);
    assert_eq!(template.schedules[1].input.as_deref(), Some("{\"tick\":true}"));
}

#[test]
fn tables_are_ready_to_be_made() {
    let template = everything();
    let [small, things] = template.tables.as_slice() else { panic!("two tables") };
    assert_eq!(things.name, "local-Things");
    assert_eq!(things.ttl_attribute.as_deref(), Some("expires_at"));
    assert_eq!(things.definition["GlobalSecondaryIndexes"][0]["IndexName"], "by");
    assert_eq!(small.definition["KeySchema"], json!([{"AttributeName": "key", "KeyType": "HASH"}]));
    assert_eq!(small.definition["AttributeDefinitions"][0]["AttributeType"], "N");
}

#[test]
fn outputs_name_what_the_twin_serves() {
    let outputs = everything().outputs;
    assert_eq!(outputs["ApiUrl"], "http://127.0.0.1:1");
    assert_eq!(outputs["ApiEndpoint"], "http://127.0.0.1:1");
    assert_eq!(outputs["SocketUrl"], "ws://127.0.0.1:2/dev");
    assert_eq!(outputs["Table"], "local-Things");
    assert!(!outputs.contains_key("OnlyInProd"));
}

#[test]
fn what_the_twin_does_not_have_is_said_and_skipped() {
    let warnings = everything().warnings;
    assert_eq!(
        warnings,
        ["Files: the twin has no AWS::S3::Bucket", "Worker: the twin does not serve its S3 event Drops"],
    );
}

#[test]
fn plain_cloudformation_is_read_too() {
    let template =
        Template::parse(IN_PIECES, &Settings { parameters: BTreeMap::new(), ..settings() }, &mut Secrets::in_memory());
    let template = template.unwrap();
    let http = template.http_api.unwrap();
    assert_eq!(http.stage, "v1");
    assert_eq!((http.routes[0].method.as_str(), http.routes[0].path.as_str()), ("POST", "/things"));
    let ws = template.websocket_api.unwrap();
    let ping = WebSocketRoute {
        function: "Handler".to_owned(),
        has_route_response: true,
        timeout: Some(Duration::from_millis(1500)),
    };
    assert_eq!((ws.stage.as_str(), &ws.routes["ping"]), ("live", &ping));
    assert_eq!(template.functions["Handler"].timeout, Duration::from_secs(20));
    assert_eq!((template.event_sources[0].queue.as_str(), template.event_sources[0].enabled), ("local-Queue", false));
    assert_eq!(template.schedules[0].function, "Handler");
    assert_eq!(template.outputs["SocketUrl"], "ws://127.0.0.1:2/live");
    assert!(template.warnings.is_empty(), "{:?}", template.warnings);
}

#[test]
fn parameters_are_checked() {
    let parse = |name: &str, value: &str| {
        let mut settings = settings();
        settings.parameters.insert(name.to_owned(), value.to_owned());
        Template::parse(EVERYTHING, &settings, &mut Secrets::in_memory())
    };
    assert_eq!(parse("Stage", "prod").unwrap().functions["Only"].memory_mb, 1024);
    assert!(parse("Stage", "test").unwrap_err().to_string().contains("dev, prod"));
    assert!(matches!(parse("Stagee", "dev").unwrap_err(), TemplateError::UnknownParameter { .. }));
    let none = Settings { parameters: BTreeMap::new(), ..settings() };
    let missing = Template::parse(EVERYTHING, &none, &mut Secrets::in_memory()).unwrap_err();
    assert!(matches!(missing, TemplateError::MissingParameter(name) if name == "Sender"));
}

#[test]
fn errors_name_resource_and_property() {
    let queue = |property: &str| error(&format!("  Q: {{Type: 'AWS::SQS::Queue', Properties: {{{property}}}}}"));
    assert_eq!(
        queue("DelaySeconds: !ImportValue x"),
        "resource Q, property DelaySeconds.Fn::ImportValue: Fn::ImportValue has no counterpart on this machine"
    );
    assert_eq!(
        queue("DelaySeconds: !Ref Nobody"),
        "resource Q, property DelaySeconds.Ref: there is no parameter and no resource Nobody"
    );
    assert!(queue("VisibilityTimeout: soon").starts_with("resource Q, property VisibilityTimeout: "));
    assert!(queue("QueueName: q.fifo").contains("FifoQueue"));
    assert!(queue("QueueName: !GetAtt Q.QueueName").contains("itself"));
    assert!(queue("DelaySeconds: '{{resolve:ssm:/x}}'").contains("resolve:ssm:/x"));
    assert!(error("  A: {Type: 'AWS::Serverless::HttpApi'}\n  B: {Type: 'AWS::Serverless::HttpApi'}").contains("A, B"));
    assert!(Template::parse("just text", &settings(), &mut Secrets::in_memory()).is_err());
    assert!(Template::parse("{", &settings(), &mut Secrets::in_memory()).is_err());
}

#[test]
fn a_mapping_needs_visibility_beyond_its_functions_timeout() {
    let text = "  Q: {Type: 'AWS::SQS::Queue', Properties: {VisibilityTimeout: 2}}
  M: {Type: 'AWS::Lambda::EventSourceMapping', Properties: {FunctionName: !Ref F, EventSourceArn: !GetAtt Q.Arn}}";
    assert!(error(text).contains("less than the timeout of its function F"));
}
