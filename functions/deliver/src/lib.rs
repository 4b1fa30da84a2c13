//! tidings-deliver
