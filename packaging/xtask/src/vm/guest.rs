//! One running guest: its processes, its channels and its end.

use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::process::program;
use crate::vm::job::{Notice, parse_notice};
use crate::vm::stream::{End, copy_until_marker};

/// First stage on the host; see the file.
const ENTER: &str = include_str!("../../guest/enter.sh");
/// Second stage on the host; see the file.
const LAUNCH: &str = include_str!("../../guest/launch.sh");
/// How long output may take to arrive after the command has ended.
const DRAIN: Duration = Duration::from_secs(20);
/// How often the guest is looked after while it says nothing.
const TICK: Duration = Duration::from_millis(200);
/// Lines of the console that a failure shows.
const TAIL: usize = 40;

/// What a guest is started with.
pub(crate) struct Setup<'a> {
    /// Directory that everything the guest sees is mounted below, in its own mount namespace.
    pub(crate) base: &'a Path,
    pub(crate) tree: &'a Path,
    pub(crate) modules: &'a Path,
    pub(crate) project: &'a Path,
    pub(crate) share: &'a Path,
    pub(crate) share_writable: bool,
    /// As User-Mode Linux takes it, `1024M`.
    pub(crate) memory: &'a str,
    pub(crate) systemd: bool,
    /// The script that the guest runs.
    pub(crate) script: &'a [u8],
}

/// How the command ended.
pub(crate) struct Outcome {
    /// 128+n after signal n.
    pub(crate) status: u8,
    /// From the start of the guest to the start of the command.
    pub(crate) boot: Duration,
}

/// Why a guest gave no exit status.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The time was over.
    Timeout(anyhow::Error),
    /// The guest, or what runs it, broke.
    Broken(anyhow::Error),
}

enum Event {
    Notice(Notice),
    Streamed(&'static str, io::Result<End>),
    Panicked,
}

/// Boots a guest, passes its output on and ends it.
///
/// * `timeout`: from here to the end of the command.
///
/// When it returns, no process of the guest is left. When this process dies first, the kernel kills them all.
/// Call it on the main thread: the parent death signal is tied to the thread that starts the guest.
///
/// # Errors
///
/// [`Failure`], with the end of the guest's console.
pub(crate) fn run_guest(setup: &Setup<'_>, timeout: Duration) -> Result<Outcome, Failure> {
    let mut guest = Guest::start(setup).map_err(Failure::Broken)?;
    let result = guest.watch(timeout);
    let console = guest.end().map_err(Failure::Broken)?;
    let explain = |error: anyhow::Error| anyhow!("{error:#}; the end of the guest's console:\n{console}");
    result.map_err(|failure| match failure {
        Failure::Timeout(error) => Failure::Timeout(explain(error)),
        Failure::Broken(error) => Failure::Broken(explain(error)),
    })
}

struct Guest {
    child: Child,
    started: Instant,
    events: Receiver<Event>,
    /// Our ends of the pipes that the guest writes to, closed when it is gone so that the readers see the end.
    writers: Vec<PipeWriter>,
    console: JoinHandle<String>,
}

impl Guest {
    fn start(setup: &Setup<'_>) -> Result<Self> {
        let (sender, events) = channel();
        let mut writers = Vec::new();
        for name in ["stdout", "stderr", "control"] {
            let (reader, writer) = io::pipe().context("create a pipe")?;
            writers.push(writer);
            spawn_reader(name, reader, sender.clone());
        }
        let started = Instant::now();
        let mut child = spawn_launcher(setup, &writers)?;
        let output = child.stdout.take().context("take the console of the guest")?;
        let console = thread::spawn(move || read_console(output, &sender));
        Ok(Self {
            child,
            started,
            events,
            writers,
            console,
        })
    }

    fn watch(&mut self, timeout: Duration) -> Result<Outcome, Failure> {
        let mut deadline = self.started + timeout;
        let (mut boot, mut status, mut open) = (None, None, 2);
        loop {
            match self
                .events
                .recv_timeout(TICK.min(deadline.saturating_duration_since(Instant::now())))
            {
                Ok(Event::Notice(Notice::Started)) => boot = Some(self.started.elapsed()),
                Ok(Event::Notice(Notice::Exited(code))) => {
                    status = Some(code);
                    deadline = Instant::now() + DRAIN;
                }
                Ok(Event::Streamed(_, Ok(End::Complete))) => open -= 1,
                Ok(Event::Streamed(name, Ok(End::Cut))) => return Err(broken(format!("read all of {name}"))),
                Ok(Event::Streamed(name, Err(error))) => return Err(broken(format!("pass {name} on: {error}"))),
                Ok(Event::Panicked) => return Err(broken("run the guest: its kernel panicked".to_owned())),
                Err(RecvTimeoutError::Disconnected) => return Err(broken("hear from the guest".to_owned())),
                Err(RecvTimeoutError::Timeout) => self.check_alive()?,
            }
            if let (Some(status), 0) = (status, open) {
                return Ok(Outcome {
                    status,
                    boot: boot.unwrap_or_default(),
                });
            }
            if Instant::now() >= deadline {
                return Err(describe_timeout(timeout, boot.is_some(), status));
            }
        }
    }

    fn check_alive(&mut self) -> Result<(), Failure> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(broken(format!(
                "run the guest: it went away ({status}) without an exit status"
            ))),
            Err(error) => Err(broken(format!("look after the guest: {error}"))),
        }
    }

    /// Kills what is left and waits for it; returns the end of the console.
    fn end(mut self) -> Result<String> {
        // `unshare --kill-child` takes the init of the pid namespace with it, and that one every process of the guest.
        self.child.kill().context("kill the guest")?;
        self.child.wait().context("wait for the guest")?;
        self.writers.clear();
        // The console ends when its last writer is gone: after this, so are the processes.
        self.console
            .join()
            .map_err(|_panic| anyhow!("read the console of the guest"))
    }
}

fn spawn_launcher(setup: &Setup<'_>, writers: &[PipeWriter]) -> Result<Child> {
    let mut command = program("setpriv");
    command
        .args(["--pdeathsig", "KILL", "sh", "-c", ENTER, "enter"])
        .arg(std::process::id().to_string());
    // The shell opens these again by /proc, so no descriptor has to be inherited by number.
    command.args(writers.iter().map(|writer| writer.as_raw_fd().to_string()));
    command
        .arg(LAUNCH)
        .args([setup.base, setup.tree, setup.modules, setup.project, setup.share]);
    command.args([if setup.share_writable { "rw" } else { "ro" }, setup.memory]);
    command.arg(if setup.systemd { "systemd" } else { "plain" });
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start setpriv")?;
    let mut stdin = child.stdin.take().context("take the input of the launcher")?;
    if let Err(error) = stdin.write_all(setup.script) {
        child.kill().context("kill the launcher")?;
        child.wait().context("wait for the launcher")?;
        bail!("hand the script to the launcher: {error}");
    }
    Ok(child)
}

fn spawn_reader(name: &'static str, reader: PipeReader, events: Sender<Event>) {
    thread::spawn(move || match name {
        "control" => {
            let lines = BufReader::new(reader).lines().map_while(Result::ok);
            for notice in lines.filter_map(|line| parse_notice(&line)) {
                send(&events, Event::Notice(notice));
            }
        }
        "stdout" => send(&events, Event::Streamed(name, copy_until_marker(reader, io::stdout()))),
        _ => send(&events, Event::Streamed(name, copy_until_marker(reader, io::stderr()))),
    });
}

/// Keeps the end of the console and reports a panic of the kernel.
fn read_console(console: impl Read, events: &Sender<Event>) -> String {
    let mut tail = std::collections::VecDeque::new();
    let mut lines = BufReader::new(console);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if text.contains("Kernel panic") {
            send(events, Event::Panicked);
        }
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(format!("  {text}"));
        line.clear();
    }
    Vec::from(tail).join("\n")
}

fn send(events: &Sender<Event>, event: Event) {
    // Nobody listens any more once the guest has been given up.
    let _ignored = events.send(event);
}

fn broken(message: String) -> Failure {
    Failure::Broken(anyhow!(message))
}

fn describe_timeout(timeout: Duration, booted: bool, status: Option<u8>) -> Failure {
    match (status, booted) {
        (Some(status), _) => broken(format!("read all output: the command had ended with status {status}")),
        (None, true) => Failure::Timeout(anyhow!("run the command: not done after {} s", timeout.as_secs())),
        (None, false) => Failure::Timeout(anyhow!("boot the guest: not up after {} s", timeout.as_secs())),
    }
}
