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

    pub(super) fn condition(&self, name: &str, at: &At) -> Result<bool, TemplateError> {
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
            "Fn::Equals" => match self.some(argument, at)?.as_array().map(Vec::as_slice) {
                Some([left, right]) => text_of(left, at)? == text_of(right, at)?,
                _ => return Err(malformed()),
            },
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
}
