//! Conditions.

use serde_json::Value;

use super::at::{At, text_of};
use super::{Resolver, intrinsic};
use crate::template::TemplateError;

impl Resolver<'_> {
    /// Refuses an unknown condition.
    pub(in crate::template) fn check_condition(&self, name: &str, at: &At) -> Result<(), TemplateError> {
        let conditions = self.document.get("Conditions");
        match conditions.is_some_and(|conditions| conditions.get(name).is_some()) {
            true => Ok(()),
            false => Err(at.error(format!("there is no condition {name}"))),
        }
    }

    /// Refuses conditions that have no value, even if the template does not use them.
    pub(in crate::template) fn check_conditions(&self) -> Result<(), TemplateError> {
        let conditions = self.document.get("Conditions").and_then(Value::as_object);
        let mut names = conditions.into_iter().flatten().map(|(name, _)| name);
        names.try_for_each(|name| self.condition(name, &At::new("Conditions")).map(drop))
    }

    /// Refuses parameters that an assertion of the template's `Rules` forbids.
    pub(in crate::template) fn check_rules(&self) -> Result<(), TemplateError> {
        let rules = self.document.get("Rules").and_then(Value::as_object);
        for (name, rule) in rules.into_iter().flatten() {
            let at = At::new(format!("rule {name}"));
            if let Some(condition) = rule.get("RuleCondition")
                && !self.truth(condition, &at.child("RuleCondition"))?
            {
                continue;
            }
            let at = at.child("Assertions");
            let assertions = rule["Assertions"].as_array().ok_or_else(|| at.error("is no list"))?;
            for (place, assertion) in assertions.iter().enumerate() {
                let at = at.child(place);
                if !self.truth(&assertion["Assert"], &at.child("Assert"))? {
                    let description = assertion["AssertDescription"].as_str();
                    return Err(at.error(description.unwrap_or("it does not hold for these parameters")));
                }
            }
        }
        Ok(())
    }

    pub(in crate::template) fn condition(&self, name: &str, at: &At) -> Result<bool, TemplateError> {
        let condition = self.document.get("Conditions").and_then(|conditions| conditions.get(name));
        let condition = condition.ok_or_else(|| at.error(format!("there is no condition {name}")))?;
        let at = At::new(format!("condition {name}"));
        self.deeper(&at, || self.truth(condition, &at))
    }

    pub(super) fn truth(&self, condition: &Value, at: &At) -> Result<bool, TemplateError> {
        let malformed = || at.error("is not a condition");
        let (name, argument) = condition.as_object().and_then(intrinsic).ok_or_else(malformed)?;
        let at = &at.child(name);
        Ok(match name {
            "Condition" => self.condition(argument.as_str().ok_or_else(malformed)?, at)?,
            "Fn::Equals" | "Fn::Contains" | "Fn::EachMemberEquals" | "Fn::EachMemberIn" => {
                self.comparison(name, argument, at)?
            }
            "Fn::And" => argument
                .as_array()
                .ok_or_else(malformed)?
                .iter()
                .try_fold(true, |all, item| Ok::<_, TemplateError>(self.truth(item, at)? && all))?,
            "Fn::Or" => argument
                .as_array()
                .ok_or_else(malformed)?
                .iter()
                .try_fold(false, |any, item| Ok::<_, TemplateError>(self.truth(item, at)? || any))?,
            "Fn::Not" => match argument.as_array().map(Vec::as_slice) {
                Some([item]) => !self.truth(item, at)?,
                _ => return Err(malformed()),
            },
            _ => return Err(malformed()),
        })
    }

    /// A function of two values. Those about lists are for rules.
    fn comparison(&self, name: &str, argument: &Value, at: &At) -> Result<bool, TemplateError> {
        let values = self.some(argument, at)?;
        Ok(match (name, values.as_array().map(Vec::as_slice)) {
            ("Fn::Equals", Some([left, right])) => text_of(left, at)? == text_of(right, at)?,
            ("Fn::Contains", Some([Value::Array(items), one])) => items.contains(one),
            ("Fn::EachMemberEquals", Some([Value::Array(members), one])) => members.iter().all(|member| member == one),
            ("Fn::EachMemberIn", Some([Value::Array(members), Value::Array(items)])) => {
                members.iter().all(|member| items.contains(member))
            }
            _ => return Err(at.error("is not a condition")),
        })
    }
}
