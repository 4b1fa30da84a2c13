//! The categories that an app has declared. A misspelt category is refused: it would otherwise bypass a recipient's
//! preferences and a chain silently. An app that has declared none accepts any.

use std::collections::BTreeSet;

use tidings_wire::{FieldProblem, Preferences, limits};

use crate::chain::Chains;

/// Limit of declared categories that a refusal lists.
const NAMED: usize = 10;

/// Reads the name of a category that is to be declared.
///
/// # Errors
/// If the name is empty, longer than [`limits::IDENTIFIER_CHARS`], begins or ends with a blank, or has a character that
/// is not allowed in a [name](tidings_wire::name).
pub fn name(text: &str) -> Result<String, String> {
    const MOST: usize = limits::IDENTIFIER_CHARS;
    let length = text.chars().count();
    if text.is_empty() {
        Err("a category must not be empty".to_owned())
    } else if length > MOST {
        Err(format!("a category of {length} characters; the limit is {MOST}"))
    } else if text.trim() != text {
        Err("a category must not begin or end with a blank".to_owned())
    } else {
        tidings_wire::name::check(text).map(|()| text.to_owned()).map_err(|wrong| format!("a category {wrong}"))
    }
}

/// The categories that an app declares, without duplicates.
///
/// # Errors
/// If there are more than [`limits::APP_CATEGORIES`].
pub fn declare(names: Vec<String>) -> Result<BTreeSet<String>, String> {
    const MOST: usize = limits::APP_CATEGORIES;
    let declared = BTreeSet::from_iter(names);
    let many = declared.len();
    if many > MOST { Err(format!("{many} categories; the limit is {MOST}")) } else { Ok(declared) }
}

/// Checks the `category` of a message or an announcement.
#[must_use]
pub fn check(declared: &BTreeSet<String>, category: Option<&str>) -> Option<FieldProblem> {
    let refused = category.filter(|name| !is_welcome(declared, name));
    refused.map(|_| FieldProblem::new("category", expected(declared)))
}

/// Checks the categories that a user's preferences name.
#[must_use]
pub fn check_preferences(declared: &BTreeSet<String>, preferences: &Preferences) -> Vec<FieldProblem> {
    let named = preferences.categories.keys().map(|name| (format!("categories.{name}"), name));
    let except = preferences.quiet_hours.iter().flat_map(|quiet| quiet.except.iter().enumerate());
    let except = except.map(|(index, name)| (format!("quietHours.except[{index}]"), name));
    let refused = named.chain(except).filter(|(_, name)| !is_welcome(declared, name));
    refused.map(|(field, _)| FieldProblem::new(field, expected(declared))).collect()
}

/// Categories that have a chain and are not declared: no message could ever take that chain.
pub fn left_out<'a>(declared: &'a BTreeSet<String>, chains: &'a Chains) -> impl Iterator<Item = &'a str> {
    chains.categories.keys().map(String::as_str).filter(|name| !is_welcome(declared, name))
}

fn is_welcome(declared: &BTreeSet<String>, name: &str) -> bool {
    declared.is_empty() || declared.contains(name)
}

fn expected(declared: &BTreeSet<String>) -> String {
    let named: Vec<&str> = declared.iter().take(NAMED).map(String::as_str).collect();
    let more = declared.len() - named.len();
    let rest = if more == 0 { String::new() } else { format!(", … and {more} more") };
    format!("must be one of the app's categories: {}{rest}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn preferences(value: serde_json::Value) -> Preferences {
        Preferences::parse(value.as_object().unwrap().clone()).unwrap()
    }

    #[test]
    fn an_app_that_declares_none_accepts_any() {
        let wanted = preferences(serde_json::json!({
            "categories": {"news": {"muted": true}},
            "quietHours": {"from": "22:00", "to": "07:00", "except": ["alerts"]},
        }));
        let chains = Chains { categories: [("news".to_owned(), vec![])].into(), ..Chains::default() };
        assert_eq!(check(&declared(&[]), Some("news")), None);
        assert_eq!(check_preferences(&declared(&[]), &wanted), []);
        assert_eq!(left_out(&declared(&[]), &chains).count(), 0);
    }

    #[test]
    fn a_message_has_a_declared_one_or_none() {
        let some = declared(&["orders", "news"]);
        assert_eq!(check(&some, None), None);
        assert_eq!(check(&some, Some("news")), None);
        for wrong in ["New", "News", "news ", ""] {
            let problem = check(&some, Some(wrong)).unwrap();
            let shown = (problem.field.as_str(), problem.detail.as_str());
            assert_eq!(shown, ("category", "must be one of the app's categories: news, orders"), "{wrong}");
        }
    }

    #[test]
    fn every_undeclared_category_of_preferences_is_named() {
        let wanted = preferences(serde_json::json!({
            "categories": {"news": {"muted": true}, "order": {"muted": true}},
            "quietHours": {"from": "22:00", "to": "07:00", "except": ["alert", "news", "alerts!"]},
        }));
        let problems = check_preferences(&declared(&["alerts", "news", "orders"]), &wanted);
        let fields: Vec<&str> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["categories.order", "quietHours.except[0]", "quietHours.except[2]"]);
        assert!(problems.iter().all(|it| it.detail == "must be one of the app's categories: alerts, news, orders"));
        let names = ["alert", "alerts!", "news", "order"];
        assert_eq!(check_preferences(&declared(&names), &wanted), []);
    }

    #[test]
    fn a_long_list_is_cut() {
        let detail = |count: usize| {
            let names = (0..count).map(|n| format!("c{n:03}")).collect();
            check(&names, Some("x")).unwrap().detail
        };
        let ten = "must be one of the app's categories: c000, c001, c002, c003, c004, c005, c006, c007, c008, c009";
        assert_eq!(detail(10), ten);
        assert_eq!(detail(11), format!("{ten}, … and 1 more"));
        assert_eq!(detail(200), format!("{ten}, … and 190 more"));
    }

    #[test]
    fn a_chain_of_a_category_needs_its_category() {
        let chains =
            Chains { categories: ["alerts", "news"].map(|name| (name.to_owned(), vec![])).into(), ..Chains::default() };
        assert_eq!(left_out(&declared(&["news", "orders"]), &chains).collect::<Vec<_>>(), ["alerts"]);
        assert_eq!(left_out(&declared(&["news", "alerts"]), &chains).count(), 0);
    }

    #[test]
    fn what_is_declared_is_within_the_limits_and_counts_once() {
        assert_eq!(name("orders"), Ok("orders".to_owned()));
        assert!(name(&"类".repeat(limits::IDENTIFIER_CHARS)).is_ok());
        for wrong in [
            "",
            " ",
            " news",
            "news\t",
            "ne\nws",
            "x\0",
            "a\u{202e}b",
            "e\u{301}",
            &"x".repeat(limits::IDENTIFIER_CHARS + 1),
        ] {
            assert!(name(wrong).is_err(), "{wrong:?}");
        }
        let names = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        let most = limits::APP_CATEGORIES;
        assert_eq!(declare([names(most), names(most)].concat()).unwrap().len(), most);
        assert_eq!(declare(names(most + 1)), Err("201 categories; the limit is 200".to_owned()));
    }
}
