//! YAML with CloudFormation's short tags, read into JSON in which every intrinsic has its long form.

use serde_json::{Map, Number, Value};
use serde_yaml_ng::Value as Yaml;

use super::TemplateError;

/// Reads a template's text, YAML or JSON.
pub(super) fn parse(text: &str) -> Result<Value, TemplateError> {
    // Some Windows editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut document: Yaml = serde_yaml_ng::from_str(text)?;
    document.apply_merge()?;
    convert(document)
}

fn convert(yaml: Yaml) -> Result<Value, TemplateError> {
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(bool) => Value::Bool(bool),
        Yaml::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64().and_then(Number::from_f64)) {
            (Some(integer), ..) => Value::from(integer),
            (None, Some(integer), _) => Value::from(integer),
            (None, None, Some(float)) => Value::Number(float),
            (None, None, None) => Value::String(number.to_string()),
        },
        Yaml::String(text) => Value::String(text),
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(convert).collect::<Result<_, _>>()?),
        Yaml::Mapping(mapping) => {
            let mut object = Map::new();
            for (key, value) in mapping {
                object.insert(key_text(&key)?, convert(value)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let tag = tag.trim_start_matches('!');
            let value = convert(tagged.value)?;
            let (name, argument) = match (tag, value) {
                ("Ref" | "Condition", value) => (tag.to_owned(), value),
                // `!GetAtt Queue.Arn` is one word, and the attribute may contain dots, too.
                ("GetAtt", Value::String(text)) => {
                    let (resource, attribute) = text.split_once('.').unwrap_or((&text, ""));
                    ("Fn::GetAtt".to_owned(), Value::from(vec![resource, attribute]))
                }
                (_, value) => (format!("Fn::{tag}"), value),
            };
            Value::Object(Map::from_iter([(name, argument)]))
        }
    })
}

fn key_text(key: &Yaml) -> Result<String, TemplateError> {
    match key {
        Yaml::String(text) => Ok(text.clone()),
        Yaml::Number(number) => Ok(number.to_string()),
        Yaml::Bool(bool) => Ok(bool.to_string()),
        Yaml::Null | Yaml::Sequence(_) | Yaml::Mapping(_) | Yaml::Tagged(_) => {
            Err(TemplateError::Shape("a mapping has a key that is not plain text".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn short_tags_get_their_long_form() {
        let text = "
            A: !Ref Stage
            B: !GetAtt Queue.Arn
            C: !Sub ['${X}', {X: !Ref Stage}]
            D: !If [Prod, 1, !Ref AWS::NoValue]
            E: {'Fn::Join': ['', [a, b]]}
            F: 2012-10-17
            G: !Not [!Condition Prod]
        ";
        let expected = json!({
            "A": {"Ref": "Stage"},
            "B": {"Fn::GetAtt": ["Queue", "Arn"]},
            "C": {"Fn::Sub": ["${X}", {"X": {"Ref": "Stage"}}]},
            "D": {"Fn::If": ["Prod", 1, {"Ref": "AWS::NoValue"}]},
            "E": {"Fn::Join": ["", ["a", "b"]]},
            "F": "2012-10-17",
            "G": {"Fn::Not": [{"Condition": "Prod"}]},
        });
        assert_eq!(parse(text).unwrap(), expected);
    }
}
