//! `restore`: a checkpoint becomes a container again, and, in the foreground, wait and delete.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nexcage_backend::Process;
use nexcage_runtime::terminal::{Terminal, check};
use nexcage_runtime::{DeleteOptions, RestoreOptions, Runtime};

use super::checkpoint::Paths;
use super::console::Console;
use super::create::{Making, wants_terminal};
use super::run::prepare;
use crate::args::{Globals, RestoreArgs};
use crate::context;

pub(super) fn run(globals: &Globals, args: &RestoreArgs) -> Result<ExitCode> {
    let runtime = context::runtime(globals)?;
    let bundle = context::load_bundle(args.bundle.as_deref())?;
    let terminal = wants_terminal(&bundle);
    check(terminal, args.files.console_socket.is_some(), args.detach)?;
    if args.detach {
        restore(&runtime, globals, args, bundle)?;
        return Ok(ExitCode::SUCCESS);
    }
    let foreground = prepare(args.no_subreaper)?;
    let (process, terminal) = restore(&runtime, globals, args, bundle)?;
    let status = foreground.wait(process.pid, &process.pidfd, terminal, None)?;
    runtime.delete(&args.id, DeleteOptions { force: true })?;
    Ok(context::exit_code(status))
}

fn restore(
    runtime: &Runtime,
    globals: &Globals,
    args: &RestoreArgs,
    mut bundle: nexcage_oci::Bundle,
) -> Result<(Process, Option<Terminal>)> {
    let making = Making {
        globals,
        pid_file: args.files.pid_file.as_ref(),
        pidfd_socket: None,
        no_pivot: args.no_pivot,
        no_new_keyring: false,
        preserve_fds: 0,
    };
    let mut create = making.plan(&mut bundle)?;
    let console = Console::open(args.files.console_socket.as_deref(), wants_terminal(&bundle))?;
    create.console = console.fd();
    let paths = Paths::of(&args.criu)?;
    let options = RestoreOptions {
        criu: paths.options(&args.criu),
        tcp_close: args.tcp_close,
        lsm_profile: args.lsm_profile.as_deref().filter(|text| !text.is_empty()),
        lsm_mount_context: args.lsm_mount_context.as_deref().filter(|text| !text.is_empty()),
    };
    let process = runtime.restore(&args.id, &bundle, &create, &options)?;
    let terminal = console.receive().context("join the container's terminal")?;
    Ok((process, terminal))
}
