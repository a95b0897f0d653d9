//! Unix sockets by paths of any length: an address holds 107 bytes, so the directory is reached through a descriptor.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Listens on a new socket file.
///
/// # Errors
///
/// The kernel's answer.
pub fn listen(path: &Path) -> io::Result<OwnedFd> {
    with_short(path, |short| UnixListener::bind(short)).map(OwnedFd::from)
}

/// Connects to a socket file.
///
/// # Errors
///
/// The kernel's answer.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    with_short(path, |short| UnixStream::connect(short))
}

fn with_short<T>(path: &Path, use_it: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    const LONGEST: usize = 107;
    if path.as_os_str().len() <= LONGEST {
        return use_it(path);
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let dir = File::open(parent)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
    use_it(&short)
}
