//! The Lambda behind `$disconnect`: removes exactly that connection and leaves a tombstone

fn main() -> Result<(), tidings_lambda::Error> {
    tidings_lambda::block_on(tidings_disconnect::run())
}
