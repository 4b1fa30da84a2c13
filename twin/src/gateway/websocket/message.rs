//! A message from a client, and the route that it selects.

use serde_json::Value;

/// A message from a client.
#[derive(Debug)]
pub(super) enum Message {
    Text(String),
    Binary(bytes::Bytes),
}

impl Message {
    /// The value that the route selection expression yields: a scalar in a JSON document.
    pub(super) fn select(&self, path: &[String]) -> Option<String> {
        let document: Value = match self {
            Self::Text(text) => serde_json::from_str(text).ok()?,
            Self::Binary(_) => return None,
        };
        let selected = path.iter().try_fold(&document, |value, name| value.get(name))?;
        match selected {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => Some(selected.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// `$request.body.action`, also written `${request.body.action}`, as the path `action` into the body.
pub(super) fn selection_path(expression: &str) -> Vec<String> {
    let bare = expression.trim().trim_start_matches('$').trim_start_matches('{').trim_end_matches('}');
    let path = bare.strip_prefix("request.body.").unwrap_or_default();
    path.split('.').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selection_expression_is_a_path_into_the_body() {
        assert_eq!(selection_path("$request.body.action"), ["action"]);
        assert_eq!(selection_path("${request.body.command.name}"), ["command", "name"]);
    }

    #[test]
    fn only_a_scalar_in_a_json_text_selects_a_route() {
        let path = selection_path("$request.body.action");
        let select = |text: &str| Message::Text(text.to_owned()).select(&path);
        assert_eq!(select(r#"{"action":"sync"}"#).as_deref(), Some("sync"));
        assert_eq!(select(r#"{"action":7}"#).as_deref(), Some("7"));
        for other in ["not json", "[]", r#"{"action":{}}"#, r#"{"action":null}"#, r#"{"other":1}"#] {
            assert_eq!(select(other), None, "{other}");
        }
        assert_eq!(Message::Binary(r#"{"action":"sync"}"#.into()).select(&path), None);
    }
}
