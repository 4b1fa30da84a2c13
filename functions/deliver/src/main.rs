//! The Lambda behind the `deliver` queue: appends to the mailbox, looks connections up, posts sealed frames

fn main() -> Result<(), tidings_lambda::Error> {
    tidings_lambda::block_on(tidings_deliver::run())
}
