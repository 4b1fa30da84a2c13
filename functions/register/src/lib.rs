//! tidings-register
