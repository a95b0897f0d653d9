//! `run`: create and start, and, in the foreground, wait and delete.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use nexcage_backend::Process;
use nexcage_oci::Bundle;
use nexcage_runtime::foreground::{Adoption, Foreground};
use nexcage_runtime::terminal::{Terminal, TerminalRequest, connect_console};
use nexcage_runtime::{DeleteOptions, Runtime};

use super::create::{BundleArgs, inherit, wants_terminal};
use crate::args::Request;
use crate::context;

/// Create a container from a bundle and run its program.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    bundle: BundleArgs,
    /// Do not wait for the program to end
    #[arg(long, short)]
    detach: bool,
    /// Do not delete the container when its program has ended
    #[arg(long)]
    keep: bool,
    /// Do not adopt the orphans of the container
    #[arg(long)]
    no_subreaper: bool,
    /// Name of the new container
    id: String,
}

pub(crate) fn run(request: &Request, argv: &[OsString], args: &Args) -> Result<ExitCode> {
    context::seal(argv)?;
    let failed = || context::failed_request(request, &args.id);
    let runtime = context::runtime(&request.globals)?;
    let bundle = context::load_bundle(args.bundle.bundle.as_deref(), &args.id)?;
    nexcage_runtime::terminal::check(
        wants_terminal(&bundle),
        args.bundle.console_socket.is_some(),
        args.detach,
    )
    .with_context(failed)?;
    if args.detach {
        create(&runtime, request, args, bundle).with_context(failed)?;
        runtime.start(&args.id).with_context(failed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let adoption = if args.no_subreaper {
        Adoption::Leave
    } else {
        Adoption::Subreaper
    };
    let foreground = Foreground::prepare(adoption).with_context(failed)?;
    let (process, terminal) = create(&runtime, request, args, bundle).with_context(failed)?;
    runtime.start(&args.id).with_context(failed)?;
    let status = foreground
        .wait(process.pid, &process.pidfd, terminal, None)
        .with_context(failed)?;
    if !args.keep {
        runtime
            .delete(&args.id, DeleteOptions { force: true })
            .with_context(failed)?;
    }
    Ok(context::exit_code(status))
}

fn create(
    runtime: &Runtime,
    request: &Request,
    args: &Args,
    mut bundle: Bundle,
) -> Result<(Process, Option<Terminal>)> {
    let inherited = inherit(&mut bundle, args.bundle.preserve_fds)?;
    let mut options = args.bundle.options(request, inherited);
    let socket = args.bundle.console_socket.as_deref().map(connect_console).transpose()?;
    let own = if wants_terminal(&bundle) && socket.is_none() {
        Some(TerminalRequest::open()?)
    } else {
        None
    };
    options.console = socket
        .as_ref()
        .map(AsFd::as_fd)
        .or(own.as_ref().map(TerminalRequest::console));
    let process = runtime.create(&args.id, &bundle, &options)?;
    let terminal = own
        .map(TerminalRequest::receive)
        .transpose()
        .context("join the container's terminal")?;
    Ok((process, terminal))
}
