//! Seals one frame and prints it with its key, as the scripts in `tests/interop` read it:
//!
//! ```sh
//! cargo run -p tidings-crypto --example seal | node shared/crypto/tests/interop/open.mjs
//! ```

use tidings_crypto::frame;
use tidings_crypto::jwk::Jwk;
use tidings_crypto::keys::{KeyUse, RootKeys};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plaintext = r#"{"type":"message","alert":"你好 👋"}"#;
    let root = RootKeys::parse(r#"{"1":"an example's secret, known to the whole world"}"#)?;
    let keys = root.device_keys(root.current(), "device-1", 0)?;
    let jwk = Jwk::of_content(&root.key_id("device-1", 0, KeyUse::Content), &keys.content);
    let frame = frame::seal_random(&keys.content, &jwk.kid, plaintext.as_bytes())?;
    println!("{}", serde_json::json!({ "jwk": jwk, "frame": frame, "plaintext": plaintext }));
    Ok(())
}
