//! What every command starts from.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nexcage_backend_libcontainer::Libcontainer;
use nexcage_cgroups::Driver;
use nexcage_oci::Bundle;
use nexcage_runtime::{Runtime, Store};
use nexcage_sys::pidfd::ExitStatus;

use crate::args::{Globals, Request};
use crate::{report, root};

/// The runtime on the state directory of the command line.
pub(crate) fn runtime(globals: &Globals) -> Result<Runtime> {
    let store = Store::new(root::state_dir(globals)?);
    Ok(Runtime::new(store, Box::new(Libcontainer), root::is_rootless(globals)))
}

/// The cgroup driver of the command line.
pub(crate) fn driver(globals: &Globals) -> Driver {
    if globals.systemd_cgroup {
        Driver::Systemd
    } else {
        Driver::Cgroupfs
    }
}

/// Protects the program and executes it again if need be; for commands that enter containers.
pub(crate) fn seal(args: &[std::ffi::OsString]) -> Result<()> {
    nexcage_sys::seal::ensure_sealed(args)
        .map(drop)
        .context("protect the running program")
}

/// Loads a bundle, its warnings on standard error.
pub(crate) fn load_bundle(path: Option<&Path>, id: &str) -> Result<Bundle> {
    let path = path.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    let bundle = Bundle::load(&path).with_context(|| failed("create", id))?;
    for warning in &bundle.warnings {
        report::print_warning(&warning.to_string());
    }
    Ok(bundle)
}

/// The program's exit code for a process that ended.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(u8::try_from(status.code()).unwrap_or(u8::MAX))
}

/// What an error of a command begins with.
pub(crate) fn failed(command: &str, id: &str) -> String {
    format!("{command} {id:?}")
}

/// The same, for the command that is run.
pub(crate) fn failed_request(request: &Request, id: &str) -> String {
    failed(&request.command, id)
}
