//! tidings-queue
