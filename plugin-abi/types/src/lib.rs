//! What a plugin declares about itself: manifest, capabilities, hook points, limits.
//!
//! Types with strict reading and printing, and nothing else: it must not touch a file, a process or the kernel.
#![forbid(unsafe_code)]

pub mod capability;
pub mod document;
pub mod hook;
pub mod manifest;
pub mod text;

pub use capability::{Capability, CapabilityName};
pub use document::DocumentError;
pub use hook::{HookPoint, Subscription};
pub use manifest::Manifest;
