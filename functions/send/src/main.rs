//! The Lambda behind `/v1/messages`: validates, stores and queues a message; returns its trail

fn main() -> Result<(), tidings_lambda::Error> {
    tidings_lambda::block_on(tidings_send::run())
}
