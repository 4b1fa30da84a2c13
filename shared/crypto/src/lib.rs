//! tidings-crypto
