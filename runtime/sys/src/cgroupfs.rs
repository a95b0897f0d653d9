//! Opening files and directories below a control group mount without leaving it.
//!
//! Owns the one kernel call that std and nix offer only with raw descriptors. Knows nothing of controllers.
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Opens a path below a directory; no symlink is followed, no mount is crossed and `..` cannot leave it.
///
/// * `dir`: the directory that the path may not leave; borrowed.
/// * `path`: relative path; the empty path names `dir` itself.
/// * `flags`: `O_*` flags; `O_CLOEXEC` and `O_NOFOLLOW` are added.
///
/// Returns the descriptor.
///
/// # Errors
///
/// The kernel's answer. A kernel without openat2 (before 5.6) gets a walk with `O_NOFOLLOW` at each step instead.
///
/// Kernel: openat2(2), `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS`, `RESOLVE_NO_XDEV`.
pub fn open_beneath(dir: BorrowedFd<'_>, path: &Path, flags: i32) -> io::Result<OwnedFd> {
    let name = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    match openat2(dir, name, flags) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => walk(dir, name, flags),
        other => other,
    }
}

/// Signals a process by number, the real-time signals included.
///
/// * `pid`: in the caller's pid namespace; must be above 0, so that no process group is meant.
/// * `signal`: number.
///
/// # Errors
///
/// The kernel's answer; `EINVAL` for a pid that is not above 0.
///
/// Kernel: kill(2).
pub fn kill(pid: i32, signal: i32) -> nix::Result<()> {
    if pid <= 0 {
        return Err(nix::errno::Errno::EINVAL);
    }
    #[expect(unsafe_code, reason = "nix 0.29 knows no real-time signals")]
    // SAFETY: kill takes two numbers and touches no memory of this process.
    let result = unsafe { libc::kill(pid, signal) };
    nix::errno::Errno::result(result).map(drop)
}

/// One openat2 call with the flags of [`open_beneath`].
fn openat2(dir: BorrowedFd<'_>, path: &Path, flags: i32) -> io::Result<OwnedFd> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let how = nix::fcntl::OpenHow::new()
        .flags(nix::fcntl::OFlag::from_bits_retain(
            flags | libc::O_CLOEXEC | libc::O_NOFOLLOW,
        ))
        .resolve(
            nix::fcntl::ResolveFlag::RESOLVE_BENEATH
                | nix::fcntl::ResolveFlag::RESOLVE_NO_SYMLINKS
                | nix::fcntl::ResolveFlag::RESOLVE_NO_XDEV,
        );
    let fd = nix::fcntl::openat2(dir.as_raw_fd(), name.as_c_str(), how)?;
    Ok(own(fd))
}

/// Opens one component after the other, refusing `..` and symlinks.
fn walk(dir: BorrowedFd<'_>, path: &Path, flags: i32) -> io::Result<OwnedFd> {
    use std::path::Component;
    let step = libc::O_PATH | libc::O_DIRECTORY;
    let mut at = openat(dir, Path::new("."), step)?;
    let mut parts = path.components().filter(|part| *part != Component::CurDir).peekable();
    if parts.peek().is_none() {
        return openat(dir, Path::new("."), flags);
    }
    while let Some(part) = parts.next() {
        let Component::Normal(name) = part else {
            return Err(io::Error::from_raw_os_error(libc::EXDEV));
        };
        let last = parts.peek().is_none();
        let next = openat(
            std::os::fd::AsFd::as_fd(&at),
            Path::new(name),
            if last { flags } else { step },
        )?;
        if last {
            return Ok(next);
        }
        at = next;
    }
    Ok(at)
}

/// One openat call that does not follow a symlink.
fn openat(dir: BorrowedFd<'_>, name: &Path, flags: i32) -> io::Result<OwnedFd> {
    let flags = nix::fcntl::OFlag::from_bits_retain(flags | libc::O_CLOEXEC | libc::O_NOFOLLOW);
    let fd = nix::fcntl::openat(Some(dir.as_raw_fd()), name, flags, nix::sys::stat::Mode::empty())?;
    Ok(own(fd))
}

/// Takes ownership of a descriptor that the kernel has just made.
#[expect(unsafe_code, reason = "nix 0.29 returns raw descriptors from openat and openat2")]
fn own(fd: i32) -> OwnedFd {
    // SAFETY: `from_raw_fd` needs an open descriptor that nothing else owns; both callers pass the value that openat or
    // openat2 returned in the line before, and hand it nowhere else.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[track_caller]
    fn check(open: impl Fn(BorrowedFd<'_>, &Path, i32) -> io::Result<OwnedFd>) {
        let proc = std::fs::File::open("/proc/self").unwrap();
        let flags = libc::O_RDONLY;
        assert!(open(proc.as_fd(), Path::new("status"), flags).is_ok());
        assert!(open(proc.as_fd(), Path::new("attr/current"), flags).is_ok() || !Path::new("/proc/self/attr").exists());
        assert!(
            open(proc.as_fd(), Path::new("../version"), flags).is_err(),
            "left the directory"
        );
        assert!(open(proc.as_fd(), Path::new("exe"), flags).is_err(), "followed a link");
        assert!(
            open(proc.as_fd(), Path::new("root/etc"), flags).is_err(),
            "walked through a link"
        );
        assert!(open(proc.as_fd(), Path::new(""), libc::O_PATH | libc::O_DIRECTORY).is_ok());
    }

    #[test]
    fn a_path_stays_below_its_directory() {
        check(open_beneath);
    }

    #[test]
    fn the_walk_for_old_kernels_keeps_the_same_rules() {
        check(|dir, path, flags| {
            walk(
                dir,
                if path.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    path
                },
                flags,
            )
        });
    }
}
