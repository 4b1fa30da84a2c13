//! Faults to inject at the providers: a list of rules, of which the first that matches a request applies.
//!
//! As JSON, `[{"service": "apns", "to": "dead", "fault": {"kind": "refuse", "status": 410, "code": "Unregistered"}}]`
//! unregisters every device token that begins with `dead`.

use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderValue;
use serde::{Deserialize, Serialize};
use tidings_providers::Provider;

/// The service that a request is for: a provider by its name, or `oauth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Service {
    /// A provider. The target is what its requests name: a device token of APNs, a registration token of FCM, the id in
    /// a subscription's endpoint, an alias or a topic of Mi Push, a `webhook-id`.
    Push(Provider),
    /// The token endpoint of FCM; the target is the account's address.
    Oauth,
}

/// The name of [`Service::Oauth`].
const OAUTH: &str = "oauth";

impl From<Provider> for Service {
    fn from(provider: Provider) -> Self {
        Self::Push(provider)
    }
}

impl From<Service> for &'static str {
    fn from(service: Service) -> Self {
        match service {
            Service::Push(provider) => provider.as_str(),
            Service::Oauth => OAUTH,
        }
    }
}

impl TryFrom<String> for Service {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        if name == OAUTH {
            return Ok(Self::Oauth);
        }
        Provider::named(&name).map(Self::Push).ok_or_else(|| format!("no provider is called {name:?}"))
    }
}

/// A fault to inject, and the requests that it applies to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The service.
    pub service: Service,
    /// The prefix of the targets; an empty one matches all.
    #[serde(default)]
    pub to: String,
    /// The fault.
    pub fault: Fault,
    /// How often it applies; always, if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

impl Rule {
    /// Checks that the rule can take effect.
    ///
    /// # Errors
    /// If a field is wrong. The sentence names the field.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.times == Some(0) {
            return Err("`times` is 0: the rule would never strike".to_owned());
        }
        let Fault::Refuse { status, retry_after, .. } = &self.fault else { return Ok(()) };
        // Mi Push refuses with 200 and a code.
        if !(200..=599).contains(status) {
            return Err(format!("`status` is {status}; it takes 200 to 599"));
        }
        match retry_after {
            Some(text) if HeaderValue::from_str(text).is_err() => {
                Err(format!("`retryAfter` is {text:?}, which no header can have"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// A fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Fault {
    /// A refusal, in the service's own form.
    Refuse {
        /// Status.
        status: u16,
        /// The service's code, if it has codes: `BadDeviceToken`, `UNREGISTERED`, `invalid_grant`, `20301`.
        #[serde(default)]
        code: String,
        /// The service's explanation, if it has one.
        #[serde(default)]
        reason: String,
        /// `Retry-After`, in seconds or as a date.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<String>,
    },
    /// No answer, ever.
    Silence {
        /// Whether the push is accepted nevertheless.
        #[serde(default)]
        taken: bool,
    },
    /// The connection ends without an answer.
    Cut {
        /// Whether the push is accepted nevertheless.
        #[serde(default)]
        taken: bool,
    },
}

/// The rules. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Rules(Arc<Mutex<Vec<Rule>>>);

impl Rules {
    /// Replaces the rules.
    pub fn set(&self, rules: Vec<Rule>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// The rules that still apply.
    #[must_use]
    pub fn all(&self) -> Vec<Rule> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The fault of a request, if a rule matches.
    pub(super) fn strike(&self, service: Service, target: &str) -> Option<Fault> {
        let mut rules = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = rules.iter().position(|rule| rule.service == service && target.starts_with(&rule.to))?;
        let fault = rules[place].fault.clone();
        match &mut rules[place].times {
            Some(0 | 1) => drop(rules.remove(place)),
            Some(times) => *times -= 1,
            None => {}
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_fits_strikes_as_often_as_it_says() {
        let rules = Rules::default();
        let json = r#"[
            {"service": "apns", "to": "dead", "fault": {"kind": "refuse", "status": 410, "code": "Unregistered"}},
            {"service": "apns", "fault": {"kind": "cut"}, "times": 1},
            {"service": "fcm", "fault": {"kind": "refuse", "status": 429, "retryAfter": "7"}}
        ]"#;
        rules.set(serde_json::from_str(json).unwrap());
        assert_eq!(rules.strike(Provider::Webhook.into(), "dead"), None);
        assert!(matches!(rules.strike(Provider::Apns.into(), "dead1"), Some(Fault::Refuse { status: 410, .. })));
        assert_eq!(rules.strike(Provider::Apns.into(), "1"), Some(Fault::Cut { taken: false }));
        assert_eq!(rules.strike(Provider::Apns.into(), "1"), None);
        assert!(matches!(rules.strike(Provider::Apns.into(), "dead1"), Some(Fault::Refuse { status: 410, .. })));
        assert_eq!(rules.all().len(), 2);
        assert!(serde_json::from_str::<Rule>(r#"{"service": "apns", "fault": {"kind": "cut"}, "time": 1}"#).is_err());
        assert!(serde_json::from_str::<Rule>(r#"{"service": "gcm", "fault": {"kind": "cut"}}"#).is_err());
        for service in Provider::ALL.map(Service::from).into_iter().chain([Service::Oauth]) {
            let name = serde_json::to_value(service).unwrap();
            assert_eq!(serde_json::from_value::<Service>(name).unwrap(), service);
        }
    }
}
