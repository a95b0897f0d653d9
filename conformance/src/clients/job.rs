//! What one sandbox has to do.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// An OCI runtime to be tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// Its name in the tables, and the file name under which clients see it.
    pub name: String,
    /// Absolute path of the program.
    pub path: PathBuf,
}

/// What one sandbox has to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// The client's name.
    pub client: String,
    /// The runtime that the client uses.
    pub runtime: Runtime,
    /// Name of the cgroup that holds the sandbox, in every hierarchy.
    pub cgroup: String,
    /// Only cases whose id holds this.
    pub filter: String,
}
