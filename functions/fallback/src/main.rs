//! The Lambda behind the `fallback` queue: claims a step and calls its provider, once

#[tokio::main]
async fn main() -> Result<(), tidings_lambda::Error> {
    tidings_fallback::run().await
}
