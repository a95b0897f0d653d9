//! Waiting for what `events` shows.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use nexcage_cgroups::OomWatch;
use nexcage_sys::pidfd::PidFd;
use nexcage_sys::procfs::ProcessIdentity;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::Error;

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The container has ended.
    Ended,
    /// A process was killed at the memory limit.
    Killed,
    /// The time has come.
    Time,
}

/// Waits for the first of: the container's end, an out-of-memory kill, a moment.
///
/// # Errors
///
/// The kernel's answer to a step.
pub fn wait(oom: &mut OomWatch, init: Option<ProcessIdentity>, until: Instant) -> Result<Waited, Error> {
    let failed = |source| Error::File {
        step: "wait for events of",
        path: "/proc".into(),
        source,
    };
    let Some(init) = init.filter(|init| init.is_alive()) else {
        return Ok(Waited::Ended);
    };
    let pidfd = match PidFd::open(init.pid) {
        Ok(pidfd) => pidfd,
        Err(e) if e.raw_os_error() == Some(Errno::ESRCH as i32) => return Ok(Waited::Ended),
        Err(e) => return Err(failed(e)),
    };
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [
            PollFd::new(pidfd.as_fd(), PollFlags::POLLIN),
            PollFd::new(oom.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, timeout) {
            Ok(0) if Instant::now() >= until => return Ok(Waited::Time),
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(failed(io::Error::from(errno))),
        }
        let ready = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        let (ended, killed) = (fds.first().is_some_and(ready), fds.get(1).is_some_and(ready));
        // A cgroup that is removed wakes its watch too.
        if killed && !ended && oom.take().map_err(Error::cgroup("read out-of-memory events"))? > 0 {
            return Ok(Waited::Killed);
        }
        if ended {
            return Ok(Waited::Ended);
        }
    }
}
