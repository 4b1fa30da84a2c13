use std::collections::BTreeSet;

use tidings_wire::{
    FieldProblem, SendRequest, Timestamp, limits,
    send::{Channel, Content, Priority},
};

use super::*;
use crate::{
    MessageId,
    chain::{Chains, Step},
};

fn request(value: serde_json::Value) -> SendRequest {
    SendRequest::parse(value.as_object().unwrap().clone()).unwrap()
}

fn accepted(value: serde_json::Value) -> Result<Message, Vec<FieldProblem>> {
    let id = MessageId::new(Timestamp(1), [0; 10]);
    accept(request(value), "demo".parse().unwrap(), &Chains::default(), &BTreeSet::new(), id, Timestamp(1_000))
}

fn refused(value: serde_json::Value) -> Vec<String> {
    accepted(value).unwrap_err().into_iter().map(|problem| problem.field).collect()
}

#[test]
fn an_undeclared_category_is_reported_beside_the_other_faults() {
    let declared = ["orders".to_owned()].into();
    let fields = |more: serde_json::Value| {
        let id = MessageId::new(Timestamp(1), [0; 10]);
        let fields =
            accept(request(with(more)), "demo".parse().unwrap(), &Chains::default(), &declared, id, Timestamp(1_000));
        fields.err().unwrap_or_default().into_iter().map(|problem| problem.field).collect::<Vec<_>>()
    };
    assert!(fields(serde_json::json!({})).is_empty() && fields(serde_json::json!({"category": "orders"})).is_empty());
    let past = serde_json::json!({"category": "order", "sendAt": "1970-01-01T00:00:00Z"});
    assert_eq!(fields(past), ["sendAt", "category"]);
}

#[test]
fn defaults_are_shown_by_their_values() {
    let message = accepted(serde_json::json!({"alert": "x", "audiences": ["b", "a", "b"]})).unwrap();
    assert_eq!(message.ttl, limits::TTL_DEFAULT_SECONDS);
    assert_eq!(message.audience, Audience::Aliases(vec!["b".into(), "a".into()]));
    assert_eq!(message.letter.deadline, Timestamp(1_000 + 259_200_000));
    assert!(message.persist && message.letter.steps.is_empty() && message.downgrades.is_empty());
}

#[test]
fn the_apps_chain_is_for_messages_that_name_none() {
    let step = |channel: Channel| Step { channel: channel.into(), after: Some(60) };
    let chains = Chains {
        general: vec![step(Channel::Sms), step(Channel::Email)],
        categories: [("news".to_owned(), vec![]), ("orders".to_owned(), vec![step(Channel::Email)])].into(),
    };
    let steps = |more: serde_json::Value| {
        let mut value = serde_json::json!({"alert": "x", "audiences": ["a"]});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let id = MessageId::new(Timestamp(1), [0; 10]);
        let app = "demo".parse().unwrap();
        let message = accept(request(value), app, &chains, &BTreeSet::new(), id, Timestamp(1_000)).unwrap();
        assert_eq!(message.downgrades, [], "the request asked for none of it");
        message.letter.steps
    };
    assert_eq!(steps(serde_json::json!({})), chains.general);
    assert_eq!(steps(serde_json::json!({"category": "unknown"})), chains.general);
    assert_eq!(steps(serde_json::json!({"category": "orders"})), [step(Channel::Email)]);
    assert_eq!(steps(serde_json::json!({"category": "news"})), []);
    assert_eq!(steps(serde_json::json!({"fallback": []})), []);
    assert_eq!(steps(serde_json::json!({"category": "news", "smsMessage": "y"})).len(), 1);
    assert_eq!(steps(serde_json::json!({"pushMsgType": "CMD"})), [], "no person sees it");
    assert_eq!(steps(serde_json::json!({"persist": false})), [], "no device can confirm it");
}

#[test]
fn a_condition_is_for_steps() {
    let mut value = serde_json::json!({"alert": "x", "audiences": ["a"], "condition": {"itemOpen": "order:4711"}});
    let without = accepted(value.clone()).unwrap();
    assert_eq!((without.letter.condition, without.downgrades[0].field.as_str()), (None, "condition"));
    value["smsMessage"] = "y".into();
    let with = accepted(value).unwrap();
    let aliases = ["a".to_owned()];
    assert_eq!(with.deliveries(&aliases).next().unwrap().letter.condition, with.letter.condition);
    assert!(with.letter.condition.is_some() && with.downgrades.is_empty());
}

#[test]
fn an_sms_text_makes_the_chain_and_a_chain_overrules_it() {
    let base = serde_json::json!({"alert": "x", "audiences": ["a"], "smsMessage": "y"});
    let implied = accepted(base.clone()).unwrap();
    assert_eq!(implied.letter.steps, [Step { channel: Channel::Sms.into(), after: None }]);
    let mut with = base;
    with["fallback"] = serde_json::json!([{"channel": "email", "after": 5}]);
    assert_eq!(accepted(with).unwrap().letter.steps, [Step { channel: Channel::Email.into(), after: Some(5) }]);
}

fn with(more: serde_json::Value) -> serde_json::Value {
    let mut value = serde_json::json!({"alert": "x", "audiences": ["a"]});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

/// The downgrades, each as `field: detail` up to the first word that explains.
fn downgraded(message: &Message) -> Vec<String> {
    let short = |detail: &str| detail.split(':').next().unwrap_or_default().to_owned();
    message.downgrades.iter().map(|it| format!("{}: {}", it.field, short(&it.detail))).collect()
}

#[test]
fn devices_are_a_separate_audience() {
    let message = accepted(with(serde_json::json!({"audienceType": "DEVICE", "audiences": ["d", "e", "d"]}))).unwrap();
    assert_eq!(message.audience, Audience::Devices(vec!["d".into(), "e".into()]));
}

#[test]
fn a_transient_message_has_no_chain_no_redelivery_and_a_short_life() {
    let message =
        accepted(with(serde_json::json!({"ttl": 0, "smsMessage": "y", "needConfirm": true, "collapseKey": "k"})))
            .unwrap();
    assert_eq!((message.persist, message.ttl), (false, limits::TRANSIENT_SECONDS));
    assert!(message.letter.steps.is_empty() && message.duration.is_none() && message.letter.collapse.is_none());
    let named: Vec<_> = message.downgrades.iter().map(|downgrade| downgrade.field.as_str()).collect();
    assert_eq!(named, ["persist", "fallback", "needConfirm", "collapseKey"]);
    let long = accepted(with(serde_json::json!({"persist": false, "ttl": 241}))).unwrap();
    assert_eq!((long.ttl, downgraded(&long)), (240, vec!["ttl: 240".to_owned()]));
    let short = accepted(with(serde_json::json!({"persist": false, "ttl": 5}))).unwrap();
    assert_eq!((short.ttl, short.downgrades.len()), (5, 0));
}

#[test]
fn redelivery_is_brought_within_its_limits_and_reported() {
    let of = |more: serde_json::Value| {
        let mut value = more;
        value["needConfirm"] = true.into();
        let message = accepted(with(value)).unwrap();
        (message.duration, downgraded(&message))
    };
    let reported = |detail: &str| vec![format!("duration: {detail}")];
    assert_eq!(of(serde_json::json!({})), (Some(259_200), vec![]));
    assert_eq!(of(serde_json::json!({"ttl": 2_000_000})), (Some(259_200), vec![]));
    assert_eq!(of(serde_json::json!({"ttl": 60})), (Some(60), vec![]));
    assert_eq!(of(serde_json::json!({"duration": 300})), (Some(300), vec![]));
    assert_eq!(of(serde_json::json!({"duration": 299})), (Some(300), reported("300")));
    assert_eq!(of(serde_json::json!({"duration": 259_201})), (Some(259_200), reported("259200")));
    assert_eq!(of(serde_json::json!({"duration": 600, "ttl": 60})), (Some(60), reported("60")));
    let unasked = accepted(with(serde_json::json!({"duration": 600}))).unwrap();
    assert_eq!((unasked.duration, unasked.downgrades.len()), (None, 1));
}

#[test]
fn a_message_is_sent_later_within_a_year_to_the_second() {
    let at = |millis: i64| with(serde_json::json!({"sendAt": Timestamp(millis), "ttl": 60}));
    let year = i64::try_from(limits::SEND_AT_AHEAD_SECONDS).unwrap() * 1_000;
    assert_eq!(refused(at(1_000)), ["sendAt"]);
    assert_eq!(refused(at(1_001 + year)), ["sendAt"]);
    assert!(accepted(at(1_000 + year)).is_ok());
    let message = accepted(at(1_001)).unwrap();
    assert_eq!((message.letter.accepted, message.letter.deadline), (Timestamp(2_000), Timestamp(62_000)));
    assert_eq!(message.deliveries(&["a".to_owned()]).next().unwrap().letter.accepted, Timestamp(2_000));
}

#[test]
fn a_message_to_many_goes_in_the_bulk_lane() {
    let to = |count: usize, priority: Option<&str>| {
        let names: Vec<_> = (0..count).map(|n| n.to_string()).collect();
        let message = accepted(with(serde_json::json!({"audiences": names, "priority": priority}))).unwrap();
        (message.priority, message.downgrades.len())
    };
    assert_eq!(to(25, None), (Priority::High.into(), 0));
    assert_eq!(to(26, None), (Priority::Normal.into(), 0));
    assert_eq!(to(1, Some("normal")), (Priority::Normal.into(), 0));
    assert_eq!(to(26, Some("high")), (Priority::Normal.into(), 1));
}

#[test]
fn a_message_fits_its_frame_to_the_byte() {
    let room = limits::CONTENT_BYTES;
    let fixed = serde_json::to_vec(&Content { alert: Some(String::new()), ..Content::default() }).unwrap().len();
    let alert = |bytes: usize| serde_json::json!({"alert": "x".repeat(bytes), "audiences": ["a"]});
    assert!(accepted(alert(room - fixed)).is_ok());
    assert_eq!(refused(alert(room - fixed + 1)), ["alert"]);
    let extra = serde_json::json!({"alert": "x", "extra": "y".repeat(room), "audiences": ["a"]});
    assert_eq!(refused(extra), ["extra"]);
}

#[test]
fn the_longest_aliases_of_a_request_fit_its_record_and_more_of_them_are_refused() {
    // Aliases that a request names always fit.
    const { assert!(limits::RECIPIENTS_BYTES > limits::HTTP_BODY_BYTES) };
    let alias = "\u{1f600}".repeat(limits::ALIAS_CHARS);
    let most = limits::RECIPIENTS_BYTES / alias.len();
    assert!(most < limits::RECIPIENTS);
    let aliases = vec![alias; limits::RECIPIENTS];
    assert_eq!(check_recipients(&aliases[..most]), Ok(()));
    for count in [most + 1, limits::RECIPIENTS] {
        let problem = check_recipients(&aliases[..count]).unwrap_err();
        assert_eq!(problem.field, "audiences");
        assert!(problem.detail.contains("327680"), "{}", problem.detail);
    }
    // Beside the largest message they stay below what DynamoDB takes for one item, 3 bytes for each of a list included.
    let message = limits::CONTENT_BYTES + 6 * limits::SMS_CHARS + 8_192;
    assert!(limits::RECIPIENTS_BYTES + 4 * limits::RECIPIENTS + message < 400 * 1_024);
}
