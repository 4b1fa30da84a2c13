//! The ledger, counted by hand.

use super::*;
use crate::services::{connections, dynamodb, sqs};

#[test]
fn trace_ids_round_trip_through_headers() {
    let trace = TraceId::new();
    assert_eq!(TraceId::from_header(&trace.header()), Some(trace.clone()));
    assert_eq!(TraceId::from_header(&format!("Parent=53995c3f42cd8ad8; Root={trace}")), Some(trace));
    assert_eq!(TraceId::parse("1-5759e988-bd862e3fe1be46a994272793-1"), None);
    assert_eq!(TraceId::parse("2-5759e988-bd862e3fe1be46a994272793"), None);
    assert_eq!(TraceId::from_header("Root=nonsense"), None);
}

#[test]
fn a_request_for_several_traces_is_shared_between_them() {
    let ledger = Ledger::new();
    let (a, b) = (ledger.begin("POST /a"), ledger.begin("POST /b"));
    ledger.record(&[a.clone(), a.clone(), b.clone(), b.clone()], sqs::SERVICE, "ReceiveMessage");
    ledger.record(&[a.clone(), b.clone(), b.clone(), b.clone()], sqs::SERVICE, "DeleteMessageBatch");
    let a = ledger.find(a.as_str()).unwrap();
    assert_eq!(a.count(sqs::SERVICE, &["ReceiveMessage"]), 0.5);
    assert_eq!(a.cost, "SQS 0.5 receives 0.25 deletes");
}

#[tokio::test]
async fn a_trace_is_settled_once_its_last_hold_is_gone() {
    let ledger = Ledger::new();
    let trace = ledger.begin("POST /v1/messages");
    let invocation = ledger.hold(std::slice::from_ref(&trace));
    let message = ledger.hold(std::slice::from_ref(&trace));
    ledger.outcome(&trace, "202");
    ledger.alias(&trace, "message-1");
    ledger.alias(&ledger.begin("GET /v1/messages/message-1"), "message-1");
    for (service, operation) in [
        (dynamodb::SERVICE, "Query"),
        (dynamodb::SERVICE, "PutItem"),
        (dynamodb::SERVICE, "UpdateItem"),
        (sqs::SERVICE, "SendMessage"),
        (connections::SERVICE, "PostToConnection"),
    ] {
        ledger.record(std::slice::from_ref(&trace), service, operation);
    }
    drop(invocation);
    assert!(!ledger.find("message-1").unwrap().quiet);
    let (settled, ()) = tokio::join!(ledger.settled(&trace), async { drop(message) });
    let settled = settled.unwrap();
    assert!(settled.quiet);
    assert_eq!(settled.outcome.as_deref(), Some("202"));
    assert_eq!(settled.cost, "DynamoDB 1 read 2 writes  SQS 1 send  posts 1");
}

#[test]
fn only_so_many_traces_are_remembered() {
    let ledger = Ledger::new();
    let running = ledger.begin("running");
    let _hold = ledger.hold(std::slice::from_ref(&running));
    let quiet = ledger.begin("quiet");
    ledger.alias(&quiet, "alias");
    for _ in 0..REMEMBERED + 8 {
        let _ = ledger.begin("next");
    }
    assert!(ledger.find(running.as_str()).is_some());
    assert!(ledger.find(quiet.as_str()).is_none());
    assert!(ledger.find("alias").is_none());
    assert!(ledger.recent(usize::MAX).len() <= REMEMBERED + 1);
}

#[test]
fn a_trace_has_one_line_also_if_it_cost_nothing() {
    let ledger = Ledger::new();
    let trace = ledger.begin("GET /a");
    let is_unlogged = || ledger.book().entries[&trace].unlogged;
    let hold = ledger.hold(std::slice::from_ref(&trace));
    assert!(is_unlogged());
    drop(hold);
    assert!(!is_unlogged(), "logged");
    drop(ledger.hold(std::slice::from_ref(&trace)));
    assert!(!is_unlogged(), "logged once");
}
