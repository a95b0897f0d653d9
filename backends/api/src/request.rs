//! What the core asks of a backend.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nexcage_cgroups::Cgroup;
use nexcage_oci::{ContainerId, OciState};
use nexcage_sys::procfs::ProcessIdentity;
use oci_spec::runtime::Spec;

/// How the container's root replaces the runtime's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootChange {
    /// `pivot_root(2)`: the old root is unmounted.
    Pivot,
    /// `MS_MOVE` and chroot, for a root that lies on a ramdisk.
    Move,
}

/// Which session keyring the container's processes get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyringUse {
    /// The container's own, named after it.
    New,
    /// The caller's.
    Inherit,
}

/// Where the container's terminal goes.
#[derive(Debug, Clone, Copy)]
pub enum Console<'a> {
    /// No terminal: descriptors 0-2 of the caller are the container's.
    Inherit,
    /// A terminal is made in the container; its master is sent over this connected unix socket.
    Socket(BorrowedFd<'a>),
}

/// Creates a container.
#[derive(Debug)]
pub struct Create<'a> {
    /// The container's id.
    pub id: &'a ContainerId,
    /// Private directory of the container, owned by the core; sockets go here.
    pub dir: &'a Path,
    /// Absolute path of the root filesystem.
    pub rootfs: &'a Path,
    /// The validated config.
    pub spec: &'a Spec,
    /// OCI state as it is before the init exists.
    pub state: &'a OciState,
    /// The created cgroup with its limits in place, except those that apply to the running init.
    pub cgroup: &'a Cgroup,
    /// The terminal.
    pub console: Console<'a>,
    /// Descriptors 3 to 2+n that the container inherits.
    pub preserve_fds: u32,
    /// How the root changes.
    pub root_change: RootChange,
    /// The session keyring.
    pub keyring: KeyringUse,
    /// The runtime has no privileges over the node.
    pub rootless: bool,
}

/// Runs another process in a container.
#[derive(Debug)]
pub struct Exec<'a> {
    /// The running container.
    pub container: Container<'a>,
    /// The config with `process` replaced by the process to run.
    pub spec: &'a Spec,
    /// Cgroup below the container's, per controller or for all; `None`: the container's.
    pub sub_cgroup: Option<&'a nexcage_cgroups::SubCgroup>,
    /// The terminal.
    pub console: Console<'a>,
    /// Descriptors 3 to 2+n that the process inherits.
    pub preserve_fds: u32,
    /// The session keyring.
    pub keyring: KeyringUse,
    /// The runtime has no privileges over the node.
    pub rootless: bool,
}

/// A container that exists.
#[derive(Debug, Clone, Copy)]
pub struct Container<'a> {
    /// The container's id.
    pub id: &'a ContainerId,
    /// Private directory of the container.
    pub dir: &'a Path,
    /// Absolute path of the bundle.
    pub bundle: &'a Path,
    /// Absolute path of the root filesystem.
    pub rootfs: &'a Path,
    /// Init, while it lives.
    pub init: Option<ProcessIdentity>,
    /// The container's cgroup.
    pub cgroup: &'a Cgroup,
}

/// Who gets a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The init process.
    Init,
    /// Every process of the container.
    All,
}

/// A process that the backend made, a child of the caller.
#[derive(Debug)]
pub struct Process {
    /// Its id in the caller's pid namespace.
    pub pid: i32,
    /// A stable reference to it.
    pub pidfd: nexcage_sys::pidfd::PidFd,
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// The core's part in a creation, called at its moments.
pub trait Supervisor {
    /// The namespaces and mounts exist, the root has not changed yet: prestart and createRuntime hooks run now.
    ///
    /// * `pid`: init in the caller's pid namespace.
    ///
    /// # Errors
    ///
    /// The text to report; the creation is undone.
    fn runtime_hooks(&mut self, pid: i32) -> Result<(), String>;

    /// The process that builds the container exists, and the cgroup has to be made around it (systemd).
    ///
    /// * `pid`: that process.
    ///
    /// # Errors
    ///
    /// The text to report.
    fn place(&mut self, pid: i32) -> Result<(), String>;

    /// The container's own hooks, createContainer, are about to run: from now on the container has a life whose end
    /// poststop hooks are told of.
    fn container_hooks(&mut self);

    /// Init is complete and waits: the state may become `created`. When this returns an error, or the caller dies
    /// before it returns, init dies and the creation is undone.
    ///
    /// # Errors
    ///
    /// The text to report.
    fn ready(&mut self, process: &Process) -> Result<(), String>;
}
