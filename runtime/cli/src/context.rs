//! What every command starts from.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nexcage_backend_libcontainer::Libcontainer;
use nexcage_cgroups::Driver;
use nexcage_oci::Bundle;
use nexcage_runtime::{Runtime, Store};
use nexcage_sys::pidfd::{ExitStatus, PidFd};
use nexcage_sys::userns;

use crate::args::{Cgroups, Globals};
use crate::{report, root};

/// Whether this process lacks privileges over the node.
fn is_rootless(globals: &Globals) -> bool {
    // When the map cannot be read, privileges over the node cannot be told from those over a namespace: assume less.
    globals
        .rootless
        .unwrap_or_else(|| userns::euid() != 0 || userns::is_in_user_namespace().unwrap_or(true))
}

/// The runtime on the state directory of the command line.
pub(crate) fn runtime(globals: &Globals) -> Result<Runtime> {
    let store = Store::new(root::state_root(globals)?);
    Ok(Runtime::new(store, Box::new(Libcontainer), is_rootless(globals)))
}

/// The cgroup driver of the command line.
pub(crate) fn driver(globals: &Globals) -> Driver {
    match globals.cgroups {
        Cgroups::Systemd => Driver::Systemd,
        Cgroups::Fs | Cgroups::Disabled => Driver::Cgroupfs,
    }
}

/// Protects the program and executes it again if need be; for commands that enter containers.
pub(crate) fn seal() -> Result<()> {
    let argv: Vec<_> = std::env::args_os().collect();
    nexcage_sys::seal::ensure_sealed(&argv)
        .map(drop)
        .context("protect the running program")
}

/// Loads a bundle, its warnings on standard error.
pub(crate) fn load_bundle(path: Option<&Path>) -> Result<Bundle> {
    let path = path.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    let bundle = Bundle::load(&path)?;
    for warning in &bundle.warnings {
        report::warning(&warning.to_string());
    }
    Ok(bundle)
}

/// Socket of whoever waits for the container to be ready.
pub(crate) fn notify_socket() -> Option<PathBuf> {
    std::env::var_os("NOTIFY_SOCKET")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Starts a container and, where somebody waits for its readiness, returns once it is ready or has ended.
pub(crate) fn start(runtime: &Runtime, id: &str) -> Result<()> {
    let Some(relay) = runtime.listen_for_ready(id, notify_socket().as_deref(), None)? else {
        return Ok(runtime.start(id)?);
    };
    let init = PidFd::open(runtime.snapshot(id)?.pid()).context("open init's pidfd")?;
    runtime.start(id)?;
    relay.wait(&init)?;
    Ok(())
}

/// The program's exit code for a process that ended.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(u8::try_from(status.code()).unwrap_or(u8::MAX))
}
