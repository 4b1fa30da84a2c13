//! Keys as an SDK would ask for them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Kms;
use super::aliases::OF_A_KEY;
use super::checks::{CONTEXT_BYTES, PLAINTEXT_BYTES};
use super::protocol::{Code, Refusal, Request};
use super::stored::{Stored, arn};
use crate::template;

const ABSENT: &str = "0d3f1c8e-8c6b-4c53-9c39-0e8b5c1a7a01";
const ROLE: &str = "arn:aws:iam::000000000000:role/F";

fn ask(kms: &Kms, operation: &str, request: Value) -> Result<Value, (Code, String)> {
    let request: Request = serde_json::from_value(request).unwrap();
    kms.execute(operation, &request).map_err(|Refusal { code, message }| (code, message))
}

fn code(answer: Result<Value, (Code, String)>) -> Code {
    answer.unwrap_err().0
}

fn key(kms: &Kms) -> String {
    ask(kms, "CreateKey", json!({})).unwrap()["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned()
}

fn state(kms: &Kms, id: &str) -> String {
    let described = ask(kms, "DescribeKey", json!({"KeyId": id})).unwrap();
    described["KeyMetadata"]["KeyState"].as_str().unwrap().to_owned()
}

/// A ciphertext of `plaintext` in the context `{"app": "a"}`.
fn encrypted(kms: &Kms, id: &str, plaintext: &[u8]) -> Value {
    let request = json!({"KeyId": id, "Plaintext": STANDARD.encode(plaintext), "EncryptionContext": {"app": "a"}});
    ask(kms, "Encrypt", request).unwrap()["CiphertextBlob"].clone()
}

fn decrypt(kms: &Kms, blob: &Value, context: Value) -> Result<Value, (Code, String)> {
    ask(kms, "Decrypt", json!({"CiphertextBlob": blob, "EncryptionContext": context}))
}

#[test]
fn a_data_key_is_decrypted_by_its_key_in_its_context() {
    let kms = Kms::default();
    let id = key(&kms);
    for (asked, length) in
        [(json!({"KeySpec": "AES_256"}), 32), (json!({"KeySpec": "AES_128"}), 16), (json!({"NumberOfBytes": 200}), 200)]
    {
        let mut request = asked;
        request["KeyId"] = id.as_str().into();
        request["EncryptionContext"] = json!({"app": "a", "use": "ring"});
        let made = ask(&kms, "GenerateDataKey", request.clone()).unwrap();
        assert_eq!(STANDARD.decode(made["Plaintext"].as_str().unwrap()).unwrap().len(), length);
        assert_eq!(made["KeyId"], arn(&id));
        let opened = decrypt(&kms, &made["CiphertextBlob"], json!({"use": "ring", "app": "a"})).unwrap();
        assert_eq!((&opened["Plaintext"], &opened["KeyId"]), (&made["Plaintext"], &made["KeyId"]));
        let without = ask(&kms, "GenerateDataKeyWithoutPlaintext", request).unwrap();
        assert!(without.get("Plaintext").is_none());
        assert!(decrypt(&kms, &without["CiphertextBlob"], json!({"use": "ring", "app": "a"})).is_ok());
        for other in [json!({}), json!({"app": "a"}), json!({"app": "A", "use": "ring"}), json!({"appuse": "aring"})] {
            assert_eq!(code(decrypt(&kms, &made["CiphertextBlob"], other)), Code::InvalidCiphertext);
        }
    }
    let two: BTreeSet<String> = (0..2).map(|_| encrypted(&kms, &id, b"same").to_string()).collect();
    assert_eq!(two.len(), 2, "no two ciphertexts are alike");
}

#[test]
fn a_ciphertext_that_was_changed_is_refused() {
    let kms = Kms::default();
    let (id, other) = (key(&kms), key(&kms));
    let blob = encrypted(&kms, &id, b"plaintext");
    let bytes = STANDARD.decode(blob.as_str().unwrap()).unwrap();
    assert!(!bytes.windows(9).any(|window| window == b"plaintext"));
    for place in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[place] ^= 1;
        let refused = code(decrypt(&kms, &json!(STANDARD.encode(flipped)), json!({"app": "a"})));
        // A changed id names a key that is not there.
        assert!(matches!(refused, Code::InvalidCiphertext | Code::AccessDenied), "byte {place}: {refused:?}");
    }
    for length in 1..bytes.len() {
        let cut = json!(STANDARD.encode(&bytes[..length]));
        assert_eq!(code(decrypt(&kms, &cut, json!({"app": "a"}))), Code::InvalidCiphertext, "{length} bytes");
    }
    // The same ciphertext under the name of another key.
    let moved = [&bytes[..2], other.as_bytes(), &bytes[38..]].concat();
    assert_eq!(code(decrypt(&kms, &json!(STANDARD.encode(moved)), json!({"app": "a"}))), Code::InvalidCiphertext);
}

#[test]
fn the_key_that_a_request_names_is_the_only_one_that_decrypts() {
    let kms = Kms::default();
    let (id, other) = (key(&kms), key(&kms));
    ask(&kms, "CreateAlias", json!({"AliasName": "alias/a", "TargetKeyId": id})).unwrap();
    let blob = encrypted(&kms, "alias/a", b"x");
    let named = |reference: &str| {
        let request = json!({"CiphertextBlob": blob, "EncryptionContext": {"app": "a"}, "KeyId": reference});
        ask(&kms, "Decrypt", request)
    };
    for reference in [&id, &arn(&id), "alias/a", "arn:aws:kms:us-east-1:000000000000:alias/a"] {
        assert_eq!(named(reference).unwrap()["Plaintext"], STANDARD.encode("x"), "{reference}");
    }
    let words = "The key ID in the request does not identify a CMK that can perform this operation.";
    assert_eq!(named(&other).unwrap_err(), (Code::IncorrectKey, words.to_owned()));
    for (reference, code, message) in [
        (ABSENT, Code::NotFound, format!("Key '{}' does not exist", arn(ABSENT))),
        ("a", Code::NotFound, "Invalid keyId 'a'".to_owned()),
        ("alias/b", Code::NotFound, "Alias arn:aws:kms:us-east-1:000000000000:alias/b is not found.".to_owned()),
        ("arn:aws:kms:eu-west-1:000000000000:key/a", Code::NotFound, "Invalid arn eu-west-1".to_owned()),
        (
            "arn:aws:sqs:us-east-1:000000000000:a",
            Code::InvalidArn,
            "Invalid arn arn:aws:sqs:us-east-1:000000000000:a".to_owned(),
        ),
    ] {
        assert_eq!(named(reference).unwrap_err(), (code, message));
    }
}

#[test]
fn re_encryption_changes_key_and_context() {
    let kms = Kms::default();
    let (from, to) = (key(&kms), key(&kms));
    let blob = encrypted(&kms, &from, b"x");
    let mut request = json!({
        "CiphertextBlob": blob,
        "SourceEncryptionContext": {"app": "a"},
        "DestinationKeyId": to,
        "DestinationEncryptionContext": {"app": "b"},
    });
    let done = ask(&kms, "ReEncrypt", request.clone()).unwrap();
    assert_eq!((&done["SourceKeyId"], &done["KeyId"]), (&json!(arn(&from)), &json!(arn(&to))));
    let opened = decrypt(&kms, &done["CiphertextBlob"], json!({"app": "b"})).unwrap();
    assert_eq!((&opened["Plaintext"], &opened["KeyId"]), (&json!(STANDARD.encode("x")), &json!(arn(&to))));
    request["SourceKeyId"] = to.as_str().into();
    assert_eq!(code(ask(&kms, "ReEncrypt", request.clone())), Code::IncorrectKey);
    request["SourceKeyId"] = from.as_str().into();
    request["SourceEncryptionContext"] = json!({});
    assert_eq!(code(ask(&kms, "ReEncrypt", request)), Code::InvalidCiphertext);
}

#[test]
fn a_key_that_is_disabled_or_pending_deletion_refuses_its_use() {
    let kms = Kms::default();
    let id = key(&kms);
    let blob = encrypted(&kms, &id, b"x");
    let on_key = |operation: &str| ask(&kms, operation, json!({"KeyId": id}));
    let uses = || {
        let grant = json!({"KeyId": id, "GranteePrincipal": ROLE, "Operations": ["Decrypt"]});
        [
            decrypt(&kms, &blob, json!({"app": "a"})),
            ask(&kms, "Encrypt", json!({"KeyId": id, "Plaintext": "eA=="})),
            ask(&kms, "GenerateDataKey", json!({"KeyId": id, "KeySpec": "AES_256"})),
            ask(
                &kms,
                "ReEncrypt",
                json!({"CiphertextBlob": blob, "SourceEncryptionContext": {"app": "a"}, "DestinationKeyId": id}),
            ),
            ask(&kms, "CreateGrant", grant),
        ]
    };
    for _ in 0..2 {
        on_key("DisableKey").unwrap();
    }
    let disabled = (Code::Disabled, format!("{} is disabled.", arn(&id)));
    assert!(uses().into_iter().all(|answer| answer == Err(disabled.clone())));
    on_key("EnableKey").unwrap();
    assert!(uses().into_iter().all(|answer| answer.is_ok()));

    let scheduled = ask(&kms, "ScheduleKeyDeletion", json!({"KeyId": id, "PendingWindowInDays": 7})).unwrap();
    assert_eq!((&scheduled["KeyState"], &scheduled["PendingWindowInDays"]), (&json!("PendingDeletion"), &json!(7)));
    let pending = (Code::InvalidState, format!("{} is pending deletion.", arn(&id)));
    assert!(uses().into_iter().all(|answer| answer == Err(pending.clone())));
    for operation in ["EnableKey", "DisableKey", "ScheduleKeyDeletion"] {
        assert_eq!(on_key(operation), Err(pending.clone()), "{operation}");
    }
    let alias = json!({"AliasName": "alias/a", "TargetKeyId": id});
    assert_eq!(ask(&kms, "CreateAlias", alias), Err(pending));
    let described = on_key("DescribeKey").unwrap();
    assert_eq!(described["KeyMetadata"]["DeletionDate"], scheduled["DeletionDate"]);
    assert_eq!(state(&kms, &id), "PendingDeletion");
    on_key("CancelKeyDeletion").unwrap();
    let not_pending = (Code::InvalidState, format!("{} is not pending deletion.", arn(&id)));
    assert_eq!(on_key("CancelKeyDeletion"), Err(not_pending));
    assert_eq!(state(&kms, &id), "Disabled", "as on AWS, it has to be enabled");
    on_key("EnableKey").unwrap();
    assert!(decrypt(&kms, &blob, json!({"app": "a"})).is_ok());
}

#[test]
fn a_deleted_key_is_gone_with_its_names_and_what_it_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kms.json");
    let kms = Kms::open(Some(&path)).unwrap();
    let id = key(&kms);
    ask(&kms, "CreateAlias", json!({"AliasName": "alias/a", "TargetKeyId": id})).unwrap();
    let blob = encrypted(&kms, &id, b"x");
    ask(&kms, "ScheduleKeyDeletion", json!({"KeyId": id})).unwrap();
    kms.stored().keys.get_mut(&id).unwrap().deletion = Some(1.0);
    for reference in [id.as_str(), "alias/a"] {
        assert_eq!(code(ask(&kms, "DescribeKey", json!({"KeyId": reference}))), Code::NotFound);
    }
    let words = "The ciphertext refers to a customer master key that does not exist";
    let refused = decrypt(&kms, &blob, json!({"app": "a"})).unwrap_err();
    assert!(refused.0 == Code::AccessDenied && refused.1.starts_with(words), "{refused:?}");
    key(&kms);
    let kept: Stored = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert!(kept.keys[&id].material.is_none() && kept.aliases.is_empty());
}

#[test]
fn a_template_finds_its_keys_as_it_left_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/kms.json");
    let declared = |enabled: bool| template::Key {
        logical_id: "Key".to_owned(),
        id: ABSENT.to_owned(),
        arn: arn(ABSENT),
        description: "for the test".to_owned(),
        enabled,
        rotates: true,
        multi_region: false,
        policy: None,
    };
    let alias = |key_id: &str| template::KeyAlias { name: "alias/a".to_owned(), key_id: key_id.to_owned() };
    let open = |path: &Path, enabled: bool| {
        let kms = Kms::open(Some(path)).unwrap();
        kms.declare(&[declared(enabled)], &[alias(ABSENT)]).unwrap();
        kms
    };
    let first = open(&path, true);
    let blob = encrypted(&first, "alias/a", b"x");
    ask(&first, "DisableKey", json!({"KeyId": ABSENT})).unwrap();
    assert!(ask(&first, "GetKeyRotationStatus", json!({"KeyId": ABSENT})).unwrap()["KeyRotationEnabled"] == true);

    let second = open(&path, true);
    assert_eq!(state(&second, ABSENT), "Disabled", "a request has disabled it");
    assert_eq!(state(&open(&path, false), ABSENT), "Disabled");
    let third = open(&path, true);
    assert_eq!(state(&third, ABSENT), "Enabled", "the template has enabled it");
    assert_eq!(decrypt(&third, &blob, json!({"app": "a"})).unwrap()["Plaintext"], STANDARD.encode("x"));
    let left = Kms::open(Some(&path)).unwrap();
    left.declare(&[], &[]).unwrap();
    assert!(decrypt(&left, &blob, json!({"app": "a"})).is_ok(), "it is kept without the template, too");

    third.stored().keys.get_mut(ABSENT).unwrap().deletion = Some(1.0);
    key(&third);
    let gone = open(&path, true);
    assert_eq!(code(ask(&gone, "DescribeKey", json!({"KeyId": "alias/a"}))), Code::NotFound, "deleted is deleted");
}

#[test]
fn keys_are_kept_for_their_owner_alone_and_never_shown() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/kms.json");
    let kms = Kms::open(Some(&path)).unwrap();
    let id = key(&kms);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let material = STANDARD.encode(kms.stored().keys[&id].material.as_ref().unwrap().0);
    assert!(fs::read_to_string(&path).unwrap().contains(&material));
    assert!(!format!("{kms:?}").contains(&material));
    fs::write(&path, "{").unwrap();
    let error = Kms::open(Some(&path)).unwrap_err().to_string();
    assert!(error.starts_with(&path.display().to_string()), "{error}");
}

#[test]
fn a_change_that_cannot_be_kept_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kms.json");
    let kms = Kms::open(Some(&path)).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(code(ask(&kms, "CreateKey", json!({}))), Code::Internal);
    assert_eq!(ask(&kms, "ListKeys", json!({})).unwrap()["Keys"], json!([]));
}

#[test]
fn invalid_requests_are_refused() {
    let kms = Kms::default();
    let id = key(&kms);
    let bytes = |count: usize| STANDARD.encode(vec![0; count]);
    let context = |size: usize| json!({"a": "x".repeat(size - 1)});
    assert!(ask(&kms, "Encrypt", json!({"KeyId": id, "Plaintext": bytes(PLAINTEXT_BYTES)})).is_ok());
    let encrypt = |context: Value| json!({"KeyId": id, "Plaintext": "eA==", "EncryptionContext": context});
    assert!(ask(&kms, "Encrypt", encrypt(context(CONTEXT_BYTES))).is_ok());
    let cases = [
        ("Encrypt", json!({"Plaintext": "eA=="}), Code::Validation, "Value null at 'keyId'"),
        ("Encrypt", json!({"KeyId": id}), Code::Validation, "Value null at 'plaintext'"),
        ("Encrypt", json!({"KeyId": id, "Plaintext": ""}), Code::Validation, "length greater than or equal to 1"),
        ("Encrypt", json!({"KeyId": id, "Plaintext": "?"}), Code::Serialization, "not base64"),
        (
            "Encrypt",
            json!({"KeyId": id, "Plaintext": bytes(4_097)}),
            Code::Validation,
            "Value at 'plaintext' failed to satisfy constraint: Member must have length less than or equal to 4096",
        ),
        ("Encrypt", encrypt(context(CONTEXT_BYTES + 1)), Code::Validation, "'encryptionContext'"),
        ("Encrypt", encrypt(json!({"": "a"})), Code::Validation, "'encryptionContext'"),
        (
            "Encrypt",
            json!({"KeyId": id, "Plaintext": "eA==", "EncryptionAlgorithm": "RSAES_OAEP_SHA_1"}),
            Code::InvalidKeyUsage,
            "RSAES_OAEP_SHA_1",
        ),
        ("Encrypt", json!({"KeyId": id, "Plaintext": "eA==", "DryRun": true}), Code::UnsupportedOperation, "DryRun"),
        ("Decrypt", json!({"CiphertextBlob": bytes(6_145)}), Code::Validation, "6144"),
        ("Decrypt", json!({"CiphertextBlob": bytes(99)}), Code::InvalidCiphertext, ""),
        (
            "GenerateDataKey",
            json!({"KeyId": id}),
            Code::Validation,
            "Please specify either number of bytes or key spec.",
        ),
        (
            "GenerateDataKey",
            json!({"KeyId": id, "KeySpec": "AES_256", "NumberOfBytes": 32}),
            Code::Validation,
            "either",
        ),
        (
            "GenerateDataKey",
            json!({"KeyId": id, "KeySpec": "AES_512"}),
            Code::Validation,
            "Value 'AES_512' at 'keySpec'",
        ),
        ("GenerateDataKey", json!({"KeyId": id, "NumberOfBytes": 0}), Code::Validation, "Value '0' at 'numberOfBytes'"),
        (
            "GenerateDataKey",
            json!({"KeyId": id, "NumberOfBytes": 1_025}),
            Code::Validation,
            "less than or equal to 1024",
        ),
        (
            "GenerateDataKey",
            json!({"KeyId": id, "KeySpec": "AES_256", "GrantTokens": ["a"]}),
            Code::InvalidGrantToken,
            "",
        ),
        ("CreateKey", json!({"KeySpec": "RSA_2048"}), Code::UnsupportedOperation, "RSA_2048"),
        ("ScheduleKeyDeletion", json!({"KeyId": id, "PendingWindowInDays": 6}), Code::Validation, "or equal to 7"),
        ("ScheduleKeyDeletion", json!({"KeyId": id, "PendingWindowInDays": 31}), Code::Validation, "or equal to 30"),
        ("DisableKey", json!({"KeyId": "alias/a"}), Code::NotFound, "Invalid keyId 'alias/a'"),
        ("CreateAlias", json!({"AliasName": "a", "TargetKeyId": id}), Code::Validation, "prefix \"alias/\""),
        ("CreateAlias", json!({"AliasName": "alias/aws/a", "TargetKeyId": id}), Code::InvalidAliasName, "reserved"),
        ("CreateAlias", json!({"AliasName": "alias/a b", "TargetKeyId": id}), Code::InvalidAliasName, "alias/a b"),
        ("DeleteAlias", json!({"AliasName": "alias/a"}), Code::NotFound, "alias/a is not found."),
        ("UpdateAlias", json!({"AliasName": "alias/a", "TargetKeyId": id}), Code::NotFound, "alias/a is not found."),
        ("ListKeys", json!({"Limit": 0}), Code::Validation, "Value '0' at 'limit'"),
        ("ListAliases", json!({"Limit": 101}), Code::Validation, "less than or equal to 100"),
        ("Sign", json!({}), Code::UnknownOperation, "does not serve Sign"),
    ];
    for (operation, request, expected, words) in cases {
        let (code, message) = ask(&kms, operation, request).unwrap_err();
        assert!(code == expected && message.contains(words), "{operation} {words}: {code:?} {message}");
    }
    for (body, name) in
        [("[", "SerializationException"), (r#"{"EncryptionContext": {"a": 1}}"#, "SerializationException")]
    {
        let answer = kms.answer("Decrypt", body.as_bytes());
        assert_eq!(answer.status().as_u16(), 400, "{name}");
    }
}

#[test]
fn aliases_name_a_key_and_move_to_another() {
    let kms = Kms::default();
    let (first, second) = (key(&kms), key(&kms));
    let target = |operation: &str, id: &str| ask(&kms, operation, json!({"AliasName": "alias/a", "TargetKeyId": id}));
    target("CreateAlias", &first).unwrap();
    assert_eq!(code(target("CreateAlias", &second)), Code::AlreadyExists);
    let blob = encrypted(&kms, "alias/a", b"x");
    target("UpdateAlias", &arn(&second)).unwrap();
    let listed = ask(&kms, "ListAliases", json!({"KeyId": second})).unwrap();
    assert_eq!(listed["Aliases"][0]["AliasArn"], "arn:aws:kms:us-east-1:000000000000:alias/a");
    assert_eq!(ask(&kms, "ListAliases", json!({"KeyId": first})).unwrap()["Aliases"], json!([]));
    assert_eq!(decrypt(&kms, &blob, json!({"app": "a"})).unwrap()["KeyId"], arn(&first), "a ciphertext keeps its key");
    for number in 1..OF_A_KEY {
        ask(&kms, "CreateAlias", json!({"AliasName": format!("alias/{number}"), "TargetKeyId": second})).unwrap();
    }
    let more = json!({"AliasName": "alias/more", "TargetKeyId": second});
    assert_eq!(code(ask(&kms, "CreateAlias", more)), Code::LimitExceeded);
    let page = ask(&kms, "ListAliases", json!({"Limit": 49})).unwrap();
    assert_eq!((page["Aliases"].as_array().unwrap().len(), &page["Truncated"]), (49, &json!(true)));
    let rest = ask(&kms, "ListAliases", json!({"Marker": page["NextMarker"]})).unwrap();
    assert_eq!((rest["Aliases"].as_array().unwrap().len(), &rest["Truncated"]), (1, &json!(false)));
    ask(&kms, "DeleteAlias", json!({"AliasName": "alias/a"})).unwrap();
    assert_eq!(code(ask(&kms, "DescribeKey", json!({"KeyId": "alias/a"}))), Code::NotFound);
}

#[test]
fn a_multi_region_key_describes_itself() {
    let kms = Kms::default();
    let made = ask(&kms, "CreateKey", json!({"MultiRegion": true, "Description": "d"})).unwrap();
    let metadata = &made["KeyMetadata"];
    let id = metadata["KeyId"].as_str().unwrap();
    assert!(id.starts_with("mrk-") && id.len() == 36, "{id}");
    assert_eq!(metadata["MultiRegionConfiguration"]["PrimaryKey"]["Region"], "us-east-1");
    assert_eq!((&metadata["Description"], &metadata["Enabled"]), (&json!("d"), &json!(true)));
    let blob = encrypted(&kms, id, b"x");
    assert!(decrypt(&kms, &blob, json!({"app": "a"})).is_ok());
    let listed = ask(&kms, "ListKeys", json!({})).unwrap();
    assert_eq!(listed["Keys"], json!([{"KeyId": id, "KeyArn": arn(id)}]));
}

#[test]
fn grants_are_made_once_listed_revoked_and_retired() {
    let kms = Kms::default();
    let (id, other) = (key(&kms), key(&kms));
    let named = json!({"KeyId": id, "GranteePrincipal": ROLE, "Operations": ["Encrypt", "Decrypt"], "Name": "n"});
    let made = ask(&kms, "CreateGrant", named.clone()).unwrap();
    let again = ask(&kms, "CreateGrant", named).unwrap();
    assert_eq!(again["GrantId"], made["GrantId"], "the answer was lost");
    assert_ne!(again["GrantToken"], made["GrantToken"]);
    let constraints = json!({"EncryptionContextSubset": {"app": "a"}});
    let request = json!({
        "KeyId": arn(&id),
        "GranteePrincipal": ROLE,
        "RetiringPrincipal": ROLE,
        "Operations": ["Decrypt"],
        "Constraints": constraints,
    });
    let constrained = ask(&kms, "CreateGrant", request).unwrap();
    let listed =
        |id: &str| ask(&kms, "ListGrants", json!({"KeyId": id})).unwrap()["Grants"].as_array().unwrap().clone();
    assert_eq!((listed(&id).len(), listed(&other).len()), (2, 0));
    let shown = ask(&kms, "ListGrants", json!({"KeyId": id, "GrantId": constrained["GrantId"]})).unwrap();
    assert_eq!(shown["Grants"][0]["Constraints"], constraints);
    assert_eq!(shown["Grants"][0]["KeyId"], arn(&id));

    let with_token = json!({"KeyId": id, "KeySpec": "AES_256", "GrantTokens": [made["GrantToken"]]});
    assert!(ask(&kms, "GenerateDataKey", with_token.clone()).is_ok());
    let revoke = |key_id: &str| ask(&kms, "RevokeGrant", json!({"KeyId": key_id, "GrantId": made["GrantId"]}));
    assert_eq!(code(revoke(&other)), Code::InvalidGrantId);
    revoke(&id).unwrap();
    assert_eq!(code(revoke(&id)), Code::InvalidGrantId);
    assert_eq!(code(ask(&kms, "GenerateDataKey", with_token)), Code::InvalidGrantToken);
    assert_eq!(code(ask(&kms, "RetireGrant", json!({"GrantId": constrained["GrantId"]}))), Code::Validation);
    ask(&kms, "RetireGrant", json!({"GrantToken": constrained["GrantToken"]})).unwrap();
    assert!(listed(&id).is_empty());
    for (changed, value, expected) in [
        ("GranteePrincipal", json!("me"), Code::InvalidArn),
        ("Operations", json!([]), Code::Validation),
        ("Operations", json!(["Sign"]), Code::Validation),
        ("Name", json!("a b"), Code::Validation),
        ("Constraints", json!({"EncryptionContextEquals": {"a": "x".repeat(384)}}), Code::Validation),
    ] {
        let mut request = json!({"KeyId": id, "GranteePrincipal": ROLE, "Operations": ["Decrypt"]});
        request[changed] = value;
        assert_eq!(code(ask(&kms, "CreateGrant", request)), expected, "{changed}");
    }
}
