//! The Lambda behind `sync`, `ack`, `read` and `state`: replays the gap and records confirmations

fn main() -> Result<(), tidings_lambda::Error> {
    tidings_lambda::block_on(tidings_sync::run())
}
