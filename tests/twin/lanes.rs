//! Two lanes: a bulk send never delays a send to few recipients.

use serde_json::json;
use tidings_wire::trail::State;

use crate::world::World;

/// Recipients of a bulk send.
const MANY: usize = 400;

#[tokio::test(flavor = "multi_thread")]
async fn a_single_send_passes_a_bulk_send_and_each_lane_keeps_its_order() {
    let world = World::start().await;
    let mut alice = world.online("alice", "a").await;
    // The bulk sends wait in their queue before any delivery starts.
    world.set_event_source("DeliverFunction", false).await;
    let mut everyone: Vec<String> = (0..MANY).map(|n| format!("user{n}")).collect();
    everyone.push("alice".to_owned());
    let (mut bulk, mut single) = (Vec::new(), Vec::new());
    for n in 0..2 {
        let answer = world.post(&json!({"audiences": everyone, "alert": "to all"}), &format!("bulk-{n}")).await.json();
        assert_eq!((&answer["priority"], &answer["recipients"]), (&json!("normal"), &json!(MANY + 1)));
        bulk.push(answer["requestId"].as_str().unwrap().to_owned());
        let answer =
            world.post(&json!({"audiences": ["alice"], "alert": "to one"}), &format!("single-{n}")).await.json();
        assert_eq!((&answer["priority"], answer.get("downgrades")), (&json!("high"), None));
        single.push(answer["requestId"].as_str().unwrap().to_owned());
    }
    assert_eq!(world.waiting("BulkQueue").await[0], 2 * (MANY as u64 + 1));
    world.set_event_source("DeliverFunction", true).await;

    let (mut order, mut passed) = (Vec::new(), false);
    while order.len() < 4 {
        let message = alice.message().await;
        alice.ack(&message).await;
        if message.id == single[1] {
            world.until(&message.id, State::Confirmed).await;
            let [visible, in_flight, _] = world.waiting("BulkQueue").await;
            println!("{visible} + {in_flight} of the bulk sends still wait");
            assert!(visible + in_flight > 0);
            passed = true;
        }
        order.push(message.id);
    }
    let of = |lane: &[String]| order.iter().filter(|id| lane.contains(id)).cloned().collect::<Vec<_>>();
    assert_eq!((of(&single), of(&bulk)), (single, bulk), "each lane in its order");
    assert!(passed);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_names_the_lane_that_a_message_takes() {
    let world = World::start().await;
    let crowd = |count: usize| (0..count).map(|n| format!("user{n}")).collect::<Vec<_>>();
    let rows = [
        (json!({"audiences": crowd(1)}), "high", false),
        (json!({"audiences": crowd(1), "priority": "normal"}), "normal", false),
        (json!({"audiences": crowd(25)}), "high", false),
        (json!({"audiences": crowd(25), "priority": "high"}), "high", false),
        (json!({"audiences": crowd(26)}), "normal", false),
        (json!({"audiences": crowd(26), "priority": "normal"}), "normal", false),
        (json!({"audiences": crowd(26), "priority": "high"}), "normal", true),
    ];
    world.set_event_source("DeliverFunction", false).await;
    let waiting = async || (world.waiting("DeliverQueue").await[0], world.waiting("BulkQueue").await[0]);
    for (n, (mut body, priority, downgraded)) in rows.into_iter().enumerate() {
        let before = waiting().await;
        body["alert"] = "x".into();
        let answer = world.post(&body, &format!("row-{n}")).await.json();
        assert_eq!(answer["priority"], priority, "{n}: {answer}");
        let named = answer["downgrades"].as_array().is_some_and(|all| all.iter().any(|it| it["field"] == "priority"));
        assert_eq!(named, downgraded, "{n}: {answer}");
        let count = answer["recipients"].as_u64().unwrap();
        let (high, normal) = if priority == "high" { (count, 0) } else { (0, count) };
        assert_eq!(waiting().await, (before.0 + high, before.1 + normal), "{n}");
    }
    world.end().await;
}
