//! The operations on grants. A grant counts at once; a grant token has no effect beyond that.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Kms;
use super::protocol::{Code, Constraints, Refusal, Request, invalid, page, refused, required};
use super::stored::{Grant, Stored, arn, now, random};
use crate::ids::{ACCOUNT_ID, hexadecimal};

/// The operations that a grant may give, as far as symmetric keys have them.
const OPERATIONS: [&str; 9] = [
    "CreateGrant",
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
    "RetireGrant",
];
/// The operations to which the constraints of a grant do not apply.
const UNCONSTRAINED: [&str; 2] = ["DescribeKey", "RetireGrant"];
/// The most pairs of a constraint, and their greatest size.
const CONSTRAINT_PAIRS: usize = 8;
const CONSTRAINT_CHARS: usize = 384;
/// The longest name of a grant.
const NAME_CHARS: usize = 256;
/// The length of a grant's id, in bytes.
const ID_BYTES: usize = 32;
/// How many grants a page has, and may have.
const PAGE: (i64, i64) = (50, 100);

impl Kms {
    pub(super) fn create_grant(&self, request: &Request) -> Result<Value, Refusal> {
        let reference = required(request.key_id.as_deref(), "keyId")?;
        let wanted = wanted(request)?;
        let fresh = hexadecimal(&random::<ID_BYTES>()?);
        self.change(|stored| {
            check_tokens(stored, request)?;
            let (key_id, key) = stored.find_by_id(reference)?;
            key.check_enabled(&key_id)?;
            let wanted = Grant { key_id, ..wanted };
            // A repeated request: its first answer was lost.
            let is_same = |grant: &Grant| Grant { created: wanted.created, ..grant.clone() } == wanted;
            let repeated = stored.grants.iter().find(|(_, grant)| grant.name.is_some() && is_same(grant));
            let id = repeated.map_or(fresh, |(id, _)| id.clone());
            let token = token(&id)?;
            stored.grants.entry(id.clone()).or_insert(wanted);
            Ok(json!({"GrantId": id, "GrantToken": token}))
        })
    }

    pub(super) fn list_grants(&self, request: &Request) -> Result<Value, Refusal> {
        let stored = self.stored();
        let (key_id, _) = stored.find_by_id(required(request.key_id.as_deref(), "keyId")?)?;
        if let Some(id) = &request.grant_id {
            grant_of(&stored, id, &key_id)?;
        }
        let is_wanted = |id: &String, grant: &Grant| {
            grant.key_id == key_id
                && request.grant_id.as_ref().is_none_or(|wanted| wanted == id)
                && request.grantee_principal.as_ref().is_none_or(|grantee| *grantee == grant.grantee)
        };
        let listed = stored.grants.iter().filter(|(id, grant)| is_wanted(id, grant));
        page(listed.map(|(id, grant)| (id.clone(), described(id, grant))), request, "Grants", PAGE)
    }

    pub(super) fn revoke_grant(&self, request: &Request) -> Result<Value, Refusal> {
        let reference = required(request.key_id.as_deref(), "keyId")?;
        let id = required(request.grant_id.as_deref(), "grantId")?;
        self.change(|stored| {
            let (key_id, _) = stored.find_by_id(reference)?;
            grant_of(stored, id, &key_id)?;
            stored.grants.remove(id);
            Ok(json!({}))
        })
    }

    pub(super) fn retire_grant(&self, request: &Request) -> Result<Value, Refusal> {
        self.change(|stored| {
            let id = retired(stored, request)?;
            stored.grants.remove(&id);
            Ok(json!({}))
        })
    }
}

/// The id of the grant that a request retires: by a token, or by key and id.
pub(super) fn retired(stored: &Stored, request: &Request) -> Result<String, Refusal> {
    match (&request.grant_token, &request.key_id, &request.grant_id) {
        (Some(token), None, None) => match id_in(token).filter(|id| stored.grants.contains_key(id)) {
            Some(id) => Ok(id),
            None => refused(Code::InvalidGrantToken, "The grant token is not valid."),
        },
        (None, Some(reference), Some(id)) => {
            let (key_id, _) = stored.find_by_id(reference)?;
            grant_of(stored, id, &key_id)?;
            Ok(id.clone())
        }
        _ => refused(Code::Validation, "Grant token OR (grant ID, key ID) must be specified"),
    }
}

/// Refuses a request with a token that is not one of a grant.
pub(super) fn check_tokens(stored: &Stored, request: &Request) -> Result<(), Refusal> {
    let is_known = |token: &String| id_in(token).is_some_and(|id| stored.grants.contains_key(&id));
    match request.grant_tokens.iter().all(is_known) {
        true => Ok(()),
        false => refused(Code::InvalidGrantToken, "The grant token is not valid."),
    }
}

/// The principals to whom grants give an operation on a key with this encryption context.
pub(super) fn grantees(
    stored: &Stored,
    key_id: &str,
    operation: &str,
    context: &BTreeMap<String, String>,
) -> Vec<String> {
    let is_unconstrained = UNCONSTRAINED.contains(&operation);
    let gives = |grant: &&Grant| {
        grant.key_id == key_id
            && grant.operations.iter().any(|given| given == operation)
            && (is_unconstrained || grant.constraints.as_ref().is_none_or(|constraints| constraints.hold(context)))
    };
    stored.grants.values().filter(gives).map(|grant| grant.grantee.clone()).collect()
}

impl Constraints {
    /// Whether an encryption context fits. Names are compared without regard to case, unlike values
    /// (<https://docs.aws.amazon.com/kms/latest/APIReference/API_GrantConstraints.html>).
    fn hold(&self, context: &BTreeMap<String, String>) -> bool {
        let has = |(name, value): (&String, &String)| {
            context.iter().any(|(given, of)| given.eq_ignore_ascii_case(name) && of == value)
        };
        let subset = self.encryption_context_subset.as_ref();
        let equals = self.encryption_context_equals.as_ref();
        subset.is_none_or(|pairs| pairs.iter().all(has))
            && equals.is_none_or(|pairs| pairs.len() == context.len() && pairs.iter().all(has))
    }
}

fn grant_of<'s>(stored: &'s Stored, id: &str, key_id: &str) -> Result<&'s Grant, Refusal> {
    match stored.grants.get(id).filter(|grant| grant.key_id == key_id) {
        Some(grant) => Ok(grant),
        None => refused(Code::InvalidGrantId, format!("{id} is no grant of this key.")),
    }
}

/// The grant that a request asks for, without its key.
fn wanted(request: &Request) -> Result<Grant, Refusal> {
    let grantee = principal(required(request.grantee_principal.as_deref(), "granteePrincipal")?)?;
    let retiring = request.retiring_principal.as_deref().map(principal).transpose()?;
    required(request.operations.first().map(String::as_str), "operations")?;
    if let Some(other) = request.operations.iter().find(|name| !OPERATIONS.contains(&name.as_str())) {
        let constraint = format!("satisfy enum value set: [{}]", OPERATIONS.join(", "));
        return invalid(Some(other), "operations", &constraint);
    }
    let constraints = request.constraints.iter();
    let pairs = constraints.flat_map(|it| [&it.encryption_context_equals, &it.encryption_context_subset]).flatten();
    for pairs in pairs {
        let size = pairs.iter().map(|(name, value)| name.chars().count() + value.chars().count()).sum::<usize>();
        if pairs.len() > CONSTRAINT_PAIRS || size > CONSTRAINT_CHARS {
            let constraint = format!("have at most {CONSTRAINT_PAIRS} pairs and {CONSTRAINT_CHARS} characters");
            return invalid(None, "constraints", &constraint);
        }
    }
    if let Some(name) = &request.name {
        let is_right = |c: char| c.is_ascii_alphanumeric() || ":/_-".contains(c);
        if name.is_empty() || name.chars().count() > NAME_CHARS || !name.chars().all(is_right) {
            return invalid(Some(name), "name", "satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$");
        }
    }
    let mut operations = request.operations.clone();
    operations.sort_unstable();
    operations.dedup();
    Ok(Grant {
        key_id: String::new(),
        created: now(),
        name: request.name.clone(),
        grantee,
        retiring,
        operations,
        constraints: request.constraints.clone(),
    })
}

fn principal(arn: &str) -> Result<String, Refusal> {
    match arn.starts_with("arn:aws:iam::") || arn.starts_with("arn:aws:sts::") {
        true => Ok(arn.to_owned()),
        false => refused(Code::InvalidArn, format!("{arn} is no ARN of a principal.")),
    }
}

fn described(id: &str, grant: &Grant) -> Value {
    let mut described = json!({
        "KeyId": arn(&grant.key_id),
        "GrantId": id,
        "CreationDate": grant.created,
        "GranteePrincipal": grant.grantee,
        "IssuingAccount": format!("arn:aws:iam::{ACCOUNT_ID}:root"),
        "Operations": grant.operations,
        "Name": grant.name.clone().unwrap_or_default(),
    });
    if let Some(retiring) = &grant.retiring {
        described["RetiringPrincipal"] = retiring.as_str().into();
    }
    if let Some(constraints) = &grant.constraints {
        described["Constraints"] = json!(constraints);
    }
    described
}

/// A new token of a grant: its id and random bytes.
fn token(id: &str) -> Result<String, Refusal> {
    Ok(STANDARD.encode([id.as_bytes(), &random::<16>()?].concat()))
}

/// The id of the grant in a token.
fn id_in(token: &str) -> Option<String> {
    let bytes = STANDARD.decode(token).ok()?;
    let (id, _) = bytes.split_at_checked(2 * ID_BYTES)?;
    std::str::from_utf8(id).ok().map(str::to_owned)
}
