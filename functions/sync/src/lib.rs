//! tidings-sync
