//! `command.execute`: programs of the operator's command table, for `host_command`.
//!
//! The plugin names a command, never a program. The program runs in a sandbox of its own: pid, mount, IPC and host name
//! apart, no network unless the table says so, all read-only but what the table lists, no Linux capabilities; and
//! it ends at the deadline with all that it started.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nexcage_plugin_types::configuration::HostCommand;
use nexcage_plugin_types::message::printable;
use nexcage_plugin_types::sandbox::{Command, CommandConfinement, Identity};
use nexcage_plugin_types::text::{AbsolutePath, CommandName};
use nexcage_plugin_types::{Capability, CapabilityName};
use nexcage_sys::launch::Namespaces;
use serde::Deserialize;

use super::program::{Ended, Program};
use super::{Done, Question, Refusal, file};
use crate::below::is_below;
use crate::process::Privileges;

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
    let input = Input {
        what: format!("run command {}", asked.command.as_str()),
        args: &asked.args,
        stdin: &asked.stdin,
    };
    perform(table, rule, &input, deadline)
}

/// `{"path": "/usr/bin/true", "args": [], "stdin": ""}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExecuteProgram {
    path: AbsolutePath,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    stdin: String,
}

/// How long a program may run that is in no table.
const PROGRAM_SECONDS: u32 = 30;

/// Runs a program at or below a granted path, as a command that may do nothing but compute.
pub(super) fn execute_program(
    question: &Question<'_>,
    asked: &ExecuteProgram,
    deadline: Instant,
) -> Result<Done, Refusal> {
    let path = asked.path.as_str();
    question.check_granted(CapabilityName::FilesystemExecute, path, |grant| match grant {
        Capability::FilesystemExecute { paths } => paths.iter().any(|granted| is_below(path, granted.as_str())),
        _ => false,
    })?;
    let Some(table) = &question.broker.commands else {
        return Err(Refusal::Unsupported(question.effect.clone()));
    };
    file::check_regular(path)?;
    let rule = HostCommand {
        program: asked.path.clone(),
        args: Vec::new(),
        takes_args: true,
        env: BTreeMap::new(),
        user: None,
        network: false,
        writable: Vec::new(),
        privileged: false,
        timeout_seconds: PROGRAM_SECONDS,
    };
    let input = Input {
        what: format!("run program {path:?}"),
        args: &asked.args,
        stdin: &asked.stdin,
    };
    perform(table, &rule, &input, deadline)
}

/// What a program is given.
struct Input<'a> {
    /// What is done, for errors.
    what: String,
    args: &'a [String],
    stdin: &'a str,
}

fn perform(table: &Table<'_>, rule: &HostCommand, input: &Input<'_>, deadline: Instant) -> Result<Done, Refusal> {
    check(rule, input)?;
    let began = Instant::now();
    let limit = began + Duration::from_secs(rule.timeout_seconds.into());
    let failed = |source| Refusal::Failed {
        what: input.what.clone(),
        source,
    };
    match run(table, rule, input, deadline.min(limit)).map_err(failed)? {
        Some(ended) => ended.answer(began.elapsed()).map_err(failed),
        None => Err(Refusal::Late(input.what.clone())),
    }
}

fn check(rule: &HostCommand, input: &Input<'_>) -> Result<(), Refusal> {
    let refuse = |fix| {
        Err(Refusal::Argument {
            what: input.what.clone(),
            fix,
        })
    };
    if !rule.takes_args && !input.args.is_empty() {
        return refuse("the operator's table lets it have no arguments");
    }
    if input.args.iter().any(|arg| arg.contains('\0')) {
        return refuse("an argument holds no NUL");
    }
    if input.stdin.len() > STDIN_MAX {
        return refuse("give it at most 512 KiB of input");
    }
    Ok(())
}

/// Runs a program; `None` when it was killed at the deadline.
fn run(table: &Table<'_>, rule: &HostCommand, asked: &Input<'_>, deadline: Instant) -> io::Result<Option<Ended>> {
    let (ours, theirs) = UnixStream::pair()?;
    let description = serde_json::to_vec(&describe(table, rule, asked))?;
    let program = Program {
        program: table.program,
        argv: &["nexcage-plugin-host", "--command"],
        stdin: theirs.into(),
        namespaces: namespaces(table.privileges, rule),
    };
    let ended = program.run(deadline, || give(&ours, &description, deadline))?;
    if ended.is_some() {
        check_started(ours)?;
    }
    Ok(ended)
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

fn describe(table: &Table<'_>, rule: &HostCommand, asked: &Input<'_>) -> Command {
    let program = rule.program.as_str().to_owned();
    let argv = std::iter::once(&program).chain(&rule.args).chain(asked.args);
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
        stdin: asked.stdin.to_owned(),
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
