//! Short soaks. `docs/faults.md` has the long ones and their results.

use crate::world::tidings;

#[tokio::test(flavor = "multi_thread")]
async fn every_promise_is_kept_while_everything_goes_wrong() {
    let soak = ["soak", "--seed", "7", "--users", "10", "--messages", "120", "--faults", "all"];
    let (kept, text) = tidings(&soak).await;
    assert!(kept, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_promise_is_kept_when_the_whole_twin_is_killed() {
    let soak = ["soak", "--seed", "8", "--users", "6", "--messages", "80", "--kill-twin", "2"];
    let (kept, text) = tidings(&soak).await;
    assert!(kept, "{text}");
}
