//! tidings-fallback
