//! The Lambda behind `/v1/messages`: validates, stores and queues a message; tells its trail

#[tokio::main]
async fn main() -> Result<(), tidings_lambda::Error> {
    tidings_send::run().await
}
