//! The Lambda behind `$disconnect`: forgets exactly that connection and leaves a tombstone

#[tokio::main]
async fn main() -> Result<(), tidings_lambda::Error> {
    tidings_disconnect::run().await
}
