//! The operations on aliases.

use serde_json::{Value, json};

use super::Kms;
use super::protocol::{Code, Refusal, Request, page, refused, required};
use super::stored::{Alias, alias_arn, now};

/// The most aliases of a key.
pub(super) const OF_A_KEY: usize = 50;
/// The longest name, with `alias/`.
const NAME_CHARS: usize = 256;
/// How many aliases a page has, and may have.
const PAGE: (i64, i64) = (50, 100);

impl Kms {
    pub(super) fn create_alias(&self, request: &Request) -> Result<Value, Refusal> {
        let name = named(request)?;
        let target = required(request.target_key_id.as_deref(), "targetKeyId")?;
        self.change(|stored| {
            let (key_id, key) = stored.find_by_id(target)?;
            key.check_not_pending(&key_id)?;
            if stored.aliases.contains_key(name) {
                let message = format!("An alias with the name {} already exists", alias_arn(name));
                return refused(Code::AlreadyExists, message);
            }
            if stored.aliases_of(&key_id).len() >= OF_A_KEY {
                return refused(Code::LimitExceeded, format!("A key has at most {OF_A_KEY} aliases."));
            }
            stored.aliases.insert(name.to_owned(), Alias { key_id, created: now(), updated: now() });
            Ok(json!({}))
        })
    }

    pub(super) fn update_alias(&self, request: &Request) -> Result<Value, Refusal> {
        let name = named(request)?;
        let target = required(request.target_key_id.as_deref(), "targetKeyId")?;
        self.change(|stored| {
            let (key_id, key) = stored.find_by_id(target)?;
            key.check_not_pending(&key_id)?;
            match stored.aliases.get_mut(name) {
                Some(alias) => {
                    alias.key_id = key_id;
                    alias.updated = now();
                    Ok(json!({}))
                }
                None => not_found(name),
            }
        })
    }

    pub(super) fn delete_alias(&self, request: &Request) -> Result<Value, Refusal> {
        let name = named(request)?;
        self.change(|stored| match stored.aliases.remove(name) {
            Some(_) => Ok(json!({})),
            None => not_found(name),
        })
    }

    pub(super) fn list_aliases(&self, request: &Request) -> Result<Value, Refusal> {
        let stored = self.stored();
        let wanted = request.key_id.as_deref().map(|reference| stored.find_by_id(reference)).transpose()?;
        let entry = |(name, alias): (&String, &Alias)| {
            let entry = json!({
                "AliasName": name,
                "AliasArn": alias_arn(name),
                "TargetKeyId": alias.key_id,
                "CreationDate": alias.created,
                "LastUpdatedDate": alias.updated,
            });
            (name.clone(), entry)
        };
        let is_wanted = |alias: &Alias| wanted.as_ref().is_none_or(|(id, _)| alias.key_id == *id);
        page(stored.aliases.iter().filter(|(_, alias)| is_wanted(alias)).map(entry), request, "Aliases", PAGE)
    }
}

fn not_found<T>(name: &str) -> Result<T, Refusal> {
    refused(Code::NotFound, format!("Alias {} is not found.", alias_arn(name)))
}

/// The name in a request.
fn named(request: &Request) -> Result<&str, Refusal> {
    let name = required(request.alias_name.as_deref(), "aliasName")?;
    let Some(rest) = name.strip_prefix("alias/") else {
        return refused(
            Code::Validation,
            "Alias must start with the prefix \"alias/\". Please see \
             https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        );
    };
    let is_right = |c: char| c.is_ascii_alphanumeric() || ":/_-".contains(c);
    if rest.is_empty() || name.chars().count() > NAME_CHARS || !rest.chars().all(is_right) {
        return refused(Code::InvalidAliasName, format!("{name} is no name of an alias."));
    }
    match rest.starts_with("aws/") {
        true => refused(Code::InvalidAliasName, "Names that begin with alias/aws/ are reserved."),
        false => Ok(name),
    }
}
