//! tidings-runtime
