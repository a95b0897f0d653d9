//! Making a child of a single-threaded process that runs one closure and ends.

use std::io::{self, Read, Write};
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::pidfd::{ExitStatus, PidFd};

/// What a child exits with when its closure panicked (in a build whose panics unwind; else SIGABRT ends it).
pub const PANICKED: i32 = 101;

/// `CLONE_INTO_CGROUP` of the kernel's `sched.h`; libc's constant is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A fork that did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForkError {
    /// The threads of this process could not be counted.
    #[error("count threads of this process")]
    CountThreads {
        /// The kernel's answer.
        source: io::Error,
    },
    /// Another thread may hold a lock that the child would wait for.
    #[error("fork: {threads} threads run in this process, 1 is allowed")]
    NotSingleThreaded {
        /// How many there are.
        threads: usize,
    },
    /// The kernel made no child.
    #[error("fork")]
    Fork {
        /// The kernel's answer: `EAGAIN` at a process limit (the cgroup's too), `EBUSY` or `EOPNOTSUPP` for the cgroup.
        source: io::Error,
    },
    /// The child was made, but no descriptor for it; it has been killed and reaped.
    #[error("open pidfd of child {pid}")]
    OpenPidfd {
        /// The child that was.
        pid: i32,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// A child that runs its closure.
#[derive(Debug)]
pub struct Child {
    /// Its pid in our pid namespace.
    pub pid: i32,
    /// Its descriptor; reap it with [`PidFd::reap`].
    pub pidfd: PidFd,
}

/// Counts the threads of this process.
///
/// # Errors
///
/// Reading `/proc/self/task`.
pub fn count_threads() -> io::Result<usize> {
    std::fs::read_dir("/proc/self/task").map(Iterator::count)
}

/// Forks a child that runs a closure and ends with its result as exit code.
///
/// * `cgroup`: directory of a version 2 cgroup in which the child is born; `None` leaves it in ours.
/// * `body`: runs in the child only, and never returns to the caller's code there. Its result is cut to 0-255 by the
///   kernel. No destructor of the caller's values runs in the child, and no exit handler.
///
/// The child has copies of all descriptors and of the signal mask. Only a process with one thread may call this: after
/// a fork of several, locks of the others (the allocator's too) stay taken for ever.
///
/// # Errors
///
/// [`ForkError::CountThreads`], [`ForkError::NotSingleThreaded`], [`ForkError::Fork`], [`ForkError::OpenPidfd`]:
/// no child is left in any case.
///
/// Kernel: `fork(2)`; with a cgroup `clone3(2)`, `CLONE_INTO_CGROUP`, Linux 5.7.
pub fn fork_child(cgroup: Option<BorrowedFd<'_>>, body: impl FnOnce() -> i32) -> Result<Child, ForkError> {
    let threads = count_threads().map_err(|source| ForkError::CountThreads { source })?;
    if threads != 1 {
        return Err(ForkError::NotSingleThreaded { threads });
    }
    match cgroup {
        Some(cgroup) => fork_into_cgroup(cgroup, body),
        None => fork_plain(body),
    }
}

fn fork_plain(body: impl FnOnce() -> i32) -> Result<Child, ForkError> {
    // SAFETY: this process has one thread (checked by the caller), so the child may use everything it inherits.
    match unsafe { libc::fork() } {
        0 => run_child(body),
        pid if pid > 0 => match PidFd::open(pid) {
            Ok(pidfd) => Ok(Child { pid, pidfd }),
            Err(source) => {
                abandon(pid);
                Err(ForkError::OpenPidfd { pid, source })
            }
        },
        _ => Err(ForkError::Fork {
            source: io::Error::last_os_error(),
        }),
    }
}

fn fork_into_cgroup(cgroup: BorrowedFd<'_>, body: impl FnOnce() -> i32) -> Result<Child, ForkError> {
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is a record of plain numbers, for which all zeroes is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_INTO_CGROUP | u64::from(libc::CLONE_PIDFD.cast_unsigned());
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    args.pidfd = std::ptr::addr_of_mut!(pidfd) as u64;
    args.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    // SAFETY: without CLONE_VM and without a new stack the child gets its own copy of this one, as with fork; the only
    // pointer in the record is to `pidfd`, which outlives the call. One thread: checked by the caller.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match i32::try_from(pid) {
        Ok(0) => run_child(body),
        Ok(pid) if pid > 0 => {
            // SAFETY: the kernel has just stored a new descriptor there; nothing else owns it.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Child {
                pid,
                pidfd: PidFd::from_fd(pidfd),
            })
        }
        _ => Err(ForkError::Fork {
            source: io::Error::last_os_error(),
        }),
    }
}

fn run_child(body: impl FnOnce() -> i32) -> ! {
    // A panic must not unwind into the caller's frames, which belong to the parent.
    let code = catch_unwind(AssertUnwindSafe(body)).unwrap_or(PANICKED);
    // SAFETY: _exit ends the process at once and runs no code of this program.
    unsafe { libc::_exit(code) }
}

fn abandon(pid: i32) {
    // SAFETY: kill takes numbers only; the child is ours and unreaped, so the pid is no one else's.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    // SAFETY: waitpid accepts a null status pointer.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
}

/// Runs `body` in a forked child and returns what it said.
///
/// # Errors
///
/// As [`fork_child`]; also when the child ended without an answer.
pub fn run_in_child(body: impl FnOnce() -> Result<(), String>) -> io::Result<Result<(), String>> {
    let (mut answer, question) = io::pipe()?;
    let child = fork_child(None, || match body() {
        Ok(()) => 0,
        Err(text) => match (&question).write_all(text.as_bytes()) {
            Ok(()) => 1,
            Err(_) => 2,
        },
    })
    .map_err(io::Error::other)?;
    drop(question);
    let mut text = String::new();
    answer.read_to_string(&mut text)?;
    match child.pidfd.reap()? {
        ExitStatus::Exited(0) => Ok(Ok(())),
        _ if !text.is_empty() => Ok(Err(text)),
        ended => Err(io::Error::other(format!("child ended with code {}", ended.code()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_refused() {
        let result = std::thread::spawn(|| fork_child(None, || 0)).join().unwrap();
        assert!(
            matches!(result, Err(ForkError::NotSingleThreaded { threads }) if threads > 1),
            "{result:?}"
        );
    }
}
