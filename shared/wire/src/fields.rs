//! Reading the fields of a request, one by one, and collecting everything that is wrong with them.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Choice;

/// A field of a request that cannot be accepted, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FieldProblem {
    /// Path of the field, such as `audiences[3]` or `fallback[0].channel`; or a header.
    pub field: String,
    /// What is wrong, with the limit or the allowed words.
    pub detail: String,
}

impl FieldProblem {
    /// Says what is wrong with a field.
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), detail: detail.into() }
    }
}

/// The fields of one JSON object that have not been read yet. A `null` counts as absent.
#[derive(Debug)]
pub struct Fields {
    rest: Map<String, Value>,
    known: Vec<&'static str>,
    prefix: String,
    problems: Vec<FieldProblem>,
}

impl Fields {
    /// Begins to read an object.
    #[must_use]
    pub fn new(object: Map<String, Value>) -> Self {
        Self::nested(object, String::new())
    }

    /// Begins to read the pairs of a query. It has texts only; `numbers` names those that stand for whole numbers.
    /// Whatever is given twice is a problem.
    #[must_use]
    pub fn of_query(pairs: impl IntoIterator<Item = (String, String)>, numbers: &[&str]) -> Self {
        let mut fields = Self::new(Map::new());
        for (name, text) in pairs {
            let number = numbers.contains(&name.as_str()).then(|| text.parse::<u64>().ok()).flatten();
            let value = number.map_or(Value::String(text), Value::from);
            if fields.rest.insert(name.clone(), value).is_some() {
                fields.refuse(&name, "is given twice");
            }
        }
        fields
    }

    fn nested(object: Map<String, Value>, prefix: String) -> Self {
        Self { rest: object, known: Vec::new(), prefix, problems: Vec::new() }
    }

    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Records a problem with a field.
    pub fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        let field = self.path(name);
        self.problems.push(FieldProblem::new(field, detail));
    }

    /// The field as it stands.
    pub fn value(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.rest.remove(name).filter(|value| !value.is_null())
    }

    /// Records a problem with a `null`, where absence means too much for a value that somebody forgot.
    pub fn refuse_null(&mut self, name: &'static str) {
        if self.rest.get(name).is_some_and(Value::is_null) {
            self.refuse(name, "must not be null; leave it out if you mean that");
        }
    }

    /// A text of 1 to `max` characters.
    pub fn text(&mut self, name: &'static str, max: usize) -> Option<String> {
        let value = self.value(name)?;
        match check_text(value, max) {
            Ok(text) => Some(text),
            Err(detail) => {
                self.refuse(name, detail);
                None
            }
        }
    }

    /// Records a problem where the field is absent.
    pub fn require(&mut self, name: &'static str) {
        if self.rest.get(name).is_none_or(Value::is_null) {
            self.refuse(name, "is required");
        }
    }

    /// A text that must be there; an empty one stands in where it is not, beside the recorded problem.
    pub fn required_text(&mut self, name: &'static str, max: usize) -> String {
        self.require(name);
        self.text(name, max).unwrap_or_default()
    }

    /// One word out of a fixed list.
    pub fn choice<T: Choice>(&mut self, name: &'static str) -> Option<T> {
        let value = self.value(name)?;
        let found = value.as_str().and_then(T::from_word);
        if found.is_none() {
            self.refuse(name, format!("must be one of {}", T::listed(|_| true)));
        }
        found
    }

    /// A whole number within a range.
    pub fn integer(&mut self, name: &'static str, range: &RangeInclusive<u64>) -> Option<u64> {
        let value = self.value(name)?;
        let found = value.as_u64().filter(|number| range.contains(number));
        if found.is_none() {
            self.refuse(name, format!("must be a whole number from {} to {}", range.start(), range.end()));
        }
        found
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, name: &'static str) -> Option<bool> {
        let value = self.value(name)?;
        if !value.is_boolean() {
            self.refuse(name, "must be true or false");
        }
        value.as_bool()
    }

    /// A list of texts, each of 1 to `max` characters, at most `most` of them.
    pub fn texts(&mut self, name: &'static str, most: usize, max: usize) -> Option<Vec<String>> {
        let items = self.list(name, most)?;
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            match check_text(item, max) {
                Ok(text) => texts.push(text),
                Err(detail) => self.refuse(&format!("{name}[{index}]"), detail),
            }
        }
        Some(texts)
    }

    /// A list of objects, each read by `read`, at most `most` of them.
    pub fn objects<T>(
        &mut self,
        name: &'static str,
        most: usize,
        read: impl Fn(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = self.list(name, most)?;
        let mut read_items = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let path = format!("{name}[{index}]");
            read_items.extend(self.object_at(&path, item, &read));
        }
        Some(read_items)
    }

    /// An object, read by `read`.
    pub fn object<T>(&mut self, name: &'static str, read: impl Fn(&mut Self) -> Option<T>) -> Option<T> {
        let value = self.value(name)?;
        self.object_at(name, value, &read)
    }

    /// An object whose names are the sender's own, each of 1 to `max` characters, at most `most` of them; each value is
    /// an object, read by `read`.
    pub fn entries<T>(
        &mut self,
        name: &'static str,
        most: usize,
        max: usize,
        read: impl Fn(&mut Self) -> Option<T>,
    ) -> Option<Vec<(String, T)>> {
        let Value::Object(object) = self.value(name)? else {
            self.refuse(name, "must be an object");
            return None;
        };
        if object.len() > most {
            self.refuse(name, format!("has {} items; the limit is {most}", object.len()));
            return None;
        }
        let mut entries = Vec::with_capacity(object.len());
        for (key, value) in object {
            match key.chars().count() {
                0 => self.refuse(name, "has an empty name"),
                long if long > max => {
                    self.refuse(name, format!("has a name of {long} characters; the limit is {max}"));
                }
                _ => {
                    let entry = self.object_at(&format!("{name}.{key}"), value, &read);
                    entries.extend(entry.map(|entry| (key, entry)));
                }
            }
        }
        Some(entries)
    }

    fn object_at<T>(&mut self, path: &str, value: Value, read: &impl Fn(&mut Self) -> Option<T>) -> Option<T> {
        let Value::Object(object) = value else {
            self.refuse(path, "must be an object");
            return None;
        };
        let mut inner = Self::nested(object, format!("{}.", self.path(path)));
        let read = read(&mut inner);
        self.problems.append(&mut inner.into_problems());
        read
    }

    fn list(&mut self, name: &'static str, most: usize) -> Option<Vec<Value>> {
        match self.value(name)? {
            Value::Array(items) if items.len() <= most => Some(items),
            Value::Array(items) => {
                self.refuse(name, format!("has {} items; the limit is {most}", items.len()));
                None
            }
            _ => {
                self.refuse(name, "must be a list");
                None
            }
        }
    }

    /// Everything that was wrong, including fields that nobody asked for.
    #[must_use]
    pub fn into_problems(mut self) -> Vec<FieldProblem> {
        let unknown: Vec<String> = self.rest.keys().cloned().collect();
        for name in unknown {
            let near = self.known.iter().find(|known| known.eq_ignore_ascii_case(&name));
            let near = near.or_else(|| self.known.iter().find(|known| close(known, &name)));
            let detail = near.map_or_else(
                || "is not a field of this request".to_owned(),
                |near| format!("is not a field of this request; did you mean `{near}`?"),
            );
            // The name is the sender's own text: a long one is cut rather than echoed whole.
            let shown: String = name.chars().take(64).collect();
            self.refuse(&shown, detail);
        }
        self.problems
    }
}

/// One word begins with the other, and they differ by two characters at most: `audience`, `audiences`.
fn close(known: &str, name: &str) -> bool {
    (known.starts_with(name) || name.starts_with(known)) && known.len().abs_diff(name.len()) <= 2
}

fn check_text(value: Value, max: usize) -> Result<String, String> {
    let Value::String(text) = value else {
        return Err("must be a text".to_owned());
    };
    let length = text.chars().count();
    if text.trim().is_empty() {
        Err("must not be empty".to_owned())
    } else if length > max {
        Err(format!("has {length} characters; the limit is {max}"))
    } else if text.contains('\0') {
        Err("must not contain the character U+0000".to_owned())
    } else {
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_field_that_is_wrong() {
        let object = serde_json::json!({"a": 1, "b": "", "c": "xxx", "lists": ["ok", 2], "audience": [], "d": null});
        let mut fields = Fields::new(object.as_object().unwrap().clone());
        assert_eq!(fields.text("a", 2), None);
        assert_eq!(fields.text("b", 2), None);
        assert_eq!(fields.text("c", 2), None);
        assert_eq!(fields.required_text("d", 2), "");
        assert_eq!(fields.texts("lists", 2, 2), Some(vec!["ok".to_owned()]));
        assert_eq!(fields.texts("audiences", 2, 2), None);
        let problems: Vec<_> =
            fields.into_problems().into_iter().map(|p| format!("{} {}", p.field, p.detail)).collect();
        assert_eq!(
            problems,
            [
                "a must be a text",
                "b must not be empty",
                "c has 3 characters; the limit is 2",
                "d is required",
                "lists[1] must be a text",
                "audience is not a field of this request; did you mean `audiences`?",
            ]
        );
    }
}
