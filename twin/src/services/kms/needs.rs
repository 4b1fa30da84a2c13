//! The rights that a request needs
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html>).

use std::collections::BTreeMap;

use super::protocol::{Refusal, Request};
use super::stored::{Key, Stored, alias_arn, alias_in, arn};
use super::{blob, checks, grants};
use crate::iam::{Context, ENCRYPTION_CONTEXT, Need};
use crate::ids::ACCOUNT_ID;

/// The rights for an operation; none for a request that the service refuses anyway.
pub(super) fn of(stored: &Stored, operation: &str, request: &Request) -> Vec<Need> {
    needs(stored, operation, request).unwrap_or_default()
}

fn needs(stored: &Stored, operation: &str, request: &Request) -> Result<Vec<Need>, Refusal> {
    let none = BTreeMap::new();
    let asked = Asked { stored, reference: request.key_id.as_deref().unwrap_or_default(), context: &none };
    let found = |found: Result<(String, &Key), Refusal>| found.map(|(id, _)| id);
    Ok(match operation {
        "CreateKey" | "ListAliases" | "ListKeys" => vec![Need::of(format!("kms:{operation}"), "*")],
        "Decrypt" => {
            let asked = Asked { context: &request.encryption_context, ..asked };
            vec![asked.need(operation, &decrypting(stored, request, request.key_id.as_deref())?)]
        }
        "ReEncrypt" => {
            let source = request.source_key_id.as_deref();
            let from =
                Asked { reference: source.unwrap_or_default(), context: &request.source_encryption_context, ..asked };
            let destination = request.destination_key_id.as_deref().unwrap_or_default();
            let to = Asked { reference: destination, context: &request.destination_encryption_context, ..asked };
            let source = decrypting(stored, request, source)?;
            vec![from.need("ReEncryptFrom", &source), to.need("ReEncryptTo", &found(stored.find(destination))?)]
        }
        "RetireGrant" => {
            let id = grants::retired(stored, request)?;
            let grant = stored.grants.get(&id).into_iter();
            grant
                .map(|grant| {
                    let mut need = asked.need(operation, &grant.key_id);
                    need.granted_to.extend(grant.retiring.clone());
                    need
                })
                .collect()
        }
        "CreateAlias" | "DeleteAlias" | "UpdateAlias" => {
            let name = request.alias_name.as_deref().unwrap_or_default();
            let current = stored.aliases.get(name).map(|alias| alias.key_id.clone());
            let target = request.target_key_id.as_deref().map(|target| found(stored.find_by_id(target))).transpose()?;
            let alias = Need::of(format!("kms:{operation}"), alias_arn(name));
            let keys = current.into_iter().chain(target).map(|id| asked.need(operation, &id));
            std::iter::once(alias).chain(keys).collect()
        }
        _ => {
            let asked = Asked { context: &request.encryption_context, ..asked };
            vec![asked.need(operation, &found(stored.find(asked.reference))?)]
        }
    })
}

/// The id of the key that decrypts a request's ciphertext.
fn decrypting(stored: &Stored, request: &Request, reference: Option<&str>) -> Result<String, Refusal> {
    if let Some(reference) = reference {
        return stored.find(reference).map(|(id, _)| id);
    }
    let blob = checks::ciphertext(request)?;
    // A ciphertext of another service is refused as such.
    stored.find_by_id(blob::key_of(&blob).unwrap_or_default()).map(|(id, _)| id)
}

/// A part of a request: the name by which it asks for a key, and the encryption context.
#[derive(Clone, Copy)]
struct Asked<'r> {
    stored: &'r Stored,
    reference: &'r str,
    context: &'r BTreeMap<String, String>,
}

impl Asked<'_> {
    /// The right to an operation on a key.
    fn need(&self, operation: &str, id: &str) -> Need {
        let mut context = Context::from([
            ("kms:calleraccount".into(), vec![ACCOUNT_ID.to_owned()]),
            ("kms:resourcealiases".into(), self.stored.aliases_of(id)),
            ("kms:encryptioncontextkeys".into(), self.context.keys().cloned().collect()),
        ]);
        if let Some(alias) = alias_in(self.reference) {
            context.insert("kms:requestalias".into(), vec![alias.to_owned()]);
        }
        if operation == "CreateGrant" {
            context.insert("kms:grantisforawsresource".into(), vec!["false".to_owned()]);
        }
        for (name, value) in self.context {
            let key = format!("{ENCRYPTION_CONTEXT}{}", name.to_ascii_lowercase());
            context.entry(key.into()).or_default().push(value.clone());
        }
        let granted_to = grants::grantees(self.stored, id, operation, self.context);
        Need { context, granted_to, ..Need::of(format!("kms:{operation}"), arn(id)) }
    }
}
