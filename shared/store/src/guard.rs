//! Items in the form in which their family is declared: sealed at the write, opened at the read.

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use tidings_crypto::sealed::Place;
use tidings_domain::{AppId, Seal, UserKey};

use crate::{
    StoreError,
    families::{Family, Guard},
    keys::{self, Item},
};

/// First byte of a sealed text, and of any other sealed value, which follows as JSON.
const TEXT: u8 = b'S';
const JSON: u8 = b'J';

/// The place of an item: what its sealed attributes are bound to.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) partition: &'a str,
    pub(crate) sort: &'a str,
    pub(crate) id: &'a str,
}

impl<'a> At<'a> {
    /// The place of an item that holds its keys.
    fn of(item: &'a Item) -> Self {
        let text = |name| item.get(name).and_then(|value| value.as_s().ok()).map_or("", String::as_str);
        Self { partition: text(keys::PK), sort: text(keys::SK), id: text("id") }
    }

    /// The place of an item in a user's partition.
    pub(crate) fn user(partition: &'a str, sort: &'a str) -> Self {
        Self { partition, sort, id: "" }
    }

    fn place(self, family: &'static Family, attribute: &'a str) -> Place<'a> {
        let Self { partition, sort, id } = self;
        // The keyring adds its app.
        Place { app: "", family: family.name, partition, sort, attribute, id }
    }
}

/// Seals the attributes of an item that holds its keys.
pub(crate) fn seal(
    operation: &'static str,
    family: &'static Family,
    seal: &Seal,
    item: Item,
) -> Result<Item, StoreError> {
    let keys: Item = [keys::PK, keys::SK, "id"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), item.get(*name)?.clone())))
        .collect();
    seal_at(operation, family, seal, At::of(&keys), item)
}

/// Seals the attributes of an item whose place is given.
pub(crate) fn seal_at(
    operation: &'static str,
    family: &'static Family,
    seal: &Seal,
    at: At<'_>,
    item: Item,
) -> Result<Item, StoreError> {
    let guarded = |(name, value): (String, AttributeValue)| {
        let value = attribute(operation, family, seal, at, &name, value)?;
        Ok((name, value))
    };
    item.into_iter().map(guarded).collect()
}

/// One attribute in its stored form.
pub(crate) fn attribute(
    operation: &'static str,
    family: &'static Family,
    seal: &Seal,
    at: At<'_>,
    name: &str,
    value: AttributeValue,
) -> Result<AttributeValue, StoreError> {
    match family.guard(name) {
        None => Err(StoreError::item(operation, format!("{} has no declared attribute {name}", family.name))),
        Some(Guard::Clear | Guard::Named | Guard::Hashed | Guard::Body | Guard::Keyring) => Ok(value),
        Some(Guard::Sealed) => match seal.value(&at.place(family, name), &plain(operation, &value)?) {
            Some(sealed) => Ok(AttributeValue::B(Blob::new(sealed))),
            None => Ok(value),
        },
    }
}

/// A text in every form in which this attribute may be stored: one for each data key. For conditions.
pub(crate) fn forms(
    operation: &'static str,
    family: &'static Family,
    seal: &Seal,
    at: At<'_>,
    name: &str,
    text: &str,
) -> Result<Vec<AttributeValue>, StoreError> {
    let value = keys::text(text);
    Ok(match seal {
        Seal::Clear => vec![value],
        Seal::Under { keyring, .. } => {
            let forms = keyring.forms(&at.place(family, name), &plain(operation, &value)?);
            forms.into_iter().map(|form| AttributeValue::B(Blob::new(form))).collect()
        }
    })
}

/// The condition that an attribute has one of these values, and the values by their names.
pub(crate) fn is_one_of(attribute: &str, forms: Vec<AttributeValue>) -> (String, Vec<(String, AttributeValue)>) {
    let named = forms.into_iter().enumerate().map(|(n, form)| (format!(":read{n}"), form));
    let named: Vec<_> = named.collect();
    let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
    (format!("{attribute} IN ({})", names.join(", ")), named)
}

/// Opens the attributes of an item. What is declared as sealed and is in clear is refused: the service has not written
/// it.
pub(crate) fn open(
    operation: &'static str,
    family: &'static Family,
    seal: &Seal,
    mut item: Item,
) -> Result<Item, StoreError> {
    if !seal.is_sealed() {
        return Ok(item);
    }
    let mut opened = Vec::new();
    for name in item.keys() {
        if let Some(value) = open_attribute(operation, family, seal, &item, name)? {
            opened.push((name.clone(), value));
        }
    }
    item.extend(opened);
    Ok(item)
}

/// One attribute of an item, opened; `None` if it stands in clear, as declared.
pub(crate) fn open_attribute(
    operation: &'static str,
    family: &'static Family,
    seal: &Seal,
    item: &Item,
    name: &str,
) -> Result<Option<AttributeValue>, StoreError> {
    let Seal::Under { keyring, .. } = seal else { return Ok(None) };
    let guard = family.attribute(name).map(|attribute| attribute.guard);
    match (guard, item.get(name)) {
        (Some(Guard::Keyring), _) | (_, None) => Ok(None),
        // An attribute of a newer version is sealed if this version's workers have passed it on.
        (_, Some(AttributeValue::B(sealed))) => {
            let place = At::of(item).place(family, name);
            let plain = keyring.open_value(&place, sealed.as_ref());
            let plain = plain.map_err(|refused| StoreError::item(operation, refused))?;
            let value = value(&plain).ok_or_else(|| StoreError::item(operation, "not a sealed attribute"))?;
            Ok(Some(value))
        }
        (Some(Guard::Sealed), Some(_)) => {
            Err(StoreError::item(operation, format!("{name} is in clear, in a deployment that seals")))
        }
        (Some(Guard::Clear | Guard::Named | Guard::Hashed | Guard::Body) | None, Some(_)) => Ok(None),
    }
}

fn plain(operation: &'static str, value: &AttributeValue) -> Result<Vec<u8>, StoreError> {
    let (first, rest) = match value {
        AttributeValue::S(text) => (TEXT, text.clone().into_bytes()),
        other => {
            let json: serde_json::Value = serde_dynamo::from_attribute_value(other.clone())
                .map_err(|_| StoreError::item(operation, "an attribute has no JSON form"))?;
            (JSON, json.to_string().into_bytes())
        }
    };
    Ok([vec![first], rest].concat())
}

fn value(plain: &[u8]) -> Option<AttributeValue> {
    match plain.split_first()? {
        (&TEXT, text) => Some(AttributeValue::S(String::from_utf8(text.to_vec()).ok()?)),
        (&JSON, json) => serde_dynamo::to_attribute_value(serde_json::from_slice::<serde_json::Value>(json).ok()?).ok(),
        _ => None,
    }
}

/// The app of a stored user's key, which stays readable.
pub(crate) fn app_of(operation: &'static str, user: &str) -> Result<AppId, StoreError> {
    let app = user.split('|').next().unwrap_or_default();
    app.parse().map_err(|error| StoreError::item(operation, error))
}

/// A user by its stored key.
pub(crate) fn user(operation: &'static str, seal: &Seal, text: &str) -> Result<UserKey, StoreError> {
    seal.read_user(text).map_err(|error| StoreError::item(operation, error))
}

#[cfg(test)]
mod tests;
