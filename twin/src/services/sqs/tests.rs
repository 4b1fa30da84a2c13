use axum::body::to_bytes;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::queue::{Order, QueueState};
use super::*;
use crate::control::{NoBody, Parameters};
use crate::ledger::TraceId;
use crate::template::Redrive;

fn config(name: &str) -> Queue {
    Queue {
        logical_id: "Q".to_owned(),
        name: name.to_owned(),
        url: format!("http://127.0.0.1/000000000000/{name}"),
        arn: format!("arn:aws:sqs:us-east-1:000000000000:{name}"),
        fifo: name.ends_with(".fifo"),
        content_based_deduplication: false,
        deduplicate_per_group: false,
        delay: Duration::ZERO,
        visibility_timeout: Duration::from_secs(30),
        retention: Duration::from_secs(345_600),
        receive_wait: Duration::ZERO,
        max_message_bytes: 1_048_576,
        redrive: None,
    }
}

fn with_dead_letters(name: &str, max_receives: u32) -> [Queue; 2] {
    let dead = if name.ends_with(".fifo") { "dead.fifo" } else { "dead" };
    let redrive = Some(Redrive { dead_letter_queue: dead.to_owned(), max_receives });
    [Queue { redrive, ..config(name) }, config(dead)]
}

fn plain(body: &str) -> Outgoing {
    Outgoing { body: body.to_owned(), ..Outgoing::default() }
}

fn grouped(body: &str, group: &str) -> Outgoing {
    let deduplication_id = Some(format!("{group}-{body}"));
    Outgoing { body: body.to_owned(), group: Some(group.to_owned()), deduplication_id, ..Outgoing::default() }
}

/// A queue and its bodies, at times that the test chooses.
struct Bench(QueueState);

impl Bench {
    fn new(config: Queue) -> Self {
        Self(QueueState::new(config))
    }

    fn send(&mut self, outgoing: Outgoing, now: u64) {
        let id = format!("id-{}", outgoing.body);
        self.0.send(outgoing, id, now).unwrap();
    }

    fn receive(&mut self, now: u64) -> Vec<Received> {
        self.0.receive(10, None, now, Order::Sent).received
    }

    fn bodies(&mut self, now: u64) -> Vec<String> {
        self.receive(now).into_iter().map(|it| it.message.body).collect()
    }
}

#[test]
fn a_message_is_hidden_while_it_is_in_flight_and_back_when_its_time_is_over() {
    let mut queue = Bench::new(config("q"));
    queue.send(plain("a"), 1000);
    let first = queue.receive(1000).remove(0);
    assert!(queue.receive(30_999).is_empty());
    assert_eq!(queue.0.next_change(1000), Some(31_000));
    assert_eq!(queue.0.counts(2000), Counts { visible: 0, in_flight: 1, delayed: 0 });
    let second = queue.receive(31_000).remove(0);
    assert_eq!((second.message.receives, second.message.first_received_at), (2, Some(1000)));
    // The first handle is stale: the answer is a success, and the message stays.
    assert_eq!(queue.0.delete(&first.receipt_handle, 31_001), Ok(None));
    assert!(queue.0.delete(&second.receipt_handle, 31_001).unwrap().is_some());
    assert_eq!(queue.0.delete(&second.receipt_handle, 31_001), Ok(None));
    assert_eq!(queue.0.delete("nonsense", 0).unwrap_err().code, Code::ReceiptHandleIsInvalid);
}

#[test]
fn a_delay_hides_one_message_and_no_other() {
    let mut queue = Bench::new(Queue { delay: Duration::from_secs(2), ..config("q") });
    queue.send(Outgoing { delay_seconds: Some(5), ..plain("late") }, 0);
    queue.send(plain("usual"), 0);
    queue.send(Outgoing { delay_seconds: Some(0), ..plain("now") }, 0);
    assert_eq!(queue.0.counts(0), Counts { visible: 1, in_flight: 0, delayed: 2 });
    assert_eq!(queue.bodies(0), ["now"]);
    assert_eq!(queue.bodies(2000), ["usual"]);
    assert_eq!(queue.bodies(4999), [""; 0]);
    assert_eq!(queue.bodies(5000), ["late"]);
    let too_long = Outgoing { delay_seconds: Some(901), ..plain("x") };
    assert_eq!(queue.0.send(too_long, String::new(), 0).unwrap_err().code, Code::InvalidParameterValue);
}

#[test]
fn visibility_can_be_changed_while_in_flight_only() {
    let mut queue = Bench::new(config("q"));
    queue.send(plain("a"), 0);
    let received = queue.receive(0).remove(0);
    queue.0.change_visibility(&received.receipt_handle, Duration::from_secs(60), 1000).unwrap();
    assert!(queue.receive(60_999).is_empty());
    queue.0.change_visibility(&received.receipt_handle, Duration::ZERO, 2000).unwrap();
    let error = queue.0.change_visibility(&received.receipt_handle, Duration::ZERO, 2001).unwrap_err();
    assert_eq!(error.code, Code::MessageNotInflight);
    assert_eq!(queue.bodies(2000), ["a"]);
}

#[test]
fn a_group_is_in_order_and_blocked_while_any_of_it_is_in_flight() {
    let mut queue = Bench::new(config("q.fifo"));
    for (body, group) in [("1", "a"), ("2", "a"), ("1", "b"), ("3", "a")] {
        queue.send(grouped(body, group), 0);
    }
    let batch = queue.0.receive(2, None, 0, Order::Sent).received;
    assert_eq!(batch.iter().map(|it| it.message.body.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(queue.bodies(1), ["1"], "the other group goes on");
    queue.0.delete(&batch[0].receipt_handle, 2).unwrap();
    assert_eq!(queue.bodies(2), [""; 0], "the second of the batch still blocks the third");
    queue.0.delete(&batch[1].receipt_handle, 3).unwrap();
    assert_eq!(queue.bodies(3), ["3"]);
}

#[test]
fn a_group_whose_time_is_over_comes_back_in_order() {
    let mut queue = Bench::new(config("q.fifo"));
    for body in ["1", "2", "3"] {
        queue.send(grouped(body, "a"), 0);
    }
    let batch = queue.0.receive(2, None, 0, Order::Sent).received;
    queue.0.change_visibility(&batch[0].receipt_handle, Duration::ZERO, 10).unwrap();
    assert_eq!(queue.bodies(10), [""; 0], "the second is still in flight");
    let late = queue.0.delete(&batch[0].receipt_handle, 11).unwrap_err();
    assert!(late.message.contains("expired"), "{late}");
    assert_eq!(queue.bodies(30_000), ["1", "2", "3"]);
}

#[test]
fn a_delayed_head_holds_its_group_back() {
    let mut queue = Bench::new(Queue { delay: Duration::from_secs(1), ..config("q.fifo") });
    queue.send(grouped("1", "a"), 0);
    queue.send(grouped("1", "b"), 500);
    assert_eq!(queue.bodies(1000), ["1"]);
    assert_eq!(queue.bodies(1499), [""; 0]);
    assert_eq!(queue.receive(1500)[0].message.group.as_deref(), Some("b"));
}

#[test]
fn a_repeated_deduplication_id_is_answered_and_not_sent_for_five_minutes() {
    let mut queue = Bench::new(config("q.fifo"));
    let send = |queue: &mut Bench, group: &str, id: &str, now: u64| {
        let outgoing = Outgoing { deduplication_id: Some("same".to_owned()), ..grouped("x", group) };
        queue.0.send(outgoing, id.to_owned(), now).unwrap()
    };
    let first = send(&mut queue, "a", "first", 0);
    let received = queue.receive(0).remove(0);
    queue.0.delete(&received.receipt_handle, 1).unwrap();
    let again = send(&mut queue, "b", "second", 299_999);
    assert_eq!((again.message_id, again.sequence, again.stored), (first.message_id, first.sequence, None));
    assert!(queue.receive(299_999).is_empty());
    assert_eq!(send(&mut queue, "a", "third", 300_000).message_id, "third");

    let mut per_group = Bench::new(Queue { deduplicate_per_group: true, ..config("q.fifo") });
    assert!(send(&mut per_group, "a", "1", 0).stored.is_some());
    assert!(send(&mut per_group, "b", "2", 0).stored.is_some());
    assert!(send(&mut per_group, "a", "3", 0).stored.is_none());
}

#[test]
fn fifo_needs_a_group_and_a_deduplication_id() {
    let mut queue = Bench::new(config("q.fifo"));
    let mut send = |outgoing| queue.0.send(outgoing, "id".to_owned(), 0).map_err(|error| error.code);
    assert_eq!(send(plain("x")).unwrap_err(), Code::MissingParameter);
    let without_id = Outgoing { deduplication_id: None, ..grouped("x", "a") };
    assert_eq!(send(without_id.clone()).unwrap_err(), Code::InvalidParameterValue);
    let delayed = Outgoing { delay_seconds: Some(1), ..grouped("x", "a") };
    assert_eq!(send(delayed).unwrap_err(), Code::InvalidParameterValue);
    let mut by_content = Bench::new(Queue { content_based_deduplication: true, ..config("q.fifo") });
    by_content.send(without_id.clone(), 0);
    by_content.send(without_id, 0);
    assert_eq!(by_content.bodies(0), ["x"]);
    let mut standard = Bench::new(config("q"));
    let with_id = Outgoing { group: None, ..grouped("x", "a") };
    assert_eq!(standard.0.send(with_id, String::new(), 0).unwrap_err().code, Code::InvalidParameterValue);
}

#[test]
fn a_message_that_was_received_too_often_is_a_dead_letter() {
    let [source, dead] = with_dead_letters("q.fifo", 2);
    let (mut source, mut dead) = (Bench::new(source), QueueState::new(dead));
    source.send(grouped("poison", "a"), 0);
    source.send(grouped("good", "a"), 0);
    for receipt in 0..2 {
        let now = receipt * 30_000;
        assert_eq!(source.bodies(now), ["poison", "good"]);
    }
    let taken = source.0.receive(10, None, 60_000, Order::Sent);
    let [(_, poison), (_, good)] = taken.dead.try_into().unwrap();
    assert_eq!((poison.body.as_str(), good.body.as_str()), ("poison", "good"));
    let id = poison.id.clone();
    let letter = dead.accept_dead_letter(poison, "arn:aws:sqs:us-east-1:0:q.fifo", 60_000).message;
    assert_eq!((letter.id, letter.receives, letter.group.as_deref()), (id, 0, Some("a")));
    assert_eq!(letter.dead_letter_source.as_deref(), Some("arn:aws:sqs:us-east-1:0:q.fifo"));
}

#[test]
fn a_receive_is_full_although_dead_letters_stand_before_it() {
    let [source, _] = with_dead_letters("q", 1);
    let mut queue = Bench::new(source);
    for body in ["1", "2", "3"] {
        queue.send(plain(body), 0);
    }
    assert_eq!(queue.bodies(0).len(), 3);
    queue.send(plain("4"), 30_000);
    let taken = queue.0.receive(1, None, 30_000, Order::Sent);
    assert_eq!((taken.dead.len(), taken.received[0].message.body.as_str()), (3, "4"));
}

#[test]
fn what_is_too_old_is_dropped() {
    let mut queue = Bench::new(Queue { retention: Duration::from_secs(60), ..config("q") });
    queue.send(plain("old"), 0);
    queue.send(plain("new"), 30_000);
    assert_eq!(queue.0.expire(59_999), [0; 0]);
    assert_eq!(queue.0.expire(60_000).len(), 1);
    assert_eq!(queue.bodies(60_000), ["new"]);
}

fn open(queues: &[Queue]) -> Sqs {
    Sqs::open(queues, None, Ledger::new(), Faults::default()).unwrap()
}

async fn ask(sqs: &Sqs, operation: &str, request: Value) -> Result<Value, SqsError> {
    let mut request = request;
    request["QueueUrl"] = request["QueueUrl"].as_str().unwrap_or("http://127.0.0.1:1/000000000000/q").into();
    sqs.answer(operation, request.to_string().as_bytes(), Vec::new()).await.result
}

#[tokio::test]
async fn a_long_poll_ends_with_the_first_message() {
    let sqs = open(&[config("q")]);
    let poll = sqs.receive("q", 10, Duration::from_secs(20), None);
    let (received, sent) = tokio::join!(poll, sqs.send("q", plain("hello")));
    assert_eq!(received.unwrap()[0].message.id, sent.unwrap().message_id);
}

#[tokio::test]
async fn a_long_poll_ends_when_time_makes_a_message_visible() {
    let sqs = open(&[config("q")]);
    sqs.send("q", plain("hello")).await.unwrap();
    let brief = Some(Duration::from_millis(30));
    assert_eq!(sqs.receive("q", 1, Duration::ZERO, brief).await.unwrap().len(), 1);
    assert_eq!(sqs.receive("q", 1, Duration::ZERO, None).await.unwrap().len(), 0);
    let again = sqs.receive("q", 1, Duration::from_secs(20), None).await.unwrap();
    assert_eq!(again[0].message.receives, 2);
    assert!(sqs.receive("q", 1, Duration::from_millis(20), None).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_long_poll_of_a_fifo_queue_ends_when_its_group_is_free() {
    let sqs = open(&[config("q.fifo")]);
    for body in ["1", "2"] {
        sqs.send("q.fifo", grouped(body, "a")).await.unwrap();
    }
    let first = sqs.receive("q.fifo", 1, Duration::ZERO, None).await.unwrap().remove(0);
    let poll = sqs.receive("q.fifo", 1, Duration::from_secs(20), None);
    let (second, deleted) = tokio::join!(poll, sqs.delete("q.fifo", [first.receipt_handle.as_str()]));
    deleted.unwrap().remove(0).unwrap();
    assert_eq!(second.unwrap()[0].message.body, "2");
}

#[tokio::test]
async fn the_wire_carries_attributes_digests_and_the_trace() {
    let sqs = open(&[config("q.fifo")]);
    let url = "http://127.0.0.1:1/000000000000/q.fifo";
    let trace = TraceId::new();
    let send = json!({
        "QueueUrl": url,
        "MessageBody": "hello",
        "MessageGroupId": "a",
        "MessageDeduplicationId": "1",
        "MessageAttributes": {"kind": {"DataType": "String", "StringValue": "x"}},
        "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": trace.header()}},
    });
    let answer = sqs.answer("SendMessage", send.to_string().as_bytes(), Vec::new()).await;
    assert_eq!(answer.traces, std::slice::from_ref(&trace));
    let sent = answer.result.unwrap();
    assert_eq!(sent["MD5OfMessageBody"], "5d41402abc4b2a76b9719d911017c592");
    // Computed independently of this code, from the form that SQS documents.
    assert_eq!(sent["MD5OfMessageAttributes"], "57dd03eb020678b56fd5c31e88f4cff1");
    assert!(sent["MD5OfMessageSystemAttributes"].is_string());
    assert_eq!(sent["SequenceNumber"], "00000000000000000001");

    let receive = json!({"QueueUrl": url, "MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"]});
    let answer = sqs.answer("ReceiveMessage", receive.to_string().as_bytes(), Vec::new()).await;
    assert_eq!(answer.traces, std::slice::from_ref(&trace));
    let message = &answer.result.unwrap()["Messages"][0];
    assert_eq!(message["Attributes"]["AWSTraceHeader"], trace.header());
    assert_eq!(message["Attributes"]["MessageGroupId"], "a");
    assert_eq!(message["Attributes"]["ApproximateReceiveCount"], "1");
    assert_eq!(message["MessageAttributes"]["kind"]["StringValue"], "x");
    assert_eq!(message["MD5OfMessageAttributes"], sent["MD5OfMessageAttributes"]);
    let delete = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]});
    ask(&sqs, "DeleteMessage", delete).await.unwrap();
    assert_eq!(sqs.counts()[0].counts, Counts::default());
}

#[tokio::test]
async fn a_message_without_a_trace_gets_that_of_the_sending_invocation() {
    let sqs = open(&[config("q")]);
    let trace = TraceId::new();
    let send = json!({"QueueUrl": "x/q", "MessageBody": "hello"});
    let answer = sqs.answer("SendMessage", send.to_string().as_bytes(), vec![trace.clone()]).await;
    assert!(answer.result.unwrap().get("MD5OfMessageSystemAttributes").is_none());
    let received = sqs.receive("q", 1, Duration::ZERO, None).await.unwrap().remove(0);
    assert_eq!(received.system_attributes()["AWSTraceHeader"], trace.header());
    assert_eq!(received.message.traces, [trace]);
}

#[tokio::test]
async fn the_entries_of_a_batch_succeed_or_fail_by_themselves() {
    let sqs = open(&[config("q")]);
    let entries = json!({"Entries": [
        {"Id": "good", "MessageBody": "hello", "DelaySeconds": 0},
        {"Id": "bad", "MessageBody": "\u{1}"},
        {"Id": "worse", "MessageBody": 7},
    ]});
    let answer = ask(&sqs, "SendMessageBatch", entries).await.unwrap();
    assert_eq!(answer["Successful"][0]["Id"], "good");
    assert_eq!(answer["Failed"][0]["Code"], "InvalidMessageContents");
    assert_eq!(answer["Failed"][1]["Id"], "worse");
    let received = sqs.receive("q", 10, Duration::ZERO, None).await.unwrap();
    let handle = &received[0].receipt_handle;
    let entries = json!({"Entries": [
        {"Id": "a", "ReceiptHandle": handle, "VisibilityTimeout": 5},
        {"Id": "b", "ReceiptHandle": "nonsense", "VisibilityTimeout": 5},
    ]});
    let changed = ask(&sqs, "ChangeMessageVisibilityBatch", entries.clone()).await.unwrap();
    assert_eq!((&changed["Successful"][0]["Id"], &changed["Failed"][0]["Id"]), (&json!("a"), &json!("b")));
    let deleted = ask(&sqs, "DeleteMessageBatch", entries).await.unwrap();
    assert_eq!(deleted["Failed"][0]["Code"], "ReceiptHandleIsInvalid");
    assert_eq!(sqs.counts()[0].counts, Counts::default());
}

#[tokio::test]
async fn bad_requests_are_refused_by_name() {
    let sqs = open(&[config("q")]);
    let entry = |id: &str| json!({"Id": id, "MessageBody": "x"});
    let eleven: Vec<Value> = (0..11).map(|id| entry(&id.to_string())).collect();
    let large = "x".repeat(600_000);
    let two_large = json!([{"Id": "a", "MessageBody": large}, {"Id": "b", "MessageBody": large}]);
    for (operation, request, code) in [
        ("SendMessage", json!({"QueueUrl": "x/none", "MessageBody": "x"}), "QueueDoesNotExist"),
        ("SendMessage", json!({}), "MissingRequiredParameterException"),
        ("SendMessage", json!({"MessageBody": ""}), "MissingRequiredParameterException"),
        ("SendMessage", json!({"MessageBody": "x".repeat(1_048_577)}), "InvalidParameterValueException"),
        ("SendMessageBatch", json!({"Entries": []}), "EmptyBatchRequest"),
        ("SendMessageBatch", json!({"Entries": eleven}), "TooManyEntriesInBatchRequest"),
        ("SendMessageBatch", json!({"Entries": [entry("a"), entry("a")]}), "BatchEntryIdsNotDistinct"),
        ("SendMessageBatch", json!({"Entries": [entry("a b")]}), "InvalidBatchEntryId"),
        ("SendMessageBatch", json!({"Entries": two_large}), "BatchRequestTooLong"),
        ("ReceiveMessage", json!({"MaxNumberOfMessages": 11}), "InvalidParameterValueException"),
        ("ReceiveMessage", json!({"WaitTimeSeconds": 21}), "InvalidParameterValueException"),
        ("DeleteMessage", json!({"ReceiptHandle": "x"}), "ReceiptHandleIsInvalid"),
        ("StartMessageMoveTask", json!({}), "MissingRequiredParameterException"),
        ("StartMessageMoveTask", json!({"SourceArn": "arn:aws:sqs:x:y:none"}), "ResourceNotFoundException"),
        ("StartMessageMoveTask", json!({"SourceArn": config("q").arn}), "InvalidParameterValueException"),
        ("ListMessageMoveTasks", json!({"SourceArn": "x"}), "ResourceNotFoundException"),
        ("CancelMessageMoveTask", json!({"TaskHandle": "x"}), "ResourceNotFoundException"),
        ("CreateQueue", json!({"QueueName": "new"}), "UnsupportedOperation"),
        ("SetQueueAttributes", json!({}), "UnsupportedOperation"),
    ] {
        let error = ask(&sqs, operation, request).await.unwrap_err();
        assert_eq!(error.code.name(), code, "{operation}: {error}");
    }
    assert_eq!(sqs.counts()[0].counts, Counts::default());
}

#[tokio::test]
async fn queues_describe_themselves() {
    let sqs = open(&with_dead_letters("q", 5));
    sqs.send("q", plain("x")).await.unwrap();
    let attributes = ask(&sqs, "GetQueueAttributes", json!({"AttributeNames": ["All"]})).await.unwrap();
    assert_eq!(attributes["Attributes"]["ApproximateNumberOfMessages"], "1");
    for time in ["CreatedTimestamp", "LastModifiedTimestamp"] {
        let seconds: u64 = attributes["Attributes"][time].as_str().unwrap().parse().unwrap();
        assert!((1_700_000_000..4_000_000_000).contains(&seconds), "{time}: {seconds}");
    }
    let policy: Value = serde_json::from_str(attributes["Attributes"]["RedrivePolicy"].as_str().unwrap()).unwrap();
    assert_eq!(policy["deadLetterTargetArn"], "arn:aws:sqs:us-east-1:000000000000:dead");
    let urls = ask(&sqs, "ListQueues", json!({"QueueNamePrefix": "d"})).await.unwrap();
    assert_eq!(urls["QueueUrls"], json!(["http://127.0.0.1/000000000000/dead"]));
    let url = ask(&sqs, "GetQueueUrl", json!({"QueueName": "q"})).await.unwrap();
    assert_eq!(url["QueueUrl"], "http://127.0.0.1/000000000000/q");
    let sources = ask(&sqs, "ListDeadLetterSourceQueues", json!({"QueueUrl": "x/dead"})).await.unwrap();
    assert_eq!(sources["queueUrls"][0], "http://127.0.0.1/000000000000/q");
    ask(&sqs, "PurgeQueue", json!({})).await.unwrap();
    assert_eq!(sqs.counts()[1].counts, Counts::default());
}

#[tokio::test]
async fn dead_letters_arrive_and_their_trace_is_quiet() {
    let ledger = Ledger::new();
    let sqs = Sqs::open(&with_dead_letters("q", 1), None, ledger.clone(), Faults::default()).unwrap();
    let trace = ledger.begin("POST /");
    let outgoing = Outgoing { traces: vec![trace.clone()], ..plain("poison") };
    let sent = sqs.send("q", outgoing).await.unwrap();
    assert!(!ledger.find(&sent.message_id).unwrap().quiet);
    assert_eq!(sqs.receive("q", 1, Duration::ZERO, Some(Duration::ZERO)).await.unwrap().len(), 1);
    let (letter, none) =
        tokio::join!(sqs.receive("dead", 1, Duration::from_secs(20), None), sqs.receive("q", 1, Duration::ZERO, None),);
    assert_eq!(none.unwrap(), []);
    let letter = letter.unwrap().remove(0);
    assert_eq!(letter.message.id, sent.message_id);
    assert_eq!(letter.system_attributes()["DeadLetterQueueSourceArn"], config("q").arn);
    assert!(ledger.settled(&trace).await.unwrap().quiet);
}

#[tokio::test]
async fn what_was_accepted_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queues.journal");
    let queues: Vec<Queue> = [with_dead_letters("q", 2), with_dead_letters("q.fifo", 5)].concat();
    let reopen = || Sqs::open(&queues, Some(&path), Ledger::new(), Faults::default()).unwrap();

    let sqs = reopen();
    let kept = sqs.send("q", plain("kept")).await.unwrap();
    sqs.receive("q", 1, Duration::ZERO, None).await.unwrap();
    sqs.send("q", Outgoing { delay_seconds: Some(900), ..plain("later") }).await.unwrap();
    let done = sqs.send("q.fifo", grouped("done", "a")).await.unwrap();
    let received = sqs.receive("q.fifo", 1, Duration::ZERO, None).await.unwrap().remove(0);
    sqs.delete("q.fifo", [received.receipt_handle.as_str()]).await.unwrap();

    // Twice, so that the second start reads the journal that the first has rewritten.
    for start in 0..2 {
        let sqs = reopen();
        let find = |name: &str| sqs.counts().into_iter().find(|it| it.name == name).unwrap().counts;
        assert_eq!(find("q"), Counts { visible: 1, in_flight: 0, delayed: 1 }, "start {start}");
        assert_eq!(find("q.fifo"), Counts::default());
        let repeated = sqs.send("q.fifo", grouped("done", "a")).await.unwrap();
        assert_eq!(repeated.message_id, done.message_id, "its deduplication id is remembered");
    }
    let sqs = reopen();
    let again = sqs.receive("q", 1, Duration::ZERO, Some(Duration::ZERO)).await.unwrap().remove(0);
    assert_eq!((again.message.id.as_str(), again.message.receives), (kept.message_id.as_str(), 2));
    assert!(sqs.receive("q", 1, Duration::ZERO, None).await.unwrap().is_empty(), "it is a dead letter now");
    sqs.flush().await.unwrap();
    let sqs = reopen();
    let letter = sqs.receive("dead", 1, Duration::ZERO, None).await.unwrap().remove(0);
    assert_eq!(letter.message.id, kept.message_id);
}

#[tokio::test]
async fn messages_of_a_queue_that_left_the_template_come_back_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queues.journal");
    let open = |names: &[&str]| {
        let queues: Vec<Queue> = names.iter().map(|name| config(name)).collect();
        Sqs::open(&queues, Some(&path), Ledger::new(), Faults::default()).unwrap()
    };
    let sqs = open(&["a", "a.fifo"]);
    let kept = sqs.send("a", plain("kept")).await.unwrap();
    sqs.send("a.fifo", grouped("first", "g")).await.unwrap();
    let done = sqs.send("a.fifo", grouped("done", "h")).await.unwrap();
    for it in sqs.receive("a.fifo", 10, Duration::ZERO, None).await.unwrap() {
        if it.message.body == "done" {
            sqs.delete("a.fifo", [it.receipt_handle.as_str()]).await.unwrap();
        }
    }
    drop(sqs);
    // Twice without them, so that the second start reads the journal that the first has rewritten.
    for _ in 0..2 {
        let sqs = open(&["b"]);
        assert_eq!(sqs.counts().len(), 1, "only what the template has is served");
        sqs.send("b", plain("of another template")).await.unwrap();
        sqs.flush().await.unwrap();
    }
    let sqs = open(&["a", "a.fifo", "b"]);
    let again = sqs.receive("a", 10, Duration::ZERO, None).await.unwrap();
    assert_eq!((again.len(), again[0].message.id.as_str()), (1, kept.message_id.as_str()));
    assert_eq!(sqs.send("a.fifo", grouped("done", "h")).await.unwrap().message_id, done.message_id);
    let counts: Vec<usize> = sqs.counts().into_iter().map(|it| it.counts.visible).collect();
    assert_eq!(counts, [0, 1, 2]);
}

#[tokio::test]
async fn dead_letters_are_redriven_to_where_they_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queues.journal");
    let queues: Vec<Queue> = [with_dead_letters("q", 1), with_dead_letters("q.fifo", 1)].concat();
    let ledger = Ledger::new();
    let sqs = Sqs::open(&queues, Some(&path), ledger.clone(), Faults::default()).unwrap();
    let trace = ledger.begin("POST /");
    for (queue, dead) in [("q", "dead"), ("q.fifo", "dead.fifo")] {
        let grouped = |body| if queue == "q" { plain(body) } else { grouped(body, "a") };
        let first = sqs.send(queue, Outgoing { traces: vec![trace.clone()], ..grouped("1") }).await.unwrap();
        sqs.send(queue, grouped("2")).await.unwrap();
        sqs.receive(queue, 10, Duration::ZERO, Some(Duration::ZERO)).await.unwrap();
        assert!(sqs.receive(queue, 10, Duration::ZERO, None).await.unwrap().is_empty());
        assert!(ledger.find(trace.as_str()).unwrap().quiet);

        assert_eq!(sqs.redrive(dead).await.unwrap(), 2);
        assert!(!ledger.find(trace.as_str()).unwrap().quiet, "it waits again");
        // Moved messages stay in their new queue, even after a kill.
        let copy = folder.path().join(queue);
        std::fs::copy(&path, &copy).unwrap();
        let kept = Sqs::open(&queues, Some(&copy), Ledger::new(), Faults::default()).unwrap();
        for sqs in [&kept, &sqs] {
            let again = sqs.receive(queue, 10, Duration::ZERO, None).await.unwrap();
            let seen = |it: &Received| (it.message.body.clone(), it.message.receives, it.message.group.clone());
            let group = (queue != "q").then(|| "a".to_owned());
            let expected = ["1", "2"].map(|body| (body.to_owned(), 1, group.clone()));
            assert_eq!(again.iter().map(seen).collect::<Vec<_>>(), expected);
            assert_ne!(again[0].message.id, first.message_id);
            assert_eq!(again[0].message.dead_letter_source, None);
            let handles: Vec<&str> = again.iter().map(|it| it.receipt_handle.as_str()).collect();
            sqs.delete(queue, handles).await.unwrap();
        }
        assert_eq!(sqs.redrive(dead).await.unwrap(), 0);
    }
    // A message without a source goes to the only queue that has this dead-letter queue.
    sqs.send("dead", plain("by hand")).await.unwrap();
    let in_hand = sqs.receive("dead", 1, Duration::ZERO, None).await.unwrap().remove(0);
    assert_eq!(sqs.redrive("dead").await.unwrap(), 0, "it is in flight");
    sqs.change_visibility("dead", &in_hand.receipt_handle, Duration::ZERO).unwrap();
    assert_eq!(sqs.redrive("dead").await.unwrap(), 1);
    assert_eq!(sqs.receive("q", 1, Duration::ZERO, None).await.unwrap()[0].message.body, "by hand");
    assert_eq!(sqs.redrive("none").await.unwrap_err().code, Code::QueueDoesNotExist);
}

/// A dead-letter queue with these messages, each given up by `q`.
async fn dead_letters(bodies: &[&str]) -> Sqs {
    let sqs = open(&[&with_dead_letters("q", 1)[..], &[config("other")]].concat());
    for body in bodies {
        sqs.send("q", plain(body)).await.unwrap();
    }
    sqs.receive("q", 10, Duration::ZERO, Some(Duration::ZERO)).await.unwrap();
    assert!(sqs.receive("q", 10, Duration::ZERO, None).await.unwrap().is_empty());
    sqs
}

/// The newest task of `dead`, once it has ended.
async fn ended_task(sqs: &Sqs) -> Value {
    let ended = async {
        loop {
            let listed = ask(sqs, "ListMessageMoveTasks", json!({"SourceArn": config("dead").arn})).await.unwrap();
            let task = listed["Results"][0].clone();
            if task["Status"] != "RUNNING" {
                return task;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap()
}

#[tokio::test]
async fn a_task_moves_dead_letters_back_or_to_another_queue_and_is_listed() {
    let sqs = dead_letters(&["1", "2"]).await;
    let source = config("dead").arn;
    let handle = ask(&sqs, "StartMessageMoveTask", json!({"SourceArn": source})).await.unwrap()["TaskHandle"].clone();
    assert!(handle.as_str().is_some_and(|handle| !handle.is_empty()));
    let task = ended_task(&sqs).await;
    assert_eq!((&task["Status"], &task["SourceArn"]), (&json!("COMPLETED"), &json!(source)));
    let counts = [&task["ApproximateNumberOfMessagesMoved"], &task["ApproximateNumberOfMessagesToMove"]];
    assert_eq!(counts, [&json!(2), &json!(2)]);
    assert!(task.get("TaskHandle").is_none() && task["StartedTimestamp"].as_u64() > Some(1_700_000_000_000));
    assert_eq!(sqs.receive("q", 10, Duration::ZERO, Some(Duration::ZERO)).await.unwrap().len(), 2);
    assert!(sqs.receive("q", 10, Duration::ZERO, None).await.unwrap().is_empty(), "they are dead again");

    let other =
        json!({"SourceArn": source, "DestinationArn": config("other").arn, "MaxNumberOfMessagesPerSecond": 500});
    ask(&sqs, "StartMessageMoveTask", other).await.unwrap();
    let task = ended_task(&sqs).await;
    assert_eq!(task["DestinationArn"], config("other").arn);
    assert_eq!(sqs.receive("other", 10, Duration::ZERO, None).await.unwrap().len(), 2);
    let all = ask(&sqs, "ListMessageMoveTasks", json!({"SourceArn": source, "MaxResults": 10})).await.unwrap();
    assert_eq!(all["Results"].as_array().unwrap().len(), 2);
    let done = ask(&sqs, "CancelMessageMoveTask", json!({"TaskHandle": handle})).await.unwrap_err();
    assert_eq!(done.code, Code::UnsupportedOperation);
}

#[tokio::test]
async fn a_task_that_leads_nowhere_and_a_list_of_too_many_are_refused() {
    let queues = [&with_dead_letters("q", 1)[..], &[config("other"), config("row.fifo")]].concat();
    let sqs = open(&queues);
    let (source, other) = (config("dead").arn, config("other").arn);
    let invalid = Code::InvalidParameterValue;
    for (operation, request, code, message) in [
        (
            "StartMessageMoveTask",
            json!({"SourceArn": source, "DestinationArn": source}),
            invalid,
            "cannot be the same.",
        ),
        (
            "StartMessageMoveTask",
            json!({"SourceArn": source, "DestinationArn": config("row.fifo").arn}),
            invalid,
            "must be of the same queue type.",
        ),
        ("StartMessageMoveTask", json!({"SourceArn": other}), invalid, "configured as a Dead Letter Queue."),
        (
            "StartMessageMoveTask",
            json!({"SourceArn": source, "DestinationArn": "arn:aws:sqs:us-east-1:000000000000:none"}),
            Code::ResourceNotFound,
            "the DestinationArn parameter doesn't exist.",
        ),
        ("ListMessageMoveTasks", json!({"SourceArn": source, "MaxResults": 11}), invalid, "Must be >= 1 and <= 10"),
        ("ListMessageMoveTasks", json!({"SourceArn": source, "MaxResults": 0}), invalid, "Must be >= 1 and <= 10"),
        ("ListQueues", json!({"MaxResults": 1001}), invalid, "Must be >= 1 and <= 1000"),
        (
            "GetQueueAttributes",
            json!({"QueueUrl": config("q").url, "AttributeNames": ["QueueArn", "ApproximateNumberOfMesages"]}),
            Code::InvalidAttributeName,
            "Unknown Attribute ApproximateNumberOfMesages.",
        ),
    ] {
        let refused = ask(&sqs, operation, request.clone()).await.unwrap_err();
        assert!(refused.code == code && refused.message.contains(message), "{request}: {refused:?}");
    }
    let listed = ask(&sqs, "ListMessageMoveTasks", json!({"SourceArn": source, "MaxResults": 10})).await.unwrap();
    assert_eq!(listed, json!({"Results": []}), "no task was made");
}

#[tokio::test]
async fn attributes_of_messages_have_a_name_and_a_type() {
    let sqs = open(&[config("q")]);
    let send = async |name: &str, kind: &str, value: &str| {
        let attributes = json!({name: {"DataType": kind, "StringValue": value}});
        let request = json!({"QueueUrl": config("q").url, "MessageBody": "x", "MessageAttributes": attributes});
        ask(&sqs, "SendMessage", request).await.map_err(|error| error.message)
    };
    for (name, kind, value) in [("a", "String", "1"), ("a.b-c_D9", "Number", "-1.5"), ("a", "Number.int", "7")] {
        assert!(send(name, kind, value).await.is_ok(), "{name} {kind}");
    }
    for (name, kind, value, message) in [
        ("a", "string", "1", "invalid message attribute type"),
        ("a", "", "1", "invalid message attribute type"),
        ("a", "Number", "one", "Can't cast the value"),
        ("a b", "String", "1", "attribute name can only contain"),
        ("", "String", "1", "attribute name can only contain"),
        ("AWS.x", "String", "1", "begins with a reserved prefix"),
    ] {
        let refused = send(name, kind, value).await.unwrap_err();
        assert!(refused.contains(message), "{name:?} {kind:?}: {refused}");
    }
}

#[tokio::test]
async fn a_slow_task_is_the_only_one_and_can_be_cancelled() {
    let sqs = dead_letters(&["1", "2", "3"]).await;
    let slow = json!({"SourceArn": config("dead").arn, "MaxNumberOfMessagesPerSecond": 1});
    let started = ask(&sqs, "StartMessageMoveTask", slow.clone()).await.unwrap();
    let second = ask(&sqs, "StartMessageMoveTask", slow).await.unwrap_err();
    assert!(second.message.starts_with("There is already a task running."), "{second}");
    ask(&sqs, "CancelMessageMoveTask", json!({"TaskHandle": started["TaskHandle"]})).await.unwrap();
    let task = ended_task(&sqs).await;
    assert_eq!(task["Status"], "CANCELLED");
    assert!(task["ApproximateNumberOfMessagesMoved"].as_u64() < Some(3), "{task}");
}

#[tokio::test]
async fn a_queue_that_the_template_no_longer_has_keeps_its_messages_in_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queues.journal");
    let reopen = |queues: &[Queue]| Sqs::open(queues, Some(&path), Ledger::new(), Faults::default()).unwrap();
    let both = [config("q"), config("gone")];
    reopen(&both).send("gone", plain("kept")).await.unwrap();
    for _ in 0..2 {
        let sqs = reopen(&both[..1]);
        assert_eq!(sqs.counts().len(), 1);
        assert_eq!(sqs.peek("gone", 1).unwrap_err().code, Code::QueueDoesNotExist);
    }
    assert_eq!(reopen(&both).peek("gone", 10).unwrap()[0].body, "kept");
}

#[tokio::test]
async fn a_redrive_names_either_queue_by_name_or_logical_id_and_reports_its_moves() {
    let named = |mut queue: Queue, id: &str| {
        queue.logical_id = id.to_owned();
        queue
    };
    let [q, dead] = with_dead_letters("q", 1);
    let [other, _] = with_dead_letters("other", 1);
    let sqs = open(&[named(q, "Q"), named(dead, "Dead"), named(other, "Other"), named(config("alone"), "Alone")]);
    for (asked, from, to) in [("q", "dead", "q"), ("Q", "dead", "q"), ("dead", "dead", "q"), ("Dead", "dead", "q")] {
        for queue in ["q", "other"] {
            sqs.send(queue, plain(queue)).await.unwrap();
            for _ in 0..2 {
                sqs.receive(queue, 10, Duration::ZERO, Some(Duration::ZERO)).await.unwrap();
            }
        }
        let response =
            super::control::redrive(State(sqs.clone()), Path(asked.to_owned()), Parameters(()), NoBody).await;
        let answer: Value = serde_json::from_slice(&to_bytes(response.into_body(), 4096).await.unwrap()).unwrap();
        let all = asked.eq_ignore_ascii_case("dead");
        assert_eq!((&answer["from"], &answer["to"][to]), (&json!(from), &json!(1)), "{asked}");
        assert_eq!(answer["moved"], if all { 2 } else { 1 });
        for queue in ["q", "other", "dead"] {
            sqs.purge(queue).await.unwrap();
        }
    }
}
