//! The Lambda behind the `later` queue and the clock: hands fallback steps on when they are due

#[tokio::main]
async fn main() -> Result<(), tidings_lambda::Error> {
    tidings_timer::run().await
}
