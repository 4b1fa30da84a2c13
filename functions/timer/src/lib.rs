//! tidings-timer
