//! Stored data that this version does not know. A worker may meet items and queue bodies of a newer version: it keeps
//! the unknown parts, skips them, and names them. docs/decisions/shapes.md describes the rules.

use std::{collections::BTreeMap, fmt, ops};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor},
    ser::Error as _,
};
use serde_json::{Map, Value};
use tidings_wire::Word;

use crate::AppId;

/// The fields of a stored shape that this version does not know, as they were read. They are kept when the shape is
/// passed on.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct More(BTreeMap<String, Value>);

impl More {
    /// Each field with its value, if its name is a word.
    pub fn fields(&self) -> impl Iterator<Item = (Word, &Value)> {
        self.0.iter().filter_map(|(name, value)| Some((Word::new(name)?, value)))
    }
}

impl fmt::Debug for More {
    /// The names alone: a value may contain personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.fields().map(|(name, _)| name)).finish()
    }
}

impl Serialize for More {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for More {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = BTreeMap::<String, Any>::deserialize(deserializer)?;
        Ok(Self(fields.into_iter().map(|(name, Any(value))| (name, value)).collect()))
    }
}

/// A body of a queue message.
pub trait Body: DeserializeOwned {
    /// Its kind in the log.
    const KIND: &'static str;

    /// The app that it is about, whose keyring seals it; `None` for a form that holds nothing of anybody.
    fn app(&self) -> Option<&AppId>;

    /// The name of a body's form, if there are several; identifies the form of a newer version.
    fn name(body: &Value) -> Option<Word>;
}

/// A value of any form. Bytes, which JSON does not have, are recorded only as present: items are read whole and never
/// written back whole.
pub(crate) struct Any(pub(crate) Value);

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor).map(Self)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Any(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some((name, Any(value))) = map.next_entry::<String, Any>()? {
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}

/// A value that is stored as one JSON text, and the text that it was read from, if any: passing it on keeps the parts
/// that this version does not know.
#[derive(Clone, Debug, Default)]
pub struct Written<T> {
    value: T,
    text: Option<String>,
}

impl<T> Written<T> {
    /// The text that it was read from, if any; a conditional write may compare it.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }
}

impl<T: DeserializeOwned> Written<T> {
    /// Reads a text.
    ///
    /// # Errors
    /// If the text is not such a value.
    pub fn read(text: String) -> Result<Self, serde_json::Error> {
        Ok(Self { value: serde_json::from_str(&text)?, text: Some(text) })
    }
}

impl<T: Serialize> Written<T> {
    /// The text: the one that it was read from.
    ///
    /// # Errors
    /// If the value cannot be written as JSON.
    pub fn write(&self) -> Result<String, serde_json::Error> {
        self.text.as_ref().map_or_else(|| serde_json::to_string(&self.value), |text| Ok(text.clone()))
    }

    /// The text of another value in place of this one. Parts of the old text that this version does not know stay.
    ///
    /// # Errors
    /// If a value cannot be written as JSON.
    pub fn replaced_by(&self, value: &T) -> Result<String, serde_json::Error> {
        let Some(text) = &self.text else { return serde_json::to_string(value) };
        let mut all: Value = serde_json::from_str(text)?;
        remove(&mut all, &serde_json::to_value(&self.value)?);
        let mut new = serde_json::to_value(value)?;
        add(&mut new, all);
        serde_json::to_string(&new)
    }
}

/// Removes the known parts from an object, at every depth.
fn remove(all: &mut Value, known: &Value) {
    let (Some(all), Some(known)) = (all.as_object_mut(), known.as_object()) else { return };
    for (name, known) in known {
        let is_left = all.get_mut(name).is_some_and(|value| {
            remove(value, known);
            known.is_object() && value.as_object().is_some_and(|rest| !rest.is_empty())
        });
        if !is_left {
            all.remove(name);
        }
    }
}

/// Adds the parts that an object lacks, at every depth.
fn add(to: &mut Value, rest: Value) {
    let (Some(to), Value::Object(rest)) = (to.as_object_mut(), rest) else { return };
    for (name, rest) in rest {
        match to.get_mut(&name) {
            Some(value) => add(value, rest),
            None => {
                to.insert(name, rest);
            }
        }
    }
}

impl<T> From<T> for Written<T> {
    fn from(value: T) -> Self {
        Self { value, text: None }
    }
}

impl<T: PartialEq> PartialEq for Written<T> {
    /// Compares the value, not how it was written.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Written<T> {}

impl<T> ops::Deref for Written<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> ops::DerefMut for Written<T> {
    /// Drops the text: the changed value was not read from it.
    fn deref_mut(&mut self) -> &mut T {
        self.text = None;
        &mut self.value
    }
}

impl<T: Serialize> Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.write().map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_wire::{Content, Preferences};

    #[test]
    fn a_value_is_passed_on_as_the_text_that_was_read() {
        let text = r#"{"alert":"a","colour":{"hue":1.50}}"#;
        let content = Written::<Content>::read(text.to_owned()).unwrap();
        assert_eq!((content.alert.as_deref(), content.write().unwrap().as_str()), (Some("a"), text));
        let new = Written::from(Content { alert: Some("a".into()), ..Content::default() });
        assert_eq!((new.write().unwrap().as_str(), &new), (r#"{"alert":"a"}"#, &content));
        assert!(Written::<Content>::read(r#"{"alert":7}"#.to_owned()).is_err());
    }

    #[test]
    fn a_change_leaves_what_this_version_does_not_know() {
        let text = r#"{"muted":true,"channels":{"sms":false,"pigeon":true},
            "categories":{"news":{"muted":true,"loud":1}},
            "quietHours":{"from":"22:00","to":"07:00"},"holidays":["2026-12-24"]}"#;
        let before = Written::<Preferences>::read(text.to_owned()).unwrap();
        let mut after = before.clone();
        after.muted = false;
        after.quiet_hours = None;
        after.channels.insert(tidings_wire::send::Channel::Email, false);
        after.categories.remove("news");
        let text = before.replaced_by(&after).unwrap();
        let expected = serde_json::json!({
            "channels": {"sms": false, "email": false, "pigeon": true}, "categories": {"news": {"loud": 1}},
            "holidays": ["2026-12-24"],
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        assert_eq!(Written::from(Preferences::default()).replaced_by(&Preferences::default()).unwrap(), "{}");
    }

    #[test]
    fn fields_of_any_form_are_kept_and_their_values_never_printed() {
        #[derive(Deserialize, Serialize)]
        struct Shape {
            known: u8,
            #[serde(flatten)]
            more: More,
        }
        let json = r#"{"known":1,"a":{"b":[1,-2,0.5,null,true,"text"]},"two words":3}"#;
        let shape: Shape = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_value(&shape).unwrap(), serde_json::from_str::<Value>(json).unwrap());
        assert_eq!(format!("{:?}", shape.more), r#"{"a"}"#);
        assert_eq!(shape.more.fields().count(), 1);
    }
}
