//! `command.execute`: programs of the operator's command table, for `host_command`.
//!
//! The plugin names a command, never a program. The program runs in a sandbox of its own: pid, mount, IPC and host name
//! apart, no network unless the table says so, all read-only but what the table lists, no Linux capabilities; and
//! it ends at the deadline with all that it started.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nexcage_plugin_types::configuration::HostCommand;
use nexcage_plugin_types::message::printable;
use nexcage_plugin_types::sandbox::{Command, CommandConfinement, Identity};
use nexcage_plugin_types::text::CommandName;
use nexcage_plugin_types::{Capability, CapabilityName};
use nexcage_sys::file;
use nexcage_sys::launch::{Launch, Namespaces};
use nexcage_sys::pidfd::ExitStatus;
use nexcage_sys::poll::{self, Watch};
use serde::Deserialize;
use serde_json::json;

use super::{Done, Question, Refusal};
use crate::process::Privileges;

/// Bytes that are kept of what a program writes, of each stream.
const OUTPUT_MAX: usize = 1 << 20;

/// Bytes of each stream that are in the answer itself, which holds both even if each has to be escaped. All that is kept
/// comes as a descriptor.
const TEXT_MAX: usize = 64 << 10;

/// Bytes of the longest input.
const STDIN_MAX: usize = 512 << 10;

/// The user of a program whose user the table does not say.
const NOBODY: u32 = 65_534;

/// Programs that may be run, and how.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// The operator's table.
    pub commands: &'a BTreeMap<CommandName, HostCommand>,
    /// The program that confines itself and becomes them.
    pub program: &'a Path,
    /// What this process may do.
    pub privileges: Privileges,
}

/// `{"command": "zfs-list", "args": ["tank"], "stdin": ""}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Execute {
    command: CommandName,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    stdin: String,
}

/// What a program wrote to a stream.
#[derive(Default)]
struct Output {
    bytes: Vec<u8>,
    is_cut: bool,
}

pub(super) fn execute(question: &Question<'_>, asked: &Execute, deadline: Instant) -> Result<Done, Refusal> {
    question.check_granted(
        CapabilityName::HostCommand,
        asked.command.as_str(),
        |grant| match grant {
            Capability::HostCommand { commands } => commands.contains(&asked.command),
            _ => false,
        },
    )?;
    let Some(table) = &question.broker.commands else {
        return Err(Refusal::Unsupported(question.effect.clone()));
    };
    let Some(rule) = table.commands.get(&asked.command) else {
        return Err(Refusal::NotFound(format!("command {}", asked.command.as_str())));
    };
    check(rule, asked)?;
    let began = Instant::now();
    let limit = began + Duration::from_secs(rule.timeout_seconds.into());
    let failed = |source| Refusal::Failed {
        what: format!("run command {}", asked.command.as_str()),
        source,
    };
    let ran = run(table, rule, asked, deadline.min(limit)).map_err(failed)?;
    let Some((status, [out, err])) = ran else {
        return Err(Refusal::Late(format!("run command {}", asked.command.as_str())));
    };
    let (exit_code, signal) = match status {
        ExitStatus::Exited(code) => (Some(code), None),
        ExitStatus::Signaled(signal) => (None, Some(signal)),
    };
    let json = json!({
        "exit_code": exit_code,
        "signal": signal,
        "stdout": out.text(),
        "stderr": err.text(),
        "stdout_bytes": out.bytes.len(),
        "stderr_bytes": err.bytes.len(),
        "stdout_truncated": out.is_cut,
        "stderr_truncated": err.is_cut,
        "duration_ms": u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    let all = keep([out, err]).map_err(failed)?;
    Ok(Done {
        json,
        fd: Some(all.into()),
    })
}

/// All that was kept of both streams, one after the other, to be read from the beginning.
fn keep(outputs: [Output; 2]) -> io::Result<File> {
    let mut file = file::in_memory()?;
    for output in outputs {
        file.write_all(&output.bytes)?;
    }
    file.rewind()?;
    Ok(file)
}

fn check(rule: &HostCommand, asked: &Execute) -> Result<(), Refusal> {
    let refuse = |what: &str, fix| {
        Err(Refusal::Argument {
            what: format!("{what} command {}", asked.command.as_str()),
            fix,
        })
    };
    if !rule.takes_args && !asked.args.is_empty() {
        return refuse("give arguments to", "the operator's table lets it have none");
    }
    if asked.args.iter().any(|arg| arg.contains('\0')) {
        return refuse("give arguments to", "an argument holds no NUL");
    }
    if asked.stdin.len() > STDIN_MAX {
        return refuse("give input to", "at most 512 KiB");
    }
    Ok(())
}

/// Runs a program; `None` when it was killed at the deadline.
fn run(
    table: &Table<'_>,
    rule: &HostCommand,
    asked: &Execute,
    deadline: Instant,
) -> io::Result<Option<(ExitStatus, [Output; 2])>> {
    let (ours, theirs) = UnixStream::pair()?;
    let (out, out_end) = io::pipe()?;
    let (err, err_end) = io::pipe()?;
    let launch = Launch {
        program: table.program,
        argv: &["nexcage-plugin-host", "--command"],
        streams: [theirs.into(), out_end.into(), err_end.into()],
        namespaces: namespaces(table.privileges, rule),
    };
    let mut process = launch.start().map_err(io::Error::other)?;
    let description = serde_json::to_vec(&describe(table, rule, asked))?;
    give(&ours, &description, deadline)?;
    let Some(outputs) = collect([out.into(), err.into()], deadline)? else {
        return Ok(None);
    };
    let Some(status) = process.wait_or_kill(deadline.saturating_duration_since(Instant::now())) else {
        return Ok(None);
    };
    check_started(ours)?;
    Ok(Some((status, outputs)))
}

fn namespaces(privileges: Privileges, rule: &HostCommand) -> Namespaces {
    match (rule.privileged, privileges, rule.network) {
        (true, ..) => Namespaces::NONE,
        (false, Privileges::Root, false) => Namespaces::ALL,
        (false, Privileges::Root, true) => Namespaces::ALL_BUT_NETWORK,
        (false, Privileges::User, false) => Namespaces::ALL_AS_USER,
        (false, Privileges::User, true) => Namespaces::ALL_BUT_NETWORK_AS_USER,
    }
}

fn describe(table: &Table<'_>, rule: &HostCommand, asked: &Execute) -> Command {
    let program = rule.program.as_str().to_owned();
    let argv = std::iter::once(&program).chain(&rule.args).chain(&asked.args);
    let confinement = CommandConfinement {
        identity: match table.privileges {
            Privileges::Root => Identity::Own(rule.user.unwrap_or(NOBODY)),
            Privileges::User => Identity::Mapped,
        },
        writable: rule.writable.iter().map(|path| path.as_str().to_owned()).collect(),
    };
    Command {
        argv: argv.cloned().collect(),
        program,
        env: rule.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        stdin: asked.stdin.clone(),
        confinement: (!rule.privileged).then_some(confinement),
    }
}

fn give(mut socket: &UnixStream, description: &[u8], deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    socket.set_write_timeout(Some(left.max(Duration::from_millis(1))))?;
    match socket.write_all(description) {
        // It says why it does not read, or the missing answer tells.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.and_then(|()| socket.shutdown(Shutdown::Write)),
    }
}

/// Why the program did not start, if it did not.
fn check_started(mut socket: UnixStream) -> io::Result<()> {
    let mut why = String::new();
    socket.set_nonblocking(true)?;
    match socket.read_to_string(&mut why) {
        // What it has started may hold nothing of the socket: it was closed by the execution.
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ if why.is_empty() => Ok(()),
        _ => Err(io::Error::other(printable(&why))),
    }
}

/// Reads two streams to their ends; `None` at the deadline.
fn collect(streams: [OwnedFd; 2], deadline: Instant) -> io::Result<Option<[Output; 2]>> {
    let mut outputs = [Output::default(), Output::default()];
    let mut open = [true, true];
    for stream in &streams {
        poll::set_nonblocking(stream.as_fd())?;
    }
    while open.contains(&true) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        let pairs = || streams.iter().zip(open).filter(|(_, is_open)| *is_open);
        let watches: Vec<Watch<'_>> = pairs()
            .map(|(stream, _)| Watch {
                fd: stream.as_fd(),
                read: true,
                write: false,
            })
            .collect();
        poll::wait(&watches, Some(left))?;
        for ((stream, output), is_open) in streams.iter().zip(&mut outputs).zip(&mut open) {
            *is_open = *is_open && output.take(stream)?;
        }
    }
    Ok(Some(outputs))
}

impl Output {
    /// The beginning, as text.
    fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes.get(..TEXT_MAX).unwrap_or(&self.bytes))
    }

    /// Takes what is there; `false` at the end.
    fn take(&mut self, stream: &OwnedFd) -> io::Result<bool> {
        let mut buffer = [0; 16 << 10];
        let count = match poll::read(stream.as_fd(), &mut buffer)? {
            None => return Ok(true),
            Some(0) => return Ok(false),
            Some(count) => count,
        };
        let room = OUTPUT_MAX.saturating_sub(self.bytes.len());
        self.is_cut |= count > room;
        self.bytes
            .extend_from_slice(buffer.get(..count.min(room)).unwrap_or_default());
        Ok(true)
    }
}
