//! Which messages a list is about: those to a user, with a text, in a state.

use std::collections::BTreeMap;

use serde::Deserialize;
use tidings_wire::send::Content;
use tidings_wire::trail::State;
use tidings_wire::{Choice, Trail};

/// The filters as the query names them. Every one that is given has to match.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Asked {
    alias: Option<String>,
    tenant: Option<String>,
    text: Option<String>,
    state: Option<String>,
}

/// The filters, read.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    alias: Option<String>,
    /// Empty for messages of no tenant.
    tenant: Option<String>,
    /// In lower case.
    text: Option<String>,
    state: Option<State>,
}

impl Asked {
    /// The filters that these parameters mean. An empty one filters nothing, but for the tenant: an empty one is none.
    ///
    /// # Errors
    /// If there is no such state, with those that there are.
    pub(crate) fn filter(self) -> Result<Filter, String> {
        let given = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let state = given(self.state).map(|word| {
            State::from_word(&word).ok_or_else(|| format!("`state` must be one of {}", State::listed(|_| true)))
        });
        Ok(Filter {
            alias: given(self.alias),
            tenant: self.tenant.map(|tenant| tenant.trim().to_owned()),
            text: given(self.text).map(|text| text.to_lowercase()),
            state: state.transpose()?,
        })
    }
}

impl Filter {
    /// Whether it depends on whom a message goes to.
    pub(super) fn is_by_user(&self) -> bool {
        self.alias.is_some() || self.tenant.is_some()
    }

    /// Whether a message of this tenant to these users may be meant.
    pub(super) fn admits<'a>(&self, tenant: &str, mut aliases: impl Iterator<Item = &'a str>) -> bool {
        self.tenant.as_deref().is_none_or(|wanted| wanted == tenant)
            && self.alias.as_deref().is_none_or(|wanted| aliases.any(|alias| alias == wanted))
    }

    /// Whether what [`searched`] found of a message has the text.
    pub(super) fn matches_text(&self, searched: &str) -> bool {
        self.text.as_deref().is_none_or(|wanted| searched.contains(wanted))
    }

    /// Whether the message is in the state: for the user that is asked for, if the trail names that one, otherwise for any
    /// recipient. `states` has the states of all recipients, of whom the trail may name some.
    pub(super) fn matches_state<T>(&self, trail: &Trail, states: &BTreeMap<&str, T>) -> bool {
        let Some(wanted) = self.state else { return true };
        match self.asked_for(trail) {
            Some(at) => trail.recipients[at].state == wanted,
            None => states.contains_key(wanted.as_str()),
        }
    }

    /// Moves the recipient who is asked for to the front, where a short list shows it.
    pub(super) fn bring_forward(&self, trail: &mut Trail) {
        if let Some(at) = self.asked_for(trail) {
            trail.recipients[..=at].rotate_right(1);
        }
    }

    fn asked_for(&self, trail: &Trail) -> Option<usize> {
        let wanted = self.alias.as_deref()?;
        trail.recipients.iter().position(|recipient| recipient.alias == wanted)
    }
}

/// The text of a message in which is searched, in lower case: what is shown of it, and the app's own data.
pub(super) fn searched(content: &Content) -> String {
    let shown = [&content.alert, &content.sender, &content.category, &content.event];
    let mut text: Vec<String> = shown.into_iter().flatten().map(|text| text.to_lowercase()).collect();
    text.extend(content.extra.as_ref().map(|extra| extra.to_string().to_lowercase()));
    text.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(query: serde_json::Value) -> Filter {
        serde_json::from_value::<Asked>(query).unwrap().filter().unwrap()
    }

    #[test]
    fn an_empty_parameter_filters_nothing_but_an_empty_tenant_is_none() {
        let all = asked(json!({"alias": " ", "text": "", "state": ""}));
        assert!(all.admits("acme", ["alice"].into_iter()) && all.matches_text("") && !all.is_by_user());
        let none = asked(json!({"tenant": ""}));
        assert!(none.admits("", std::iter::empty()) && !none.admits("acme", std::iter::empty()));
    }

    #[test]
    fn an_alias_is_meant_exactly_and_a_text_in_any_case() {
        let filter = asked(json!({"alias": "user1", "text": "PARCEL"}));
        assert!(filter.admits("", ["bob", "user1"].into_iter()));
        assert!(!filter.admits("", ["user10", "User1"].into_iter()));
        let content = |alert: &str, extra| Content { alert: Some(alert.to_owned()), extra, ..Content::default() };
        assert!(filter.matches_text(&searched(&content("Your Parcel is here", None))));
        assert!(filter.matches_text(&searched(&content("Hello", Some(json!({"kind": "parcel"}))))));
        assert!(!filter.matches_text(&searched(&content("Hello", None))));
        assert!(asked(json!({"text": "ÜBER"})).matches_text(&searched(&content("über den Wolken", None))));
    }

    #[test]
    fn an_unknown_state_is_refused_with_those_that_there_are() {
        let refused = serde_json::from_value::<Asked>(json!({"state": "lost"})).unwrap().filter().unwrap_err();
        assert!(refused.starts_with("`state` must be one of scheduled, accepted, "), "{refused}");
    }
}
