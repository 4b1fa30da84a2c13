//! tidings-disconnect
