//! tidings-heartbeat
