//! The tables of cases. A table holds what a user types and what must come of it, never how a client works.

mod buildah;
mod containerd;
mod cri;
mod docker;
mod engine;
mod leftovers;
mod limits;
mod podman;
mod security;

pub use buildah::BUILDAH;
pub use containerd::CONTAINERD;
pub use cri::CRI;
pub use docker::DOCKER;
pub use engine::ENGINE;
pub use leftovers::LEFTOVERS;
pub use limits::LIMITS;
pub use podman::PODMAN;
pub use security::SECURITY;
