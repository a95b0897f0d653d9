//! Waiting for several descriptors at once, and reads and writes that say "not now" without an error.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// What to wait for on one descriptor. Asking for nothing still reports a hangup: leave such a descriptor out.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// The descriptor.
    pub fd: BorrowedFd<'a>,
    /// Wait until it can be read.
    pub read: bool,
    /// Wait until it can be written.
    pub write: bool,
}

/// What a descriptor is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ready {
    /// A read gives data, the end, or an error.
    pub readable: bool,
    /// A write takes at least a few bytes, or gives an error.
    pub writable: bool,
    /// The other end is gone.
    pub hung_up: bool,
}

/// Waits until one of the descriptors is ready.
///
/// * `timeout`: the longest wait; `None` waits for ever.
///
/// Returns one entry a watch, in order; all empty after the timeout or when a signal handler ran.
///
/// # Errors
///
/// The kernel's answer to `ppoll`, or `InvalidInput` for a timeout of more than the kernel's range.
///
/// Kernel: `poll(2)`.
pub fn wait(watches: &[Watch<'_>], timeout: Option<Duration>) -> io::Result<Vec<Ready>> {
    let mut fds: Vec<PollFd<'_>> = watches
        .iter()
        .map(|watch| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, watch.read);
            flags.set(PollFlags::OUT, watch.write);
            PollFd::from_borrowed_fd(watch.fd, flags)
        })
        .collect();
    let timeout = timeout.map(Timespec::try_from).transpose();
    let timeout = timeout.map_err(|source| io::Error::new(io::ErrorKind::InvalidInput, source))?;
    match rustix::event::poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let ready = |fd: &PollFd<'_>| {
        let found = fd.revents();
        let broken = found.intersects(PollFlags::ERR | PollFlags::NVAL);
        Ready {
            readable: found.contains(PollFlags::IN) || broken,
            writable: found.contains(PollFlags::OUT) || broken,
            hung_up: found.contains(PollFlags::HUP),
        }
    };
    Ok(fds.iter().map(ready).collect())
}

/// Reads what is there.
///
/// Returns the number of bytes, 0 at the end; `None` when a non-blocking descriptor has nothing now.
///
/// # Errors
///
/// The kernel's answer: a terminal whose other end is closed gives `EIO`.
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    would_block(rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut *buffer)))
}

/// Writes as much as fits.
///
/// Returns the number of bytes; `None` when a non-blocking descriptor takes nothing now.
///
/// # Errors
///
/// The kernel's answer: `EPIPE` without readers (this program ignores SIGPIPE).
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<Option<usize>> {
    would_block(rustix::io::retry_on_intr(|| rustix::io::write(fd, bytes)))
}

fn would_block(result: Result<usize, Errno>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes a descriptor non-blocking; so does it for everyone who shares the open file.
///
/// # Errors
///
/// The kernel's answer.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn readiness_of_a_pipe_changes_with_its_content() {
        let (reader, writer) = io::pipe().unwrap();
        let watches = [
            Watch {
                fd: reader.as_fd(),
                read: true,
                write: false,
            },
            Watch {
                fd: writer.as_fd(),
                read: false,
                write: true,
            },
        ];
        let ready = wait(&watches, Some(Duration::ZERO)).unwrap();
        assert_eq!((ready[0].readable, ready[1].writable), (false, true));
        assert_eq!(write(writer.as_fd(), b"ab").unwrap(), Some(2));
        assert!(wait(&watches, None).unwrap()[0].readable);
        set_nonblocking(reader.as_fd()).unwrap();
        let mut buffer = [0; 8];
        assert_eq!(read(reader.as_fd(), &mut buffer).unwrap(), Some(2));
        assert_eq!(read(reader.as_fd(), &mut buffer).unwrap(), None);
        drop(writer);
        let watches = [Watch {
            fd: reader.as_fd(),
            read: true,
            write: false,
        }];
        assert!(wait(&watches, None).unwrap()[0].hung_up);
        assert_eq!(read(reader.as_fd(), &mut buffer).unwrap(), Some(0));
    }
}
