//! The Lambda behind `/v1/devices`: registers devices and hands out their keys

#[tokio::main]
async fn main() -> Result<(), tidings_lambda::Error> {
    tidings_register::run().await
}
