//! tidings-connect
