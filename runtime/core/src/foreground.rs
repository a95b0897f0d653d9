//! Waiting for a process in the foreground: signals pass through, orphans are reaped, the exit code is returned.

use std::io;
use std::os::fd::AsFd;

use nexcage_backend::Process;
use nexcage_sys::pidfd::{ExitStatus, reap_any};
use nexcage_sys::signals::{Signal, SignalFd, SignalSet, block_all, replace_mask};
use nexcage_sys::subreaper::set_subreaper;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::terminal::Relay;

/// A process that waits for another: signals are blocked and kept from the first moment on.
#[derive(Debug)]
pub struct Foreground {
    signals: SignalFd,
    before: SignalSet,
}

/// Who adopts the orphans of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orphans {
    /// This process.
    Adopt,
    /// Whoever did before.
    Leave,
}

impl Foreground {
    /// Blocks every signal. Call it before the process is made, so that no exit and no signal is lost.
    ///
    /// # Errors
    ///
    /// The kernel's answer.
    pub fn prepare(orphans: Orphans) -> io::Result<Self> {
        let before = block_all()?;
        let signals = SignalFd::open(&SignalSet::all())?;
        if orphans == Orphans::Adopt {
            set_subreaper(true)?;
        }
        Ok(Self { signals, before })
    }

    /// Waits for the process to end.
    ///
    /// * `relay`: the terminal to copy meanwhile.
    ///
    /// Returns its exit code, or 128 + the signal that ended it.
    ///
    /// # Errors
    ///
    /// The kernel's answer to a step; the process goes on then.
    pub fn wait(self, process: &Process, mut relay: Option<Relay>) -> io::Result<u8> {
        loop {
            if let Some(status) = self.take_signals(process, relay.as_ref())? {
                if let Some(relay) = &mut relay {
                    relay.drain();
                }
                return Ok(u8::try_from(status.code()).unwrap_or(u8::MAX));
            }
            self.poll_once(relay.as_mut())?;
        }
    }

    fn poll_once(&self, relay: Option<&mut Relay>) -> io::Result<()> {
        let Some(relay) = relay else {
            return wait_readable(&mut [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)]);
        };
        relay.poll_with(self.signals.as_fd())
    }

    /// Passes signals on and reaps; returns how the process ended, once it has.
    fn take_signals(&self, process: &Process, relay: Option<&Relay>) -> io::Result<Option<ExitStatus>> {
        while let Some(arrived) = self.signals.read_next()? {
            match (arrived.signal, relay) {
                (Signal::CHLD | Signal::URG, _) => {}
                (Signal::WINCH, Some(relay)) => relay.resize(),
                (signal, _) => match process.pidfd.send_signal(signal) {
                    Err(e) if e.raw_os_error() != Some(Errno::ESRCH as i32) => return Err(e),
                    _ => {}
                },
            }
        }
        while let Some((pid, status)) = reap_any()? {
            if pid == process.pid {
                return Ok(Some(status));
            }
        }
        Ok(None)
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        // The mask was valid before; putting it back cannot fail.
        let _restored = replace_mask(&self.before).is_ok();
    }
}

pub(crate) fn wait_readable(fds: &mut [PollFd<'_>]) -> io::Result<()> {
    match poll(fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
