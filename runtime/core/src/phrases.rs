//! Phrases that clients search for in error texts. Changing one breaks containerd, Podman or Docker.

/// `kill` of a container whose init is gone.
pub const NOT_RUNNING: &str = "container not running";
/// Any operation on an unknown id.
pub const DOES_NOT_EXIST: &str = "container does not exist";
/// `resume` of a container that is not paused.
pub const NOT_PAUSED: &str = "container not paused";
/// `create` with an id that is taken.
pub const EXISTS: &str = "container with given ID already exists";
