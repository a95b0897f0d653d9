//! `run`: create and start, and, in the foreground, wait and delete.

use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use nexcage_backend::Process;
use nexcage_oci::Bundle;
use nexcage_runtime::foreground::{Adoption, Foreground};
use nexcage_runtime::terminal::{Terminal, TerminalRequest, check, connect_console};
use nexcage_runtime::{DeleteOptions, Runtime};

use super::create::{Making, wants_terminal};
use crate::args::{Globals, RunArgs, RunSource};
use crate::context;

pub(crate) fn run(globals: &Globals, args: &RunArgs) -> Result<ExitCode> {
    context::seal()?;
    let runtime = context::runtime(globals)?;
    match args.source()? {
        RunSource::Bundle { bundle, id } => {
            let bundle = context::load_bundle(bundle.as_deref())?;
            run_bundle(&runtime, globals, args, &id, bundle)
        }
        RunSource::Rootfs { .. } | RunSource::Image { .. } => {
            bail!("--rootfs and --image are not available yet: write a bundle with `nexcage spec`")
        }
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
    let adoption = if args.no_subreaper {
        Adoption::Leave
    } else {
        Adoption::Subreaper
    };
    let foreground = Foreground::prepare(adoption)?;
    let (process, terminal) = create(runtime, globals, args, id, bundle)?;
    let own = i32::try_from(std::process::id()).ok();
    let relay = runtime.listen_for_ready(id, context::notify_socket().as_deref(), own)?;
    runtime.start(id)?;
    let status = foreground.wait(process.pid, &process.pidfd, terminal, relay)?;
    if !args.keep {
        runtime.delete(id, DeleteOptions { force: true })?;
    }
    Ok(context::exit_code(status))
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
    let socket = args.files.console_socket.as_deref().map(connect_console).transpose()?;
    let own = (wants_terminal(&bundle) && socket.is_none())
        .then(TerminalRequest::open)
        .transpose()?;
    options.console = socket
        .as_ref()
        .map(AsFd::as_fd)
        .or(own.as_ref().map(TerminalRequest::console));
    let process = runtime.create(id, &bundle, &options)?;
    let terminal = own
        .map(TerminalRequest::receive)
        .transpose()
        .context("join the container's terminal")?;
    Ok((process, terminal))
}
