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
        "sound": "ping", "badge": 3, "sender": "Shop", "sendDevice": "till", "source": {"platform": "pc", "product": "shop"},
        "category": "orders", "tag": "vip", "needConfirm": true, "smsMessage": "Hi", "duration": 600, "ttl": 60,
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
        Err(vec!["alert: is required where there is no `extra`".into()])
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
        let nowhere = "condition.itemOpen: must not be `.` or `..`, nor have `/`, `?` or `%`: paths do not carry such a \
                       name";
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
    assert_eq!(wrong.unwrap_err().len(), 1, "which step it is cannot be said of a chain that cannot be read");
}
