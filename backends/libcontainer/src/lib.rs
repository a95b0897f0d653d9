//! Containers made by the libcontainer crate, driven through its `ContainerArgs`.
//!
//! libcontainer builds namespaces, mounts, devices, the root, capabilities and seccomp. Everything that surrounds this
//! is ours, because the crate's own way of doing it differs from what runc's users rely on:
//!
//! * a **launcher** process is forked for each call, so that nothing libcontainer changes in its caller (dumpability,
//!   keyring, groups, out-of-memory score, descriptors) stays with the runtime, and so that a failure is one exit;
//! * the launcher joins the container's **cgroup** itself; libcontainer is given no resources;
//! * the launcher hides the cgroup v1 hierarchies from libcontainer (see `cover.rs`); without privileges it enters the
//!   container's user namespace for that first (see `userns.rs`);
//! * the config is **normalised** first (see `normalise.rs`), and what the crate leaves out is **mended** in the
//!   container's namespaces while init waits (see `mend.rs`);
//! * the program is found, prepared and executed by our own executor, with runc's error texts;
//! * checkpoint and restore are **CRIU**'s, spoken to directly (see `criu.rs`), since the crate's own way loses namespaces
//!   that are joined, cgroups, the terminal and error texts;
//! * OCI hooks run through a **relay**, with the runtime-spec's semantics.
#![forbid(unsafe_code)]

mod backend;
mod copy_up;
mod cover;
mod criu;
mod executor;
mod launch;
mod launcher;
mod link;
mod mend;
mod namespaces;
mod normalise;
mod program;
mod relay;
mod report;
mod rootfs;
mod start;
mod userns;
mod workdir;

pub use backend::Libcontainer;
pub use relay::{RELAY_ARG, run as run_relay};
