//! The commands, one file each.

mod create;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod pause;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod update;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;

use crate::args::{self, Request};
use crate::report;

/// Every command with what it does.
pub(crate) const ABOUT: [(&str, &str); 18] = [
    ("create", "Create a container"),
    ("start", "Run the program of a created container"),
    ("run", "Create a container and run its program"),
    ("state", "Show the state of a container as JSON"),
    ("kill", "Send a signal to a container"),
    ("delete", "Delete a container"),
    ("exec", "Run another process in a container"),
    ("list", "List containers"),
    ("ps", "Show the processes of a container"),
    ("pause", "Suspend the processes of a container"),
    ("resume", "Resume a paused container"),
    ("update", "Change the resource limits of a container"),
    ("events", "Show events and statistics of a container"),
    ("spec", "Write a config.json to start from"),
    ("features", "Show what this runtime can do as JSON"),
    ("checkpoint", "Save a running container to disk"),
    ("restore", "Restore a container from a checkpoint"),
    ("help", "Show the help of a command"),
];

/// Parses and runs a command.
pub(crate) fn run(request: &Request, args: &[OsString]) -> Result<ExitCode> {
    match request.command.as_str() {
        "create" => with(request, |a| create::run(request, args, &a)),
        "start" => with(request, |a| start::run(request, &a)),
        "run" => with(request, |a| run::run(request, args, &a)),
        "state" => with(request, |a| state::run(request, &a)),
        "kill" => with(request, |a| kill::run(request, &a)),
        "delete" => with(request, |a| delete::run(request, &a)),
        "exec" => with(request, |a| exec::run(request, args, &a)),
        "list" => with(request, |a| list::run(request, &a)),
        "ps" => with(request, |a| ps::run(request, &a)),
        "pause" => with(request, |a| pause::pause(request, &a)),
        "resume" => with(request, |a| pause::resume(request, &a)),
        "update" => with(request, |a| update::run(request, &a)),
        "events" => with(request, |a| events::run(request, &a)),
        "spec" => with(request, |a| spec::run(request, &a)),
        "features" => with(request, |a| features::run(&a)),
        "checkpoint" | "restore" => with(request, |a| unsupported(request, &a)),
        other => bail!("no such command {other:?}"),
    }
}

fn with<T: Parser>(request: &Request, run: impl FnOnce(T) -> Result<ExitCode>) -> Result<ExitCode> {
    match args::parse_command::<T>(request)? {
        Ok(parsed) => run(parsed),
        Err(help) => Ok(report::print_answer(&help)),
    }
}

/// The help of a command.
pub(crate) fn help(name: &str) -> Option<String> {
    Some(match name {
        "create" => args::help_of::<create::Args>(name),
        "start" => args::help_of::<start::Args>(name),
        "run" => args::help_of::<run::Args>(name),
        "state" => args::help_of::<state::Args>(name),
        "kill" => args::help_of::<kill::Args>(name),
        "delete" => args::help_of::<delete::Args>(name),
        "exec" => args::help_of::<exec::Args>(name),
        "list" => args::help_of::<list::Args>(name),
        "ps" => args::help_of::<ps::Args>(name),
        "pause" | "resume" => args::help_of::<pause::Args>(name),
        "update" => args::help_of::<update::Args>(name),
        "events" => args::help_of::<events::Args>(name),
        "spec" => args::help_of::<spec::Args>(name),
        "features" => args::help_of::<features::Args>(name),
        "checkpoint" | "restore" => args::help_of::<Criu>(name),
        _ => return None,
    })
}

/// `checkpoint` and `restore` take CRIU's options; the backend says that it cannot.
#[derive(Debug, Parser)]
#[command(about = "Not available: backend \"libcontainer\" does not have the trait \"checkpoint\"")]
struct Criu {
    /// Options and container id.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<OsString>,
}

fn unsupported(request: &Request, args: &Criu) -> Result<ExitCode> {
    let id = args
        .rest
        .last()
        .map(|id| id.to_string_lossy().into_owned())
        .unwrap_or_default();
    bail!(
        "{} {id:?}: needs backend trait \"checkpoint\", which backend \"libcontainer\" does not have",
        request.command
    )
}

/// What `--version` prints: clients read the version and the commit by line.
pub(crate) fn version() -> String {
    let commit = option_env!("NEXCAGE_COMMIT").unwrap_or("unknown");
    let libseccomp = match libseccomp::ScmpVersion::current() {
        Ok(version) => format!("libseccomp: {version}\n"),
        Err(_) => String::new(),
    };
    format!(
        "nexcage version {}\ncommit: {commit}\nspec: {}\n{libseccomp}",
        env!("CARGO_PKG_VERSION"),
        nexcage_oci::OCI_VERSION
    )
}
