//! Mounts that are not attached anywhere yet.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

/// Attributes of a mount, as `mount_setattr(2)` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes(u64);

impl Attributes {
    /// `MOUNT_ATTR_RDONLY`.
    pub const READ_ONLY: Self = Self(libc::MOUNT_ATTR_RDONLY);
    /// `MOUNT_ATTR_NOSUID`, `MOUNT_ATTR_NODEV` and `MOUNT_ATTR_NOEXEC`.
    pub const NO_PROGRAMS: Self = Self(libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC);

    /// `MOUNT_ATTR_NOSUID` and `MOUNT_ATTR_NODEV`.
    pub const NO_PRIVILEGES: Self = Self(libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The attribute that a mount option adds, if it adds one.
    #[must_use]
    pub fn of_option(option: &str) -> Option<Self> {
        match option {
            "ro" => Some(Self::READ_ONLY),
            "nosuid" => Some(Self(libc::MOUNT_ATTR_NOSUID)),
            "nodev" => Some(Self(libc::MOUNT_ATTR_NODEV)),
            "noexec" => Some(Self(libc::MOUNT_ATTR_NOEXEC)),
            _ => None,
        }
    }
}

/// Copies the mount that a path lies in, from that path down, without mounts below it.
///
/// # Errors
///
/// The kernel's answer.
///
/// Kernel: `open_tree(2)`, Linux 5.2.
pub fn clone_tree(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(open_tree(CWD, path, flags)?)
}

/// Copies the mount that a path lies in, from that path down, with the mounts below it.
///
/// # Errors
///
/// The kernel's answer.
///
/// Kernel: `open_tree(2)`, Linux 5.2.
pub fn clone_trees(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(CWD, path, flags)?)
}

/// Adds attributes to a detached mount.
///
/// # Errors
///
/// The kernel's answer.
///
/// Kernel: `mount_setattr(2)`, Linux 5.12.
pub fn set_attributes(tree: BorrowedFd<'_>, attributes: Attributes) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: attributes.0,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is NUL-terminated, and the structure outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Attaches a detached mount to a path in the caller's mount namespace.
///
/// # Errors
///
/// The kernel's answer.
///
/// Kernel: `move_mount(2)`, Linux 5.2.
pub fn attach(tree: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    Ok(move_mount(
        tree,
        "",
        CWD,
        path,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?)
}
