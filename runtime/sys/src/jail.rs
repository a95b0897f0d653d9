//! Giving up what a process has: its view of files, its limits, its ids and Linux capabilities.
//!
//! Each is for good. What a step needs is said there; the order is the caller's.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, unmount,
};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
};

use crate::mount::{Attributes, attach, clone_tree, clone_trees, set_attributes};

/// `PR_SET_MDWE` of the kernel's `prctl.h`, Linux 6.3.
const SET_MDWE: libc::c_int = 65;
/// `PR_MDWE_REFUSE_EXEC_GAIN`.
const REFUSE_EXEC_GAIN: libc::c_ulong = 1;

/// A root that was not made. This process may see the old one still and must end.
#[derive(Debug, thiserror::Error)]
#[error("make a root that holds one file: {step}")]
pub struct RootError {
    /// What was tried.
    step: &'static str,
    /// The kernel's answer.
    source: io::Error,
}

/// Gives this process a read-only root that holds one file and nothing else.
///
/// * `file`: an absolute path in the old root.
/// * `name`: its name in the new one.
///
/// Needs a mount namespace of its own, and the privileges over it.
///
/// # Errors
///
/// [`RootError`].
///
/// Kernel: `fsopen(2)`, `move_mount(2)`, `mount_setattr(2)`, `pivot_root(2)`; Linux 5.12.
pub fn enter_root(file: &Path, name: &str) -> Result<(), RootError> {
    let failed = |step| move |source| RootError { step, source };
    let folder = file.parent().unwrap_or(Path::new("/"));
    let content = clone_tree(file).map_err(failed("clone the file's mount"))?;
    let attributes = Attributes::READ_ONLY.and(Attributes::NO_PRIVILEGES);
    set_attributes(content.as_fd(), attributes).map_err(failed("make the file read-only"))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(|errno| failed("keep mounts to this namespace")(errno.into()))?;
    let root = tmpfs().map_err(failed("make a tmpfs"))?;
    attach(root.as_fd(), folder).map_err(failed("mount the tmpfs"))?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let place = openat(&root, name, flags, Mode::from_raw_mode(0o444));
    drop(place.map_err(|errno| failed("make the file's place")(errno.into()))?);
    let empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    let moved = move_mount(&content, "", &root, name, empty);
    moved.map_err(|errno| failed("mount the file")(errno.into()))?;
    set_attributes(root.as_fd(), Attributes::READ_ONLY).map_err(failed("make the root read-only"))?;
    rustix::process::fchdir(&root).map_err(|errno| failed("enter the root")(errno.into()))?;
    // The old root lies over the new one afterwards, and is what "." names.
    rustix::process::pivot_root(".", ".").map_err(|errno| failed("exchange the roots")(errno.into()))?;
    unmount(".", UnmountFlags::DETACH).map_err(|errno| failed("unmount the old root")(errno.into()))?;
    rustix::process::chdir("/").map_err(|errno| failed("enter the root")(errno.into()))
}

/// Makes all that this process sees read-only but these places, and gives it a `/proc` of its own pid namespace.
///
/// * `writable`: absolute paths that are there.
///
/// Needs a mount and a pid namespace of its own, and the privileges over them.
///
/// # Errors
///
/// [`RootError`].
///
/// Kernel: `mount_setattr(2)` with `AT_RECURSIVE`, Linux 5.12.
pub fn enter_read_only(writable: &[&Path]) -> Result<(), RootError> {
    let failed = |step| move |source| RootError { step, source };
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(|errno| failed("keep mounts to this namespace")(errno.into()))?;
    let trees = writable
        .iter()
        .map(|path| clone_trees(path))
        .collect::<io::Result<Vec<_>>>();
    let trees = trees.map_err(failed("clone what may be written"))?;
    make_read_only().map_err(failed("make all mounts read-only"))?;
    for (path, tree) in writable.iter().zip(&trees) {
        attach(tree.as_fd(), path).map_err(failed("mount what may be written"))?;
    }
    let attributes =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let proc = filesystem("proc", &[], attributes).map_err(failed("make a /proc"))?;
    attach(proc.as_fd(), Path::new("/proc")).map_err(failed("mount /proc"))?;
    rustix::process::chdir("/").map_err(|errno| failed("enter the root")(errno.into()))
}

/// Every mount below the root, in one step.
fn make_read_only() -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path ends with NUL, and the structure outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn filesystem(kind: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> io::Result<std::os::fd::OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        fsconfig_set_string(context.as_fd(), *name, *value)?;
    }
    fsconfig_create(context.as_fd())?;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

fn tmpfs() -> io::Result<std::os::fd::OwnedFd> {
    let attributes =
        MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    filesystem("tmpfs", &[("size", "4096"), ("mode", "0555")], attributes)
}

/// What a process may use; what it may already use less of stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `RLIMIT_DATA`: bytes of private memory that can be written.
    pub data: u64,
    /// `RLIMIT_AS`: bytes of addresses, used or not. Their tables are the kernel's memory, which `data` does not count.
    pub addresses: u64,
    /// `RLIMIT_NOFILE`: open descriptors.
    pub descriptors: u64,
    /// `RLIMIT_NPROC`: threads of its user.
    pub threads: u64,
}

/// Lowers this process's limits, hard and soft: those given, and to nothing those that no plugin needs.
///
/// # Errors
///
/// The kernel's answer, with the limit's name.
///
/// Kernel: `setrlimit(2)`.
pub fn lower_limits(limits: &Limits) -> io::Result<()> {
    let all = [
        (Resource::RLIMIT_DATA, limits.data),
        (Resource::RLIMIT_AS, limits.addresses),
        (Resource::RLIMIT_NOFILE, limits.descriptors),
        (Resource::RLIMIT_NPROC, limits.threads),
        (Resource::RLIMIT_STACK, 8 << 20),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_MEMLOCK, 0),
        (Resource::RLIMIT_MSGQUEUE, 0),
        (Resource::RLIMIT_NICE, 0),
        (Resource::RLIMIT_RTPRIO, 0),
        (Resource::RLIMIT_SIGPENDING, 64),
        (Resource::RLIMIT_LOCKS, 0),
    ];
    for (resource, wanted) in all {
        let lower = || {
            let (_, hard) = getrlimit(resource)?;
            let value = hard.min(wanted);
            setrlimit(resource, value, value)
        };
        lower().map_err(|errno| io::Error::new(io::Error::from(errno).kind(), format!("{resource:?}: {errno}")))?;
    }
    Ok(())
}

/// Makes this process a user and group that nobody else is, without supplementary groups.
///
/// The kernel forgets the parent-death signal and makes the process undumpable by it.
///
/// # Errors
///
/// The kernel's answer: `EPERM` without privileges, `EINVAL` for an id that the user namespace does not map.
pub fn become_user(id: u32) -> io::Result<()> {
    setgroups(&[])?;
    let group = Gid::from_raw(id);
    setresgid(group, group, group)?;
    let user = Uid::from_raw(id);
    Ok(setresuid(user, user, user)?)
}

/// Empties the bounding set and locks the rules by which user 0 gets Linux capabilities. Needs `CAP_SETPCAP`.
///
/// # Errors
///
/// The kernel's answer.
///
/// Kernel: `capabilities(7)`.
pub fn drop_bounding_set() -> io::Result<()> {
    for number in 0..64 {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            // Beyond the last one that this kernel knows.
            Err(rustix::io::Errno::INVAL) if number > 0 => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    let locked = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::KEEP_CAPS_LOCKED;
    Ok(set_capabilities_secure_bits(locked)?)
}

/// Gives up every Linux capability of this thread.
///
/// # Errors
///
/// The kernel's answer.
///
/// Kernel: `capset(2)`.
pub fn drop_capabilities() -> io::Result<()> {
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    Ok(set_capabilities(None, sets)?)
}

/// Makes the kernel refuse memory that is written and run, and memory that becomes code.
///
/// Returns whether this kernel can.
///
/// # Errors
///
/// The kernel's answer, unless it is that it does not know this.
///
/// Kernel: `PR_SET_MDWE`, Linux 6.3.
pub fn refuse_exec_gain() -> io::Result<bool> {
    // SAFETY: five integers; no memory is touched.
    let result = unsafe { libc::prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0_u64, 0_u64, 0_u64) };
    if result == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        error => Err(error),
    }
}

/// Sets the host name of this process's UTS namespace.
///
/// # Errors
///
/// The kernel's answer.
pub fn set_hostname(name: &str) -> io::Result<()> {
    Ok(rustix::system::sethostname(name.as_bytes())?)
}

/// Gives up the privileges that a program could gain by its execution.
///
/// # Errors
///
/// The kernel's answer.
///
/// Kernel: `PR_SET_NO_NEW_PRIVS`.
pub fn set_no_new_privs() -> io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}
