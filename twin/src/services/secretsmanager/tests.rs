//! Secrets as an SDK would ask for them.

use std::fs;
use std::path::Path;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::SecretsManager;
use super::operations::SECRET_BYTES;
use super::protocol::{Code, Refusal};
use crate::template;

fn ask(secrets: &SecretsManager, operation: &str, request: Value) -> Result<Value, (Code, String)> {
    let request = serde_json::from_value(request).unwrap();
    secrets.execute(operation, request).map_err(|Refusal { code, message }| (code, message))
}

fn preset(path: Option<&Path>) -> SecretsManager {
    let secrets = SecretsManager::open(path).unwrap();
    secrets.preset("/providers/", "{}".to_owned());
    secrets
}

fn code(answer: Result<Value, (Code, String)>) -> Code {
    answer.unwrap_err().0
}

const TOKEN: &str = "0f9c2b7c-6f0e-4d9c-8f7c-0f6b5c7f0a01";
const APP: &str = "shop/prod/providers/demo";

#[test]
fn a_secret_is_made_put_read_and_deleted() {
    let secrets = SecretsManager::default();
    let missing = ask(&secrets, "GetSecretValue", json!({"SecretId": "a"})).unwrap_err();
    let words = "Secrets Manager can't find the specified secret.";
    assert_eq!(missing, (Code::ResourceNotFound, words.to_owned()));
    assert_eq!(
        code(ask(&secrets, "PutSecretValue", json!({"SecretId": "a", "SecretString": "1"}))),
        Code::ResourceNotFound
    );

    let create = json!({"Name": "a", "SecretString": "1", "ClientRequestToken": TOKEN, "Description": "a"});
    let made = ask(&secrets, "CreateSecret", create.clone()).unwrap();
    assert_eq!(ask(&secrets, "CreateSecret", create).unwrap(), made, "the answer was lost");
    assert_eq!(code(ask(&secrets, "CreateSecret", json!({"Name": "a", "SecretString": "2"}))), Code::ResourceExists);
    let arn = made["ARN"].as_str().unwrap();
    let put = ask(&secrets, "PutSecretValue", json!({"SecretId": arn, "SecretString": "2"})).unwrap();
    assert_eq!(put["VersionStages"], json!(["AWSCURRENT"]));
    let other = json!({"SecretId": "a", "SecretString": "3", "ClientRequestToken": TOKEN});
    assert_eq!(code(ask(&secrets, "PutSecretValue", other)), Code::ResourceExists);
    assert_eq!(code(ask(&secrets, "PutSecretValue", json!({"SecretId": "a"}))), Code::InvalidRequest);

    for id in ["a", arn, arn.rsplit_once('-').unwrap().0] {
        let read = ask(&secrets, "GetSecretValue", json!({"SecretId": id})).unwrap();
        assert_eq!((&read["SecretString"], &read["VersionId"]), (&json!("2"), &put["VersionId"]), "{id}");
        assert!(read["CreatedDate"].as_f64() > Some(1.7e9));
    }
    for wanted in [json!({"VersionStage": "AWSPREVIOUS"}), json!({"VersionId": TOKEN})] {
        let mut request = wanted;
        request["SecretId"] = "a".into();
        assert_eq!(ask(&secrets, "GetSecretValue", request).unwrap()["SecretString"], "1");
    }
    let stage = json!({"SecretId": "a", "VersionStage": "AWSPENDING"});
    assert_eq!(code(ask(&secrets, "GetSecretValue", stage)), Code::ResourceNotFound);

    let delete = json!({"SecretId": "a", "RecoveryWindowInDays": 7});
    ask(&secrets, "DeleteSecret", delete.clone()).unwrap();
    assert_eq!(code(ask(&secrets, "DeleteSecret", delete)), Code::InvalidRequest);
    assert_eq!(code(ask(&secrets, "GetSecretValue", json!({"SecretId": "a"}))), Code::InvalidRequest);
    assert_eq!(code(ask(&secrets, "CreateSecret", json!({"Name": "a"}))), Code::InvalidRequest);
    ask(&secrets, "DeleteSecret", json!({"SecretId": arn, "ForceDeleteWithoutRecovery": true})).unwrap();
    assert_eq!(code(ask(&secrets, "GetSecretValue", json!({"SecretId": "a"}))), Code::ResourceNotFound);
    ask(&secrets, "CreateSecret", json!({"Name": "a"})).unwrap();
    let empty = ask(&secrets, "GetSecretValue", json!({"SecretId": "a"})).unwrap_err().1;
    assert!(empty.ends_with("secret value for staging label: AWSCURRENT"), "{empty}");
}

#[test]
fn invalid_requests_are_refused() {
    let secrets = SecretsManager::default();
    let long = "x".repeat(SECRET_BYTES + 1);
    let cases = [
        ("GetSecretValue", json!({}), Code::Validation),
        ("CreateSecret", json!({"Name": "a b"}), Code::Validation),
        ("CreateSecret", json!({"Name": "a", "SecretString": long}), Code::Validation),
        ("CreateSecret", json!({"Name": "a", "ClientRequestToken": "x"}), Code::InvalidParameter),
        ("CreateSecret", json!({"Name": "a", "SecretString": "", "SecretBinary": ""}), Code::InvalidParameter),
        ("DeleteSecret", json!({"SecretId": "a", "RecoveryWindowInDays": 1}), Code::InvalidParameter),
        ("DeleteSecret", json!({"SecretId": "a"}), Code::ResourceNotFound),
        ("ListSecrets", json!({"Filters": [{"Key": "tag-key", "Values": ["a"]}]}), Code::InvalidParameter),
        ("ListSecrets", json!({"MaxResults": 0}), Code::InvalidParameter),
        ("DescribeSecret", json!({"SecretId": "a"}), Code::ResourceNotFound),
        ("RotateSecret", json!({}), Code::UnknownOperation),
    ];
    for (operation, request, expected) in cases {
        assert_eq!(code(ask(&secrets, operation, request.clone())), expected, "{operation} {request}");
    }
    assert_eq!(secrets.answer("GetSecretValue", b"[").status(), StatusCode::BAD_REQUEST);
}

#[test]
fn a_preset_holds_until_a_request_puts_or_deletes_the_secret() {
    let secrets = preset(None);
    let get = |id: &str| ask(&secrets, "GetSecretValue", json!({"SecretId": id}));
    let read = get(APP).unwrap();
    assert_eq!((&read["Name"], &read["SecretString"]), (&json!(APP), &json!("{}")));
    assert_eq!(get(read["ARN"].as_str().unwrap()).unwrap(), read);
    assert_eq!(code(get("shop/prod/other")), Code::ResourceNotFound);
    // A secret that was never created has to fail here, too.
    let put = json!({"SecretId": APP, "SecretString": "mine"});
    assert_eq!(code(ask(&secrets, "PutSecretValue", put)), Code::ResourceNotFound);
    ask(&secrets, "CreateSecret", json!({"Name": APP, "SecretString": "mine"})).unwrap();
    assert_eq!(get(APP).unwrap()["SecretString"], "mine");
    let none = "shop/prod/providers/none";
    ask(&secrets, "DeleteSecret", json!({"SecretId": none, "ForceDeleteWithoutRecovery": true})).unwrap();
    assert_eq!(code(get(none)), Code::ResourceNotFound);
}

#[test]
fn secrets_are_kept_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/secretsmanager.json");
    let open = || preset(Some(&path));
    ask(&open(), "CreateSecret", json!({"Name": "a", "SecretBinary": "AAEC"})).unwrap();
    ask(&open(), "DeleteSecret", json!({"SecretId": APP, "ForceDeleteWithoutRecovery": true})).unwrap();
    assert_eq!(ask(&open(), "GetSecretValue", json!({"SecretId": "a"})).unwrap()["SecretBinary"], "AAEC");
    assert_eq!(code(ask(&open(), "GetSecretValue", json!({"SecretId": APP}))), Code::ResourceNotFound);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!format!("{:?}", open()).contains("AAEC"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(SecretsManager::open(Some(&path)).is_err());
}

#[test]
fn a_change_that_cannot_be_kept_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secretsmanager.json");
    let secrets = SecretsManager::open(Some(&path)).unwrap();
    fs::create_dir(&path).unwrap();
    let answer = ask(&secrets, "CreateSecret", json!({"Name": "a", "SecretString": "1"}));
    assert_eq!(code(answer), Code::InternalServiceError);
    assert_eq!(code(ask(&secrets, "GetSecretValue", json!({"SecretId": "a"}))), Code::ResourceNotFound);
}

#[test]
fn secrets_are_listed_and_described_without_their_values() {
    let secrets = preset(None);
    for name in ["shop/a", "shop/b", "other"] {
        ask(&secrets, "CreateSecret", json!({"Name": name, "SecretString": "1"})).unwrap();
    }
    let put = ask(&secrets, "PutSecretValue", json!({"SecretId": "shop/a", "SecretString": "2"})).unwrap();
    ask(&secrets, "DeleteSecret", json!({"SecretId": "other", "RecoveryWindowInDays": 7})).unwrap();
    let names = |request: Value| {
        let answer = ask(&secrets, "ListSecrets", request).unwrap();
        let names = answer["SecretList"].as_array().unwrap().iter().map(|it| it["Name"].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>(), answer["NextToken"].as_str().map(str::to_owned))
    };
    assert_eq!(names(json!({})).0, ["shop/a", "shop/b"]);
    assert_eq!(names(json!({"IncludePlannedDeletion": true})).0, ["other", "shop/a", "shop/b"]);
    assert_eq!(names(json!({"Filters": [{"Key": "name", "Values": ["shop/", "!shop/a"]}]})).0, ["shop/b"]);
    let (first, token) = names(json!({"MaxResults": 1}));
    assert_eq!((first, names(json!({"NextToken": token.unwrap()})).0), (vec!["shop/a".into()], vec!["shop/b".into()]));

    let described = ask(&secrets, "DescribeSecret", json!({"SecretId": "shop/a"})).unwrap();
    assert_eq!(described["VersionIdsToStages"][put["VersionId"].as_str().unwrap()], json!(["AWSCURRENT"]));
    assert_eq!(described["VersionIdsToStages"].as_object().unwrap().len(), 2);
    assert!(described["LastChangedDate"].as_f64() >= described["CreatedDate"].as_f64());
    assert!(!described.to_string().contains("SecretString"));
    assert!(ask(&secrets, "DescribeSecret", json!({"SecretId": "other"})).unwrap()["DeletedDate"].is_f64());
    assert_eq!(ask(&secrets, "DescribeSecret", json!({"SecretId": APP})).unwrap()["Name"], APP);
}

#[test]
fn a_secret_of_the_template_is_there_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secretsmanager.json");
    let open = |value: Option<&str>| {
        let secrets = SecretsManager::open(Some(&path)).unwrap();
        let declared = |name: &str, value: Option<&str>| template::Secret {
            logical_id: name.to_owned(),
            name: name.to_owned(),
            value: value.map(str::to_owned),
        };
        secrets.declare(&[declared("local-A", value), declared("local-B", Some("b"))]);
        secrets
    };
    let get = |secrets: &SecretsManager, id: &str| {
        ask(secrets, "GetSecretValue", json!({"SecretId": id})).map(|it| it["SecretString"].clone())
    };
    let secrets = open(Some("1"));
    assert_eq!(get(&secrets, "local-A").unwrap(), "1");
    let arn = super::secret::arn("local-A");
    assert_eq!(get(&secrets, &arn).unwrap(), "1");
    assert_eq!(code(ask(&secrets, "CreateSecret", json!({"Name": "local-A"}))), Code::ResourceExists);
    ask(&secrets, "PutSecretValue", json!({"SecretId": "local-B", "SecretString": "put"})).unwrap();
    // The template has changed one in the meantime; the other was put by a request.
    let secrets = open(Some("2"));
    assert_eq!((get(&secrets, "local-A").unwrap(), get(&secrets, "local-B").unwrap()), ("2".into(), "put".into()));
    ask(&secrets, "DeleteSecret", json!({"SecretId": "local-A", "ForceDeleteWithoutRecovery": true})).unwrap();
    assert_eq!(code(get(&open(Some("2")), "local-A")), Code::ResourceNotFound);
    assert!(
        get(&SecretsManager::open(Some(&path)).unwrap(), "local-B").is_ok(),
        "it is kept without the template, too"
    );
    fs::remove_file(&path).unwrap();
    let empty = ask(&open(None), "GetSecretValue", json!({"SecretId": "local-A"})).unwrap_err().1;
    assert!(empty.ends_with("secret value for staging label: AWSCURRENT"), "{empty}");
}

#[test]
fn an_empty_secret_is_refused() {
    let secrets = SecretsManager::default();
    for request in [json!({"Name": "a", "SecretString": ""}), json!({"Name": "a", "SecretBinary": ""})] {
        assert_eq!(code(ask(&secrets, "CreateSecret", request)), Code::Validation);
    }
    assert!(ask(&secrets, "CreateSecret", json!({"Name": "a"})).is_ok(), "a secret may have no value yet");
}

#[test]
fn a_broken_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secretsmanager.json");
    fs::write(&path, "{").unwrap();
    let error = SecretsManager::open(Some(&path)).unwrap_err().to_string();
    assert!(error.starts_with(&path.display().to_string()), "{error}");
}
