//! The request to build a process of a container.

use std::path::Path;

use nexcage_backend::{Console, KeyringUse};
use nexcage_cgroups::{Cgroup, SubCgroup};
use nexcage_oci::ContainerId;
use oci_spec::runtime::Spec;

use crate::executor::Kind;

/// What the launcher needs, the same for create and exec.
pub(crate) struct Launch<'a> {
    pub(crate) id: &'a ContainerId,
    pub(crate) bundle: &'a Path,
    pub(crate) rootfs: &'a Path,
    /// Directory of the sockets.
    pub(crate) dir: &'a Path,
    /// Name of libcontainer's start socket in it.
    pub(crate) notify_socket: String,
    /// The normalised config.
    pub(crate) spec: Spec,
    /// The process as configured.
    pub(crate) process: oci_spec::runtime::Process,
    pub(crate) kind: Kind,
    pub(crate) cgroup: &'a Cgroup,
    pub(crate) sub_cgroup: Option<&'a SubCgroup>,
    /// Init of the container, for an exec.
    pub(crate) init: Option<i32>,
    pub(crate) console: Console<'a>,
    pub(crate) preserve_fds: u32,
    pub(crate) no_pivot: bool,
    pub(crate) keyring: KeyringUse,
    pub(crate) rootless: bool,
    /// The container has mounts of its own, so the launcher may have some too.
    pub(crate) hide_cgroups: bool,
    /// The launcher enters the container's user namespace before libcontainer does anything.
    pub(crate) enter_userns: bool,
    /// Further descriptors that the launcher needs.
    pub(crate) keep_fds: Vec<i32>,
}
