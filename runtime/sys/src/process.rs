//! The calling process: parent-death signal, name, groups, dumpability, children.

use std::ffi::CStr;
use std::io;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// Makes this process die with its parent, or no longer. Best effort: a seccomp filter may forbid it.
pub fn kill_me_with_parent(on: bool) {
    let signal = if on { libc::SIGKILL } else { 0 };
    // SAFETY: `PR_SET_PDEATHSIG` takes one integer and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal) };
}

/// Sets the name that `/proc/PID/comm` shows; the kernel cuts it to 15 bytes.
pub fn set_comm(name: &CStr) {
    // SAFETY: `PR_SET_NAME` reads a NUL-terminated string, which a `CStr` is.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Sets whether `/proc/PID` and ptrace of this process are open to its user.
///
/// # Errors
///
/// The kernel's answer.
pub fn set_dumpable(on: bool) -> io::Result<()> {
    // SAFETY: `PR_SET_DUMPABLE` takes one integer and touches no memory.
    let result = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(on)) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Makes this process the parent of orphans below it.
///
/// # Errors
///
/// The kernel's answer.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: `PR_SET_CHILD_SUBREAPER` takes one integer and touches no memory.
    let result = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Drops every supplementary group.
///
/// # Errors
///
/// The kernel's answer; a user namespace may deny it.
pub fn clear_groups() -> io::Result<()> {
    // SAFETY: with a count of zero the pointer is not read.
    let result = unsafe { libc::setgroups(0, std::ptr::null()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Gives SIGPIPE its default action again: the Rust runtime ignores it, and an ignored signal survives `execve`.
pub fn restore_sigpipe() {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of this process.
    let restored = unsafe { sigaction(Signal::SIGPIPE, &default) };
    debug_assert!(restored.is_ok(), "SIGPIPE always has an action");
}

/// Makes each of these signals end this process, also when it is init of a pid namespace, where the default action is
/// to ignore them. `execve` resets it.
///
/// # Errors
///
/// The kernel's answer.
pub fn end_on(signals: &[Signal]) -> io::Result<()> {
    extern "C" fn end(signal: libc::c_int) {
        // SAFETY: `_exit` is async-signal-safe.
        unsafe { libc::_exit(128 + signal) }
    }
    let action = SigAction::new(SigHandler::Handler(end), SaFlags::empty(), SigSet::empty());
    for signal in signals {
        // SAFETY: the handler only calls `_exit`.
        unsafe { sigaction(*signal, &action) }?;
    }
    Ok(())
}

/// Removes `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES` from this process's environment.
///
/// For a freshly forked, single-threaded process.
pub fn forget_listen_fds() {
    for name in ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one wrapper; the process is single-threaded"
        )]
        // SAFETY: the caller's process has one thread.
        unsafe {
            std::env::remove_var(name);
        };
    }
}

/// Sets the NIS domain name of this process's UTS namespace.
///
/// # Errors
///
/// The kernel's answer.
pub fn set_domainname(name: &str) -> io::Result<()> {
    // SAFETY: the kernel reads `name.len()` bytes from a live string.
    let result = unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Effective user id.
pub fn effective_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Reaps every child that has ended, and says how many.
pub fn reap_zombies() -> usize {
    let mut count = 0;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
            Ok(WaitStatus::StillAlive) => return count,
            Ok(_) => count += 1,
            Err(Errno::EINTR) => {}
            Err(_) => return count,
        }
    }
}
