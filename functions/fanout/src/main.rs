//! The Lambda behind the `fanout` queue: pushes an announcement to every open connection

fn main() -> Result<(), tidings_lambda::Error> {
    tidings_lambda::block_on(tidings_fanout::run())
}
