//! Processes by descriptor: no pid can be recycled between looking and acting.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, WaitId, WaitIdOptions, WaitIdStatus, WaitOptions, WaitStatus, pidfd_getfd,
    pidfd_open, waitid,
};

use crate::signals::Signal;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It returned this code, 0 to 255.
    Exited(i32),
    /// This signal killed it.
    Signaled(i32),
}

impl ExitStatus {
    /// The code a shell and runc report: the exit code, or 128 plus the signal.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
        }
    }

    fn from_waitid(status: &WaitIdStatus) -> Option<Self> {
        let exited = status.exit_status().map(Self::Exited);
        exited.or_else(|| status.terminating_signal().map(Self::Signaled))
    }

    fn from_wait(status: WaitStatus) -> Option<Self> {
        let exited = status.exit_status().map(Self::Exited);
        exited.or_else(|| status.terminating_signal().map(Self::Signaled))
    }
}

/// A descriptor of one process. Close-on-exec; polls readable when the process has ended.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens a process by pid.
    ///
    /// * `pid`: a process, not a thread, in our pid namespace. For a child of ours that is not reaped yet this cannot
    ///   hit another process; for any other, check its identity afterwards.
    ///
    /// # Errors
    ///
    /// The kernel's answer: `ESRCH` when there is no such process, `EINVAL` for a thread or a pid below 1.
    ///
    /// Kernel: `pidfd_open(2)`, Linux 5.3.
    pub fn open(pid: i32) -> io::Result<Self> {
        let pid = Some(pid)
            .filter(|pid| *pid > 0)
            .and_then(Pid::from_raw)
            .ok_or(rustix::io::Errno::INVAL)?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// Takes a descriptor that already is a pidfd, as `clone3` gives it.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Gives the descriptor away.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Sends a signal to the process.
    ///
    /// # Errors
    ///
    /// The kernel's answer: `ESRCH` when it has been reaped, `EPERM`.
    ///
    /// Kernel: `pidfd_send_signal(2)`.
    pub fn send_signal(&self, signal: Signal) -> io::Result<()> {
        let info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: a null siginfo asks for the same as kill(2); the descriptor is ours through the whole call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal.as_raw(),
                info,
                0,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Waits until the process has ended, without reaping it; works for any process, not only children.
    ///
    /// * `timeout`: the longest wait; `None` waits for ever.
    ///
    /// Returns whether it has ended; `false` only after the timeout.
    ///
    /// # Errors
    ///
    /// The kernel's answer to `poll`.
    pub fn poll_exit(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let deadline = timeout.map(|timeout| std::time::Instant::now() + timeout);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(std::time::Instant::now()));
            let left = left
                .map(Timespec::try_from)
                .transpose()
                .map_err(|source| io::Error::new(io::ErrorKind::InvalidInput, source))?;
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], left.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for a child to end and reaps it.
    ///
    /// # Errors
    ///
    /// The kernel's answer: `ECHILD` when it is no child of ours or was reaped before.
    ///
    /// Kernel: `waitid(2)` with `P_PIDFD`, Linux 5.4.
    pub fn reap(&self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.wait_with(WaitIdOptions::EXITED)? {
                return Ok(status);
            }
        }
    }

    /// Reaps a child if it has ended; `None` when it still runs.
    ///
    /// # Errors
    ///
    /// As [`PidFd::reap`].
    pub fn try_reap(&self) -> io::Result<Option<ExitStatus>> {
        self.wait_with(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    fn wait_with(&self, options: WaitIdOptions) -> io::Result<Option<ExitStatus>> {
        let status = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(self.0.as_fd()), options))?;
        Ok(status.as_ref().and_then(ExitStatus::from_waitid))
    }

    /// Copies a descriptor out of the process; the copy is close-on-exec.
    ///
    /// * `number`: the descriptor's number there.
    ///
    /// # Errors
    ///
    /// The kernel's answer: `EBADF` when it is not open there, `EPERM` without the right to ptrace the process.
    ///
    /// Kernel: `pidfd_getfd(2)`, Linux 5.6.
    pub fn copy_fd(&self, number: RawFd) -> io::Result<OwnedFd> {
        Ok(pidfd_getfd(&self.0, number, PidfdGetfdFlags::empty())?)
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Reaps any one child that has ended, orphans adopted as a subreaper included.
///
/// Returns its pid and how it ended; `None` when no child has ended or there is none.
///
/// # Errors
///
/// The kernel's answer to `waitpid`.
pub fn reap_any() -> io::Result<Option<(i32, ExitStatus)>> {
    match rustix::io::retry_on_intr(|| rustix::process::wait(WaitOptions::NOHANG)) {
        Ok(Some((pid, status))) => Ok(ExitStatus::from_wait(status).map(|status| (pid.as_raw_nonzero().get(), status))),
        Ok(None) | Err(rustix::io::Errno::CHILD) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests need plain children")]
#[expect(clippy::zombie_processes, reason = "the children are reaped through their pidfd")]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn spawn(program: &str, args: &[&str]) -> PidFd {
        let child = Command::new(program).args(args).stdin(Stdio::null()).spawn().unwrap();
        PidFd::open(i32::try_from(child.id()).unwrap()).unwrap()
    }

    #[test]
    fn a_child_is_polled_and_reaped_with_its_code() {
        let child = spawn("sh", &["-c", "exit 7"]);
        assert!(child.poll_exit(None).unwrap());
        assert_eq!(child.reap().unwrap(), ExitStatus::Exited(7));
        assert_eq!(child.try_reap().unwrap_err().raw_os_error(), Some(libc::ECHILD));
    }

    #[test]
    fn a_signal_ends_a_child_and_is_reported_as_128_plus_n() {
        let child = spawn("sleep", &["600"]);
        assert_eq!(child.try_reap().unwrap(), None);
        assert!(!child.poll_exit(Some(Duration::ZERO)).unwrap());
        child.send_signal(Signal::TERM).unwrap();
        let status = child.reap().unwrap();
        assert_eq!((status, status.code()), (ExitStatus::Signaled(15), 143));
        assert_eq!(
            child.send_signal(Signal::NONE).unwrap_err().raw_os_error(),
            Some(libc::ESRCH)
        );
    }

    #[test]
    fn a_real_time_signal_is_sent_too() {
        let child = spawn("sleep", &["600"]);
        child.send_signal("RTMIN+3".parse().unwrap()).unwrap();
        assert_eq!(child.reap().unwrap(), ExitStatus::Signaled(37));
    }

    #[test]
    fn no_such_process_and_nonsense_are_refused() {
        assert_eq!(PidFd::open(i32::MAX).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        assert_eq!(PidFd::open(0).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(PidFd::open(-1).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }

    #[test]
    fn a_descriptor_is_copied_out_of_this_process() {
        let me = PidFd::open(i32::try_from(std::process::id()).unwrap()).unwrap();
        let copy = me.copy_fd(me.as_fd().as_raw_fd()).unwrap();
        assert!(
            rustix::io::fcntl_getfd(&copy)
                .unwrap()
                .contains(rustix::io::FdFlags::CLOEXEC)
        );
    }
}
