//! What a plugin declares about itself, and what it and nexcage say to each other.
//!
//! Types with strict reading and printing, and nothing else: it must not touch a file, a process or the kernel.
#![forbid(unsafe_code)]

pub mod broker;
pub mod capability;
pub mod configuration;
pub mod document;
pub mod frame;
pub mod hook;
pub mod manifest;
pub mod message;
pub mod sandbox;
pub mod session;
pub mod text;

pub use capability::{Capability, CapabilityName};
pub use configuration::Configuration;
pub use document::DocumentError;
pub use hook::{HookPoint, Subscription};
pub use manifest::Manifest;
pub use sandbox::Sandbox;
