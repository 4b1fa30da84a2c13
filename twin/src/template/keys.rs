//! Keys of KMS and their aliases.

use super::TemplateError;
use super::model::{Key, KeyAlias, Template};
use super::properties::Properties;
use super::resolve::Resolver;
use crate::iam::KeyPolicy;

/// The only kind of key that the twin has, which is what AWS makes without these properties.
const ONLY: [(&str, &str); 3] =
    [("KeySpec", "SYMMETRIC_DEFAULT"), ("KeyUsage", "ENCRYPT_DECRYPT"), ("Origin", "AWS_KMS")];

/// Reads the keys and the aliases of a template. An alias of a key that the template does not have is dropped, with a
/// warning.
pub(super) fn read(resolver: &Resolver<'_>, template: &mut Template) -> Result<(), TemplateError> {
    for logical_id in resolver.of_kinds(&["AWS::KMS::Key"])? {
        template.keys.extend(key(resolver, &logical_id)?);
    }
    for logical_id in resolver.of_kinds(&["AWS::KMS::Alias"])? {
        let KeyAlias { name, key_id } = alias(&Properties::of(resolver, &logical_id))?;
        match template.keys.iter().any(|key| key.id == key_id) {
            true => template.key_aliases.push(KeyAlias { name, key_id }),
            false => resolver.warn(format!("{logical_id}: there is no {name}; {key_id} is no key of this template")),
        }
    }
    Ok(())
}

/// Reads a key; none if it is of a kind that the twin does not have.
fn key(resolver: &Resolver<'_>, logical_id: &str) -> Result<Option<Key>, TemplateError> {
    let properties = Properties::of(resolver, logical_id);
    for (property, only) in ONLY {
        if let Some(other) = properties.text(property)?.filter(|value| value != only) {
            resolver.warn(format!("{logical_id}, {property}: the twin has no keys of {other}, only of {only}"));
            return Ok(None);
        }
    }
    let policy = match properties.get("KeyPolicy")? {
        None => None,
        Some(document) => {
            let policy = KeyPolicy::of_document(&document);
            Some(policy.map_err(|message| properties.at("KeyPolicy").error(message))?)
        }
    };
    let id = resolver.key_id(logical_id)?;
    Ok(Some(Key {
        logical_id: logical_id.to_owned(),
        arn: resolver.arns().of("kms", &format!("key/{id}")),
        id,
        description: properties.text("Description")?.unwrap_or_default(),
        enabled: properties.flag("Enabled", true)?,
        rotates: properties.flag("EnableKeyRotation", false)?,
        multi_region: properties.flag("MultiRegion", false)?,
        policy,
    }))
}

/// Reads an alias.
fn alias(properties: &Properties<'_, '_>) -> Result<KeyAlias, TemplateError> {
    let name = properties.required("AliasName")?;
    if !name.starts_with("alias/") || name.starts_with("alias/aws/") {
        let message = format!("is {name}; it begins with alias/, and not with alias/aws/, which AWS keeps for itself");
        return Err(properties.at("AliasName").error(message));
    }
    let target = properties.required("TargetKeyId")?;
    let key_id = target.rsplit_once(":key/").map_or(target.as_str(), |(_, id)| id).to_owned();
    Ok(KeyAlias { name, key_id })
}
