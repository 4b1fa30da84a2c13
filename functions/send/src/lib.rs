//! tidings-send
