//! The Lambda behind `/v1/inbox`: lists a device's messages and counts the unread ones

fn main() -> Result<(), tidings_lambda::Error> {
    tidings_lambda::block_on(tidings_inbox::run())
}
