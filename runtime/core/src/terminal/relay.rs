//! Moves bytes between the caller's streams and a terminal's master, without ever blocking.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nexcage_sys::poll::{self, Ready, Watch};

use super::Side;

/// Also the most that is written at once: a pipe that polls writable takes this much without blocking.
const CHUNK: usize = 4096;
/// More than the kernel keeps of a terminal's output: the end of a drain that others keep filling.
const DRAIN_MAX: usize = 256 * 1024;

/// Whether a step can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// All done.
    Done,
    /// The caller's output takes nothing now.
    Blocked,
}

/// Bytes that were read and not yet written.
#[derive(Debug)]
struct Pending {
    bytes: Vec<u8>,
    written: usize,
}

impl Pending {
    fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(CHUNK),
            written: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.written >= self.bytes.len()
    }

    /// Reads one chunk. `Ok(Some(0))` is the end, `Ok(None)` nothing now.
    fn fill(&mut self, from: BorrowedFd<'_>) -> io::Result<Option<usize>> {
        self.bytes.resize(CHUNK, 0);
        self.written = 0;
        let result = poll::read(from, &mut self.bytes);
        self.bytes
            .truncate(*result.as_ref().ok().and_then(Option::as_ref).unwrap_or(&0));
        result
    }

    /// Writes until all is written or nothing is taken.
    fn empty(&mut self, into: BorrowedFd<'_>) -> io::Result<()> {
        while let Some(rest) = self.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            match poll::write(into, rest)? {
                Some(count) if count > 0 => self.written += count,
                _ => break,
            }
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }
}

/// The two directions.
#[derive(Debug)]
pub(super) struct Relay {
    /// Closed when the caller's output is: the container sees a hangup, as it would of a real terminal.
    master: Option<OwnedFd>,
    /// Closed at its end; the container is not told, since a terminal has no end.
    input: Option<OwnedFd>,
    output: OwnedFd,
    typed: Pending,
    printed: Pending,
    /// Nobody in the container has the terminal open. It can be opened again.
    hung_up: bool,
    drained: usize,
}

impl Relay {
    pub(super) fn new(master: OwnedFd, input: OwnedFd, output: OwnedFd) -> Self {
        let (typed, printed) = (Pending::new(), Pending::new());
        Self {
            master: Some(master),
            input: Some(input),
            output,
            typed,
            printed,
            hung_up: false,
            drained: 0,
        }
    }

    pub(super) fn master(&self) -> Option<BorrowedFd<'_>> {
        self.master.as_ref().map(AsFd::as_fd)
    }

    pub(super) fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    pub(super) fn is_hung_up(&self) -> bool {
        self.hung_up && self.master.is_some()
    }

    /// A descriptor that nothing is wanted from is left out: poll would report its hangup again and again.
    pub(super) fn watches(&self) -> Vec<(Side, Watch<'_>)> {
        let reachable = self.master.is_some() && !self.hung_up;
        let wanted = [
            (
                Side::Input,
                self.input.as_ref(),
                reachable && self.typed.is_empty(),
                false,
            ),
            (
                Side::Master,
                self.master.as_ref(),
                reachable && self.printed.is_empty(),
                reachable && !self.typed.is_empty(),
            ),
            (Side::Output, Some(&self.output), false, !self.printed.is_empty()),
        ];
        let mut watches = Vec::with_capacity(wanted.len());
        for (side, fd, read, write) in wanted {
            if let Some(fd) = fd.filter(|_| read || write) {
                watches.push((
                    side,
                    Watch {
                        fd: fd.as_fd(),
                        read,
                        write,
                    },
                ));
            }
        }
        watches
    }

    pub(super) fn on_ready(&mut self, side: Side, ready: Ready) {
        match side {
            Side::Input if ready.readable || ready.hung_up => self.read_input(),
            Side::Master => self.on_master_ready(ready),
            Side::Output if ready.writable || ready.hung_up => self.write_output(),
            Side::Input | Side::Output => {}
        }
    }

    fn on_master_ready(&mut self, ready: Ready) {
        if ready.writable {
            self.write_master();
        }
        if (ready.readable || ready.hung_up) && self.printed.is_empty() {
            self.read_master();
        }
    }

    pub(super) fn look_again(&mut self) {
        self.hung_up = false;
        if self.printed.is_empty() {
            self.read_master();
        }
    }

    fn read_input(&mut self) {
        let Some(input) = self.input.as_ref().filter(|_| self.typed.is_empty()) else {
            return;
        };
        match self.typed.fill(input.as_fd()) {
            Ok(Some(0)) | Err(_) => self.input = None,
            Ok(None) => {}
            Ok(Some(_)) => self.write_master(),
        }
    }

    fn write_master(&mut self) {
        let Some(master) = self.master.as_ref() else { return };
        if self.typed.empty(master.as_fd()).is_err() {
            self.typed.clear();
            self.hung_up = true;
        }
    }

    fn read_master(&mut self) {
        let Some(master) = self.master.as_ref() else { return };
        match self.printed.fill(master.as_fd()) {
            Ok(Some(count)) if count > 0 => {
                self.drained += count;
                self.write_output();
            }
            Ok(None) => {}
            // A master gives EIO, not an end, when the last one in the container has closed it.
            Ok(Some(_)) | Err(_) => self.hung_up = true,
        }
    }

    fn write_output(&mut self) {
        if self.printed.empty(self.output.as_fd()).is_err() {
            self.printed.clear();
            self.master = None;
        }
    }

    /// One step of the end: [`Flow::Blocked`] asks to be called again when the output can be written.
    pub(super) fn drain_step(&mut self) -> Flow {
        self.input = None;
        self.hung_up = false;
        self.drained = 0;
        loop {
            self.write_output();
            if !self.printed.is_empty() {
                return Flow::Blocked;
            }
            if self.hung_up || self.master.is_none() || self.drained > DRAIN_MAX {
                return Flow::Done;
            }
            let before = self.drained;
            self.read_master();
            if self.drained == before {
                return Flow::Done;
            }
        }
    }
}
