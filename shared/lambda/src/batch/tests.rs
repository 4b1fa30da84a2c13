use super::*;
use std::sync::Mutex;

use tidings_domain::AppId;

/// A body that is a number, or named by a text.
#[derive(Debug, serde::Deserialize)]
struct Number(u32);

impl Body for Number {
    const KIND: &'static str = "number";

    fn app(&self) -> Option<&AppId> {
        None
    }

    fn name(body: &Value) -> Option<Word> {
        Word::new(body.as_str()?)
    }
}

fn event(records: &[(&str, &str, Option<&str>)]) -> SqsEvent {
    let records: Vec<_> = records
        .iter()
        .map(|(id, body, group)| {
            let attributes = group.map(|group| serde_json::json!({"MessageGroupId": group})).unwrap_or_default();
            serde_json::json!({"messageId": id, "body": body, "attributes": attributes})
        })
        .collect();
    serde_json::from_value(serde_json::json!({"Records": records})).unwrap()
}

fn later() -> Timestamp {
    Timestamp::now().plus_seconds(60)
}

async fn run(records: &[(&str, &str, Option<&str>)]) -> (Vec<u32>, Vec<String>) {
    let seen = Mutex::new(Vec::new());
    let failed = work(event(records), later(), &Vault::clear(), |record: Record<Number>| {
        seen.lock().unwrap().push(record.payload.0);
        async move { if record.payload.0 == 13 { Err("unlucky".into()) } else { Ok(()) } }
    })
    .await
    .unwrap();
    (seen.into_inner().unwrap(), failed.into_iter().map(|failed| failed.id).collect())
}

#[tokio::test]
async fn poison_stays_alone() {
    let (seen, failed) = run(&[("a", "1", None), ("b", "{", None), ("c", "13", None), ("d", "2", None)]).await;
    assert_eq!(seen, [1, 13, 2]);
    assert_eq!(failed, ["b", "c"]);
}

#[tokio::test]
async fn a_failure_holds_its_own_group_back_and_no_other() {
    let (mut seen, failed) =
        run(&[("a", "1", Some("x")), ("b", "13", Some("x")), ("c", "2", Some("y")), ("d", "3", Some("x"))]).await;
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 13]);
    assert_eq!(failed, ["b", "d"]);
}

#[tokio::test]
async fn a_record_without_an_id_fails_the_batch() {
    let event = serde_json::from_value(serde_json::json!({"Records": [{"body": "1"}]})).unwrap();
    let failed = work(event, later(), &Vault::clear(), |_: Record<Number>| async { Ok(()) }).await;
    assert!(failed.is_err());
}

#[tokio::test]
async fn a_malformed_record_holds_no_other_back() {
    let (seen, failed) = run(&[("a", "{", Some("x")), ("b", "1", Some("x")), ("c", "2", Some("x"))]).await;
    assert_eq!((seen, failed), (vec![1, 2], vec!["a".to_owned()]));
}

#[tokio::test]
async fn nothing_is_begun_shortly_before_the_end() {
    let records = event(&[("a", "1", None), ("b", "2", Some("x"))]);
    let failed =
        work(records, Timestamp(Timestamp::now().0 - 1), &Vault::clear(), |_: Record<Number>| async { Ok(()) }).await;
    assert_eq!(failed.unwrap().len(), 2);
    let after = |millis| last_call(Timestamp(0), Timestamp(millis)).0;
    assert_eq!((after(30_000), after(6_000), after(-1)), (20_000, 4_000, -1));
}

#[tokio::test]
async fn a_failed_record_waits_with_the_rest_of_its_group_and_an_unreadable_one_returns_at_once() {
    let record = |id: &str, body: &str, group: Option<&str>, receives: u32| {
        let mut attributes = serde_json::json!({"ApproximateReceiveCount": receives.to_string()});
        if let Some(group) = group {
            attributes["MessageGroupId"] = group.into();
        }
        serde_json::json!({
            "messageId": id, "body": body, "attributes": attributes, "receiptHandle": format!("receipt {id}"),
            "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:deliver.fifo",
        })
    };
    let records = [
        record("a", "1", Some("x"), 9),
        record("b", "13", Some("x"), 4),
        record("c", "2", Some("x"), 1),
        record("d", "{", Some("y"), 1),
        record("e", "3", Some("y"), 1),
    ];
    let event = serde_json::from_value(serde_json::json!({"Records": records})).unwrap();
    let vault = Vault::clear();
    let failed = work(event, later(), &vault, |record: Record<Number>| async move {
        if record.payload.0 == 13 { Err("unlucky".into()) } else { Ok(()) }
    });
    let failed = failed.await.unwrap();
    let waits: Vec<_> = failed.iter().map(|it| (it.id.as_str(), it.receipt.as_deref().unwrap(), it.wait)).collect();
    let wait = waits[0].2.unwrap();
    assert!((8..=16).contains(&wait), "after four receives: {wait}");
    let expected =
        [("b", "receipt b", Some(wait)), ("c", "receipt c", Some(wait)), ("d", "receipt d", Some(UNREADABLE_SECONDS))];
    assert_eq!(waits, expected);
    assert!(failed.iter().all(|it| it.queue.is_some()));
}

#[tokio::test]
async fn a_record_about_unreadable_data_holds_no_other_back() {
    let records = event(&[("a", "13", Some("x")), ("b", "1", Some("x"))]);
    let vault = Vault::clear();
    let failed = work(records, later(), &vault, |record: Record<Number>| async move {
        if record.payload.0 == 13 { Err(Unreadable("a mailbox entry").into()) } else { Ok(()) }
    });
    let failed: Vec<_> = failed.await.unwrap().into_iter().map(|it| (it.id, it.wait)).collect();
    assert_eq!(failed, [("a".to_owned(), Some(UNREADABLE_SECONDS))]);
}

#[tokio::test]
async fn a_body_of_a_newer_version_is_named() {
    for (body, expected) in [("\"pigeon\"", Some("pigeon")), ("\"two words\"", None), ("{", None)] {
        let record = event(&[("a", body, None)]).records.remove(0);
        match one(&record, later(), &Vault::clear(), &|_: Record<Number>| async { Ok(()) }).await {
            Err(RecordError::Malformed { name, .. }) => assert_eq!(name.as_ref().map(Word::as_str), expected, "{body}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_wait_doubles_with_each_receive_up_to_five_minutes() {
    let longest: Vec<u32> = (1..=12).map(|receives| wait(receives, u64::MAX)).collect();
    assert_eq!(longest, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300]);
    let shortest: Vec<u32> = (0..=12).map(|receives| wait(receives, 0)).collect();
    assert_eq!(shortest, [1, 1, 2, 4, 8, 16, 32, 64, 128, 150, 150, 150, 150]);
    // Twenty receives, as the template has it, take longer than an outage of half an hour.
    let least: u32 = (1..20).map(|receives| wait(receives, 0)).sum();
    assert!(least >= 1_800, "{least}");
}
