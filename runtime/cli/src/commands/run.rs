//! `run`: create and start, and, in the foreground, wait and delete.

mod config;
mod local;
mod observer;
mod privilege;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nexcage_backend::Process;
use nexcage_oci::Bundle;
use nexcage_runtime::foreground::{Adoption, Foreground};
use nexcage_runtime::terminal::{Terminal, check};
use nexcage_runtime::{DeleteOptions, Runtime};
use nexcage_sys::pidfd::ExitStatus;

use super::console::Console;
use super::create::{Making, wants_terminal};
use crate::args::{Globals, RunArgs, RunSource};
use crate::context;

pub(crate) fn run(globals: &Globals, args: &RunArgs) -> Result<ExitCode> {
    let source = args.source()?;
    if !matches!(source, RunSource::Bundle { .. }) {
        // Before the program is executed again: what it may do to its children depends on where that happened.
        privilege::enter_user_namespace()?;
    }
    context::seal()?;
    match source {
        RunSource::Bundle { bundle, id } => {
            let runtime = context::runtime(globals)?;
            let bundle = context::load_bundle(bundle.as_deref())?;
            run_bundle(&runtime, globals, args, &id, bundle)
        }
        RunSource::Rootfs { rootfs, command } => local::run_rootfs(globals, args, &rootfs, &command),
        RunSource::Image { image, command } => local::run_image(globals, args, &image, &command),
    }
}

fn run_bundle(runtime: &Runtime, globals: &Globals, args: &RunArgs, id: &str, bundle: Bundle) -> Result<ExitCode> {
    check(
        wants_terminal(&bundle),
        args.files.console_socket.is_some(),
        args.detach,
    )?;
    if args.detach {
        create(runtime, globals, args, id, bundle)?;
        context::start(runtime, id)?;
        return Ok(ExitCode::SUCCESS);
    }
    let foreground = prepare(args.no_subreaper)?;
    let status = run_in(&foreground, (runtime, globals, args), id, bundle)?;
    if !args.keep {
        runtime.delete(id, DeleteOptions { force: true })?;
    }
    Ok(context::exit_code(status))
}

/// Blocks signals and adopts orphans, as the flags say.
pub(super) fn prepare(no_subreaper: bool) -> Result<Foreground> {
    let adoption = if no_subreaper {
        Adoption::Leave
    } else {
        Adoption::Subreaper
    };
    Ok(Foreground::prepare(adoption)?)
}

/// Creates and starts a container, and stays until its init has ended.
fn run_in(
    foreground: &Foreground,
    (runtime, globals, args): (&Runtime, &Globals, &RunArgs),
    id: &str,
    bundle: Bundle,
) -> Result<ExitStatus> {
    let (process, terminal) = create(runtime, globals, args, id, bundle)?;
    stay(foreground, runtime, id, (&process, terminal)).map_err(|error| undo(runtime, id, error))
}

fn stay(
    foreground: &Foreground,
    runtime: &Runtime,
    id: &str,
    (process, terminal): (&Process, Option<Terminal>),
) -> Result<ExitStatus> {
    let own = i32::try_from(std::process::id()).ok();
    let relay = runtime.listen_for_ready(id, context::notify_socket().as_deref(), own)?;
    runtime.start(id)?;
    Ok(foreground.wait(process.pid, &process.pidfd, terminal, relay)?)
}

/// Ends a container that was created but could not be run; what is left then is told behind the first error.
fn undo(runtime: &Runtime, id: &str, error: anyhow::Error) -> anyhow::Error {
    match runtime.delete(id, DeleteOptions { force: true }) {
        Ok(()) => error,
        Err(left) => anyhow::anyhow!(
            "{error:#} (and delete the container: {})",
            nexcage_runtime::chain(&left)
        ),
    }
}

fn create(
    runtime: &Runtime,
    globals: &Globals,
    args: &RunArgs,
    id: &str,
    mut bundle: Bundle,
) -> Result<(Process, Option<Terminal>)> {
    let making = Making {
        globals,
        pid_file: args.files.pid_file.as_ref(),
        pidfd_socket: args.pidfd_socket.as_ref(),
        no_pivot: args.no_pivot,
        no_new_keyring: args.no_new_keyring,
        preserve_fds: args.preserve_fds,
    };
    let mut options = making.plan(&mut bundle)?;
    let console = Console::open(args.files.console_socket.as_deref(), wants_terminal(&bundle))?;
    options.console = console.fd();
    let process = runtime.create(id, &bundle, &options)?;
    let terminal = console
        .receive()
        .context("join the container's terminal")
        .map_err(|error| undo(runtime, id, error))?;
    Ok((process, terminal))
}
