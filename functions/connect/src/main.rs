//! The Lambda behind `$connect`: checks the connect token and records the connection

fn main() -> Result<(), tidings_lambda::Error> {
    tidings_lambda::block_on(tidings_connect::run())
}
