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

/// A template that has this beside one function `F`.
fn served(text: &str) -> Result<Template, TemplateError> {
    let text =
        format!("Resources:\n  F: {{Type: 'AWS::Serverless::Function', Properties: {{Runtime: provided}}}}\n{text}");
    let settings = Settings { parameters: BTreeMap::new(), ..settings() };
    Template::parse(&text, &settings, &mut Secrets::in_memory())
}

/// The error of a template that has this beside one function `F`.
fn error(text: &str) -> String {
    served(text).unwrap_err().to_string()
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
fn what_the_twin_does_not_have_is_reported_and_skipped() {
    let warnings = everything().warnings;
    assert_eq!(
        warnings,
        [
            "Files: the twin has no AWS::S3::Bucket",
            "Sockets, route silent: it has a RouteResponseSelectionExpression, but there is no \
             AWS::ApiGatewayV2::RouteResponse for it: what its function answers reaches no client, as on AWS",
            "Worker: the twin does not serve its S3 event Drops",
        ],
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
fn parameters_are_held_to_what_the_template_allows() {
    let text = "
Parameters:
  Life: {Type: Number, Default: 60, MinValue: 10, MaxValue: '7200'}
  Name: {Type: String, Default: me, MinLength: 2, MaxLength: 4}
  Sender: {Type: String, Default: a@b, AllowedPattern: '[^@]+@[^@]+', ConstraintDescription: an address alone}
  Origins: {Type: CommaDelimitedList, Default: a, AllowedPattern: '[a-z]*'}
  Sizes: {Type: List<Number>, Default: '1, 2', MaxValue: 8}
Resources: {}
";
    let parse = |name: &str, value: &str| {
        let parameters = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let settings = Settings { parameters, ..settings() };
        Template::parse(text, &settings, &mut Secrets::in_memory()).map(|_| ()).map_err(|error| error.to_string())
    };
    for (name, value, expected) in [
        ("Life", "9", "parameter Life: \"9\" is less than 10"),
        ("Life", "7201", "parameter Life: \"7201\" is more than 7200"),
        ("Life", "soon", "parameter Life: \"soon\" is not a number"),
        ("Name", "x", "parameter Name: \"x\" is less than 2 characters"),
        ("Name", "abcde", "parameter Name: \"abcde\" is more than 4 characters"),
        ("Sender", "a@b@c", "parameter Sender: \"a@b@c\" does not match [^@]+@[^@]+: an address alone"),
        ("Origins", "a, B", "parameter Origins: \"B\" does not match [a-z]*"),
        ("Sizes", "3,9", "parameter Sizes: \"9\" is more than 8"),
    ] {
        assert_eq!(parse(name, value), Err(expected.to_owned()));
    }
    for (name, value) in [("Life", "10"), ("Life", "7200"), ("Name", "你好吗"), ("Sender", "c@d"), ("Sizes", "8")] {
        assert_eq!(parse(name, value), Ok(()), "{name}={value}");
    }
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

/// A WebSocket API `Ws` with this beside its route `$default`.
fn sockets(more: &str) -> String {
    let routes = "Routes: {$default: {FunctionArn: !GetAtt F.Arn}}";
    let common = "RouteSelectionExpression: $request.body.action";
    format!("  Ws: {{Type: 'AWS::Serverless::WebSocketApi', Properties: {{{common}, {routes}, {more}}}}}\n")
}

#[test]
fn who_may_come_in_is_served_or_refused() {
    let authorizer = "the twin has no authorizers, and would let everyone in";
    let http = |properties: &str| format!("  H: {{Type: 'AWS::Serverless::HttpApi', Properties: {{{properties}}}}}\n");
    let event = |auth: &str| {
        format!(
            "  G:\n    Type: AWS::Serverless::Function\n    Properties:\n      Runtime: provided\n      \
             Events: {{E: {{Type: HttpApi, Properties: {{Auth: {auth}}}}}}}\n"
        )
    };
    let route = |properties: &str| {
        format!(
            "  A:
    Type: AWS::ApiGatewayV2::Api
    Properties: {{ProtocolType: WEBSOCKET, RouteSelectionExpression: x}}
  I: {{Type: 'AWS::ApiGatewayV2::Integration', Properties: {{ApiId: !Ref A, IntegrationUri: !GetAtt F.Arn}}}}
  R:
    Type: AWS::ApiGatewayV2::Route
    Properties: {{ApiId: !Ref A, RouteKey: $connect, Target: !Ref I, {properties}}}
"
        )
    };
    for (text, place) in [
        (sockets("Auth: {AuthType: CUSTOM, AuthArn: !GetAtt F.Arn}"), "resource Ws, property Auth.AuthType"),
        (sockets("Auth: {AuthType: AWS_IAM}"), "resource Ws, property Auth.AuthType"),
        (
            http("Auth: {DefaultAuthorizer: Mine, Authorizers: {Mine: {}}}"),
            "resource H, property Auth.DefaultAuthorizer",
        ),
        (event("{Authorizer: Mine}"), "resource G, property Events.E.Auth.Authorizer"),
        (event("{Authorizer: AWS_IAM}"), "resource G, property Events.E.Auth.Authorizer"),
        (route("AuthorizationType: CUSTOM, AuthorizerId: x"), "resource R, property AuthorizationType"),
        (route("AuthorizationType: JWT"), "resource R, property AuthorizationType"),
        (route("AuthorizerId: x"), "resource R, property AuthorizerId"),
        (http("DefinitionBody: {security: [{mine: []}], paths: {}}"), "resource H, property DefinitionBody.security"),
        (
            http("DefinitionBody: {paths: {/x: {get: {security: [{mine: []}]}}}}"),
            "resource H, property DefinitionBody.paths./x.get.security",
        ),
    ] {
        assert_eq!(error(&text), format!("{place}: {authorizer}"));
    }
    let keys = "the twin has no API keys, and would let everyone in";
    assert_eq!(error(&route("ApiKeyRequired: true")), format!("resource R, property ApiKeyRequired: {keys}"));
    for open in [sockets("Auth: {AuthType: NONE}"), event("{Authorizer: NONE}"), route("AuthorizationType: NONE")] {
        assert!(served(&open).is_ok(), "{open}");
    }
}

#[test]
fn what_functions_receive_is_the_event_or_refused() {
    let integration = |properties: &str| {
        format!(
            "  I: {{Type: 'AWS::ApiGatewayV2::Integration', Properties: {{IntegrationUri: !GetAtt F.Arn, \
             {properties}}}}}"
        )
    };
    for (properties, property) in [
        ("IntegrationType: AWS", "IntegrationType"),
        ("IntegrationType: HTTP", "IntegrationType"),
        ("IntegrationType: HTTP_PROXY", "IntegrationType"),
        ("IntegrationType: MOCK", "IntegrationType"),
        ("IntegrationType: AWS_PROXY, IntegrationSubtype: SQS-SendMessage", "IntegrationSubtype"),
        ("RequestTemplates: {$default: '{}'}", "RequestTemplates"),
        ("RequestParameters: {'append:header.x': '1'}", "RequestParameters"),
        ("PassthroughBehavior: NEVER", "PassthroughBehavior"),
    ] {
        let error = error(&integration(properties));
        assert!(error.starts_with(&format!("resource I, property {property}: the twin ")), "{error}");
    }
    assert!(served(&integration("IntegrationType: AWS_PROXY, PassthroughBehavior: WHEN_NO_MATCH")).is_ok());
    let api = "  A: {Type: 'AWS::ApiGatewayV2::Api', Properties: {ProtocolType: HTTP, Body: {openapi: 3.0.1}}}";
    assert!(error(api).starts_with("resource A, property Body: the twin reads the paths of a DefinitionBody"));
    let body = "  H: {Type: 'AWS::Serverless::HttpApi', Properties: {DefinitionBody: {paths: {/x: {get: {}}}}}}";
    let place = "resource H, property DefinitionBody.paths./x.get.x-amazon-apigateway-integration.uri: is missing";
    assert_eq!(error(body), place);
}

#[test]
fn a_reference_to_a_route_that_sam_does_not_make_is_refused() {
    let answer = |route: &str| {
        let properties = format!("{{ApiId: !Ref Ws, RouteId: !Ref {route}, RouteResponseKey: $default}}");
        sockets("") + &format!("  Answer: {{Type: 'AWS::ApiGatewayV2::RouteResponse', Properties: {properties}}}\n")
    };
    assert_eq!(
        error(&answer("WsdefaultRoute")),
        "resource Answer, property RouteId.Ref: SAM generates no WsdefaultRoute: of Ws it generates WsDefaultRoute"
    );
    assert!(error(&answer("WsPingRoute")).contains("of Ws it generates WsDefaultRoute"));
    assert!(
        error(&answer("F")).starts_with("resource Answer, property RouteId: local-F is no route of a WebSocket API")
    );
    assert!(served(&answer("WsDefaultRoute")).is_ok());
}

#[test]
fn the_api_that_sam_generates_has_the_properties_of_globals() {
    let text = |globals: &str| {
        format!(
            "Globals: {{HttpApi: {{{globals}}}}}\nResources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:
      Runtime: provided\n      Events: {{E: {{Type: HttpApi}}}}\n"
        )
    };
    let parse = |globals: &str| {
        let settings = Settings { parameters: BTreeMap::new(), ..settings() };
        Template::parse(&text(globals), &settings, &mut Secrets::in_memory())
    };
    let api = parse("CorsConfiguration: {AllowOrigins: ['https://a.example']}").unwrap().http_api.unwrap();
    assert_eq!(api.cors.unwrap().allow_origins, ["https://a.example"]);
    let guarded = parse("Auth: {DefaultAuthorizer: Mine}").unwrap_err().to_string();
    assert!(guarded.starts_with("Globals.HttpApi, property Auth.DefaultAuthorizer: "), "{guarded}");
}

#[test]
fn a_runtime_that_brings_no_bootstrap_is_named() {
    let warned = |runtime: &str| {
        served(&format!("  G: {{Type: 'AWS::Serverless::Function', Properties: {{Runtime: {runtime}}}}}"))
            .unwrap()
            .warnings
    };
    assert!(warned("provided.al2023").is_empty());
    for unknown in ["nodejs20.x", "provided.al2024"] {
        assert!(warned(unknown)[0].starts_with(&format!("G, Runtime: the twin does not know {unknown}, ")));
    }
}

#[test]
fn secrets_have_the_name_and_the_arn_by_which_they_are_asked_for() {
    let text = "
Resources:
  Plain: {Type: 'AWS::SecretsManager::Secret', Properties: {SecretString: s3cret}}
  Named: {Type: 'AWS::SecretsManager::Secret', Properties: {Name: a/name, GenerateSecretString: {PasswordLength: 40}}}
  Empty: {Type: 'AWS::SecretsManager::Secret'}
Outputs:
  Plain: {Value: !Ref Plain}
  Named: {Value: !Ref Named}
  ByArn: {Value: !Sub '{{resolve:secretsmanager:${Named}}}'}
  ByName: {Value: '{{resolve:secretsmanager:a/name:SecretString}}'}
";
    let settings = Settings { parameters: BTreeMap::new(), ..settings() };
    let template = Template::parse(text, &settings, &mut Secrets::in_memory()).unwrap();
    let secret = |id: &str| template.secrets.iter().find(|secret| secret.logical_id == id).unwrap();
    assert_eq!((secret("Plain").name.as_str(), secret("Plain").value.as_deref()), ("local-Plain", Some("s3cret")));
    assert_eq!((secret("Named").name.as_str(), secret("Empty").value.as_deref()), ("a/name", None));
    let generated = secret("Named").value.clone().unwrap();
    assert_eq!(generated.chars().count(), 40);
    assert_eq!((&template.outputs["ByArn"], &template.outputs["ByName"]), (&generated, &generated));
    let arn = |name: &str| format!("arn:aws:secretsmanager:us-east-1:000000000000:secret:{name}-");
    for (output, name) in [("Plain", "local-Plain"), ("Named", "a/name")] {
        assert!(template.outputs[output].starts_with(&arn(name)), "{}", template.outputs[output]);
    }
    assert!(!format!("{template:?}").contains("s3cret"));
}

#[test]
fn keys_have_the_id_the_arn_and_the_alias_by_which_they_are_asked_for() {
    let text = "
Resources:
  Plain:
    Type: AWS::KMS::Key
    Properties:
      Description: plain
      Enabled: false
      EnableKeyRotation: true
      PendingWindowInDays: 7
      KeyPolicy:
        Statement:
          - Effect: Allow
            Principal: {AWS: !Sub 'arn:aws:iam::${AWS::AccountId}:root'}
            Action: kms:*
            Resource: '*'
  Wide: {Type: 'AWS::KMS::Key', Properties: {MultiRegion: true}}
  Signing: {Type: 'AWS::KMS::Key', Properties: {KeySpec: RSA_2048, KeyUsage: SIGN_VERIFY}}
  Name:
    Type: AWS::KMS::Alias
    Properties: {AliasName: !Sub 'alias/${AWS::StackName}', TargetKeyId: !GetAtt Plain.Arn}
  Other: {Type: 'AWS::KMS::Alias', Properties: {AliasName: alias/other, TargetKeyId: !Ref Wide}}
  Lost: {Type: 'AWS::KMS::Alias', Properties: {AliasName: alias/lost, TargetKeyId: !Ref Signing}}
Outputs:
  Plain: {Value: !Ref Plain}
  PlainArn: {Value: !GetAtt Plain.Arn}
  Wide: {Value: !GetAtt Wide.KeyId}
  Name: {Value: !Ref Name}
";
    let settings = Settings { parameters: BTreeMap::new(), ..settings() };
    let parse = |text: &str| Template::parse(text, &settings, &mut Secrets::in_memory());
    let template = parse(text).unwrap();
    let [plain, wide] = &template.keys[..] else { panic!("{:?}", template.keys) };
    assert_eq!((&template.outputs["Plain"], &template.outputs["PlainArn"]), (&plain.id, &plain.arn));
    assert_eq!(plain.arn, format!("arn:aws:kms:us-east-1:000000000000:key/{}", plain.id));
    assert_eq!((plain.id.len(), wide.id.len(), wide.id.starts_with("mrk-")), (36, 36, true));
    assert_eq!((plain.enabled, plain.rotates, plain.description.as_str()), (false, true, "plain"));
    assert_eq!((plain.policy.is_some(), wide.policy.is_some(), wide.enabled), (true, false, true));
    assert_eq!(template.outputs["Wide"], wide.id);
    let aliases: Vec<_> = template.key_aliases.iter().map(|it| (it.name.as_str(), &it.key_id)).collect();
    assert_eq!(aliases, [("alias/local", &plain.id), ("alias/other", &wide.id)]);
    assert_eq!(template.outputs["Name"], "alias/local");
    assert_eq!(parse(text).unwrap().keys[0].id, plain.id, "the same with each start");
    let warnings = template.warnings.join("\n");
    assert!(warnings.contains("Signing, KeySpec: the twin has no keys of RSA_2048"), "{warnings}");
    assert!(warnings.contains("Lost: there is no alias/lost; "), "{warnings}");

    let key = |properties: &str| format!("Resources: {{K: {{Type: 'AWS::KMS::Key', Properties: {{{properties}}}}}}}");
    let alias = "Resources: {A: {Type: 'AWS::KMS::Alias', Properties: {AliasName: NAME, TargetKeyId: k}}}";
    for (text, refusal) in [
        (key("PendingWindowInDays: 6"), "property PendingWindowInDays: is 6; AWS takes 7 to 30"),
        (key("RotationPeriodInDays: 89"), "property RotationPeriodInDays: is 89; AWS takes 90 to 2560"),
        (key("KeyPolicy: {}"), "property KeyPolicy: the policy has no Statement"),
        (alias.replace("NAME", "key"), "property AliasName: is key; it begins with alias/"),
        (alias.replace("NAME", "alias/aws/key"), "property AliasName: is alias/aws/key"),
    ] {
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains(refusal), "{error}");
    }
    assert!(parse(&key("Policy: {}")).unwrap().warnings[0].contains("AWS::KMS::Key has no such property"));
}

#[test]
fn a_secret_that_left_the_template_is_kept_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.json");
    std::fs::write(&path, r#"{"Gone": "x"}"#).unwrap();
    let settings = Settings { parameters: BTreeMap::new(), ..settings() };
    let template = Template::parse("Resources: {}", &settings, &mut Secrets::open(&path).unwrap()).unwrap();
    assert_eq!(template.warnings, ["the template has no secret Gone now; the data folder keeps its value"]);
}

#[test]
fn what_aws_refuses_is_refused_by_resource_and_property() {
    let function = |properties: &str| {
        format!("  G: {{Type: 'AWS::Lambda::Function', Properties: {{Runtime: provided, {properties}}}}}\n")
    };
    let queue = |properties: &str| format!("  Q: {{Type: 'AWS::SQS::Queue', Properties: {{{properties}}}}}\n");
    let event = |id: &str, properties: &str| {
        format!(
            "  {id}: {{Type: 'AWS::Serverless::Function', Properties: {{Runtime: provided, \
             Events: {{E: {{Type: HttpApi, Properties: {{{properties}}}}}}}}}}}\n"
        )
    };
    let fed = |properties: &str| {
        queue("VisibilityTimeout: 60")
            + &format!(
                "  M: {{Type: 'AWS::Lambda::EventSourceMapping', Properties: {{FunctionName: !Ref F, EventSourceArn: \
                 !GetAtt Q.Arn, {properties}}}}}\n"
            )
    };
    for (text, expected) in [
        (function("Timeout: 901"), "resource G, property Timeout: is 901; AWS takes 1 to 900"),
        (function("Timeout: 0"), "resource G, property Timeout: is 0;"),
        (function("MemorySize: 64"), "resource G, property MemorySize: is 64;"),
        (queue("VisibilityTimeout: 43201"), "resource Q, property VisibilityTimeout: is 43201;"),
        (queue("MessageRetentionPeriod: 59"), "resource Q, property MessageRetentionPeriod: is 59;"),
        (queue("DelaySeconds: 901"), "resource Q, property DelaySeconds: is 901;"),
        (fed("BatchSize: 0"), "resource M, property BatchSize: is 0;"),
        (fed("BatchSize: 10001"), "resource M, property BatchSize: is 10001;"),
        (fed("BatchSize: 11"), "resource F, property BatchSize: is over 10;"),
        (fed("ScalingConfig: {MaximumConcurrency: 1}"), "resource M, property ScalingConfig.MaximumConcurrency: is 1;"),
        (event("G", "Method: GTE, Path: /a"), "resource G, property Events.E.Method: GTE is none of ANY, DELETE,"),
        (event("G", "Method: GET, Path: b"), "resource G, property Events.E.Path: b does not begin with /"),
        (
            event("G", "Method: GET, Path: /a") + &event("H", "Method: get, Path: /a"),
            "resource H, property Events: GET /a is also a route of G",
        ),
        (
            "  Q: {Type: 'AWS::SQS::Queue', DependsOn: [F, Nope]}\n".to_owned(),
            "resource Q, property DependsOn: there is no resource Nope",
        ),
        (
            queue("") + &function("Environment: {Variables: {A: !GetAtt Q.Url}}"),
            "resource G, property Environment.Variables.A",
        ),
    ] {
        let error = error(&text);
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(served("  Q: {Type: 'AWS::SQS::Queue', DependsOn: FRole}\n").is_ok());
}

#[test]
fn what_the_twin_ignores_is_named_by_resource_and_property() {
    let warnings = |text: &str| served(text).unwrap().warnings.join("\n");
    let function = |properties: &str| {
        format!("  G: {{Type: 'AWS::Serverless::Function', Properties: {{Runtime: provided, {properties}}}}}\n")
    };
    for (property, value) in
        [("Layers", "[a]"), ("VpcConfig", "{}"), ("DeadLetterQueue", "{}"), ("InlineCode", "x"), ("Enviroment", "{}")]
    {
        let warning = warnings(&function(&format!("{property}: {value}")));
        assert!(warning.starts_with(&format!("G, {property}: ")), "{warning}");
    }
    assert!(
        warnings("  Q: {Type: 'AWS::SQS::Queue', Properties: {VisibiltyTimeout: 3}}")
            .starts_with("Q, VisibiltyTimeout")
    );
    let stored = "Parameters: {P: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /a}}\nResources: {}";
    let settings = Settings { parameters: BTreeMap::new(), ..settings() };
    let template = Template::parse(stored, &settings, &mut Secrets::in_memory()).unwrap();
    assert!(template.warnings[0].starts_with("parameter P: the twin has no Parameter Store"));
}

/// The outcome of a template with this text.
fn parsed(text: &str) -> Result<Template, String> {
    let settings = Settings { parameters: BTreeMap::new(), ..settings() };
    Template::parse(text, &settings, &mut Secrets::in_memory()).map_err(|error| error.to_string())
}

#[test]
fn a_section_or_a_transform_that_the_twin_does_not_know_is_refused() {
    for (text, expected) in [
        (
            "Global: {HttpApi: {}}\nResources: {}",
            "no template has a section Global; there are AWSTemplateFormatVersion,",
        ),
        ("Resource: {}\nResources: {}", "no template has a section Resource; there are "),
        ("Condition: {}\nResources: {}", "no template has a section Condition; "),
        (
            "Transform: [AddAuthorizers, AWS::Serverless-2016-10-31]\nResources: {}",
            "its transform AddAuthorizers may rewrite all of it on AWS, and the twin does not run it; it takes \
             AWS::LanguageExtensions and AWS::Serverless-2016-10-31",
        ),
        ("Transform: Mine\nResources: {}", "its transform Mine may rewrite all of it"),
        (
            "Transform: {Name: AWS::Include, Parameters: {Location: s3://a/b}}\nResources: {}",
            "its transform AWS::Include may rewrite",
        ),
    ] {
        let error = parsed(text).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    for transform in ["AWS::Serverless-2016-10-31", "[AWS::LanguageExtensions, AWS::Serverless-2016-10-31]", "[]"] {
        assert!(parsed(&format!("Transform: {transform}\nHooks: {{}}\nMetadata: {{}}\nResources: {{}}")).is_ok());
    }
}

#[test]
fn an_event_of_another_form_than_on_aws_is_refused() {
    let payload = ": is 1.0; the twin sends events in payload format 2.0 only";
    let event = |version: &str| {
        format!(
            "  G: {{Type: 'AWS::Serverless::Function', Properties: {{Runtime: provided, Events: {{E: {{Type: HttpApi, \
             Properties: {{PayloadFormatVersion: {version}}}}}}}}}}}\n"
        )
    };
    let route = |api: &str, version: &str| {
        format!(
            "  A: {{Type: 'AWS::ApiGatewayV2::Api', Properties: {{ProtocolType: {api}}}}}
  I:
    Type: AWS::ApiGatewayV2::Integration
    Properties: {{IntegrationUri: !GetAtt F.Arn, PayloadFormatVersion: {version}}}
  R: {{Type: 'AWS::ApiGatewayV2::Route', Properties: {{ApiId: !Ref A, RouteKey: $default, Target: !Ref I}}}}\n"
        )
    };
    let defined = |version: &str| {
        format!(
            "  H: {{Type: 'AWS::Serverless::HttpApi', Properties: {{DefinitionBody: {{paths: {{/x: {{get: \
             {{x-amazon-apigateway-integration: {{uri: !GetAtt F.Arn, payloadFormatVersion: {version}}}}}}}}}}}}}}}\n"
        )
    };
    for version in ["1.0", "'1.0'"] {
        assert_eq!(error(&event(version)), format!("resource G, property Events.E.PayloadFormatVersion{payload}"));
        assert_eq!(error(&route("HTTP", version)), format!("resource I, property PayloadFormatVersion{payload}"));
        let place = "resource H, property DefinitionBody.paths./x.get.x-amazon-apigateway-integration";
        assert_eq!(error(&defined(version)), format!("{place}.payloadFormatVersion{payload}"));
    }
    let sockets = "WEBSOCKET, RouteSelectionExpression: x";
    for text in [event("2.0"), event("'2.0'"), route("HTTP", "2.0"), route(sockets, "'1.0'"), defined("'2.0'")] {
        assert!(served(&text).is_ok(), "{text}");
    }
    let filtered = |filters: &str| {
        format!(
            "  Q: {{Type: 'AWS::SQS::Queue'}}
  G: {{Type: 'AWS::Serverless::Function', Properties: {{Runtime: provided, Events: {{E: {{Type: SQS, Properties: \
             {{Queue: !GetAtt Q.Arn, FilterCriteria: {{Filters: {filters}}}}}}}}}}}}}
  M: {{Type: 'AWS::Lambda::EventSourceMapping', Properties: {{FunctionName: !Ref F, EventSourceArn: !GetAtt Q.Arn, \
             FilterCriteria: {{Filters: {filters}}}}}}}\n"
        )
    };
    let refused = error(&filtered("[{Pattern: '{}'}]"));
    assert!(refused.starts_with("resource M, property FilterCriteria.Filters: the twin does not filter"), "{refused}");
    let of_event = filtered("[{Pattern: '{}'}]");
    let refused = error(of_event.split("  M:").next().unwrap());
    assert!(refused.starts_with("resource G, property Events.E.FilterCriteria.Filters: the twin does"), "{refused}");
    assert!(served(filtered("[]").split("  M:").next().unwrap()).is_ok());
}

#[test]
fn a_reference_to_what_a_condition_leaves_out_is_refused() {
    let no = "Conditions: {No: !Equals [a, b], Yes: !Equals [a, a]}\n";
    let queue = "  Q: {Type: 'AWS::SQS::Queue', Condition: No}\n";
    let variable = |value: &str| {
        format!(
            "{queue}  G: {{Type: 'AWS::Lambda::Function', Properties: {{Runtime: provided, Environment: {{Variables: \
             {{QUEUE: {value}}}}}}}}}\n{no}"
        )
    };
    let reason = "there is no resource Q, because its condition No is false";
    let place = "resource G, property Environment.Variables.QUEUE";
    for (value, function) in [
        ("!GetAtt Q.Arn", "Fn::GetAtt"),
        ("!Ref Q", "Ref"),
        ("!Sub '${Q}'", "Fn::Sub"),
        ("!Sub '${Q.Arn}'", "Fn::Sub"),
        ("!If [Yes, !Ref Q, b]", "Fn::If.1.Ref"),
        ("!If [No, a, !Ref Q]", "Fn::If.2.Ref"),
    ] {
        assert_eq!(error(&variable(value)), format!("{place}.{function}: {reason}"));
    }
    let output = |condition: &str| format!("{queue}{no}Outputs: {{O: {{{condition}Value: !Ref Q}}}}\n");
    assert_eq!(error(&output("")), format!("output O, property Value.Ref: {reason}"));
    let other =
        format!("{queue}  P: {{Type: 'AWS::SQS::Queue', Condition: No, Properties: {{QueueName: !Ref Q}}}}\n{no}");
    for text in [
        variable("!If [No, !Ref Q, b]"),
        variable("!If [Yes, a, !If [Yes, !Ref Q, b]]"),
        output("Condition: No, "),
        other,
    ] {
        assert!(served(&text).is_ok(), "{text}");
    }
}

#[test]
fn conditions_and_rules_are_evaluated_even_if_nothing_uses_them() {
    for (text, expected) in [
        (
            "Conditions: {C: !Equals [!Ref Nope, b]}",
            "condition C, property Fn::Equals.0.Ref: there is no parameter Nope",
        ),
        ("Conditions: {C: !Equals [!Ref F, b]}", "condition C, property Fn::Equals.0.Ref: there is no parameter F"),
        ("Conditions: {C: !Equals [!GetAtt F.Arn, b]}", "condition C, property Fn::Equals.0.Fn::GetAtt: F is no param"),
        ("Conditions: {C: !Condition D}", "condition C, property Condition: there is no condition D"),
        ("Conditions: {C: !Not [!Condition D], D: !Condition C}", "condition "),
        ("Conditions: {C: yes}", "condition C: is not a condition"),
        (
            "Rules: {R: {Assertions: [{Assert: !Equals [!Ref Nope, b]}]}}",
            "rule R, property Assertions.0.Assert.Fn::Equals.0.Ref: there is no parameter Nope",
        ),
        (
            "Rules: {R: {Assertions: [{Assert: !Equals [a, b]}]}}",
            "rule R, property Assertions.0: it does not hold for these parameters",
        ),
        (
            "Rules: {R: {Assertions: [{Assert: !Contains [[a, b], c], AssertDescription: c is not allowed}]}}",
            "rule R, property Assertions.0: c is not allowed",
        ),
        ("Rules: {R: {RuleCondition: !Equals [a, a], Assertions: [{Assert: !Not [!Equals [a, a]]}]}}", "rule R, "),
        ("Rules: {R: {}}", "rule R, property Assertions: is no list"),
    ] {
        let error = error(text);
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(error("Conditions: {C: !Not [!Condition D], D: !Condition C}").ends_with("its value refers to itself"));
    for text in [
        "Rules: {R: {Assertions: [{Assert: !Contains [[a, b], a]}, {Assert: !EachMemberIn [[a], [a, b]]}]}}",
        "Rules: {R: {Assertions: [{Assert: !EachMemberEquals [[a, a], a]}]}}",
        "Rules: {R: {RuleCondition: !Equals [a, b], Assertions: [{Assert: !Equals [a, b]}]}}",
    ] {
        assert!(served(text).is_ok(), "{text}");
    }
}

#[test]
fn variables_that_lambda_refuses_are_refused() {
    let with = |variables: &str| {
        format!(
            "  G: {{Type: 'AWS::Lambda::Function', Properties: {{Runtime: provided, Environment: {{Variables: \
             {{{variables}}}}}}}}}\n"
        )
    };
    for (variables, expected) in [
        ("AWS_REGION: x", ".AWS_REGION: Lambda sets this variable itself"),
        ("_HANDLER: x", "._HANDLER: Lambda sets this variable itself"),
        ("AWS_LAMBDA_FUNCTION_NAME: x", ".AWS_LAMBDA_FUNCTION_NAME: Lambda sets this"),
        ("1A: x", ".1A: Lambda takes names of two or more letters"),
        ("A: x", ".A: Lambda takes names"),
        ("A-B: x", ".A-B: Lambda takes names"),
        ("_A: x", "._A: Lambda takes names"),
    ] {
        let error = error(&with(variables));
        assert!(error.starts_with(&format!("resource G, property Environment.Variables{expected}")), "{error}");
    }
    // `{"AB":""}` is nine bytes.
    assert!(served(&with(&format!("AB: {}", "x".repeat(4_087)))).is_ok());
    let refused = error(&with(&format!("AB: {}", "x".repeat(4_088))));
    let place = "resource G, property Environment.Variables";
    assert_eq!(refused, format!("{place}: is 4097 bytes of JSON; Lambda takes 4096"));
    assert!(served(&with("AWS_LAMBDA_EXEC_WRAPPER: x, a1: y, TZ: UTC")).is_ok());
}

#[test]
fn legal_templates_that_the_twin_cannot_check_are_served() {
    let template = parsed(
        "
Transform: AWS::LanguageExtensions
Parameters: {P: {Type: String, Default: ab, AllowedPattern: '(?!aws)[a-z]+'}}
Mappings: {Sizes: {small: {Memory: 128}}}
Resources: {}
Outputs:
  Found: {Value: !FindInMap [Sizes, small, Memory, {DefaultValue: 512}]}
  Default: {Value: !FindInMap [Sizes, large, Memory, {DefaultValue: 512}]}
",
    );
    let template = template.unwrap();
    let [warning] = &template.warnings[..] else { panic!("{:?}", template.warnings) };
    assert!(warning.starts_with("parameter P, AllowedPattern: the twin cannot read (?!aws)[a-z]+ ("), "{warning}");
    assert!(warning.ends_with("), and takes any value"), "{warning}");
    assert_eq!((template.outputs["Found"].as_str(), template.outputs["Default"].as_str()), ("128", "512"));
    let none = parsed("Mappings: {A: {b: {c: 1}}}\nResources: {}\nOutputs: {O: {Value: !FindInMap [A, x, c]}}");
    assert!(none.unwrap_err().ends_with("no entry x.c in the mapping A"));
}

/// Templates that have one part more than `F`, at places that control access.
mod guards {
    use super::*;

    fn http(properties: &str) -> String {
        format!("  H: {{Type: 'AWS::Serverless::HttpApi', Properties: {{{properties}}}}}\n")
    }

    fn event(event: &str) -> String {
        format!(
            "  G:\n    Type: AWS::Serverless::Function\n    \
             Properties: {{Runtime: provided, Events: {{E: {{{event}}}}}}}\n"
        )
    }

    fn route(api: &str, route: &str) -> String {
        format!(
            "  A: {{Type: 'AWS::ApiGatewayV2::Api', Properties: {{ProtocolType: HTTP, {api}}}}}
  I: {{Type: 'AWS::ApiGatewayV2::Integration', Properties: {{ApiId: !Ref A, IntegrationUri: !GetAtt F.Arn}}}}
  R: {{Type: 'AWS::ApiGatewayV2::Route', Properties: {{ApiId: !Ref A, RouteKey: GET /, Target: !Ref I, {route}}}}}
"
        )
    }

    #[test]
    fn an_api_that_aws_closes_is_refused() {
        let domain =
            "Domain: {DomainName: a.example, CertificateArn: c, MutualTlsAuthentication: {TruststoreUri: s3://a/b}}";
        let tls = "the twin asks no client for a certificate, and would let everyone in";
        for (text, place) in [
            (http(domain), "resource H, property Domain.MutualTlsAuthentication"),
            (sockets(domain), "resource Ws, property Domain.MutualTlsAuthentication"),
            (
                "  D: {Type: 'AWS::ApiGatewayV2::DomainName', \
                 Properties: {MutualTlsAuthentication: {TruststoreUri: x}}}\n"
                    .to_owned(),
                "resource D, property MutualTlsAuthentication",
            ),
        ] {
            assert_eq!(error(&text), format!("{place}: {tls}"));
        }
        let closed = "the twin serves the API at the address that this closes, and would let everyone in";
        let defined = "DefinitionBody: {x-amazon-apigateway-endpoint-configuration: {disableExecuteApiEndpoint: true}}";
        for (text, place) in [
            (http("DisableExecuteApiEndpoint: true"), "resource H, property DisableExecuteApiEndpoint"),
            (http("DisableExecuteApiEndpoint: 'true'"), "resource H, property DisableExecuteApiEndpoint"),
            (sockets("DisableExecuteApiEndpoint: true"), "resource Ws, property DisableExecuteApiEndpoint"),
            (route("DisableExecuteApiEndpoint: true", ""), "resource A, property DisableExecuteApiEndpoint"),
            (
                http(defined),
                "resource H, property \
                 DefinitionBody.x-amazon-apigateway-endpoint-configuration.disableExecuteApiEndpoint",
            ),
        ] {
            assert_eq!(error(&text), format!("{place}: {closed}"));
        }
        for open in [http("DisableExecuteApiEndpoint: false"), sockets("DisableExecuteApiEndpoint: 'false'")] {
            assert!(served(&open).unwrap().warnings.is_empty(), "{open}");
        }
        for (text, id) in
            [(http("Domain: {DomainName: a.example, CertificateArn: c}"), "H"), (sockets("Domain: {}"), "Ws")]
        {
            let warning = format!("{id}, Domain: the twin serves the API at its port, and not at this domain");
            assert_eq!(served(&text).unwrap().warnings, [warning]);
        }
    }

    #[test]
    fn a_guard_that_is_misspelt_or_misplaced_is_refused() {
        for (text, place) in [
            (event("Type: HttpApi, Properties: {Auht: {Authorizer: Mine}}"), "resource G, property Events.E.Auht"),
            (event("Type: HttpApi, Properties: {Authorizer: Mine}"), "resource G, property Events.E.Authorizer"),
            (
                event("Type: HttpApi, Properties: {Auth: {Authoriser: x}}"),
                "resource G, property Events.E.Auth.Authoriser",
            ),
            (event("Type: HttpApi, Auth: {Authorizer: Mine}"), "resource G, property Events.E.Auth"),
            (
                event("Type: Schedule, Properties: {Schedule: rate(1 day), Enable: false}"),
                "resource G, property Events.E.Enable",
            ),
            (event("Type: ScheduleV2, Properties: {Schedule: rate(1 day)}"), "resource G, property Events.E.Schedule"),
            (event("Type: SQS, Properties: {Queu: x}"), "resource G, property Events.E.Queu"),
            (http("Authh: {DefaultAuthorizer: Mine}"), "resource H, property Authh"),
            (http("Auth: {DefaultAuthoriser: Mine}"), "resource H, property Auth.DefaultAuthoriser"),
            (http("Domain: {MutualTlsAuth: {}}"), "resource H, property Domain.MutualTlsAuth"),
            (http("DisableExecuteApi: true"), "resource H, property DisableExecuteApi"),
            (sockets("Authorizer: Mine"), "resource Ws, property Authorizer"),
            (sockets("Auth: {Type: AWS_IAM}"), "resource Ws, property Auth.Type"),
            (route("Authorization: JWT", ""), "resource A, property Authorization"),
            (route("", "AuthorisationType: JWT"), "resource R, property AuthorisationType"),
        ] {
            let error = error(&text);
            let expected = format!("{place}: ");
            assert!(error.starts_with(&expected) && error.contains(" has no such property; there are "), "{error}");
        }
        let connect = "  Ws: {Type: 'AWS::Serverless::WebSocketApi', Properties: {RouteSelectionExpression: x, Routes: \
                       {$default: {FunctionArn: !GetAtt F.Arn, AuthorizationType: AWS_IAM}}}}\n";
        assert!(error(connect).starts_with("resource Ws, property Routes.$default.AuthorizationType: a route of an "));
        for (text, expected) in [
            (http("Auth: Mine"), "resource H, property Auth: is no mapping"),
            (event("Type: HttpApi, Properties: {Auth: [Mine]}"), "resource G, property Events.E.Auth: is no mapping"),
            (sockets("Auth: {AuthArn: x}"), "resource Ws, property Auth.AuthType: is missing"),
            (
                event("Type: HttpApi, Properties: {Auth: {AuthorizationScopes: [a]}}"),
                "resource G, property Events.E.Auth.AuthorizationScopes: the twin has no authorizers",
            ),
            (
                http("DefinitionBody: {paths: {/x: {get: {x-amazon-apigateway-auth: {type: AWS_IAM}}}}}"),
                "resource H, property DefinitionBody.paths./x.get.x-amazon-apigateway-auth.type: the twin has no",
            ),
            (
                "  B: {Type: 'AWS::SQS::Queue', Propertis: {}}\n".to_owned(),
                "resource B, property Propertis: a resource has",
            ),
        ] {
            let error = error(&text);
            assert!(error.starts_with(expected), "{error}");
        }
        let text = "Globals: {HtpApi: {Auth: {DefaultAuthorizer: Mine}}}\nResources: {}";
        let settings = Settings { parameters: BTreeMap::new(), ..settings() };
        let refused = Template::parse(text, &settings, &mut Secrets::in_memory()).unwrap_err().to_string();
        assert!(refused.starts_with("Globals, property HtpApi: Globals has no such property; there are "), "{refused}");
    }

    #[test]
    fn a_reference_to_nothing_is_refused_wherever_it_stands() {
        let policy = |resource: &str| {
            format!(
                "  G:\n    Type: AWS::Serverless::Function\n    Properties: {{Runtime: provided, Policies: [{{\
                 Statement: [{{Effect: Allow, Action: 'sqs:*', Resource: {resource}}}]}}]}}\n"
            )
        };
        let place = "resource G, property Policies.0.Statement.0.Resource";
        for (resource, expected) in [
            ("!Ref Nope", ".Ref: there is no parameter and no resource Nope"),
            ("!GetAtt Nope.Arn", ".Fn::GetAtt: there is no parameter and no resource Nope"),
            ("!GetAtt F.Name", ".Fn::GetAtt: F has no attribute Name; an AWS::Serverless::Function has Arn"),
            ("!Sub 'arn:${AWS::Partition}:sqs:${Nope}'", ".Fn::Sub: there is no parameter and no resource Nope"),
            ("!Sub '${Nope.Arn}/*'", ".Fn::Sub: there is no parameter and no resource Nope"),
            ("!Sub '${F.Nope}'", ".Fn::Sub: F has no attribute Nope"),
            ("!Sub ['${A}${B}', {A: x}]", ".Fn::Sub: there is no parameter and no resource B"),
            ("!Sub ['${A}', {A: !Ref Nope}]", ".Fn::Sub.1.A.Ref: there is no parameter and no resource Nope"),
            ("!Join ['', [a, !Ref Nope]]", ".Fn::Join.1.1.Ref: there is no parameter and no resource Nope"),
            ("!Ref AWS::Regoin", ".Ref: there is no pseudo parameter AWS::Regoin; there are AWS::AccountId, "),
            ("!If [Nope, a, b]", ".Fn::If: there is no condition Nope"),
        ] {
            let error = error(&policy(resource));
            assert!(error.starts_with(&format!("{place}{expected}")), "{error}");
        }
        for resource in [
            "!GetAtt F.Arn",
            "!Sub 'arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${ServerlessRestApi}/*'",
            "!GetAtt FRole.Arn",
        ] {
            assert!(served(&policy(resource)).is_ok(), "{resource}");
        }
        // A value that the twin need not resolve.
        for value in ["!Sub ['${A}${!Literal}${F}', {A: x}]", "!ImportValue Elsewhere"] {
            let text = format!("  B: {{Type: 'AWS::SQS::Queue', Properties: {{Tags: [{value}]}}}}\n");
            assert!(served(&text).is_ok(), "{value}");
        }
        // CloudFormation, too, ignores a resource whose condition is false.
        let absent = "  B: {Type: 'AWS::SQS::Queue', Condition: No, Properties: {QueueName: !Ref Nope}}\n";
        let refused = error(&format!("{absent}Conditions: {{No: !Equals [a, b]}}\n"));
        assert_eq!(refused, "resource B, property QueueName.Ref: there is no parameter and no resource Nope");
    }
}
