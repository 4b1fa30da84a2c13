//! The Lambda behind `ping` and `$default`: answers, renews the lease, tells the head of the mailbox

#[tokio::main]
async fn main() -> Result<(), tidings_lambda::Error> {
    tidings_heartbeat::run().await
}
