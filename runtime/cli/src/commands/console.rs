//! Where the terminal of a process goes: to the socket of `--console-socket`, to the caller's terminal, or nowhere.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Result;
use nexcage_runtime::terminal::{Terminal, TerminalError, TerminalRequest, connect_console};

/// What takes the terminal.
pub(super) struct Console {
    socket: Option<OwnedFd>,
    own: Option<TerminalRequest>,
}

impl Console {
    /// Connects to the socket, or else prepares the caller's terminal.
    ///
    /// * `terminal`: the process has a terminal.
    pub(super) fn open(socket: Option<&Path>, terminal: bool) -> Result<Self> {
        let socket = socket.map(connect_console).transpose()?;
        let own = (terminal && socket.is_none()).then(TerminalRequest::open).transpose()?;
        Ok(Self { socket, own })
    }

    /// Where the backend sends the terminal.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket
            .as_ref()
            .map(AsFd::as_fd)
            .or(self.own.as_ref().map(TerminalRequest::console))
    }

    /// Joins the terminal with the caller's, when that is where it goes.
    pub(super) fn receive(self) -> Result<Option<Terminal>, TerminalError> {
        self.own.map(TerminalRequest::receive).transpose()
    }
}
