//! `GET` and `PUT /v1/items/{item}`: whether a thing that messages are about is still open.
//!
//! An item is anything that an app gives a name: an order, a task, a waiting call. It is open until the app closes it.
//! Once it is closed, no further fallback step of a message whose `condition` names it goes out.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{FieldProblem, Timestamp, fields::Fields};

/// Closes an item, or opens it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::request))]
pub struct ItemRequest {
    /// Whether the item is open: it still needs a person's attention.
    pub open: bool,
}

impl ItemRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// One [`FieldProblem`] for each field that is missing, of the wrong type or not known.
    pub fn parse(object: Map<String, Value>) -> Result<Self, Vec<FieldProblem>> {
        let mut fields = Fields::new(object);
        fields.require("open");
        let open = fields.boolean("open").unwrap_or_default();
        let problems = fields.into_problems();
        if problems.is_empty() { Ok(Self { open }) } else { Err(problems) }
    }
}

/// An item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ItemAnswer {
    /// Its name.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = crate::limits::ITEM_CHARS)))]
    pub item: String,
    /// Whether it is open.
    pub open: bool,
    /// Since when it is closed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub closed_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_states_whether_the_item_is_open() {
        let parse = |value: Value| ItemRequest::parse(value.as_object().unwrap().clone());
        assert_eq!(parse(serde_json::json!({"open": false})), Ok(ItemRequest { open: false }));
        for (value, field) in [(serde_json::json!({}), "open"), (serde_json::json!({"open": "no"}), "open")] {
            assert_eq!(parse(value).unwrap_err()[0].field, field);
        }
    }
}
