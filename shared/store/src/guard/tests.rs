use std::sync::Arc;

use tidings_crypto::keyring::Keyring;
use tidings_domain::Timestamp;

use super::*;
use crate::families;

const OPERATION: &str = "test";

fn under(app: &str, data: u8) -> Seal {
    Seal::Under { keyring: Arc::new(Keyring::new(app, [1; 64], [data; 64])), now: Timestamp(0) }
}

fn entry(seal: &Seal) -> Item {
    let item = serde_json::json!({
        "pk": "demo||x", "sk": "m#1", "id": "id-1", "content": "{}", "condition": {"itemOpen": "order:1"},
        "collapsed": [["0123456789ab", 2, 4_000_000_000_000_i64]], "stored": 7, "posted": ["device"],
    });
    seal_item(&families::ENTRY, seal, item)
}

fn seal_item(family: &'static Family, seal: &Seal, item: serde_json::Value) -> Item {
    super::seal(OPERATION, family, seal, serde_dynamo::to_item(item).unwrap()).unwrap()
}

#[test]
fn an_item_is_sealed_as_it_is_declared_and_opened_again() {
    let clear = entry(&Seal::Clear);
    let seal = under("demo", 2);
    let sealed = entry(&seal);
    for (name, value) in &sealed {
        let guard = families::ENTRY.guard(name).unwrap();
        assert_eq!(value.is_b(), guard == Guard::Sealed, "{name}");
        assert_eq!(*value == clear[name], guard != Guard::Sealed, "{name}");
    }
    assert_eq!(open(OPERATION, &families::ENTRY, &seal, sealed.clone()).unwrap(), clear);
    assert_eq!(entry(&seal), sealed, "the same value at the same place");
    assert_eq!(open(OPERATION, &families::ENTRY, &Seal::Clear, clear.clone()).unwrap(), clear);
}

#[test]
fn an_attribute_without_a_declaration_fails_at_the_write() {
    for seal in [Seal::Clear, under("demo", 2)] {
        let item = serde_dynamo::to_item(serde_json::json!({"pk": "demo||x", "sk": "z", "shoe_size": 44})).unwrap();
        let refused = super::seal(OPERATION, &families::PROFILE, &seal, item).unwrap_err();
        assert!(refused.is_unreadable(), "{refused}");
    }
    // A letter of a newer version brings its attributes with it: they are sealed, whatever they hold.
    let seal = under("demo", 2);
    let newer = serde_json::json!({"pk": "demo||x", "sk": "m#1", "id": "id-1", "colour": {"hue": [1.5]}});
    let sealed = seal_item(&families::ENTRY, &seal, newer.clone());
    assert!(sealed["colour"].is_b());
    let expected: Item = serde_dynamo::to_item(newer).unwrap();
    assert_eq!(open(OPERATION, &families::ENTRY, &seal, sealed).unwrap(), expected);
}

#[test]
fn what_is_in_clear_or_moved_or_of_another_app_or_key_is_refused() {
    let seal = under("demo", 2);
    let sealed = entry(&seal);
    let refused = |item: Item, seal: &Seal| {
        let error = open(OPERATION, &families::ENTRY, seal, item).unwrap_err();
        assert!(error.is_unreadable(), "{error}");
    };
    let change = |name: &str, value: AttributeValue| {
        let mut item = sealed.clone();
        item.insert(name.to_owned(), value);
        item
    };
    refused(entry(&Seal::Clear), &seal);
    refused(change("content", keys::text("{}")), &seal);
    for (name, other) in [("pk", "demo||y"), ("sk", "m#2"), ("id", "id-2")] {
        refused(change(name, keys::text(other)), &seal);
    }
    refused(change("content", sealed["collapsed"].clone()), &seal);
    // In the place of an attribute that stands in clear.
    refused(change("stored", sealed["content"].clone()), &seal);
    refused(sealed.clone(), &under("other", 2));
    refused(sealed.clone(), &under("demo", 3));
    // The same attribute of another family.
    assert!(open(OPERATION, &families::ANNOUNCEMENT, &seal, sealed.clone()).is_err());
    assert!(open(OPERATION, &families::ENTRY, &seal, sealed.clone()).is_ok());
    for bytes in [&[][..], &[1], &[0; 200]] {
        refused(change("content", AttributeValue::B(Blob::new(bytes))), &seal);
    }
}

#[test]
fn a_condition_names_every_form_in_which_a_value_may_be_stored() {
    let ring = Keyring::new("demo", [1; 64], [2; 64]).with([3; 64], 1_000);
    let seals = [0, 1_000].map(|now| Seal::Under { keyring: Arc::new(ring.clone()), now: Timestamp(now) });
    let at = At::user("demo||x", "z");
    let forms = forms(OPERATION, &families::PROFILE, &seals[1], at, "preferences", "{}").unwrap();
    let (condition, values) = is_one_of("preferences", forms);
    assert_eq!(condition, "preferences IN (:read0, :read1)");
    for seal in &seals {
        let value = attribute(OPERATION, &families::PROFILE, seal, at, "preferences", keys::text("{}")).unwrap();
        assert!(values.iter().any(|(_, form)| *form == value));
    }
    let clear = super::forms(OPERATION, &families::PROFILE, &Seal::Clear, at, "preferences", "{}").unwrap();
    assert_eq!(is_one_of("preferences", clear).1, [(":read0".to_owned(), keys::text("{}"))]);
}
