//! OCI documents and the programs they name: container id, bundle and config, state, OCI hooks.
//!
//! It reads, checks and prints what the OCI runtime spec defines, and runs the programs that a config lists as hooks.
//! It must not know how a container is made.
#![forbid(unsafe_code)]

pub mod bundle;
pub mod document;
pub mod hooks;
pub mod id;
pub mod json;
mod lenient;
pub mod process;
pub mod resources;
pub mod state;
pub mod users;

pub use bundle::Bundle;
pub use id::ContainerId;
pub use state::{OciState, Status};

/// The version of the runtime spec that this runtime implements; state documents carry it.
pub const OCI_VERSION: &str = "1.3.0";
