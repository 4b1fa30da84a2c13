//! The Lambda behind the `fallback` queue: claims a step and calls its provider, once

fn main() -> Result<(), tidings_lambda::Error> {
    tidings_lambda::block_on(tidings_fallback::run())
}
