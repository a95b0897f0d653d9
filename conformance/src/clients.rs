//! Real clients (podman, buildah, containerd with ctr and with CRI, docker) against any OCI runtime.
//!
//! Each pair of client and runtime gets a sandbox of its own: mount, pid, net, ipc, uts and cgroup namespaces, and one
//! cgroup subtree. Whatever a client leaves there ends with it. A case is a row of a table in [`cases`]: shell lines as
//! a user would type them, each with the exit code and the output it must have. The same row runs on every runtime;
//! what fails on the reference runtime too says nothing about the runtime under test.

pub mod case;
pub mod cases;
pub mod client;
mod job;
mod place;
pub mod report;
mod run;
mod sandbox;
pub mod supervise;
mod terminal;

pub use job::{Job, Runtime};
pub use supervise::{Request, run_clients, run_stage};
