//! `create`.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use nexcage_backend::{KeyringUse, RootChange};
use nexcage_oci::Bundle;
use nexcage_runtime::CreateOptions;
use nexcage_runtime::inherited::{Activation, Inherited};
use nexcage_runtime::terminal::connect_console;
use nexcage_sys::fds;

use crate::args::Request;
use crate::context;

/// Flags of `create`, `run` and `restore`.
#[derive(Debug, Parser)]
pub(crate) struct BundleArgs {
    /// Directory of the bundle [default: the working directory]
    #[arg(long, short)]
    pub(crate) bundle: Option<PathBuf>,
    /// Unix socket that receives the master of the container's terminal
    #[arg(long)]
    pub(crate) console_socket: Option<PathBuf>,
    /// Unix socket that receives a pidfd of the init process
    #[arg(long)]
    pub(crate) pidfd_socket: Option<PathBuf>,
    /// File that gets the process id of init
    #[arg(long)]
    pub(crate) pid_file: Option<PathBuf>,
    /// Do not use pivot_root: for a root on a ramdisk
    #[arg(long)]
    pub(crate) no_pivot: bool,
    /// Do not make a session keyring: the container gets the caller's
    #[arg(long)]
    pub(crate) no_new_keyring: bool,
    /// Hand on this many descriptors from 3 on
    #[arg(long, default_value_t = 0)]
    pub(crate) preserve_fds: u32,
}

/// Create a container from a bundle; its program waits for `start`.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
    /// Name of the new container
    id: String,
}

impl BundleArgs {
    /// The options of the creation, but for the console.
    pub(crate) fn options<'a>(&self, request: &Request, inherited: Inherited) -> CreateOptions<'a> {
        CreateOptions {
            driver: context::driver(&request.globals),
            console: None,
            preserve_fds: inherited.count(),
            root_change: if self.no_pivot {
                RootChange::Move
            } else {
                RootChange::Pivot
            },
            keyring: if self.no_new_keyring {
                KeyringUse::Inherit
            } else {
                KeyringUse::New
            },
            pid_file: self.pid_file.clone(),
            pidfd_socket: self.pidfd_socket.clone(),
        }
    }
}

/// Whether the config asks for a terminal.
pub(crate) fn wants_terminal(bundle: &Bundle) -> bool {
    bundle
        .spec
        .process()
        .as_ref()
        .and_then(oci_spec::runtime::Process::terminal)
        == Some(true)
}

/// What is handed on, and its variables put into the config.
pub(crate) fn inherit(bundle: &mut Bundle, preserve_fds: u32) -> Result<Inherited> {
    fds::fill_stdio().context("open /dev/null on closed standard descriptors")?;
    let inherited = Inherited::plan(Activation::from_environment(), preserve_fds)?;
    if let Some(process) = bundle.spec.process_mut() {
        let mut env = process.env().clone().unwrap_or_default();
        inherited.apply_env(&mut env);
        process.set_env(Some(env));
    }
    Ok(inherited)
}

pub(crate) fn run(request: &Request, argv: &[OsString], args: &Args) -> Result<ExitCode> {
    context::seal(argv)?;
    let failed = || context::failed_request(request, &args.id);
    let runtime = context::runtime(&request.globals)?;
    let mut bundle = context::load_bundle(args.bundle.bundle.as_deref(), &args.id)?;
    let inherited = inherit(&mut bundle, args.bundle.preserve_fds).with_context(failed)?;
    nexcage_runtime::terminal::check(wants_terminal(&bundle), args.bundle.console_socket.is_some(), true)
        .with_context(failed)?;
    let mut options = args.bundle.options(request, inherited);
    let socket = args
        .bundle
        .console_socket
        .as_deref()
        .map(connect_console)
        .transpose()
        .with_context(failed)?;
    options.console = socket.as_ref().map(AsFd::as_fd);
    runtime.create(&args.id, &bundle, &options).with_context(failed)?;
    Ok(ExitCode::SUCCESS)
}
