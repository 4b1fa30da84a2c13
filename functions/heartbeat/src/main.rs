//! The Lambda behind `ping` and `$default`: answers, renews the lease, reports the head of the mailbox

fn main() -> Result<(), tidings_lambda::Error> {
    tidings_lambda::block_on(tidings_heartbeat::run())
}
