//! The Lambda behind the `deliver` queue: appends to the mailbox, looks connections up, posts sealed frames

#[tokio::main]
async fn main() -> Result<(), tidings_lambda::Error> {
    tidings_deliver::run().await
}
