//! Staying with a container until it ends: signals, orphans, its terminal, its exit code.
//!
//! One thread, one wait for all. Every signal is blocked before the container exists and read as data, so that none
//! is lost between its arrival and the moment somebody looks.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nexcage_sys::pidfd::{self, ExitStatus, PidFd};
use nexcage_sys::poll::{self, Ready, Watch};
use nexcage_sys::signals::{self, Arrived, Signal, SignalFd, SignalSet};
use nexcage_sys::subreaper;

use crate::notify::NotifyRelay;
use crate::terminal::{Side, Terminal, TerminalError};

/// How often a terminal that nobody in the container has open is looked at: no descriptor tells when one opens it.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A step of the foreground that went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForegroundError {
    /// Orphans of the container could not be adopted.
    #[error("become subreaper")]
    Subreaper {
        /// The kernel's answer.
        source: io::Error,
    },
    /// Signals could not be blocked.
    #[error("block signals")]
    Block {
        /// The kernel's answer.
        source: io::Error,
    },
    /// No descriptor for signals.
    #[error("open signalfd")]
    OpenSignals {
        /// The kernel's answer.
        source: io::Error,
    },
    /// Waiting failed.
    #[error("wait for the container")]
    Wait {
        /// The kernel's answer.
        source: io::Error,
    },
    /// A signal could not be read.
    #[error("read signal")]
    ReadSignal {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The exit code of init could not be read: it is no child of ours.
    #[error("reap init {pid}")]
    Reap {
        /// Init.
        pid: i32,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The last output could not be shown.
    #[error("relay the terminal")]
    Terminal {
        /// The step.
        source: TerminalError,
    },
}

/// Whether orphans of the container become our children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adoption {
    /// Yes: they are reaped here. For `run` and `restore`.
    Subreaper,
    /// No: `--no-subreaper`, and `exec`.
    Leave,
}

/// This process, ready to stay with a container.
#[derive(Debug)]
pub struct Foreground {
    child_mask: SignalSet,
    signals: SignalFd,
}

impl Foreground {
    /// Blocks every signal and adopts orphans: before the container's first process is made.
    ///
    /// The signals stay blocked to the end of this process: one that comes while the container is made is forwarded
    /// later, and none can cut the undo of a failure short.
    ///
    /// # Errors
    ///
    /// [`ForegroundError::Block`], [`ForegroundError::OpenSignals`], [`ForegroundError::Subreaper`].
    pub fn prepare(adoption: Adoption) -> Result<Self, ForegroundError> {
        signals::keep_exit_codes().map_err(|source| ForegroundError::Block { source })?;
        let child_mask = signals::block_all().map_err(|source| ForegroundError::Block { source })?;
        let signals = SignalFd::open(&SignalSet::all()).map_err(|source| ForegroundError::OpenSignals { source })?;
        if adoption == Adoption::Subreaper {
            subreaper::set_subreaper(true).map_err(|source| ForegroundError::Subreaper { source })?;
        }
        Ok(Self { child_mask, signals })
    }

    /// The signal mask that every child must get back before it runs a program:
    /// [`nexcage_sys::signals::restore_for_child`].
    #[must_use]
    pub fn child_mask(&self) -> &SignalSet {
        &self.child_mask
    }

    /// Stays until init has ended.
    ///
    /// * `pid`, `pidfd`: init, a child of this process (adopted counts).
    /// * `terminal`: the container's, if it has one; its last output is shown before this returns.
    /// * `notify`: the container's readiness message is passed on when it comes.
    ///
    /// All signals go to init, except SIGCHLD, SIGURG and SIGWINCH (which resizes the terminal), as with runc. All
    /// children that end are reaped, so run no other child that somebody waits for.
    ///
    /// Returns how init ended; [`ExitStatus::code`] is what to exit with.
    ///
    /// # Errors
    ///
    /// [`ForegroundError`]: init may still run, and is the caller's to end.
    pub fn wait(
        &self,
        pid: i32,
        pidfd: &PidFd,
        mut terminal: Option<Terminal>,
        mut notify: Option<NotifyRelay>,
    ) -> Result<ExitStatus, ForegroundError> {
        let status = loop {
            self.wait_once(pidfd, terminal.as_mut(), &mut notify)?;
            self.read_signals(pidfd, terminal.as_ref())?;
            if let Some(status) = reap(pid, pidfd)? {
                break status;
            }
        };
        if let Some(terminal) = terminal {
            terminal
                .drain()
                .map_err(|source| ForegroundError::Terminal { source })?;
        }
        Ok(status)
    }

    fn wait_once(
        &self,
        pidfd: &PidFd,
        terminal: Option<&mut Terminal>,
        notify: &mut Option<NotifyRelay>,
    ) -> Result<(), ForegroundError> {
        let sides = match &terminal {
            Some(terminal) => terminal.watches(),
            None => Vec::new(),
        };
        let read = |fd| Watch {
            fd,
            read: true,
            write: false,
        };
        let mut watches: Vec<Watch<'_>> = sides.iter().map(|(_, watch)| *watch).collect();
        let sides: Vec<Side> = sides.iter().map(|(side, _)| *side).collect();
        watches.extend([read(self.signals.as_fd()), read(pidfd.as_fd())]);
        watches.extend(notify.iter().map(|notify| read(notify.as_fd())));
        let is_hung_up = terminal.as_ref().is_some_and(|terminal| terminal.is_hung_up());
        let timeout = is_hung_up.then_some(LOOK_AGAIN);
        let ready = poll::wait(&watches, timeout).map_err(|source| ForegroundError::Wait { source })?;
        if let Some(terminal) = terminal {
            move_bytes(terminal, &sides, &ready, is_hung_up);
        }
        pass_on_readiness(notify);
        Ok(())
    }

    fn read_signals(&self, init: &PidFd, terminal: Option<&Terminal>) -> Result<(), ForegroundError> {
        let read = || {
            self.signals
                .read_next()
                .map_err(|source| ForegroundError::ReadSignal { source })
        };
        while let Some(arrived) = read()? {
            match route(arrived, std::process::id()) {
                Route::Drop => {}
                Route::Resize => terminal.iter().for_each(|terminal| terminal.resize()),
                Route::Forward => forward(init, arrived.signal),
            }
        }
        Ok(())
    }
}

fn move_bytes(terminal: &mut Terminal, sides: &[Side], ready: &[Ready], look_again: bool) {
    if look_again {
        terminal.look_again();
    }
    for (side, ready) in sides.iter().zip(ready) {
        terminal.on_ready(*side, *ready);
    }
}

fn pass_on_readiness(notify: &mut Option<NotifyRelay>) {
    let Some(relay) = notify else { return };
    match relay.pass_on() {
        Ok(false) => {}
        Ok(true) => *notify = None,
        Err(error) => {
            tracing::warn!(error = crate::chain(&error), "readiness not passed on");
            *notify = None;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Drop,
    Resize,
    Forward,
}

fn route(arrived: Arrived, own_pid: u32) -> Route {
    match arrived.signal {
        Signal::CHLD | Signal::URG => Route::Drop,
        Signal::WINCH => Route::Resize,
        // From our own write to a pipe that lost its reader; the write has reported it already.
        Signal::PIPE if arrived.sender == own_pid => Route::Drop,
        _ => Route::Forward,
    }
}

fn forward(init: &PidFd, signal: Signal) {
    match init.send_signal(signal) {
        Ok(()) => tracing::debug!(%signal, "signal forwarded"),
        Err(error) => tracing::warn!(%signal, %error, "signal not forwarded"),
    }
}

/// Init first, by its descriptor, then whoever else has ended.
fn reap(pid: i32, pidfd: &PidFd) -> Result<Option<ExitStatus>, ForegroundError> {
    let fail = |source| ForegroundError::Reap { pid, source };
    let mut init = pidfd.try_reap().map_err(fail)?;
    while let Some((reaped, status)) = pidfd::reap_any().map_err(fail)? {
        // Init can end between the two calls.
        if reaped == pid && init.is_none() {
            init = Some(status);
        }
    }
    Ok(init)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, sender: u32, expected: Route) {
        let arrived = Arrived {
            signal: name.parse().unwrap(),
            sender,
            from_process: true,
        };
        assert_eq!(route(arrived, 7), expected, "{name}");
    }

    #[test]
    fn signals_go_where_runc_sends_them() {
        for name in [
            "HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "CONT", "TSTP", "TTIN", "PIPE", "RTMIN+1", "64",
        ] {
            check(name, 1, Route::Forward);
        }
        check("CHLD", 1, Route::Drop);
        check("URG", 1, Route::Drop);
        check("WINCH", 1, Route::Resize);
        check("PIPE", 7, Route::Drop);
        check("TERM", 7, Route::Forward);
    }
}
