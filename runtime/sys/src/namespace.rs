//! Namespaces that this very process moves into.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::mount::{MountPropagationFlags, mount_change};

use crate::fork::fork_child;

/// A move into a namespace that did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// The process that makes the user namespace could not be started.
    #[error("start the maker of a user namespace")]
    Start {
        /// The cause.
        source: io::Error,
    },
    /// The kernel made no user namespace.
    #[error("make a user namespace (are they allowed to users? see /proc/sys/user/max_user_namespaces)")]
    Make,
    /// The ids were not mapped.
    #[error("map ids into the user namespace")]
    Map {
        /// The cause.
        source: io::Error,
    },
    /// The user namespace could not be joined.
    #[error("join the user namespace")]
    Join {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel made no mount namespace.
    #[error("make a mount namespace")]
    Unshare {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The new mount namespace would still change the old one.
    #[error("keep mounts to the new mount namespace")]
    Propagation {
        /// The kernel's answer.
        source: io::Error,
    },
}

/// Moves this process into a mount namespace of its own.
///
/// Mounts made later in the old one still appear in the new one; none goes the other way. The new one ends with its
/// last process, and its mounts with it. Only a process with one thread may call this.
///
/// # Errors
///
/// [`NamespaceError::Unshare`], [`NamespaceError::Propagation`].
///
/// Kernel: `mount_namespaces(7)`.
pub fn enter_mount_namespace() -> Result<(), NamespaceError> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| NamespaceError::Unshare { source: errno.into() })?;
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", flags).map_err(|errno| NamespaceError::Propagation { source: errno.into() })
}

/// Moves this process into a new user namespace.
///
/// * `map`: maps ids into the namespace of the process with this pid, from outside. Its error is passed on.
///
/// A child makes the namespace, so that a process outside can map more ids into it than its owner may.
/// Only a process with one thread may call this.
///
/// # Errors
///
/// [`NamespaceError`]; this process is then where it was.
///
/// Kernel: `user_namespaces(7)`.
pub fn enter_user_namespace(map: impl FnOnce(i32) -> io::Result<()>) -> Result<(), NamespaceError> {
    let start = |source| NamespaceError::Start { source };
    let (mut made, maker) = io::pipe().map_err(start)?;
    let (waiter, done) = io::pipe().map_err(start)?;
    let child = fork_child(None, || {
        if unshare(CloneFlags::CLONE_NEWUSER).is_err() || (&maker).write_all(b"y").is_err() {
            return 1;
        }
        // The other end is here, too, so its end would never come; a killed parent is seen by the death signal.
        crate::process::kill_me_with_parent(true);
        i32::from((&waiter).read_exact(&mut [0]).is_err())
    })
    .map_err(|error| start(io::Error::other(error)))?;
    drop(maker);
    let joined = match made.read(&mut [0]) {
        Ok(1) => map(child.pid)
            .map_err(|source| NamespaceError::Map { source })
            .and_then(|()| join(child.pid)),
        _ => Err(NamespaceError::Make),
    };
    // A child that is not there any more needs no word.
    let _told = (&done).write_all(b"y").is_ok();
    child.pidfd.reap().map_err(start)?;
    joined
}

fn join(pid: i32) -> Result<(), NamespaceError> {
    let join = |source| NamespaceError::Join { source };
    let namespace = File::open(format!("/proc/{pid}/ns/user")).map_err(join)?;
    setns(namespace.as_fd(), CloneFlags::CLONE_NEWUSER).map_err(|errno| join(errno.into()))
}
