//! `create`.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nexcage_backend::{KeyringUse, RootChange};
use nexcage_oci::Bundle;
use nexcage_runtime::CreateOptions;
use nexcage_runtime::inherited::{Activation, Inherited};
use nexcage_runtime::terminal::{check, connect_console};
use nexcage_sys::fds;

use crate::args::{CreateArgs, Globals};
use crate::context;

/// What `create` and `run` take alike.
pub(crate) struct Making<'a> {
    pub(crate) globals: &'a Globals,
    pub(crate) pid_file: Option<&'a PathBuf>,
    pub(crate) pidfd_socket: Option<&'a PathBuf>,
    pub(crate) no_pivot: bool,
    pub(crate) no_new_keyring: bool,
    pub(crate) preserve_fds: u32,
}

impl Making<'_> {
    /// The options of the creation, but for the console, and the bundle with what is handed on.
    pub(crate) fn plan<'a>(&self, bundle: &mut Bundle) -> Result<CreateOptions<'a>> {
        fds::fill_stdio().context("open /dev/null on closed standard descriptors")?;
        let inherited = Inherited::plan(Activation::from_environment(), self.preserve_fds)?;
        if let Some(process) = bundle.spec.process_mut() {
            let mut env = process.env().clone().unwrap_or_default();
            inherited.apply_env(&mut env);
            process.set_env(Some(env));
        }
        Ok(CreateOptions {
            driver: context::driver(self.globals),
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
            pid_file: self.pid_file.cloned(),
            pidfd_socket: self.pidfd_socket.cloned(),
            notify_socket: context::notify_socket(),
        })
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

pub(crate) fn run(globals: &Globals, args: &CreateArgs) -> Result<ExitCode> {
    context::seal()?;
    let runtime = context::runtime(globals)?;
    let mut bundle = context::load_bundle(args.bundle.as_deref())?;
    check(wants_terminal(&bundle), args.files.console_socket.is_some(), true)?;
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
    options.console = socket.as_ref().map(AsFd::as_fd);
    runtime.create(&args.id, &bundle, &options)?;
    Ok(ExitCode::SUCCESS)
}
