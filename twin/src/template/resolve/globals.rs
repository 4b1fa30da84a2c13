//! The `Globals` of a resource.

use serde_json::{Map, Value};

/// The `Globals` that apply to a resource: those of its type, without what it ignores.
pub(super) fn of(document: &Value, resource: &Value) -> Map<String, Value> {
    let mut globals = globals_of_kind(document, resource).cloned().unwrap_or_default();
    match &resource["IgnoreGlobals"] {
        Value::String(all) if all == "*" => globals.clear(),
        Value::Array(names) => globals.retain(|name, _| !names.iter().any(|ignored| ignored == name)),
        _ => {}
    }
    globals
}

/// The `Globals` for the type of a resource.
pub(in crate::template) fn globals_of_kind<'d>(
    document: &'d Value,
    resource: &Value,
) -> Option<&'d Map<String, Value>> {
    let section = resource["Type"].as_str()?.strip_prefix("AWS::Serverless::")?;
    document.get("Globals")?.get(section)?.as_object()
}
