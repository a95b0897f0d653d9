//! The plugin host: a process that holds one plugin and nothing else, confines it, and serves it to the runtime.
//!
//! It trusts the runtime that started it, and never the plugin: whatever the plugin's code does to this process, the
//! runtime believes no byte of it and ends it at the deadline.

pub mod command;
pub mod life;
pub mod sandbox;
mod seccomp;
pub mod serve;

pub use nexcage_sys::seccomp::{SeccompError, Threads};
pub use seccomp::{Stage, restrict};
