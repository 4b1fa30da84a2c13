//! The Lambda behind `/v1/messages`: validates, stores and queues a message; tells its trail

fn main() -> Result<(), tidings_lambda::Error> {
    tidings_lambda::block_on(tidings_send::run())
}
