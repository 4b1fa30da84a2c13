//! Every service with and without the right that a request needs: the SDKs report the refusal, and nothing is executed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Get, KeysAndAttributes, Put, TransactGetItem, TransactWriteItem, Update,
};
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message};
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, SendMessageBatchRequestEntry};

use axum::http::Method;
use serde_json::{Value, json};

use super::tests::{Bench, TEMPLATE, credentials};
use super::{connections, dynamodb, kms, secretsmanager, ses, sns, sqs};

const ADMINISTRATOR: &str = "ManagedPolicyArns: ['arn:aws:iam::aws:policy/AdministratorAccess']";

const THINGS: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/things";

/// The bench's function with a role that allows these actions, each on its resource.
async fn allowed(rights: &[(&str, &str)]) -> Bench {
    Bench::of(&template(rights)).await
}

fn template(rights: &[(&str, &str)]) -> String {
    let mut statements = String::new();
    for (action, resource) in rights {
        write!(statements, "{{Effect: Allow, Action: '{action}', Resource: '{resource}'}}, ").unwrap();
    }
    let mapping = "{Effect: Allow, Action: 'sqs:*', Resource: !GetAtt Fed.Arn}";
    let logs = "{Effect: Allow, Action: 'logs:*', Resource: '*'}";
    let document = format!("{{Statement: [{statements}{mapping}, {logs}]}}");
    let role = format!("Policies: [{{PolicyName: own, PolicyDocument: {document}}}]");
    assert!(TEMPLATE.contains(ADMINISTRATOR));
    TEMPLATE.replace(ADMINISTRATOR, &role)
}

/// A refusal as the SDK reports it: the code, the status and the message.
fn refusal<T, E: ProvideErrorMetadata + std::fmt::Debug>(
    result: Result<T, SdkError<E, HttpResponse>>,
) -> Option<(String, u16, String)> {
    let error = result.err()?;
    let status = error.raw_response().expect("an answer").status().as_u16();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    Some((text(error.code()), status, text(error.message())))
}

/// Whether every step is refused with this code and status, and names action and resource.
fn assert_denied(found: Option<(String, u16, String)>, code: &str, status: u16, action: &str, resource: &str) {
    let (found_code, found_status, message) = found.unwrap_or_else(|| panic!("{action} was allowed"));
    assert_eq!((found_code.as_str(), found_status), (code, status), "{action}: {message}");
    assert!(message.contains("arn:aws:sts::000000000000:assumed-role/local-Role/local-F"), "{message}");
    assert!(message.contains(action) && message.contains(resource), "{action} on {resource}: {message}");
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

fn key(value: &str) -> std::collections::HashMap<String, AttributeValue> {
    [("pk".to_owned(), text(value))].into()
}

/// One request of each kind to DynamoDB, with its refusal, if it was refused.
async fn ask_dynamodb(bench: &Bench) -> BTreeMap<&'static str, Option<(String, u16, String)>> {
    let client = aws_sdk_dynamodb::Client::new(&bench.sdk);
    let mut asked = BTreeMap::new();
    let put = client.put_item().table_name("things").item("pk", text("a")).item("by", text("b"));
    asked.insert("PutItem", refusal(put.send().await));
    asked.insert("GetItem", refusal(client.get_item().table_name("things").key("pk", text("a")).send().await));
    let update = client.update_item().table_name("things").key("pk", text("a")).update_expression("SET c = :c");
    asked.insert("UpdateItem", refusal(update.expression_attribute_values(":c", text("c")).send().await));
    let query = client.query().table_name("things").expression_attribute_values(":a", text("a"));
    asked.insert("Query", refusal(query.clone().key_condition_expression("pk = :a").send().await));
    let index = query.index_name("by_by").key_condition_expression("#by = :a").expression_attribute_names("#by", "by");
    asked.insert("Query of index", refusal(index.send().await));
    let keys = KeysAndAttributes::builder().keys(key("a")).build().unwrap();
    asked.insert("BatchGetItem", refusal(client.batch_get_item().request_items("things", keys).send().await));
    let members = [
        (
            "Put",
            TransactWriteItem::builder()
                .put(Put::builder().table_name("things").item("pk", text("t")).build().unwrap()),
        ),
        (
            "ConditionCheck",
            TransactWriteItem::builder().condition_check(
                ConditionCheck::builder()
                    .table_name("things")
                    .key("pk", text("none"))
                    .condition_expression("attribute_not_exists(pk)")
                    .build()
                    .unwrap(),
            ),
        ),
        (
            "Update",
            TransactWriteItem::builder().update(
                Update::builder()
                    .table_name("things")
                    .key("pk", text("u"))
                    .update_expression("SET c = :c")
                    .expression_attribute_values(":c", text("c"))
                    .build()
                    .unwrap(),
            ),
        ),
        (
            "Delete",
            TransactWriteItem::builder()
                .delete(Delete::builder().table_name("things").key("pk", text("d")).build().unwrap()),
        ),
    ];
    for (name, member) in members {
        let transaction = client.transact_write_items().transact_items(member.build());
        asked.insert(name, refusal(transaction.send().await));
    }
    let get = TransactGetItem::builder().get(Get::builder().table_name("things").key("pk", text("a")).build().unwrap());
    asked.insert("Get", refusal(client.transact_get_items().transact_items(get.build()).send().await));
    asked.insert("Scan", refusal(client.scan().table_name("things").send().await));
    asked.insert("DeleteItem", refusal(client.delete_item().table_name("things").key("pk", text("a")).send().await));
    asked
}

/// The requests to DynamoDB by the right that each needs.
const DYNAMODB: [(&str, &str, &[&str]); 10] = [
    ("dynamodb:PutItem", THINGS, &["PutItem", "Put"]),
    ("dynamodb:GetItem", THINGS, &["GetItem", "Get"]),
    ("dynamodb:UpdateItem", THINGS, &["UpdateItem", "Update"]),
    ("dynamodb:DeleteItem", THINGS, &["DeleteItem", "Delete"]),
    ("dynamodb:ConditionCheckItem", THINGS, &["ConditionCheck"]),
    ("dynamodb:Query", THINGS, &["Query"]),
    ("dynamodb:Query", "arn:aws:dynamodb:us-east-1:000000000000:table/things/index/by_by", &["Query of index"]),
    ("dynamodb:BatchGetItem", THINGS, &["BatchGetItem"]),
    ("dynamodb:Scan", THINGS, &["Scan"]),
    ("dynamodb:DescribeTable", THINGS, &[]),
];

#[tokio::test]
async fn one_right_that_is_missing_refuses_exactly_the_requests_that_need_it() {
    for (missing, (action, resource, needed_by)) in DYNAMODB.iter().enumerate() {
        let rights = DYNAMODB.iter().enumerate().filter(|(place, _)| *place != missing);
        let rights: Vec<(&str, &str)> = rights.map(|(_, (action, resource, _))| (*action, *resource)).collect();
        let bench = allowed(&rights).await;
        let asked = ask_dynamodb(&bench).await;
        for (name, found) in asked {
            match needed_by.contains(&name) {
                true => assert_denied(found, "AccessDeniedException", 400, action, resource),
                false => assert_eq!(found, None, "{name} without {action}"),
            }
        }
        let refused = bench.roles.refusals();
        assert!(
            refused.iter().all(|it| (it.action.as_str(), it.resource.as_str()) == (*action, *resource)),
            "{refused:?}"
        );
        assert_eq!(refused.iter().map(|it| it.times).sum::<u64>(), needed_by.len() as u64);
    }
}

#[tokio::test]
async fn what_a_role_does_not_allow_has_not_happened_and_costs_nothing() {
    let bench = allowed(&[]).await;
    let asked = ask_dynamodb(&bench).await;
    assert!(asked.values().all(Option::is_some), "{asked:?}");
    let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials("test"));
    let outside = bench.sdk.to_builder().credentials_provider(provider).build();
    let people = aws_sdk_dynamodb::Client::new(&outside);
    assert_eq!(people.scan().table_name("things").send().await.unwrap().count(), 0, "people are not limited");
    for service in [dynamodb::SERVICE, sqs::SERVICE, sns::SERVICE, ses::SERVICE, secretsmanager::SERVICE, kms::SERVICE]
    {
        assert_eq!(bench.ledger.find(bench.trace.as_str()).unwrap().count(service, &[]), 0.0);
    }
}

#[tokio::test]
async fn queues_are_asked_only_with_the_right_to_each() {
    let queue = "arn:aws:sqs:us-east-1:000000000000:plain";
    let rights: &[(&str, &str)] = &[
        ("sqs:SendMessage", queue),
        ("sqs:ReceiveMessage", queue),
        ("sqs:DeleteMessage", queue),
        ("sqs:ChangeMessageVisibility", queue),
        ("sqs:GetQueueUrl", queue),
    ];
    for missing in 0..=rights.len() {
        let left: Vec<_> =
            rights.iter().enumerate().filter(|(place, _)| *place != missing).map(|(_, it)| *it).collect();
        let bench = allowed(&left).await;
        let client = aws_sdk_sqs::Client::new(&bench.sdk);
        let url = format!("{}/000000000000/plain", bench.url);
        let entry = SendMessageBatchRequestEntry::builder().id("a").message_body("b").build().unwrap();
        let hold =
            ChangeMessageVisibilityBatchRequestEntry::builder().id("a").receipt_handle("h").visibility_timeout(1);
        let asked = [
            refusal(client.send_message_batch().queue_url(&url).entries(entry).send().await),
            refusal(client.receive_message().queue_url(&url).send().await),
            refusal(client.delete_message().queue_url(&url).receipt_handle("none").send().await),
            refusal(
                client.change_message_visibility_batch().queue_url(&url).entries(hold.build().unwrap()).send().await,
            ),
            refusal(client.get_queue_url().queue_name("plain").send().await),
        ];
        for (place, found) in asked.into_iter().enumerate() {
            let action = rights[place].0.to_ascii_lowercase();
            match place == missing {
                true => assert_denied(found, "AccessDenied", 400, &action, queue),
                false => assert!(found.is_none_or(|(code, ..)| code != "AccessDenied"), "{action}"),
            }
        }
    }
}

#[tokio::test]
async fn connections_are_asked_only_by_the_method_that_is_allowed() {
    let api = allowed(&[]).await.api;
    let of = |method: &str| format!("arn:aws:execute-api:us-east-1:000000000000:{api}/dev/{method}/@connections/*");
    for (allowing, posts) in [("POST", true), ("DELETE", false)] {
        let resource = of(allowing);
        let bench = allowed(&[("execute-api:ManageConnections", &resource)]).await;
        let client = aws_sdk_apigatewaymanagement::Client::new(&bench.sdk);
        let post =
            client.post_to_connection().connection_id(&bench.connection).data("hi".to_owned().into_bytes().into());
        let (post, delete) = (
            refusal(post.send().await),
            refusal(client.delete_connection().connection_id(&bench.connection).send().await),
        );
        let (denied, done, method) = if posts { (delete, post, "DELETE") } else { (post, delete, "POST") };
        assert_eq!(done, None, "{allowing}");
        let resource = format!("{api}/dev/{method}/@connections/{{connectionId}}");
        assert_denied(denied, "AccessDeniedException", 403, "execute-api:ManageConnections", &resource);
        assert_eq!(bench.ledger.find(bench.trace.as_str()).unwrap().count(connections::SERVICE, &[]), 1.0);
    }
}

#[tokio::test]
async fn messages_to_people_need_the_right_to_their_resource() {
    let topic = "arn:aws:sns:us-east-1:000000000000:news";
    for (right, to_phone, to_topic) in
        [(topic, false, true), ("*", true, true), ("arn:aws:sns:*:*:others", false, false)]
    {
        let bench = allowed(&[("sns:Publish", right)]).await;
        let client = aws_sdk_sns::Client::new(&bench.sdk);
        let phone = refusal(client.publish().phone_number("+8613800138000").message("hi").send().await);
        let news = refusal(client.publish().topic_arn(topic).message("hi").send().await);
        for (found, allowed, resource) in [(phone, to_phone, "+8613800138000"), (news, to_topic, topic)] {
            match allowed {
                true => assert_eq!(found, None, "{right}"),
                false => assert_denied(found, "AuthorizationError", 403, "SNS:Publish", resource),
            }
        }
        assert_eq!(bench.outbox.after(0).len(), usize::from(to_phone) + usize::from(to_topic));
    }
}

#[tokio::test]
async fn emails_need_the_right_to_the_identity_that_they_come_from() {
    let identity = |name: &str| format!("arn:aws:ses:us-east-1:000000000000:identity/{name}");
    for (name, allowed_to) in [("a@example.com", true), ("example.com", true), ("*", true), ("b@example.com", false)] {
        let bench = allowed(&[("ses:SendEmail", &identity(name))]).await;
        let content = |text: &str| Content::builder().data(text).build().unwrap();
        let body = Body::builder().text(content("hi")).build();
        let message = Message::builder().subject(content("hi")).body(body).build();
        let send = aws_sdk_sesv2::Client::new(&bench.sdk)
            .send_email()
            .from_email_address("Sender <a@example.com>")
            .destination(Destination::builder().to_addresses("c@example.com").build())
            .content(EmailContent::builder().simple(message).build());
        let found = refusal(send.send().await);
        match allowed_to {
            true => assert_eq!(found, None, "{name}"),
            false => {
                assert_denied(found, "AccessDeniedException", 403, "ses:SendEmail", &identity("a@example.com"));
            }
        }
    }
}

#[tokio::test]
async fn secrets_need_the_right_to_each_and_identity_needs_none() {
    let of = |name: &str| format!("arn:aws:secretsmanager:us-east-1:000000000000:secret:{name}");
    for (right, is_allowed) in [(of("apps/providers/*"), true), (of("others/*"), false)] {
        let bench = allowed(&[("secretsmanager:GetSecretValue", &right)]).await;
        let client = aws_sdk_secretsmanager::Client::new(&bench.sdk);
        let found = refusal(client.get_secret_value().secret_id("apps/providers/demo").send().await);
        match is_allowed {
            true => assert_eq!(found, None),
            false => {
                let resource = of("apps/providers/demo");
                assert_denied(found, "AccessDeniedException", 400, "secretsmanager:GetSecretValue", &resource);
            }
        }
    }
    let bench = allowed(&[]).await;
    let who = "Action=GetCallerIdentity&Version=2011-06-15";
    assert_eq!(bench.http(Method::POST, "/", who).await.0, 200);
    assert_eq!(bench.roles.refusals(), []);
}

/// A request to KMS, with its refusal, if it was refused.
async fn ask_kms(bench: &Bench, operation: &str, request: &Value) -> Option<(String, u16, String)> {
    let (status, answer) = bench.kms(operation, request).await.unwrap();
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    (!status.is_success()).then(|| (text("__type"), status.as_u16(), text("message")))
}

/// A ciphertext in the context `{"app": "a"}`, made by someone who is not limited.
fn ciphertext(bench: &Bench) -> Value {
    let body = json!({"KeyId": "alias/key", "Plaintext": "eA==", "EncryptionContext": {"app": "a"}});
    bench.services.kms.asked("Encrypt", &body)["CiphertextBlob"].clone()
}

#[tokio::test]
async fn keys_need_the_right_to_each_use() {
    let key = Bench::start().await.key_arn();
    let actions =
        ["GenerateDataKey", "Decrypt", "Encrypt", "ReEncryptFrom", "ReEncryptTo", "DescribeKey", "DisableKey"];
    for missing in actions {
        let rights: Vec<String> =
            actions.iter().filter(|action| **action != missing).map(|action| format!("kms:{action}")).collect();
        let rights: Vec<(&str, &str)> = rights.iter().map(|action| (action.as_str(), key.as_str())).collect();
        let bench = allowed(&rights).await;
        let (blob, context) = (ciphertext(&bench), json!({"app": "a"}));
        let re_encrypt = json!({
            "CiphertextBlob": blob,
            "SourceEncryptionContext": context,
            "DestinationKeyId": key,
        });
        let asked = [
            (&["GenerateDataKey"][..], "GenerateDataKey", json!({"KeyId": "alias/key", "KeySpec": "AES_256"})),
            (&["Decrypt"], "Decrypt", json!({"CiphertextBlob": blob, "EncryptionContext": context})),
            (&["Encrypt"], "Encrypt", json!({"KeyId": key, "Plaintext": "eA=="})),
            (&["ReEncryptFrom", "ReEncryptTo"], "ReEncrypt", re_encrypt),
            (&["DescribeKey"], "DescribeKey", json!({"KeyId": key})),
            (&["DisableKey"], "DisableKey", json!({"KeyId": key})),
        ];
        for (needed, operation, request) in asked {
            let found = ask_kms(&bench, operation, &request).await;
            match needed.contains(&missing) {
                true => assert_denied(found, "AccessDeniedException", 400, &format!("kms:{missing}"), &key),
                false => assert_eq!(found, None, "{operation} without {missing}"),
            }
        }
    }
    let bench = allowed(&[("kms:*", "arn:aws:kms:us-east-1:000000000000:key/other")]).await;
    let request = json!({"KeyId": key, "KeySpec": "AES_256"});
    assert_denied(ask_kms(&bench, "GenerateDataKey", &request).await, "AccessDeniedException", 400, "kms:", &key);
    assert_denied(ask_kms(&bench, "ListKeys", &json!({})).await, "AccessDeniedException", 400, "kms:ListKeys", "*");
    let none = json!({"KeyId": "alias/none", "KeySpec": "AES_256"});
    assert_eq!(ask_kms(&bench, "GenerateDataKey", &none).await.unwrap().0, "NotFoundException");
}

#[tokio::test]
async fn a_right_to_a_key_may_depend_on_the_encryption_context() {
    let rights = "Action: 'kms:Decrypt', Resource: '*'";
    let template = template(&[("kms:Decrypt", "*")]);
    assert!(template.contains(rights));
    for (condition, context, is_allowed) in [
        ("StringEquals: {'kms:EncryptionContext:app': a}", json!({"app": "a"}), true),
        ("StringEquals: {'kms:EncryptionContext:App': a}", json!({"app": "a"}), true),
        ("StringEquals: {'kms:EncryptionContext:app': b}", json!({"app": "a"}), false),
        ("StringEquals: {'kms:EncryptionContext:app': a}", json!({}), false),
        ("'ForAllValues:StringEquals': {'kms:EncryptionContextKeys': [app]}", json!({"app": "a"}), true),
        ("'ForAnyValue:StringEquals': {'kms:EncryptionContextKeys': [app]}", json!({"App": "a"}), false),
        ("'ForAnyValue:StringEquals': {'kms:ResourceAliases': alias/key}", json!({"app": "a"}), true),
        ("StringEquals: {'kms:ViaService': secretsmanager.us-east-1.amazonaws.com}", json!({"app": "a"}), false),
        ("StringEquals: {'kms:RequestAlias': alias/key}", json!({"app": "a"}), false),
    ] {
        let bench = Bench::of(&template.replace(rights, &format!("{rights}, Condition: {{{condition}}}"))).await;
        let request = json!({"CiphertextBlob": ciphertext(&bench), "EncryptionContext": context});
        let found = ask_kms(&bench, "Decrypt", &request).await;
        assert_eq!(found.is_none_or(|(code, ..)| code != "AccessDeniedException"), is_allowed, "{condition} {context}");
    }
}

#[tokio::test]
async fn the_policy_of_a_key_decides_with_the_role() {
    const PLAIN: &str = "{Description: of the bench}";
    let root = "{Effect: Allow, Principal: {AWS: !Sub 'arn:aws:iam::${AWS::AccountId}:root'}, Action: 'kms:*', \
                Resource: '*'}";
    let role = "{Effect: Allow, Principal: {AWS: !GetAtt Role.Arn}, Action: 'kms:Decrypt', Resource: '*'}";
    let service = "{Effect: Allow, Principal: {Service: logs.amazonaws.com}, Action: 'kms:*', Resource: '*', \
                   Condition: {ArnLike: {'kms:EncryptionContext:aws:logs:arn': '*', 'aws:SourceArn': '*'}}}";
    let deny = "{Effect: Deny, Principal: '*', Action: 'kms:Decrypt', Resource: '*'}";
    let with = |rights: &[(&str, &str)], statements: &[&str]| {
        let policy = format!("{{KeyPolicy: {{Statement: [{}]}}}}", statements.join(", "));
        let template = template(rights);
        assert!(template.contains(PLAIN));
        template.replace(PLAIN, &policy)
    };
    let right = [("kms:Decrypt", "*")];
    for (rights, statements, refusal) in [
        (&right[..], &[root][..], None),
        (&[], &[root], Some("because no identity-based policy allows the kms:Decrypt action")),
        (&[], &[role], None),
        (&right, &[service], Some("because no resource-based policy allows the kms:Decrypt action")),
        (&right, &[root, deny], Some("with an explicit deny in a resource-based policy")),
        (&[], &[role, deny], Some("with an explicit deny in a resource-based policy")),
    ] {
        let bench = Bench::of(&with(rights, statements)).await;
        let request = json!({"CiphertextBlob": ciphertext(&bench), "EncryptionContext": {"app": "a"}});
        match (ask_kms(&bench, "Decrypt", &request).await, refusal) {
            (None, None) => {}
            (Some((code, _, message)), Some(reason)) => {
                assert!(code == "AccessDeniedException" && message.ends_with(reason), "{statements:?}: {message}");
            }
            (found, _) => panic!("{rights:?} {statements:?}: {found:?}"),
        }
        let is_used = refusal.is_none() && !rights.is_empty();
        let used = bench.roles.rights().iter().any(|(right, used)| right.action == "kms:Decrypt" && *used);
        assert_eq!(used, is_used, "{statements:?}");
    }
}

#[tokio::test]
async fn a_grant_gives_what_the_role_does_not() {
    let bench = allowed(&[]).await;
    let role = "arn:aws:iam::000000000000:role/local-Role";
    let grant = |grantee: &str, constraints: Value| {
        let grant = json!({
            "KeyId": bench.key_arn(),
            "GranteePrincipal": grantee,
            "Operations": ["Decrypt", "RetireGrant"],
            "Constraints": constraints,
        });
        bench.services.kms.asked("CreateGrant", &grant)
    };
    let decrypt = async |context: &str| {
        let request = json!({"CiphertextBlob": ciphertext(&bench), "EncryptionContext": {"app": context}});
        ask_kms(&bench, "Decrypt", &request).await.map(|(code, ..)| code)
    };
    assert_eq!(decrypt("a").await.as_deref(), Some("AccessDeniedException"));
    grant("arn:aws:iam::000000000000:role/other", json!({}));
    grant(role, json!({"EncryptionContextEquals": {"app": "b"}}));
    grant(role, json!({"EncryptionContextSubset": {"app": "a", "more": "x"}}));
    assert_eq!(decrypt("a").await.as_deref(), Some("AccessDeniedException"));
    assert_eq!(decrypt("b").await.as_deref(), Some("InvalidCiphertextException"), "allowed, and the wrong context");
    let made = grant(role, json!({"EncryptionContextSubset": {"App": "a"}}));
    assert_eq!(decrypt("a").await, None);
    let use_of_it = json!({"KeyId": bench.key_arn(), "Plaintext": "eA=="});
    assert!(ask_kms(&bench, "Encrypt", &use_of_it).await.is_some(), "only what the grant names");
    assert_eq!(ask_kms(&bench, "RetireGrant", &json!({"GrantToken": made["GrantToken"]})).await, None);
    assert_eq!(decrypt("a").await.as_deref(), Some("AccessDeniedException"));
}

const OTHERS: &str = "
  Others:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: others
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
  Lettered:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: lettered
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Plain.Arn, maxReceiveCount: 3}
Outputs:";

/// A bench with a second table and a queue whose dead letters go to `plain`.
async fn allowed_beside_others(rights: &[(&str, &str)]) -> Bench {
    Bench::of(&template(rights).replace("\nOutputs:", OTHERS)).await
}

/// The kind of the error of a request; none if it was served.
async fn error_of(bench: &Bench, target: &str, body: &Value) -> Option<String> {
    let (status, answer) = bench.targeted(target, body).await.unwrap();
    (!status.is_success()).then(|| answer["__type"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn statements_need_the_right_to_their_table_however_they_are_written() {
    const DENIED: &str = "com.amazon.coral.service#AccessDeniedException";
    let rights = ["Select", "Insert", "Update", "Delete"].map(|name| format!("dynamodb:PartiQL{name}"));
    let rights: Vec<(&str, &str)> = rights.iter().map(|right| (right.as_str(), THINGS)).collect();
    let bench = allowed_beside_others(&rights).await;
    let forms = [
        "SELECT * FROM TABLE",
        "SELECT * FROM\"TABLE\"",
        "select*from TABLE",
        "-- FROM things\nSELECT * FROM TABLE",
        "/* */ SELECT * FROM TABLE",
        "INSERT INTO\"TABLE\" VALUE {'pk':'p2'}",
        "UPDATE\"TABLE\" SET a=1 WHERE pk='p2'",
        "DELETE FROM\"TABLE\" WHERE pk='p2'",
    ];
    for form in forms {
        let of = |table: &str| json!({"Statement": form.replace("TABLE", table)});
        let ask = async |operation: &str, body: &Value| {
            error_of(&bench, &format!("DynamoDB_20120810.{operation}"), body).await
        };
        assert_eq!(ask("ExecuteStatement", &of("things")).await, None, "{form}");
        let others = of("others");
        assert_eq!(ask("ExecuteStatement", &others).await.as_deref(), Some(DENIED), "{form}");
        let several = json!({"Statements": [others], "TransactStatements": [others]});
        assert_eq!(ask("BatchExecuteStatement", &several).await.as_deref(), Some(DENIED), "{form}");
        assert_eq!(ask("ExecuteTransaction", &several).await.as_deref(), Some(DENIED), "{form}");
    }
    let unread = json!({"Statement": "SELECT a, from FROM others"});
    let target = "DynamoDB_20120810.ExecuteStatement";
    assert_eq!(error_of(&bench, target, &unread).await.as_deref(), Some(DENIED));
    let all = allowed_beside_others(&[("dynamodb:*", "*")]).await;
    assert_eq!(error_of(&all, target, &unread).await, None, "a right to everything is enough");
}

#[tokio::test]
async fn a_member_that_an_operation_does_not_have_names_no_resource() {
    let queue = "arn:aws:sqs:us-east-1:000000000000:plain";
    let secret = "arn:aws:secretsmanager:us-east-1:000000000000:secret:mine*";
    let bench =
        allowed_beside_others(&[("dynamodb:*", THINGS), ("sqs:GetQueueUrl", queue), ("secretsmanager:*", secret)])
            .await;
    let key = json!({"pk": {"S": "a"}});
    let other = json!({"TableName": "others", "Key": key, "Item": key, "ResourceArn": THINGS, "StreamArn": THINGS});
    for operation in ["GetItem", "PutItem", "DeleteItem", "UpdateItem", "DescribeTable", "DeleteTable"] {
        let error = error_of(&bench, &format!("DynamoDB_20120810.{operation}"), &other).await;
        assert!(error.is_some_and(|kind| kind.ends_with("#AccessDeniedException")), "{operation}");
    }
    let tags = json!({"ResourceArn": THINGS, "TableName": "others"});
    assert_eq!(error_of(&bench, "DynamoDB_20120810.ListTagsOfResource", &tags).await, None);
    let ask = json!({"QueueUrl": bench.queue("plain"), "QueueName": "ordered.fifo"});
    assert!(error_of(&bench, "AmazonSQS.GetQueueUrl", &ask).await.is_some());
    assert!(
        bench.roles.refusals().iter().any(|it| it.resource.ends_with(":ordered.fifo")),
        "{:?}",
        bench.roles.refusals()
    );
    let make = json!({"SecretId": "mine", "Name": "theirs", "SecretString": "x"});
    for operation in ["CreateSecret", "ListSecrets"] {
        let error = error_of(&bench, &format!("secretsmanager.{operation}"), &make).await;
        assert_eq!(error.as_deref(), Some("AccessDeniedException"), "{operation}");
    }
}

#[tokio::test]
async fn a_move_task_needs_the_right_to_send_to_where_its_messages_return() {
    let arn = |queue: &str| format!("arn:aws:sqs:us-east-1:000000000000:{queue}");
    let (dead, back) = (arn("plain"), arn("lettered"));
    let actions = ["StartMessageMoveTask", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes"];
    let actions = actions.map(|name| format!("sqs:{name}"));
    let mut rights: Vec<(&str, &str)> = actions.iter().map(|action| (action.as_str(), dead.as_str())).collect();
    let start = json!({"SourceArn": dead});
    let bench = allowed_beside_others(&rights).await;
    assert!(error_of(&bench, "AmazonSQS.StartMessageMoveTask", &start).await.is_some());
    assert_eq!(bench.roles.refusals()[0].resource, back);
    rights.extend([("sqs:SendMessage", back.as_str()), ("sqs:CancelMessageMoveTask", dead.as_str())]);
    let bench = allowed_beside_others(&rights).await;
    let (status, answer) = bench.targeted("AmazonSQS.StartMessageMoveTask", &start).await.unwrap();
    assert!(status.is_success(), "{answer}");
    bench.targeted("AmazonSQS.CancelMessageMoveTask", &answer).await.unwrap();
    assert_eq!(bench.roles.refusals(), []);
    bench.targeted("AmazonSQS.CancelMessageMoveTask", &json!({"TaskHandle": "none"})).await.unwrap();
    assert_eq!(bench.roles.refusals()[0].action, "sqs:CancelMessageMoveTask");
}

#[tokio::test]
async fn a_raw_email_needs_a_right_of_its_own() {
    let raw =
        r#"{"FromEmailAddress": "a@b", "Destination": {"ToAddresses": ["c@d"]}, "Content": {"Raw": {"Data": "eA=="}}}"#;
    for (action, status) in [("ses:SendEmail", 403), ("ses:SendRawEmail", 200)] {
        let bench = allowed(&[(action, "*")]).await;
        assert_eq!(bench.http(Method::POST, "/v2/email/outbound-emails", raw).await.0, status, "{action}");
    }
}
