//! Starting a program in namespaces of its own: one clone, a few kernel calls, one execution.
//!
//! The child shares no memory with its maker and calls nothing but the kernel, so the maker may have any number of threads.

use std::ffi::{CString, NulError};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::pidfd::{ExitStatus, PidFd};
use crate::signals::Signal;

/// Namespaces that a program gets of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces(i32);

impl Namespaces {
    /// None.
    pub const NONE: Self = Self(0);
    /// All but the user namespace: mount, pid, network, IPC, UTS and cgroup. Needs privileges.
    pub const ALL: Self = Self(
        libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWCGROUP,
    );
    /// All but the network's and the user's: for a program that may use the node's network.
    pub const ALL_BUT_NETWORK: Self = Self(Self::ALL.0 & !libc::CLONE_NEWNET);
    /// As before, with a user namespace.
    pub const ALL_BUT_NETWORK_AS_USER: Self = Self(Self::ALL_BUT_NETWORK.0 | libc::CLONE_NEWUSER);
    /// All, with a user namespace that holds the caller as its root and nobody else.
    pub const ALL_AS_USER: Self = Self(Self::ALL.0 | libc::CLONE_NEWUSER);

    fn has_user(self) -> bool {
        self.0 & libc::CLONE_NEWUSER != 0
    }
}

/// A program to start.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Absolute; nothing is searched.
    pub program: &'a Path,
    /// Its arguments, its name first.
    pub argv: &'a [&'a str],
    /// Its standard input, output and error.
    pub streams: [OwnedFd; 3],
    /// What it shares with nobody.
    pub namespaces: Namespaces,
}

/// What a child does before it is the program. Each can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    Map = 1,
    Streams,
    Descriptors,
    Execute,
}

/// A program that was not started. No process is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// A NUL in a path or an argument.
    #[error("pass a NUL to a program")]
    Nul {
        /// Where.
        source: NulError,
    },
    /// A pipe cannot be made.
    #[error("make the pipe of a program")]
    Open {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel made no child in these namespaces.
    #[error("make a process in namespaces of its own")]
    Clone {
        /// The kernel's answer: `EPERM` without privileges, `ENOSPC` at a limit of namespaces.
        source: io::Error,
    },
    /// The ids of the user namespace were not mapped.
    #[error("map the caller into a user namespace")]
    Map {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The descriptors were not put in place.
    #[error("put the descriptors of a program in place")]
    Streams {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The program cannot be executed.
    #[error("execute {program:?}")]
    Execute {
        /// The program.
        program: std::path::PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// A started program. Dropping it kills and reaps it, and with it all of its pid namespace.
#[derive(Debug)]
pub struct Launched {
    pid: i32,
    pidfd: PidFd,
    ended: Option<ExitStatus>,
}

/// All that the child reads, made before it is.
struct Prepared {
    program: CString,
    argv: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
    streams: [OwnedFd; 3],
    /// Contents of `setgroups`, `uid_map` and `gid_map`.
    maps: Option<[CString; 3]>,
}

impl Launch<'_> {
    /// Starts the program. It returns when the new program has replaced the copy of this one.
    ///
    /// The program has an empty environment, no descriptor but 0 to 2, default signal actions and no blocked signal. It
    /// is killed when the calling thread ends.
    ///
    /// # Errors
    ///
    /// [`LaunchError`].
    ///
    /// Kernel: `clone3(2)`, Linux 5.3.
    pub fn start(self) -> Result<Launched, LaunchError> {
        let program = self.program.to_owned();
        let namespaces = self.namespaces;
        let prepared = Prepared::of(self)?;
        let (mut failure, report) = io::pipe().map_err(|source| LaunchError::Open { source })?;
        let mut launched = clone(namespaces, || prepared.run(report.as_raw_fd()))?;
        drop(report);
        let mut told = [0; 5];
        match failure.read_exact(&mut told) {
            // The pipe was closed by the execution.
            Err(_) => Ok(launched),
            Ok(()) => {
                launched.end();
                let [step, errno @ ..] = told;
                let source = io::Error::from_raw_os_error(i32::from_ne_bytes(errno));
                Err(match step {
                    step if step == Step::Map as u8 => LaunchError::Map { source },
                    step if step == Step::Execute as u8 => LaunchError::Execute { program, source },
                    _ => LaunchError::Streams { source },
                })
            }
        }
    }
}

impl Prepared {
    fn of(launch: Launch<'_>) -> Result<Self, LaunchError> {
        let nul = |source| LaunchError::Nul { source };
        let argv: Result<Vec<CString>, NulError> = launch.argv.iter().map(|arg| CString::new(*arg)).collect();
        let argv = argv.map_err(nul)?;
        let mut pointers: Vec<*const libc::c_char> = argv.iter().map(|arg| arg.as_ptr()).collect();
        pointers.push(std::ptr::null());
        let maps = launch.namespaces.has_user().then(maps).transpose().map_err(nul)?;
        Ok(Self {
            program: CString::new(launch.program.as_os_str().as_bytes()).map_err(nul)?,
            argv,
            pointers,
            streams: launch.streams,
            maps,
        })
    }

    /// In the child: only kernel calls, no allocation, no lock.
    fn run(&self, report: i32) -> i32 {
        let Err((step, errno)) = self.execute() else {
            return 0;
        };
        let [a, b, c, d] = errno.to_ne_bytes();
        let told = [step as u8, a, b, c, d];
        // SAFETY: `told` lives through the call.
        unsafe { libc::write(report, told.as_ptr().cast(), told.len()) };
        127
    }

    fn execute(&self) -> Result<(), (Step, i32)> {
        crate::process::kill_me_with_parent(true);
        if let Some(maps) = &self.maps {
            let files = [c"/proc/self/setgroups", c"/proc/self/uid_map", c"/proc/self/gid_map"];
            for (file, map) in files.into_iter().zip(maps) {
                write_file(file, map).map_err(|errno| (Step::Map, errno))?;
            }
        }
        for (from, to) in self.streams.iter().zip(0..) {
            // SAFETY: dup2 takes two integers; 0 to 2 are this child's copies, which nothing else of it uses.
            check(unsafe { libc::dup2(from.as_raw_fd(), to) }.into()).map_err(|errno| (Step::Streams, errno))?;
        }
        // SAFETY: close_range takes three integers; with CLOEXEC nothing is closed yet.
        let marked = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        check(marked).map_err(|errno| (Step::Descriptors, errno))?;
        reset_signals();
        let environment = [std::ptr::null()];
        // SAFETY: the path ends with NUL; both lists end with null and point to texts that `self` owns.
        let result = unsafe { libc::execve(self.program.as_ptr(), self.pointers.as_ptr(), environment.as_ptr()) };
        debug_assert!(!self.argv.is_empty(), "a program has a name");
        check(result.into()).map_err(|errno| (Step::Execute, errno))
    }
}

impl Launched {
    /// The process id, in the caller's pid namespace.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits a while for it to end by itself, and kills it then.
    ///
    /// Returns how it ended by itself; `None` when it was killed.
    pub fn wait_or_kill(&mut self, patience: std::time::Duration) -> Option<ExitStatus> {
        let has_ended = self.pidfd.poll_exit(Some(patience)).unwrap_or(false);
        let status = self.end();
        status.filter(|_| has_ended)
    }

    /// Kills it, if it still runs, and reaps it.
    fn end(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            // One that has ended already cannot be killed, only reaped; both are tried whatever comes of the other.
            let _killed = self.pidfd.send_signal(Signal::KILL);
            self.ended = self.pidfd.reap().ok();
        }
        self.ended
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.end();
    }
}

/// Becomes another program, with this process's descriptors and nothing else of it.
///
/// Returns why it did not.
#[must_use]
pub fn become_program(path: &str, argv: &[String], env: &[String]) -> io::Error {
    let text = |text: &str| CString::new(text).map_err(io::Error::other);
    let all = |texts: &[String]| texts.iter().map(|each| text(each)).collect::<io::Result<Vec<_>>>();
    let execute = || -> io::Result<()> {
        let (path, argv, env) = (text(path)?, all(argv)?, all(env)?);
        nix::unistd::execve(&path, &argv, &env)?;
        Ok(())
    };
    match execute() {
        Err(error) => error,
        Ok(()) => io::Error::from(io::ErrorKind::Unsupported),
    }
}

fn maps() -> Result<[CString; 3], NulError> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    Ok([
        CString::new("deny")?,
        CString::new(format!("0 {uid} 1"))?,
        CString::new(format!("0 {gid} 1"))?,
    ])
}

fn clone(namespaces: Namespaces, child: impl FnOnce() -> i32) -> Result<Launched, LaunchError> {
    let failed = || LaunchError::Clone {
        source: io::Error::last_os_error(),
    };
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is a record of plain numbers, for which all zeroes is a valid value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from((namespaces.0 | libc::CLONE_PIDFD).cast_unsigned());
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    args.pidfd = std::ptr::addr_of_mut!(pidfd) as u64;
    // SAFETY: without CLONE_VM the child gets a copy of all memory, the stack too; the record's only pointer outlives
    // the call. The child makes kernel calls alone, so locks of other threads do not matter to it.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match i32::try_from(pid) {
        Ok(0) => {
            let code = child();
            // SAFETY: _exit ends the process at once and runs no code of this program.
            unsafe { libc::_exit(code) }
        }
        Ok(pid) if pid > 0 => {
            // SAFETY: the kernel has just stored a new descriptor there; nothing else owns it.
            let pidfd = PidFd::from_fd(unsafe { OwnedFd::from_raw_fd(pidfd) });
            Ok(Launched {
                pid,
                pidfd,
                ended: None,
            })
        }
        _ => Err(failed()),
    }
}

/// Writes a whole file of `/proc` at once, without allocating.
fn write_file(path: &std::ffi::CStr, content: &std::ffi::CStr) -> Result<(), i32> {
    // SAFETY: the path ends with NUL.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    check(fd.into())?;
    // SAFETY: the kernel has just made this descriptor; nothing else owns it.
    let file = unsafe { File::from_raw_fd(fd) };
    let written = (&file).write_all(content.to_bytes());
    written.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
}

/// A program starts with default actions and nothing blocked; ignored signals would survive its execution.
fn reset_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: the default action runs no code of this process; a number that takes none is refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: a signal set is plain bits, for which all zeroes is the empty one.
    let none: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set lives through the call, and no old one is asked for.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) };
}

fn check(result: libc::c_long) -> Result<(), i32> {
    if result < 0 {
        return Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const AMPLE: Duration = Duration::from_secs(60);

    fn shell(script: &str, namespaces: Namespaces) -> (Result<Launched, LaunchError>, io::PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        let null = File::open("/dev/null").unwrap();
        let launch = Launch {
            program: Path::new("/bin/sh"),
            argv: &["sh", "-c", script],
            streams: [null.try_clone().unwrap().into(), writer.into(), null.into()],
            namespaces,
        };
        (launch.start(), reader)
    }

    #[track_caller]
    fn check_says(script: &str, namespaces: Namespaces, expected: &str) {
        let (launched, mut reader) = shell(script, namespaces);
        let mut launched = launched.unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, expected);
        assert_eq!(launched.wait_or_kill(AMPLE), Some(ExitStatus::Exited(0)));
    }

    #[test]
    fn a_program_has_three_descriptors_and_no_environment_but_its_shells_own() {
        // 3 is the shell's own, of the folder that it lists.
        let expected = "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\n";
        check_says("echo /proc/self/fd/*", Namespaces::NONE, expected);
        check_says("echo \"$HOME$USER\"", Namespaces::NONE, "\n");
    }

    #[test]
    fn a_user_is_root_of_his_own_namespaces_and_first_of_his_pids() {
        check_says("echo $$ $(id -u)", Namespaces::ALL_AS_USER, "1 0\n");
    }

    #[test]
    fn what_cannot_be_executed_is_named_and_leaves_no_process() {
        let null = || OwnedFd::from(File::open("/dev/null").unwrap());
        let launch = Launch {
            program: Path::new("/nonexistent"),
            argv: &["x"],
            streams: [null(), null(), null()],
            namespaces: Namespaces::NONE,
        };
        assert_eq!(launch.start().unwrap_err().to_string(), "execute \"/nonexistent\"");
    }

    #[test]
    fn a_dropped_one_is_killed() {
        let (launched, mut reader) = shell("sleep 600", Namespaces::ALL_AS_USER);
        drop(launched.unwrap());
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }
}
