//! The caller's terminal and the container's, joined.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nexcage_sys::pty::{RawMode, is_terminal, read_window_size, write_window_size};
use nexcage_sys::scm;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};

use crate::foreground::wait_readable;

/// Most that is copied at once.
const CHUNK: usize = 16 * 1024;

/// The two ends of a console socket within this process.
#[derive(Debug)]
pub struct Console {
    ours: OwnedFd,
    /// The end to give to the backend.
    pub theirs: OwnedFd,
}

impl Console {
    /// A new pair.
    ///
    /// # Errors
    ///
    /// The kernel's answer.
    pub fn open() -> Result<Self, scm::ScmError> {
        let (ours, theirs) = scm::open_pair()?;
        Ok(Self { ours, theirs })
    }

    /// Receives the container's terminal and joins it to the caller's.
    ///
    /// # Errors
    ///
    /// No terminal came, or the caller's could not be put into raw mode.
    pub fn join(self) -> io::Result<Relay> {
        drop(self.theirs);
        let (_name, master) = scm::receive_fd(self.ours.as_fd()).map_err(io::Error::other)?;
        Relay::new(File::from(master))
    }
}

/// Copies between the caller's standard descriptors and a terminal's master.
#[derive(Debug)]
pub struct Relay {
    master: File,
    raw: Option<RawMode>,
    /// Read from the caller, not yet taken by the container.
    pending: Vec<u8>,
    input_open: bool,
    output_open: bool,
}

impl Relay {
    fn new(master: File) -> io::Result<Self> {
        fcntl(
            std::os::fd::AsRawFd::as_raw_fd(&master),
            FcntlArg::F_SETFL(OFlag::O_NONBLOCK),
        )?;
        let stdin = io::stdin();
        let raw = if is_terminal(stdin.as_fd()) {
            Some(RawMode::enter(stdin.as_fd().try_clone_to_owned()?)?)
        } else {
            None
        };
        let relay = Self {
            master,
            raw,
            pending: Vec::new(),
            input_open: true,
            output_open: true,
        };
        relay.resize();
        Ok(relay)
    }

    /// Gives the container's terminal the caller's size.
    pub(crate) fn resize(&self) {
        let Some(raw) = &self.raw else { return };
        if let Ok(size) = read_window_size(raw.terminal()) {
            // The container may have closed its terminal already.
            let _resized = write_window_size(self.master.as_fd(), size).is_ok();
        }
    }

    /// Waits for the signals' descriptor or for something to copy, and copies it.
    pub(crate) fn poll_with(&mut self, signals: BorrowedFd<'_>) -> io::Result<()> {
        let stdin = io::stdin();
        let (mut from_master, mut to_master, mut from_stdin) = (false, false, false);
        {
            let mut fds = vec![PollFd::new(signals, PollFlags::POLLIN)];
            if self.output_open {
                let mut events = PollFlags::POLLIN;
                events.set(PollFlags::POLLOUT, !self.pending.is_empty());
                fds.push(PollFd::new(self.master.as_fd(), events));
            }
            let asks_stdin = self.input_open && self.pending.is_empty();
            if asks_stdin {
                fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
            }
            wait_readable(&mut fds)?;
            let ready = |index: usize| {
                fds.get(index)
                    .and_then(|fd: &PollFd<'_>| fd.revents())
                    .unwrap_or(PollFlags::empty())
            };
            let readable = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
            if self.output_open {
                from_master = ready(1).intersects(readable);
                to_master = ready(1).contains(PollFlags::POLLOUT);
            }
            if asks_stdin {
                from_stdin = ready(usize::from(self.output_open) + 1).intersects(readable);
            }
        }
        if from_master {
            self.copy_out();
        }
        if to_master {
            self.push_pending();
        }
        if from_stdin {
            self.read_input();
        }
        Ok(())
    }

    /// Copies what the container wrote last. Its terminal keeps it after its end.
    pub(crate) fn drain(&mut self) {
        while self.output_open && self.copy_out() {}
    }

    /// Returns whether there was something.
    fn copy_out(&mut self) -> bool {
        let mut buffer = [0; CHUNK];
        match self.master.read(&mut buffer) {
            Ok(length) if length > 0 => {
                let mut out = io::stdout().lock();
                let written = buffer
                    .get(..length)
                    .map_or(Ok(()), |bytes| out.write_all(bytes))
                    .and_then(|()| out.flush());
                // A reader that has gone does not end the container.
                self.output_open = written.is_ok() || self.output_open;
                true
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => false,
            // EIO: every process of the container has closed it.
            _ => {
                self.output_open = false;
                false
            }
        }
    }

    fn read_input(&mut self) {
        let mut buffer = vec![0; CHUNK];
        match io::stdin().lock().read(&mut buffer) {
            Ok(length) if length > 0 => {
                buffer.truncate(length);
                self.pending = buffer;
                self.push_pending();
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            _ => {
                self.input_open = false;
                // End of file for whoever reads the container's terminal.
                self.pending = vec![4];
                self.push_pending();
            }
        }
    }

    fn push_pending(&mut self) {
        match self.master.write(&self.pending) {
            Ok(length) => drop(self.pending.drain(..length)),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.pending.clear(),
        }
    }
}

/// A console socket that does not go with the config.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsoleError {
    /// A terminal of a process that nobody waits for has to go somewhere.
    #[error("cannot allocate tty if runc will detach without setting console socket")]
    NoSocket,
    /// A socket without a terminal would wait for ever.
    #[error("cannot use console socket if runc will not detach or allocate tty")]
    NoTerminal,
}

/// Checks that a console socket is given exactly where one is needed.
///
/// * `terminal`: the process has a terminal.
/// * `socket`: a console socket is given.
/// * `detach`: the caller does not wait.
///
/// # Errors
///
/// [`ConsoleError`], with runc's words.
pub const fn check(terminal: bool, socket: bool, detach: bool) -> Result<(), ConsoleError> {
    match (terminal, socket, detach) {
        (true, false, true) => Err(ConsoleError::NoSocket),
        (false, true, _) | (true, true, false) => Err(ConsoleError::NoTerminal),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_goes_with_a_detached_terminal_only() {
        assert_eq!(check(true, true, true), Ok(()));
        assert_eq!(check(true, false, false), Ok(()));
        assert_eq!(check(false, false, true), Ok(()));
        assert_eq!(check(true, false, true), Err(ConsoleError::NoSocket));
        assert_eq!(check(false, true, true), Err(ConsoleError::NoTerminal));
        assert_eq!(check(true, true, false), Err(ConsoleError::NoTerminal));
    }
}
