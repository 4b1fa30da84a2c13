//! Items in DynamoDB's JSON format.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Map, Value, json};

pub(super) type Item = HashMap<String, AttributeValue>;

/// An item as JSON.
pub(super) fn of_item(item: &Item) -> Value {
    Value::Object(item.iter().map(|(name, value)| (name.clone(), of(value))).collect())
}

/// The item from its JSON.
pub(super) fn item(json: &Value) -> Item {
    json.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value_of(value))).collect()
}

fn of(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::N(number) => json!({"N": number}),
        AttributeValue::Bool(is) => json!({"BOOL": is}),
        AttributeValue::Null(_) => json!({"NULL": true}),
        AttributeValue::L(list) => json!({"L": list.iter().map(of).collect::<Vec<_>>()}),
        AttributeValue::M(map) => {
            json!({"M": map.iter().map(|(name, value)| (name.clone(), of(value))).collect::<Map<_, _>>()})
        }
        other => panic!("no shape has {other:?}"),
    }
}

fn value_of(json: &Value) -> AttributeValue {
    let (kind, value) = json.as_object().unwrap().iter().next().unwrap();
    let text = || value.as_str().unwrap().to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap()),
        "NULL" => AttributeValue::Null(true),
        "L" => AttributeValue::L(value.as_array().unwrap().iter().map(value_of).collect()),
        "M" => AttributeValue::M(item(value)),
        other => panic!("no shape has {other}"),
    }
}
