//! `GET` and `PUT /v1/items/{item}`: whether something that messages are about is still open.
//!
//! An item is anything that an app gives a name: an order, a task, a call that waits for somebody. It is open until the
//! app says otherwise. A message whose `condition` names it goes out by no further fallback step once it is closed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{FieldProblem, Timestamp, fields::Fields};

/// Closes an item, or opens it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(transform = crate::schema::request))]
pub struct ItemRequest {
    /// Whether the item is open: somebody still has to see to it.
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
    fn an_item_is_said_to_be_open_or_not() {
        let parse = |value: Value| ItemRequest::parse(value.as_object().unwrap().clone());
        assert_eq!(parse(serde_json::json!({"open": false})), Ok(ItemRequest { open: false }));
        for (value, field) in [(serde_json::json!({}), "open"), (serde_json::json!({"open": "no"}), "open")] {
            assert_eq!(parse(value).unwrap_err()[0].field, field);
        }
    }
}
