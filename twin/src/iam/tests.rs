//! Policies, one element after the other.

use serde_json::{Value, json};

use super::*;

const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/things";

fn role(statements: &Value) -> Role {
    let rules = Rule::of_document(&json!({"Statement": statements}), &Origin::Written).unwrap();
    Role { name: "role".to_owned(), rules, ..Role::default() }
}

fn is_allowed(statements: &Value, need: &Need) -> bool {
    matches!(role(statements).decide(need), Decision::Allowed(_))
}

/// The sentence about a document that cannot be evaluated.
fn refused(statement: &Value) -> String {
    Rule::of_document(&json!({"Statement": statement}), &Origin::Written).unwrap_err()
}

fn roles_of(role: Role) -> Roles {
    let functions = [("F", "local-F", "role")];
    let roles = BTreeMap::from([("role".to_owned(), role)]);
    Roles::new(functions.into_iter(), &roles, BTreeMap::new(), Arns::new("us-east-1", "000000000000"))
}

#[test]
fn an_action_is_allowed_on_a_resource_that_a_statement_names() {
    let index = format!("{TABLE}/index/by");
    let rows = [
        (json!("dynamodb:PutItem"), json!(TABLE), TABLE, true),
        (json!(["dynamodb:GetItem", "dynamodb:PutItem"]), json!(["arn:aws:sqs:a:b:c", TABLE]), TABLE, true),
        (json!("dynamodb:GetItem"), json!(TABLE), TABLE, false),
        (json!("dynamodb:PutItem"), json!(TABLE), &index, false),
        (json!("DynamoDB:putitem"), json!(format!("{TABLE}*")), &index, true),
        (json!("dynamodb:Put*"), json!("*"), TABLE, true),
        (json!("dynamodb:*Item"), json!("arn:aws:dynamodb:*:*:table/th?ngs"), TABLE, true),
        (json!("*"), json!("arn:aws:dynamodb:us-east-1:000000000000:table/thing"), TABLE, false),
        (json!("dynamodb:?utItem"), json!("arn:aws:dynamodb:*:*:table/*/index/*"), &index, true),
        (json!("dynamodb:Put"), json!("*"), TABLE, false),
    ];
    for (action, resource, asked, allowed) in rows {
        let statement = json!({"Effect": "Allow", "Action": action, "Resource": resource});
        assert_eq!(is_allowed(&statement, &Need::of("dynamodb:PutItem", asked)), allowed, "{statement} of {asked}");
    }
}

#[test]
fn what_is_not_named_is_allowed_by_negated_elements() {
    let no_topics = json!({"Effect": "Allow", "Action": "sns:Publish", "NotResource": "arn:aws:sns:*:*:*"});
    assert!(is_allowed(&no_topics, &Need::of("sns:Publish", "+8613800138000")));
    assert!(!is_allowed(&no_topics, &Need::of("sns:Publish", "arn:aws:sns:us-east-1:000000000000:topic")));
    let all_but = json!({"Effect": "Allow", "NotAction": ["dynamodb:Delete*", "iam:*"], "Resource": "*"});
    assert!(is_allowed(&all_but, &Need::of("dynamodb:PutItem", TABLE)));
    assert!(!is_allowed(&all_but, &Need::of("dynamodb:DeleteItem", TABLE)));
}

#[test]
fn a_denial_wins_whatever_allows() {
    let statements = json!([
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "dynamodb:DeleteItem", "Resource": TABLE},
    ]);
    assert_eq!(role(&statements).decide(&Need::of("dynamodb:DeleteItem", TABLE)), Decision::Denied);
    assert_eq!(role(&statements).decide(&Need::of("dynamodb:PutItem", TABLE)), Decision::Allowed(vec![0]));
    assert_eq!(role(&json!([])).decide(&Need::of("dynamodb:PutItem", TABLE)), Decision::NotAllowed);
    let foreign = Role { is_foreign: true, ..Role::default() };
    assert_eq!(foreign.decide(&Need::of("dynamodb:PutItem", TABLE)), Decision::Allowed(Vec::new()));
}

#[test]
fn conditions_test_the_keys_of_the_request() {
    let from = |address: &[&str]| {
        let mut need = Need::of("ses:SendEmail", "arn:aws:ses:a:b:identity/c");
        if !address.is_empty() {
            need.context.insert("ses:fromaddress".into(), address.iter().map(|it| (*it).to_owned()).collect());
        }
        need
    };
    let (own, other, none) = (from(&["a@example.com"]), from(&["A@example.com"]), from(&[]));
    let several = from(&["a@example.com", "b@example.com"]);
    // The operator, the value, and whether it holds for each of the four.
    let rows = [
        ("StringEquals", json!("a@example.com"), [true, false, false, false]),
        ("StringEqualsIfExists", json!("a@example.com"), [true, false, true, false]),
        ("StringEqualsIgnoreCase", json!("a@example.com"), [true, true, false, false]),
        ("StringNotEquals", json!("a@example.com"), [false, true, true, false]),
        ("StringNotEqualsIgnoreCase", json!("a@example.com"), [false, false, true, false]),
        ("StringLike", json!(["*@example.com", "c"]), [true, true, false, true]),
        ("StringNotLike", json!("a@*"), [false, true, true, false]),
        ("ForAnyValue:StringEquals", json!("b@example.com"), [false, false, false, true]),
        ("ForAnyValue:StringEqualsIfExists", json!("b@example.com"), [false, false, true, true]),
        ("ForAllValues:StringEquals", json!("a@example.com"), [true, false, true, false]),
        ("Null", json!("true"), [false, false, true, false]),
        ("Null", json!(false), [true, true, false, true]),
    ];
    for (operator, value, holds) in rows {
        let condition = json!({operator: {"ses:FromAddress": value}});
        let statement = json!({"Effect": "Allow", "Action": "ses:*", "Resource": "*", "Condition": condition});
        let found = [&own, &other, &none, &several].map(|need| is_allowed(&statement, need));
        assert_eq!(found, holds, "{condition}");
    }
}

#[test]
fn a_request_has_a_region_and_is_secure() {
    let condition =
        json!({"Bool": {"aws:SecureTransport": true}, "StringEquals": {"aws:RequestedRegion": "us-east-1"}});
    let statement = json!({"Effect": "Allow", "Action": "sqs:*", "Resource": "*", "Condition": condition});
    roles_of(role(&statement)).check("F", vec![Need::of("sqs:SendMessage", "q")]).unwrap();
    let deny = json!([
        {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"},
        {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    ]);
    roles_of(role(&deny)).check("F", vec![Need::of("sqs:SendMessage", "q")]).unwrap();
}

#[test]
fn what_cannot_be_evaluated_is_refused_in_a_sentence() {
    let allow = |more: Value| {
        let mut statement = json!({"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"});
        statement.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        refused(&statement)
    };
    let rows = [
        (json!({"Effect": "Perhaps"}), "the Effect of a statement is Allow or Deny"),
        (json!({"Principal": "*"}), "a statement of a role's policy has no element Principal"),
        (json!({"NotAction": "a:B"}), "a statement has either Action or NotAction"),
        (json!({"Action": []}), "the Action of a statement is empty"),
        (json!({"Action": "SendMessage"}), "SendMessage is neither * nor service:Action"),
        (json!({"Resource": "queue"}), "queue is neither * nor an ARN"),
        (json!({"Resource": "a:b:c:d:e:f"}), "a:b:c:d:e:f is neither * nor an ARN"),
        (json!({"Resource": "arn:aws:s3:::${aws:username}/*"}), "the twin does not evaluate the policy variable"),
        (json!({"Condition": {"DateLessThan": {"aws:CurrentTime": "x"}}}), "the condition operator DateLessThan"),
        (
            json!({"Condition": {"StringEquals": {"dynamodb:LeadingKeys": "x"}}}),
            "the condition key dynamodb:LeadingKeys",
        ),
        (json!({"Condition": {"StringEquals": {"kms:EncryptionContext:": "x"}}}), "the condition key kms:Encryption"),
        (json!({"Condition": {"StringEquals": {"kms:KeyOrigin": "x"}}}), "the condition key kms:KeyOrigin"),
    ];
    for (more, sentence) in rows {
        let found = allow(more.clone());
        assert!(found.contains(sentence), "{more}: {found}");
    }
    assert!(refused(&json!("all")).contains("no Statement"));
    let key = |more: Value| {
        let mut statement = json!({"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"});
        statement.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        KeyPolicy::of_document(&json!({"Statement": [statement]})).unwrap_err()
    };
    for (more, sentence) in [
        (json!({"Principal": "me"}), "is no Principal"),
        (json!({"Principal": {"Aws": "*"}}), "a Principal has no kind Aws"),
        (json!({"Condition": {"StringEquals": {"kms:KeyOrigin": "x"}}}), "the condition key kms:KeyOrigin"),
        (json!({"NotPrincipal": "*"}), "no element NotPrincipal"),
    ] {
        let found = key(more);
        assert!(found.contains(sentence), "{found}");
    }
    assert!(KeyPolicy::of_document(&json!({"Statement": [{"Effect": "Allow"}]})).unwrap_err().contains("no Principal"));
    for (unknown, document) in [
        ("no element Statment", json!({"Statement": [], "Statment": []})),
        ("the Version 2013-10-17", json!({"Statement": [], "Version": "2013-10-17"})),
    ] {
        assert!(Rule::of_document(&document, &Origin::Written).unwrap_err().contains(unknown), "{document}");
    }
}

#[test]
fn a_managed_policy_has_one_arn() {
    let of = |arn: &str| named::managed(arn, &Origin::Added);
    of("arn:aws:iam::aws:policy/AdministratorAccess").unwrap();
    of("arn:aws:iam::aws:policy/service-role/AWSLambdaSQSQueueExecutionRole").unwrap();
    for (name, arn) in [
        ("AdministratorAccess", "arn:aws:iam::aws:policy/AdministratorAccess"),
        ("AWSLambdaBasicExecutionRole", "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"),
    ] {
        assert_eq!(named::arn_of(name).unwrap(), arn);
    }
    for arn in [
        "arn:aws:iam::aws:policy/ReadOnlyAccess",
        "arn:aws:iam::aws:policy/AWSLambdaSQSQueueExecutionRole",
        "arn:aws:iam::aws:policy/service-role/AdministratorAccess",
        "arn:aws:iam::123456789012:policy/AdministratorAccess",
        "AmazonSQSFullAccess",
    ] {
        assert!(of(arn).unwrap_err().contains(arn), "{arn}");
    }
}

#[test]
fn an_unknown_resource_is_allowed_by_a_right_to_everything_and_denied_by_any_denial() {
    let of = |effect: &str, resource: Value| json!({"Effect": effect, "Action": "dynamodb:*", "Resource": resource});
    let unknown = Need::of_unknown("dynamodb:GetRecords");
    let rows = [
        (json!([of("Allow", json!("*"))]), true),
        (json!([of("Allow", json!("arn:aws:dynamodb:*:*:*"))]), false),
        (json!([of("Allow", json!("*")), of("Deny", json!(TABLE))]), false),
        (json!([{"Effect": "Allow", "Action": "*", "NotResource": TABLE}]), false),
        (json!([of("Allow", json!("*")), {"Effect": "Deny", "Action": "sqs:*", "Resource": "*"}]), true),
    ];
    for (statements, allowed) in rows {
        assert_eq!(is_allowed(&statements, &unknown), allowed, "{statements}");
    }
}

#[test]
fn policy_templates_are_those_of_sam() {
    let arns = Arns::new("us-east-1", "000000000000");
    let of = |name: &str, parameters: Value| {
        let parameters = parameters.as_object().unwrap().clone();
        let rules = named::sam_template(name, &parameters, |service, resource| arns.of(service, resource));
        rules.map(|rules| Role { rules, ..Role::default() })
    };
    let allows = |role: &Role, action: &str, resource: &str| {
        matches!(
            role.decide(&Need::of(action, arns.of(action.split(':').next().unwrap(), resource))),
            Decision::Allowed(_)
        )
    };
    let crud = of("DynamoDBCrudPolicy", json!({"TableName": "things"})).unwrap();
    assert!(allows(&crud, "dynamodb:ConditionCheckItem", "table/things"));
    assert!(allows(&crud, "dynamodb:Query", "table/things/index/by"));
    assert!(!allows(&crud, "dynamodb:DeleteTable", "table/things"));
    assert!(!allows(&crud, "dynamodb:GetItem", "table/others"));
    let read = of("DynamoDBReadPolicy", json!({"TableName": "things"})).unwrap();
    assert!(allows(&read, "dynamodb:Scan", "table/things") && !allows(&read, "dynamodb:PutItem", "table/things"));
    let send = of("SQSSendMessagePolicy", json!({"QueueName": "q"})).unwrap();
    assert!(allows(&send, "sqs:SendMessage", "q") && !allows(&send, "sqs:ReceiveMessage", "q"));
    let poll = of("SQSPollerPolicy", json!({"QueueName": "q"})).unwrap();
    assert!(allows(&poll, "sqs:ChangeMessageVisibility", "q") && !allows(&poll, "sqs:SendMessage", "q"));
    let publish = of("SNSPublishMessagePolicy", json!({"TopicName": "t"})).unwrap();
    assert!(allows(&publish, "sns:Publish", "t") && !allows(&publish, "sns:Publish", "u"));
    let secret = arns.of("secretsmanager", "secret:s-abcdef");
    let secret = of("AWSSecretsManagerGetSecretValuePolicy", json!({"SecretArn": secret})).unwrap();
    assert!(allows(&secret, "secretsmanager:GetSecretValue", "secret:s-abcdef"));
    let decrypt = of("KMSDecryptPolicy", json!({"KeyId": "k"})).unwrap();
    assert!(allows(&decrypt, "kms:Decrypt", "key/k") && !allows(&decrypt, "kms:Encrypt", "key/k"));
    let unknown = of("StepFunctionsExecutionPolicy", json!({"StateMachineName": "s"})).unwrap_err();
    assert!(unknown.contains("does not know the policy template StepFunctionsExecutionPolicy"), "{unknown}");
    let without = of("DynamoDBCrudPolicy", json!({})).unwrap_err();
    assert!(without.contains("DynamoDBCrudPolicy needs TableName"), "{without}");
}

#[test]
fn rights_are_counted_one_action_and_resource_at_a_time() {
    let statement = json!({
        "Effect": "Allow",
        "Action": ["dynamodb:GetItem", "dynamodb:PutItem"],
        "Resource": [TABLE, "arn:aws:dynamodb:us-east-1:000000000000:table/others"],
    });
    let mut role = role(&statement);
    role.rules.extend(
        named::managed("arn:aws:iam::aws:policy/AmazonSQSFullAccess", &Origin::Named("AmazonSQSFullAccess".to_owned()))
            .unwrap(),
    );
    role.rules.extend(named::of_aws(named::BASIC, &Origin::Added).unwrap());
    let roles = roles_of(role);
    let unused = |roles: &Roles| roles.rights().values().filter(|used| !**used).count();
    assert_eq!((roles.rights().len(), unused(&roles)), (5, 5), "what SAM adds is no right of the template");
    roles.check("F", vec![Need::of("dynamodb:GetItem", TABLE)]).unwrap();
    roles.check("F", vec![Need::of("sqs:SendMessage", "arn:aws:sqs:us-east-1:000000000000:q")]).unwrap();
    assert_eq!(unused(&roles), 3);
    let right = Right { function: "F".to_owned(), action: "dynamodb:GetItem".to_owned(), resource: TABLE.to_owned() };
    assert!(roles.rights()[&right]);
    let denial = roles.check("F", vec![Need::of("dynamodb:Query", TABLE)]).unwrap_err();
    assert_eq!(
        denial.to_string(),
        format!(
            "User: arn:aws:sts::000000000000:assumed-role/role/local-F is not authorized to perform: dynamodb:Query on \
             resource: {TABLE} because no identity-based policy allows the dynamodb:Query action"
        )
    );
    roles.check("F", vec![Need::of("dynamodb:Query", TABLE)]).unwrap_err();
    let refused = roles.refusals();
    assert_eq!((refused.len(), refused[0].times, refused[0].action.as_str()), (1, 2, "dynamodb:Query"));
    assert_eq!(unused(&roles), 3, "what was refused has used nothing");
}
