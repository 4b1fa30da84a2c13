//! The Lambda behind `/v1/devices`: registers devices, hands out their keys, keeps preferences

fn main() -> Result<(), tidings_lambda::Error> {
    tidings_lambda::block_on(tidings_register::run())
}
