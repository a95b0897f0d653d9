//! What the user asked for: the command line of runc 1.5, plus the flags other runtimes taught the clients.
//!
//! Go's flag dialect is read by `dialect`, the types and the help texts are clap's. Only the one sub-command that was
//! asked for is built: a runtime starts too often to build seventeen. Nothing here touches the machine.

mod completion;
mod criu;
mod dialect;
mod entries;
mod exec;
mod globals;
mod help;
mod lifecycle;
mod plugin;
mod query;
mod shell;
mod signal;
#[cfg(test)]
mod tests;
mod units;
mod update;

use std::ffi::OsString;

pub use completion::{Wanted, wanted};
pub use criu::{CgroupsMode, CheckpointArgs, CriuArgs, PageServer, RestoreArgs};
use dialect::Limit;
use entries::{Arity, Entry};
pub use exec::{ExecArgs, ExecUser, SubCgroup, SubCgroupError};
pub use globals::{Cgroups, Globals, LogFormat};
pub use help::full_command;
pub use lifecycle::{CreateArgs, DeleteArgs, KillArgs, ProcessFiles, RunArgs, RunSource, RunSourceError};
pub use plugin::{ConfigAction, ConfigArgs, PluginAction, PluginArgs};
pub use query::{EventsArgs, FeaturesArgs, Format, IdArgs, ListArgs, PsArgs, SpecArgs};
pub use shell::{CompletionArgs, Shell};
pub use signal::Signal;
pub use update::{Resources, UpdateArgs};

/// The name by which the shells' scripts ask for words; no plugin can have it.
pub const COMPLETE: &str = "__complete";

/// A command line that was understood.
#[derive(Debug)]
pub struct Cli {
    /// The flags that belong to every command.
    pub globals: Globals,
    /// The command with its own flags and arguments.
    pub command: Command,
}

/// The command with its flags and arguments; one variant a sub-command.
#[derive(Debug)]
#[expect(missing_docs, reason = "a variant is the sub-command of its name")]
pub enum Command {
    Checkpoint(CheckpointArgs),
    Completion(CompletionArgs),
    Config(ConfigArgs),
    Create(CreateArgs),
    Delete(DeleteArgs),
    Events(EventsArgs),
    Exec(ExecArgs),
    Features(FeaturesArgs),
    Kill(KillArgs),
    List(ListArgs),
    Pause(IdArgs),
    Plugin(PluginArgs),
    Ps(PsArgs),
    Restore(RestoreArgs),
    Resume(IdArgs),
    Run(RunArgs),
    Spec(SpecArgs),
    Start(IdArgs),
    State(IdArgs),
    Update(UpdateArgs),
}

impl Command {
    /// Names the sub-command as the user typed it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Checkpoint(_) => "checkpoint",
            Self::Completion(_) => "completion",
            Self::Config(_) => "config",
            Self::Create(_) => "create",
            Self::Delete(_) => "delete",
            Self::Events(_) => "events",
            Self::Exec(_) => "exec",
            Self::Features(_) => "features",
            Self::Kill(_) => "kill",
            Self::List(_) => "list",
            Self::Pause(_) => "pause",
            Self::Plugin(_) => "plugin",
            Self::Ps(_) => "ps",
            Self::Restore(_) => "restore",
            Self::Resume(_) => "resume",
            Self::Run(_) => "run",
            Self::Spec(_) => "spec",
            Self::Start(_) => "start",
            Self::State(_) => "state",
            Self::Update(_) => "update",
        }
    }

    /// Returns the container id the command names, if it names one.
    #[must_use]
    pub fn container_id(&self) -> Option<&str> {
        match self {
            Self::Checkpoint(a) => Some(&a.id),
            Self::Create(a) => Some(&a.id),
            Self::Delete(a) => Some(&a.id),
            Self::Events(a) => Some(&a.id),
            Self::Exec(a) => Some(&a.id),
            Self::Kill(a) => Some(&a.id),
            Self::Pause(a) | Self::Resume(a) | Self::Start(a) | Self::State(a) => Some(&a.id),
            Self::Ps(a) => Some(&a.id),
            Self::Restore(a) => Some(&a.id),
            Self::Update(a) => Some(&a.id),
            Self::Run(a) => a.container_id(),
            Self::Completion(_)
            | Self::Config(_)
            | Self::Features(_)
            | Self::List(_)
            | Self::Plugin(_)
            | Self::Spec(_) => None,
        }
    }
}

/// What is to be done with a command line that was understood.
#[derive(Debug)]
pub enum Parsed {
    /// Run this command.
    Run(Box<Cli>),
    /// Print this text, help or version, and succeed.
    Print(String),
    /// Print the program's help.
    Help,
    /// Print the words that may stand at the end of this command line.
    Complete(Vec<OsString>),
    /// Do what a plugin has under this name; if none has, it is an unknown command.
    Extension {
        /// What the user typed.
        name: String,
        /// What came after it; `None` when its help is asked for.
        args: Option<Vec<OsString>>,
    },
}

/// A command line that was not understood.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct UsageError {
    message: String,
    /// The sub-command whose help is shown; `None` is the program's own.
    command: Option<&'static str>,
    exit_code: u8,
    shows_help: bool,
}

impl UsageError {
    fn new(command: Option<&'static str>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            command,
            exit_code: 1,
            shows_help: true,
        }
    }

    /// A value of the wrong form: help would only push it off the screen.
    fn value(reason: impl std::fmt::Display) -> Self {
        Self::plain(reason.to_string(), 1)
    }

    fn plain(message: impl Into<String>, exit_code: u8) -> Self {
        Self {
            message: message.into(),
            command: None,
            exit_code,
            shows_help: false,
        }
    }

    /// Returns the exit code runc gives: 3 for an unknown command, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// Renders the help of the command that was misused, when help is of use.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        self.shows_help
            .then(|| self.command.and_then(help::of_command).unwrap_or_else(help::of_program))
    }
}

/// Reads a command line.
///
/// * `args`: the arguments after the program's name.
///
/// Returns the global flags, as far as they were read, so that a failure can be reported where the client looks, and
/// what is to be done.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> (Globals, Result<Parsed, UsageError>) {
    let args: Vec<OsString> = args.into_iter().collect();
    let mut globals = Globals::default();
    let parsed = parse_into(&mut globals, &args);
    (globals, parsed)
}

fn parse_into(globals: &mut Globals, args: &[OsString]) -> Result<Parsed, UsageError> {
    let walked = dialect::walk(args, Limit::Arguments(0), &|name| globals::find(name))
        .map_err(|error| UsageError::new(None, error.to_string()))?;
    let (mut wants_help, mut wants_version) = (false, false);
    for flag in walked.flags {
        match flag.name {
            "help" => wants_help = true,
            "version" => wants_version = true,
            _ => globals
                .set(flag.name, flag.value)
                .map_err(|error| UsageError::new(None, error.to_string()))?,
        }
    }
    if wants_help {
        return Ok(Parsed::Help);
    }
    if wants_version {
        return Ok(Parsed::Print(crate::version::text()));
    }
    let Some((name, rest)) = walked.arguments.split_first() else {
        return Ok(Parsed::Help);
    };
    let name = name.to_string_lossy();
    match entries::find(&name) {
        Some(entry) => parse_command(globals, entry, rest),
        None if name == "help" || name == "h" => parse_help(rest),
        None if name == COMPLETE => Ok(Parsed::Complete(rest.to_vec())),
        None if name.contains('\u{fffd}') => Err(unknown_command(&name)),
        None => Ok(Parsed::Extension {
            name: name.into_owned(),
            args: Some(rest.to_vec()),
        }),
    }
}

/// Every name of a command that is nexcage's own.
#[must_use]
pub fn command_names() -> Vec<&'static str> {
    let names = entries::ENTRIES.iter().map(|entry| entry.name);
    names.chain(["help", "h"]).collect()
}

/// The program's help.
#[must_use]
pub fn program_help() -> String {
    help::of_program()
}

/// The error of a command that nobody has.
#[must_use]
pub fn unknown_command(name: &str) -> UsageError {
    UsageError::plain(
        format!("No help topic for '{name}': see \"nexcage help\" for the commands"),
        3,
    )
}

fn parse_help(rest: &[OsString]) -> Result<Parsed, UsageError> {
    let Some(topic) = rest.iter().find(|arg| !arg.as_encoded_bytes().starts_with(b"-")) else {
        return Ok(Parsed::Help);
    };
    let topic = topic.to_string_lossy();
    Ok(match help::of_command(&topic) {
        Some(text) => Parsed::Print(text),
        None => Parsed::Extension {
            name: topic.into_owned(),
            args: None,
        },
    })
}

fn parse_command(globals: &mut Globals, entry: &'static Entry, args: &[OsString]) -> Result<Parsed, UsageError> {
    let usage = |message: String| UsageError::new(Some(entry.name), message);
    let mut command = entry.command();
    let walked = {
        let find = |name: &str| dialect::find_in(&command, name).or_else(|| globals::find_inherited(name));
        dialect::walk(args, entry.limit, &find).map_err(|error| usage(error.to_string()))?
    };
    let mut argv = Vec::with_capacity(args.len() + 1);
    for flag in walked.flags {
        match (flag.inherited, flag.name) {
            (true, "help") => return Ok(Parsed::Print(help::of_entry(entry))),
            (true, name) => globals
                .set(name, flag.value)
                .map_err(|error| usage(error.to_string()))?,
            (false, _) => argv.push(flag.into_argument()),
        }
    }
    let is_local_run = entry.name == "run" && walked.stopped_by_flag;
    if !is_local_run {
        check_arity(entry, walked.arguments.len()).map_err(usage)?;
    }
    argv.push("--".into());
    argv.extend(walked.arguments);
    let matches = command
        .try_get_matches_from_mut(argv)
        .map_err(|error| UsageError::value(dialect::clap_message(&error)))?;
    let command = (entry.from)(&matches).map_err(|error| UsageError::value(dialect::clap_message(&error)))?;
    if command.container_id() == Some("") {
        return Err(UsageError::plain("container id cannot be empty", 1));
    }
    Ok(Parsed::Run(Box::new(Cli {
        globals: globals.clone(),
        command,
    })))
}

fn check_arity(entry: &Entry, count: usize) -> Result<(), String> {
    let (wants, number) = match entry.arity {
        Arity::Exactly(n) if count != n => ("exactly", n),
        Arity::Between(min, _) | Arity::AtLeast(min) if count < min => ("a minimum of", min),
        Arity::Between(_, max) if count > max => ("a maximum of", max),
        _ => return Ok(()),
    };
    Err(format!(
        "\"nexcage {}\" requires {wants} {number} argument(s)",
        entry.name
    ))
}
