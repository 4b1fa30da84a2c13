//! Reading the fields of a request, one by one, and collecting everything that is wrong with them.

use std::{collections::BTreeSet, ops::RangeInclusive};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Choice, language, limits, name};

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
    /// A problem with a field. Its path, which may hold the sender's text, is cut after
    /// [`limits::PROBLEM_FIELD_CHARS`].
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut field = field.into();
        if let Some((end, _)) = field.char_indices().nth(limits::PROBLEM_FIELD_CHARS) {
            field.truncate(end);
        }
        Self { field, detail: detail.into() }
    }

    /// The first problems, as many as an answer names, and how many there are beside them.
    #[must_use]
    pub fn named(problems: &[Self]) -> (&[Self], usize) {
        let (named, rest) = problems.split_at(problems.len().min(limits::PROBLEMS_NAMED));
        (named, rest.len())
    }

    /// The first problem, and how many there are beside it, in one line.
    #[must_use]
    pub fn summary(problems: &[Self]) -> String {
        match problems {
            [] => "fields are wrong".to_owned(),
            [only] => only.to_string(),
            [first, rest @ ..] => format!("{first}; and {} more", rest.len()),
        }
    }
}

impl std::fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {}", self.field, self.detail)
    }
}

/// Names of fields in other services, each with a note on the field to use here: the end of the problem that names it.
pub type Synonyms = &'static [(&'static str, &'static str)];

/// The fields of one JSON object that have not been read yet. A `null` counts as absent.
#[derive(Debug)]
pub struct Fields {
    rest: Map<String, Value>,
    known: Vec<&'static str>,
    synonyms: Vec<Synonyms>,
    is_query: bool,
    prefix: String,
    problems: Vec<FieldProblem>,
}

impl Fields {
    /// Begins to read an object.
    #[must_use]
    pub fn new(object: Map<String, Value>) -> Self {
        Self::nested(object, String::new())
    }

    /// Begins to read the pairs of a query. It has texts only: numbers are those of digits alone. A name that is given
    /// twice is a problem.
    #[must_use]
    pub fn of_query(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut fields = Self { is_query: true, ..Self::new(Map::new()) };
        let mut twice = BTreeSet::new();
        for (name, text) in pairs {
            if fields.rest.insert(name.clone(), Value::String(text)).is_some() {
                twice.insert(name);
            }
        }
        for name in twice {
            fields.refuse(&name, "is given twice");
        }
        fields
    }

    /// Begins to read the name in a path.
    #[must_use]
    pub fn of_path(name: &'static str, value: String) -> Self {
        Self::new(Map::from_iter([(name.to_owned(), Value::String(value))]))
    }

    fn nested(object: Map<String, Value>, prefix: String) -> Self {
        Self { rest: object, known: Vec::new(), synonyms: Vec::new(), is_query: false, prefix, problems: Vec::new() }
    }

    /// Adds the names that fields have in other services, for the problems of unknown fields.
    #[must_use]
    pub fn with_synonyms(mut self, synonyms: Synonyms) -> Self {
        self.synonyms.push(synonyms);
        self
    }

    /// Adds the problems of other fields of the same request.
    pub fn absorb(&mut self, other: Self) {
        self.problems.append(&mut other.into_problems());
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

    /// Records a problem with a `null`: for fields whose absence means too much to be caused by a forgotten value.
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

    /// The field, if it is a text, without reading it.
    #[must_use]
    pub fn peek(&self, name: &str) -> Option<&str> {
        self.rest.get(name)?.as_str()
    }

    /// A text that passes a check.
    fn checked(
        &mut self,
        name: &'static str,
        max: usize,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Option<String> {
        let text = self.text(name, max)?;
        match check(&text) {
            Ok(()) => Some(text),
            Err(detail) => {
                self.refuse(name, detail);
                None
            }
        }
    }

    /// A name: a text as [`name::check`] takes it.
    pub fn name(&mut self, name: &'static str, max: usize) -> Option<String> {
        self.checked(name, max, name::check)
    }

    /// A name that must be there, as [`Self::required_text`].
    pub fn required_name(&mut self, name: &'static str, max: usize) -> String {
        self.require(name);
        self.name(name, max).unwrap_or_default()
    }

    /// The alias of a user, which must be there.
    pub fn required_alias(&mut self, name: &'static str) -> String {
        self.require(name);
        self.checked(name, limits::ALIAS_CHARS, name::check_alias).unwrap_or_default()
    }

    /// A language tag (BCP 47).
    pub fn language(&mut self, name: &'static str) -> Option<String> {
        self.checked(name, limits::IDENTIFIER_CHARS, language::check)
    }

    /// Records a problem if the field is absent.
    pub fn require(&mut self, name: &'static str) {
        if self.rest.get(name).is_none_or(Value::is_null) {
            self.refuse(name, "is required");
        }
    }

    /// A text that must be there; if it is not, a problem is recorded and the text is empty.
    pub fn required_text(&mut self, name: &'static str, max: usize) -> String {
        self.require(name);
        self.text(name, max).unwrap_or_default()
    }

    /// One word out of a fixed list.
    pub fn choice<T: Choice>(&mut self, name: &'static str) -> Option<T> {
        self.choice_among(name, |_| true)
    }

    /// One word out of a part of a fixed list; an error lists that part.
    pub fn choice_among<T: Choice>(&mut self, name: &'static str, is_allowed: impl Fn(T) -> bool) -> Option<T> {
        let value = self.value(name)?;
        let found = value.as_str().and_then(T::from_word).filter(|found| is_allowed(*found));
        if found.is_none() {
            self.refuse(name, format!("must be one of {}", T::listed(is_allowed)));
        }
        found
    }

    /// A whole number within a range.
    pub fn integer(&mut self, name: &'static str, range: &RangeInclusive<u64>) -> Option<u64> {
        let value = self.value(name)?;
        let digits = || value.as_str().filter(|text| self.is_query && text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = value.as_u64().or_else(|| digits()?.parse().ok());
        let found = number.filter(|number| range.contains(number));
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

    /// A list of names, each of 1 to `max` characters, at most `most` of them.
    pub fn names(&mut self, name: &'static str, most: usize, max: usize) -> Option<Vec<String>> {
        self.texts(name, most, max, name::check)
    }

    /// A list of aliases of users, at most `most` of them.
    pub fn aliases(&mut self, name: &'static str, most: usize) -> Option<Vec<String>> {
        if self.peek(name).is_some_and(name::is_everyone) {
            self.value(name);
            self.refuse(name, name::EVERYONE);
            return None;
        }
        self.texts(name, most, limits::ALIAS_CHARS, name::check_alias)
    }

    fn texts(
        &mut self,
        name: &'static str,
        most: usize,
        max: usize,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Option<Vec<String>> {
        let items = self.list(name, most)?;
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            match check_text(item, max).and_then(|text| check(&text).map(|()| text)) {
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

    /// An object whose names are the sender's own, each a name of 1 to `max` characters, at most `most` of them; each
    /// value is an object, read by `read`.
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
                _ => match name::check(&key) {
                    Ok(()) => {
                        let entry = self.object_at(&format!("{name}.{key}"), value, &read);
                        entries.extend(entry.map(|entry| (key, entry)));
                    }
                    Err(detail) => self.refuse(&format!("{name}.{key}"), detail),
                },
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

    /// Everything that was wrong, including fields that were not read.
    #[must_use]
    pub fn into_problems(mut self) -> Vec<FieldProblem> {
        let unknown: Vec<String> = self.rest.keys().cloned().collect();
        for name in unknown {
            let detail = format!("is not a field of this request{}", self.suggestion(&name));
            // The name is the sender's own text: a long one is cut rather than echoed whole.
            let shown: String = name.chars().take(64).collect();
            self.refuse(&shown, detail);
        }
        self.problems
    }

    /// The end of the problem of an unknown field: what may have been meant.
    fn suggestion(&self, name: &str) -> String {
        let plain = plain(name);
        let near = self.known.iter().find(|known| known.to_lowercase() == plain);
        let near = near.or_else(|| self.known.iter().find(|known| close(known, name)));
        let meant = self.synonyms.iter().copied().flatten().find(|(synonym, _)| *synonym == plain);
        match (near, meant) {
            (Some(near), _) => format!("; did you mean `{near}`?"),
            (None, Some((_, instead))) => format!("; {instead}"),
            (None, None) => String::new(),
        }
    }
}

/// A name in lower case and without separators, as other services may spell it.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
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
mod tests;
