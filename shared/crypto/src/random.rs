//! Randomness from the operating system. Everything else in this crate takes it as an argument.

use crate::encoding;

/// The operating system had no randomness to give.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct RandomError(#[from] getrandom::Error);

/// `N` random bytes.
///
/// # Errors
/// If the operating system has none to give, which a healthy Linux never does.
pub fn bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// An identifier that cannot be guessed and does not occur twice: 16 random bytes as 22 characters of base64url.
///
/// # Errors
/// If the operating system has no randomness to give.
pub fn id() -> Result<String, RandomError> {
    Ok(encoding::base64url(&bytes::<16>()?))
}
