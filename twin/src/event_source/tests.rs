use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::faults::{Plan, Rule};
use crate::services::sqs::Outgoing;
use crate::template::{Secrets, Settings};

/// A queue `work` (or `work.fifo`) with dead letters, and a function `F` fed from it.
fn template(fifo: bool, mapping: &str, queue: &str) -> Template {
    let (fifo, suffix) = if fifo { ("FifoQueue: true, ", ".fifo") } else { ("", "") };
    let text = format!(
        "Resources:
  F: {{Type: 'AWS::Lambda::Function', Properties: {{Runtime: provided.al2023, Timeout: 1}}}}
  Dead: {{Type: 'AWS::SQS::Queue', Properties: {{{fifo}QueueName: dead{suffix}}}}}
  Work:
    Type: AWS::SQS::Queue
    Properties:
      {{{fifo}{queue}, QueueName: work{suffix},
      RedrivePolicy: {{deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}}}}
  M:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {{FunctionName: !Ref F, EventSourceArn: !GetAtt Work.Arn, {mapping}}}"
    );
    Template::parse(&text, &Settings::new("", "", ""), &mut Secrets::in_memory()).unwrap()
}

const REPORT: &str = "FunctionResponseTypes: [ReportBatchItemFailures]";

/// An invocation that waits for its answer.
struct Call {
    records: Vec<Value>,
    traces: Vec<TraceId>,
    answer: oneshot::Sender<Result<Bytes, &'static str>>,
}

impl Call {
    fn bodies(&self) -> Vec<&str> {
        self.records.iter().map(|record| record["body"].as_str().unwrap()).collect()
    }

    fn answer(self, answer: &str) {
        self.answer.send(Ok(Bytes::copy_from_slice(answer.as_bytes()))).unwrap();
    }

    /// Reports these bodies as failed.
    fn report(self, failed: &[&str]) {
        let failed = self.records.iter().filter(|record| failed.contains(&record["body"].as_str().unwrap()));
        let failed: Vec<Value> = failed.map(|record| json!({"itemIdentifier": record["messageId"]})).collect();
        self.answer(&json!({"batchItemFailures": failed}).to_string());
    }
}

struct Bench {
    sqs: Sqs,
    ledger: Ledger,
    faults: Faults,
    sources: EventSources,
    calls: mpsc::UnboundedReceiver<Call>,
}

impl Bench {
    fn new(template: &Template) -> Self {
        let ledger = Ledger::new();
        let faults = Faults::default();
        let sqs = Sqs::open(&template.queues, None, ledger.clone(), faults.clone()).unwrap();
        let (sender, calls) = mpsc::unbounded_channel();
        let invoke = move |invocation: Invocation| {
            let event: Value = serde_json::from_slice(&invocation.payload).unwrap();
            let records = event["Records"].as_array().unwrap().clone();
            let (answer, answered) = oneshot::channel();
            sender.send(Call { records, traces: invocation.traces, answer }).unwrap();
            async move { answered.await.unwrap_or(Err("crashed")) }
        };
        let options = EventSourceOptions { retry_after: Some(Duration::ZERO) };
        let sources = EventSources::start(template, &sqs, &ledger, options, &faults, invoke);
        Self { sqs, ledger, faults, sources, calls }
    }

    async fn send(&self, queue: &str, body: &str, group: Option<&str>) -> TraceId {
        let trace = self.ledger.begin(body);
        let outgoing = Outgoing {
            body: body.to_owned(),
            group: group.map(str::to_owned),
            deduplication_id: group.map(|group| format!("{group}-{body}")),
            traces: vec![trace.clone()],
            trace_header: Some(trace.header()),
            ..Outgoing::default()
        };
        self.sqs.send(queue, outgoing).await.unwrap();
        trace
    }

    async fn call(&mut self) -> Call {
        tokio::time::timeout(Duration::from_secs(10), self.calls.recv()).await.unwrap().unwrap()
    }

    async fn dead_letter(&self, queue: &str) -> String {
        let letter = self.sqs.receive(queue, 1, Duration::from_secs(10), None).await.unwrap();
        letter[0].message.body.clone()
    }

    fn visible(&self, queue: &str) -> usize {
        self.sqs.counts().iter().find(|it| it.name == queue).unwrap().counts.visible
    }
}

#[tokio::test]
async fn a_batch_is_handed_over_and_deleted() {
    let template = template(false, "BatchSize: 10, MaximumBatchingWindowInSeconds: 5", "VisibilityTimeout: 30");
    let mut bench = Bench::new(&template);
    let mut traces = Vec::new();
    for number in 0..10 {
        traces.push(bench.send("work", &number.to_string(), None).await);
    }
    let call = bench.call().await;
    assert_eq!(call.records.len(), 10, "the window waits until the batch is full");
    assert_eq!(call.traces.len(), 10);
    let record = &call.records[0];
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(record["eventSourceARN"], "arn:aws:sqs:us-east-1:000000000000:work");
    assert_eq!(record["awsRegion"], "us-east-1");
    assert!(TraceId::from_header(record["attributes"]["AWSTraceHeader"].as_str().unwrap()).is_some());
    call.answer("null");
    let settled = bench.ledger.settled(&traces[0]).await.unwrap();
    assert!((settled.count(sqs::SERVICE, &["DeleteMessageBatch"]) - 0.1).abs() < 1e-9, "{}", settled.cost);
    for trace in &traces {
        bench.ledger.settled(trace).await.unwrap();
    }
    bench.sources.shutdown().await;
    assert_eq!(bench.visible("work"), 0);
}

#[tokio::test]
async fn a_window_that_does_not_fill_hands_over_what_there_is() {
    let mut bench = Bench::new(&template(false, "BatchSize: 10, MaximumBatchingWindowInSeconds: 1", "DelaySeconds: 0"));
    bench.send("work", "a", None).await;
    bench.send("work", "b", None).await;
    assert_eq!(bench.call().await.bodies(), ["a", "b"]);
}

#[tokio::test]
async fn a_failed_batch_returns_until_it_is_dead() {
    let mut bench = Bench::new(&template(false, "BatchSize: 1", "DelaySeconds: 0"));
    let trace = bench.send("work", "poison", None).await;
    for receives in ["1", "2"] {
        let call = bench.call().await;
        assert_eq!(call.records[0]["attributes"]["ApproximateReceiveCount"], receives);
        call.answer.send(Err("it failed")).unwrap();
    }
    assert_eq!(bench.dead_letter("dead").await, "poison");
    assert!(bench.ledger.settled(&trace).await.unwrap().quiet);
}

#[tokio::test]
async fn only_reported_failures_return() {
    let mut bench = Bench::new(&template(false, &format!("Enabled: false, {REPORT}"), "DelaySeconds: 0"));
    for body in ["good", "bad", "fine"] {
        bench.send("work", body, None).await;
    }
    bench.sources.set_enabled("F", true);
    bench.call().await.report(&["bad"]);
    let again = bench.call().await;
    assert_eq!(again.bodies(), ["bad"]);
    again.answer("{}");
    bench.sources.shutdown().await;
    assert_eq!(bench.visible("work"), 0);
}

#[tokio::test]
async fn an_answer_that_names_a_message_outside_the_batch_fails_all_of_it() {
    let mapping = format!("BatchSize: 2, MaximumBatchingWindowInSeconds: 5, {REPORT}");
    let answers = [
        r#"{"batchItemFailures": [{"itemIdentifier": ""}]}"#,
        r#"{"batchItemFailures": [{"itemIdentifier": null}]}"#,
        r#"{"batchItemFailures": [{"id": "x"}]}"#,
        r#"{"batchItemFailures": [{"itemIdentifier": "unknown"}]}"#,
        r#"{"batchItemFailures": "x"}"#,
        "not JSON",
    ];
    for answer in answers {
        let mut bench = Bench::new(&template(false, &mapping, "DelaySeconds: 0"));
        bench.send("work", "a", None).await;
        bench.send("work", "b", None).await;
        bench.call().await.answer(answer);
        let mut bodies: Vec<String> = bench.call().await.bodies().into_iter().map(str::to_owned).collect();
        bodies.sort();
        assert_eq!(bodies, ["a", "b"], "{answer}");
    }
    for answer in ["", "null", "{}", r#"{"batchItemFailures": null}"#, r#"{"batchItemFailures": []}"#] {
        assert_eq!(failures(answer.as_bytes(), &[]), Ok(HashSet::new()), "{answer}");
    }
}

#[tokio::test]
async fn a_fifo_group_has_one_batch_in_flight_and_keeps_its_order() {
    let mut bench = Bench::new(&template(true, &format!("BatchSize: 2, {REPORT}"), "DelaySeconds: 0"));
    bench.sources.set_enabled("F", false);
    for body in ["1", "2", "3"] {
        bench.send("work.fifo", body, Some("a")).await;
    }
    bench.send("work.fifo", "other", Some("b")).await;
    bench.sources.set_enabled("F", true);
    let first = bench.call().await;
    assert_eq!(first.bodies(), ["1", "2"]);
    let other = bench.call().await;
    assert_eq!(other.bodies(), ["other"], "another group does not wait");
    other.answer("{}");
    // A function that stops at its first failure also names the messages after it.
    first.report(&["1", "2"]);
    let again = bench.call().await;
    assert_eq!(again.bodies(), ["1", "2"]);
    again.report(&[]);
    let last = bench.call().await;
    assert_eq!(last.bodies(), ["3"]);
    last.report(&[]);
    bench.sources.shutdown().await;
}

#[tokio::test]
async fn a_disabled_mapping_takes_nothing() {
    let mut bench = Bench::new(&template(false, "Enabled: false", "DelaySeconds: 0"));
    bench.send("work", "a", None).await;
    let taken = bench.sqs.receive("work", 1, Duration::from_secs(5), Some(Duration::ZERO)).await.unwrap();
    assert_eq!(taken[0].message.receives, 1, "no other consumer took it");
    assert!(bench.sources.set_enabled("F", true));
    assert!(bench.sources.states()[0].enabled);
    bench.call().await.answer("null");
    assert!(!bench.sources.set_enabled("G", true));
    // Disabled in the middle of a long poll.
    bench.sources.set_enabled("F", false);
    tokio::task::yield_now().await;
    bench.send("work", "b", None).await;
    assert_eq!(bench.sqs.receive("work", 1, Duration::from_secs(5), None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn no_more_batches_run_than_the_mapping_allows() {
    let template = template(false, "BatchSize: 1, ScalingConfig: {MaximumConcurrency: 2}", "DelaySeconds: 0");
    let ledger = Ledger::new();
    let sqs = Sqs::open(&template.queues, None, ledger.clone(), Faults::default()).unwrap();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let seen = most.clone();
    let invoke = move |_| {
        let (running, seen) = (running.clone(), seen.clone());
        async move {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            seen.lock().unwrap().push(now);
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, &str>(Bytes::new())
        }
    };
    let mut traces = Vec::new();
    for number in 0..20 {
        let trace = ledger.begin("x");
        let outgoing = Outgoing { body: number.to_string(), traces: vec![trace.clone()], ..Outgoing::default() };
        sqs.send("work", outgoing).await.unwrap();
        traces.push(trace);
    }
    let sources =
        EventSources::start(&template, &sqs, &ledger, EventSourceOptions::default(), &Faults::default(), invoke);
    for trace in traces {
        ledger.settled(&trace).await;
    }
    sources.shutdown().await;
    let seen = most.lock().unwrap();
    assert_eq!((seen.len(), seen.iter().max()), (20, Some(&2)));
}

#[tokio::test]
async fn what_is_too_large_for_one_invocation_comes_in_pieces() {
    let mapping = "BatchSize: 10, MaximumBatchingWindowInSeconds: 5";
    let mut bench = Bench::new(&template(false, mapping, "DelaySeconds: 0"));
    let large = "x".repeat(1_000_000);
    for _ in 0..10 {
        bench.send("work", &large, None).await;
    }
    let first = bench.call().await;
    let sizes = first.records.len();
    assert!((4..10).contains(&sizes), "{sizes}");
    first.answer("null");
    let second = bench.call().await;
    assert_eq!(second.records.len(), 10 - sizes);
    second.answer("null");
    bench.sources.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_waits_for_the_batch_that_runs() {
    let mut bench = Bench::new(&template(false, "BatchSize: 1", "DelaySeconds: 0"));
    bench.send("work", "a", None).await;
    let call = bench.call().await;
    let ((), ()) = tokio::join!(bench.sources.shutdown(), async { call.answer("null") });
    assert_eq!(bench.sqs.counts().iter().map(|it| it.counts.in_flight).sum::<usize>(), 0);
}

#[tokio::test]
async fn a_delete_that_is_lost_lets_the_message_come_again() {
    let mut bench = Bench::new(&template(false, "BatchSize: 2, MaximumBatchingWindowInSeconds: 5", "DelaySeconds: 0"));
    let rule = bench.faults.add(Rule::new(Fault::RepeatDelivery).function("F").operation("work").contains("repeat"));
    let once = bench.send("work", "once", None).await;
    let again = bench.send("work", "repeat", None).await;
    bench.call().await.answer("null");
    let call = bench.call().await;
    assert_eq!(call.bodies(), ["repeat"]);
    assert_eq!(call.records[0]["attributes"]["ApproximateReceiveCount"], "2");
    call.answer("null");
    let counts = [bench.ledger.settled(&once).await.unwrap(), bench.ledger.settled(&again).await.unwrap()];
    assert_eq!(counts.map(|it| it.count(sqs::SERVICE, &["DeleteMessageBatch"])), [1.0, 1.0]);
    assert_eq!(bench.faults.hits(rule), 1);
    bench.sources.shutdown().await;
    assert_eq!(bench.visible("work"), 0);
}

#[tokio::test]
async fn a_repeated_fifo_message_holds_its_group_back() {
    let mut bench = Bench::new(&template(true, "BatchSize: 1", "DelaySeconds: 0"));
    bench.faults.add(Rule::new(Fault::RepeatDelivery));
    bench.send("work.fifo", "1", Some("a")).await;
    bench.send("work.fifo", "2", Some("a")).await;
    for expected in ["1", "1", "2"] {
        let call = bench.call().await;
        assert_eq!(call.bodies(), [expected]);
        call.answer("null");
    }
    bench.sources.shutdown().await;
}

#[tokio::test]
async fn a_standard_queue_can_hand_out_in_random_order_and_loses_nothing() {
    let mut bench = Bench::new(&template(false, "Enabled: false, BatchSize: 10", "DelaySeconds: 0"));
    let numbers: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    for number in &numbers {
        bench.send("work", number, None).await;
    }
    bench.faults.set_plan(Some(Plan::parse(3, "reorder-delivery=1").unwrap()));
    bench.sources.set_enabled("F", true);
    let call = bench.call().await;
    let mut bodies: Vec<String> = call.bodies().into_iter().map(str::to_owned).collect();
    call.answer("null");
    assert_ne!(bodies, numbers);
    bodies.sort();
    assert_eq!(bodies, numbers);
    bench.sources.shutdown().await;
}
