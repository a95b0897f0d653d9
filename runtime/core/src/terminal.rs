//! The terminal of a container: handed to a client, or relayed to the caller's own terminal.
//!
//! In the foreground the backend makes the container's terminal and sends its master over a socket, exactly as it
//! sends it to a client. This module receives it, puts the caller's terminal into raw mode and moves the bytes. It
//! never blocks: [`crate::foreground`] waits, and calls it when a descriptor is ready.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nexcage_sys::fds;
use nexcage_sys::poll::{self, Ready, Watch};
use nexcage_sys::pty::{self, RawMode, WindowSize};
use nexcage_sys::scm::{self, ScmError};

mod relay;

use relay::{Flow, Relay};

/// A terminal step that went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TerminalError {
    /// Neither standard stream is a terminal, and there is no controlling terminal.
    #[error("open /dev/tty: run without a terminal, or give one")]
    NoTerminal {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The caller's terminal could not be duplicated.
    #[error("duplicate the caller's terminal")]
    Duplicate {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The socket for the container's terminal could not be made or reached.
    #[error("open console socket")]
    ConsoleSocket {
        /// The step.
        source: ScmError,
    },
    /// The backend did not send the container's terminal.
    #[error("receive the container's terminal")]
    Receive {
        /// The step.
        source: ScmError,
    },
    /// What was sent is no terminal, or cannot be set up.
    #[error("set up the container's terminal")]
    SetUp {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The caller's terminal could not be put into raw mode.
    #[error("set the caller's terminal to raw mode")]
    RawMode {
        /// The kernel's answer.
        source: io::Error,
    },
    /// Standard input or output could not be duplicated.
    #[error("duplicate standard stream {number}")]
    StandardStream {
        /// 0 or 1.
        number: i32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Waiting for the caller to take the last output failed.
    #[error("wait for standard output")]
    Drain {
        /// The kernel's answer.
        source: io::Error,
    },
}

/// A console socket that does not go with the config. The words are runc's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsoleError {
    /// A terminal of a process that nobody waits for has to go somewhere.
    #[error("cannot allocate tty if runc will detach without setting console socket")]
    NoSocket,
    /// A socket without a terminal would never be used.
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
/// [`ConsoleError`].
pub const fn check(terminal: bool, socket: bool, detach: bool) -> Result<(), ConsoleError> {
    match (terminal, socket, detach) {
        (true, false, true) => Err(ConsoleError::NoSocket),
        (false, true, _) | (_, true, false) => Err(ConsoleError::NoTerminal),
        _ => Ok(()),
    }
}

/// Connects to the socket on which a client waits for the container's terminal.
///
/// * `path`: a listening stream socket; of any length.
///
/// Returns the connection, close-on-exec, to be given to the backend.
///
/// # Errors
///
/// [`TerminalError::ConsoleSocket`], with the path.
pub fn connect_console(path: &Path) -> Result<OwnedFd, TerminalError> {
    scm::connect_stream(path).map_err(|source| TerminalError::ConsoleSocket { source })
}

/// A terminal that the backend is to make and send to us.
#[derive(Debug)]
pub struct TerminalRequest {
    caller: OwnedFd,
    ours: OwnedFd,
    backends: OwnedFd,
    input: OwnedFd,
    output: OwnedFd,
}

impl TerminalRequest {
    /// Finds the caller's terminal and makes the socket pair. The caller's terminal is not changed yet.
    ///
    /// The terminal is the first of standard error, output and input that is one, else the controlling terminal.
    ///
    /// # Errors
    ///
    /// [`TerminalError::NoTerminal`], [`TerminalError::Duplicate`], [`TerminalError::StandardStream`],
    /// [`TerminalError::ConsoleSocket`].
    pub fn open() -> Result<Self, TerminalError> {
        let (input, output) = (open_stream(0)?, open_stream(1)?);
        let caller = find_terminal()?;
        Self::with_streams(caller, input, output)
    }

    fn with_streams(caller: OwnedFd, input: OwnedFd, output: OwnedFd) -> Result<Self, TerminalError> {
        let (ours, backends) = scm::open_pair().map_err(|source| TerminalError::ConsoleSocket { source })?;
        Ok(Self {
            caller,
            ours,
            backends,
            input,
            output,
        })
    }

    /// The backend's end: its console socket.
    #[must_use]
    pub fn console(&self) -> BorrowedFd<'_> {
        self.backends.as_fd()
    }

    /// Window size of the caller's terminal; `None` when it has none.
    #[must_use]
    pub fn window_size(&self) -> Option<WindowSize> {
        pty::read_window_size(self.caller.as_fd()).ok()
    }

    /// Takes the master that the backend has sent, gives it the caller's window size, and starts raw mode.
    ///
    /// Call it when the process exists. Until the result is dropped, the caller's terminal is raw.
    ///
    /// # Errors
    ///
    /// [`TerminalError::Receive`] (also when the backend sent nothing), [`TerminalError::SetUp`],
    /// [`TerminalError::RawMode`]: the caller's terminal is as it was.
    pub fn receive(self) -> Result<Terminal, TerminalError> {
        // With our copy of the backend's end closed, a backend that ended without sending shows as the end.
        drop(self.backends);
        let (_name, master) = scm::receive_fd(self.ours.as_fd()).map_err(|source| TerminalError::Receive { source })?;
        let set_up = |source| TerminalError::SetUp { source };
        pty::clear_onlcr(master.as_fd()).map_err(set_up)?;
        poll::set_nonblocking(master.as_fd()).map_err(set_up)?;
        let raw = RawMode::enter(self.caller).map_err(|source| TerminalError::RawMode { source })?;
        let terminal = Terminal {
            raw,
            relay: Relay::new(master, self.input, self.output),
        };
        terminal.resize();
        Ok(terminal)
    }
}

fn find_terminal() -> Result<OwnedFd, TerminalError> {
    for stream in [io::stderr().as_fd(), io::stdout().as_fd(), io::stdin().as_fd()] {
        if pty::is_terminal(stream) {
            return stream
                .try_clone_to_owned()
                .map_err(|source| TerminalError::Duplicate { source });
        }
    }
    pty::open_controlling().map_err(|source| TerminalError::NoTerminal { source })
}

/// Pipes and terminals are opened anew, non-blocking, so that a stalled reader never stops signals from being
/// forwarded; other files, and those that may not be opened, are duplicated.
fn open_stream(number: i32) -> Result<OwnedFd, TerminalError> {
    let copy = fds::copy_number(number).map_err(|source| TerminalError::StandardStream { number, source })?;
    if !pty::is_terminal(copy.as_fd()) && !fds::is_pipe(copy.as_fd()) {
        return Ok(copy);
    }
    Ok(fds::reopen_nonblocking(copy.as_fd(), number == 1).unwrap_or(copy))
}

/// A container's terminal, joined to the caller's. The caller's modes come back when it is dropped.
#[derive(Debug)]
pub struct Terminal {
    raw: RawMode,
    relay: Relay,
}

/// Which descriptor a watch of [`Terminal::watches`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Input,
    Master,
    Output,
}

impl Terminal {
    /// Gives the container's terminal the window size of the caller's; silent when one of them is gone.
    pub fn resize(&self) {
        let Some(master) = self.relay.master() else { return };
        if let Ok(size) = pty::read_window_size(self.raw.terminal())
            && let Err(error) = pty::write_window_size(master, size)
        {
            tracing::debug!(%error, "window size not set");
        }
    }

    /// What to wait for now.
    pub(crate) fn watches(&self) -> Vec<(Side, Watch<'_>)> {
        self.relay.watches()
    }

    /// Whether the container has closed its terminal for now: look again soon, no descriptor will tell.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.relay.is_hung_up()
    }

    /// Moves the bytes that can be moved.
    pub(crate) fn on_ready(&mut self, side: Side, ready: Ready) {
        self.relay.on_ready(side, ready);
    }

    /// Looks whether a closed terminal was opened again.
    pub(crate) fn look_again(&mut self) {
        self.relay.look_again();
    }

    /// Moves what the container wrote before it ended, waiting for the caller to take it; then closes.
    ///
    /// Other processes can still hold the terminal; what they write later is not waited for.
    ///
    /// # Errors
    ///
    /// [`TerminalError::Drain`].
    pub(crate) fn drain(mut self) -> Result<(), TerminalError> {
        while self.relay.drain_step() == Flow::Blocked {
            let watch = [Watch {
                fd: self.relay.output(),
                read: false,
                write: true,
            }];
            poll::wait(&watch, None).map_err(|source| TerminalError::Drain { source })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
