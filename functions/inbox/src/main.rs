//! The Lambda behind `/v1/inbox`: lists a device's messages and counts the unread ones

#[tokio::main]
async fn main() -> Result<(), tidings_lambda::Error> {
    tidings_inbox::run().await
}
