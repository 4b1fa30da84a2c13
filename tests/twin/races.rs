//! What overtakes what, and what comes twice.
