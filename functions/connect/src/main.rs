//! The Lambda behind `$connect`: checks the connect token and records the connection

#[tokio::main]
async fn main() -> Result<(), tidings_lambda::Error> {
    tidings_connect::run().await
}
