//! The filters of a list of messages: by user, by text, by state.

use std::collections::BTreeMap;

use sam_twin::control::Asked;
use tidings_wire::send::Content;
use tidings_wire::trail::State;
use tidings_wire::{Choice, Trail};

/// The filters of a query. All that are given must match.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    alias: Option<String>,
    /// Empty for messages of no tenant.
    tenant: Option<String>,
    /// In lower case.
    text: Option<String>,
    state: Option<State>,
}

impl Filter {
    /// Reads the filters of a query. An empty one filters nothing, except for the tenant: an empty one means messages
    /// without a tenant.
    pub(crate) fn read(asked: &mut Asked) -> Self {
        let mut given = |name| {
            let text = asked.text(name)?.trim().to_owned();
            Some(text).filter(|text| !text.is_empty())
        };
        let (alias, text, word) = (given("alias"), given("text"), given("state"));
        let state = word.and_then(|word| {
            let state = State::from_word(&word);
            if state.is_none() {
                asked.refuse(format!("`state` must be one of {}", State::listed(|_| true)));
            }
            state
        });
        let tenant = asked.text("tenant").map(|tenant| tenant.trim().to_owned());
        Self { alias, tenant, text: text.map(|text| text.to_lowercase()), state }
    }

    /// Whether it depends on a message's recipients.
    pub(super) fn is_by_user(&self) -> bool {
        self.alias.is_some() || self.tenant.is_some()
    }

    /// Whether a message of this tenant to these users may match.
    pub(super) fn admits<'a>(&self, tenant: &str, mut aliases: impl Iterator<Item = &'a str>) -> bool {
        self.tenant.as_deref().is_none_or(|wanted| wanted == tenant)
            && self.alias.as_deref().is_none_or(|wanted| aliases.any(|alias| alias == wanted))
    }

    /// Whether the text that [`searched`] returned for a message contains the wanted one.
    pub(super) fn matches_text(&self, searched: &str) -> bool {
        self.text.as_deref().is_none_or(|wanted| searched.contains(wanted))
    }

    /// Whether the message is in the wanted state: for the wanted user if the trail contains that one, otherwise for
    /// any recipient. `states` has the states of all recipients, of whom the trail may show only some.
    pub(super) fn matches_state<T>(&self, trail: &Trail, states: &BTreeMap<&str, T>) -> bool {
        let Some(wanted) = self.state else { return true };
        match self.asked_for(trail) {
            Some(at) => trail.recipients[at].state == wanted,
            None => states.contains_key(wanted.as_str()),
        }
    }

    /// Moves the wanted recipient to the front, so that a short list shows it.
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

/// The searched text of a message, in lower case: its visible fields, and the app's data.
pub(super) fn searched(content: &Content) -> String {
    let shown = [&content.alert, &content.sender, &content.category, &content.event];
    let mut text: Vec<String> = shown.into_iter().flatten().map(|text| text.to_lowercase()).collect();
    text.extend(content.extra.as_ref().map(|extra| extra.to_string().to_lowercase()));
    text.join("\n")
}

#[cfg(test)]
mod tests {
    use sam_twin::control::{self, FromQuery};
    use serde_json::json;

    use super::*;

    fn read(query: &str) -> Result<Filter, String> {
        struct Only(Filter);
        impl FromQuery for Only {
            fn from_query(asked: &mut Asked) -> Self {
                Self(Filter::read(asked))
            }
        }
        control::read(&format!("/?{query}").parse().unwrap()).map(|Only(filter)| filter)
    }

    fn asked(query: &str) -> Filter {
        read(query).unwrap()
    }

    #[test]
    fn an_empty_parameter_filters_nothing_but_an_empty_tenant_is_none() {
        let all = asked("alias=+&text=&state=");
        assert!(all.admits("acme", ["alice"].into_iter()) && all.matches_text("") && !all.is_by_user());
        let none = asked("tenant=");
        assert!(none.admits("", std::iter::empty()) && !none.admits("acme", std::iter::empty()));
    }

    #[test]
    fn an_alias_is_meant_exactly_and_a_text_in_any_case() {
        let filter = asked("alias=user1&text=PARCEL");
        assert!(filter.admits("", ["bob", "user1"].into_iter()));
        assert!(!filter.admits("", ["user10", "User1"].into_iter()));
        let content = |alert: &str, extra| Content { alert: Some(alert.to_owned()), extra, ..Content::default() };
        assert!(filter.matches_text(&searched(&content("Your Parcel is here", None))));
        assert!(filter.matches_text(&searched(&content("Hello", Some(json!({"kind": "parcel"}))))));
        assert!(!filter.matches_text(&searched(&content("Hello", None))));
        assert!(asked("text=%C3%9CBER").matches_text(&searched(&content("über den Wolken", None))));
    }

    #[test]
    fn an_unknown_state_is_refused_with_those_that_there_are() {
        let refused = read("state=lost").unwrap_err();
        assert!(refused.starts_with("`state` must be one of scheduled, accepted, "), "{refused}");
    }
}
