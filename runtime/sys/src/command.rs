//! Starting another program, and talking to it until it ends or a deadline passes.
//!
//! The one place that builds a `std::process::Command`. It owns what every program started by the runtime must have:
//! an environment that is exactly what was asked for, no inherited descriptor but 0-2, a process group of its own, and
//! an end that cannot be missed. It must not know what the program is for.
#![expect(
    unsafe_code,
    reason = "the hook between fork and exec, close_range and pidfd_open have no safe form"
)]

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::killpg;
use nix::unistd::Pid;

/// The signal that a program gets when its starter ends.
pub use nix::sys::signal::Signal as DeathSignal;

/// Bytes read from a pipe at once.
const CHUNK: usize = 4096;

/// The most chunks taken from one pipe after the program has ended: what a full pipe of 1 MiB holds.
const LAST_CHUNKS: usize = 256;

/// Runs a program of the search path to its end and returns what it printed.
///
/// It gets the caller's environment, and an empty stdin.
///
/// # Errors
///
/// The kernel's answer to starting it; `Other` with its code when it fails.
pub fn output<S: AsRef<std::ffi::OsStr>>(program: &str, args: &[S]) -> io::Result<String> {
    #[expect(clippy::disallowed_methods, reason = "the one wrapper that the lint points to")]
    let mut command = Command::new(program);
    let output = command
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{program}: {}", output.status)));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}

/// A program that is about to be started.
#[derive(Debug)]
pub struct Program {
    command: Command,
    death_signal: Option<DeathSignal>,
}

impl Program {
    /// Prepares `path` to be started with an empty environment and no argument but its own name.
    ///
    /// * `path`: absolute; nothing is searched in `PATH`.
    ///
    /// stdin, stdout and stderr will be pipes. The program leads a process group of its own.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one wrapper that the lint points to")]
        let mut command = Command::new(path);
        command.env_clear().process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self {
            command,
            death_signal: None,
        }
    }

    /// Sets the whole argument list; the first one is what the program sees as its name.
    ///
    /// An empty list leaves the path as the only argument.
    pub fn argv<S: AsRef<str>>(&mut self, argv: &[S]) -> &mut Self {
        if let Some((name, rest)) = argv.split_first() {
            self.command.arg0(name.as_ref()).args(rest.iter().map(S::as_ref));
        }
        self
    }

    /// Adds `NAME=value` entries to the environment; the last one of a name counts.
    ///
    /// An entry without a name or without `=` cannot be looked up by any program and is left out.
    pub fn env<S: AsRef<str>>(&mut self, entries: &[S]) -> &mut Self {
        let pairs = entries.iter().filter_map(|entry| entry.as_ref().split_once('='));
        self.command.envs(pairs.filter(|(name, _)| !name.is_empty()));
        self
    }

    /// Starts the program in `dir` instead of the caller's working directory.
    pub fn cwd(&mut self, dir: &Path) -> &mut Self {
        self.command.current_dir(dir);
        self
    }

    /// Gives the program these descriptors as stdin and stdout instead of pipes, and no stderr.
    pub fn streams(&mut self, stdin: OwnedFd, stdout: OwnedFd) -> &mut Self {
        self.command.stdin(stdin).stdout(stdout).stderr(Stdio::null());
        self
    }

    /// Has the kernel send `signal` to the program when the calling thread ends.
    pub fn death_signal(&mut self, signal: DeathSignal) -> &mut Self {
        self.death_signal = Some(signal);
        self
    }

    /// Starts the program. It returns when the new program has replaced the copy of this one.
    ///
    /// # Errors
    ///
    /// The kernel's answer to fork, chdir or exec, or to `pidfd_open` (Linux 5.3); nothing is left running.
    pub fn spawn(mut self) -> io::Result<Running> {
        let parent = Pid::this();
        let signal = self.death_signal;
        let between = move || between_fork_and_exec(parent, signal);
        // SAFETY: `pre_exec` asks for a closure that is sound after fork: `between` makes only system calls, it
        // allocates nothing and takes no lock.
        unsafe { self.command.pre_exec(between) };
        let child = self.command.spawn()?;
        let mut running = Running {
            child,
            pidfd: None,
            ended: None,
        };
        running.pidfd = Some(open_pidfd(running.pid()?)?);
        Ok(running)
    }
}

/// What the new process does before it becomes the program.
fn between_fork_and_exec(parent: Pid, signal: Option<DeathSignal>) -> io::Result<()> {
    if let Some(signal) = signal {
        nix::sys::prctl::set_pdeathsig(signal)?;
        // The caller may have died before the line above: then the signal never comes.
        if Pid::parent() != parent {
            return Err(Errno::ESRCH.into());
        }
    }
    close_descriptors_on_exec()
}

/// Marks every descriptor from 3 up close-on-exec.
fn close_descriptors_on_exec() -> io::Result<()> {
    // SAFETY: close_range takes three integers and touches no memory of ours; with CLOEXEC nothing is closed yet.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    match Errno::result(answer) {
        Ok(_) => Ok(()),
        // Linux before 5.11.
        Err(Errno::ENOSYS | Errno::EINVAL) => mark_one_by_one(),
        Err(errno) => Err(errno.into()),
    }
}

/// The slow form of `close_descriptors_on_exec`, up to the limit on open files.
fn mark_one_by_one() -> io::Result<()> {
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
    let end = i32::try_from(hard).unwrap_or(i32::MAX);
    for fd in 3..end {
        // SAFETY: F_SETFD takes an integer; a descriptor that is not open answers EBADF, which is no harm.
        let answer = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        match Errno::result(answer) {
            Ok(_) | Err(Errno::EBADF) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Opens a descriptor that becomes readable when `pid` ends.
fn open_pidfd(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0_u32) };
    let fd = i32::try_from(Errno::result(answer)?).map_err(|_too_big| Errno::EBADF)?;
    // SAFETY: the kernel has just made `fd` for this call, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A started program. Dropping it kills its process group and reaps it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pidfd: Option<OwnedFd>,
    ended: Option<ExitStatus>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    /// What the kernel says of its end; after a kill at the deadline, that kill.
    pub status: ExitStatus,
    /// It was killed because the deadline passed.
    pub timed_out: bool,
    /// The last bytes of what it wrote to stderr.
    pub stderr_tail: Vec<u8>,
}

impl Running {
    /// The program's process id, in the caller's pid namespace.
    ///
    /// # Errors
    ///
    /// A number beyond what the kernel hands out.
    pub fn pid(&self) -> io::Result<Pid> {
        i32::try_from(self.child.id())
            .map(Pid::from_raw)
            .map_err(|_too_big| Errno::ESRCH.into())
    }

    /// Feeds `input` to the program, throws its stdout away and waits until it ends.
    ///
    /// * `deadline`: `None` waits for ever; when it has passed, the program and its process group get SIGKILL.
    /// * `tail`: bytes of stderr that are kept.
    ///
    /// It returns as soon as the program itself has ended, even when another process holds its pipes. A program that
    /// does not read its input is no error. SIGPIPE must be ignored or blocked, as it is in every Rust program.
    /// It starts no thread, so it may be called in a process that was just forked.
    ///
    /// # Errors
    ///
    /// The kernel's answer to poll, to read or write on a pipe, or to wait; the program is then killed and reaped.
    pub fn finish(mut self, input: &[u8], deadline: Option<Instant>, tail: usize) -> io::Result<Finished> {
        let mut pipes = Pipes::take(&mut self.child, input, tail)?;
        let timed_out = loop {
            match self.wait_for_event(&pipes, deadline)? {
                Event::Ended => break false,
                Event::Deadline => break true,
                Event::Pipe => pipes.move_bytes(1)?,
            }
        };
        if timed_out {
            self.kill_group()?;
        }
        let status = self.reap()?;
        pipes.move_bytes(LAST_CHUNKS)?;
        Ok(Finished {
            status,
            timed_out,
            stderr_tail: pipes.stderr_tail,
        })
    }

    fn wait_for_event(&self, pipes: &Pipes<'_>, deadline: Option<Instant>) -> io::Result<Event> {
        let pidfd = self.pidfd.as_ref().ok_or(Errno::EBADF)?;
        let mut fds = vec![PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        fds.extend(pipes.poll_fds());
        loop {
            let Some(timeout) = poll_timeout(deadline) else {
                return Ok(Event::Deadline);
            };
            match poll(&mut fds, timeout) {
                Err(Errno::EINTR) | Ok(0) => {}
                Err(errno) => return Err(errno.into()),
                Ok(_) => break,
            }
        }
        let ended = fds.first().is_some_and(|fd| fd.any() == Some(true));
        Ok(if ended { Event::Ended } else { Event::Pipe })
    }

    /// Kills the program and whatever it started that is still in its process group.
    ///
    /// # Errors
    ///
    /// The kernel's answer, unless it is that nothing is left to kill.
    pub fn kill_group(&mut self) -> io::Result<()> {
        if self.ended.is_some() {
            // The group's number may already belong to somebody else.
            return Ok(());
        }
        match killpg(self.pid()?, DeathSignal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(errno.into()),
        }
        // The program may have left its group.
        self.child.kill()
    }

    /// Ends the program, whatever it does.
    ///
    /// * `is_ending`: it is about to end by itself, and is given a moment for that.
    ///
    /// Returns how it ended by itself; `None` when it was killed.
    pub fn end(&mut self, is_ending: bool) -> Option<ExitStatus> {
        let moment = if is_ending {
            Duration::from_secs(1)
        } else {
            Duration::ZERO
        };
        let ended = self.wait_for_end(Instant::now() + moment).unwrap_or(false);
        if ended || self.kill_group().is_ok() {
            return self.reap().ok().filter(|_| ended);
        }
        // Dropping this value tries again; waiting for what was not killed could take for ever.
        None
    }

    fn wait_for_end(&self, deadline: Instant) -> io::Result<bool> {
        let pidfd = self.pidfd.as_ref().ok_or(Errno::EBADF)?;
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        loop {
            let timeout = poll_timeout(Some(deadline)).unwrap_or(PollTimeout::ZERO);
            match poll(&mut fds, timeout) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(0) if timeout != PollTimeout::ZERO => {}
                Ok(count) => return Ok(count > 0),
            }
        }
    }

    /// Waits until the program has ended and takes its status.
    ///
    /// # Errors
    ///
    /// The kernel's answer to wait.
    pub fn reap(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait()?;
        self.ended = Some(status);
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() && self.kill_group().is_ok() {
            // Nobody is left to hear of a failure here.
            drop(self.reap());
        }
    }
}

enum Event {
    Ended,
    Deadline,
    Pipe,
}

/// Time left for poll, rounded up to milliseconds; `None` when there is none left.
fn poll_timeout(deadline: Option<Instant>) -> Option<PollTimeout> {
    let Some(deadline) = deadline else {
        return Some(PollTimeout::NONE);
    };
    let left = deadline
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())?;
    let rounded = left.saturating_add(Duration::from_micros(999));
    // A wait beyond what poll can express is cut; the caller's loop asks again.
    Some(PollTimeout::try_from(rounded).unwrap_or(PollTimeout::MAX))
}

/// Our ends of the program's three pipes; one that has reached its end is gone.
struct Pipes<'a> {
    stdin: Option<std::process::ChildStdin>,
    stdout: Option<std::process::ChildStdout>,
    stderr: Option<std::process::ChildStderr>,
    input: &'a [u8],
    tail: usize,
    stderr_tail: Vec<u8>,
}

impl<'a> Pipes<'a> {
    fn take(child: &mut Child, input: &'a [u8], tail: usize) -> io::Result<Self> {
        let pipes = Self {
            stdin: child.stdin.take().filter(|_| !input.is_empty()),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            input,
            tail,
            stderr_tail: Vec::new(),
        };
        for (fd, _) in pipes.open_ends() {
            let flags = OFlag::from_bits_retain(fcntl(fd.as_raw_fd(), FcntlArg::F_GETFL)?);
            fcntl(fd.as_raw_fd(), FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        }
        Ok(pipes)
    }

    fn open_ends(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let stdin = self.stdin.as_ref().map(|pipe| (pipe.as_fd(), PollFlags::POLLOUT));
        let stdout = self.stdout.as_ref().map(|pipe| (pipe.as_fd(), PollFlags::POLLIN));
        let stderr = self.stderr.as_ref().map(|pipe| (pipe.as_fd(), PollFlags::POLLIN));
        [stdin, stdout, stderr].into_iter().flatten()
    }

    fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.open_ends().map(|(fd, flags)| PollFd::new(fd, flags))
    }

    /// Moves what can be moved without blocking: at most `chunks` pieces a pipe.
    fn move_bytes(&mut self, chunks: usize) -> io::Result<()> {
        self.feed_stdin()?;
        read_chunks(&mut self.stdout, chunks, |_| {})?;
        let (kept, tail) = (&mut self.stderr_tail, self.tail);
        read_chunks(&mut self.stderr, chunks, |bytes| keep_tail(kept, bytes, tail))
    }

    fn feed_stdin(&mut self) -> io::Result<()> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        match stdin.write(self.input) {
            Ok(count) => self.input = self.input.get(count..).unwrap_or_default(),
            // The program does not want the rest.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.input = &[],
            Err(error) if is_transient(&error) => {}
            Err(error) => return Err(error),
        }
        if self.input.is_empty() {
            self.stdin = None;
        }
        Ok(())
    }
}

fn keep_tail(kept: &mut Vec<u8>, bytes: &[u8], tail: usize) {
    kept.extend_from_slice(bytes);
    let excess = kept.len().saturating_sub(tail);
    kept.drain(..excess);
}

fn read_chunks<R: Read>(pipe: &mut Option<R>, chunks: usize, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = [0_u8; CHUNK];
    for _ in 0..chunks {
        let Some(reader) = pipe else { break };
        match reader.read(&mut buffer) {
            Ok(0) => *pipe = None,
            Ok(count) => take(buffer.get(..count).unwrap_or_default()),
            Err(error) if is_transient(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests;
