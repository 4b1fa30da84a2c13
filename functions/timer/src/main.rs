//! The Lambda behind the `later` queue and the clock: hands fallback steps on when they are due

fn main() -> Result<(), tidings_lambda::Error> {
    tidings_lambda::block_on(tidings_timer::run())
}
