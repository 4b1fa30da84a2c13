//! The Lambda behind `/v1/devices`: registers devices and hands out their keys

fn main() -> Result<(), tidings_lambda::Error> {
    tidings_lambda::block_on(tidings_register::run())
}
