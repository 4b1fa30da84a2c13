//! The Lambda behind `sync`, `ack`, `read` and `state`: replays the gap and records confirmations

#[tokio::main]
async fn main() -> Result<(), tidings_lambda::Error> {
    tidings_sync::run().await
}
