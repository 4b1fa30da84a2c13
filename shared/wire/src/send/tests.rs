use super::*;

fn parse(value: Value) -> Result<SendRequest, Vec<String>> {
    SendRequest::parse(value.as_object().unwrap().clone()).map_err(|problems| {
        problems.into_iter().map(|problem| format!("{}: {}", problem.field, problem.detail)).collect()
    })
}

#[test]
fn reads_every_field_and_writes_it_again() {
    let value = serde_json::json!({
        "appId": "demo", "tenantCode": "t", "platform": "WEB", "audienceType": "ALIAS", "audiences": ["alice"],
        "pushMsgType": "MSG", "msgType": "event", "alert": "Hello", "extra": {"a": [1]}, "event": "order.paid",
        "sound": "ping", "badge": 3, "sender": "Shop", "sendDevice": "till",
        "source": {"platform": "pc", "product": "shop"}, "category": "orders", "tag": "vip",
        "needConfirm": true, "smsMessage": "Hi", "duration": 600, "ttl": 60,
        "priority": "high", "collapseKey": "k", "sendAt": "2026-11-22T08:00:00.000Z", "persist": true,
        "fallback": [{"channel": "sms", "after": 0}, {"channel": "email"}],
        "condition": {"clientVersionBelow": "2.10", "itemOpen": "order:4711"},
    });
    let request = parse(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&request).unwrap(), value);
}

#[test]
fn refuses_a_message_to_nobody_or_about_nothing() {
    assert_eq!(
        parse(serde_json::json!({"alert": "x"})),
        Err(vec!["audiences: must name at least one recipient".into()])
    );
    assert_eq!(
        parse(serde_json::json!({"alert": "x", "audiences": []})),
        Err(vec!["audiences: must name at least one recipient".into()])
    );
    assert_eq!(
        parse(serde_json::json!({"audiences": ["a"]})),
        Err(vec!["alert: is required if there is no `extra`".into()])
    );
    let many: Vec<_> = (0..=limits::RECIPIENTS).map(|n| n.to_string()).collect();
    assert_eq!(
        parse(serde_json::json!({"alert": "x", "audiences": many})),
        Err(vec!["audiences: has 1001 items; the limit is 1000".into()])
    );
}

#[test]
fn names_what_is_wrong_with_a_condition() {
    let condition = |condition: Value| {
        let request = serde_json::json!({"alert": "x", "audiences": ["a"], "condition": condition});
        parse(request).map(|_| ()).map_err(|problems| problems.join("; "))
    };
    let version = "condition.clientVersionBelow: must be one to four whole numbers with dots between them, for example \
                   2.10.0";
    assert_eq!(condition(serde_json::json!({"clientVersionBelow": "2.10-beta"})), Err(version.into()));
    assert_eq!(condition(serde_json::json!({"clientVersionBelow": "v2"})), Err(version.into()));
    let item = "x".repeat(limits::ITEM_CHARS + 1);
    let long = "condition.itemOpen: has 129 characters; the limit is 128";
    assert_eq!(condition(serde_json::json!({"itemOpen": item})), Err(long.into()));
    for name in [".", "..", "a/b", "what?", "50%"] {
        let nowhere = "condition.itemOpen: must not be `.` or `..`, nor have `/`, `?` or `%`: paths do not carry such \
                       a name";
        assert_eq!(condition(serde_json::json!({"itemOpen": name})), Err(nowhere.into()));
    }
    assert_eq!(condition(serde_json::json!({"itemOpen": "..."})), Ok(()));
    let unknown = "condition.itemopen: is not a field of this request; did you mean `itemOpen`?";
    assert_eq!(condition(serde_json::json!({"itemopen": "x"})), Err(unknown.into()));
    assert_eq!(condition(serde_json::json!("x")), Err("condition: must be an object".into()));
    assert_eq!(condition(serde_json::json!({})), Err("condition: must name what has to hold".into()));
}

#[test]
fn names_the_step_that_is_wrong() {
    let fallback = serde_json::json!([{"channel": "sms"}, {"channel": "pigeon", "after": -1}]);
    assert_eq!(
        parse(serde_json::json!({"alert": "x", "audiences": ["a"], "fallback": fallback})),
        Err(vec![
            "fallback[1].channel: must be one of apns, fcm, webpush, mipush, sms, email, webhook".into(),
            "fallback[1].after: must be a whole number from 0 to 259200".into(),
        ])
    );
}

#[test]
fn a_paid_channel_stands_twice_in_a_chain_at_most() {
    let chain = |channels: &[&str]| {
        let steps: Vec<Value> = channels.iter().map(|channel| serde_json::json!({"channel": channel})).collect();
        parse(serde_json::json!({"alert": "x", "audiences": ["a"], "fallback": steps})).map(|_| ())
    };
    let refused = |step, channel| {
        let problem =
            format!("fallback[{step}].channel: must not be {channel} once more: a chain has at most 2 steps by it");
        Err(vec![problem])
    };
    assert_eq!(chain(&["sms", "email", "sms", "email"]), Ok(()));
    assert_eq!(chain(&["sms"; 8]), refused(2, "sms"));
    assert_eq!(chain(&["email", "sms", "email", "apns", "email"]), refused(4, "email"));
    assert_eq!(chain(&["sms", "sms", "webhook", "email", "email", "sms", "email"]), refused(5, "sms"));
    // Pushes cost nothing, nor does a call of the app's own server.
    for channel in ["apns", "fcm", "webpush", "mipush", "webhook"] {
        assert_eq!(chain(&[channel; 8]), Ok(()), "{channel}");
    }
    let wrong = chain(&["pigeon", "sms", "sms", "sms"]);
    assert_eq!(wrong.unwrap_err().len(), 1, "the steps of a chain that cannot be read are not named");
}

#[test]
fn all_is_no_user_and_the_answer_names_the_way_that_reaches_everyone() {
    let to = |audiences: Value| parse(serde_json::json!({"alert": "x", "audiences": audiences})).map(|it| it.audiences);
    let everyone = "must not be `ALL`: to reach everyone, announce it with `POST /v1/announcements`";
    for all in ["ALL", "all", "aLl", " All "] {
        assert_eq!(to(serde_json::json!(["alice", all])), Err(vec![format!("audiences[1]: {everyone}")]));
        assert_eq!(to(serde_json::json!(all)), Err(vec![format!("audiences: {everyone}")]));
        for audiences in [serde_json::json!({}), serde_json::json!({"audiences": ["a"]})] {
            let mut request = serde_json::json!({"alert": "x", "audienceType": all});
            request.as_object_mut().unwrap().extend(audiences.as_object().unwrap().clone());
            assert_eq!(parse(request), Err(vec![format!("audienceType: {everyone}")]));
        }
    }
    let ordinary = ["a@qun", "b@org", "c@tenant", "d@app", "e@user", "ALL@org", "everyone", "@all"];
    assert_eq!(to(serde_json::json!(ordinary)), Ok(ordinary.map(str::to_owned).to_vec()));
}

#[test]
fn an_audience_type_that_is_not_served_is_not_listed() {
    for kind in ["ORG", "TAG", "GROUP", "ORGANISATION", "alias", ""] {
        let request = serde_json::json!({"alert": "x", "audiences": ["a"], "audienceType": kind});
        assert_eq!(parse(request), Err(vec!["audienceType: must be one of ALIAS, DEVICE".to_owned()]), "{kind}");
    }
}

#[test]
fn what_other_services_call_a_field_leads_to_its_name_here() {
    for (name, here) in [
        ("title", "`sender`"),
        ("url", "`extra`"),
        ("img", "`extra`"),
        ("topic", "`POST /v1/announcements`"),
        ("time_to_live", "`ttl`"),
        ("body", "`alert`"),
        ("collapse_key", "`collapseKey`"),
        ("to", "`audiences`"),
        ("send_at", "`sendAt`"),
    ] {
        let found = parse(serde_json::json!({"alert": "x", "audiences": ["a"], name: "x"})).unwrap_err();
        assert!(found.len() == 1 && found[0].starts_with(name) && found[0].contains(here), "{found:?}");
    }
}

#[test]
fn names_of_things_have_nothing_that_no_person_sees() {
    for field in ["tenantCode", "category", "tag", "event", "collapseKey", "sendDevice"] {
        for (text, named) in [("a\u{202e}b", "U+202E"), ("a\tb", "U+0009"), ("e\u{301}", "NFC")] {
            let found = parse(serde_json::json!({"alert": "x", "audiences": ["a"], field: text})).unwrap_err();
            assert!(found.len() == 1 && found[0].starts_with(field) && found[0].contains(named), "{found:?}");
        }
    }
    let found = parse(serde_json::json!({"alert": "x", "audiences": ["a", "b\u{2066}"]})).unwrap_err();
    assert_eq!(found, ["audiences[1]: must not contain the invisible character U+2066"]);
    let found = parse(serde_json::json!({"alert": "x", "audiences": ["a"], "condition": {"itemOpen": "o\n1"}}));
    assert_eq!(found.unwrap_err(), ["condition.itemOpen: must not contain the control character U+000A"]);
    // What people read is theirs: a text may hold lines, and marks of direction.
    let text =
        serde_json::json!({"alert": "a\n\u{200f}b", "audiences": ["a"], "sender": "Shop\t1", "smsMessage": "e\u{301}"});
    assert!(parse(text).is_ok());
}
