//! The files and sockets that tell a client its process.

use std::os::fd::AsFd;
use std::path::Path;

use nexcage_sys::file::{self, Durability, FileError};
use nexcage_sys::pidfd::PidFd;
use nexcage_sys::scm::{self, ScmError};

/// Writes a decimal pid without a newline, in one step.
///
/// # Errors
///
/// The kernel's answer.
pub fn write(path: &Path, pid: i32) -> Result<(), FileError> {
    file::write_atomic(path, pid.to_string().as_bytes(), 0o644, Durability::Volatile)
}

/// Sends a pidfd over the listening socket `path`.
///
/// # Errors
///
/// The step that failed.
pub fn send_pidfd(path: &Path, pidfd: &PidFd) -> Result<(), ScmError> {
    let socket = scm::connect_stream(path)?;
    scm::send_fd(socket.as_fd(), b"pidfd", pidfd.as_fd())
}
