//! tidings-domain
