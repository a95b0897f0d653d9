//! Follows every process of one call: how many system calls it makes, what memory each process needs, what stays.
//!
//! Made of ptrace: exact for processes that live for less than a millisecond, and without a cgroup of its own, which would
//! change what is measured.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::fixture::PROGRAM;
use super::status;
use crate::process::program;

/// `PTRACE_EVENT_STOP`: a task was attached, or stopped as a group.
const EVENT_STOP: i32 = 128;
/// What stays is looked at when nothing has happened for so long.
const QUIET: Duration = Duration::from_millis(50);
/// A call that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(30);

/// What was seen of one call. The container's program, from its execution on, counts nowhere.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// System calls of all processes, up to the end of the front process when some stay.
    pub(super) calls: u64,
    /// Peak resident memory of the process that was started, in KiB.
    pub(super) front: u64,
    /// Peak of the process with the highest, in KiB.
    pub(super) largest: u64,
    /// Sum of the peaks of all processes, in KiB: shared pages count in each.
    pub(super) sum: u64,
    /// Resident memory of each process that stays, in KiB.
    pub(super) left: Vec<u64>,
}

/// A call to follow.
pub(super) struct Call<'a> {
    pub(super) words: &'a [OsString],
    pub(super) dir: &'a Path,
    pub(super) stderr: Stdio,
}

/// Runs a call under observation.
///
/// * `end`: called when the front process has ended and others go on; it must make them end.
///
/// # Errors
///
/// The call fails, hangs, or cannot be traced. What it started is killed when this program ends.
pub(super) fn trace(call: Call<'_>, end: impl FnOnce() -> Result<()>) -> Result<Seen> {
    let mut tracer = Tracer::start(call)?;
    tracer.follow(|tracer| !tracer.tasks.contains(&tracer.front))?;
    ensure!(tracer.failed.is_none(), "the call failed: {:?}", tracer.failed);
    if !tracer.tasks.is_empty() {
        tracer.settle()?;
    }
    let calls = tracer.calls;
    let left = tracer.read_left();
    if !tracer.tasks.is_empty() {
        tracer.release()?;
        end()?;
    }
    let peaks = &tracer.peaks;
    Ok(Seen {
        calls,
        front: peaks.get(&tracer.front).copied().unwrap_or_default(),
        largest: peaks.values().copied().max().unwrap_or_default(),
        sum: peaks.values().sum(),
        left,
    })
}

struct Tracer {
    front: Pid,
    /// Traced tasks, threads too.
    tasks: BTreeSet<Pid>,
    /// Tasks that are inside a system call.
    inside: BTreeSet<Pid>,
    /// Tasks that share the memory of the one that made them.
    borrowed: BTreeSet<Pid>,
    /// By process.
    peaks: BTreeMap<Pid, u64>,
    calls: u64,
    /// The runtime runs; before that it is a shell.
    started: bool,
    /// Every task is let go at its next stop.
    releasing: bool,
    failed: Option<WaitStatus>,
}

impl Tracer {
    /// Starts a shell that stops, attaches to it, and lets it execute the call: the memory of this program would be the
    /// least peak of a direct child.
    fn start(call: Call<'_>) -> Result<Self> {
        let mut shell = program("/bin/sh");
        shell.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).args(call.words);
        shell.current_dir(call.dir).stdout(Stdio::null()).stderr(call.stderr);
        let child = shell.spawn().context("start a shell")?;
        let front = Pid::from_raw(i32::try_from(child.id()).context("read the shell's pid")?);
        let stopped = waitpid(front, Some(WaitPidFlag::WUNTRACED)).context("wait for the shell")?;
        ensure!(
            matches!(stopped, WaitStatus::Stopped(..)),
            "stop the shell: {stopped:?}"
        );
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_TRACEEXIT
            | Options::PTRACE_O_EXITKILL;
        ptrace::seize(front, options).context("trace the shell")?;
        kill(front, Signal::SIGCONT).context("continue the shell")?;
        Ok(Self {
            front,
            tasks: BTreeSet::from([front]),
            inside: BTreeSet::new(),
            borrowed: BTreeSet::new(),
            peaks: BTreeMap::new(),
            calls: 0,
            started: false,
            releasing: false,
            failed: None,
        })
    }

    /// Serves stops until `done`.
    fn follow(&mut self, done: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + DEADLINE;
        while !done(self) {
            match self.next()? {
                Some(status) => self.serve(status)?,
                None if Instant::now() > deadline => bail!("wait for the end of the call: it hangs"),
                None => sleep(Duration::from_micros(200)),
            }
        }
        Ok(())
    }

    /// Serves stops until none comes for a while.
    fn settle(&mut self) -> Result<()> {
        let deadline = Instant::now() + DEADLINE;
        let mut last = Instant::now();
        while last.elapsed() < QUIET && Instant::now() < deadline {
            match self.next()? {
                Some(status) => {
                    self.serve(status)?;
                    last = Instant::now();
                }
                None => sleep(Duration::from_millis(1)),
            }
        }
        Ok(())
    }

    /// Lets all tasks go: one that is stopped by tracing cannot be killed in peace.
    fn release(&mut self) -> Result<()> {
        self.releasing = true;
        for task in &self.tasks {
            match ptrace::interrupt(*task) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(errno).context("interrupt a traced process"),
            }
        }
        self.follow(|tracer| tracer.tasks.is_empty())
    }

    fn next(&mut self) -> Result<Option<WaitStatus>> {
        match waitpid(
            None,
            Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD),
        ) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => Ok(None),
            Ok(status) => Ok(Some(status)),
            Err(Errno::ECHILD) => {
                self.tasks.clear();
                Ok(None)
            }
            Err(errno) => Err(errno).context("wait for traced processes"),
        }
    }

    fn serve(&mut self, status: WaitStatus) -> Result<()> {
        match status {
            WaitStatus::PtraceSyscall(task) | WaitStatus::PtraceEvent(task, ..) if self.releasing => {
                self.let_go(task, None)
            }
            WaitStatus::Stopped(task, signal) if self.releasing => self.let_go(task, Some(signal)),
            WaitStatus::PtraceSyscall(task) => {
                self.count(task);
                go_on(task, None)
            }
            WaitStatus::PtraceEvent(task, _, event) => self.serve_event(task, event),
            WaitStatus::Stopped(task, signal) => go_on(task, Some(signal)),
            WaitStatus::Exited(task, _) | WaitStatus::Signaled(task, ..) => {
                self.forget(task);
                if task == self.front && !matches!(status, WaitStatus::Exited(_, 0)) {
                    self.failed = Some(status);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn serve_event(&mut self, task: Pid, event: i32) -> Result<()> {
        match event {
            EVENT_STOP => {
                self.tasks.insert(task);
            }
            libc::PTRACE_EVENT_VFORK => {
                let child = ptrace::getevent(task).context("read the child's pid")?;
                self.borrowed.insert(Pid::from_raw(i32::try_from(child)?));
            }
            libc::PTRACE_EVENT_EXEC => {
                self.borrowed.remove(&task);
                self.started = true;
                if self.is_program(task) {
                    return self.let_go(task, None);
                }
            }
            libc::PTRACE_EVENT_EXIT => self.sample(task),
            _ => {}
        }
        go_on(task, None)
    }

    /// Counts a call at its beginning; an execution replaces the memory, so the peak is read before.
    fn count(&mut self, task: Pid) {
        if self.inside.remove(&task) {
            return;
        }
        self.inside.insert(task);
        if !self.started {
            return;
        }
        self.calls += 1;
        if matches!(read_call(task), Some(libc::SYS_execve | libc::SYS_execveat)) {
            self.sample(task);
        }
    }

    fn sample(&mut self, task: Pid) {
        if !self.started || self.borrowed.contains(&task) {
            return;
        }
        let Some(text) = status::read(task) else { return };
        if let (Some(process), Some(peak)) = (status::parse_process(&text), status::parse_kib(&text, "VmHWM:")) {
            let known = self.peaks.entry(process).or_default();
            *known = peak.max(*known);
        }
    }

    fn is_program(&self, task: Pid) -> bool {
        let path = fs::read_link(format!("/proc/{task}/exe"));
        task != self.front && path.is_ok_and(|path| path.ends_with(PROGRAM))
    }

    fn let_go(&mut self, task: Pid, signal: Option<Signal>) -> Result<()> {
        self.forget(task);
        match ptrace::detach(task, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno).with_context(|| format!("let task {task} go")),
        }
    }

    fn forget(&mut self, task: Pid) {
        self.tasks.remove(&task);
        self.inside.remove(&task);
        self.borrowed.remove(&task);
    }

    /// Resident memory of each process that is still there.
    fn read_left(&self) -> Vec<u64> {
        let texts = self.tasks.iter().filter_map(|task| Some((*task, status::read(*task)?)));
        let processes = texts.filter(|(task, text)| status::parse_process(text) == Some(*task));
        processes
            .filter_map(|(_, text)| status::parse_kib(&text, "VmRSS:"))
            .collect()
    }
}

/// Lets a task run to its next stop; it may have been killed since.
fn go_on(task: Pid, signal: Option<Signal>) -> Result<()> {
    match ptrace::syscall(task, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno).with_context(|| format!("continue task {task}")),
    }
}

/// Number of the system call that a stopped task is about to make.
fn read_call(task: Pid) -> Option<libc::c_long> {
    let text = fs::read_to_string(format!("/proc/{task}/syscall")).ok()?;
    text.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traced(script: &str) -> Seen {
        let words: Vec<OsString> = ["/bin/sh", "-c", script].iter().map(OsString::from).collect();
        let call = Call {
            words: &words,
            dir: Path::new("/"),
            stderr: Stdio::null(),
        };
        trace(call, || Ok(())).unwrap()
    }

    #[test]
    fn every_process_counts_with_its_calls_and_memory() {
        let one = traced(":");
        let more = traced("/bin/cat </dev/null; /bin/cat </dev/null");
        assert!(one.calls > 0 && more.calls > one.calls, "{one:?} {more:?}");
        assert!(one.front > 0 && one.front == one.sum, "{one:?}");
        assert!(more.sum > more.largest, "{more:?}");
        assert!(one.left.is_empty(), "{one:?}");
    }

    #[test]
    fn what_stays_is_seen_and_ended() {
        let (read, write) = std::io::pipe().unwrap();
        let words: Vec<OsString> = ["/bin/sh", "-c", "cat <&2 >/dev/null & exit 0"]
            .iter()
            .map(OsString::from)
            .collect();
        let call = Call {
            words: &words,
            dir: Path::new("/"),
            stderr: Stdio::from(read),
        };
        let seen = trace(call, move || {
            drop(write);
            Ok(())
        });
        let seen = seen.unwrap();
        assert_eq!(seen.left.len(), 1, "{seen:?}");
        assert!(seen.left.iter().all(|kib| *kib > 0), "{seen:?}");
    }

    #[test]
    fn a_failing_call_is_an_error() {
        let words: Vec<OsString> = ["/bin/sh", "-c", "exit 3"].iter().map(OsString::from).collect();
        let call = Call {
            words: &words,
            dir: Path::new("/"),
            stderr: Stdio::null(),
        };
        let error = trace(call, || Ok(())).unwrap_err();
        assert!(format!("{error:#}").contains("Exited"), "{error:#}");
    }
}
