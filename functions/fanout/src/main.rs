//! The Lambda behind the `fanout` queue: pushes an announcement to whoever is connected

#[tokio::main]
async fn main() -> Result<(), tidings_lambda::Error> {
    tidings_fanout::run().await
}
