//! The file and the socket that tell a client which process it got.

use std::os::fd::AsFd;
use std::path::Path;

use nexcage_sys::file::{self, Durability, FileError};
use nexcage_sys::pidfd::PidFd;
use nexcage_sys::scm::{self, ScmError};

/// Larger than any pid file; another file of that name is not ours to remove.
const PID_TEXT_MAX: u64 = 16;

/// Writes a pid file: decimal, no newline, complete whenever it is seen.
///
/// * `path`: replaced if it exists; its folder must exist.
/// * `pid`: in the caller's pid namespace.
///
/// # Errors
///
/// The step that failed; then the path is as it was.
pub fn write(path: &Path, pid: i32) -> Result<(), FileError> {
    file::write_atomic(path, pid.to_string().as_bytes(), 0o644, Durability::Volatile)
}

/// Removes a pid file again after a later step has failed.
///
/// * `pid`: what was written; a file that says something else belongs to someone else and stays.
///
/// Returns whether a file was removed.
pub fn remove(path: &Path, pid: i32) -> bool {
    let is_ours = file::read_capped(path, PID_TEXT_MAX).is_ok_and(|text| text == pid.to_string().as_bytes());
    is_ours && std::fs::remove_file(path).is_ok()
}

/// Which process a sent descriptor is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PidfdOf {
    /// A container's init.
    Init,
    /// A process that `exec` started.
    Exec,
}

/// Sends a descriptor of the process to a client that listens for it.
///
/// * `path`: the client's stream socket, of any length.
/// * `whose`: told to the client in the payload, in runc's words: `standard` or `setns`.
///
/// # Errors
///
/// [`ScmError`]: the socket or the path that the client gave cannot be reached.
pub fn send_pidfd(path: &Path, pidfd: &PidFd, whose: PidfdOf) -> Result<(), ScmError> {
    let socket = scm::connect_stream(path)?;
    let payload: &[u8] = match whose {
        PidfdOf::Init => b"standard",
        PidfdOf::Exec => b"setns",
    };
    scm::send_fd(socket.as_fd(), payload, pidfd.as_fd())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("nexcage-pidfile-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_pid_file_holds_digits_only_and_is_removed_once() {
        let folder = folder("write");
        let path = folder.join("pid");
        write(&path, 12345).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"12345");
        assert!(!remove(&path, 1));
        assert!(remove(&path, 12345));
        assert!(!remove(&path, 12345));
        std::fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn a_client_gets_a_pidfd_of_the_process() {
        let folder = folder("socket");
        let path = folder.join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let me = PidFd::open(i32::try_from(std::process::id()).unwrap()).unwrap();
        send_pidfd(&path, &me, PidfdOf::Exec).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let (payload, fd) = scm::receive_fd(stream.as_fd()).unwrap();
        assert_eq!(payload, b"setns");
        let received = PidFd::from_fd(fd);
        received.send_signal(nexcage_sys::signals::Signal::NONE).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
