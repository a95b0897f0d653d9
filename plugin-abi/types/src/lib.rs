//! What nexcage and its plugins say to each other.
//!
//! It reads, checks and prints; it opens no file and makes no kernel call.
#![forbid(unsafe_code)]

pub mod broker;
pub mod frame;
pub mod message;
pub mod session;
