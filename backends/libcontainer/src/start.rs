//! The start socket: `start` connects, init accepts, and the connection's end says how it went.
//!
//! Init closes the connection by executing the program (it is close-on-exec), so an end without a text is success.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nexcage_backend::Error;
use nexcage_sys::fds;
use nexcage_sys::unix_socket;
use nix::sys::socket::{SockFlag, accept4};

/// Name of the start socket in the container's directory.
pub(crate) const START_SOCKET: &str = "start.sock";
/// Name of libcontainer's own start socket.
pub(crate) const NOTIFY_SOCKET: &str = "notify.sock";

/// Longest text that init may send; more is cut.
const MAX_TEXT: u64 = 16 * 1024;

/// A listening start socket in the container's directory.
pub(crate) fn listen(dir: &Path) -> io::Result<OwnedFd> {
    unix_socket::listen(&dir.join(START_SOCKET))
}

/// Init's side: waits for `start`.
pub(crate) fn accept(listener: i32) -> io::Result<UnixStream> {
    let listener = fds::borrow_inherited(listener).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
    let fd = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
    fds::take_inherited(fd)
        .map(UnixStream::from)
        .ok_or_else(|| io::ErrorKind::NotConnected.into())
}

/// Init's side: says why the program does not run.
pub(crate) fn refuse(starter: &mut UnixStream, text: &str) {
    // A starter that was killed cannot be told; init ends either way.
    drop(starter.write_all(text.as_bytes()));
}

/// The runtime's side: starts the init that waits in `dir`, and returns once it executes the program.
pub(crate) fn start(dir: &Path) -> Result<(), Error> {
    let launch = |step| move |source| Error::Launch { step, source };
    let mut outcome = unix_socket::connect(&dir.join(START_SOCKET)).map_err(launch("connect to the waiting init"))?;
    let mut notify = unix_socket::connect(&dir.join(NOTIFY_SOCKET)).map_err(launch("connect to the waiting init"))?;
    notify
        .write_all(b"start container")
        .map_err(launch("wake the waiting init"))?;
    drop(notify);
    let mut text = String::new();
    Read::by_ref(&mut outcome)
        .take(MAX_TEXT)
        .read_to_string(&mut text)
        .map_err(gone)?;
    if text.is_empty() {
        Ok(())
    } else {
        Err(Error::Start(text))
    }
}

/// Init ended while it was asked to run the program: only its death resets the connection.
fn gone(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::ConnectionReset => Error::Start("container init ended before it ran the program".to_owned()),
        _ => Error::Launch {
            step: "wait for the program to run",
            source,
        },
    }
}
