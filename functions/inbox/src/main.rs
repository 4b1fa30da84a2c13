//! The Lambda behind `/v1/inbox`: lists a device's messages and counts the unread ones

#[tokio::main]
async fn main() -> Result<(), tidings_runtime::Error> {
    tidings_inbox::run().await
}
