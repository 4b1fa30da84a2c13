//! tidings-local
