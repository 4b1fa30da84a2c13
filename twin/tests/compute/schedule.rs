//! Schedules invoke their function with EventBridge's event, or with their own input.

use sam_twin::ledger::Ledger;
use sam_twin::schedule::Schedules;
use sam_twin::template::Schedule;
use serde_json::Value;
use std::time::Duration;

use crate::twin::{self, function};

fn schedule(name: &str, input: Option<&str>) -> Schedule {
    Schedule {
        name: name.to_owned(),
        function: "plainFunction".to_owned(),
        expression: "rate(1 day)".to_owned(),
        input: input.map(str::to_owned),
        enabled: true,
    }
}

#[tokio::test]
async fn a_schedule_can_be_fired_at_once() {
    let functions = twin::functions([function("plain")]);
    let mut logs = functions.logs();
    let ledger = Ledger::new();
    let rules = vec![schedule("daily", None), schedule("own", Some(r#"{"do":"print","argument":"from the input"}"#))];
    let schedules = Schedules::start(rules, "us-east-1", &functions, &ledger);
    assert_eq!(schedules.names().collect::<Vec<_>>(), ["daily", "own"]);
    schedules.fire("own").await.unwrap().unwrap();
    twin::line(&mut logs, "from the input").await;

    schedules.fire("daily").await.unwrap().unwrap();
    let event: Value = twin::json_line(&mut logs, "EVENT ").await;
    assert_eq!(event["source"], "aws.events");
    assert_eq!(event["detail-type"], "Scheduled Event");
    assert!(schedules.fire("unknown").await.is_none());
    assert_eq!(ledger.recent(1)[0].origin, "schedule daily");
    functions.shutdown(Duration::ZERO).await;
}
