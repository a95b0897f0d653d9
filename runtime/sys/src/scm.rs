//! Unix sockets: connecting by any path, and sending descriptors over them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, recvmsg, sendmsg,
};

/// The longest path that fits a socket address, one byte left for the NUL.
const ADDRESS_PATH_MAX: usize = 107;
/// The longest payload that comes with a descriptor: conmon and runc send the name of the terminal.
const PAYLOAD_MAX: usize = 4096;
/// A message with more descriptors than this is refused; room for them so that all are received and closed.
const FDS_MAX: usize = 64;

/// A socket step that went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScmError {
    /// The socket could not be made.
    #[error("make unix socket")]
    Socket {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The file of a long path could not be opened.
    #[error("open socket {path:?}")]
    OpenPath {
        /// The path as given.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Nobody listens there, or access is denied.
    #[error("connect to socket {path:?}")]
    Connect {
        /// The path as given.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The socket could not be given its name.
    #[error("bind socket {path:?}")]
    Bind {
        /// The path as given.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The message did not go out.
    #[error("send descriptor")]
    Send {
        /// The kernel's answer.
        source: io::Error,
    },
    /// No message came in.
    #[error("receive descriptor")]
    Receive {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The other end closed the socket first.
    #[error("receive descriptor: the other end closed the socket without sending one")]
    Closed,
    /// Exactly one descriptor was expected. All that came are closed again.
    #[error("receive descriptor: {count} came instead of 1")]
    Count {
        /// How many came.
        count: usize,
    },
    /// The payload or the descriptors did not fit and were cut by the kernel.
    #[error("receive descriptor: message of more than {PAYLOAD_MAX} bytes or {FDS_MAX} descriptors")]
    Truncated,
}

/// Makes a pair of connected stream sockets, close-on-exec, blocking.
///
/// # Errors
///
/// [`ScmError::Socket`].
pub fn open_pair() -> Result<(OwnedFd, OwnedFd), ScmError> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(|error| ScmError::Socket { source: error.into() })
}

/// Connects a stream socket to a listening one.
///
/// * `path`: of any length; one that does not fit a socket address is reached through `/proc/self/fd`. An abstract
///   address is not meant: the path is always a file.
///
/// Returns the socket, close-on-exec.
///
/// # Errors
///
/// * [`ScmError::Socket`], [`ScmError::OpenPath`] (long paths only), [`ScmError::Connect`].
///
/// Kernel: `unix(7)`.
pub fn connect_stream(path: &Path) -> Result<OwnedFd, ScmError> {
    connect(path, SocketType::STREAM)
}

/// Connects a datagram socket, as `sd_notify` senders do.
///
/// * `path`: as for [`connect_stream`]; a leading `@` means the abstract address of that name.
///
/// # Errors
///
/// As [`connect_stream`].
pub fn connect_datagram(path: &Path) -> Result<OwnedFd, ScmError> {
    let Some(name) = path.as_os_str().as_bytes().strip_prefix(b"@") else {
        return connect(path, SocketType::DGRAM);
    };
    let socket = open_socket(SocketType::DGRAM)?;
    let refused = |error: rustix::io::Errno| ScmError::Connect {
        path: path.to_owned(),
        source: error.into(),
    };
    let address = SocketAddrUnix::new_abstract_name(name).map_err(refused)?;
    rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address)).map_err(refused)?;
    Ok(socket)
}

fn connect(path: &Path, kind: SocketType) -> Result<OwnedFd, ScmError> {
    let socket = open_socket(kind)?;
    let refused = |error: rustix::io::Errno| ScmError::Connect {
        path: path.to_owned(),
        source: error.into(),
    };
    if path.as_os_str().len() <= ADDRESS_PATH_MAX {
        let address = SocketAddrUnix::new(path).map_err(refused)?;
        rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address)).map_err(refused)?;
        return Ok(socket);
    }
    let file = open_path(path, OFlags::PATH | OFlags::CLOEXEC)?;
    let address = SocketAddrUnix::new(fd_path(file.as_fd())).map_err(refused)?;
    rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address)).map_err(refused)?;
    Ok(socket)
}

/// Binds a new datagram socket to a path that must not exist yet.
///
/// * `path`: of any length; its last part must fit a socket address by itself.
///
/// Returns the socket, close-on-exec and non-blocking. The file stays when the socket is closed.
///
/// # Errors
///
/// * [`ScmError::Socket`], [`ScmError::OpenPath`] (long paths only: the parent folder), [`ScmError::Bind`].
pub fn bind_datagram(path: &Path) -> Result<OwnedFd, ScmError> {
    let socket = open_socket(SocketType::DGRAM)?;
    let refused = |error: rustix::io::Errno| ScmError::Bind {
        path: path.to_owned(),
        source: error.into(),
    };
    rustix::io::ioctl_fionbio(&socket, true).map_err(refused)?;
    if path.as_os_str().len() <= ADDRESS_PATH_MAX {
        let address = SocketAddrUnix::new(path).map_err(refused)?;
        rustix::net::bind(&socket, &address).map_err(refused)?;
        return Ok(socket);
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    let folder = open_path(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC)?;
    let short = fd_path(folder.as_fd()).join(path.file_name().unwrap_or_default());
    let address = SocketAddrUnix::new(short).map_err(refused)?;
    rustix::net::bind(&socket, &address).map_err(refused)?;
    Ok(socket)
}

fn open_socket(kind: SocketType) -> Result<OwnedFd, ScmError> {
    rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
        .map_err(|error| ScmError::Socket { source: error.into() })
}

fn open_path(path: &Path, flags: OFlags) -> Result<OwnedFd, ScmError> {
    rustix::fs::open(path, flags, Mode::empty()).map_err(|error| ScmError::OpenPath {
        path: path.to_owned(),
        source: error.into(),
    })
}

fn fd_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Sends one descriptor with a payload.
///
/// * `payload`: at least one byte, by custom the descriptor's name.
///
/// # Errors
///
/// [`ScmError::Send`]; a closed peer is `EPIPE`, without a SIGPIPE.
///
/// Kernel: `unix(7)`, `SCM_RIGHTS`.
pub fn send_fd(socket: BorrowedFd<'_>, payload: &[u8], fd: BorrowedFd<'_>) -> Result<(), ScmError> {
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let _fits = control.push(SendAncillaryMessage::ScmRights(&fds));
    rustix::io::retry_on_intr(|| sendmsg(socket, &[IoSlice::new(payload)], &mut control, SendFlags::NOSIGNAL))
        .map(drop)
        .map_err(|error| ScmError::Send { source: error.into() })
}

/// Receives one descriptor and the payload that came with it.
///
/// Waits until a message comes. The descriptor is close-on-exec.
///
/// # Errors
///
/// * [`ScmError::Receive`], [`ScmError::Closed`], [`ScmError::Truncated`].
/// * [`ScmError::Count`]: none or several came; those are closed, so that a sender cannot fill our table.
pub fn receive_fd(socket: BorrowedFd<'_>) -> Result<(Vec<u8>, OwnedFd), ScmError> {
    let mut payload = vec![0_u8; PAYLOAD_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received =
        rustix::io::retry_on_intr(|| recvmsg(socket, &mut [IoSliceMut::new(&mut payload)], &mut control, flags))
            .map_err(|error| ScmError::Receive { source: error.into() })?;
    let mut fds = take_fds(&mut control);
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(ScmError::Truncated);
    }
    if received.bytes == 0 && fds.is_empty() {
        return Err(ScmError::Closed);
    }
    payload.truncate(received.bytes);
    match (fds.pop(), fds.len()) {
        (Some(fd), 0) => Ok((payload, fd)),
        (last, others) => Err(ScmError::Count {
            count: others + usize::from(last.is_some()),
        }),
    }
}

/// Reads bytes of a stream, and the descriptors that came with them.
///
/// Waits until there is something. Descriptors are close-on-exec.
///
/// Returns how many bytes were read, 0 at the end of the stream, and the descriptors.
///
/// # Errors
///
/// * [`ScmError::Receive`].
/// * [`ScmError::Truncated`]: more than 64 descriptors came; those that did are closed.
pub fn receive_stream(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), ScmError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received =
        rustix::io::retry_on_intr(|| recvmsg(socket, &mut [IoSliceMut::new(&mut *buffer)], &mut control, flags))
            .map_err(|error| ScmError::Receive { source: error.into() })?;
    let fds = take_fds(&mut control);
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(ScmError::Truncated);
    }
    Ok((received.bytes, fds))
}

fn take_fds(control: &mut RecvAncillaryBuffer<'_>) -> Vec<OwnedFd> {
    let mut fds: Vec<OwnedFd> = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    fds
}

#[cfg(test)]
mod tests;
