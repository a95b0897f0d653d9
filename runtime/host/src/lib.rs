//! The confinement of plugins.
//!
//! It decides which system calls plugin code may make. It must not know what a plugin does, nor load one.
#![forbid(unsafe_code)]

mod seccomp;

pub use nexcage_sys::seccomp::{SeccompError, Threads};
pub use seccomp::{Stage, restrict};
