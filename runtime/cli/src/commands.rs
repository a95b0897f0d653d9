//! The commands, one file each.

mod checkpoint;
pub(crate) mod complete;
mod config;
mod console;
mod create;
mod delete;
mod events;
mod exec;
pub(crate) mod extension;
mod features;
mod kill;
mod list;
mod pause;
mod plugin;
mod ps;
mod restore;
mod run;
mod spec;
mod start;
mod state;
mod update;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::args::{Cli, Command};

/// Runs a command.
///
/// Returns its exit code: zero, or for a foreground process that process's own.
///
/// # Errors
///
/// Why the command failed, for [`crate::report::failure`].
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { globals, command } = cli;
    let subject = command.container_id().map(|id| format!("{} {id:?}", command.name()));
    let outcome = match &command {
        Command::Checkpoint(args) => checkpoint::run(&globals, args),
        Command::Completion(args) => complete::script(*args).map(|()| ExitCode::SUCCESS),
        Command::Config(args) => config::run(&globals, *args).map(|()| ExitCode::SUCCESS),
        Command::Create(args) => create::run(&globals, args),
        Command::Delete(args) => delete::run(&globals, args),
        Command::Events(args) => events::run(&globals, args),
        Command::Exec(args) => exec::run(&globals, args),
        Command::Features(_) => features::run().map(|()| ExitCode::SUCCESS),
        Command::Kill(args) => kill::run(&globals, args),
        Command::List(args) => list::run(&globals, args),
        Command::Pause(args) => pause::pause(&globals, args),
        Command::Plugin(args) => plugin::run(&globals, args),
        Command::Ps(args) => ps::run(&globals, args),
        Command::Restore(args) => restore::run(&globals, args),
        Command::Resume(args) => pause::resume(&globals, args),
        Command::Run(args) => run::run(&globals, args),
        Command::Spec(args) => spec::run(args).map(|()| ExitCode::SUCCESS),
        Command::Start(args) => start::run(&globals, args),
        Command::State(args) => state::run(&globals, args),
        Command::Update(args) => update::run(&globals, args),
    };
    match subject {
        Some(subject) => outcome.context(subject),
        None => outcome,
    }
}
